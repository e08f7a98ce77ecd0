//! COPY and MOVE with their UID forms (RFC 9051 §6.4.7, §6.4.8; UIDPLUS: RFC 4315).
//!
//! Between mailboxes of one owner an email is shared or moved; to another owner's its octets
//! are stored anew, and count there.

use crate::access::{Place, no_right};
use crate::commands::append::{self, Intake, try_create};
use crate::commands::fetch::{Unreadable, readable};
use crate::commands::qresync;
use crate::commands::store::{mark_seen, untouched};
use crate::events;
use crate::limits::{APPEND_RECORDS_BYTES_MAX, RECORDS_PER_READ};
use crate::message_limit::keep_last;
use crate::reply::{Executed, Reply, SyncMode, store_failed};
use crate::selected::OwnStore;
use crate::session::Session;
use bytes::Bytes;
use imap_proto::response::{self, Code, Status};
use imap_proto::{MailboxName, SequenceSet};
use mailbox_model::stage::Expunging;
use mailbox_model::{Entry, Flag, Uid, UidSet, View};
use mailstore::{Account, EmailRecord, NewEmail, Rights, Transferred};
use std::sync::Arc;

pub(crate) async fn copy(
    session: &mut Session,
    uid: bool,
    set: &SequenceSet,
    name: &MailboxName,
) -> Executed {
    let work = match Work::new(session, uid, set, name, None).await {
        Ok(work) => work,
        Err(reply) => return Ok(reply),
    };
    if let Err(reply) = session.check_saves(work.count()) {
        return Ok(reply);
    }
    let done = match work.is_within_one_account() {
        true => {
            let (from, to) = (work.from, work.target.mailbox.id());
            let copied = work.account.copy(from, to, &work.uids).await;
            copied.map_err(|error| store_failed(&error))
        }
        false => work.copy_over(session).await,
    };
    let done = match done {
        Ok(done) => done,
        Err(reply) => return Ok(reply),
    };
    work.keep_seen(session, &done).await;
    events::copied(
        session,
        &work.target.account,
        work.target.mailbox.id(),
        &done,
    )
    .await;
    Ok(match work.code(&done) {
        Some(code) => Reply::ok("copied").with_code(code),
        None if done.uids.is_empty() => Reply::ok("there was nothing to copy"),
        None => Reply::ok("copied"),
    })
}

pub(crate) async fn move_(
    session: &mut Session,
    uid: bool,
    set: &SequenceSet,
    name: &MailboxName,
) -> Executed {
    if session.selected.as_ref().is_some_and(|s| s.read_only) {
        return Ok(Reply::no(
            Code::READ_ONLY,
            "the mailbox was opened by EXAMINE",
        ));
    }
    // RFC 6851: as for STORE of \Deleted and EXPUNGE.
    let needed = Rights::DELETE | Rights::EXPUNGE;
    if session
        .selected
        .as_ref()
        .is_some_and(|s| !s.rights().has(needed))
    {
        return Ok(no_right());
    }
    // RFC 9738 §3.1: unlike COPY it need not do all.
    let work = match Work::new(session, uid, set, name, session.messages_max()).await {
        Ok(work) => work,
        Err(reply) => return Ok(reply),
    };
    let moved = match work.is_within_one_account() {
        true => {
            let (from, to) = (work.from, work.target.mailbox.id());
            let moved = work.account.move_(from, to, &work.uids).await;
            moved.map_err(|error| store_failed(&error))
        }
        false => work.move_over(session).await,
    };
    let done = match moved {
        Ok(done) => done,
        Err(reply) => return Ok(reply),
    };
    work.keep_seen(session, &done).await;
    events::copied(
        session,
        &work.target.account,
        work.target.mailbox.id(),
        &done,
    )
    .await;
    // RFC 6851 §4.3: COPYUID goes out before the expunges, untagged.
    if let Some(code) = work.code(&done) {
        response::untagged_status(&mut session.out, Status::Ok, Some(&code), "moved");
    }
    session.sync(SyncMode::Everything, OwnStore::None).await?;
    let reply = qresync::with_state(session, Reply::ok("moved")).await?;
    Ok(session.limited(reply, work.lowest))
}

/// What is to go where.
struct Work {
    account: Arc<Account>,
    from: mailbox_model::MailboxId,
    view: Arc<View>,
    uids: UidSet,
    /// As the client knows them.
    entries: Vec<Entry>,
    /// The first of them, where those before it are left out.
    lowest: Option<Uid>,
    target: Place,
}

impl Work {
    async fn new(
        session: &Session,
        uid: bool,
        set: &SequenceSet,
        name: &MailboxName,
        max: Option<u32>,
    ) -> Result<Self, Reply> {
        let Some(selected) = &session.selected else {
            return Err(Reply::bad("select a mailbox first"));
        };
        let Ok(mut ranks) = selected.ranks(set, uid) else {
            return Err(Reply::bad("there is no message of that number"));
        };
        let cut = max.is_some_and(|max| keep_last(&mut ranks, max));
        let uids = selected.uids(&ranks);
        let lowest = uids.iter().next().filter(|_| cut);
        let target = session.place(name, Rights::INSERT).await;
        let target = target.map_err(|reply| match reply.code {
            Some(Code::Plain("NONEXISTENT")) => try_create(),
            _ => reply,
        })?;
        // Only what crosses owners, or is read by another, is looked at one by one.
        let each = target.other.is_some() || selected.readership.is_some();
        let entries = ranks.iter().filter(|_| each).flat_map(|range| {
            let entries = selected.entries().focus().narrow(range.clone());
            entries.into_iter().cloned().collect::<Vec<_>>()
        });
        Ok(Self {
            account: Arc::clone(&selected.account),
            from: selected.id,
            view: selected.account.view(),
            uids,
            entries: entries.collect(),
            lowest,
            target,
        })
    }

