//! Keys of the queue, behind the space `Q` and the shard (3 bytes).
//!
//! | kind, 1 byte | then | value |
//! |---|---|---|
//! | `m` message | id, 8 bytes | [`crate::Message`] |
//! | `p` progress | id, 8 bytes | [`crate::Progress`] |
//! | `i` intent | id, 8 bytes; the lease's first recipient, 4 bytes | [`crate::Intent`] |
//! | `d` due | domain, text; a byte, 0, or 1 and another way, text, and 0; time in ms, 8 bytes; id, 8 bytes | version byte, 2; the sender's tag, 4 bytes |
//! | `z` paused | domain, text to the end; nothing for everything | version byte, 1; since, varint, ms; in the first shard |
//! | `y` drain | nothing | version byte, 1; since, varint, ms; the way, text to the end; in the first shard |
//! | `x` set aside | id, 8 bytes | version byte, 1; the reason, text to the end |
//! | `e` ended | id, 8 bytes; time in ms, 8 bytes; first place, 4 bytes | [`crate::Ended`]; stays when the message is gone |
//! | `w` told | subscriber's name, text; 0; number, 8 bytes | [`crate::Told`]; stays until it was heard |
//!
//! All numbers have their high byte first. A message has one `d` key for each
//! domain of its recipients that have not ended, at the earliest of their times,
//! or at [`HELD_MS`] where all of them are held: so what waits for a domain is one
//! range, in order of time, which serves the dispatcher and an operator's list alike.

use engine::{ShardId, keys};
use envelope::{AccountId, Domain, ReversePath};
use queue_model::QueueId;

use crate::store::Line;

/// The version of the values of `x` keys.
pub(crate) const VERSION: u8 = 1;
/// The version of the values of `d` keys.
const DUE_VERSION: u8 = 2;

/// The time of what waits for a person.
pub(crate) const HELD_MS: u64 = u64::MAX;

/// Time and id, at the end of a `d` key.
pub(crate) const PLACE_BYTES: usize = 16;

pub(crate) const MESSAGE: u8 = b'm';
pub(crate) const PROGRESS: u8 = b'p';
pub(crate) const INTENT: u8 = b'i';
pub(crate) const DUE: u8 = b'd';
pub(crate) const ASIDE: u8 = b'x';
pub(crate) const ENDED: u8 = b'e';
pub(crate) const PAUSED: u8 = b'z';
pub(crate) const DRAIN: u8 = b'y';
pub(crate) const TOLD: u8 = b'w';

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

/// Behind a domain whose mail goes the usual way; below everything that a domain has in it.
const USUAL: u8 = 0;
/// Behind a domain that is followed by another way.
const ANOTHER: u8 = 1;

fn of_domain(shard: ShardId, domain: &Domain, next: u8) -> Vec<u8> {
    let mut key = space(shard, DUE);
    key.extend_from_slice(domain.as_str().as_bytes());
    key.push(next);
    key
}

/// The range of all keys of a domain in the schedule, whatever their way.
pub(crate) fn of_schedule(shard: ShardId, domain: &Domain) -> (Vec<u8>, Vec<u8>) {
    let start = of_domain(shard, domain, USUAL);
    (start, of_domain(shard, domain, ANOTHER + 1))
}

/// The beginning of all keys of a line in the schedule.
pub(crate) fn line(line: &Line) -> Vec<u8> {
    let Some(way) = &line.way else {
        return of_domain(line.shard, &line.domain, USUAL);
    };
    let mut key = of_domain(line.shard, &line.domain, ANOTHER);
    key.extend_from_slice(way.as_bytes());
    key.push(0);
    key
}

/// The first key behind all keys of a line in the schedule.
pub(crate) fn after_line(of: &Line) -> Vec<u8> {
    keys::end_of(&line(of))
}

