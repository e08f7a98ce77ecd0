//! Every limit of this crate.

use std::time::Duration;

/// How long a day's counts are kept: longer than a report may be tried (RFC 8460 §5.4).
pub const KEPT_FOR: Duration = Duration::from_secs(8 * 86_400);
/// Domains that are counted in memory between two writes; what comes to others is not counted.
pub const PENDING_MAX: usize = 10_000;
/// Records that are kept, some 150 octets each where nothing fails; beyond them the oldest go.
pub const RECORDS_MAX: usize = 200_000;
/// Records that are written in one commit.
pub const FLUSH_PAGE: usize = 200;
/// Characters of a name or a reason that is counted.
pub const TEXT_CHARS_MAX: usize = 255;
/// When the first report on a day leaves: the counts are written down by then.
pub(crate) const AFTER_MIDNIGHT_MS: u64 = 10 * 60_000;
/// Over how long they are spread (RFC 8460 §4.1: four hours).
pub(crate) const SPREAD_MS: u64 = 4 * 3_600_000;
/// Days before today that are reported on.
pub(crate) const DAYS_BACK: u32 = 2;
/// How long a report is tried (RFC 8460 §5.6).
pub(crate) const GIVE_UP_MS: u64 = 86_400_000;
/// The first wait after a report was not taken; it doubles.
pub(crate) const RETRY_MS: u64 = 15 * 60_000;
/// The longest.
pub(crate) const RETRY_MAX_MS: u64 = 4 * 3_600_000;
/// Reports that are sent at once.
pub(crate) const AT_ONCE_MAX: usize = 8;
/// Reports that are in memory; what became of them is written down together.
pub(crate) const DUE_PAGE: usize = 64;
/// How long a receiver may take.
pub(crate) const POST_TIMEOUT: Duration = Duration::from_secs(30);
/// Octets that are read of its answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 1024;
/// Characters of its words that are kept.
pub(crate) const REASON_CHARS_MAX: usize = 200;
