//! Bounds of the intake.

use std::time::Duration;

/// Header bytes of one message; beyond it the message is refused.
pub const HEADER_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a header line that are looked at; the rest only passes.
pub const HEADER_LINE_BYTES_MAX: usize = 16 * 1024;

/// Delivered-To fields that are remembered of one message.
pub const DELIVERED_TO_MAX: usize = 200;

/// Bytes of the From fields of one submission that are looked at.
pub const AUTHORS_BYTES_MAX: usize = 16 * 1024;

/// A body up to this size is compressed and staged where its commit is made.
pub const STAGE_HERE_BYTES: u64 = 32 * 1024;

/// Bytes that are pushed into the body's writer at once on the blocking pool.
pub const PUSH_BYTES: usize = 256 * 1024;

/// Accounts that get their copy in the commit itself; further ones get it from
/// the queue.
pub const LOCAL_COPIES_MAX: usize = 100;

/// Record bytes of all copies in one commit, of the engine's 1 MiB.
pub const COMMIT_BYTES_MAX: usize = 768 * 1024;

/// Bytes of all recipients' addresses of one message.
pub const ENVELOPE_BYTES_MAX: usize = 256 * 1024;

/// How long the end of the data may work before it answers. What is not delivered
/// then is in the commit as queue entries, and is delivered from the queue.
pub const WORK_TIME: Duration = Duration::from_secs(30);

/// How often a commit is staged anew when another one came first.
pub const CONFLICTS_MAX: usize = 64;

/// Messages remembered so that a resend is recognised.
pub const RESEND_ENTRIES: usize = 32_768;

/// How long a message is remembered for that.
pub const RESEND_TIME: Duration = Duration::from_secs(3600);

/// The wait before a local copy that failed for now is tried again.
pub const LOCAL_RETRY: Duration = Duration::from_secs(60);

/// The wait before the rest of a message for several shards is tried again.
pub const SPREAD_RETRY: Duration = Duration::from_secs(30);

/// Octets of Bcc that the sender's own copy keeps.
pub const BCC_BYTES_MAX: usize = 32 << 10;

/// Characters of the reason why a message went into Junk.
pub const REASON_CHARS_MAX: usize = 400;

/// Recipients that the trace of an accepted message names.
pub const TRACED_NAMED_MAX: usize = 20;

/// Bytes of each text in it.
pub const TRACED_FIELD_BYTES_MAX: usize = 256;

/// Accepted messages that are traced; with more the oldest go.
pub const TRACED_RECORDS_MAX: usize = 1_000_000;

/// Traces that are looked through for a text, in each shard.
pub const TRACED_SCANNED_MAX: usize = 1_000_000;

/// Traces that are read together.
pub const TRACED_PAGE: usize = 1000;

/// Intake records read at once at the start.
pub const RECOVER_PAGE: usize = 64;

/// Recipients that the log line of a message names.
pub const RECIPIENTS_LOGGED_MAX: usize = 8;
