//! Every bound of this crate.

/// Characters of a remote server's reply that a report repeats.
pub const DIAGNOSTIC_CHARS_MAX: usize = 1_000;
/// Characters of a host name, an envelope id or another foreign word.
pub const WORD_CHARS_MAX: usize = 320;
/// Recipients that are told of in words; all are in the machine-readable part.
pub const RECIPIENTS_IN_WORDS_MAX: usize = 20;
/// Bytes of the original header that a report returns.
pub const RETURNED_HEADER_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of an original message that a report returns whole; of larger ones
/// only the header goes back, whatever RET says (RFC 3461 §6.2 allows it).
pub const RETURNED_MESSAGE_BYTES_MAX: usize = 256 * 1_024;
/// Recipients that are read from a report.
pub const RECIPIENTS_READ_MAX: usize = 1_000;
/// Values that are read of one field of a feedback report.
pub const FEEDBACK_VALUES_MAX: usize = 100;
/// The longest line that a message may have, without its end (RFC 5322 §2.1.1).
pub(crate) const LINE_BYTES_MAX: usize = 998;
/// Octets of a report on TLS of others, unpacked. Those of large senders have some tens of thousands.
pub const TLS_REPORT_BYTES_MAX: usize = 4 << 20;
/// Policies that are read of it.
pub const POLICIES_READ_MAX: usize = 200;
/// Failures that are read of each.
pub const DETAILS_READ_MAX: usize = 500;
/// Lines or hosts that are read of each.
pub const TEXTS_READ_MAX: usize = 64;
/// Characters that are read of any text.
pub const TEXT_READ_CHARS_MAX: usize = 255;
