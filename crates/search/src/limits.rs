//! Every bound of the index and of what is read of a message.

use std::time::Duration;

/// Bytes of a message's header that are searched.
pub const HEADER_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of a message's text parts that are searched.
pub const SEARCHED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of messages that are read together.
pub const READ_AHEAD_BYTES: u64 = 256 * 1024;
/// Terms of emails that are gathered for one segment, unless the options say otherwise.
pub const PAIRS_PER_SEGMENT: usize = 4 << 20;
/// Emails of one new segment.
pub const EMAILS_PER_SEGMENT: usize = 4096;
/// Emails that are looked at together.
pub const EMAILS_PER_READ: usize = 256;
/// Emails that have come before a search has the index brought up to date: so many are looked into by
/// each search until then.
pub const EMAILS_WORTH: u64 = 64;
/// Segments of about one size that become one.
pub const SEGMENTS_MERGED: usize = 8;
/// Emails of the smallest size of segments; each size is [`SEGMENTS_MERGED`] times the one before.
pub const EMAILS_SMALLEST: u64 = 64;
/// Bytes of records in one commit.
pub const COMMIT_BYTES_SOFT: usize = 512 << 10;
/// What an index may take beside as much as the account's mail.
pub const INDEX_BYTES_FREE: u64 = 4 << 20;
/// Emails that are gone may be this many times those that are there before an index is made anew.
pub const GONE_SHARE: u64 = 2;
/// How long a build waits while writers fill the disk.
pub const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// A build rests at least a share of the time that its last step took: this part of it.
pub const REST_SHARE: u32 = 1;
/// Searched texts that are looked up for one search; the others are looked for in what is left.
pub const LOOKUPS_MAX: usize = 16;
/// Bytes of messages that a search looks through at once: a client that went away costs so much
/// more.
pub const SEARCHED_AT_ONCE_BYTES: u64 = 4 * 1024 * 1024;
/// Words of one text that FUZZY looks for.
pub const FUZZY_WORDS_MAX: usize = 32;
/// Letters of a word that FUZZY compares.
pub const FUZZY_LETTERS_MAX: usize = 48;