/// The first key of a line that is not before this time and id.
pub(crate) fn due(of: &Line, due_ms: u64, id: QueueId) -> Vec<u8> {
    let mut key = line(of);
    key.extend_from_slice(&due_ms.to_be_bytes());
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

/// The key that says that a domain, or everything, is paused.
pub(crate) fn paused(shard: ShardId, domain: Option<&Domain>) -> Vec<u8> {
    let mut key = space(shard, PAUSED);
    key.extend_from_slice(domain.map_or("", Domain::as_str).as_bytes());
    key
}

/// The key that says that the queue is being emptied.
pub(crate) fn drain(shard: ShardId) -> Vec<u8> {
    space(shard, DRAIN)
}

/// The time and the id of a `d` key, whatever its line.
pub(crate) fn place_of(key: &[u8]) -> Option<(u64, QueueId)> {
    let (_, place) = key.split_last_chunk::<PLACE_BYTES>()?;
    let (due_ms, id) = place.split_first_chunk()?;
    let id = u64::from_be_bytes(id.try_into().ok()?);
    Some((u64::from_be_bytes(*due_ms), QueueId(id)))
}

/// The line, the time and the id of a `d` key.
pub(crate) fn parse_due(key: &[u8]) -> Option<(Line, u64, QueueId)> {
    let shard = key.get(1..)?.first_chunk()?;
    let rest = key.get(3..)?.strip_prefix(&[DUE])?;
    let (line, _) = rest.split_at_checked(rest.len().checked_sub(PLACE_BYTES)?)?;
    let (due_ms, id) = place_of(key)?;
    let line = core::str::from_utf8(line.strip_suffix(&[0])?).ok()?;
    let (domain, way) = match line.split_once(char::from(ANOTHER)) {
        Some((domain, way)) => (domain, Some(way.into())),
        None => (line, None),
    };
    let line = Line {
        shard: ShardId(u16::from_be_bytes(*shard)),
        domain: Domain::parse_or_literal(domain).ok()?,
        way,
    };
    Some((line, due_ms, id))
}

/// The value of a `d` key of a message of this sender.
pub(crate) fn due_value(tag: u32) -> Vec<u8> {
    let mut value = vec![DUE_VERSION];
    value.extend_from_slice(&tag.to_be_bytes());
    value
}

/// The sender's tag of a `d` key's value; what cannot be read is nobody's in particular.
pub(crate) fn tag_of(value: &[u8]) -> u32 {
    match value.split_first() {
        Some((&DUE_VERSION, tag)) => tag.try_into().map_or(0, u32::from_be_bytes),
        _ => 0,
    }
}

/// A number for a sender, by its account or else its address: who has the same
/// shares its turns. FNV-1a: it needs to differ, not to resist anybody.
pub(crate) fn sender_tag(account: Option<AccountId>, sender: &ReversePath) -> u32 {
    let text = match (account, sender) {
        (Some(account), _) => account.0.to_string(),
        (None, ReversePath::Address(address)) => address.to_key(),
        (None, ReversePath::Null) => return 0,
    };
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The id of an `m`, `p`, `i` or `x` key.
pub(crate) fn id_of(key: &[u8]) -> Option<QueueId> {
    let id = key.get(4..)?.first_chunk()?;
    Some(QueueId(u64::from_be_bytes(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(domain: &str, way: Option<&str>) -> Line {
        Line {
            shard: ShardId(0x0102),
            domain: Domain::parse_or_literal(domain).expect("a domain"),
            way: way.map(Into::into),
        }
    }

    #[test]
    fn golden_keys() {
        let (shard, id) = (ShardId(0x0102), QueueId(5));
        assert_eq!(message(shard, id), b"Q\x01\x02m\0\0\0\0\0\0\0\x05");
        assert_eq!(progress(shard, id), b"Q\x01\x02p\0\0\0\0\0\0\0\x05");
        assert_eq!(aside(shard, id), b"Q\x01\x02x\0\0\0\0\0\0\0\x05");
        assert_eq!(
            intent(shard, id, 7),
            b"Q\x01\x02i\0\0\0\0\0\0\0\x05\0\0\0\x07"
        );
        let usual = due(&of("example.org", None), 9, id);
        assert_eq!(
            usual,
            b"Q\x01\x02dexample.org\0\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x05"
        );
        let another = due(&of("example.org", Some("mx")), 9, id);
        assert_eq!(
            another,
            b"Q\x01\x02dexample.org\x01mx\0\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x05"
        );
        for end in 0..usual.len() {
            assert_eq!(parse_due(&usual[..end]), None, "{end}");
        }
        for line in [
            of("example.org", None),
            of("example.org", Some("a, b")),
            of("[192.0.2.1]", None),
        ] {
            let key = due(&line, u64::MAX, id);
            assert_eq!(parse_due(&key), Some((line, u64::MAX, id)));
        }
        let sender = ReversePath::parse("Ann@example.org").expect("a path");
        let tag = sender_tag(None, &sender);
        assert_ne!(tag, sender_tag(Some(AccountId(1)), &sender));
        assert_eq!(sender_tag(None, &ReversePath::Null), 0);
        assert_eq!(due_value(0x0102_0304), b"\x02\x01\x02\x03\x04");
        assert_eq!(tag_of(&due_value(tag)), tag);
        assert_eq!(tag_of(b"\x01"), 0);
    }

    #[test]
    fn a_line_is_one_range_in_order_of_time_and_a_domains_lines_are_one() {
        let (line, last) = (of("example.org", None), QueueId(u64::MAX));
        assert!(due(&line, 255, last) < due(&line, 256, QueueId(0)));
        assert!(due(&line, HELD_MS, last) < after_line(&line));
        let all = of_schedule(line.shard, &line.domain);
        let inside = |key: &Vec<u8>| *key >= all.0 && *key < all.1;
        for way in [None, Some("mx"), Some("z")] {
            let key = due(&of("example.org", way), HELD_MS, last);
            assert!(inside(&key), "{way:?}");
        }
        for other in [
            "example.org.uk",
            "example.org-x.test",
            "example.or",
            "f.test",
        ] {
            assert!(!inside(&due(&of(other, None), 5, last)), "{other}");
        }
    }
}
