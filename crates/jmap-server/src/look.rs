//! An account at a moment, by its emails.
//!
//! A view knows emails by mailbox and UID; [`Places`] leads to them by id. One is kept for each of the
//! accounts used lately and brought up to date by what changed since. [`Threads`] are the account's own.

use crate::access::Room;
use crate::limits::{INDEXED_EMAILS_MAX, INDEXES_MAX, INLINE_EMAILS};
use crate::methods::store_failed;
use crate::{Jmap, Shared};
use envelope::AccountId;
use jmap_proto::MethodError;
use mailbox_model::{
    EmailId, Entry, FlagId, Mailbox, MailboxId, ModSeq, Places, Role, Threads, Uid, UidSet, View,
};
use mailstore::{Account, object_id};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What is known of accounts used lately.
#[derive(Debug, Default)]
pub(crate) struct Indexes(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    uses: u64,
    of: HashMap<AccountId, (u64, Places)>,
}

impl Indexes {
    fn get(&self, account: AccountId) -> Option<Places> {
        let mut kept = self.0.lock();
        kept.uses += 1;
        let uses = kept.uses;
        let (used, places) = kept.of.get_mut(&account)?;
        *used = uses;
        Some(places.clone())
    }

    fn keep(&self, account: AccountId, places: &Places) {
        let mut kept = self.0.lock();
        kept.uses += 1;
        let uses = kept.uses;
        if let Some((_, other)) = kept.of.get(&account)
            && other.view().modseq() > places.view().modseq()
        {
            return;
        }
        kept.of.insert(account, (uses, places.clone()));
        let emails = |kept: &Kept| kept.of.values().map(|(_, p)| p.len()).sum::<usize>();
        while kept.of.len() > INDEXES_MAX
            || (kept.of.len() > 1 && emails(&kept) > INDEXED_EMAILS_MAX)
        {
            let oldest = kept.of.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                return;
            };
            kept.of.remove(&oldest);
        }
    }
}

impl Shared {
    /// The emails of an account as it is now.
    pub(crate) async fn places(&self, account: &Account) -> Places {
        let view = account.view();
        let known = self.indexes.get(account.id());
        let known = known.filter(|places| places.view().modseq() >= view.modseq());
        if let Some(places) = known {
            return places;
        }
        let before = self.indexes.get(account.id());
        // Much may have changed at once.
        let large = view.usage().emails > INLINE_EMAILS as u64;
        let work = move || match before {
            Some(mut places) => {
                places.advance(&view);
                places
            }
            None => Places::of(&view),
        };
        let places = match large {
            true => self.ports.runtime.blocking(work).await,
            false => work(),
        };
        self.indexes.keep(account.id(), &places);
        places
    }
}

/// An account as a user sees it at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) room: Arc<Room>,
    pub(crate) places: Places,
    /// Of all emails of the places, but of those that a lane has staged.
    threads: Threads,
    /// What the user has read of another's mailboxes.
    seen: Arc<BTreeMap<MailboxId, UidSet>>,
}

impl Jmap {
    pub(crate) async fn look(&self, room: &Arc<Room>) -> Result<Look, MethodError> {
        let places = self.shared.places(&room.account).await;
        // Behind the places, so that none of their emails is missing.
        let threads = room.account.threads().await;
        let threads = threads.map_err(|error| store_failed(&error))?;
        let mut seen = BTreeMap::new();
        if let Some(reader) = room.reader() {
            let mailboxes = places.view().mailboxes().map(|mailbox| mailbox.id());
            for mailbox in mailboxes.filter(|id| room.shows(*id)) {
                let read = room.account.seen_by(mailbox, reader).await;
                seen.insert(mailbox, read.map_err(|error| store_failed(&error))?);
            }
        }
        Ok(Look {
            room: Arc::clone(room),
            places,
            threads,
            seen: Arc::new(seen),
        })
    }
}

impl Look {
    /// The same of another moment: with what a lane has staged.
    pub(crate) fn at(&self, view: &View) -> Self {
        let mut later = self.clone();
        later.places.advance(view);
        later
    }

    pub(crate) fn view(&self) -> &View {
        self.places.view()
    }

    pub(crate) fn modseq(&self) -> ModSeq {
        self.view().modseq()
    }

    pub(crate) fn state(&self) -> String {
        self.room.state(self.modseq())
    }

