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
