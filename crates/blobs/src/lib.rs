//! Message bodies: content-addressed, chunked, shared; links and their keys.
//!
//! - A blob is named by the BLAKE3-256 of the message exactly as received:
//!   [`id`]. The name never leaves the server.
//! - [`writer`]: up to 256 KiB stay in memory until they are staged with the
//!   commit that names them; what is longer goes out in chunks as it arrives.
//! - [`record`]: what is kept about a blob; [`link`]: who uses it.
//! - [`store`]: stage, link, read. [`collect`]: what nobody uses goes.
//!   [`mod@fsck`]: is what is stored what was given?
//! - [`repair`]: what is done about what is not.
//!
//! What a message means is not known here, nor who may read it.
//!
//! Invariant: a commit that adds a link also holds a blob record with all its
//! bytes in the journal before it, or the condition that the record which is
//! there stays as it is.

#![forbid(unsafe_code)]

mod budget;
pub mod collect;
mod compress;
pub mod fsck;
mod holds;
pub mod id;
pub mod limits;
pub mod link;
pub mod reader;
pub mod record;
pub mod repair;
pub mod store;
mod unlinked;
pub mod writer;

#[cfg(test)]
mod tests;

pub use id::BlobId;
pub use link::Owner;
pub use reader::BlobReader;
pub use store::{BlobError, Blobs, ReadAhead};
pub use writer::{BlobWriter, StagedBlob};
