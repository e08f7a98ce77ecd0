//! The intent record, version 1: an attempt is under way.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | begun | varint, ms since 1970 |
//! | recipients | varint count, then places in the envelope as varints |
//!
//! Written when the attempt lasts ([`crate::limits::INTENT_AFTER`]); it goes with the outcome's commit. One that is found at the start belongs to
//! an attempt that the server's end cut off: nobody knows how it ended, so it
//! is made again. Nothing waits for the intent to be durable: one that is lost
//! in a crash means an attempt that is made again without being counted.

use queue_model::QueueId;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// An attempt under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The message.
    pub id: QueueId,
    /// When it began, in milliseconds since 1970.
    pub begun_ms: u64,
    /// For whom: places in the envelope.
    pub recipients: Vec<usize>,
}

impl Intent {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .u8(VERSION)
            .varint(self.begun_ms)
            .varint(self.recipients.len() as u64);
        for &recipient in &self.recipients {
            writer.varint(recipient as u64);
        }
        writer.finish()
    }

    pub(crate) fn decode(id: QueueId, record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let begun_ms = reader.varint()?;
        let count = reader.varint()?;
        let mut recipients = Vec::new();
        for _ in 0..count {
            recipients
                .push(usize::try_from(reader.varint()?).map_err(|_| DecodeError::OutOfRange)?);
        }
        reader.finish()?;
        Ok(Self {
            id,
            begun_ms,
            recipients,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let intent = Intent {
            id: QueueId(1),
            begun_ms: 300,
            recipients: vec![0, 200],
        };
        let golden = b"\x01\xac\x02\x02\x00\xc8\x01";
        assert_eq!(intent.encode(), golden);
        assert_eq!(Intent::decode(QueueId(1), golden), Ok(intent));
        for end in 0..golden.len() {
            assert!(Intent::decode(QueueId(1), &golden[..end]).is_err(), "{end}");
        }
    }
}
