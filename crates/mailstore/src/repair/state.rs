//! Makes the account one that can be opened: strange keys go, the best state
//! becomes base, log and head, in one commit.

use super::salvage::{Salvaged, salvage};
use super::{Commits, Repair, RepairError};
use crate::checkpoint::write_parts;
use crate::disaster::{RAISE, RAISE_MODSEQ};
use crate::error::StoreError;
use crate::fsck::{Finding, Findings, bad_pages, check_keys, check_log, floor_of};
use crate::head::{Floor, Head, QuotaLimits, Terms};
use crate::keys::{self, Chain, Part};
use crate::lifecycle::{DEFAULT_MAILBOXES, first_uid_validity, stage_new};
use crate::limits::KEYWORDS_PER_RECORD;
use crate::load::for_each;
use engine::check::Checker;
use engine::{Batch, Expect, Snapshot, Ticket};
use envelope::AccountId;
use mailbox_model::page::{encode_root, pages_of};
use mailbox_model::stage::{stage_create, stage_raise, stage_uid_validity};
use mailbox_model::{Change, Draft, LogEntry, MailboxName, ModSeq, UidValidity, View, apply};
use std::collections::BTreeSet;

/// Mends the state. Gives the last commit, if there was any.
pub(super) fn mend(
    repair: &mut Repair<'_>,
    limits: QuotaLimits,
) -> Result<Option<Ticket>, RepairError> {
    let shared = repair.shared;
    let account = repair.account;
    let snapshot = shared
        .engine
        .snapshot(shared.engine.shard_of_account(account.0));
    let stored = snapshot.get(&keys::head(account))?;
    let decoded = stored.as_ref().map(|stored| Head::decode(&stored.value));
    let head = decoded
        .as_ref()
        .and_then(|head| head.as_ref().ok())
        .copied();
    let expect = stored
        .as_ref()
        .map_or(Expect::Absent, |stored| Expect::Version(stored.version));
    let mut commits = Commits {
        repair: shared,
        head: (keys::head(account), expect),
        batch: Batch::new(),
        ticket: None,
    };
    strange_keys(repair, &*snapshot, &mut commits)?;
    wrong_lists(repair, &*snapshot, &mut commits)?;
    if let (Some(stored), Some(Err(error))) = (&stored, &decoded) {
        let why = format!("the account's head is damaged: {error}");
        repair.keep(
            Checker::RecordReadable,
            &keys::head(account),
            &stored.value,
            &why,
        )?;
    }
    if head.is_none() && limits == QuotaLimits::default() {
        repair.told(
            Checker::RecordReadable,
            "the account's limits were in its head and are lost: if it had any, set them again",
        );
    }
    let salvaged = salvage(&*snapshot, account, head.as_ref())?;
    if salvaged.view.modseq() == ModSeq(0) && salvaged.lost.is_empty() && salvaged.last == ModSeq(0)
    {
        // Nothing is left, not even a log: an empty account is better than none. Its emails are others.
        no_threads(repair, &*snapshot, &mut commits)?;
        stage_new(shared, &mut commits.batch, account, limits)?;
        commits.submit()?;
        repair.told(
            Checker::StateIsLog,
            "nothing was left of the mailboxes: they begin anew, empty",
        );
        return Ok(commits.ticket);
    }
    write_state(repair, &*snapshot, (salvaged, head, limits), &mut commits)?;
    Ok(commits.ticket)
}

