//! The engine's limits, each with its reason.

use std::time::Duration;

/// Keys and values of one commit: larger work is staged unseen in parts and
/// shown by one last commit, so that no commit holds up the others.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// One key: keys are read into memory by the thousand.
pub const KEY_BYTES_MAX: usize = 2048;

/// Stored bytes of one body frame: what a range read opens at least, and what
/// one connection holds in memory.
pub const BODY_FRAME_BYTES_MAX: usize = 256 * 1024;

/// Frames of one group, header included: one write to the journal.
pub const GROUP_BYTES_MAX: usize = 4 << 20;

/// Frames that were accepted but are not on the disk yet, unless the options
/// say otherwise; beyond this `put_body` and `submit` wait for the disk.
pub const PENDING_BYTES_MAX: usize = 32 << 20;

/// Frames of bodies that are written before any commit asks for it: bodies
/// that are longer than memory lasts are on the disk before their end is there.
pub const BODY_BYTES_AHEAD: usize = 512 << 10;

/// How long a commit that nobody waits for is held back: long enough to share
/// a sync on a busy server, short enough to be durable before a person looks.
pub const CAN_WAIT: Duration = Duration::from_millis(5);

/// Commits that may be durable in the journal only; bounds replay.
pub const UNFLUSHED_COMMITS_MAX: u64 = 16_384;

/// The part of that which large body frames may take, the chunks of long
/// messages: a message of 100 MB does not take the room of all others, nor that
/// memory.
pub const PENDING_LARGE_PART: usize = 8;

/// A body frame of so many bytes is a large one.
pub const LARGE_FRAME_BYTES: usize = 64 << 10;

/// Buffers for large bodies that wait for the next reader.
pub const BUFFERS_SHELVED: usize = 8;
/// From so many pending bytes on, work that can wait does.
pub const BUSY_BYTES: usize = 2 << 20;

/// Segments that may be written until the index begins to become durable:
/// bounds what is read to replay those commits.
pub const UNFLUSHED_SEGMENTS_MAX: u32 = 4;

/// Bytes of the journal that one step of collection reads, about: what a
/// delivery that comes at the same time may have to wait for.
pub const COLLECT_STEP_BYTES: u64 = 1 << 20;

/// Segment files that are kept open for reading.
pub const OPEN_SEGMENTS_MAX: usize = 128;

/// Memory for keys while index and journal are compared; a store with more keys
/// is read several times.
pub const FSCK_BYTES_MAX: usize = 64 << 20;

/// Findings of one check that are told; the rest is counted.
pub const FINDINGS_MAX: usize = 10_000;

/// Pairs that a visit of a backend without an own one reads at a time.
pub const VISIT_PAIRS: usize = 1000;
