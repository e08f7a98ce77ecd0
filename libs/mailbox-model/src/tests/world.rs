//! An account with its log, for tests, and the checks that must always hold.

use crate::stage::{
    Arrival, Expunging, FlagAction, FlagsRequest, StageError, Wanted, stage_copy, stage_create,
    stage_delete, stage_deliver, stage_expunge, stage_flags, stage_move, stage_raise, stage_rename,
    stage_restore, stage_subscribe, stage_touch, stage_uid_validity, stage_unsubscribe,
};
use crate::{
    Change, Counters, Draft, Effects, EmailId, Entry, Flag, LogEntry, MailboxId, MailboxName,
    ModSeq, Places, Raise, Role, Uid, UidSet, UidValidity, Usage, View, Weight, apply,
    apply_noting,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct World {
    pub(super) view: View,
    pub(super) log: Vec<LogEntry>,
    /// The view before the first entry and after each.
    pub(super) views: Vec<View>,
    pub(super) effects: Effects,
    pub(super) weight: Weight,
    /// Brought from view to view.
    pub(super) places: Places,
    uid_validities: BTreeSet<UidValidity>,
    seen: BTreeMap<MailboxId, (Uid, ModSeq)>,
}

pub(super) fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).expect("a valid name")
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            view: View::empty(UidValidity(100)),
            log: Vec::new(),
            views: vec![View::empty(UidValidity(100))],
            effects: Effects::default(),
            weight: Weight::default(),
            places: Places::of(&View::empty(UidValidity(100))),
            uid_validities: BTreeSet::new(),
            seen: BTreeMap::new(),
        };
        world.create("INBOX", Some(Role::Inbox)).expect("fresh");
        world.create("Archive", Some(Role::Archive)).expect("fresh");
        world
    }

    /// Numbers, applies, and checks everything.
    pub(super) fn commit(&mut self, draft: Draft) -> Effects {
        let modseq = self.view.modseq().next();
        let entry = draft.into_entry(modseq, 1_000 + modseq.0 * 1_000);
        let decoded = LogEntry::decode(&entry.encode()).expect("it decodes");
        assert_eq!(decoded, entry);
        let before = self.view.clone();
        let mut effects = Effects::default();
        apply_noting(&mut self.view, &entry, &mut effects).expect("what was staged applies");
        assert_eq!(before.modseq.next(), self.view.modseq);
        self.weight = self.weight.after(&before, &self.view, &effects.mailboxes);
        self.check_changed(&before);
        self.check_places();
        self.log.push(entry);
        self.views.push(self.view.clone());
        self.effects.pages.extend(effects.pages.iter().copied());
        self.effects
            .mailboxes
            .extend(effects.mailboxes.iter().copied());
        self.check(&before);
        effects
    }

    /// The way from emails to copies is as if it were made anew.
    fn check_places(&mut self) {
        self.places.advance(&self.view);
        let anew = Places::of(&self.view);
        let ids = |places: &Places| places.emails().map(|(id, ..)| id).collect::<Vec<_>>();
        assert_eq!(ids(&self.places), ids(&anew));
        assert_eq!(self.places.len(), anew.len());
        for (email, _, entry) in self.places.emails() {
            assert_eq!(entry.email, email);
            let copies = |places: &Places| {
                let copies = places.copies(email).map(|(m, entry)| (m.id(), entry.uid));
                copies.collect::<BTreeSet<_>>()
            };
            assert_eq!(copies(&self.places), copies(&anew));
        }
    }

    pub(super) fn id(&self, mailbox: &str) -> MailboxId {
        self.view
            .mailbox_named(&name(mailbox))
            .expect("the mailbox is there")
            .id()
    }

    pub(super) fn entries(&self, mailbox: &str) -> Vec<Entry> {
        let mailbox = self
            .view
            .mailbox_named(&name(mailbox))
            .expect("the mailbox is there");
        mailbox.entries().iter().cloned().collect()
    }

    pub(super) fn create(&mut self, to: &str, role: Option<Role>) -> Result<(), StageError> {
        let (draft, _) = stage_create(&self.view, &[(name(to), role)])?;
        self.commit(draft);
        Ok(())
    }

    pub(super) fn deliver(&mut self, to: MailboxId, flags: &[Flag], size: u64) -> Uid {
        let arrival = Arrival {
            flags,
            size,
            dated: size % 3 == 2,
        };
        let staged = stage_deliver(&self.view, to, &[arrival]).expect("room");
        self.commit(staged.draft);
        staged.emails[0].1
    }

    pub(super) fn flags(
        &mut self,
        mailbox: MailboxId,
        uids: &UidSet,
        action: FlagAction,
        flags: &[Flag],
        unchanged_since: Option<ModSeq>,
    ) -> UidSet {
        let request = FlagsRequest {
            mailbox,
            uids,
            action,
            flags,
            unchanged_since,
            untouched: Default::default(),
        };
        let staged = stage_flags(&self.view, &request).expect("the mailbox is there");
        if let Some(draft) = staged.draft {
            self.commit(draft);
        }
        staged.modified
    }

    pub(super) fn copy(&mut self, from: MailboxId, to: MailboxId, uids: &UidSet) -> Effects {
        let staged = stage_copy(&self.view, from, to, uids).expect("both are there");
        self.transferred(staged, to)
    }

    pub(super) fn move_(&mut self, from: MailboxId, to: MailboxId, uids: &UidSet) -> Effects {
        let staged = stage_move(&self.view, from, to, uids).expect("both are there");
        self.transferred(staged, to)
    }

    fn transferred(&mut self, staged: crate::stage::TransferStaged, to: MailboxId) -> Effects {
        let effects = staged
            .draft
            .map(|draft| self.commit(draft))
            .unwrap_or_default();
        let target = self.view.mailbox(to).expect("it is there");
        assert!(
            staged
                .uids
                .iter()
                .all(|(_, uid)| target.find(*uid).is_some())
        );
        effects
    }

    pub(super) fn expunge(&mut self, mailbox: MailboxId, which: Expunging<'_>) -> Effects {
        let staged = stage_expunge(&self.view, mailbox, which, usize::MAX).expect("it is there");
        staged
            .draft
            .map(|draft| self.commit(draft))
            .unwrap_or_default()
    }

    pub(super) fn restore(&mut self, to: MailboxId, wanted: &[Wanted]) -> Vec<(EmailId, Uid)> {
        let staged = stage_restore(&self.view, to, wanted).expect("it was there");
        if let Some(draft) = staged.draft {
            self.commit(draft);
        }
        staged.emails
    }

    /// What can be brought back of everything that was ever delivered.
    pub(super) fn ever_delivered(&self) -> Vec<Wanted> {
        let mut all = Vec::new();
        for entry in &self.log {
            if let Change::Deliver { items, .. } = &entry.change {
                all.extend(items.iter().map(|item| Wanted {
                    email: item.email,
                    keywords: item.keywords.clone(),
                    size: item.size,
                }));
            }
        }
        all
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), StageError> {
        let draft = stage_rename(&self.view, &name(from), &name(to))?;
        self.commit(draft);
        Ok(())
    }

    pub(super) fn delete(&mut self, gone: &str) -> Result<(), StageError> {
        let staged = stage_delete(&self.view, &name(gone))?;
        self.commit(staged.draft);
        Ok(())
    }

    pub(super) fn subscribe(&mut self, to: &str, subscribe: bool) {
        let draft = if subscribe {
            stage_subscribe(&self.view, &name(to)).expect("few")
        } else {
            stage_unsubscribe(&self.view, &name(to))
        };
        if let Some(draft) = draft {
            self.commit(draft);
        }
    }

    pub(super) fn touch(&mut self, mailbox: MailboxId, uids: &UidSet) {
        if let Some(draft) = stage_touch(&self.view, mailbox, uids).expect("it is there") {
            self.commit(draft);
        }
    }

    pub(super) fn new_uid_validity(&mut self, mailbox: MailboxId) {
        let draft = stage_uid_validity(&self.view, mailbox).expect("it is there");
        self.commit(draft);
    }

    pub(super) fn raise(&mut self, by: u32) {
        let before = self.view.clone();
        let raise = Raise {
            uids: by,
            emails: u64::from(by),
            mailboxes: by,
            uid_validities: by,
        };
        self.commit(stage_raise(&self.view, raise).expect("room"));
        let now = self.view.modseq();
        for mailbox in self.view.mailboxes() {
            let old = before.mailbox(mailbox.id()).expect("it stays");
            assert_eq!(mailbox.uid_next().0, old.uid_next().0 + by);
            assert_eq!(mailbox.vanished_since(before.modseq()), None);
            let changed = mailbox.changed_since(before.modseq()).count();
            assert_eq!(changed, old.entries().len());
            assert_eq!(mailbox.vanished_since(now), Some(UidSet::new()));
        }
    }

    /// What changed since a moment is found among the recent changes as it is by
    /// looking at every entry.
    fn check_changed(&self, before: &View) {
        let since = self.views.get(self.views.len().saturating_sub(3));
        for since in [before.modseq(), since.map_or(ModSeq(0), View::modseq)] {
            for mailbox in self.view.mailboxes() {
                let all = mailbox.entries().iter().enumerate();
                let all: Vec<_> = all.filter(|(_, entry)| entry.modseq > since).collect();
                let found: Vec<_> = mailbox.changed_since(since).collect();
                assert_eq!(found, all, "changed since {since}");
            }
        }
    }

    fn check(&mut self, before: &View) {
        assert_eq!(self.weight, Weight::of(&self.view));
        for mailbox in self.view.mailboxes() {
            let old = before.mailbox(mailbox.id());
            if old.is_none_or(|old| old.uid_validity() != mailbox.uid_validity()) {
                assert!(
                    self.uid_validities.insert(mailbox.uid_validity()),
                    "UIDVALIDITY again"
                );
                assert_ne!(mailbox.uid_validity(), UidValidity(0));
            }
            let seen = self.seen.entry(mailbox.id()).or_insert((Uid(1), ModSeq(0)));
            assert!(mailbox.uid_next() >= seen.0 && mailbox.highest_modseq() >= seen.1);
            assert!(mailbox.highest_modseq() <= self.view.modseq());
            *seen = (mailbox.uid_next(), mailbox.highest_modseq());
        }
        check_view(&self.view);
    }

    pub(super) fn folded(&self) -> View {
        let mut view = View::empty(UidValidity(100));
        for entry in &self.log {
            apply(&mut view, entry).expect("the log folds");
        }
        view
    }
}

