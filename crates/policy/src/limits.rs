//! Bounds of the policy.

use std::time::Duration;

/// The highest MT-PRIORITY that a user gets who is no administrator.
pub const PRIORITY_USER_MAX: i8 = 4;

/// How long a full mailbox is a temporary matter.
pub const FULL_TEMPORARY: Duration = Duration::from_secs(3 * 86_400);

/// Accounts that are remembered as not full.
pub const ROOMY_ENTRIES: usize = 16_384;

/// Time within which a user's mail is counted.
pub const HOUR: Duration = Duration::from_secs(3600);
/// The longer one.
pub const DAY: Duration = Duration::from_secs(86_400);
/// Steps in which the two slide.
pub const COUNT_STEP: Duration = Duration::from_secs(300);
/// Accounts that are counted at once; then those that were quiet for an hour are forgotten.
pub const COUNTED_ACCOUNTS_MAX: usize = 100_000;
