//! What a notice says that an account, or a domain, is nearly full.

use crate::Text;

/// The subject.
pub const SUBJECT: Text = Text::new("Your mailbox is filling up", "您的邮箱空间即将用完");

/// The subject of the last notice before mail is refused.
pub const SUBJECT_URGENT: Text = Text::new("Your mailbox is nearly full", "您的邮箱空间几乎用完");

/// The subject where all mailboxes of a domain together are meant.
pub const DOMAIN_SUBJECT: Text = Text::new(
    "The mailboxes of your domain are filling up",
    "您的域的邮箱空间即将用完",
);

/// The subject of the last notice before mail for the domain is refused.
pub const DOMAIN_SUBJECT_URGENT: Text = Text::new(
    "The mailboxes of your domain are nearly full",
    "您的域的邮箱空间几乎用完",
);

/// Before the address.
pub const ACCOUNT: Text = Text::new("The mailbox", "邮箱");

/// Behind the address, before the figures.
pub const USES: Text = Text::new("now uses", "目前已用");

/// Before the domain.
pub const DOMAIN: Text = Text::new("All mailboxes of the domain", "域");

/// Behind the domain, before the figures.
pub const DOMAIN_USES: Text = Text::new("together now use", "的所有邮箱目前共用");

/// Between what is used and the limit.
pub const OF: Text = Text::new("of", "，上限为");

/// The unit of messages.
pub const MESSAGES: Text = Text::new("messages", "封邮件");

/// What happens when it is full.
pub const WHAT_HAPPENS: Text = Text::new(
    "When it is full, new mail is refused for now and its senders try again; after three days it goes back to them.",
    "空间用完后，新邮件将暂时被拒收，由发件方重试；三天后仍无空间，邮件将被退回。",
);

/// What to do about it.
pub const WHAT_TO_DO: Text = Text::new(
    "Delete messages that you no longer need, or ask your administrator for more room.",
    "请删除不再需要的邮件，或联系管理员增加空间。",
);

/// What happens when the domain is full.
pub const DOMAIN_WHAT_HAPPENS: Text = Text::new(
    "When they are full, new mail for every one of them is refused for now and its senders try again; after three days it goes back to them. Mail for postmaster and abuse still comes in.",
    "空间用完后，该域所有邮箱的新邮件都将暂时被拒收，由发件方重试；三天后仍无空间，邮件将被退回。发给 postmaster 和 abuse 的邮件不受影响。",
);

/// What to do about it.
pub const DOMAIN_WHAT_TO_DO: Text = Text::new(
    "Ask people to delete messages that they no longer need, remove accounts that nobody uses, or give the domain more room with `posthouse domain quota`.",
    "请让用户删除不再需要的邮件，移除无人使用的账户，或用 `posthouse domain quota` 增加该域的空间。",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages() {
        for text in [
            SUBJECT,
            SUBJECT_URGENT,
            ACCOUNT,
            USES,
            OF,
            MESSAGES,
            WHAT_HAPPENS,
            WHAT_TO_DO,
            DOMAIN_SUBJECT,
            DOMAIN_SUBJECT_URGENT,
            DOMAIN,
            DOMAIN_USES,
            DOMAIN_WHAT_HAPPENS,
            DOMAIN_WHAT_TO_DO,
        ] {
            assert!(text.en.is_ascii() && !text.en.is_empty());
            assert!(!text.zh_hans.is_ascii());
            assert!(
                !text.en.contains(char::is_control) && !text.zh_hans.contains(char::is_control)
            );
        }
    }
}
