//! What scripts ask for, done to the owner's account (RFC 6785 §3).
//!
//! Nothing in here is an event, so that no script runs behind a script (§2.2.3, §6).

use super::Redirecting;
use super::run::Job;
use super::world::role;
use crate::access::is_below_others;
use crate::commands::append::{self, Intake};
use crate::limits::{
    APPEND_RECORDS_BYTES_MAX, EVENT_FILED_OCTETS, EVENT_REDIRECT_BYTES_MAX, EVENT_REDIRECTS_MAX,
    EVENT_TIME_MAX,
};
use blobs::StagedBlob;
use bytes::{Bytes, BytesMut};
use envelope::Address;
use mailbox_model::stage::FlagAction;
use mailbox_model::{Flag, MailboxId, MailboxName, Uid, UidSet};
use mailstore::{EmailRecord, NewEmail, StoreError};
use runtime::Monotonic;
use sieve::{Action, Filing, Outcome, Version};
use std::collections::{BTreeMap, BTreeSet};

/// A message, and what the script came to.
pub(super) struct Decided {
    pub(super) uid: Uid,
    pub(super) record: EmailRecord,
    /// Prefix and header.
    pub(super) header: Bytes,
    /// The flags that the script was shown.
    pub(super) flags: Vec<String>,
    pub(super) outcome: Outcome,
}

/// What one mailbox gets in one change.
#[derive(Default)]
struct Filed {
    blobs: Vec<StagedBlob>,
    emails: Vec<NewEmail>,
    /// Whose originals they are.
    of: Vec<Uid>,
    octets: u64,
    /// Octets of their records.
    records: usize,
}

/// Flags to add or to take away, and of which messages.
type Edits = BTreeMap<(bool, Flag), UidSet>;

pub(super) struct Acting<'a> {
    job: &'a Job,
    /// The owner's address, once it was needed.
    from: Option<Address>,
    redirects: usize,
    begun: Monotonic,
}

impl<'a> Acting<'a> {
    pub(super) fn new(job: &'a Job, begun: Monotonic) -> Self {
        Self {
            job,
            from: None,
            redirects: 0,
            begun,
        }
    }

    /// Does what the script asks for of some messages. Where something fails, the message stays.
    pub(super) async fn act(&mut self, decided: Vec<Decided>) {
        let mut all: BTreeMap<u32, Filed> = BTreeMap::new();
        let mut failed = BTreeSet::new();
        for decided in &decided {
            self.job.tell(decided.uid, &decided.outcome);
            if let Err(why) = self.act_on(decided, &mut all, &mut failed).await {
                self.failed(decided.uid, &why);
                failed.insert(decided.uid);
            }
        }
        for (mailbox, filed) in all {
            self.file(mailbox, filed, &mut failed).await;
        }
        let mut edits = Edits::new();
        for decided in &decided {
            if decided.outcome.failure.is_none() && !failed.contains(&decided.uid) {
                edit(decided, &mut edits);
            }
        }
        self.store(edits).await;
    }

    fn failed(&self, uid: Uid, why: &str) {
        let (session, account) = (self.job.session, self.job.account.id());
        tracing::warn!(session, %account, uid = uid.0, script = self.job.script, why, "imap: what a script asks for is not done, the message stays");
    }

    /// One change of a mailbox.
    async fn file(&self, mailbox: u32, filed: Filed, failed: &mut BTreeSet<Uid>) {
        let account = &self.job.account;
        let stored = account
            .append(MailboxId(mailbox), filed.blobs, &filed.emails)
            .await;
        if let Err(error) = stored {
            for uid in filed.of {
                self.failed(uid, &error.to_string());
                failed.insert(uid);
            }
        }
    }

