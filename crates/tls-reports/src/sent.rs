//! What became of the report on a day of a domain, version 1.
//!
//! | key | value |
//! |---|---|
//! | `S` `v` day since 1970, 4 bytes; domain as A-labels | version byte 1; state, byte (0 waits, 1 sent, 2 given up, 3 nobody asks for it, 4 only by mail) |
//! | | first try, 8 bytes, Unix ms · when: of the next try, or else of the end, 8 bytes, Unix ms · tries, varint |
//! | | where to, text, empty if nowhere · the last reason, text, empty if there is none |
//!
//! All fixed numbers are high byte first. Without a record nothing was tried.

use engine::keys;
use wire::codec::{DecodeError, Reader, Writer};

use crate::record::named_behind;

const SENT: u8 = b'v';
const VERSION: u8 = 1;

/// How keys of what was sent begin.
pub const SENT_PREFIX: [u8; 2] = [keys::Space::System as u8, SENT];

/// How far a report has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is tried again.
    Waits,
    /// Somebody has taken it.
    Sent,
    /// Nobody has within a day.
    GivenUp,
    /// The domain asks for none.
    NotWanted,
    /// The domain wants it by mail, which would have to be signed.
    ByMail,
}

impl Stage {
    const ALL: [Self; 5] = [
        Self::Waits,
        Self::Sent,
        Self::GivenUp,
        Self::NotWanted,
        Self::ByMail,
    ];
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How far it has come.
    pub stage: Stage,
    /// When it was tried first, in milliseconds since 1970.
    pub first_ms: u64,
    /// When it is tried again, or when it ended.
    pub at_ms: u64,
    /// How often it was tried.
    pub tries: u32,
    /// Where it was tried last; empty where nowhere.
    pub to: String,
    /// What went wrong last; empty where nothing.
    pub reason: String,
}

impl Sent {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let place = Stage::ALL.iter().position(|stage| *stage == self.stage);
        let mut out = Writer::new();
        out.u8(VERSION)
            .u8(u8::try_from(place.unwrap_or_default()).unwrap_or_default())
            .u64_be(self.first_ms)
            .u64_be(self.at_ms)
            .varint(u64::from(self.tries))
            .text(&self.to)
            .text(&self.reason);
        out.finish()
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let place = reader.u8()?;
        let stage = Stage::ALL.get(usize::from(place)).copied();
        let sent = Self {
            stage: stage.ok_or(DecodeError::Tag(place))?,
            first_ms: reader.u64_be()?,
            at_ms: reader.u64_be()?,
            tries: u32::try_from(reader.varint()?).map_err(|_| DecodeError::OutOfRange)?,
            to: reader.text()?.to_owned(),
            reason: reader.text()?.to_owned(),
        };
        reader.finish()?;
        Ok(sent)
    }
}

pub(crate) fn sent_day_key(day: u32) -> Vec<u8> {
    let mut key = SENT_PREFIX.to_vec();
    key.extend_from_slice(&day.to_be_bytes());
    key
}

pub(crate) fn sent_key(day: u32, domain: &str) -> Vec<u8> {
    let mut key = sent_day_key(day);
    key.extend_from_slice(domain.as_bytes());
    key
}

/// What is wrong with a record, if anything is.
#[must_use]
pub fn check_sent(key: &[u8], value: &[u8]) -> Option<String> {
    if named_behind(&SENT_PREFIX, key).is_none() {
        return Some("its key names no day and domain".into());
    }
    Sent::decode(value).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let sent = Sent {
            stage: Stage::GivenUp,
            first_ms: 0x0102,
            at_ms: 0x0304,
            tries: 300,
            to: "https://x".into(),
            reason: "no".into(),
        };
        let golden = b"\x01\x02\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\x03\x04\xac\x02\x09https://x\x02no";
        assert_eq!(sent.encode(), golden);
        assert_eq!(Sent::decode(golden), Ok(sent));
        let key = sent_key(0x0102, "far.test");
        assert_eq!(key, b"Sv\0\0\x01\x02far.test");
        assert_eq!(check_sent(&key, golden), None);
        for end in 0..golden.len() {
            assert!(check_sent(&key, &golden[..end]).is_some());
        }
        assert!(check_sent(&key[..6], golden).is_some());
        for (place, stage) in Stage::ALL.into_iter().enumerate() {
            let mut record = golden.to_vec();
            record[1] = u8::try_from(place).expect("few");
            assert_eq!(Sent::decode(&record).map(|sent| sent.stage), Ok(stage));
        }
    }
}
