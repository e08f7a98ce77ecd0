//! Every limit of this crate.

use std::time::Duration;

/// The age at which a key is followed by another one.
pub const KEY_AGE: Duration = Duration::from_secs(30 * 86_400);
/// Days for which notifications to a rewritten sender are taken.
pub const GOOD_DAYS: u64 = return_path::limits::SRS_DAYS;
/// How long a key proves what it made after another one has followed it: a day more than
/// an address is good for.
pub const KEY_PROVES: Duration = Duration::from_secs((return_path::limits::SRS_DAYS + 1) * 86_400);
/// Keys in the record. With the two times above there are two at most, unless clocks jump.
pub const KEYS_MAX: usize = 4;
/// Refusals after which an address is left alone, where only their words say that it is
/// not there.
pub const REFUSALS_COUNT: u64 = 3;
/// How long an address is left alone after its last refusal.
pub const REFUSED_FOR: Duration = Duration::from_secs(90 * 86_400);
/// Suppressed addresses; about as many again may come between two hourly rounds after a start.
pub const SUPPRESSED_MAX: usize = 100_000;
/// Suppressed addresses that are read at once.
pub const SUPPRESSED_PAGE: usize = 1000;
/// Characters of a reason.
pub const REASON_CHARS_MAX: usize = 500;