    async fn act_on(
        &mut self,
        decided: &Decided,
        all: &mut BTreeMap<u32, Filed>,
        failed: &mut BTreeSet<Uid>,
    ) -> Result<(), String> {
        if decided.outcome.failure.is_some() {
            return Ok(());
        }
        // A large message that is filed dozens of times takes long too.
        if self.job.ports.runtime.monotonic().since(self.begun) > EVENT_TIME_MAX {
            return Err("the scripts behind this command have taken too long".into());
        }
        for performed in &decided.outcome.actions {
            match &performed.action {
                // RFC 6785 §3.1: a message in a mailbox is as it is; its flags are seen to at the end.
                Action::Keep { .. } | Action::Discard => {}
                Action::FileInto(filing) => {
                    let mailbox = self.mailbox(filing).await?;
                    let message = self.stored(decided, &performed.version).await;
                    let message = message.map_err(|error| error.to_string())?;
                    let to = all.entry(mailbox.0).or_default();
                    to.octets += message.blob.size;
                    to.records += message.digest.len();
                    to.emails.push(NewEmail {
                        blob: message.blob.id,
                        blob_size: message.blob.size,
                        prefix: Bytes::new(),
                        digest: message.digest,
                        received_at: decided.record.received_at,
                        flags: parsed(&filing.flags).collect(),
                    });
                    to.blobs.push(message.blob);
                    to.of.push(decided.uid);
                    // What is too much for one change, or for who has no room, is not gathered first.
                    if to.octets >= EVENT_FILED_OCTETS || to.records >= APPEND_RECORDS_BYTES_MAX {
                        let full = std::mem::take(to);
                        self.file(mailbox.0, full, failed).await;
                    }
                }
                Action::Redirect { to, .. } => {
                    self.redirect(decided, &performed.version, to).await?;
                }
                other => return Err(format!("\"{}\" has no meaning here", other.name())),
            }
        }
        Ok(())
    }

    /// The owner's mailbox that a script names.
    async fn mailbox(&self, filing: &Filing) -> Result<MailboxId, String> {
        let view = self.job.view();
        let special = filing.special_use.as_deref().and_then(role);
        // RFC 8579 §5: the special use comes before the name.
        if let Some(found) = special.and_then(|role| view.role(role)) {
            return Ok(found.id());
        }
        let name = MailboxName::parse(&filing.mailbox).map_err(|error| error.to_string())?;
        if is_below_others(name.as_str()) {
            return Err(format!("{:?} is no mailbox of the owner", filing.mailbox));
        }
        match view.mailbox_named(&name) {
            Some(found) => Ok(found.id()),
            None if filing.create => {
                let made = self.job.account.create_mailbox(&name, special).await;
                made.map_err(|error| error.to_string())
            }
            None => Err(format!("there is no mailbox {:?}", filing.mailbox)),
        }
    }

    /// The message, stored anew: RFC 6785 §3.3: "fileinto always creates a new message".
    async fn stored(
        &self,
        decided: &Decided,
        version: &Version,
    ) -> Result<append::Message, StoreError> {
        let (runtime, account) = (&self.job.ports.runtime, &self.job.account);
        let mut intake = Intake::with(&self.job.ports, account);
        let from = match version {
            Version::Original => 0,
            Version::Header(header) | Version::Whole(header) => {
                intake.push(header)?;
                decided.header.len() as u64
            }
        };
        let end = match version {
            Version::Whole(_) => from,
            _ => decided.record.size(),
        };
        let mut reader = account.open_message(&decided.record, from..end);
        while let Some(piece) = reader.next_piece().await? {
            let work = move || intake.push(&piece).map(|()| intake);
            intake = runtime.blocking(work).await?;
        }
        runtime.blocking(move || intake.finish()).await
    }

