//! Why a recipient was not reached, in words that people and programs act on.
//!
//! Servers say the same in a hundred ways. First comes an enhanced code that nobody uses
//! for anything else (RFC 3463, 5248), then what is said about our way of sending
//! ([`Signal`]), then words, then the vaguer codes. What is classed wrongly names a
//! reason badly; whether it is tried again does not depend on it (`outcome`).

use envelope::{EnhancedStatus, Reply};

use crate::Signal;

/// Why it was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// There is no such mailbox.
    NoSuchMailbox,
    /// The mailbox is there and takes nothing: disabled, left, of another owner.
    MailboxOff,
    /// It has no room.
    MailboxFull,
    /// The domain is not there, or takes no mail.
    NoSuchDomain,
    /// Who sends does not please: address, network, complaints.
    Reputation,
    /// It looks like spam.
    Spam,
    /// SPF, DKIM or DMARC does not agree.
    Authentication,
    /// Another rule of theirs.
    Policy,
    /// Fewer connections, messages or recipients, please.
    Pace,
    /// It wants to see us come back.
    Greylisted,
    /// It is too large.
    TooLarge,
    /// Something in it: an attachment, a virus, a form that cannot be converted.
    Content,
    /// Encryption is missing or not good enough.
    Tls,
    /// Nobody was reached.
    Network,
    /// It goes in a circle, or to a server that is not its domain's.
    Routing,
    /// It was tried for as long as may be.
    Expired,
    /// The two servers did not understand each other.
    Protocol,
    /// It has trouble of its own.
    NotNow,
    /// It does not say.
    Other,
}