/// Keys that this program does not write, and records beside the state that it can't read.
fn strange_keys(
    repair: &mut Repair<'_>,
    snapshot: &dyn Snapshot,
    commits: &mut Commits<'_>,
) -> Result<(), RepairError> {
    let mut found = Findings::default();
    check_keys(snapshot, repair.account, &mut found)?;
    let found = found.into_vec();
    wrong_threads(repair, snapshot, &found, commits)?;
    for finding in found {
        let (checker, key) = match &finding {
            Finding::StrangeKey(key) => (Checker::KeyKnown, key.clone()),
            Finding::AccessKeys(_) => {
                let key = keys::access_keys(repair.account);
                (Checker::RecordReadable, key)
            }
            Finding::Annotations(_) => {
                let key = keys::annotations(repair.account);
                (Checker::RecordReadable, key)
            }
            Finding::Retrieved(_) => {
                let key = keys::retrieved(repair.account);
                (Checker::RecordReadable, key)
            }
            Finding::Scripts(_) => {
                let key = keys::scripts(repair.account);
                (Checker::RecordReadable, key)
            }
            Finding::Acls(_) => (Checker::RecordReadable, keys::acls(repair.account)),
            Finding::SeenBy(key, _) => (Checker::RecordReadable, key.clone()),
            _ => continue,
        };
        let Some(stored) = snapshot.get(&key)? else {
            continue;
        };
        repair.keep(checker, &key, &stored.value, &finding.to_string())?;
        repair.told(checker, format!("set aside: {finding}"));
        commits.batch.delete(key);
        commits.submit_if_full()?;
    }
    Ok(())
}

/// Pages that do not say what the records say go; they are made again by use.
fn wrong_lists(
    repair: &mut Repair<'_>,
    snapshot: &dyn Snapshot,
    commits: &mut Commits<'_>,
) -> Result<(), RepairError> {
    for bad in bad_pages(snapshot, repair.account)? {
        let (page, why) = (bad.page, bad.why);
        repair.told(
            Checker::StateIsLog,
            format!("page {page} of the lists was thrown away: {why}"),
        );
        commits
            .batch
            .delete(keys::list(repair.account, bad.kind, page));
        commits.submit_if_full()?;
    }
    Ok(())
}

/// Threads of which anything is damaged are found anew when somebody asks for them.
fn wrong_threads(
    repair: &mut Repair<'_>,
    snapshot: &dyn Snapshot,
    found: &[Finding],
    commits: &mut Commits<'_>,
) -> Result<(), RepairError> {
    let mut wrong = found
        .iter()
        .filter(|finding| matches!(finding, Finding::Threads(..)));
    let Some(finding) = wrong.next() else {
        return Ok(());
    };
    repair.told(
        Checker::RecordReadable,
        format!("what belongs together was thrown away: {finding}"),
    );
    no_threads(repair, snapshot, commits)
}

/// The head goes last: until then nothing joins anew.
fn no_threads(
    repair: &Repair<'_>,
    snapshot: &dyn Snapshot,
    commits: &mut Commits<'_>,
) -> Result<(), RepairError> {
    let head = keys::threads_head(repair.account);
    let (start, end) = keys::threads(repair.account);
    let mut all = Vec::new();
    for_each(snapshot, start, &end, |key, _| {
        all.extend(Some(key).filter(|key| *key != head));
        Ok(())
    })?;
    for key in all {
        commits.batch.delete(key);
        commits.submit_if_full()?;
    }
    if snapshot.get(&head)?.is_some() {
        commits.batch.delete(head);
    }
    Ok(())
}

