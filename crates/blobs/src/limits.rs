//! The limits of blobs, each with its reason.

/// Bytes of one chunk before compression: one frame of the journal, and what a
/// range read opens at least.
pub const CHUNK_BYTES: usize = engine::limits::BODY_FRAME_BYTES_MAX;

/// Bodies below this are stored as they are: they hardly shrink.
pub const COMPRESS_BYTES_MIN: usize = 1024;

/// What a message's receive buffer grows to, step by step; the last is a chunk.
pub const RECEIVE_STEPS: [usize; 3] = [16 << 10, 64 << 10, CHUNK_BYTES];

/// Memory of all receive buffers together. Beyond it messages are written out
/// in chunks of what their buffers have.
pub const RECEIVE_BYTES_MAX: usize = 64 << 20;

/// Memory of all bodies that were read ahead and not sent yet.
pub const READ_AHEAD_BYTES_MAX: usize = 32 << 20;

/// Chunks of one blob (4 GiB): a record stays well below a commit's limit.
pub const CHUNKS_MAX: usize = 16_384;

/// Compressors and their buffers kept for the next body; one holds about 1 MB.
pub const COMPRESSORS_KEPT: usize = 4;

/// Times that a reader looks at a record again because its bytes moved.
pub const RELOADS_MAX: usize = 8;

/// Keys of blobs that one step of collection looks at.
pub const RECORDS_PAGE: usize = 1000;

/// Bytes of bodies that one step of collection moves, about.
pub const MOVE_BYTES: u64 = 2 << 20;

/// A segment is collected when so much of it is dead: less, and more would be
/// copied for each byte that is won.
pub const DEAD_PERCENT: u64 = 33;

/// Segments that one pass frees: what the next pass chooses knows what changed
/// meanwhile.
pub const VICTIMS_MAX: usize = 16;

/// Segments that the journal grows by until a pass is made although no blob
/// died: records die as well. Live records are counted again as often.
pub const GROWN_SEGMENTS: u32 = 16;

/// Blobs that lost a link looked at by one step of collection: one commit.
pub const UNLINKED_PAGE: usize = 256;
