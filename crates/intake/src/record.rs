//! The intake record, versions 1 and 2: a message for several shards that not all of
//! them have yet.
//!
//! | key | value |
//! |---|---|
//! | `I` shard `r` id, 8 bytes | the record, in the shard that holds the body |
//! | `I` shard `m` id, 8 bytes | mark of a shard that has its part: version byte 1, the record's shard as varint |
//! | `I` shard `a` id, 8 bytes | the trace of an accepted message: `traced` |
//! | `I` shard `q` id, 8 bytes; account, 8 bytes | mark of an account that has its copy of a queued message: version byte 1 |
//!
//! | field of the record | form |
//! |---|---|
//! | version | byte, 1; 2 where a queue copy has a sender of its own |
//! | bits | byte: 0 each recipient has its own answer, 1 account present, 2 session present, 3 client address present |
//! | account | varint, if present |
//! | session, client address | texts, if present |
//! | envelope without recipients | bytes, `envelope::Envelope`'s record |
//! | trace | text: the Received field |
//! | received | seconds since 1970, 8 bytes; zone minutes + 1440, varint |
//! | blob | 32 bytes, then its size as varint |
//! | digest | bytes |
//! | parts | varint count, then each: shard varint |
//! | … local copies | varint count, then each: account varint, address text, recipient as an envelope's record, prefix bytes, bits: 0 quota enforced, 1 the sender's own, for Sent |
//! | … queue copies | varint count, then each: recipients as an envelope's record (in version 2 with the sender of its own, or the null one), prefix bytes |

use crate::plan::{Common, LocalCopy, Part, QueuedCopy, wants_success};
use blobs::{BlobId, Owner};
use bytes::Bytes;
use engine::{ShardId, keys};
use envelope::{AccountId, Address, Envelope, Recipient, ReversePath};
use mailbox_model::Role as MailboxRole;
use mailstore::{InternalDate, QuotaRule};
use queue::Origin;
use queue_model::QueueId;
use std::collections::BTreeMap;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
/// Written only where it is needed, so that what is older reads the rest.
const VERSION_SENDERS: u8 = 2;
const EACH: u8 = 1;
const ACCOUNT: u8 = 2;
const SESSION: u8 = 4;
const CLIENT: u8 = 8;
const ENFORCED: u8 = 1;
const SENDERS_OWN: u8 = 2;

/// A message on its way into several shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) common: Common,
    pub(crate) received_at: InternalDate,
    pub(crate) blob: BlobId,
    pub(crate) blob_size: u64,
    pub(crate) digest: Bytes,
    pub(crate) parts: BTreeMap<ShardId, Part>,
}

pub(crate) fn record_key(home: ShardId, id: QueueId) -> Vec<u8> {
    with_id(home, b'r', id)
}

pub(crate) fn mark_key(shard: ShardId, id: QueueId) -> Vec<u8> {
    with_id(shard, b'm', id)
}

pub(crate) fn queued_mark_key(shard: ShardId, id: QueueId, account: AccountId) -> Vec<u8> {
    let mut key = with_id(shard, b'q', id);
    key.extend_from_slice(&account.0.to_be_bytes());
    key
}

pub(crate) fn records(shard: ShardId) -> (Vec<u8>, Vec<u8>) {
    tagged(shard, b'r')
}

pub(crate) fn marks(shard: ShardId) -> (Vec<u8>, Vec<u8>) {
    tagged(shard, b'm')
}

/// The body that a record of the intake names, its octets and who is linked to
/// it; none if it names none.
///
/// # Errors
/// It is a message's record and does not decode.
pub fn body_of(key: &[u8], record: &Bytes) -> Result<Option<(BlobId, u64, Owner)>, DecodeError> {
    match id_of(key) {
        Some(id) if key.get(3) == Some(&b'r') => {
            let record = Record::decode(id, record)?;
            Ok(Some((record.blob, record.blob_size, Owner::Queue(id.0))))
        }
        _ => Ok(None),
    }
}

/// The id at the end of a record's or a mark's key.
pub(crate) fn id_of(key: &[u8]) -> Option<QueueId> {
    let id = key.get(4..)?.first_chunk()?;
    Some(QueueId(u64::from_be_bytes(*id)))
}

pub(crate) fn mark(home: ShardId) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(VERSION).varint(u64::from(home.0));
    writer.finish()
}

pub(crate) fn home_of(mark: &[u8]) -> Result<ShardId, DecodeError> {
    let mut reader = Reader::new(mark);
    version(&mut reader)?;
    shard(&mut reader)
}

fn tagged(shard: ShardId, tag: u8) -> (Vec<u8>, Vec<u8>) {
    let mut start = keys::intake(shard);
    start.push(tag);
    let end = keys::end_of(&start);
    (start, end)
}

