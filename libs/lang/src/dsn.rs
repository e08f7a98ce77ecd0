//! What delivery reports say: what happened, why, what to do next.

use crate::Text;

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum News {
    /// A recipient did not get the message and will not.
    Failed,
    /// A recipient did not get it yet.
    Delayed,
    /// A recipient got it, or a server without reports has it.
    Delivered,
}

/// Why a recipient did not get the message, as far as it helps the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The domain is there, the mailbox is not.
    NoSuchMailbox,
    /// The mailbox is closed or takes no mail.
    MailboxOff,
    /// The mailbox is over its quota.
    MailboxFull,
    /// The domain does not exist or takes no mail.
    NoSuchDomain,
    /// The message is larger than the other side takes.
    TooLarge,
    /// The other server does not answer.
    Unreachable,
    /// All attempts over all the time were in vain.
    Expired,
    /// The message goes in circles.
    Loop,
    /// A rule of the other side, or its opinion of us or of the message.
    Refused,
    /// The sender's address or domain is not accepted.
    SenderRefused,
    /// The other side cannot take international addresses or this kind of content.
    Content,
    /// A secure connection is demanded and cannot be made.
    Insecure,
    /// The other side asks to come back later.
    NotNow,
    /// Anything else.
    Other,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::NoSuchMailbox,
        Self::MailboxOff,
        Self::MailboxFull,
        Self::NoSuchDomain,
        Self::TooLarge,
        Self::Unreachable,
        Self::Expired,
        Self::Loop,
        Self::Refused,
        Self::SenderRefused,
        Self::Content,
        Self::Insecure,
        Self::NotNow,
        Self::Other,
    ];
}

/// The name that reports are sent under.
pub const SENDER_NAME: Text = Text::new("Mail Delivery System", "邮件投递系统");

/// Before the host that writes the report.
pub const WRITTEN_BY: Text = Text::new(
    "This is the mail system at",
    "此邮件由以下主机的邮件系统自动发出：",
);
/// Label of a recipient's reason.
pub const WHY: Text = Text::new("Why", "原因");
/// Label of what to do.
pub const WHAT_TO_DO: Text = Text::new("What to do", "建议");
/// Label of the other server's reply, without its name.
pub const SERVER_SAID: Text = Text::new("The other server said", "对方服务器的答复");
/// Label of what happened where no server replied.
pub const DETAILS: Text = Text::new("Details", "详情");
/// Label of the time after which nothing more is tried.
pub const TRYING_UNTIL: Text = Text::new("It will be tried until", "系统将继续尝试至");
/// Label of the id that an operator finds the message by.
pub const REFERENCE: Text = Text::new(
    "Reference for your mail administrator",
    "供邮件管理员查询的编号",
);
/// Says that more recipients follow in the machine-readable part.
pub const AND_MORE: Text = Text::new(
    "More recipients are listed in the attached report.",
    "其余收件人请见附件中的报告。",
);
/// Says what of the message is attached.
pub const HEADER_ATTACHED: Text = Text::new(
    "The header of your message is attached.",
    "您的邮件的邮件头已附在后面。",
);
/// Says that the message is attached.
pub const MESSAGE_ATTACHED: Text = Text::new("Your message is attached.", "您的邮件已附在后面。");

/// The subject.
#[must_use]
pub const fn subject(news: News) -> Text {
    match news {
        News::Failed => Text::new("Your message was not delivered", "您的邮件未能送达"),
        News::Delayed => Text::new("Your message is delayed", "您的邮件投递延迟"),
        News::Delivered => Text::new("Your message was delivered", "您的邮件已送达"),
    }
}

/// The first paragraph.
#[must_use]
pub const fn opening(news: News) -> Text {
    match news {
        News::Failed => Text::new(
            "Your message could not be delivered to the following recipients,\nand it will not be tried again.",
            "您的邮件未能送达以下收件人，系统不会再次尝试。",
        ),
        News::Delayed => Text::new(
            "Your message has not reached the following recipients yet. It is kept and\ntried again by itself; you need not send it again.",
            "您的邮件尚未送达以下收件人。系统会保留邮件并自动重试，您无需重新发送。",
        ),
        News::Delivered => Text::new(
            "Your message was delivered to the following recipients, as you asked to be told.",
            "按照您的要求通知您：您的邮件已送达以下收件人。",
        ),
    }
}