    /// The mailboxes that the user sees, in order of their names.
    pub(crate) fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        let mailboxes = self.view().mailboxes();
        mailboxes.filter(|mailbox| self.room.shows(mailbox.id()))
    }

    /// The mailbox of an id that the user sees.
    pub(crate) fn mailbox(&self, id: &str) -> Option<&Arc<Mailbox>> {
        let id = object_id::mailbox_of(id, self.room.owner())?;
        self.view().mailbox(id).filter(|_| self.room.shows(id))
    }

    /// The copies of an email that are shown.
    pub(crate) fn copies(&self, email: EmailId) -> impl Iterator<Item = (&Arc<Mailbox>, &Entry)> {
        let copies = self.places.copies(email);
        copies.filter(|(mailbox, entry)| !entry.deleted && self.room.shows(mailbox.id()))
    }

    pub(crate) fn is_shown(&self, email: EmailId) -> bool {
        self.copies(email).next().is_some()
    }

    /// The email of an id, if it is shown.
    pub(crate) fn email(&self, id: &str) -> Option<EmailId> {
        let email = object_id::email_of(id, self.room.owner())?;
        self.is_shown(email).then_some(email)
    }

    pub(crate) fn email_id(&self, email: EmailId) -> String {
        object_id::of_email(email, self.room.owner())
    }

    pub(crate) fn mailbox_id(&self, mailbox: MailboxId) -> String {
        object_id::of_mailbox(mailbox, self.room.owner())
    }

    /// An entry as the user sees it.
    pub(crate) fn entry(&self, mailbox: MailboxId, entry: &Entry) -> Entry {
        let entry = entry.clone();
        match self.seen.get(&mailbox) {
            Some(read) => {
                let seen = read.contains(entry.uid);
                entry.with_seen(seen)
            }
            None => entry,
        }
    }

    /// Has the user read this copy?
    pub(crate) fn is_seen(&self, mailbox: MailboxId, entry: &Entry) -> bool {
        match self.seen.get(&mailbox) {
            Some(read) => read.contains(entry.uid),
            None => entry.keywords.is_seen(),
        }
    }

    /// All emails that are shown, each once, with a copy as the user sees it, in order of their ids.
    pub(crate) fn emails(&self) -> impl Iterator<Item = (EmailId, Entry)> {
        self.places.emails().filter_map(|(email, mailbox, entry)| {
            if !entry.deleted && self.room.shows(mailbox.id()) {
                return Some((email, self.entry(mailbox.id(), entry)));
            }
            let (mailbox, entry) = self.copies(email).next()?;
            Some((email, self.entry(mailbox.id(), entry)))
        })
    }

    /// The UID of an email's copy in a mailbox, shown or not.
    pub(crate) fn uid_in(&self, email: EmailId, mailbox: MailboxId) -> Option<Uid> {
        let mut copies = self.places.copies(email);
        let found = copies.find(|(of, _)| of.id() == mailbox);
        found.map(|(_, entry)| entry.uid)
    }
}

impl Look {
    /// The first email of the thread that an email is in.
    pub(crate) fn thread_of(&self, email: EmailId) -> EmailId {
        self.threads.of(email)
    }

    /// The emails of a thread that are shown, in order of their ids.
    pub(crate) fn thread(&self, first: EmailId) -> Vec<EmailId> {
        let emails = self.threads.emails(first);
        emails.filter(|email| self.is_shown(*email)).collect()
    }

    /// How many threads have an email in a mailbox, and how many of them one anywhere that is unread. Threads
    /// in the trash are others than outside of it (RFC 8621 §2).
    pub(crate) fn thread_counts(&self, mailbox: &Mailbox) -> (u64, u64) {
        let in_trash = mailbox.role() == Some(Role::Trash);
        let shown = mailbox.entries().iter().filter(|entry| !entry.deleted);
        let threads: HashSet<EmailId> = shown.map(|entry| self.thread_of(entry.email)).collect();
        let is_unread = |email: EmailId| {
            let mut copies = self.copies(email).filter(|(of, _)| match in_trash {
                true => of.id() == mailbox.id(),
                false => of.role() != Some(Role::Trash),
            });
            let (of, entry) = copies.next()?;
            let read = self.is_seen(of.id(), entry) || entry.has(FlagId::Draft);
            (!read).then_some(())
        };
        let unread = threads.iter().filter(|first| {
            let mut emails = self.threads.emails(**first);
            emails.any(|email| is_unread(email).is_some())
        });
        (threads.len() as u64, unread.count() as u64)
    }
}
