//! Why the queue could not do it.

use engine::{ReadError, SubmitError};
use queue_model::IllegalEvent;
use thiserror::Error;
use wire::codec::DecodeError;

/// Why the queue could not do it.
#[derive(Debug, Error)]
pub enum QueueError {
    /// It is not in the queue (any more).
    #[error("there is no such message in the queue")]
    NotFound,
    /// Its record does not decode.
    #[error("a record of the queue is damaged: {0}")]
    Damaged(#[from] DecodeError),
    /// What was asked for is not possible in its state.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// So many domains are paused that it must be everything or fewer.
    #[error("too many domains are paused by themselves; resume some, or pause everything")]
    TooMuchPaused,
    /// The engine could not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The engine did not take the change.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// What is old could not be removed.
    #[error(transparent)]
    Expire(#[from] engine::expire::ExpireError),
    /// The message's body could not be read.
    #[error(transparent)]
    Blob(#[from] blobs::BlobError),
}
