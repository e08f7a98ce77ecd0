//! Every bound of this crate.

/// Bytes at which a block ends. What a look-up reads for a term.
pub const BLOCK_BYTES: usize = 16 * 1_024;
/// Postings longer than this have a block of their own, so that a rare term's block is short.
pub const SHARED_POSTINGS_BYTES: usize = 4 * 1_024;
/// Terms that one searched text is looked up by; more would say little.
pub const TERMS_PER_TEXT: usize = 16;
/// Documents of one segment.
pub const DOCUMENTS_MAX: u32 = 1 << 22;
/// Memory for one term of one document, while a segment is built.
pub const PAIR_BYTES: usize = size_of::<u64>();
/// Terms of one document for which there is room beyond what a builder was given: a text of 64 KiB has fewer.
pub const DOCUMENT_PAIRS: usize = 64 * 1_024;
