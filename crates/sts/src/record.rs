//! A policy's record, version 1.
//!
//! | key | value |
//! |---|---|
//! | `S` `p` domain, as A-labels | version byte 1; fetched, milliseconds since 1970, 8 bytes; the id of the TXT record, text; the policy, text |
//!
//! All fixed numbers are high byte first.

use engine::keys;
use envelope::Domain;
use tls_policy::Policy;
use wire::codec::{DecodeError, Reader, Writer};

const POLICY: u8 = b'p';
const VERSION: u8 = 1;

/// How keys of this crate begin.
pub const STS_PREFIX: [u8; 2] = [keys::Space::System as u8, POLICY];

/// A policy as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) fetched_ms: u64,
    pub(crate) policy: Policy,
}

impl Held {
    /// When it holds no more.
    pub(crate) fn ends_ms(&self) -> u64 {
        let lasts = self.policy.max_age.saturating_mul(1000);
        self.fetched_ms.saturating_add(lasts)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(VERSION).u64_be(self.fetched_ms);
        writer.text(&self.id).text(&self.policy.to_text());
        writer.finish()
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let fetched_ms = reader.u64_be()?;
        let id = reader.text()?.to_owned();
        let policy = Policy::parse(reader.text()?.as_bytes());
        let policy = policy.map_err(|_| DecodeError::OutOfRange)?;
        reader.finish()?;
        Ok(Self {
            id,
            fetched_ms,
            policy,
        })
    }
}

pub(crate) fn key(domain: &Domain) -> Vec<u8> {
    let mut key = STS_PREFIX.to_vec();
    key.extend_from_slice(domain.to_ascii().to_ascii_lowercase().as_bytes());
    key
}

/// What is wrong with a record, if anything is.
#[must_use]
pub fn check(record: &[u8]) -> Option<DecodeError> {
    Held::decode(record).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let text = "version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 60\n";
        let held = Held {
            id: "1a".into(),
            fetched_ms: 0x0102,
            policy: Policy::parse(text.as_bytes()).expect("a policy"),
        };
        let record = held.encode();
        let golden = [b"\x01\0\0\0\0\0\0\x01\x02\x021a\x31", text.as_bytes()].concat();
        assert_eq!(record, golden);
        assert_eq!(Held::decode(&record), Ok(held));
        for end in 0..record.len() {
            assert!(check(&record[..end]).is_some());
        }
        let domain = Domain::parse("Far.test").expect("valid");
        assert_eq!(key(&domain), b"Spfar.test");
    }
}
