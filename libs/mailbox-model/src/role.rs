//! What a mailbox is for: the special uses of RFC 6154 and the inbox.

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
}

impl Role {
    /// Every role with the byte that stands for it in records.
    const TABLE: [(Self, u8, &'static str); 7] = [
        (Self::Inbox, 1, "inbox"),
        (Self::Archive, 2, "archive"),
        (Self::Drafts, 3, "drafts"),
        (Self::Junk, 4, "junk"),
        (Self::Sent, 5, "sent"),
        (Self::Trash, 6, "trash"),
        (Self::Important, 7, "important"),
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
