//! The port of collection: what a journal is made of, and freeing a part of it.
//!
//! A journal grows segment by segment. One that takes no more frames is
//! *sealed*; collection moves what is alive in it elsewhere and gives its space
//! back:
//!
//! 1. Who owns the bodies' records moves every live body out of the segment:
//!    reads it, puts it again, and commits its record with the new place, on the
//!    condition that the record is the one that was read.
//! 2. A [`Walk`] to [`Goal::Free`] copies the live records forward, under their
//!    old numbers, and then frees the segment.
//!
//! The engine knows which records are alive, and nothing of bodies. The caller
//! promises that when a walk to [`Goal::Free`] begins, no record names a body in
//! the segment, and none will: bodies that were put but not committed yet count.
//! [`Engine::body_segment`](crate::Engine::body_segment), asked before such
//! bodies are put, is what such a promise can be built on.

use crate::contract::{ReadError, ShardId, SubmitError, Ticket};
use thiserror::Error;

/// A segment that takes no more frames, and all of which is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its number; see [`Extent::segment`](crate::Extent::segment).
    pub number: u32,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
    /// Bytes of live records in it, when a walk last counted them, and the
    /// number of the newest segment then. Records only ever die.
    pub records: Option<(u64, u32)>,
    /// It is damaged and stays as it is.
    pub damaged: bool,
}

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Count the bytes of live records.
    Count,
    /// Copy live records forward, then free the segment.
    Free,
}

/// A walk through one segment, step by step; see
/// [`Engine::collect_step`](crate::Engine::collect_step).
#[derive(Debug)]
pub struct Walk {
    pub(crate) shard: ShardId,
    pub(crate) segment: u32,
    pub(crate) goal: Goal,
    /// Where the next group begins; 0 before the first step.
    pub(crate) at: u64,
    /// The last group seen.
    pub(crate) group: u64,
    /// Bytes of live records so far.
    pub(crate) live: u64,
    /// The commit that says that the segment is freed.
    pub(crate) freed: Option<Ticket>,
}

impl Walk {
    /// A walk through a sealed segment.
    #[must_use]
    pub fn new(shard: ShardId, segment: u32, goal: Goal) -> Self {
        Self {
            shard,
            segment,
            goal,
            at: 0,
            group: 0,
            live: 0,
            freed: None,
        }
    }

    /// The segment.
    #[must_use]
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// Bytes of live records seen so far.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.live
    }
}

/// What a step of a walk did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More,
    /// There is more to do once the disk is done with what was given to it, or
    /// a reader of all segments with its work.
    Waiting,
    /// The walk is at its end: counted, or freed.
    Done,
}

/// Why a segment was not collected. It stays as it is.
#[derive(Debug, Error)]
pub enum CollectError {
    /// It is not sealed, not there any more, or somebody keeps all segments
    /// where they are: try again later.
    #[error("the segment cannot be collected now")]
    NotNow,
    /// A part of it is damaged, so that nobody knows what is alive in it.
    #[error("segment {0} is damaged and is not collected")]
    Damaged(u32),
    /// The index or the journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is alive cannot be written elsewhere.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}
