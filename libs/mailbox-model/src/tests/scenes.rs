//! What PRACTICE and the RFCs ask for, scene by scene.

use super::world::{World, name};
use crate::limits::{MAILBOXES_MAX, RENEWED_PER_CHANGE_MAX};
use crate::stage::{
    Arrival, Expunging, FlagAction, StageError, Wanted, stage_copy, stage_create, stage_deliver,
    stage_move, stage_rename, stage_rename_each, stage_restore,
};
use crate::{
    ApplyError, Change, Draft, EmailId, Flag, FlagId, MailboxId, ModSeq, NewMailbox, Uid, UidSet,
    UidValidity, Weight, apply,
};

#[test]
fn deleted_is_the_copys_and_seen_is_the_emails() {
    let mut world = World::new();
    let (inbox, archive) = (world.id("INBOX"), world.id("Archive"));
    let uid = world.deliver(inbox, &[], 10);
    world.copy(inbox, archive, &UidSet::one(uid));
    world.flags(
        inbox,
        &UidSet::one(uid),
        FlagAction::Add,
        &[Flag::Seen, Flag::Deleted],
        None,
    );
    let copy = &world.entries("Archive")[0];
    assert!(copy.keywords.is_seen() && !copy.deleted);
    assert!(world.entries("INBOX")[0].deleted);
    // Seen in the other mailbox is a change of this one too.
    let archive_modseq = world.view.mailbox(archive).expect("there").highest_modseq();
    assert_eq!(archive_modseq, world.view.modseq());
    // Expunging the marked copy leaves the email and the quota as they are.
    let effects = world.expunge(inbox, Expunging::Deleted);
    assert!(effects.destroyed.is_empty());
    assert_eq!(
        (world.view.usage().emails, world.view.usage().bytes),
        (1, 10)
    );
    let effects = world.expunge(archive, Expunging::Exactly(&UidSet::all()));
    assert_eq!(effects.destroyed, [EmailId(1)]);
    assert_eq!(world.view.usage().bytes, 0);
}

#[test]
fn a_copy_where_the_email_is_already_is_a_new_email() {
    let mut world = World::new();
    let (inbox, archive) = (world.id("INBOX"), world.id("Archive"));
    let uid = world.deliver(inbox, &[Flag::Flagged], 10);
    let one = UidSet::one(uid);
    assert!(world.copy(inbox, archive, &one).renewed.is_empty());
    assert_eq!(
        world.copy(inbox, archive, &one).renewed,
        [(EmailId(1), EmailId(2))]
    );
    assert_eq!(
        world.copy(inbox, inbox, &one).renewed,
        [(EmailId(1), EmailId(3))]
    );
    assert_eq!(world.view.usage().emails, 3);
    assert!(world.entries("Archive")[1].keywords.has(FlagId::Flagged));
    // Moving it there again leaves the first alone.
    let effects = world.move_(inbox, archive, &one);
    assert_eq!(effects.renewed, [(EmailId(1), EmailId(4))]);
    assert!(effects.destroyed.is_empty());
    // Moving within the mailbox gives a new UID and ends the old email.
    let last = world.entries("INBOX")[0].uid;
    let effects = world.move_(inbox, inbox, &UidSet::one(last));
    assert_eq!(effects.destroyed, [EmailId(3)]);
    assert_eq!(world.entries("INBOX")[0].uid, Uid(3));
}

/// Everything is multiplied by it: a million messages are a million of them.
#[test]
fn an_entry_takes_48_bytes() {
    assert_eq!(size_of::<crate::Entry>(), 48);
}

#[test]
fn a_mailbox_copied_into_itself_does_not_double_for_ever() {
    let mut view = World::new().view;
    let inbox = view.inbox().expect("there").id();
    for _ in 0..2 {
        let arrivals = vec![
            Arrival {
                flags: &[],
                size: 1,
                dated: false,
            };
            RENEWED_PER_CHANGE_MAX
        ];
        let draft = stage_deliver(&view, inbox, &arrivals).expect("room").draft;
        let entry = draft.into_entry(view.modseq().next(), 1);
        apply(&mut view, &entry).expect("it fits");
    }
    let last = Uid(RENEWED_PER_CHANGE_MAX as u32);
    let some = UidSet::range(Uid(1), last);
    let more = UidSet::range(Uid(1), last.next());
    assert!(stage_copy(&view, inbox, inbox, &some).is_ok());
    assert_eq!(
        stage_copy(&view, inbox, inbox, &more),
        Err(StageError::Renewed)
    );
    assert_eq!(
        stage_move(&view, inbox, inbox, &more),
        Err(StageError::Renewed)
    );
    // Elsewhere a copy costs next to nothing, however many they are.
    let archive = view.mailbox_named(&name("Archive")).expect("there").id();
    assert!(stage_copy(&view, inbox, archive, &UidSet::all()).is_ok());
}