/// Why it went wrong.
#[must_use]
pub const fn reason(trouble: Trouble) -> Text {
    match trouble {
        Trouble::NoSuchMailbox => Text::new(
            "There is no mailbox with this address.",
            "该收件地址不存在。",
        ),
        Trouble::MailboxOff => Text::new(
            "The mailbox is closed or does not take mail at present.",
            "该邮箱已停用，或目前不接收邮件。",
        ),
        Trouble::MailboxFull => Text::new("The recipient's mailbox is full.", "收件人的邮箱已满。"),
        Trouble::NoSuchDomain => Text::new(
            "The domain after the @ does not exist or takes no mail.",
            "@ 之后的域名不存在，或不接收邮件。",
        ),
        Trouble::TooLarge => Text::new(
            "The message is larger than the recipient's server takes.",
            "邮件大小超过了对方服务器的限制。",
        ),
        Trouble::Unreachable => Text::new(
            "The recipient's server cannot be reached.",
            "无法连接到收件人的服务器。",
        ),
        Trouble::Expired => Text::new(
            "All attempts to deliver it within the allowed time were in vain.",
            "在规定的时限内多次尝试投递均未成功。",
        ),
        Trouble::Loop => Text::new(
            "The message goes in circles between servers.",
            "邮件在服务器之间循环转发。",
        ),
        Trouble::Refused => Text::new(
            "The recipient's server refuses the message because of its rules.",
            "对方服务器根据其规则拒收了此邮件。",
        ),
        Trouble::SenderRefused => Text::new(
            "The recipient's server does not accept the sender's address.",
            "对方服务器不接受该发件地址。",
        ),
        Trouble::Content => Text::new(
            "The recipient's server cannot take this kind of address or content.",
            "对方服务器不支持此类地址或邮件内容。",
        ),
        Trouble::Insecure => Text::new(
            "A secure connection is required and could not be made.",
            "投递要求安全连接，但未能建立。",
        ),
        Trouble::NotNow => Text::new(
            "The recipient's server asked to try again later.",
            "对方服务器要求稍后重试。",
        ),
        Trouble::Other => Text::new("The message could not be delivered.", "邮件投递未成功。"),
    }
}

/// What to do about it.
#[must_use]
pub const fn advice(trouble: Trouble) -> Text {
    match trouble {
        Trouble::NoSuchMailbox | Trouble::NoSuchDomain => Text::new(
            "Check the address for typing errors and send the message again.",
            "请检查地址是否输入有误，然后重新发送。",
        ),
        Trouble::MailboxOff => Text::new(
            "Ask the recipient by other means for a current address.",
            "请通过其他方式向收件人询问可用的地址。",
        ),
        Trouble::MailboxFull => Text::new(
            "Tell the recipient by other means, and send it again later.",
            "请通过其他方式告知收件人，并稍后重新发送。",
        ),
        Trouble::TooLarge => Text::new(
            "Make the message smaller, or share large files by a link.",
            "请缩小邮件，或改用链接分享大文件。",
        ),
        Trouble::Unreachable | Trouble::Expired | Trouble::NotNow => Text::new(
            "Try again later, or reach the recipient by other means.",
            "请稍后再试，或通过其他方式联系收件人。",
        ),
        Trouble::Loop => Text::new(
            "Ask the recipient or their administrator to check their forwarding.",
            "请收件人或其管理员检查转发设置。",
        ),
        Trouble::Refused | Trouble::SenderRefused | Trouble::Insecure => Text::new(
            "Show this report to your mail administrator.",
            "请将此报告转交给您的邮件管理员。",
        ),
        Trouble::Content => Text::new(
            "Ask the recipient for another address, or change what you send.",
            "请向收件人询问其他地址，或更改邮件内容。",
        ),
        Trouble::Other => Text::new(
            "Read the other server's reply below, or ask your mail administrator.",
            "请查看下面对方服务器的答复，或询问您的邮件管理员。",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lang;

    #[test]
    fn every_text_is_there_in_both_languages_and_has_no_controls() {
        let mut texts = vec![
            SENDER_NAME,
            WRITTEN_BY,
            WHY,
            WHAT_TO_DO,
            SERVER_SAID,
            DETAILS,
            TRYING_UNTIL,
            REFERENCE,
            AND_MORE,
            HEADER_ATTACHED,
            MESSAGE_ATTACHED,
        ];
        for news in [News::Failed, News::Delayed, News::Delivered] {
            texts.extend([subject(news), opening(news)]);
            assert!(!subject(news).en.contains('\n'));
        }
        for trouble in Trouble::ALL {
            texts.extend([reason(trouble), advice(trouble)]);
        }
        for text in texts {
            assert!(text.lang(Lang::En).is_ascii() && !text.en.is_empty());
            assert!(!text.lang(Lang::ZhHans).is_ascii());
            assert!(!text.en.contains(|c: char| c.is_control() && c != '\n'));
            assert!(text.en.lines().all(|line| line.len() <= 80));
            assert!(!text.zh_hans.contains(char::is_control));
        }
    }
}