fn with_id(shard: ShardId, tag: u8, id: QueueId) -> Vec<u8> {
    let mut key = tagged(shard, tag).0;
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let Common {
            base,
            origin,
            trace,
            each,
            ..
        } = &self.common;
        let mut bits = 0;
        for (set, bit) in [
            (*each, EACH),
            (origin.account.is_some(), ACCOUNT),
            (origin.session.is_some(), SESSION),
            (origin.client_ip.is_some(), CLIENT),
        ] {
            bits |= if set { bit } else { 0 };
        }
        let mut queued = self.parts.values().flat_map(|part| &part.queued);
        let version = if queued.any(|copy| copy.sender.is_some()) {
            VERSION_SENDERS
        } else {
            VERSION
        };
        out.u8(version).u8(bits);
        if let Some(account) = origin.account {
            out.varint(account.0);
        }
        if let Some(session) = &origin.session {
            out.text(session);
        }
        if let Some(ip) = origin.client_ip {
            out.text(&ip.to_string());
        }
        out.bytes(&base.encode()).text(trace);
        let date = self.received_at;
        out.u64_be(date.unix_seconds as u64);
        out.varint(u64::from(
            date.zone_minutes.saturating_add(1440).unsigned_abs(),
        ));
        out.raw(&self.blob.0)
            .varint(self.blob_size)
            .bytes(&self.digest);
        out.varint(self.parts.len() as u64);
        for (shard, part) in &self.parts {
            out.varint(u64::from(shard.0));
            encode_part(&mut out, part);
        }
        out.finish()
    }

    pub(crate) fn decode(id: QueueId, record: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        match reader.u8()? {
            VERSION | VERSION_SENDERS => {}
            other => return Err(DecodeError::Version(other)),
        }
        let bits = reader.u8()?;
        if bits & !(EACH | ACCOUNT | SESSION | CLIENT) != 0 {
            return Err(DecodeError::Tag(bits));
        }
        let account = (bits & ACCOUNT != 0)
            .then(|| reader.varint().map(AccountId))
            .transpose()?;
        let session = (bits & SESSION != 0)
            .then(|| reader.text().map(str::to_owned))
            .transpose()?;
        let client = (bits & CLIENT != 0).then(|| reader.text()).transpose()?;
        let client_ip = client
            .map(str::parse)
            .transpose()
            .map_err(|_| DecodeError::OutOfRange)?;
        let base = Envelope::decode(reader.bytes()?)?;
        let trace = reader.text()?.to_owned();
        let unix_seconds = reader.u64_be()? as i64;
        let zone = i16::try_from(reader.varint()?).map_err(|_| DecodeError::OutOfRange)?;
        let blob = reader
            .raw(32)?
            .try_into()
            .map_err(|_| DecodeError::Truncated)?;
        let blob_size = reader.varint()?;
        let digest = record.slice_ref(reader.bytes()?);
        let mut parts = BTreeMap::new();
        for _ in 0..reader.varint()? {
            let shard = shard(&mut reader)?;
            parts.insert(shard, decode_part(&mut reader, record)?);
        }
        reader.finish()?;
        Ok(Self {
            common: Common {
                id,
                base,
                origin: Origin {
                    account,
                    session,
                    client_ip,
                },
                trace,
                each: bits & EACH != 0,
                hold: None,
            },
            received_at: InternalDate {
                unix_seconds,
                zone_minutes: zone - 1440,
            },
            blob: BlobId(blob),
            blob_size,
            digest,
            parts,
        })
    }
}

fn encode_part(out: &mut Writer, part: &Part) {
    out.varint(part.locals.len() as u64);
    for copy in &part.locals {
        out.varint(copy.account.0).text(&copy.address.to_string());
        out.bytes(&recipients(std::slice::from_ref(&copy.recipient)));
        let enforced = u8::from(copy.quota == QuotaRule::Enforce) * ENFORCED;
        let senders_own = u8::from(copy.is_senders_own()) * SENDERS_OWN;
        out.bytes(&copy.prefix).u8(enforced | senders_own);
    }
    out.varint(part.queued.len() as u64);
    for copy in &part.queued {
        let sender = copy
            .sender
            .clone()
            .map_or(ReversePath::Null, ReversePath::Address);
        let mut envelope = Envelope::new(sender);
        envelope.recipients.clone_from(&copy.recipients);
        out.bytes(&envelope.encode()).bytes(&copy.prefix);
    }
}

