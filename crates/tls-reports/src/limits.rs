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
