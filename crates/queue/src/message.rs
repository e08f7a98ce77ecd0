//! The message record, version 1: what is known about a queued message from the start.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | bits | byte: 0 authenticated account present, 1 session present, 2 client address present, 3 refusal present |
//! | arrived | varint, ms since 1970 |
//! | blob | 32 bytes |
//! | blob size | varint, bytes |
//! | prefix | bytes: header fields that stand before the blob |
//! | account | varint, if present |
//! | session | text, if present |
//! | client address | bytes (4 or 16), if present |
//! | refusal | varint code; byte: enhanced code present; if so its class, subject and detail as varints; text, lines divided by LF; if present |
//! | envelope | `envelope::Envelope`'s record, to the end |

use std::net::IpAddr;

use crate::keys;
use blobs::{BlobId, Owner};
use bytes::Bytes;
use envelope::{AccountId, EnhancedStatus, Envelope, Reply, ReversePath};
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
const HAS_ACCOUNT: u8 = 1;
const HAS_SESSION: u8 = 2;
const HAS_CLIENT: u8 = 4;
const HAS_REFUSAL: u8 = 8;

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Who had logged in.
    pub account: Option<AccountId>,
    /// The session's name in the log.
    pub session: Option<String>,
    /// The client's address.
    pub client_ip: Option<IpAddr>,
}

/// What is known about a queued message from the start; never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When it arrived, in milliseconds since 1970.
    pub arrived_ms: u64,
    /// Its body.
    pub blob: BlobId,
    /// Bytes of the body.
    pub blob_size: u64,
    /// Header fields that stand before the body, with CRLF.
    pub prefix: Bytes,
    /// Where it came from.
    pub origin: Origin,
    /// Its recipients were refused when the message had been heard, beside others that
    /// were not: with one answer for all, this is what they were to be told.
    pub refusal: Option<Reply>,
    /// From whom, for whom.
    pub envelope: Envelope,
}

/// The body that a record of the queue names, its octets and who is linked to
/// it; none if it names none.
///
/// # Errors
/// It is a message's record and does not decode.
pub fn body_of(key: &[u8], record: &Bytes) -> Result<Option<(BlobId, u64, Owner)>, DecodeError> {
    match keys::id_of(key) {
        Some(id) if key.get(3) == Some(&keys::MESSAGE) => {
            let message = Message::decode(record)?;
            Ok(Some((message.blob, message.blob_size, Owner::Queue(id.0))))
        }
        _ => Ok(None),
    }
}

impl Message {
    /// Bytes of the whole message.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.prefix.len() as u64 + self.blob_size
    }

    /// True when it has the null sender: a report, or something like it.
    #[must_use]
    pub fn is_report(&self) -> bool {
        self.envelope.reverse_path == ReversePath::Null
    }

    /// Since when its time counts, in milliseconds since 1970: its arrival, or the
    /// end of its hold.
    #[must_use]
    pub fn counts_from_ms(&self) -> u64 {
        self.envelope
            .hold_until_ms
            .map_or(self.arrived_ms, |until| until.max(self.arrived_ms))
    }

    /// Who sent it, for its place in the schedule.
    pub(crate) fn sender_tag(&self) -> u32 {
        keys::sender_tag(self.origin.account, &self.envelope.reverse_path)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let origin = &self.origin;
        let bits = [
            (origin.account.is_some(), HAS_ACCOUNT),
            (origin.session.is_some(), HAS_SESSION),
            (origin.client_ip.is_some(), HAS_CLIENT),
            (self.refusal.is_some(), HAS_REFUSAL),
        ];
        let bits = bits
            .iter()
            .filter(|(set, _)| *set)
            .fold(0, |bits, (_, bit)| bits | bit);
        let mut writer = Writer::new();
        writer
            .u8(VERSION)
            .u8(bits)
            .varint(self.arrived_ms)
            .raw(&self.blob.0)
            .varint(self.blob_size)
            .bytes(&self.prefix);
        if let Some(account) = origin.account {
            writer.varint(account.0);
        }
        if let Some(session) = &origin.session {
            writer.text(session);
        }
        match origin.client_ip {
            Some(IpAddr::V4(ip)) => writer.bytes(&ip.octets()),
            Some(IpAddr::V6(ip)) => writer.bytes(&ip.octets()),
            None => &mut writer,
        };
        if let Some(refusal) = &self.refusal {
            encode_reply(&mut writer, refusal);
        }
        writer.raw(&self.envelope.encode());
        writer.finish()
    }

    pub(crate) fn decode(record: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let bits = reader.u8()?;
        if bits & !(HAS_ACCOUNT | HAS_SESSION | HAS_CLIENT | HAS_REFUSAL) != 0 {
            return Err(DecodeError::Tag(bits));
        }
        let arrived_ms = reader.varint()?;
        let blob = reader
            .raw(32)?
            .try_into()
            .map_err(|_| DecodeError::Truncated)?;
        let blob_size = reader.varint()?;
        let prefix = Bytes::copy_from_slice(reader.bytes()?);
        let account = (bits & HAS_ACCOUNT != 0).then(|| reader.varint().map(AccountId));
        let account = account.transpose()?;
        let session = (bits & HAS_SESSION != 0).then(|| reader.text().map(str::to_owned));
        let session = session.transpose()?;
        let client_ip = (bits & HAS_CLIENT != 0).then(|| decode_ip(&mut reader));
        let client_ip = client_ip.transpose()?;
        let refusal = (bits & HAS_REFUSAL != 0).then(|| decode_reply(&mut reader));
        Ok(Self {
            arrived_ms,
            blob: BlobId(blob),
            blob_size,
            prefix,
            origin: Origin {
                account,
                session,
                client_ip,
            },
            refusal: refusal.transpose()?,
            envelope: Envelope::decode(reader.rest())?,
        })
    }
}

