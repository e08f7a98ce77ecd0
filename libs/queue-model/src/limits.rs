//! Every limit of this crate.

/// From the first failure to the second attempt.
pub const RETRY_FIRST_MS: u64 = 5 * MINUTE_MS;
/// The longest wait between two attempts.
pub const RETRY_MAX_MS: u64 = 4 * HOUR_MS;
/// How long a message is tried (RFC 5321 §4.5.4.1: at least 4 to 5 days).
pub const LIFETIME_MS: u64 = 5 * DAY_MS;
/// How long a report is tried: nobody hears of its failure, so it need not stay as long.
pub const REPORT_LIFETIME_MS: u64 = 2 * DAY_MS;
/// After this long the sender is told that the message still waits.
pub const DELAY_NOTICE_MS: u64 = 4 * HOUR_MS;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
