//! Bounds of the policy.

use std::time::Duration;

/// The highest MT-PRIORITY that a user gets who is no administrator.
pub const PRIORITY_USER_MAX: i8 = 4;

/// How long a full mailbox is a temporary matter.
pub const FULL_TEMPORARY: Duration = Duration::from_secs(3 * 86_400);

/// Accounts that are remembered as not full.
pub const ROOMY_ENTRIES: usize = 16_384;
