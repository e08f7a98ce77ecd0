//! Any history: invariants hold, the log folds to the live view, pages rebuild it.

use super::world::{World, check_view, name};
use crate::page::{ViewBuilder, encode_mailbox, encode_page, encode_root};
use crate::stage::{Expunging, FlagAction, stage_exact_flags, stage_rename_each};
use crate::{
    Flag, Item, Keywords, LogEntry, MailboxId, Rewind, Uid, UidSet, UidValidity, View, apply, undo,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Deliver(u8, u8, u16),
    Flags(u8, u8, u8, u8),
    Copy(u8, u8, u8),
    Move(u8, u8, u8),
    Expunge(u8),
    Take(u8, u8),
    Create(u8),
    Rename(u8, u8),
    Delete(u8),
    Subscribe(u8, bool),
    UidValidity(u8),
    Touch(u8, u8),
    Restore(u8, prop::sample::Index),
    Exact(u8, u8, u8),
    Exchange(u8, u8),
    Raise(u8),
    Checkpoint,
}

const NAMES: [&str; 8] = [
    "a", "a/b", "a/b/c", "d", "d/e", "Archive", "INBOX", "inbox/x",
];

pub(super) fn step() -> impl Strategy<Value = Step> {
    use Step::{
        Checkpoint, Copy, Create, Delete, Deliver, Expunge, Flags, Move, Rename, Subscribe, Take,
    };
    prop_oneof![
        6 => any::<(u8, u8, u16)>().prop_map(|(m, f, s)| Deliver(m, f, s)),
        5 => any::<(u8, u8, u8, u8)>().prop_map(|(m, u, a, f)| Flags(m, u, a, f)),
        3 => any::<(u8, u8, u8)>().prop_map(|(f, t, u)| Copy(f, t, u)),
        3 => any::<(u8, u8, u8)>().prop_map(|(f, t, u)| Move(f, t, u)),
        2 => any::<u8>().prop_map(Expunge),
        2 => any::<(u8, u8)>().prop_map(|(m, u)| Take(m, u)),
        3 => any::<u8>().prop_map(Create),
        2 => any::<(u8, u8)>().prop_map(|(f, t)| Rename(f, t)),
        1 => any::<u8>().prop_map(Delete),
        1 => any::<(u8, bool)>().prop_map(|(m, s)| Subscribe(m, s)),
        1 => any::<u8>().prop_map(Step::UidValidity),
        1 => any::<(u8, u8)>().prop_map(|(m, u)| Step::Touch(m, u)),
        3 => any::<(u8, prop::sample::Index)>().prop_map(|(m, e)| Step::Restore(m, e)),
        1 => any::<(u8, u8, u8)>().prop_map(|(m, u, f)| Step::Exact(m, u, f)),
        1 => any::<(u8, u8)>().prop_map(|(a, b)| Step::Exchange(a, b)),
        1 => any::<u8>().prop_map(Step::Raise),
        1 => Just(Checkpoint),
    ]
}

fn flags(bits: u8) -> Vec<Flag> {
    let all = [
        "\\Seen",
        "\\Deleted",
        "\\Flagged",
        "$Junk",
        "$JUNK",
        "work",
        "\\Draft",
        "x",
    ];
    let chosen = all
        .iter()
        .enumerate()
        .filter(|(at, _)| bits & (1 << at) != 0);
    chosen.filter_map(|(_, flag)| Flag::parse(flag)).collect()
}

/// A few UIDs near the mailbox's end, some of which are not there.
fn uids(world: &World, mailbox: MailboxId, bits: u8) -> UidSet {
    let next = world
        .view
        .mailbox(mailbox)
        .expect("it is there")
        .uid_next()
        .0;
    let base = next.saturating_sub(7).max(1);
    (0..8)
        .filter(|at| bits & (1 << at) != 0)
        .map(|at| Uid(base + at))
        .collect()
}

fn pick(world: &World, choice: u8) -> MailboxId {
    let all: Vec<_> = world.view.mailboxes().collect();
    all[usize::from(choice) % all.len()].id()
}