#[test]
fn mailboxes_are_bounded() {
    let mut view = World::new().view;
    let wanted: Vec<_> = (view.mailbox_count()..MAILBOXES_MAX)
        .map(|at| NewMailbox {
            id: MailboxId(1_000 + at as u32),
            name: name(&format!("m{at}")),
            role: None,
            uid_validity: UidValidity(1_000 + at as u32),
            subscribe: false,
        })
        .collect();
    let full = Draft::from(Change::Create { mailboxes: wanted });
    let entry = full.into_entry(view.modseq().next(), 1);
    apply(&mut view, &entry).expect("it fits");
    let create = |name| stage_create(&view, &[(name, None)]);
    assert_eq!(create(name("one")), Err(StageError::Mailboxes));
    let renamed = |to| stage_rename(&view, &name("Archive"), &name(to));
    assert!(renamed("Old").is_ok());
    assert_eq!(renamed("new/Old"), Err(StageError::Mailboxes));
}

#[test]
fn store_names_only_what_really_changes() {
    let mut world = World::new();
    let inbox = world.id("INBOX");
    for at in 0..5 {
        let seen = [Flag::Seen];
        world.deliver(inbox, if at == 2 { &seen } else { &[] }, 1);
    }
    world.flags(inbox, &UidSet::all(), FlagAction::Add, &[Flag::Seen], None);
    let Some(Change::Flags { edits, .. }) = world.log.last().map(|entry| &entry.change) else {
        panic!("the last change is a STORE");
    };
    let ranges: Vec<_> = edits[0].uids.ranges().collect();
    assert_eq!(ranges, [(Uid(1), Uid(2)), (Uid(4), Uid(5))]);
    // Nothing is left to do, and nothing is logged.
    let entries = world.log.len();
    world.flags(inbox, &UidSet::all(), FlagAction::Add, &[Flag::Seen], None);
    let none = [Flag::Keyword("never-seen".into())];
    world.flags(inbox, &UidSet::all(), FlagAction::Remove, &none, None);
    assert_eq!(world.log.len(), entries);
    assert!(world.view.keywords().is_empty());
}

#[test]
fn store_replaces_and_respects_unchanged_since() {
    let mut world = World::new();
    let inbox = world.id("INBOX");
    for _ in 0..3 {
        world.deliver(
            inbox,
            &[Flag::Seen, Flag::Deleted, Flag::Keyword("a".into())],
            1,
        );
    }
    let before = world.view.modseq();
    world.flags(
        inbox,
        &UidSet::one(Uid(2)),
        FlagAction::Add,
        &[Flag::Draft],
        None,
    );
    let only = [Flag::Flagged];
    let all = UidSet::all();
    let modified = world.flags(inbox, &all, FlagAction::Replace, &only, Some(before));
    assert_eq!(modified, UidSet::one(Uid(2)));
    let shown: Vec<Vec<FlagId>> = world
        .entries("INBOX")
        .iter()
        .map(|entry| entry.flags().collect())
        .collect();
    assert_eq!(shown[0], [FlagId::Flagged]);
    assert_eq!(shown[1].len(), 4);
    // UNCHANGEDSINCE 0 changes nothing at all. RFC 7162 §3.1.3
    let modified = world.flags(inbox, &all, FlagAction::Add, &[Flag::Seen], Some(ModSeq(0)));
    assert_eq!(modified, UidSet::range(Uid(1), Uid(3)));
}

#[test]
fn create_makes_the_parents_and_subscribes_all() {
    let mut world = World::new();
    world.create("x/y/z", None).expect("fresh");
    assert!(
        ["x", "x/y", "x/y/z"]
            .iter()
            .all(|n| world.view.is_subscribed(&name(n)))
    );
    assert_eq!(world.create("x/y", None), Err(StageError::NameTaken));
    assert_eq!(world.create("InBox", None), Err(StageError::NameTaken));
    let archive = Some(crate::Role::Archive);
    assert_eq!(world.create("other", archive), Err(StageError::RoleTaken));
}