/// Writes what was saved: base, log, head.
fn write_state(
    repair: &mut Repair<'_>,
    snapshot: &dyn Snapshot,
    (salvaged, head, limits): (Salvaged, Option<Head>, QuotaLimits),
    commits: &mut Commits<'_>,
) -> Result<(), RepairError> {
    let account = repair.account;
    let mut terms = match head {
        Some(head) => head.terms,
        None => Terms {
            limits,
            floor: Floor {
                modseq: floor_of(snapshot, account, None)?,
                at_ms: repair.shared.runtime.now().unix_ms,
            },
            ..Terms::default()
        },
    };
    let now_ms = repair.shared.runtime.now().unix_ms;
    lost_entries(repair, snapshot, &salvaged)?;
    if let Some(base) = &salvaged.base {
        terms.floor = Floor {
            modseq: base.modseq(),
            at_ms: now_ms,
        };
        unseen_base(repair, snapshot, base, commits)?;
        repair.told(
            Checker::StateIsLog,
            format!(
                "the state after change {} is where the log begins now",
                base.modseq()
            ),
        );
    }
    for (modseq, _) in &salvaged.lost {
        commits.batch.delete(keys::log(account, *modseq));
    }
    let view = after(repair, &salvaged, &mut commits.batch)?;
    if latest_is_wrong(snapshot, account, head.as_ref(), &salvaged)? {
        commits.batch.delete(keys::root(account, Chain::Latest));
        repair.told(
            Checker::StateIsLog,
            "the checkpoint is made again from the log",
        );
    }
    let head = Head::of(&view, terms).encode();
    let stored = snapshot.get(&keys::head(account))?;
    if stored.as_ref().is_none_or(|stored| stored.value != head) {
        repair.told(
            Checker::StateIsLog,
            "the account's head was made again from its log",
        );
    }
    commits.batch.put(keys::head(account), head);
    commits.submit()
}

/// Sets aside the entries that can't be used.
fn lost_entries(
    repair: &mut Repair<'_>,
    snapshot: &dyn Snapshot,
    salvaged: &Salvaged,
) -> Result<(), RepairError> {
    for (modseq, why) in &salvaged.lost {
        let key = keys::log(repair.account, *modseq);
        if let Some(stored) = snapshot.get(&key)? {
            let why = format!("change {modseq} of the account's log can't be used: {why}");
            repair.keep(Checker::RecordReadable, &key, &stored.value, &why)?;
        }
        let what = if salvaged.lossy {
            format!(
                "change {modseq} is lost and was set aside; what it did may be undone or shown as new"
            )
        } else {
            format!("change {modseq} was set aside; a checkpoint knows what it did")
        };
        repair.told(Checker::RecordReadable, what);
    }
    Ok(())
}

/// Writes the parts of a new base, all of them; parts of the old one that it has
/// not are marked as gone.
fn unseen_base(
    repair: &Repair<'_>,
    snapshot: &dyn Snapshot,
    base: &View,
    commits: &mut Commits<'_>,
) -> Result<(), RepairError> {
    let account = repair.account;
    let engine = &*repair.shared.engine;
    let mut parts: BTreeSet<Part> = BTreeSet::new();
    let chunks = base.keywords().len().div_ceil(KEYWORDS_PER_RECORD);
    parts.extend((0..chunks).filter_map(|chunk| u32::try_from(chunk).ok().map(Part::Keywords)));
    for mailbox in base.mailboxes() {
        parts.insert(Part::Mailbox(mailbox.id()));
        let pages = pages_of(mailbox).into_iter();
        parts.extend(pages.map(|page| Part::Page(mailbox.id(), page)));
    }
    let (start, end) = keys::parts(account, Chain::Base);
    let mut never = Vec::new();
    for_each(snapshot, start, &end, |key, _| {
        match keys::part_of(&key) {
            // Keywords are numbered: a chunk that is not written is not shown.
            Some((Part::Keywords(_), generation)) if generation == base.modseq() => never.push(key),
            Some((Part::Keywords(_), _)) | None => {}
            // One of a later generation would come to light with a later base.
            Some((_, generation)) if generation > base.modseq() => never.push(key),
            Some((part, _)) => {
                parts.insert(part);
            }
        }
        Ok(())
    })?;
    for key in never {
        commits.batch.delete(key);
    }
    commits.submit()?;
    let parts = parts.into_iter().map(|part| (part, None)).collect();
    let bytes = repair.shared.options.checkpoint_commit_bytes;
    let unseen = write_parts(engine, (account, Chain::Base), base, parts, bytes)?;
    commits.batch = unseen.batch;
    commits
        .batch
        .put(keys::root(account, Chain::Base), encode_root(base));
    Ok(())
}