impl Cause {
    /// Why a reply refuses; [`Cause::Other`] for one that does not.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        if !reply.is_temporary() && !reply.is_permanent() {
            return Self::Other;
        }
        let status = reply.enhanced.map(|s| (s.class, s.subject, s.detail));
        if let Some(cause) = status.and_then(Self::of_clear_status) {
            return cause;
        }
        if let Some(cause) = Self::of_signal(Signal::of(reply)) {
            return cause;
        }
        let text = reply.text().to_lowercase();
        let said = |hint: &&Hint| hint.words.iter().all(|words| text.contains(words));
        if let Some(hint) = HINTS.iter().find(said) {
            return hint.cause;
        }
        status
            .and_then(Self::of_vague_status)
            .unwrap_or_else(|| Self::of_code(reply.code))
    }

    /// Why a notification says that a recipient was given up: its Status and
    /// Diagnostic-Code (RFC 3464 §2.3.4, §2.3.6).
    #[must_use]
    pub fn of_report(status: Option<EnhancedStatus>, diagnostic: &str) -> Self {
        let said = diagnostic.trim();
        let code: Option<u16> = said.get(..3).and_then(|digits| digits.parse().ok());
        let rest = if code.is_some() { &said[3..] } else { said };
        let rest = rest.trim_start_matches([' ', '-']);
        // What the server said itself is closer than what was made of it.
        let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let (enhanced, text) = match EnhancedStatus::parse(word) {
            Some(enhanced) => (Some(enhanced), text),
            None => (status, rest),
        };
        // RFC 3464 §2.3.4: the time was over, whatever the last reply was.
        if status.is_some_and(|status| (status.subject, status.detail) == (4, 7)) {
            return Self::Expired;
        }
        let class = enhanced.map_or(5, |enhanced| u16::from(enhanced.class));
        let code = code.filter(|code| (400..600).contains(code));
        let mut reply = Reply::new(code.unwrap_or(class * 100 + 50), enhanced, text);
        if !reply.is_temporary() && !reply.is_permanent() {
            reply.code = 550;
        }
        Self::of(&reply)
    }

    /// The address itself is no good: writing to it again is of no use.
    #[must_use]
    pub fn is_about_the_address(self) -> bool {
        matches!(
            self,
            Self::NoSuchMailbox | Self::MailboxOff | Self::NoSuchDomain
        )
    }

    /// Its name for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSuchMailbox => "no such mailbox",
            Self::MailboxOff => "mailbox off",
            Self::MailboxFull => "mailbox full",
            Self::NoSuchDomain => "no such domain",
            Self::Reputation => "reputation",
            Self::Spam => "spam",
            Self::Authentication => "authentication",
            Self::Policy => "policy",
            Self::Pace => "pace",
            Self::Greylisted => "greylisted",
            Self::TooLarge => "too large",
            Self::Content => "content",
            Self::Tls => "tls",
            Self::Network => "network",
            Self::Routing => "routing",
            Self::Expired => "expired",
            Self::Protocol => "protocol",
            Self::NotNow => "not now",
            Self::Other => "other",
        }
    }

    /// Codes that mean one thing wherever they are used.
    fn of_clear_status(status: (u8, u16, u16)) -> Option<Self> {
        Some(match status {
            (5, 1, 1 | 3 | 6) => Self::NoSuchMailbox,
            (_, 1, 2 | 10) => Self::NoSuchDomain,
            (_, 2, 2) => Self::MailboxFull,
            // RFC 7293: the owner has changed.
            (5, 7, 17 | 18) => Self::MailboxOff,
            (_, 2, 3) | (_, 3, 4) => Self::TooLarge,
            (_, 4, 6) => Self::Routing,
            (_, 4, 7) => Self::Expired,
            // RFC 7372
            (_, 7, 20..=24 | 26 | 29) => Self::Authentication,
            (_, 7, 10 | 11) => Self::Tls,
            _ => return None,
        })
    }

    /// Codes that some use for other things too.
    fn of_vague_status(status: (u8, u16, u16)) -> Option<Self> {
        Some(match status {
            (_, 1, 7 | 8) => Self::Policy,
            (5, 1, _) => Self::NoSuchMailbox,
            (5, 2, 1) => Self::MailboxOff,
            (4, 2 | 3, _) => Self::NotNow,
            (_, 4, 4) => Self::NoSuchDomain,
            (_, 4, 0..=3) => Self::Network,
            (_, 5, _) => Self::Protocol,
            (_, 6, _) => Self::Content,
            (_, 7, 4 | 5) => Self::Tls,
            (5, 7, _) => Self::Policy,
            (4, 7, _) => Self::NotNow,
            _ => return None,
        })
    }

    fn of_signal(signal: Signal) -> Option<Self> {
        match signal {
            Signal::TooManyConnections
            | Signal::TooFast
            | Signal::SessionFull
            | Signal::TooManyRecipients => Some(Self::Pace),
            Signal::Reputation => Some(Self::Reputation),
            Signal::Greylisted => Some(Self::Greylisted),
            Signal::NotNow | Signal::Other => None,
        }
    }

    fn of_code(code: u16) -> Self {
        match code {
            500..=504 => Self::Protocol,
            552 => Self::TooLarge,
            400..=499 => Self::NotNow,
            _ => Self::Other,
        }
    }
}

/// Words that are all in a reply, in lower case, and what they mean.
struct Hint {
    cause: Cause,
    words: &'static [&'static str],
}

const fn hint(cause: Cause, words: &'static [&'static str]) -> Hint {
    Hint { cause, words }
}

