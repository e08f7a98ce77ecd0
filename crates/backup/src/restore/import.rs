//! Restoring one account or mailbox into a living system: what is missing comes
//! back as new copies, with its flags and dates and under new UIDs.
//!
//! The account is first restored into a scratch store as it was, which is read
//! with the same code as any ([`scratch`]); so the import knows nothing of
//! stored forms.

mod deliver;
mod scratch;
mod still_there;

use self::scratch::Scratch;
use self::still_there::StillThere;
use super::Store;
use crate::archive::{Backup, Run, hex};
use crate::error::BackupError;
use crate::limits::SCAN_RECORDS;
use crate::pass::Pass;
use crate::run::Watch;
use blobs::Blobs;
use envelope::{AccountId, Address};
use mailbox_model::{EmailId, Flag, MailboxId, MailboxName, Uid, View};
use mailstore::{Account, EmailRecord, Mailstore};
use runtime::Runtime;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the mail goes.
#[derive(Debug, Clone)]
pub struct Living {
    /// The accounts.
    pub mailstore: Mailstore,
    /// Their bodies.
    pub blobs: Arc<Blobs>,
    /// Runs the store's operations.
    pub runtime: Runtime,
    /// A folder for the scratch store, on a disk with room for the account.
    pub scratch: PathBuf,
}

/// What is wanted back.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The account, by its address in the backup.
    pub address: Address,
    /// The living account that gets the mail.
    pub account: AccountId,
    /// One mailbox, or all.
    pub mailbox: Option<MailboxName>,
    /// A mailbox below which everything is put; none is where it was.
    pub below: Option<MailboxName>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    /// Mailboxes that were looked at.
    pub mailboxes: u64,
    /// Mailboxes that were made.
    pub made: Vec<String>,
    /// Copies that came back, or would.
    pub emails: u64,
    /// Copies that are still there.
    pub still_there: u64,
    /// What could not be restored, in words, up to a bound.
    pub lost: Vec<String>,
    /// How much could not be restored in all.
    pub lost_count: usize,
}

/// Brings mail back. Blocks. What was imported when an error comes stays; asked
/// again, only the rest comes.
///
/// # Errors
/// The account or mailbox is not in the backup; a store can't be used.
pub fn import(
    backup: &Backup<'_>,
    run: &Run,
    living: &Living,
    wanted: &Wanted,
    watch: &mut dyn Watch,
) -> Result<Imported, BackupError> {
    let scratch = Scratch::new(&living.scratch, &living.runtime)?;
    let mut pass = Pass::new(backup, false)?;
    let old = scratch.account(&mut pass, run, &wanted.address, watch)?;
    let target = living.mailstore.account(wanted.account);
    let target = living.runtime.block_on(target)?;
    let mut import = Import {
        there: StillThere::of(&living.runtime, &target)?,
        living,
        wanted,
        scratch,
        old,
        target,
        result: Imported::default(),
    };
    let mut plan = import.plan()?;
    import.result.emails = plan.iter().map(|email| email.places.len() as u64).sum();
    if !wanted.dry_run {
        for email in &plan {
            pass.want_body(email.record.blob)?;
        }
        import.bodies(&mut pass, &mut plan, watch)?;
        import.make_mailboxes(&plan)?;
        import.deliver(&plan, watch)?;
    }
    let mut result = import.result;
    result.lost_count = pass.damage.count;
    result.lost = pass.damage.told;
    Ok(result)
}

/// One email that comes back.
struct Email {
    old: EmailId,
    record: EmailRecord,
    flags: Vec<Flag>,
    /// The mailboxes it comes back to, by their old ids; true if it was `\Deleted` there.
    places: Vec<(MailboxId, bool)>,
}

struct Import<'a> {
    living: &'a Living,
    wanted: &'a Wanted,
    there: StillThere,
    scratch: Scratch,
    old: Arc<Account>,
    target: Arc<Account>,
    result: Imported,
}

impl Import<'_> {
    /// The name that an old mailbox's mail comes back to.
    fn target_name(&self, old: &MailboxName) -> Result<MailboxName, BackupError> {
        match &self.wanted.below {
            None => Ok(old.clone()),
            Some(below) => MailboxName::parse(&format!("{below}/{old}"))
                .map_err(|_| BackupError::NoMailbox(format!("{below}/{old}"))),
        }
    }

    /// Which emails come back, in order of their arrival.
    fn plan(&mut self) -> Result<Vec<Email>, BackupError> {
        let view = self.old.view();
        let mailboxes: Vec<_> = match &self.wanted.mailbox {
            None => view.mailboxes().collect(),
            Some(name) => vec![
                view.mailbox_named(name)
                    .ok_or_else(|| BackupError::NoMailbox(name.to_string()))?,
            ],
        };
        self.result.mailboxes = mailboxes.len() as u64;
        let mut places: BTreeMap<EmailId, Vec<(MailboxId, Uid)>> = BTreeMap::new();
        for mailbox in &mailboxes {
            for entry in mailbox.entries() {
                let place = (mailbox.id(), entry.uid);
                places.entry(entry.email).or_default().push(place);
            }
        }
        // The oldest mailbox gets the email itself, the others copies: mostly the inbox.
        for places in places.values_mut() {
            places.sort_unstable();
        }
        let mut plan = Vec::new();
        let ids: Vec<EmailId> = places.keys().copied().collect();
        for ids in ids.chunks(SCAN_RECORDS) {
            let records = self.living.runtime.block_on(self.old.email_records(ids));
            for (id, record) in ids.iter().zip(records) {
                // A record that was lost with its stretch was told.
                if let Ok(record) = record {
                    plan.extend(self.plan_email(&view, *id, record, &places[id])?);
                }
            }
        }
        Ok(plan)
    }

    fn plan_email(
        &mut self,
        view: &View,
        old: EmailId,
        record: EmailRecord,
        places: &[(MailboxId, Uid)],
    ) -> Result<Option<Email>, BackupError> {
        let mut email = Email {
            old,
            record,
            flags: Vec::new(),
            places: Vec::new(),
        };
        let kept = self.there.is_kept(&email.record)?;
        for &(id, uid) in places {
            let Some((mailbox, (_, entry))) = view
                .mailbox(id)
                .and_then(|mailbox| Some((mailbox, mailbox.find(uid)?)))
            else {
                continue;
            };
            let name = self.target_name(mailbox.name())?;
            if kept || self.there.is_in(&name, &email.record)? {
                self.result.still_there += 1;
                continue;
            }
            if email.places.is_empty() {
                email.flags = entry.keywords.iter().map(|flag| view.flag(flag)).collect();
            }
            email.places.push((id, entry.deleted));
        }
        Ok((!email.places.is_empty()).then_some(email))
    }

    /// Brings the bodies into the scratch store; emails without one are told
    /// and leave the plan.
    fn bodies(
        &mut self,
        pass: &mut Pass<'_>,
        plan: &mut Vec<Email>,
        watch: &mut dyn Watch,
    ) -> Result<(), BackupError> {
        let mut store = Store::new(&self.scratch.into);
        pass.bodies(&mut store, watch)?;
        store.settle()?;
        let lost = pass.lost_bodies()?;
        let (damage, result) = (&mut pass.damage, &mut self.result);
        plan.retain(|email| {
            let is_there = !lost.contains(&email.record.blob.0);
            if !is_there {
                let body = hex(&email.record.blob.0[..8]);
                damage.tell(format!("email {}: its body {body} is lost", email.old));
                result.emails -= email.places.len() as u64;
            }
            is_there
        });
        Ok(())
    }
}
