//! Every limit of this crate.

use std::time::Duration;

/// MX records that are used of an answer, best first.
pub const MX_MAX: usize = 32;
/// Addresses of each family that are used of an answer.
pub const ADDRESSES_MAX: usize = 16;
/// Reverse names that are used of an answer.
pub const NAMES_MAX: usize = 16;
/// Strings that are used of an answer with TXT records.
pub const TEXTS_MAX: usize = 64;
/// How long it is believed that the servers hand signatures on, or do not.
pub(crate) const SIGNATURES_FOR: Duration = Duration::from_secs(3600);
/// One server has this long for one question; RFC 5321 leaves minutes, a queue wants seconds.
pub(crate) const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Questions again after the first went unanswered.
pub(crate) const RETRIES: usize = 2;
/// Answers kept.
pub(crate) const CACHED_ANSWERS_MAX: u64 = 16_384;
/// No answer is kept longer.
pub(crate) const CACHED_MAX: Duration = Duration::from_secs(24 * 3600);
/// "There is none" is not kept longer: somebody may just be setting it up.
pub(crate) const CACHED_NONE_MAX: Duration = Duration::from_secs(300);
/// Questions under way on one connection; beyond them the library refuses.
pub(crate) const QUESTIONS_MAX: usize = 512;
