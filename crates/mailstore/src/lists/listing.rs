//! What a list of messages shows of an email.
//!
//! | field | form |
//! |---|---|
//! | internal date, Unix seconds | 8 bytes, high byte first, two's complement |
//! | its zone, minutes east of UTC + 1440 | varint |
//! | ENVELOPE in wire form | length as varint, bytes |

use super::ListKind;
use super::sealed::Paged;
use crate::email::{EmailRecord, InternalDate, zone_of};
use bytes::Bytes;
use mime::StoredDigest;
use wire::codec::{DecodeError, Reader, Writer};

/// What a list shows of an email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// INTERNALDATE.
    pub received_at: InternalDate,
    /// ENVELOPE in wire form, ASCII.
    pub envelope: Bytes,
}

impl Paged for Listing {
    type Read<'a> = Self;

    const KIND: ListKind = ListKind::Listings;

    fn write(record: &EmailRecord, out: &mut Writer) -> Result<(), DecodeError> {
        let digest = StoredDigest::read(&record.digest)?;
        let date = record.received_at;
        out.u64_be(date.unix_seconds as u64);
        out.varint(zone_of(date)).bytes(digest.envelope);
        Ok(())
    }

    fn read<'a>(input: &mut Reader<'a>, page: &'a Bytes) -> Result<Self, DecodeError> {
        Ok(Self {
            received_at: InternalDate::read(input)?,
            envelope: page.slice_ref(input.bytes()?),
        })
    }
}
