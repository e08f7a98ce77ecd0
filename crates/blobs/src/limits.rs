//! The limits of blobs, each with its reason.

/// Bytes of one chunk before compression: one frame of the journal, and what a
/// range read opens at least.
pub const CHUNK_BYTES: usize = engine::limits::BODY_FRAME_BYTES_MAX;

/// Bodies below this are stored as they are: they hardly shrink.
pub const COMPRESS_BYTES_MIN: usize = 1024;

/// Chunks of one blob (4 GiB): a record stays well below a commit's limit.
pub const CHUNKS_MAX: usize = 16_384;

/// Compressors kept for the next body; each holds about 1 MB.
pub const COMPRESSORS_KEPT: usize = 4;

/// Blobs that lost a link looked at by one step of collection: one commit.
pub const UNLINKED_PAGE: usize = 256;