pub(super) fn run(world: &mut World, step: &Step, stored: &mut Stored) {
    let label = |choice: u8| NAMES[usize::from(choice) % NAMES.len()];
    match *step {
        Step::Deliver(to, bits, size) => {
            world.deliver(pick(world, to), &flags(bits), u64::from(size));
        }
        Step::Flags(mailbox, which, action, bits) => {
            let mailbox = pick(world, mailbox);
            let which = uids(world, mailbox, which);
            let actions = [FlagAction::Add, FlagAction::Remove, FlagAction::Replace];
            let action = actions[usize::from(action) % 3];
            world.flags(mailbox, &which, action, &flags(bits), None);
        }
        Step::Copy(from, to, which) => {
            let (from, to) = (pick(world, from), pick(world, to));
            world.copy(from, to, &uids(world, from, which));
        }
        Step::Move(from, to, which) => {
            let (from, to) = (pick(world, from), pick(world, to));
            world.move_(from, to, &uids(world, from, which));
        }
        Step::Expunge(mailbox) => {
            world.expunge(pick(world, mailbox), Expunging::Deleted);
        }
        Step::Take(mailbox, which) => {
            let mailbox = pick(world, mailbox);
            let which = uids(world, mailbox, which);
            world.expunge(mailbox, Expunging::Exactly(&which));
        }
        Step::Create(to) => drop(world.create(label(to), None)),
        Step::Rename(from, to) => drop(world.rename(label(from), label(to))),
        Step::Delete(gone) => drop(world.delete(label(gone))),
        Step::Subscribe(to, on) => world.subscribe(label(to), on),
        Step::Touch(mailbox, which) => {
            let mailbox = pick(world, mailbox);
            let which = uids(world, mailbox, which);
            world.touch(mailbox, &which);
        }
        Step::UidValidity(mailbox) => world.new_uid_validity(pick(world, mailbox)),
        Step::Restore(mailbox, email) => {
            let mut all = world.ever_delivered();
            if !all.is_empty() {
                let first = email.index(all.len());
                all.drain(..first);
                all.truncate(3);
                world.restore(pick(world, mailbox), &all);
            }
        }
        Step::Exact(mailbox, which, bits) => {
            let mailbox = pick(world, mailbox);
            let keywords = Keywords::from_parts(bits, Vec::new());
            let chosen = uids(world, mailbox, which);
            let wanted = chosen
                .iter()
                .map(|uid| (uid, (keywords.clone(), bits > 99)));
            let wanted = wanted.collect();
            let draft = stage_exact_flags(&world.view, mailbox, &wanted).expect("it is there");
            drop(draft.map(|draft| world.commit(draft)));
            let there = world.view.mailbox(mailbox).expect("there");
            for (_, entry) in there.select(&chosen) {
                assert_eq!((&entry.keywords, entry.deleted), (&keywords, bits > 99));
            }
        }
        Step::Exchange(one, other) => {
            let (one, other) = (pick(world, one), pick(world, other));
            let name_of = |id| world.view.mailbox(id).expect("there").name().clone();
            let names = [(one, name_of(other)), (other, name_of(one))];
            if let Ok(Some(draft)) = stage_rename_each(&world.view, &names.into()) {
                world.commit(draft);
            }
        }
        Step::Raise(by) => world.raise(u32::from(by)),
        Step::Checkpoint => stored.write(world),
    }
}

/// What undo restores of a view; see its module.
fn content(view: &View) -> impl PartialEq + std::fmt::Debug {
    let mailboxes: Vec<_> = view
        .mailboxes()
        .map(|mailbox| {
            let copies = mailbox.entries().iter().map(Item::from);
            (
                (mailbox.id(), mailbox.name().clone(), mailbox.role()),
                (mailbox.uid_validity(), mailbox.counters()),
                copies.collect::<Vec<_>>(),
            )
        })
        .collect();
    let subscriptions: Vec<_> = view.subscriptions().cloned().collect();
    (mailboxes, subscriptions, view.usage(), view.shared.clone())
}

/// A checkpoint that writes only what the effects name.
#[derive(Default)]
pub(super) struct Stored {
    root: Option<Vec<u8>>,
    keywords: Vec<String>,
    mailboxes: BTreeMap<MailboxId, Vec<u8>>,
    pages: BTreeMap<(MailboxId, u32), Vec<u8>>,
}

impl Stored {
    fn write(&mut self, world: &mut World) {
        let view = &world.view;
        for id in std::mem::take(&mut world.effects.mailboxes) {
            match encode_mailbox(view, id) {
                Some(record) => drop(self.mailboxes.insert(id, record)),
                None => drop(self.mailboxes.remove(&id)),
            }
        }
        for (id, page) in std::mem::take(&mut world.effects.pages) {
            match encode_page(view, id, page) {
                Some(record) => drop(self.pages.insert((id, page), record)),
                None => drop(self.pages.remove(&(id, page))),
            }
        }
        self.keywords = view
            .keywords()
            .iter()
            .map(|name| name.to_string())
            .collect();
        self.root = Some(encode_root(view));
    }

