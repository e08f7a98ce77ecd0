//! Every limit of this crate.

use std::time::Duration;

/// Outcomes that are posted together; a few more where a commit recorded several.
pub(crate) const PAGE: usize = 100;
/// Octets that are read of an answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 1024;
/// Characters of its words that are kept.
pub(crate) const WORDS_CHARS_MAX: usize = 200;
/// The first pause after a failure; it doubles.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);
/// The longest, unless the server asks for a longer one.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(900);
/// How often it is looked for what waits, whoever tells of it.
pub(crate) const ROUND: Duration = Duration::from_secs(60);
