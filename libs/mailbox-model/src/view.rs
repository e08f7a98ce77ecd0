//! The state of an account: an immutable value that shares structure with the
//! one before it. Cloning costs a few counters; only [`crate::apply`] changes one.
//!
//! Invariants: names are unique; an email in `shared` has two copies or more,
//! each in another mailbox, with the same keywords; every other email has
//! exactly one copy; `usage` counts each email once.

use crate::flags::{Flag, FlagId, KeywordTable};
use crate::ids::{EmailId, MailboxId, ModSeq, Uid, UidValidity};
use crate::mailbox::{Entry, Mailbox};
use crate::name::MailboxName;
use crate::recent::RecentChanges;
use crate::role::Role;
use crate::uidset::UidSet;
use imbl::{OrdMap, OrdSet};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// What an account uses, each email once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Octets of its emails.
    pub bytes: u64,
    /// Emails.
    pub emails: u64,
}

/// Where an email is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Copy {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its number there.
    pub uid: Uid,
}

/// An account at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub(crate) modseq: ModSeq,
    pub(crate) next_email: EmailId,
    pub(crate) next_mailbox: MailboxId,
    pub(crate) next_uid_validity: UidValidity,
    pub(crate) usage: Usage,
    pub(crate) keywords: KeywordTable,
    pub(crate) mailboxes: OrdMap<MailboxId, Arc<Mailbox>>,
    pub(crate) by_name: OrdMap<MailboxName, MailboxId>,
    pub(crate) subscriptions: OrdSet<MailboxName>,
    pub(crate) shared: OrdMap<EmailId, Arc<[Copy]>>,
}

impl View {
    /// An account before its first change. UIDVALIDITYs begin at `first`,
    /// which should grow with time so that an account made anew under an old
    /// name never repeats one.
    #[must_use]
    pub fn empty(first: UidValidity) -> Self {
        Self {
            modseq: ModSeq(0),
            next_email: EmailId(1),
            next_mailbox: MailboxId(1),
            next_uid_validity: UidValidity(first.0.max(1)),
            usage: Usage::default(),
            keywords: KeywordTable::default(),
            mailboxes: OrdMap::new(),
            by_name: OrdMap::new(),
            subscriptions: OrdSet::new(),
            shared: OrdMap::new(),
        }
    }

    /// The number of the last change.
    #[must_use]
    pub fn modseq(&self) -> ModSeq {
        self.modseq
    }

    /// The id that the next email gets.
    #[must_use]
    pub fn next_email(&self) -> EmailId {
        self.next_email
    }

    /// The id that the next mailbox gets.
    #[must_use]
    pub fn next_mailbox(&self) -> MailboxId {
        self.next_mailbox
    }

    /// The UIDVALIDITY that the next mailbox gets.
    #[must_use]
    pub fn next_uid_validity(&self) -> UidValidity {
        self.next_uid_validity
    }

    /// What the account uses.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The account's keywords.
    #[must_use]
    pub fn keywords(&self) -> &KeywordTable {
        &self.keywords
    }

    /// A mailbox by its id.
    #[must_use]
    pub fn mailbox(&self, id: MailboxId) -> Option<&Arc<Mailbox>> {
        self.mailboxes.get(&id)
    }

    /// A mailbox by its full name.
    #[must_use]
    pub fn mailbox_named(&self, name: &MailboxName) -> Option<&Arc<Mailbox>> {
        self.mailbox(*self.by_name.get(name)?)
    }

    /// True if another view of the account has the same names and subscriptions, as far as that is known without
    /// looking at each.
    #[must_use]
    pub fn has_names_of(&self, other: &Self) -> bool {
        self.by_name.ptr_eq(&other.by_name) && self.subscriptions.ptr_eq(&other.subscriptions)
    }

