//! Ids of octets (RFC 8620 §6, RFC 8621 §4.1.1): `B7` is email 7 as it is shown, `B7-3` what stands in its
//! part 3, `B7-3-1` part 1 of the message that this is; `U…` was uploaded, `U…-1` a part of it.
//!
//! Ids name nothing outside of their account, and hashes of content are not among them.

use mailbox_model::EmailId;

/// Octets that a client may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlobRef {
    pub(crate) base: Base,
    /// Numbers of parts, of messages inside one another.
    pub(crate) path: Vec<u32>,
}

/// What parts are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    Email(EmailId),
    Upload(u64),
}

impl BlobRef {
    pub(crate) fn email(email: EmailId) -> Self {
        Self {
            base: Base::Email(email),
            path: Vec::new(),
        }
    }

    /// A part of it.
    pub(crate) fn part(&self, part: u32) -> Self {
        let mut path = self.path.clone();
        path.push(part);
        Self {
            base: self.base.clone(),
            path,
        }
    }

    pub(crate) fn parse(id: &str) -> Option<Self> {
        let mut pieces = id.split('-');
        let base = pieces.next()?;
        let base = match base.split_at_checked(1)? {
            ("B", number) => Base::Email(EmailId(number.parse().ok()?)),
            ("U", number) if number.len() == 16 => {
                Base::Upload(u64::from_str_radix(number, 16).ok()?)
            }
            _ => return None,
        };
        let path: Option<Vec<u32>> = pieces.map(|piece| piece.parse().ok()).collect();
        let parsed = Self { base, path: path? };
        // One id for one thing.
        (parsed.to_string() == id).then_some(parsed)
    }
}

impl std::fmt::Display for BlobRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.base {
            Base::Email(email) => write!(f, "B{}", email.0)?,
            Base::Upload(number) => write!(f, "U{number:016x}")?,
        }
        self.path.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_there_is_one_for_each() {
        for id in [
            "B7",
            "B7-3",
            "B7-3-1",
            "U00000000000000ff",
            "U00000000000000ff-0",
        ] {
            assert_eq!(
                BlobRef::parse(id).map(|blob| blob.to_string()).as_deref(),
                Some(id)
            );
        }
        for bad in [
            "",
            "B",
            "B07",
            "B7-",
            "B7-03",
            "Uff",
            "U00000000000000FF",
            "X7",
            "é",
        ] {
            assert_eq!(BlobRef::parse(bad), None, "{bad}");
        }
    }
}
