//! Messages that are known by their id: whoever knows the id knows every byte.

use interop::posthouse::contains;

/// Accounts that get mail, and the sessions that work on each.
pub const ACCOUNTS: usize = 4;
pub const WORKERS: usize = 2;

/// One in so many messages is long enough for several chunks.
const LONG: u64 = 40;

/// The message with this id.
pub fn message(id: &str) -> Vec<u8> {
    let seed = hash(id);
    let mut random = fastrand::Rng::with_seed(seed);
    let len = if seed.is_multiple_of(LONG) {
        random.usize(300_000..600_000)
    } else {
        random.usize(500..40_000)
    };
    let mut text = format!("Subject: id {id}\r\nMessage-ID: <{id}@far.test>\r\n\r\n").into_bytes();
    while text.len() < len {
        text.extend((0..74).map(|_| random.alphanumeric() as u8));
        text.extend(b"\r\n");
    }
    text
}

/// The id in a subject, a header or a message.
pub fn id_in(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&text[..text.len().min(4000)]).into_owned();
    let (_, rest) = text.split_once("Subject: id ")?;
    Some(rest.lines().next()?.trim().to_owned())
}

/// True when these are the bytes of the message with this id, behind what was
/// added at its delivery.
pub fn is_whole(id: &str, bytes: &[u8]) -> bool {
    let message = message(id);
    let added = bytes.len().checked_sub(message.len());
    added.is_some_and(|added| bytes[added..] == message && !contains(&bytes[..added], b"Subject: "))
}

/// Which of an account's sessions a message belongs to: nobody else changes it.
pub fn owner(id: &str) -> usize {
    match id.strip_prefix('a').and_then(|id| id.split('.').next()) {
        Some(worker) => worker.parse().unwrap_or(0),
        None => (hash(id) >> 8) as usize % WORKERS,
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
