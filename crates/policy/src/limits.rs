//! Bounds of the policy.

use std::time::Duration;

use crate::check::{Otherwise, Patience};

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

/// How a check waits for the DNS: no mail is held up because it is silent.
pub const DNS_PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(10),
    at_once_max: 1000,
    otherwise: Otherwise::Pass,
};
/// What one mark says against a client. All that HELO and reverse DNS can find together stays below
/// what is refused by default.
pub const MARK_POINTS: i32 = 2;
/// Reverse names of one address that are followed.
pub const IPREV_NAMES_MAX: usize = 4;
/// Addresses whose reverse name is kept.
pub const IPREV_ENTRIES: usize = 65_536;
/// For how long.
pub const IPREV_KEPT: Duration = Duration::from_secs(1800);