#[test]
fn a_deleted_parent_stays_as_a_name_until_its_children_go() {
    let mut world = World::new();
    world.create("x/y", None).expect("fresh");
    let old = world
        .view
        .mailbox_named(&name("x"))
        .expect("there")
        .uid_validity();
    world.deliver(world.id("x"), &[], 5);
    world.delete("x").expect("children don't hold it");
    assert_eq!(world.view.names().get(&name("x")), Some(&None));
    assert_eq!(world.delete("x"), Err(StageError::HasChildren));
    assert_eq!(world.view.usage().bytes, 0);
    assert!(world.view.is_subscribed(&name("x")), "RFC 9051 §6.3.7");
    world.create("x", None).expect("the name is free");
    let new = world
        .view
        .mailbox_named(&name("x"))
        .expect("there")
        .uid_validity();
    assert!(new > old);
    world.delete("x/y").expect("there");
    world.delete("x").expect("there");
    assert_eq!(world.delete("x"), Err(StageError::NoMailbox));
    assert_eq!(world.delete("INBOX"), Err(StageError::Inbox));
}

#[test]
fn rename_takes_the_children_and_keeps_uids() {
    let mut world = World::new();
    world.create("x/y", None).expect("fresh");
    let inner = world.id("x/y");
    let uid = world.deliver(inner, &[], 5);
    let old = world.view.mailbox(inner).expect("there").uid_validity();
    world.rename("x", "p/q").expect("free");
    assert_eq!(world.id("p/q/y"), inner);
    let mailbox = world.view.mailbox(inner).expect("there");
    assert!(mailbox.find(uid).is_some() && mailbox.uid_validity() == old);
    assert!(world.view.is_subscribed(&name("p/q/y")) && !world.view.is_subscribed(&name("x/y")));
    assert!(world.view.mailbox_named(&name("p")).is_some());
    assert_eq!(world.rename("p/q", "p/q/r"), Err(StageError::BelowItself));
    assert_eq!(world.rename("p/q", "Archive"), Err(StageError::NameTaken));
    assert_eq!(world.rename("x", "z"), Err(StageError::NoMailbox));
    assert_eq!(world.rename("INBOX", "z"), Err(StageError::Inbox));
    // A child may take the place of a parent that is only a name.
    world.delete("p").expect("there");
    world.rename("p/q", "p").expect("the name is free");
    assert_eq!(world.id("p/y"), inner);
}

#[test]
fn expunges_are_remembered_for_qresync_and_forgotten_in_order() {
    let mut world = World::new();
    let inbox = world.id("INBOX");
    for _ in 0..600 {
        world.deliver_fast(inbox);
    }
    let start = world.view.modseq();
    let mut middle = start;
    for uid in 1..=300 {
        world.expunge_fast(inbox, Uid(uid * 2));
        if uid == 200 {
            middle = world.view.modseq();
        }
    }
    let mailbox = world.view.mailbox(inbox).expect("there");
    let late = mailbox.vanished_since(middle).expect("remembered");
    assert!(!late.contains(Uid(400)) && late.contains(Uid(402)) && late.contains(Uid(600)));
    assert_eq!(
        mailbox.vanished_since(start),
        None,
        "older than what is kept"
    );
}

#[test]
fn what_was_expunged_comes_back_under_a_new_uid() {
    let mut world = World::new();
    let (inbox, archive) = (world.id("INBOX"), world.id("Archive"));
    let uid = world.deliver(inbox, &[Flag::Flagged, Flag::Deleted], 10);
    let wanted = world.ever_delivered();
    assert_eq!(world.restore(inbox, &wanted), [], "it is there");
    world.expunge(inbox, Expunging::Deleted);
    assert_eq!(world.view.usage().emails, 0);
    let back = world.restore(inbox, &wanted);
    assert_eq!(back, [(EmailId(1), Uid(2))]);
    let entry = world.entries("INBOX")[0].clone();
    assert!(entry.keywords.has(FlagId::Flagged) && !entry.deleted);
    assert_ne!(entry.uid, uid);
    assert_eq!(world.view.usage().bytes, 10);
    let vanished = world
        .view
        .mailbox(inbox)
        .expect("there")
        .vanished_since(ModSeq(0));
    assert_eq!(vanished, Some(UidSet::one(uid)), "its old UID stays gone");
    // A second place is a second copy, with the flags of the living one.
    let seen = [Flag::Seen];
    world.flags(inbox, &UidSet::all(), FlagAction::Replace, &seen, None);
    world.restore(archive, &wanted);
    assert!(world.entries("Archive")[0].keywords.is_seen());
    assert_eq!(world.view.usage().emails, 1);
    let stranger = Wanted {
        email: EmailId(99),
        ..wanted[0].clone()
    };
    let refused = stage_restore(&world.view, inbox, &[stranger]);
    assert_eq!(refused, Err(StageError::NoEmail(EmailId(99))));
}

