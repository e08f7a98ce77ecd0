//! An account at a moment, by its emails.
//!
//! A view knows emails by mailbox and UID; [`Places`] leads to them by id. One is kept for each of the
//! accounts used lately and brought up to date by what changed since.

use crate::access::Room;
use crate::limits::{INDEXED_EMAILS_MAX, INDEXES_MAX, INLINE_EMAILS};
use crate::methods::store_failed;
use crate::{Jmap, Shared};
use envelope::AccountId;
use jmap_proto::MethodError;
use mailbox_model::{EmailId, Entry, Mailbox, MailboxId, ModSeq, Places, Uid, UidSet, View};
use mailstore::{Account, object_id};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
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
    /// What the user has read of another's mailboxes.
    seen: Arc<BTreeMap<MailboxId, UidSet>>,
    /// Emails of threads that were looked at.
    #[cfg(test)]
    steps: Arc<std::sync::atomic::AtomicU64>,
}

impl Jmap {
    pub(crate) async fn look(&self, room: &Arc<Room>) -> Result<Look, MethodError> {
        let places = self.shared.places(&room.account).await;
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
            seen: Arc::new(seen),
            #[cfg(test)]
            steps: Arc::clone(&self.shared.steps),
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
    pub(crate) fn entry(&self, entry: &Entry) -> Entry {
        let seen = self.is_seen(entry);
        entry.clone().with_seen(seen)
    }

    /// Has the user read the email of this entry? In another's account each copy is read for itself, as IMAP shows it;
    /// an email is read where all are that he sees.
    pub(crate) fn is_seen(&self, entry: &Entry) -> bool {
        if self.room.is_own() {
            return entry.keywords.is_seen();
        }
        let mut copies = self.copies(entry.email);
        copies.all(|(mailbox, copy)| {
            let read = self.seen.get(&mailbox.id());
            read.is_some_and(|read| read.contains(copy.uid))
        })
    }

    /// All emails that are shown, each once, with a copy as the user sees it, in order of their ids.
    pub(crate) fn emails(&self) -> impl Iterator<Item = (EmailId, Entry)> {
        self.places.emails().filter_map(|(email, mailbox, entry)| {
            if !entry.deleted && self.room.shows(mailbox.id()) {
                return Some((email, self.entry(entry)));
            }
            let (_, entry) = self.copies(email).next()?;
            Some((email, self.entry(entry)))
        })
    }

    /// The UID of an email's copy in a mailbox, shown or not.
    pub(crate) fn uid_in(&self, email: EmailId, mailbox: MailboxId) -> Option<Uid> {
        let mut copies = self.places.copies(email);
        let found = copies.find(|(of, _)| of.id() == mailbox);
        found.map(|(_, entry)| entry.uid)
    }
}

#[cfg(test)]
impl Look {
    /// Somebody looks at an email of a thread.
    pub(crate) fn note_step(&self) {
        self.steps
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}
