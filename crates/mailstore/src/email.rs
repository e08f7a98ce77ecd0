//! The immutable record of an email, written once when it arrives.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | blob | 32 bytes |
//! | octets of the blob | varint |
//! | internal date, Unix seconds | 8 bytes, high byte first, two's complement |
//! | its zone, minutes east of UTC + 1440 | varint |
//! | prefix | length as varint, bytes |
//! | digest | length as varint, bytes as `mime` encodes them |
//!
//! The message that every protocol shows is prefix + blob, for ever. The digest
//! is the blob's (it is made once for all recipients): offsets in it count from
//! the blob's first byte, so add the prefix's length to them.

use blobs::BlobId;
use bytes::{Buf as _, Bytes};
use mailbox_model::Flag;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
const ZONE_MINUTES_MAX: i16 = 1440;

/// INTERNALDATE: a moment and the zone it is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InternalDate {
    /// Unix seconds.
    pub unix_seconds: i64,
    /// Minutes east of UTC, at most a day either way.
    pub zone_minutes: i16,
}

/// A date's zone as it is written.
pub(crate) fn zone_of(date: InternalDate) -> u64 {
    let zone = date.zone_minutes.clamp(-ZONE_MINUTES_MAX, ZONE_MINUTES_MAX);
    (zone + ZONE_MINUTES_MAX) as u64
}

impl InternalDate {
    /// Reads what records have of it.
    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let unix_seconds = input.u64_be()? as i64;
        let zone = i16::try_from(input.varint32()?).map_err(|_| DecodeError::OutOfRange)?;
        if zone > 2 * ZONE_MINUTES_MAX {
            return Err(DecodeError::OutOfRange);
        }
        Ok(Self {
            unix_seconds,
            zone_minutes: zone - ZONE_MINUTES_MAX,
        })
    }
}

/// An email to be stored.
#[derive(Debug, Clone)]
pub struct NewEmail {
    /// The body, which the same batch stages.
    pub blob: BlobId,
    /// Its octets.
    pub blob_size: u64,
    /// Header fields of this recipient alone, in front of the blob.
    pub prefix: Bytes,
    /// The blob's digest as `mime` encodes it.
    pub digest: Bytes,
    /// INTERNALDATE.
    pub received_at: InternalDate,
    /// Flags and keywords that it arrives with.
    pub flags: Vec<Flag>,
}

impl NewEmail {
    /// Octets as shown.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blob_size.saturating_add(self.prefix.len() as u64)
    }

    pub(crate) fn record(&self) -> Vec<u8> {
        let mut out = Writer::new();
        write(
            &mut out,
            &self.blob,
            self.blob_size,
            self.received_at,
            &self.prefix,
            &self.digest,
        );
        out.finish()
    }
}

fn write(
    out: &mut Writer,
    blob: &BlobId,
    blob_size: u64,
    date: InternalDate,
    prefix: &[u8],
    digest: &[u8],
) {
    out.u8(VERSION).raw(&blob.0).varint(blob_size);
    out.u64_be(date.unix_seconds as u64).varint(zone_of(date));
    out.bytes(prefix).bytes(digest);
}

/// What the store keeps of an email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailRecord {
    /// The body.
    pub blob: BlobId,
    /// Its octets.
    pub blob_size: u64,
    /// INTERNALDATE.
    pub received_at: InternalDate,
    /// Header fields in front of the blob.
    pub prefix: Bytes,
    /// The blob's digest as `mime` encodes it.
    pub digest: Bytes,
}

impl EmailRecord {
    /// Octets as shown (RFC822.SIZE).
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blob_size.saturating_add(self.prefix.len() as u64)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let (date, prefix, digest) = (self.received_at, &self.prefix, &self.digest);
        write(&mut out, &self.blob, self.blob_size, date, prefix, digest);
        out.finish()
    }

    /// What can be read of a damaged record, for whoever makes it again.
    pub(crate) fn left_of(record: &Bytes) -> LeftOfRecord {
        let mut left = LeftOfRecord::default();
        let mut input = Reader::new(record);
        let mut read = || {
            input.u8()?;
            input.raw(32)?;
            input.varint()?;
            left.received_at = match InternalDate::read(&mut input) {
                // The prefix may be whole all the same.
                Err(DecodeError::OutOfRange) => None,
                date => Some(date?),
            };
            left.prefix = Some(record.slice_ref(input.bytes()?));
            Ok::<_, DecodeError>(())
        };
        // It ends where the damage begins.
        let _ = read();
        left
    }

    /// Reads a record; prefix and digest share its bytes.
    ///
    /// # Errors
    /// It is damaged or of a version not known.
    pub fn decode(record: &Bytes) -> Result<Self, DecodeError> {
        Self::read(record.clone())
    }

    /// The same of a record that nobody else needs: the digest is what is left of it.
    pub(crate) fn read(mut record: Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(&record);
        match input.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let id = input
            .raw(32)?
            .try_into()
            .map_err(|_| DecodeError::Truncated)?;
        let blob_size = input.varint()?;
        if blob_size > mailbox_model::limits::EMAIL_BYTES_MAX {
            return Err(DecodeError::OutOfRange);
        }
        let received_at = InternalDate::read(&mut input)?;
        let prefix = record.slice_ref(input.bytes()?);
        let digest = input.bytes()?.len();
        input.finish()?;
        record.advance(record.len() - digest);
        Ok(Self {
            blob: BlobId(id),
            blob_size,
            received_at,
            prefix,
            digest: record,
        })
    }
}

/// Fields of a damaged record that could be read; they may be wrong.
#[derive(Debug, Default)]
pub(crate) struct LeftOfRecord {
    pub(crate) received_at: Option<InternalDate>,
    pub(crate) prefix: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> NewEmail {
        NewEmail {
            blob: BlobId([7; 32]),
            blob_size: 300,
            prefix: Bytes::from_static(b"A: b\r\n"),
            digest: Bytes::from_static(b"dig"),
            received_at: InternalDate {
                unix_seconds: -2,
                zone_minutes: -60,
            },
            flags: Vec::new(),
        }
    }

    #[test]
    fn the_record_is_these_bytes_and_reads_back() {
        let mut golden = vec![1];
        golden.extend([7; 32]);
        golden.extend([0xac, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]);
        golden.extend([0xe4, 10, 6]);
        golden.extend(b"A: b\r\n\x03dig");
        assert_eq!(sample().record(), golden);
        let read = EmailRecord::decode(&golden.into()).expect("golden");
        assert_eq!(read.size(), 306);
        assert_eq!(read.received_at, sample().received_at);
        assert_eq!(
            (&read.prefix[..], &read.digest[..]),
            (&b"A: b\r\n"[..], &b"dig"[..])
        );
    }

    #[test]
    fn a_cut_record_is_an_error_not_a_panic() {
        let whole = sample().record();
        for len in 0..whole.len() {
            assert!(EmailRecord::decode(&whole[..len].to_vec().into()).is_err());
        }
    }
}
