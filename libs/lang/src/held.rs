//! What a notice says that a user's mail is held.

use crate::Text;

/// The subject.
pub const SUBJECT: Text = Text::new(
    "Mail of a user is held: is the account stolen?",
    "用户的邮件已被暂停发送：账户是否被盗？",
);

/// Before the address.
pub const WHOSE: Text = Text::new("User:", "用户：");

/// Before the limit.
pub const WHY: Text = Text::new("Sent:", "已发送：");

/// Behind a number: messages.
pub const MESSAGES: Text = Text::new("messages", "封邮件");

/// Behind a number: recipients.
pub const RECIPIENTS: Text = Text::new("recipients", "个收件人");

/// Behind a number: recipients that are new.
pub const NEW_RECIPIENTS: Text =
    Text::new("recipients never written to before", "个从未联系过的收件人");

/// In what time.
pub const IN_AN_HOUR: Text = Text::new("in an hour", "一小时内");

/// In what time.
pub const IN_A_DAY: Text = Text::new("in a day", "一天内");

/// Before the number that is allowed.
pub const LIMIT: Text = Text::new("limit", "限额");

/// Where all users count together.
pub const BY_THE_DOMAIN: Text = Text::new("by all users of the domain", "该域名下所有用户合计");

/// What has happened.
pub const WHAT_IT_MEANS: Text = Text::new(
    "That is more than a user may send. What comes now is accepted and waits in the queue; nothing is lost, and the user has not been told.",
    "这超过了每个用户的发送限额。此后的邮件仍被接收，但在队列中等待；邮件不会丢失，用户也未收到通知。",
);

/// What to do about it.
pub const WHAT_TO_DO: Text = Text::new(
    "Ask the user. If it is the user's own mail: `posthouse queue release --sender ADDRESS`. If not: change the password with `posthouse account passwd ADDRESS`, then `posthouse queue remove --sender ADDRESS`.",
    "请询问该用户。若确为本人邮件，请运行 `posthouse queue release --sender ADDRESS`。若不是，请用 `posthouse account passwd ADDRESS` 更改密码，然后运行 `posthouse queue remove --sender ADDRESS`。",
);
