//! Every limit of this crate.

/// Days for which a notification to a rewritten sender is taken: longer than any server
/// tries (RFC 5321 §4.5.4.1: four to five days), and than backup servers keep mail.
pub const SRS_DAYS: u64 = 21;
/// Days for which a tagged sender is good (draft-levine-smtp-batv §5.1: a week).
pub const BATV_DAYS: u64 = 7;
/// Letters of a code, five bits each: who guesses needs some 500 million tries for one
/// notification.
pub const CODE_LETTERS: usize = 6;