    /// RFC 6785 §3.4
    async fn redirect(
        &mut self,
        decided: &Decided,
        version: &Version,
        to: &str,
    ) -> Result<(), String> {
        let Some(outgoing) = self.job.ports.events.outgoing.clone() else {
            return Err("nothing can be sent from here".into());
        };
        // THREATS 26: a COPY of thousands of messages does not become thousands of messages to somebody else.
        if self.redirects >= EVENT_REDIRECTS_MAX {
            return Err(format!(
                "scripts behind one command send at most {EVENT_REDIRECTS_MAX} messages"
            ));
        }
        self.redirects += 1;
        let size = decided.record.size();
        if size > EVENT_REDIRECT_BYTES_MAX {
            return Err(format!(
                "scripts send messages of at most {EVENT_REDIRECT_BYTES_MAX} octets"
            ));
        }
        let message = self
            .message(decided, version)
            .await
            .map_err(|error| error.to_string())?;
        let to = Address::parse(to).map_err(|error| error.to_string())?;
        let from = self.from().await?;
        let redirecting = Redirecting {
            owner: self.job.account.id(),
            from,
            to,
            message,
        };
        let id = outgoing.redirect(redirecting).await?;
        tracing::info!(session = self.job.session, account = %self.job.account.id(), uid = decided.uid.0, %id, "imap: a script sends a message on");
        Ok(())
    }

    async fn message(&self, decided: &Decided, version: &Version) -> Result<Bytes, StoreError> {
        let account = &self.job.account;
        let size = decided.record.size();
        match version {
            Version::Original => account.read_message(&decided.record, 0..size).await,
            Version::Whole(whole) => Ok(Bytes::copy_from_slice(whole)),
            Version::Header(header) => {
                let from = decided.header.len() as u64;
                let body = account.read_message(&decided.record, from..size).await?;
                let mut message = BytesMut::with_capacity(header.len() + body.len());
                message.extend_from_slice(header);
                message.extend_from_slice(&body);
                Ok(message.freeze())
            }
        }
    }

    async fn from(&mut self) -> Result<Address, String> {
        if let Some(from) = &self.from {
            return Ok(from.clone());
        }
        let owner = self
            .job
            .ports
            .logins
            .address_of(self.job.account.id())
            .await;
        let owner = owner.map_err(|error| error.to_string())?;
        let owner = owner.ok_or("the owner may not use the account")?;
        self.from = Some(owner.clone());
        Ok(owner)
    }

    /// One change for each flag, however many messages it is of.
    async fn store(&self, edits: Edits) {
        for ((add, flag), uids) in edits {
            let action = if add {
                FlagAction::Add
            } else {
                FlagAction::Remove
            };
            let account = &self.job.account;
            let stored = account
                .store_flags(self.job.mailbox, &uids, action, &[flag], None)
                .await;
            if let Err(error) = stored {
                let (session, account) = (self.job.session, account.id());
                tracing::warn!(session, %account, %error, "imap: the flags that a script sets are not kept");
            }
        }
    }
}

fn parsed(flags: &[String]) -> impl Iterator<Item = Flag> + '_ {
    flags.iter().filter_map(|flag| Flag::parse(flag))
}

/// What the script made of the flags that it was shown: only that is changed, whatever else has been since.
///
/// RFC 6785 §3.8: "The flag changes behave as though a client had made the change." What is not kept is marked
/// `\Deleted` (§3.3 to §3.5), and left for the client to expunge (§2.2.4).
fn edit(decided: &Decided, edits: &mut Edits) {
    let outcome = &decided.outcome;
    let kept = outcome
        .actions
        .iter()
        .find_map(|performed| match &performed.action {
            Action::Keep { flags, .. } => Some(flags),
            _ => None,
        });
    let after = kept.unwrap_or(&outcome.flags);
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    // A script does not see more than it may handle: what it was not shown it has not taken away.
    let shown = sieve::shown_flags(decided.flags.iter().map(String::as_str));
    let gone = shown
        .iter()
        .filter(|flag| !after.iter().any(|now| same(now, flag)));
    let come = after
        .iter()
        .filter(|flag| !decided.flags.iter().any(|was| same(was, flag)));
    let mut changes: Vec<(bool, Flag)> = gone
        .filter_map(|flag| Some((false, Flag::parse(flag)?)))
        .collect();
    changes.extend(come.filter_map(|flag| Some((true, Flag::parse(flag)?))));
    if !outcome.keeps() {
        changes.retain(|(_, flag)| *flag != Flag::Deleted);
        changes.push((true, Flag::Deleted));
    }
    for change in changes {
        edits.entry(change).or_default().push(decided.uid);
    }
}
