//! Every limit of this crate.

use std::time::Duration;

/// Attempts that a message's history keeps.
pub const HISTORY_MAX: usize = 20;

/// Bytes of all reasons in one record, shared out among its recipients, so that
/// a message for thousands still fits a commit.
pub const REASONS_BYTES_MAX: usize = 384 * 1024;

/// Recipients that one record of how they ended names.
pub const ENDED_NAMED_MAX: usize = 100;

/// Bytes of the reason that such a record keeps of each.
pub const ENDED_REASON_BYTES_MAX: usize = 200;

/// Such records in the store; with more the oldest go.
pub const ENDED_RECORDS_MAX: usize = 1_000_000;

/// Bytes of addresses and reasons that one commit keeps for a subscriber.
pub const TOLD_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a commit beyond which nothing is added for subscribers: whatever else it carries has room.
pub const TOLD_BATCH_BYTES_MAX: usize = 512 * 1024;

/// Bytes of the reason of each outcome that is kept for subscribers.
pub const TOLD_REASON_BYTES_MAX: usize = 300;

/// Outcomes that wait for a subscriber; what comes then is not kept for it.
pub const TOLD_WAITING_MAX: u64 = 100_000;

/// Bytes of one reason.
pub const REASON_BYTES_MAX: usize = 512;

/// A reason is never cut shorter than this.
pub const REASON_BYTES_MIN: usize = 40;

/// Bytes of the name of a remote site in the history.
pub const SITE_BYTES_MAX: usize = 255;

/// How much longer than it has a message seems to have waited, for each step of
/// its priority.
pub(crate) const PRIORITY_STEP_MS: u64 = 60_000;

/// How much later than it did a message seems to have come, for each step below the usual: enough
/// to let those of the moment by, too little to be missed where nobody waits.
pub(crate) const PRIORITY_BEHIND_MS: u64 = 1000;

/// Prefix header fields of a message.
pub const PREFIX_BYTES_MAX: usize = 256 * 1024;

/// Messages that have just come and are kept in memory until their first attempt.
pub(crate) const FRESH_MAX: usize = 1000;

/// What they take together.
pub(crate) const FRESH_BYTES_MAX: usize = 8 << 20;

/// What such a message takes beside its body and prefix, about.
pub(crate) const FRESH_ENTRY_BYTES: usize = 1024;

/// Domains that are remembered as to be tried now; with more it is everything.
pub(crate) const RETRIED_DOMAINS_MAX: usize = 1000;

/// Entries of the schedule that are told by themselves, between two looks of the dispatcher.
pub(crate) const ADDED_MAX: usize = 10_000;

/// Domains of which, beyond that, it is told from where on to look.
pub(crate) const ADDED_LINES_MAX: usize = 10_000;

/// Domains that the statistics tell apart.
pub(crate) const STATS_DOMAINS_MAX: usize = 100_000;

/// Domains that are paused by themselves.
pub(crate) const PAUSED_MAX: usize = 10_000;

/// Records that one call of a list looks at.
pub(crate) const LOOKED_AT_MAX: usize = 16_384;

/// Records read at once by a list or a recovery.
pub(crate) const PAGE: usize = 256;

/// How often a change is staged again when another commit came before it.
pub(crate) const CONFLICTS_MAX: u32 = 100;

/// How long an attempt lasts before its intent is written.
pub const INTENT_AFTER: Duration = Duration::from_millis(5);

/// Interrupted attempts in a row that are repeated at once.
pub(crate) const INTERRUPTED_FREE: u32 = 3;

/// Wait after one interruption more; doubles with each.
pub(crate) const INTERRUPTED_WAIT_MS: u64 = 60_000;

/// The longest wait after an interruption.
pub(crate) const INTERRUPTED_WAIT_MAX_MS: u64 = 3_600_000;

/// Times that a repair looks again: what was mended may show what else is to be.
pub(crate) const REPAIR_ROUNDS: u32 = 4;

/// Bytes of a body that are set aside with a message that can't be mended.
pub(crate) const ASIDE_BODY_BYTES_MAX: usize = 64 << 20;
