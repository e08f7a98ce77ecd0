//! Checks one account: base and log against checkpoint against head, entries against
//! email records against blobs and their links, and every key against the
//! table of keys. Reads one snapshot; repairs nothing.
//!
//! - [`finding`]: what can be wrong, in words and as a report with a checker's name.
//! - [`view`]: what must be true of a view alone.
//! - [`emails`]: entries, records, bodies.
//! - [`lists`]: pages of lists against the records.
//! - [`threads`]: what is kept of threads against itself.
//! - [`witness`]: what must be true from one view to a later one, for the
//!   simulation and the crash tests.
//!
//! Memory: two views of the account at a time, and 32 bytes for each of its
//! messages.

mod emails;
mod finding;
mod lists;
mod threads;
pub(crate) mod view;
mod witness;

pub use finding::Finding;
pub(crate) use lists::bad_pages;
pub use view::check_view;
pub use witness::{Acknowledged, Broken, Witness};

use crate::access_keys::AccessKeys;
use crate::acl::Acls;
use crate::annotations::Annotations;
use crate::email::EmailRecord;
use crate::error::StoreError;
use crate::head::Head;
use crate::keys::{self, Chain};
use crate::limits::FINDINGS_MAX;
use crate::lists::ListKind;
use crate::load::{base_view, checkpoint_view, for_each};
use crate::retrieved::Retrieved;
use crate::scripts::Scripts;
use crate::seen_by;
use blobs::{BlobId, Blobs};
use engine::{Engine, ReadError, ShardId, Snapshot};
use envelope::AccountId;
use mailbox_model::page::ViewBuilder;
use mailbox_model::{EmailId, LogEntry, ModSeq, View, apply};

/// Findings up to a bound.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        match self.0.len() {
            n if n < FINDINGS_MAX => self.0.push(finding),
            n if n == FINDINGS_MAX => self.0.push(Finding::More),
            _ => {}
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}

/// Everything about one account, as of one snapshot.
pub(crate) fn check(
    engine: &dyn Engine,
    blobs: &Blobs,
    account: AccountId,
) -> Result<Vec<Finding>, StoreError> {
    let shard = engine.shard_of_account(account.0);
    let snapshot = engine.snapshot(shard);
    let mut findings = Findings::default();
    check_keys(&*snapshot, account, &mut findings)?;
    let Some(head) = snapshot.get(&keys::head(account))? else {
        findings.push(Finding::NoAccount);
        return Ok(findings.0);
    };
    let head = match Head::decode(&head.value) {
        Ok(head) => Some(head),
        Err(error) => {
            findings.push(Finding::HeadDamaged(error.to_string()));
            None
        }
    };
    let floor = floor_of(&*snapshot, account, head.as_ref())?;
    let Some(view) = check_log(&*snapshot, account, floor, &mut findings)? else {
        return Ok(findings.0);
    };
    if head.is_some_and(|head| Head::of(&view, head.terms) != head) {
        findings.push(Finding::HeadDiffers);
    }
    for finding in check_view(&view) {
        findings.push(finding);
    }
    emails::check(
        (engine, &*snapshot),
        blobs,
        (account, shard),
        &view,
        &mut findings,
    )?;
    check_lists(engine, (account, shard), &*snapshot, &mut findings)?;
    Ok(findings.0)
}

/// What is wrong and still there, for a page goes after the first of its emails.
fn check_lists(
    engine: &dyn Engine,
    (account, shard): (AccountId, ShardId),
    snapshot: &dyn Snapshot,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let bad = bad_pages(snapshot, account)?;
    if bad.is_empty() {
        return Ok(());
    }
    let now = engine.snapshot(shard);
    for bad in bad {
        let stored = now.get(&keys::list(account, bad.kind, bad.page))?;
        if stored.is_some_and(|stored| stored.version == bad.version) {
            findings.push(Finding::List(bad.kind, bad.page, bad.why));
        }
    }
    Ok(())
}

/// True if the account's email has this body. What can't be read counts as a
/// yes: too much is kept, never too little.
///
/// # Errors
/// The snapshot, which is of the account's shard, can't be read.
pub fn names_blob(
    snapshot: &dyn Snapshot,
    account: AccountId,
    email: EmailId,
    blob: BlobId,
) -> Result<bool, ReadError> {
    let record = snapshot.get(&keys::email(account, email))?;
    Ok(record.is_some_and(|record| {
        EmailRecord::decode(&record.value).map_or(true, |record| record.blob == blob)
    }))
}