    /// All mailboxes in order of their names.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.by_name.values().filter_map(|id| self.mailbox(*id))
    }

    /// How many mailboxes there are.
    #[must_use]
    pub fn mailbox_count(&self) -> usize {
        self.mailboxes.len()
    }

    /// The inbox.
    #[must_use]
    pub fn inbox(&self) -> Option<&Arc<Mailbox>> {
        self.mailbox(*self.by_name.get("INBOX")?)
    }

    /// The mailbox with this special use.
    #[must_use]
    pub fn role(&self, role: Role) -> Option<&Arc<Mailbox>> {
        self.mailboxes.values().find(|m| m.role == Some(role))
    }

    /// True if mailboxes lie below this name.
    #[must_use]
    pub fn has_children(&self, name: &MailboxName) -> bool {
        self.below(name).next().is_some()
    }

    /// The names of the mailboxes below this name, in order.
    pub(crate) fn below(&self, name: &MailboxName) -> impl Iterator<Item = &MailboxName> {
        let prefix = format!("{name}/");
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        self.by_name
            .range::<_, str>(from)
            .map(|(name, _)| name)
            .take_while(move |name| name.as_str().starts_with(&prefix))
    }

    /// Every name there is, with its mailbox; a name without one exists only
    /// because mailboxes lie below it (`\NonExistent`, RFC 9051 §7.3.1).
    #[must_use]
    pub fn names(&self) -> BTreeMap<MailboxName, Option<MailboxId>> {
        let mut names = BTreeMap::new();
        for (name, id) in &self.by_name {
            // What is there has its own parents there already: depth costs nothing.
            let mut above = name.parent();
            while let Some(parent) = above.filter(|name| !names.contains_key(name)) {
                above = parent.parent();
                names.insert(parent, None);
            }
            names.insert(name.clone(), Some(*id));
        }
        names
    }

    /// The subscribed names, mailboxes or not.
    pub fn subscriptions(&self) -> impl Iterator<Item = &MailboxName> {
        self.subscriptions.iter()
    }

    /// True if the name is subscribed.
    #[must_use]
    pub fn is_subscribed(&self, name: &MailboxName) -> bool {
        self.subscriptions.contains(name)
    }

    /// A flag's name.
    #[must_use]
    pub fn flag(&self, id: FlagId) -> Flag {
        match id {
            FlagId::Seen => Flag::Seen,
            FlagId::Answered => Flag::Answered,
            FlagId::Flagged => Flag::Flagged,
            FlagId::Draft => Flag::Draft,
            FlagId::Deleted => Flag::Deleted,
            FlagId::Keyword(id) => {
                Flag::Keyword(self.keywords.name(id).cloned().unwrap_or_else(|| "".into()))
            }
        }
    }

    /// A flag's number; none for a keyword that the account does not know.
    #[must_use]
    pub fn flag_id(&self, flag: &Flag) -> Option<FlagId> {
        Some(match flag {
            Flag::Seen => FlagId::Seen,
            Flag::Answered => FlagId::Answered,
            Flag::Flagged => FlagId::Flagged,
            Flag::Draft => FlagId::Draft,
            Flag::Deleted => FlagId::Deleted,
            Flag::Keyword(name) => FlagId::Keyword(self.keywords.id(name)?),
        })
    }

    /// The copies in other mailboxes that get a flag together with entries of
    /// this one: all flags are the email's but `\Deleted`, which is a copy's own.
    pub(crate) fn copies_of(&self, mailbox: &Mailbox, uids: &UidSet, flag: FlagId) -> Vec<Copy> {
        if flag == FlagId::Deleted || self.shared.is_empty() {
            return Vec::new();
        }
        mailbox
            .select(uids)
            .filter_map(|(_, entry)| self.shared.get(&entry.email))
            .flat_map(|copies| copies.iter().copied())
            .filter(|copy| copy.mailbox != mailbox.id)
            .collect()
    }

    /// The copies of the email that this entry of `mailbox` shows, itself among them.
    #[must_use]
    pub fn copies(&self, mailbox: MailboxId, entry: &Entry) -> Vec<Copy> {
        match self.shared.get(&entry.email) {
            Some(copies) => copies.to_vec(),
            None => vec![Copy {
                mailbox,
                uid: entry.uid,
            }],
        }
    }

    /// Lets go of what sessions would ask for about the changes so far, when
    /// there is no session yet: after loading, that is memory for nothing.
    pub fn forget_recent(&mut self) {
        let known = self
            .mailboxes
            .values()
            .filter(|m| m.recent.extent() != (0, 0));
        let ids: Vec<MailboxId> = known.map(|mailbox| mailbox.id).collect();
        for id in ids {
            if let Some(mailbox) = self.mailbox_mut(id) {
                mailbox.recent = RecentChanges::after(mailbox.highest_modseq);
            }
        }
    }

    pub(crate) fn mailbox_mut(&mut self, id: MailboxId) -> Option<&mut Mailbox> {
        self.mailboxes.get_mut(&id).map(Arc::make_mut)
    }

    /// Notes one more copy of an email that is at `first` already.
    pub(crate) fn share(&mut self, email: EmailId, first: Copy, added: Copy) {
        let mut copies = match self.shared.get(&email) {
            Some(copies) => copies.to_vec(),
            None => vec![first],
        };
        copies.push(added);
        copies.sort_unstable();
        self.shared.insert(email, copies.into());
    }

    /// Notes that a copy is gone; true if it was the last.
    pub(crate) fn unshare(&mut self, email: EmailId, gone: Copy) -> bool {
        let Some(copies) = self.shared.get(&email) else {
            return true;
        };
        let rest: Vec<Copy> = copies.iter().copied().filter(|&c| c != gone).collect();
        if rest.len() > 1 {
            self.shared.insert(email, rest.into());
        } else {
            self.shared.remove(&email);
        }
        false
    }
}