/// True if the latest checkpoint is not the state that was saved, as far as it goes.
fn latest_is_wrong(
    snapshot: &dyn Snapshot,
    account: AccountId,
    head: Option<&Head>,
    salvaged: &Salvaged,
) -> Result<bool, RepairError> {
    if snapshot.get(&keys::root(account, Chain::Latest))?.is_none() {
        return Ok(false);
    }
    if salvaged.base.is_some() {
        return Ok(true);
    }
    let mut findings = Findings::default();
    let floor = floor_of(snapshot, account, head)?;
    check_log(snapshot, account, floor, &mut findings)?;
    let is_its = |finding: &Finding| {
        matches!(
            finding,
            Finding::Checkpoint(_) | Finding::CheckpointDiffers(_)
        )
    };
    Ok(findings.into_vec().iter().any(is_its))
}

/// What has to follow the saved state, as changes of the log: an inbox where it
/// is lost, numbers that nobody can have been given, UIDs that mean something else.
fn after(
    repair: &mut Repair<'_>,
    salvaged: &Salvaged,
    batch: &mut Batch,
) -> Result<View, RepairError> {
    let mut log = Log {
        account: repair.account,
        at_ms: repair.shared.runtime.now().unix_ms,
        view: salvaged.view.clone(),
        batch,
    };
    if salvaged.lossy {
        let modseq = ModSeq(salvaged.last.0.saturating_add(RAISE_MODSEQ));
        let draft = stage_raise(&log.view, RAISE).map_err(StoreError::from)?;
        log.append(draft, modseq)?;
    }
    for &mailbox in &salvaged.doubtful {
        if log.view.mailbox(mailbox).is_some() {
            let draft = stage_uid_validity(&log.view, mailbox).map_err(StoreError::from)?;
            log.append(draft, log.view.modseq().next())?;
        }
    }
    if log.view.inbox().is_none() {
        let missing: Vec<_> = DEFAULT_MAILBOXES
            .iter()
            .filter_map(|(name, role)| Some((MailboxName::parse(name).ok()?, *role)))
            .filter(|(name, _)| log.view.mailbox_named(name).is_none())
            .map(|(name, role)| {
                let is_free = log.view.role(role).is_none();
                (name, is_free.then_some(role))
            })
            .collect();
        let (mut draft, _) = stage_create(&log.view, &missing).map_err(StoreError::from)?;
        if let Change::Create { mailboxes } = &mut draft.change {
            // Above every one that the lost mailboxes can have had. RFC 9051 §2.3.1.1
            let first = first_uid_validity(repair.shared).max(log.view.next_uid_validity());
            for (n, mailbox) in (0..).zip(mailboxes) {
                mailbox.uid_validity = UidValidity(first.0.saturating_add(n));
            }
        }
        log.append(draft, log.view.modseq().next())?;
    }
    let view = log.view;
    if salvaged.lossy {
        repair.told(
            Checker::UidModseqGrow,
            "changes are lost: numbers that they may have given are passed over, and mail programs load the mailboxes anew",
        );
    }
    if !salvaged.doubtful.is_empty() {
        repair.told(
            Checker::UidValidityUnique,
            format!("{} mailboxes have a new UIDVALIDITY, because their UIDs may have meant other messages", salvaged.doubtful.len()),
        );
    }
    Ok(view)
}

/// Changes that are added to the log in the commit.
struct Log<'a> {
    account: AccountId,
    at_ms: u64,
    view: View,
    batch: &'a mut Batch,
}

impl Log<'_> {
    fn append(&mut self, draft: Draft, modseq: ModSeq) -> Result<(), RepairError> {
        let entry: LogEntry = draft.into_entry(modseq, self.at_ms);
        apply(&mut self.view, &entry).map_err(StoreError::from)?;
        self.batch
            .put(keys::log(self.account, modseq), entry.encode());
        Ok(())
    }
}
