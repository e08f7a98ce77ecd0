//! Accounts as logs: lanes, views, staging of changes, email records, checkpoints.
//!
//! - [`Mailstore::account`] gives an [`Account`]; [`Account::view`] what is
//!   durable, [`Account::subscribe`] tells when there is more.
//! - Whole operations for the faces: [`Account::append`], [`Account::store_flags`],
//!   [`Account::copy`], [`Account::move_`], [`Account::expunge`], …
//! - Deliveries stage into a batch of the caller: [`Mailstore::lanes`], then
//!   [`Lane::stage_deliver`] for each recipient, then [`Lanes::submit`], then the ticket.
//! - Reading: [`Account::email_records`], [`Account::read_message`], [`Account::open_message`];
//!   [`Account::reading`] for whoever reads many.
//! - [`Account::threads`]: which emails belong together.
//! - [`object_id`]: how clients name all this.
//! - [`records`]: what backup may know of records.
//! - Quota: an account's limits and the mark that its owner was told of are in its head;
//!   [`Mailstore::set_group_limits`] for those that several accounts share;
//!   [`Mailstore::next_quota_crossing`] for whoever tells people.
//! - [`disaster`]: passing over the numbers that lost history may have given.
//! - The way back: [`Account::deleted_since`], [`Account::undelete`],
//!   [`Account::view_at`], [`Account::restore_to`]; [`Account::changes_since`].
//! - [`Mailstore::reap`]: what was expunged longer ago than the retention goes.
//! - [`Mailstore::create_account`], [`Mailstore::drop_account`], [`Mailstore::fsck`], [`Mailstore::repair`].
//!
//! Not here: what a change does to a view (`mailbox-model`), bodies (`blobs`),
//! who may do what (the crates above).
//!
//! Invariants: one log entry and one head per change, in one commit, with the
//! condition that the head is as the lane knows it; a lane is held until
//! `submit` and never over the sync; views are published in commit order; a
//! checkpoint can be thrown away, the base and the log above its floor can't; the
//! record of an email that was in a mailbox above the floor is there. The keys are in [`keys`]'s
//! table and in `docs/internals/account.md`.

#![forbid(unsafe_code)]

mod access_keys;
mod account;
mod acl;
mod annotations;
mod bells;
mod cache;
mod changes;
mod checkpoint;
pub mod disaster;
mod email;
mod error;
mod fsck;
mod head;
mod keys;
mod lane;
mod lifecycle;
pub mod limits;
mod lists;
mod load;
pub mod object_id;
mod operations;
mod past;
mod quota;
mod read;
mod reading;
mod reap;
pub mod records;
mod repair;
mod restore;
mod retrieved;
mod runs;
mod scripts;
mod seen_by;
mod store;
mod threads;

#[cfg(test)]
mod tests;

pub use access_keys::AccessKey;
pub use account::Account;
pub use acl::{Acl, AclLimit, AclName, Acls, Reader, Rights, SHARES_PREFIX, Who, check_share};
pub use annotations::{AnnotationLimit, Annotations, EVENT_SCRIPT, StagedAnnotations};
pub use changes::{Changes, ChangesError};
pub use email::{EmailRecord, InternalDate, NewEmail};
pub use error::{RecordError, StoreError};
pub use fsck::{Acknowledged, Broken, Finding, Witness, check_view, names_blob};
pub use head::{Floor, OverQuota, QuotaLimits, QuotaMark, QuotaOwner, QuotaUnit};
pub use lane::{Lane, Lanes, Place, QuotaRule};
pub use lifecycle::DEFAULT_MAILBOXES;
pub use lists::{ListKind, Listed, Listing, SortKeys};
pub use operations::{Appended, FlagsStored, Transferred};
pub use past::{Deleted, FormerPlace, PastError, Why};
pub use quota::{
    GROUP_TOLD_PREFIX, GroupFinding, GroupMark, GroupUsage, QuotaCrossing, check_group_told,
};
pub use read::{MessageReader, ShortBodies};
pub use reading::{EmailReader, FoundEmail};
pub use reap::Reaped;
pub use repair::RepairError;
pub use restore::{Act, BroughtBack, Undeleted};
pub use scripts::{ScriptChange, ScriptRefusal, Scripts};
pub use seen_by::ReadersStore;
pub use store::{Mailstore, Options};