#[test]
fn names_are_given_back_all_at_once_or_not_at_all() {
    let mut world = World::new();
    world.create("a", None).expect("fresh");
    world.create("b", None).expect("fresh");
    let (a, b) = (world.id("a"), world.id("b"));
    let taken = stage_rename_each(&world.view, &[(a, name("b"))].into());
    assert_eq!(taken, Err(StageError::NameTaken));
    let both = [(a, name("c")), (b, name("c"))];
    let twice = stage_rename_each(&world.view, &both.into());
    assert_eq!(twice, Err(StageError::NameTaken));
    let inbox = stage_rename_each(&world.view, &[(world.id("INBOX"), name("c"))].into());
    assert_eq!(inbox, Err(StageError::Inbox));
    let names = [(a, name("b")), (b, name("a"))];
    let draft = stage_rename_each(&world.view, &names.into()).expect("an exchange");
    world.commit(draft.expect("a change"));
    assert_eq!((world.id("a"), world.id("b")), (b, a));
}

#[test]
fn a_move_of_version_1_over_a_gap_is_not_undone_by_guessing() {
    let mut world = World::new();
    let (inbox, archive) = (world.id("INBOX"), world.id("Archive"));
    for _ in 0..3 {
        world.deliver(inbox, &[], 1);
    }
    world.expunge(inbox, Expunging::Exactly(&UidSet::one(Uid(2))));
    world.move_(inbox, archive, &UidSet::all());
    let mut entry = world.log.last().cloned().expect("the move");
    if let Change::Move { transfer, .. } = &mut entry.change {
        assert_eq!(
            transfer.uids.range_count(),
            2,
            "a move names what was there"
        );
        transfer.uids = UidSet::range(Uid(1), Uid(3));
    }
    let inexact = Err(crate::UndoError::Inexact(entry.modseq));
    assert_eq!(crate::undo(&mut world.view.clone(), &entry), inexact);
}

#[test]
fn entries_that_do_not_fit_are_refused() {
    let mut world = World::new();
    let inbox = world.id("INBOX");
    let uid = world.deliver(inbox, &[], 1);
    let again = world.log.last().cloned().expect("one");
    assert!(matches!(
        apply(&mut world.view.clone(), &again),
        Err(ApplyError::ModSeq { .. })
    ));
    let mut later = again;
    later.modseq = world.view.modseq().next();
    let error = apply(&mut world.view.clone(), &later);
    assert_eq!(error, Err(ApplyError::EmailTaken(EmailId(1))));
    // A STORE that says it changed what it did not.
    let edit = crate::FlagEdit {
        flag: FlagId::Seen,
        set: false,
        uids: UidSet::one(uid),
    };
    let change = Change::Flags {
        mailbox: inbox,
        edits: vec![edit],
    };
    let entry = Draft::from(change).into_entry(world.view.modseq().next(), 0);
    assert_eq!(
        apply(&mut world.view.clone(), &entry),
        Err(ApplyError::Entries(inbox))
    );
}

impl World {
    /// Delivers without checking the whole view.
    pub(super) fn deliver_fast(&mut self, to: MailboxId) {
        let arrival = Arrival {
            flags: &[],
            size: 1,
            dated: false,
        };
        let staged = stage_deliver(&self.view, to, &[arrival]).expect("room");
        self.apply_fast(staged.draft);
    }

    fn expunge_fast(&mut self, from: MailboxId, uid: Uid) {
        let one = UidSet::one(uid);
        let which = Expunging::Exactly(&one);
        let staged = crate::stage::stage_expunge(&self.view, from, which, 1).expect("there");
        self.apply_fast(staged.draft.expect("it goes"));
    }

    fn apply_fast(&mut self, draft: Draft) {
        let entry = draft.into_entry(self.view.modseq().next(), 0);
        apply(&mut self.view, &entry).expect("it fits");
        self.weight = Weight::of(&self.view);
        self.log.push(entry);
    }
}