/// The invariants that a view keeps by itself.
pub(super) fn check_view(view: &View) {
    let mut emails: BTreeMap<_, Vec<(MailboxId, Entry)>> = BTreeMap::new();
    for mailbox in view.mailboxes() {
        let mut entries = mailbox.entries().iter();
        let first = entries.position(|entry| !entry.keywords.is_seen());
        assert_eq!(mailbox.first_unseen(), first);
        let mut sums = Counters::default();
        let mut last = Uid(0);
        for (rank, entry) in mailbox.entries().iter().enumerate() {
            assert!(entry.uid > last && entry.uid < mailbox.uid_next());
            last = entry.uid;
            assert_eq!(mailbox.find(entry.uid), Some((rank, entry)));
            assert!(entry.modseq <= mailbox.highest_modseq());
            sums.add(entry);
            emails
                .entry(entry.email)
                .or_default()
                .push((mailbox.id(), entry.clone()));
        }
        assert_eq!(sums, mailbox.counters());
        assert_eq!(view.mailbox_named(mailbox.name()), Some(mailbox));
    }
    let mut usage = Usage::default();
    for (email, copies) in &emails {
        assert!(*email < view.next_email());
        usage.emails += 1;
        usage.bytes += copies[0].1.size();
        let places: BTreeSet<_> = copies.iter().map(|(mailbox, _)| *mailbox).collect();
        assert_eq!(places.len(), copies.len(), "twice in one mailbox");
        assert!(
            copies
                .iter()
                .all(|(_, entry)| entry.keywords == copies[0].1.keywords)
        );
        let known = view.copies(copies[0].0, &copies[0].1);
        assert_eq!(known.len(), copies.len());
    }
    assert_eq!(usage, view.usage());
    assert!(
        view.shared
            .keys()
            .all(|email| emails.get(email).is_some_and(|c| c.len() > 1))
    );
}
