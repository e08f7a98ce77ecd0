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

/// Connections at once to a party of which nothing is known yet; as Postfix begins.
pub const CONNECTIONS_START: u32 = 5;
/// From a refusal to the next try of that level; doubles.
pub const PROBE_FIRST_MS: u64 = 10_000;
/// The longest such distance.
pub const PROBE_MAX_MS: u64 = 15 * MINUTE_MS;
/// Messages that are taken between two refusals, so that these stay few in a hundred.
pub const PROBE_TAKEN: u32 = 40;
/// How long a level that was refused is remembered.
pub const REFUSED_FOR_MS: u64 = 2 * HOUR_MS;
/// Levels that are remembered.
pub const LEVELS_MAX: usize = 32;
/// Who took something within this time is not away for one failure.
pub const UP_LATELY_MS: u64 = 10 * MINUTE_MS;
/// In what time messages are counted.
pub const PACE_WINDOW_MS: u64 = MINUTE_MS;
/// After so long without a complaint the pace is raised.
pub const PACE_CALM_MS: u64 = 2 * MINUTE_MS;
/// The first rest after "too fast"; doubles.
pub const REST_FIRST_MS: u64 = 10_000;
/// The longest rest.
pub const REST_MAX_MS: u64 = 5 * MINUTE_MS;
/// Names of hosts that a party's name has in full.
pub const PARTY_NAMES_MAX: usize = 3;