    fn read(&self) -> Option<View> {
        let mut builder = ViewBuilder::new(self.root.as_ref()?).expect("the root");
        self.keywords.iter().for_each(|name| builder.keyword(name));
        for (id, record) in &self.mailboxes {
            builder.mailbox(*id, record).expect("a mailbox");
        }
        for ((id, page), record) in &self.pages {
            builder.page(*id, *page, record).expect("a page");
        }
        Some(builder.finish().expect("parts that agree"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_invariants(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let mut stored = Stored::default();
        for step in &steps {
            run(&mut world, step, &mut stored);
        }
        let folded = world.folded();
        prop_assert_eq!(&folded, &world.view);
        check_view(&folded);
        // A checkpoint and the log after it give the same.
        if let Some(mut view) = stored.read() {
            let after = view.modseq();
            for entry in world.log.iter().filter(|entry| entry.modseq > after) {
                apply(&mut view, entry).expect("the tail folds");
            }
            prop_assert_eq!(&view, &world.view);
        }
        stored.write(&mut world);
        let rebuilt = stored.read().expect("written just now");
        prop_assert_eq!(&rebuilt, &world.view);
    }

    #[test]
    fn undoing_back_to_any_moment_gives_what_was_there(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        for step in &steps {
            run(&mut world, step, &mut Stored::default());
        }
        let mut rewind = Rewind::new(world.view.clone());
        for (entry, before) in world.log.iter().zip(&world.views).rev() {
            rewind.undo(entry).expect("what was applied is undone");
            prop_assert_eq!(content(rewind.view()), content(before), "{:?}", entry);
            check_view(rewind.view());
            prop_assert_eq!(rewind.view().modseq(), world.view.modseq());
            prop_assert!(rewind.view().keywords() == world.view.keywords());
        }
        // One by one it is the same.
        let last = world.log.last().expect("there is one");
        let mut view = world.view.clone();
        undo(&mut view, last).expect("undone");
        prop_assert_eq!(content(&view), content(&world.views[world.log.len() - 1]));
    }

    #[test]
    fn damaged_logs_are_errors_never_panics(
        steps in prop::collection::vec(step(), 1..20),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        entry in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new();
        let mut stored = Stored::default();
        for step in &steps {
            run(&mut world, step, &mut stored);
        }
        let hit = entry.index(world.log.len());
        let mut view = View::empty(UidValidity(100));
        for (at, entry) in world.log.iter().enumerate() {
            let mut record = entry.encode();
            if at == hit {
                for (index, byte) in &damage {
                    let len = record.len();
                    record[index.index(len)] = *byte;
                }
            }
            let Ok(entry) = LogEntry::decode(&record) else { break };
            let mut rewind = Rewind::new(view.clone());
            let _ = rewind.undo(&entry);
            if apply(&mut view, &entry).is_err() {
                break;
            }
        }
    }

    #[test]
    fn damaged_pages_are_errors_never_panics(
        steps in prop::collection::vec(step(), 1..30),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut world = World::new();
        let mut stored = Stored::default();
        for step in &steps {
            run(&mut world, step, &mut stored);
        }
        stored.write(&mut world);
        let root = stored.root.as_ref().expect("written");
        let mut builder = ViewBuilder::new(root).expect("the root");
        for (id, record) in &stored.mailboxes {
            let mut record = record.clone();
            let len = record.len();
            record[at.index(len)] = byte;
            let _ = builder.mailbox(*id, &record);
        }
        for ((id, page), record) in &stored.pages {
            let mut record = record.clone();
            let len = record.len();
            record[at.index(len)] = byte;
            let _ = builder.page(*id, *page, &record);
        }
        drop(builder.finish());
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        drop(LogEntry::decode(&bytes));
        drop(ViewBuilder::new(&bytes));
    }
}

#[test]
fn large_mailboxes_lose_scattered_entries() {
    let mut world = World::new();
    let inbox = world.id("INBOX");
    for _ in 0..1500 {
        world.deliver_fast(inbox);
    }
    let odd: UidSet = (1..=1500).step_by(2).map(Uid).collect();
    world.expunge(inbox, Expunging::Exactly(&odd));
    assert_eq!(world.entries("INBOX").len(), 750);
    let few: UidSet = [Uid(2), Uid(700), Uid(1500)].into_iter().collect();
    world.expunge(inbox, Expunging::Exactly(&few));
    assert_eq!(world.entries("INBOX").len(), 747);
    let mailbox = world
        .view
        .mailbox_named(&name("INBOX"))
        .expect("it is there");
    let gone = mailbox
        .vanished_since(crate::ModSeq(0))
        .expect("remembered");
    let counted = (1..1501).filter(|&uid| gone.contains(Uid(uid))).count();
    assert_eq!(counted, 753);
}
