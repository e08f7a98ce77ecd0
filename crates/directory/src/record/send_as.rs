//! In whose names an account may send besides its own, version 1. The account is the
//! key; the record goes with the last grant.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | grants | varint count, at least 1, then each: |
//! | … kind | byte: 1 an address, 2 anybody of a domain |
//! | … name | text: the address with its local part folded, or the domain |

use super::{parse_address, version};
use crate::limits::SEND_AS_MAX;
use envelope::{Address, Domain, LocalPart};
use std::fmt;
use wire::codec::{DecodeError, Reader, Writer};

/// A name that an account may send in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// One address, folded, and its sub-addresses.
    Address(Address),
    /// Anybody of a domain.
    Domain(Domain),
}

/// All of an account, in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SendAs(pub Vec<Grant>);

impl Grant {
    /// What an address stands for where one is granted: `*@example.org` is anybody
    /// of that domain, everything else itself.
    #[must_use]
    pub fn of(address: &Address) -> Self {
        if address.local().as_str() == "*" {
            Self::Domain(address.domain().clone())
        } else {
            Self::Address(folded(address))
        }
    }

    /// The domain in whose name it lets send.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        match self {
            Self::Address(address) => address.domain(),
            Self::Domain(domain) => domain,
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Domain(domain) => write!(f, "*@{domain}"),
        }
    }
}

impl SendAs {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(1).varint(self.0.len() as u64);
        for grant in &self.0 {
            match grant {
                Grant::Address(address) => writer.u8(1).text(&address.to_string()),
                Grant::Domain(domain) => writer.u8(2).text(domain.as_str()),
            };
        }
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not a record of grants of a known version.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        version(&mut reader, 1)?;
        let count = reader.varint()?;
        if count == 0 || count > SEND_AS_MAX as u64 {
            return Err(DecodeError::OutOfRange);
        }
        let grants = (0..count).map(|_| decode_one(&mut reader));
        let grants = grants.collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self(grants))
    }
}

/// Names are compared as they are stored, so that one in another form would let nobody send.
fn decode_one(reader: &mut Reader<'_>) -> Result<Grant, DecodeError> {
    match reader.u8()? {
        1 => {
            let address = parse_address(reader)?;
            match Grant::of(&address) {
                grant @ Grant::Address(_) if grant == Grant::Address(address) => Ok(grant),
                _ => Err(DecodeError::OutOfRange),
            }
        }
        2 => {
            let name = reader.text()?;
            match Domain::parse(name) {
                Ok(domain) if domain.as_str() == name => Ok(Grant::Domain(domain)),
                _ => Err(DecodeError::OutOfRange),
            }
        }
        other => Err(DecodeError::Tag(other)),
    }
}

/// The address with its local part folded. One that does not fit any more when it is
/// folded stays as it is.
pub(crate) fn folded(address: &Address) -> Address {
    LocalPart::from_content(&address.local().to_key())
        .ok()
        .and_then(|local| Address::new(local, address.domain().clone()).ok())
        .unwrap_or_else(|| address.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(text: &str) -> Grant {
        Grant::of(&Address::parse(text).expect("valid"))
    }

    #[test]
    fn golden_bytes() {
        let all = SendAs(vec![grant("Team@B.c"), grant("*@d.e")]);
        let golden = b"\x01\x02\x01\x08team@b.c\x02\x03d.e";
        assert_eq!(all.encode(), golden);
        assert_eq!(SendAs::decode(golden), Ok(all));
        for (strange, why) in [
            (&b"\x02"[..], DecodeError::Version(2)),
            (b"\x01\x00", DecodeError::OutOfRange),
            (b"\x01\x01\x03\x03d.e", DecodeError::Tag(3)),
            (b"\x01\x01\x01\x05A@b.c", DecodeError::OutOfRange),
            (b"\x01\x01\x01\x05*@b.c", DecodeError::OutOfRange),
            (b"\x01\x01\x02\x03D.e", DecodeError::OutOfRange),
        ] {
            assert_eq!(SendAs::decode(strange), Err(why), "{strange:?}");
        }
    }

    #[test]
    fn a_star_is_anybody_and_reads_back() {
        for text in ["team@b.c", "*@b.c", "\"a b\"@b.c"] {
            assert_eq!(grant(text).to_string(), text);
        }
        assert_eq!(grant("\"*\"@B.c").to_string(), "*@b.c");
        assert_eq!(grant("**@b.c").to_string(), "**@b.c");
    }
}