/// Keys that lie between those that are written, and records that nothing else refers to.
pub(crate) fn check_keys(
    snapshot: &dyn Snapshot,
    account: AccountId,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    for (start, end) in keys::gaps(account) {
        for_each(snapshot, start, &end, |key, _| {
            findings.push(Finding::StrangeKey(key));
            Ok(())
        })?;
    }
    for chain in [Chain::Base, Chain::Latest] {
        let root = keys::root(account, chain);
        for_each(
            snapshot,
            keys::parts(account, chain).0,
            &keys::end_of_chain(account, chain),
            |key, _| {
                if key != root && keys::part_of(&key).is_none() {
                    findings.push(Finding::StrangeKey(key));
                }
                Ok(())
            },
        )?;
    }
    let (start, end) = keys::emails(account);
    for_each(snapshot, start, &end, |key, _| {
        if keys::email_of(&key).is_none() {
            findings.push(Finding::StrangeKey(key));
        }
        Ok(())
    })?;
    for kind in ListKind::ALL {
        let (start, end) = keys::lists(account, kind);
        for_each(snapshot, start, &end, |key, _| {
            if keys::page_of_list(&key).is_none() {
                findings.push(Finding::StrangeKey(key));
            }
            Ok(())
        })?;
    }
    if let Some(stored) = snapshot.get(&keys::access_keys(account))?
        && let Err(error) = AccessKeys::decode(&stored.value)
    {
        findings.push(Finding::AccessKeys(error.to_string()));
    }
    if let Some(stored) = snapshot.get(&keys::annotations(account))?
        && let Err(error) = Annotations::decode(&stored.value)
    {
        findings.push(Finding::Annotations(error.to_string()));
    }
    if let Some(stored) = snapshot.get(&keys::scripts(account))?
        && let Err(error) = Scripts::decode(&stored.value)
    {
        findings.push(Finding::Scripts(error.to_string()));
    }
    if let Some(stored) = snapshot.get(&keys::acls(account))?
        && let Err(error) = Acls::decode(&stored.value)
    {
        findings.push(Finding::Acls(error.to_string()));
    }
    if let Some(stored) = snapshot.get(&keys::retrieved(account))?
        && let Err(error) = Retrieved::decode(&stored.value)
    {
        findings.push(Finding::Retrieved(error.to_string()));
    }
    let (start, end) = keys::seen_by_all(account);
    for_each(snapshot, start, &end, |key, stored| {
        if !keys::is_seen_by(&key) {
            findings.push(Finding::StrangeKey(key));
        } else if let Err(error) = seen_by::decode(&stored.value) {
            findings.push(Finding::SeenBy(key, error.to_string()));
        }
        Ok(())
    })?;
    threads::check(snapshot, account, findings)?;
    let (start, end) = keys::log_after(account, ModSeq(0));
    for_each(snapshot, start, &end, |key, _| {
        if keys::modseq_of(&key).is_none() {
            findings.push(Finding::StrangeKey(key));
        }
        Ok(())
    })
}

/// Where the log begins: the head says so, or, when it is damaged, the base.
pub(crate) fn floor_of(
    snapshot: &dyn Snapshot,
    account: AccountId,
    head: Option<&Head>,
) -> Result<ModSeq, StoreError> {
    if let Some(head) = head {
        return Ok(head.terms.floor.modseq);
    }
    let root = snapshot.get(&keys::root(account, Chain::Base))?;
    let builder = root.and_then(|root| ViewBuilder::new(&root.value).ok());
    Ok(builder.map_or(ModSeq(0), |builder| builder.modseq()))
}

/// Base and log, folded, and compared with the checkpoint on the way. None when
/// neither of them gives a state.
pub(crate) fn check_log(
    snapshot: &dyn Snapshot,
    account: AccountId,
    floor: ModSeq,
    findings: &mut Findings,
) -> Result<Option<View>, StoreError> {
    let mut stored = check_checkpoint(snapshot, account, floor, findings)?;
    let mut view = match base_view(snapshot, account, floor) {
        Ok(view) => Some(view),
        Err(StoreError::Read(error)) => return Err(error.into()),
        Err(error) => {
            findings.push(Finding::Base(error.to_string()));
            None
        }
    };
    let compare = |view: &mut Option<View>, stored: &mut Option<View>, findings: &mut Findings| {
        let Some(shown) = stored.take() else { return };
        match view {
            Some(view) if *view != shown => {
                findings.push(Finding::CheckpointDiffers(shown.modseq()));
            }
            Some(_) => {}
            // What the log lost, the checkpoint still knows.
            None => *view = Some(shown),
        }
    };
    let (start, end) = keys::log_after(account, floor);
    for_each(snapshot, start, &end, |key, record| {
        // Told already.
        let Some(modseq) = keys::modseq_of(&key) else {
            return Ok(());
        };
        if stored.as_ref().is_some_and(|shown| modseq > shown.modseq()) {
            compare(&mut view, &mut stored, findings);
        }
        if let Err(why) = fold_entry(view.as_mut(), modseq, &record.value) {
            findings.push(Finding::LogEntry(modseq, why));
            view = None;
        }
        Ok(())
    })?;
    compare(&mut view, &mut stored, findings);
    Ok(view)
}

/// Folds one entry, or only reads it where there is no state any more.
fn fold_entry(view: Option<&mut View>, modseq: ModSeq, record: &[u8]) -> Result<(), String> {
    let entry = LogEntry::decode(record).map_err(|error| error.to_string())?;
    if entry.modseq != modseq {
        return Err(format!("it says that it is change {}", entry.modseq));
    }
    match view {
        Some(view) => apply(view, &entry).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

/// The checkpoint's view, if there is one that can be read.
fn check_checkpoint(
    snapshot: &dyn Snapshot,
    account: AccountId,
    floor: ModSeq,
    findings: &mut Findings,
) -> Result<Option<View>, StoreError> {
    let Some(root) = snapshot.get(&keys::root(account, Chain::Latest))? else {
        return Ok(None);
    };
    match checkpoint_view(snapshot, account, Chain::Latest, &root.value) {
        Ok((view, _, modseq)) if modseq >= floor => Ok(Some(view)),
        Ok((_, _, modseq)) => {
            let what = format!("it is of change {modseq}, the log begins after {floor}");
            findings.push(Finding::Checkpoint(what));
            Ok(None)
        }
        Err(StoreError::Read(error)) => Err(error.into()),
        Err(error) => {
            findings.push(Finding::Checkpoint(error.to_string()));
            Ok(None)
        }
    }
}
