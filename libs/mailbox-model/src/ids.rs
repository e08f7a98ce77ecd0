//! Names of things in an account: numbers that never mean anything else.
//!
//! All are assigned in order within one account and never again after use.
//! RFC 9051 §2.3.1.1 (UID, UIDVALIDITY), RFC 7162 §3.1 (mod-sequence).

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $int);

        impl $name {
            /// The one after this; stays at the end of its range.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// An email of the account, in order of arrival. The first is 1.
    EmailId,
    u64
);
id!(
    /// A mailbox of the account; a rename keeps it. The first is 1.
    MailboxId,
    u32
);
id!(
    /// A message's number in its mailbox; assigned ones are never zero and grow.
    Uid,
    u32
);
id!(
    /// Changes when a mailbox's UIDs mean something else; never zero, only grows.
    UidValidity,
    u32
);
id!(
    /// The number of a change of the account; zero is before the first.
    ModSeq,
    u64
);
id!(
    /// A keyword's place in the account's table.
    KeywordId,
    u32
);