/// What the field says; the first line that fits counts. Rates and reputations are in
/// `signal`.
const HINTS: &[Hint] = &[
    // A server that is not the domain's.
    hint(Cause::Routing, &["relay access denied"]),
    hint(Cause::Routing, &["relaying denied"]),
    hint(Cause::Routing, &["relay not permitted"]),
    hint(Cause::Routing, &["unable to relay"]),
    hint(Cause::Routing, &["hop count exceeded"]),
    hint(Cause::Routing, &["mail loop"]),
    hint(Cause::Routing, &["loops back to myself"]),
    // Names.
    hint(Cause::NoSuchDomain, &["domain not found"]),
    hint(Cause::NoSuchDomain, &["domain does not exist"]),
    hint(Cause::NoSuchDomain, &["host not found"]),
    hint(Cause::NoSuchDomain, &["does not accept mail", "nullmx"]),
    // The sender's proof.
    hint(Cause::Authentication, &["dmarc"]),
    hint(Cause::Authentication, &["dkim"]),
    hint(Cause::Authentication, &["spf check"]),
    hint(Cause::Authentication, &["spf fail"]),
    hint(Cause::Authentication, &["spf validation"]),
    hint(Cause::Authentication, &["unauthenticated email"]),
    hint(Cause::Authentication, &["not authorized to send on behalf"]),
    // NetEase's codes.
    hint(Cause::Spam, &["dt:spm"]),
    hint(Cause::Authentication, &["mi:spf"]),
    hint(Cause::Policy, &["mi:dmc"]),
    // No room.
    hint(Cause::MailboxFull, &["over quota"]),
    hint(Cause::MailboxFull, &["overquota"]),
    hint(Cause::MailboxFull, &["over its quota"]),
    hint(Cause::MailboxFull, &["quota exceeded"]),
    hint(Cause::MailboxFull, &["exceeded", "quota"]),
    hint(Cause::MailboxFull, &["mailbox full"]),
    hint(Cause::MailboxFull, &["mailbox is full"]),
    hint(Cause::MailboxFull, &["out of storage"]),
    hint(Cause::MailboxFull, &["inbox is full"]),
    // There and off.
    hint(Cause::MailboxOff, &["mailbox is disabled"]),
    hint(Cause::MailboxOff, &["mailbox disabled"]),
    hint(Cause::MailboxOff, &["account is disabled"]),
    hint(Cause::MailboxOff, &["account disabled"]),
    hint(Cause::MailboxOff, &["account has been disabled"]),
    hint(Cause::MailboxOff, &["account", "is inactive"]),
    hint(Cause::MailboxOff, &["account is suspended"]),
    hint(Cause::MailboxOff, &["account has been suspended"]),
    hint(Cause::MailboxOff, &["mailbox is inactive"]),
    hint(Cause::MailboxOff, &["mailbox is frozen"]),
    // Not there.
    hint(Cause::NoSuchMailbox, &["user unknown"]),
    hint(Cause::NoSuchMailbox, &["unknown user"]),
    hint(Cause::NoSuchMailbox, &["unknown recipient"]),
    hint(Cause::NoSuchMailbox, &["recipient unknown"]),
    hint(Cause::NoSuchMailbox, &["unknown local part"]),
    hint(Cause::NoSuchMailbox, &["unrouteable address"]),
    hint(Cause::NoSuchMailbox, &["no such user"]),
    hint(Cause::NoSuchMailbox, &["no such recipient"]),
    hint(Cause::NoSuchMailbox, &["no such mailbox"]),
    hint(Cause::NoSuchMailbox, &["no mailbox here"]),
    hint(Cause::NoSuchMailbox, &["user not found"]),
    hint(Cause::NoSuchMailbox, &["mailbox not found"]),
    hint(Cause::NoSuchMailbox, &["recipient not found"]),
    hint(Cause::NoSuchMailbox, &["address rejected: undeliverable"]),
    hint(Cause::NoSuchMailbox, &["invalid recipient"]),
    hint(Cause::NoSuchMailbox, &["invalid mailbox"]),
    hint(Cause::NoSuchMailbox, &["not a valid mailbox"]),
    hint(Cause::NoSuchMailbox, &["user doesn't have", "account"]),
    hint(Cause::NoSuchMailbox, &["account", "does not exist"]),
    hint(Cause::NoSuchMailbox, &["user does not exist"]),
    hint(Cause::NoSuchMailbox, &["mailbox does not exist"]),
    hint(Cause::NoSuchMailbox, &["recipient does not exist"]),
    hint(
        Cause::NoSuchMailbox,
        &["requested action not taken: mailbox unavailable"],
    ),
    // What is in it.
    hint(Cause::TooLarge, &["message size exceeds"]),
    hint(Cause::TooLarge, &["message too large"]),
    hint(Cause::TooLarge, &["message too big"]),
    hint(Cause::TooLarge, &["size limit"]),
    hint(Cause::Content, &["virus"]),
    hint(Cause::Content, &["malware"]),
    hint(Cause::Content, &["attachment"]),
    hint(
        Cause::Content,
        &["its content presents a potential security issue"],
    ),
    hint(Cause::Spam, &["spam"]),
    hint(Cause::Spam, &["unsolicited"]),
    hint(Cause::Spam, &["junk mail"]),
    hint(Cause::Spam, &["content rejected"]),
    // How it is sent.
    hint(Cause::Tls, &["starttls"]),
    hint(Cause::Tls, &["tls required"]),
    hint(Cause::Tls, &["encryption required"]),
    hint(Cause::Tls, &["encrypted connection"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(line: &str) -> Reply {
        let (code, rest) = line.split_at(3);
        let rest = rest.trim_start();
        let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let code = code.parse().expect("a code");
        match EnhancedStatus::parse(word) {
            Some(status) => Reply::new(code, Some(status), text),
            None => Reply::new(code, None, rest),
        }
    }

    /// A line for each cause and each line of the table that has a provider's own words.
    const SAID: &[(Cause, &str)] = &[
        (
            Cause::NoSuchMailbox,
            "550 5.1.1 The email account that you tried to reach does not exist.",
        ),
        (
            Cause::NoSuchMailbox,
            "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).",
        ),
        (
            Cause::NoSuchMailbox,
            "554 delivery error: dd This user doesn't have a yahoo.com account (x@yahoo.com) [0]",
        ),
        (Cause::NoSuchMailbox, "550 User not found: x@163.com"),
        (
            Cause::NoSuchMailbox,
            "550 Mailbox not found. https://service.mail.qq.com/detail/122",
        ),
        (
            Cause::NoSuchMailbox,
            "550 5.1.1 <x@far.test>: Recipient address rejected: User unknown in virtual mailbox table",
        ),
        (Cause::NoSuchMailbox, "550 Unrouteable address"),
        (
            Cause::NoSuchMailbox,
            "550 5.4.1 Recipient not found by SMTP address lookup",
        ),
        (Cause::NoSuchMailbox, "550 5.7.1 unknown user"),
        (Cause::NoSuchMailbox, "550 5.1.0 Address rejected."),
        (
            Cause::MailboxOff,
            "550 5.2.1 The email account that you tried to reach is disabled.",
        ),
        (
            Cause::MailboxOff,
            "554 delivery error: dd Not a valid recipient - this mailbox is disabled (554.30)",
        ),
        (
            Cause::MailboxOff,
            "550 5.7.17 the mailbox has another owner since then",
        ),
        (
            Cause::MailboxFull,
            "452 4.2.2 The email account that you tried to reach is over quota.",
        ),
        (
            Cause::MailboxFull,
            "552 5.2.2 The recipient's inbox is out of storage space and inactive.",
        ),
        (
            Cause::MailboxFull,
            "550 Quota exceeded (mailbox for user is full)",
        ),
        (Cause::NoSuchDomain, "550 5.1.2 Host unknown"),
        (
            Cause::NoSuchDomain,
            "556 5.1.10 Recipient address has a null MX",
        ),
        (
            Cause::NoSuchDomain,
            "450 4.1.8 <x@nowhere.test>: Sender address rejected: Domain not found",
        ),
        (
            Cause::Reputation,
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
        ),
        (
            Cause::Reputation,
            "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
        ),
        (Cause::Spam, "554 DT:SPM 163 smtp5,D9GowACHO7RN"),
        (
            Cause::Spam,
            "550 5.7.1 This message has been identified as spam",
        ),
        (
            Cause::Spam,
            "554 5.7.7 Email policy violation detected: message content rejected",
        ),
        (
            Cause::Authentication,
            "550 5.7.26 Unauthenticated email from near.test is not accepted due to domain's DMARC policy.",
        ),
        (
            Cause::Authentication,
            "550 5.7.23 The message was rejected because of SPF violation",
        ),
        (
            Cause::Authentication,
            "550 5.7.1 DKIM signature did not verify",
        ),
        (Cause::Policy, "550 5.7.1 Access denied"),
        (
            Cause::Policy,
            "553 5.1.8 <x@near.test>: Sender address rejected",
        ),
        (Cause::Pace, "421 4.7.0 Too many connections from your host"),
        (Cause::Pace, "452 4.5.3 too many recipients"),
        (
            Cause::Greylisted,
            "450 4.2.0 <x@far.test>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/",
        ),
        (
            Cause::TooLarge,
            "552 5.3.4 Message size exceeds fixed limit",
        ),
        (
            Cause::TooLarge,
            "552 Message size exceeds maximum permitted",
        ),
        (
            Cause::Content,
            "552 5.7.0 This message was blocked because its content presents a potential security issue.",
        ),
        (
            Cause::Content,
            "550 5.6.1 BINARYMIME is not supported there",
        ),
        (Cause::Content, "554 5.7.1 This attachment is not allowed"),
        (Cause::Tls, "530 5.7.0 Must issue a STARTTLS command first"),
        (Cause::Tls, "554 5.7.4 Security features not supported"),
        (Cause::Network, "450 4.4.1 connection refused"),
        (Cause::Network, "450 4.4.2 the connection broke"),
        (
            Cause::Routing,
            "554 5.7.1 <x@far.test>: Relay access denied",
        ),
        (Cause::Routing, "554 5.4.6 Too many hops"),
        (Cause::Expired, "550 4.4.7 it was tried for five days"),
        (Cause::Protocol, "500 5.5.2 Error: bad syntax"),
        (Cause::Protocol, "503 bad sequence of commands"),
        (Cause::NotNow, "451 4.3.0 Temporary lookup failure"),
        (Cause::NotNow, "421 Service not available"),
        (Cause::Other, "550 No"),
        (
            Cause::Other,
            "250 2.1.5 user unknown, but it does not matter",
        ),
    ];

    #[test]
    fn what_servers_say_is_classed() {
        for (cause, line) in SAID {
            assert_eq!(Cause::of(&reply(line)), *cause, "{line}");
        }
    }

    #[test]
    fn every_line_of_the_table_can_be_reached() {
        for hint in HINTS {
            let said = Reply::new(550, None, &hint.words.join(" "));
            let first = HINTS.iter().find(|other| {
                let text = said.text();
                other.words.iter().all(|words| text.contains(words))
            });
            let first = first.expect("it is in it");
            assert_eq!(first.cause, hint.cause, "{:?}", hint.words);
        }
    }

    #[test]
    fn notifications_are_classed_like_replies() {
        let status = |text| EnhancedStatus::parse(text);
        for (cause, said, diagnostic) in [
            (
                Cause::NoSuchMailbox,
                "5.0.0",
                "550 5.1.1 <x@far.test>: User unknown",
            ),
            (Cause::NoSuchMailbox, "5.1.1", ""),
            (Cause::MailboxFull, "5.0.0", "552-Mailbox full"),
            (Cause::Expired, "4.4.7", "450 4.2.0 Greylisted"),
            (Cause::NoSuchMailbox, "5.0.0", "no such user here"),
            (Cause::Other, "5.0.0", "250 weird"),
            (Cause::Other, "", "äöü"),
        ] {
            assert_eq!(
                Cause::of_report(status(said), diagnostic),
                cause,
                "{diagnostic}"
            );
        }
        assert!(Cause::NoSuchMailbox.is_about_the_address());
        assert!(!Cause::MailboxFull.is_about_the_address());
    }
}
