//! Keys of the queue, behind the space `Q` and the shard (3 bytes).
//!
//! | kind, 1 byte | then | value |
//! |---|---|---|
//! | `m` message | id, 8 bytes | [`crate::Message`] |
//! | `p` progress | id, 8 bytes | [`crate::Progress`] |
//! | `i` intent | id, 8 bytes; the lease's first recipient, 4 bytes | [`crate::Intent`] |
//! | `d` due | time in ms, 8 bytes; id, 8 bytes; domain, text to the end | version byte, 1 |
//! | `x` set aside | id, 8 bytes | version byte, 1; the reason, text to the end |
//! | `e` ended | id, 8 bytes; time in ms, 8 bytes; first place, 4 bytes | [`crate::Ended`]; stays when the message is gone |
//!
//! All numbers have their high byte first. A message has one `d` key for each
//! domain of its recipients that are to be attempted, at the earliest of their times.

use engine::{ShardId, keys};
use envelope::Domain;
use queue_model::QueueId;

/// The version of the values of `d` and `x` keys.
pub(crate) const VERSION: u8 = 1;

pub(crate) const MESSAGE: u8 = b'm';
pub(crate) const PROGRESS: u8 = b'p';
pub(crate) const INTENT: u8 = b'i';
pub(crate) const DUE: u8 = b'd';
pub(crate) const ASIDE: u8 = b'x';
pub(crate) const ENDED: u8 = b'e';

pub(crate) fn space(shard: ShardId, kind: u8) -> Vec<u8> {
    let mut key = keys::queue(shard);
    key.push(kind);
    key
}

/// The range of all keys of a kind.
pub(crate) fn range(shard: ShardId, kind: u8) -> (Vec<u8>, Vec<u8>) {
    let start = space(shard, kind);
    let end = keys::end_of(&start);
    (start, end)
}

fn of_id(shard: ShardId, kind: u8, id: QueueId) -> Vec<u8> {
    let mut key = space(shard, kind);
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

pub(crate) fn message(shard: ShardId, id: QueueId) -> Vec<u8> {
    of_id(shard, MESSAGE, id)
}

pub(crate) fn progress(shard: ShardId, id: QueueId) -> Vec<u8> {
    of_id(shard, PROGRESS, id)
}

pub(crate) fn aside(shard: ShardId, id: QueueId) -> Vec<u8> {
    of_id(shard, ASIDE, id)
}

pub(crate) fn intent(shard: ShardId, id: QueueId, first: u32) -> Vec<u8> {
    let mut key = of_id(shard, INTENT, id);
    key.extend_from_slice(&first.to_be_bytes());
    key
}

/// The first key of those due at `due_ms`.
pub(crate) fn due_at(shard: ShardId, due_ms: u64) -> Vec<u8> {
    let mut key = space(shard, DUE);
    key.extend_from_slice(&due_ms.to_be_bytes());
    key
}

pub(crate) fn due(shard: ShardId, due_ms: u64, id: QueueId, domain: &Domain) -> Vec<u8> {
    let mut key = due_at(shard, due_ms);
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(domain.as_str().as_bytes());
    key
}

/// The time, the id and the domain of a `d` key.
pub(crate) fn parse_due(key: &[u8]) -> Option<(u64, QueueId, Domain)> {
    let rest = key.get(3..)?.strip_prefix(&[DUE])?;
    let (due_ms, rest) = rest.split_first_chunk()?;
    let (id, domain) = rest.split_first_chunk()?;
    let domain = core::str::from_utf8(domain).ok()?;
    Some((
        u64::from_be_bytes(*due_ms),
        QueueId(u64::from_be_bytes(*id)),
        Domain::parse_or_literal(domain).ok()?,
    ))
}

/// The time of a `d` key, whatever follows.
pub(crate) fn time_of_due(key: &[u8]) -> Option<u64> {
    let rest = key.get(3..)?.strip_prefix(&[DUE])?;
    rest.first_chunk().map(|time| u64::from_be_bytes(*time))
}

/// The id of an `m`, `p`, `i` or `x` key.
pub(crate) fn id_of(key: &[u8]) -> Option<QueueId> {
    let id = key.get(4..)?.first_chunk()?;
    Some(QueueId(u64::from_be_bytes(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_keys() {
        let (shard, id) = (ShardId(0x0102), QueueId(5));
        let domain = Domain::parse("example.org").expect("a domain");
        assert_eq!(message(shard, id), b"Q\x01\x02m\0\0\0\0\0\0\0\x05");
        assert_eq!(progress(shard, id), b"Q\x01\x02p\0\0\0\0\0\0\0\x05");
        assert_eq!(aside(shard, id), b"Q\x01\x02x\0\0\0\0\0\0\0\x05");
        assert_eq!(
            intent(shard, id, 7),
            b"Q\x01\x02i\0\0\0\0\0\0\0\x05\0\0\0\x07"
        );
        let key = due(shard, 9, id, &domain);
        assert_eq!(
            key,
            b"Q\x01\x02d\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x05example.org"
        );
        assert_eq!(parse_due(&key), Some((9, id, domain)));
        assert_eq!(time_of_due(&key), Some(9));
        for end in 0..21 {
            assert_eq!(parse_due(&key[..end]), None, "{end}");
        }
        let literal = Domain::parse_or_literal("[192.0.2.1]").expect("a literal");
        assert_eq!(
            parse_due(&due(shard, 9, id, &literal)),
            Some((9, id, literal))
        );
    }

    #[test]
    fn the_schedule_is_in_order_of_time() {
        let domain = Domain::parse("example.org").expect("a domain");
        let key = |ms| due(ShardId(0), ms, QueueId(u64::MAX), &domain);
        assert!(key(255) < due_at(ShardId(0), 256) && due_at(ShardId(0), 256) < key(256));
    }
}
