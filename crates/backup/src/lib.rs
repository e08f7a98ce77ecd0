//! Backups while the server runs: immutable, checksummed, incremental; and the
//! way back.
//!
//! - [`run::run`]: one run. [`prune::prune`]: which runs stay.
//! - [`Backup`]: a target that holds runs. [`verify::verify`]: is it whole?
//! - [`restore::everything`]: into an empty store. [`restore::import::import`]:
//!   one account or mailbox into a living one.
//! - [`files::read`]: the configuration and the certificates that a run holds.
//! - [`target`]: where files go, a folder or a bucket.
//!
//! The files, from below: [`pack`] holds objects (bodies, stretches of
//! records), each named by its content; [`catalogue`] says which are in which
//! pack; [`table`] says which make an account; [`manifest`] says which files
//! make a run. `docs/internals/backup.md` has them field by field.
//!
//! Not here: what records mean (their owners), when runs happen (the binary).
//!
//! Invariants: a file is never changed; a run without its manifest doesn't
//! exist; a manifest is written when all it names is on stable storage; each
//! account is of one snapshot, and the bodies it names are there; memory does
//! not grow with the store.

#![forbid(unsafe_code)]

mod archive;
mod catalogue;
mod checked;
mod error;
pub mod files;
pub mod limits;
mod manifest;
mod names;
mod needs;
mod pack;
mod pass;
pub mod prune;
pub mod restore;
pub mod run;
mod run_id;
mod seal;
mod stretch;
mod table;
pub mod target;
pub mod verify;

#[cfg(test)]
mod tests;

pub use archive::{Added, Backup, FoundRun, Run};
pub use error::BackupError;
pub use files::KeptFile;
pub use manifest::{Manifest, StoreId};
pub use run::{Done, Options, Progress, Reading, Sizes, Source, Watch};
pub use run_id::{Kind, PackId, RunId, parse_moment};
pub use seal::{Passphrase, Stored};
pub use target::{Target, folder::Folder};