    fn count(&self) -> usize {
        usize::try_from(self.uids.len()).unwrap_or(usize::MAX)
    }

    fn is_within_one_account(&self) -> bool {
        self.account.id() == self.target.account.id()
    }

    /// Copies into another's mailbox, all or none.
    async fn copy_over(&self, session: &Session) -> Result<Transferred, Reply> {
        let (mut blobs, mut emails, mut uids) = (Vec::new(), Vec::new(), Vec::new());
        let mut records_bytes = 0;
        for batch in self.entries.chunks(RECORDS_PER_READ) {
            let ids: Vec<_> = batch.iter().map(|entry| entry.email).collect();
            let records = self.account.email_records(&ids).await;
            for (entry, record) in batch.iter().zip(records) {
                let record = match readable(record) {
                    Ok(record) => record,
                    Err(Unreadable::Gone) => continue,
                    Err(Unreadable::Damaged(why)) => {
                        tracing::error!(session = session.id, email = %entry.email, why, "imap: a message cannot be copied");
                        let text = "a message cannot be read";
                        return Err(Reply::no(Code::SERVER_BUG, text));
                    }
                };
                let message = self.read(session, &record).await?;
                records_bytes += message.digest.len();
                if records_bytes > APPEND_RECORDS_BYTES_MAX && !emails.is_empty() {
                    let text = "that is too much for one change; copy fewer messages at once";
                    return Err(Reply::no(Code::LIMIT, text));
                }
                emails.push(NewEmail {
                    blob: message.blob.id,
                    blob_size: message.blob.size,
                    prefix: Bytes::new(),
                    digest: message.digest,
                    received_at: record.received_at,
                    flags: self.flags(entry),
                });
                blobs.push(message.blob);
                uids.push(entry.uid);
            }
        }
        let to = self.target.mailbox.id();
        if emails.is_empty() {
            return Ok(Transferred {
                uid_validity: self.target.mailbox.uid_validity(),
                uids: Vec::new(),
            });
        }
        let done = self.target.account.append(to, blobs, &emails).await;
        let done = done.map_err(|error| store_failed(&error))?;
        Ok(Transferred {
            uid_validity: done.uid_validity,
            uids: uids
                .into_iter()
                .zip(done.emails.into_iter().map(|(_, uid)| uid))
                .collect(),
        })
    }

    /// Copies, then expunges what was copied: what is cut short leaves both.
    async fn move_over(&self, session: &Session) -> Result<Transferred, Reply> {
        let done = self.copy_over(session).await?;
        let copied: UidSet = done.uids.iter().map(|(from, _)| *from).collect();
        let gone = self
            .account
            .expunge(self.from, Expunging::Exactly(&copied))
            .await;
        gone.map_err(|error| store_failed(&error))?;
        Ok(done)
    }

    /// The message's octets, stored where the target is.
    async fn read(
        &self,
        session: &Session,
        record: &EmailRecord,
    ) -> Result<append::Message, Reply> {
        let mut intake = Intake::new(session, &self.target.account);
        let mut reader = self.account.open_message(record, 0..record.size());
        loop {
            let piece = reader.next_piece().await;
            match piece.map_err(|error| store_failed(&error))? {
                Some(piece) => intake = append::push(session, intake, piece.to_vec()).await?,
                None => return append::finish(session, intake).await,
            }
        }
    }

    /// The flags that go with a message to another owner; `\Deleted` never does.
    fn flags(&self, entry: &Entry) -> Vec<Flag> {
        let untouched = untouched(self.target.rights);
        let into_own = self.target.other.is_none();
        let flags = entry.flags().map(|flag| self.view.flag(flag));
        let goes = |flag: &Flag| match flag {
            Flag::Deleted => false,
            // In another's mailbox it is the reader's own.
            Flag::Seen => into_own,
            other => !untouched.names(other),
        };
        flags.filter(goes).collect()
    }

    /// What the user has read stays read in another's mailbox. That it does not is no failure.
    async fn keep_seen(&self, session: &Session, done: &Transferred) {
        let Some(other) = &self.target.other else {
            return;
        };
        let was_seen = |uid| {
            let found = self.entries.binary_search_by(|entry| entry.uid.cmp(&uid));
            found.is_ok_and(|at| self.entries[at].keywords.is_seen())
        };
        let seen = done.uids.iter().filter(|(from, _)| was_seen(*from));
        let seen: UidSet = seen.map(|(_, to)| *to).collect();
        if seen.is_empty() || !self.target.rights.has(Rights::SEEN) {
            return;
        }
        let to = self.target.mailbox.id();
        let marked = mark_seen(&self.target.account, to, Some(other.reader()), &seen).await;
        if let Err(error) = marked {
            tracing::warn!(session = session.id, %error, "imap: \\Seen is not kept");
        }
    }

    /// RFC 9051 §6.4.7: the UIDs of a mailbox are for who may read it.
    fn code(&self, done: &Transferred) -> Option<Code> {
        if done.uids.is_empty() || !self.target.rights.has(Rights::READ) {
            return None;
        }
        let (from, to) = done.uids.iter().map(|(from, to)| (from.0, to.0)).unzip();
        Some(Code::CopyUid(done.uid_validity.0, from, to))
    }
}
