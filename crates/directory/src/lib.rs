//! Who is here: domains, accounts, aliases, passwords, and who may log in.
//!
//! A tour:
//! - [`Directory`]: the one handle. Cheap to clone; all of its methods may be
//!   called from many tasks.
//! - [`Directory::resolve`]: what an address leads to ([`Resolution`]), with
//!   aliases followed, sub-addresses, role addresses and catch-all.
//! - [`Directory::answer`]: what a SASL exchange asks, to a [`Verdict`], or
//!   an [`AuthFailure`] that says what the client may be told.
//!   [`Directory::offer`]: which mechanisms can work here. Faces see both as the
//!   port [`Logins`], whose contract says what a directory does that is down.
//! - [`Tokens`]: the port behind which bearer tokens are checked.
//! - `domain_*`, `account_*`, `app_password_*`, `send_as_*`, `alias_*`: what administrators do. Each is one
//!   commit with conditions; a change that came first means staging anew.
//! - [`Directory::fsck`]: whether the records agree; [`mod@fsck`] has the findings. [`Directory::repair`] mends them.
//! - [`record`]: the stored records, byte by byte; `keys`: where they lie.
//!
//! Not here: mailboxes and what is in them (`mailstore`), whether a message may
//! be relayed (`policy`), SASL's bytes (`sasl`).
//!
//! Invariants:
//! - Every record lives in shard 0. What memory holds of a record is dropped in
//!   the commit that changes it, before that commit's ticket is done.
//! - No password is ever stored, logged or kept in memory in the clear. One can be
//!   read back only if it was drawn by us and asked to be so (`sealing`).
//! - A login that does not exist costs as much as one that does.

#![forbid(unsafe_code)]

mod account;
mod alias;
mod app_password;
mod cache;
mod changes;
mod domain;
mod error;
pub mod fsck;
mod keys;
pub mod limits;
mod login;
mod options;
mod password;
mod port;
pub mod record;
mod repair;
mod resolve;
mod sealing;
mod send_as;
mod store;
mod tokens;

pub use account::{Account, AccountChange, NewAccount, PreparedAccount, StageMail};
pub use alias::Alias;
pub use app_password::NewAppPassword;
pub use domain::{DomainInfo, Removal};
pub use error::DirectoryError;
pub use keys::account_of;
pub use login::census::PasswordInfo;
pub use login::{AuthFailure, Caller, Identity, Owner, Service, Standing, Verdict};
pub use options::{LoginOptions, Options};
pub use port::{BoxFuture, Logins, Unreachable};
pub use record::account::Quota;
pub use record::app_passwords::AppPassword;
pub use record::credentials::Cost;
pub use record::send_as::Grant;
pub use repair::RepairError;
pub use resolve::{Resolution, Target};
pub use sealing::SealingKey;
pub use store::Directory;
pub use tokens::{TokenRefusal, Tokens};

#[cfg(test)]
mod tests;