fn decode_part(reader: &mut Reader<'_>, record: &Bytes) -> Result<Part, DecodeError> {
    let mut part = Part::default();
    for _ in 0..reader.varint()? {
        let account = AccountId(reader.varint()?);
        let address = Address::parse(reader.text()?).map_err(|_| DecodeError::OutOfRange)?;
        let one = Envelope::decode(reader.bytes()?)?.recipients;
        let recipient = one.into_iter().next().ok_or(DecodeError::Truncated)?;
        let prefix = record.slice_ref(reader.bytes()?);
        let bits = reader.u8()?;
        if bits & !(ENFORCED | SENDERS_OWN) != 0 {
            return Err(DecodeError::Tag(bits));
        }
        part.locals.push(LocalCopy {
            account,
            address,
            told: wants_success(&recipient).into_iter().collect(),
            recipient,
            // Who was answered then is not answered again.
            places: Vec::new(),
            prefix,
            quota: if bits & ENFORCED != 0 {
                QuotaRule::Enforce
            } else {
                QuotaRule::Ignore
            },
            mailbox: if bits & SENDERS_OWN != 0 {
                MailboxRole::Sent
            } else {
                MailboxRole::Inbox
            },
        });
    }
    for _ in 0..reader.varint()? {
        let envelope = Envelope::decode(reader.bytes()?)?;
        let prefix = record.slice_ref(reader.bytes()?);
        part.queued.push(QueuedCopy {
            sender: envelope.reverse_path.address().cloned(),
            // What is to be refused is in the home part, which this record's own
            // commit holds: it is not read again.
            refusal: None,
            ..QueuedCopy::new(envelope.recipients, prefix)
        });
    }
    Ok(part)
}

/// Recipients in the form that `envelope` owns.
fn recipients(recipients: &[Recipient]) -> Vec<u8> {
    let mut envelope = Envelope::new(ReversePath::Null);
    envelope.recipients = recipients.to_vec();
    envelope.encode()
}

fn version(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(DecodeError::Version(other)),
    }
}

fn shard(reader: &mut Reader<'_>) -> Result<ShardId, DecodeError> {
    let number = u16::try_from(reader.varint()?).map_err(|_| DecodeError::OutOfRange)?;
    Ok(ShardId(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let bob = Address::parse("b@c.d").expect("valid");
        let copy = |account, quota, mailbox| LocalCopy {
            account: AccountId(account),
            address: bob.clone(),
            recipient: Recipient::new(bob.clone()),
            places: Vec::new(),
            prefix: Bytes::from_static(b"P"),
            quota,
            mailbox,
            told: Vec::new(),
        };
        let part = Part {
            locals: vec![
                copy(4, QuotaRule::Enforce, MailboxRole::Inbox),
                copy(5, QuotaRule::Ignore, MailboxRole::Sent),
            ],
            queued: vec![QueuedCopy::new(
                vec![Recipient::new(bob.clone())],
                Bytes::from_static(b"Q"),
            )],
            // Told of with the first commit, before anything can break off.
            expanded: Vec::new(),
        };
        let record = Record {
            common: Common {
                id: QueueId(9),
                base: Envelope::new(ReversePath::Null),
                origin: Origin {
                    account: Some(AccountId(3)),
                    session: Some("s".into()),
                    client_ip: Some("::1".parse().expect("an address")),
                },
                trace: "T".into(),
                each: true,
                hold: None,
            },
            received_at: InternalDate {
                unix_seconds: 5,
                zone_minutes: 60,
            },
            blob: BlobId([7; 32]),
            blob_size: 300,
            digest: Bytes::from_static(b"D"),
            parts: BTreeMap::from([(ShardId(2), part)]),
        };
        let golden = [
            &b"\x01\x0f\x03\x01s\x03::1\x03\x01\x08\x00\x01T\0\0\0\0\0\0\0\x05\xdc\x0b"[..],
            &[7; 32],
            b"\xac\x02\x01D\x01\x02",
            b"\x02\x04\x05b@c.d\x0a\x01\x08\x01\x05b@c.d\x00\x01P\x01",
            b"\x05\x05b@c.d\x0a\x01\x08\x01\x05b@c.d\x00\x01P\x02",
            b"\x01\x0a\x01\x08\x01\x05b@c.d\x00\x01Q",
        ]
        .concat();
        assert_eq!(record.encode(), golden);
        let golden = Bytes::from(golden);
        assert_eq!(Record::decode(QueueId(9), &golden), Ok(record));
        for end in 0..golden.len() {
            assert!(Record::decode(QueueId(9), &golden.slice(..end)).is_err());
        }
        // Version 2: the last copy leaves with a sender of its own.
        let mut record = Record::decode(QueueId(9), &golden).expect("whole");
        for part in record.parts.values_mut() {
            part.queued[0].sender = Some(bob.clone());
        }
        let queued = b"\x10\x01\x00\x05b@c.d\x01\x05b@c.d\x00\x01Q";
        let start = &golden[1..golden.len() - 13];
        let golden = Bytes::from([b"\x02", start, queued].concat());
        assert_eq!(record.encode(), golden);
        assert_eq!(Record::decode(QueueId(9), &golden), Ok(record));
    }

    #[test]
    fn golden_keys() {
        let (shard, id) = (ShardId(0x0102), QueueId(5));
        assert_eq!(record_key(shard, id), b"I\x01\x02r\0\0\0\0\0\0\0\x05");
        assert_eq!(mark_key(shard, id), b"I\x01\x02m\0\0\0\0\0\0\0\x05");
        assert_eq!(
            queued_mark_key(shard, id, AccountId(6)),
            b"I\x01\x02q\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06"
        );
        assert_eq!(id_of(&mark_key(shard, id)), Some(id));
        assert_eq!(home_of(&mark(ShardId(300))), Ok(ShardId(300)));
    }
}
