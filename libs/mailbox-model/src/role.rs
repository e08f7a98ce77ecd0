//! What a mailbox is for: the special uses of RFC 6154, RFC 8457 and IANA's registry of mailbox
//! attributes (draft-ietf-mailmaint-messageflag-mailboxattribute), and the inbox.

/// A mailbox's special use; at most one mailbox of an account has each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Where mail arrives.
    Inbox,
    /// Kept mail.
    Archive,
    /// Unfinished messages.
    Drafts,
    /// Spam.
    Junk,
    /// Copies of what was sent.
    Sent,
    /// What was deleted.
    Trash,
    /// Important mail (RFC 8457).
    Important,
    /// Mail that was put off, and comes back by itself.
    Snoozed,
    /// Messages that are to be sent later.
    Scheduled,
    /// Notes on other messages.
    Memos,
}

impl Role {
    /// Every role with the byte that stands for it in records.
    const TABLE: [(Self, u8, &'static str); 10] = [
        (Self::Inbox, 1, "inbox"),
        (Self::Archive, 2, "archive"),
        (Self::Drafts, 3, "drafts"),
        (Self::Junk, 4, "junk"),
        (Self::Sent, 5, "sent"),
        (Self::Trash, 6, "trash"),
        (Self::Important, 7, "important"),
        (Self::Snoozed, 8, "snoozed"),
        (Self::Scheduled, 9, "scheduled"),
        (Self::Memos, 10, "memos"),
    ];

    /// The attribute in LIST, or none for the inbox. RFC 6154 §2
    #[must_use]
    pub fn attribute(self) -> Option<&'static str> {
        match self {
            Self::Inbox => None,
            Self::Archive => Some("\\Archive"),
            Self::Drafts => Some("\\Drafts"),
            Self::Junk => Some("\\Junk"),
            Self::Sent => Some("\\Sent"),
            Self::Trash => Some("\\Trash"),
            Self::Important => Some("\\Important"),
            Self::Snoozed => Some("\\Snoozed"),
            Self::Scheduled => Some("\\Scheduled"),
            Self::Memos => Some("\\Memos"),
        }
    }

    /// The role with this attribute, in any case.
    #[must_use]
    pub fn from_attribute(attribute: &str) -> Option<Self> {
        Self::TABLE.iter().map(|row| row.0).find(|role| {
            role.attribute()
                .is_some_and(|a| a.eq_ignore_ascii_case(attribute))
        })
    }

    /// The role that mail programs mean by a folder of this name (the whole name, at the top),
    /// in English and in Chinese, simplified and traditional.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let found = NAMES
            .iter()
            .find(|(_, names)| names.contains(&name.as_str()));
        found.map(|(role, _)| *role)
    }

    /// The role's name in JMAP (RFC 8621 §2).
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("", |row| row.2)
    }

    pub(crate) fn code(role: Option<Self>) -> u8 {
        Self::TABLE
            .iter()
            .find(|row| Some(row.0) == role)
            .map_or(0, |row| row.1)
    }

    pub(crate) fn from_code(code: u8) -> Option<Option<Self>> {
        if code == 0 {
            return Some(None);
        }
        Self::TABLE
            .iter()
            .find(|row| row.1 == code)
            .map(|row| Some(row.0))
    }
}

/// What mail programs call their folders, in small letters.
const NAMES: [(Role, &[&str]); 5] = [
    (
        Role::Archive,
        &["archive", "archives", "归档", "存档", "封存", "歸檔"],
    ),
    (
        Role::Drafts,
        &[
            "draft",
            "drafts",
            "草稿",
            "草稿箱",
            "草稿夹",
            "草稿匣",
            "草稿夾",
        ],
    ),
    (
        Role::Junk,
        &[
            "junk",
            "junk e-mail",
            "junk email",
            "junk mail",
            "spam",
            "bulk mail",
            "垃圾邮件",
            "垃圾箱",
            "垃圾郵件",
            "垃圾信件",
        ],
    ),
    (
        Role::Sent,
        &[
            "sent",
            "sent items",
            "sent mail",
            "sent messages",
            "sent-mail",
            "已发送",
            "已发送邮件",
            "已发邮件",
            "发件箱",
            "寄件備份",
            "寄件夾",
            "已傳送郵件",
            "已寄出",
        ],
    ),
    (
        Role::Trash,
        &[
            "trash",
            "deleted",
            "deleted items",
            "deleted messages",
            "bin",
            "已删除",
            "已删除邮件",
            "废件箱",
            "回收站",
            "已刪除",
            "刪除的郵件",
            "垃圾桶",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_found_by_its_byte_and_its_attribute() {
        for (role, code, _) in Role::TABLE {
            assert_eq!(Role::from_code(code), Some(Some(role)));
            assert_eq!(Role::code(Some(role)), code);
            let found = role.attribute().and_then(Role::from_attribute);
            assert_eq!(found, Some(role).filter(|role| *role != Role::Inbox));
        }
        assert_eq!(
            (Role::from_code(0), Role::from_code(11)),
            (Some(None), None)
        );
    }

    #[test]
    fn folders_of_mail_programs_have_their_use() {
        for (name, role) in [
            ("Sent Items", Some(Role::Sent)),
            ("已发送", Some(Role::Sent)),
            ("草稿箱", Some(Role::Drafts)),
            ("垃圾邮件", Some(Role::Junk)),
            ("Deleted Messages", Some(Role::Trash)),
            ("已删除", Some(Role::Trash)),
            ("Archives", Some(Role::Archive)),
            ("Work", None),
            ("Work/Sent", None),
        ] {
            assert_eq!(Role::of_name(name), role, "{name}");
        }
        let all = NAMES.iter().flat_map(|(_, names)| names.iter());
        let mut once = std::collections::BTreeSet::new();
        assert!(
            all.clone().all(|name| once.insert(name)),
            "a name has one meaning"
        );
        assert!(all.clone().all(|name| name.to_lowercase() == **name));
    }
}