fn encode_reply(writer: &mut Writer, reply: &Reply) {
    writer.varint(reply.code.into());
    writer.u8(reply.enhanced.is_some().into());
    if let Some(status) = reply.enhanced {
        let parts = [status.class.into(), status.subject, status.detail];
        for part in parts {
            writer.varint(part.into());
        }
    }
    writer.text(&reply.lines.join("\n"));
}

fn decode_reply(reader: &mut Reader<'_>) -> Result<Reply, DecodeError> {
    let number = |reader: &mut Reader<'_>| {
        u16::try_from(reader.varint()?).map_err(|_| DecodeError::OutOfRange)
    };
    let code = number(reader)?;
    let enhanced = match reader.u8()? {
        0 => None,
        1 => {
            let class = u8::try_from(number(reader)?).map_err(|_| DecodeError::OutOfRange)?;
            Some(EnhancedStatus::new(class, number(reader)?, number(reader)?))
        }
        other => return Err(DecodeError::Tag(other)),
    };
    Ok(Reply::new(code, enhanced, reader.text()?))
}

fn decode_ip(reader: &mut Reader<'_>) -> Result<IpAddr, DecodeError> {
    let bytes = reader.bytes()?;
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(v4.into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).map_err(|_| DecodeError::OutOfRange)?;
    Ok(v6.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use envelope::{Address, Recipient};

    fn message() -> Message {
        let address = |text| Address::parse(text).expect("an address");
        let mut envelope = Envelope::new(ReversePath::Address(address("a@b.test")));
        envelope
            .recipients
            .push(Recipient::new(address("c@d.test")));
        Message {
            arrived_ms: 300,
            blob: BlobId([7; 32]),
            blob_size: 128,
            prefix: Bytes::from_static(b"X: y\r\n"),
            origin: Origin {
                account: Some(AccountId(5)),
                session: Some("s1".into()),
                client_ip: Some([192, 0, 2, 1].into()),
            },
            refusal: None,
            envelope,
        }
    }

    #[test]
    fn golden_bytes() {
        let message = message();
        let golden = [
            &b"\x01\x07\xac\x02"[..],
            &[7; 32],
            b"\x80\x01\x06X: y\r\n\x05\x02s1\x04\xc0\x00\x02\x01",
            b"\x01\x00\x08a@b.test\x01\x08c@d.test\x00",
        ]
        .concat();
        assert_eq!(message.encode(), golden);
        assert_eq!(Message::decode(&golden.into()), Ok(message));
    }

    #[test]
    fn with_a_refusal() {
        let mut message = message();
        message.origin = Origin::default();
        message.refusal = Some(Reply::enhanced(552, (5, 3, 4), "too large\nfor bob"));
        let golden = [
            &b"\x01\x08\xac\x02"[..],
            &[7; 32],
            b"\x80\x01\x06X: y\r\n",
            b"\xa8\x04\x01\x05\x03\x04\x11too large\nfor bob",
            b"\x01\x00\x08a@b.test\x01\x08c@d.test\x00",
        ]
        .concat();
        assert_eq!(message.encode(), golden);
        assert_eq!(Message::decode(&golden.into()), Ok(message.clone()));
        message.refusal = Some(Reply::new(450, None, "later"));
        let record = Bytes::from(message.encode());
        assert_eq!(Message::decode(&record), Ok(message));
        for end in 0..record.len() {
            assert!(Message::decode(&record.slice(..end)).is_err(), "{end}");
        }
    }

    #[test]
    fn without_origin_and_by_ipv6() {
        let mut message = message();
        message.origin = Origin::default();
        assert_eq!(
            Message::decode(&message.encode().into()),
            Ok(message.clone())
        );
        message.origin.client_ip = Some("2001:db8::1".parse().expect("an address"));
        assert_eq!(Message::decode(&message.encode().into()), Ok(message));
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_an_error() {
        let record = message().encode();
        for end in 0..record.len() {
            let cut = Bytes::copy_from_slice(&record[..end]);
            assert!(Message::decode(&cut).is_err(), "{end}");
        }
        let mut newer = record.clone();
        newer[0] = 2;
        assert_eq!(Message::decode(&newer.into()), Err(DecodeError::Version(2)));
        let mut odd = record;
        odd[1] = 0xff;
        assert_eq!(Message::decode(&odd.into()), Err(DecodeError::Tag(0xff)));
    }
}
