//! Back to any moment of any history, keeping what came since or not.

use super::history::{Stored, run, step};
use super::world::{World, name};
use crate::stage::{BackStep, Expunging, FlagAction, Mode, StageError, steps_back};
use crate::{EmailId, Flag, Keywords, MailboxName, Role, Uid, UidSet, View};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Takes steps until there are none; gives what each kind counted.
fn bring_back(world: &mut World, past: &View, mode: Mode) -> Vec<BackStep> {
    let mut taken = Vec::new();
    for _ in 0..30 {
        let steps = steps_back(past, &world.view, mode, &HashSet::new());
        if steps.is_empty() {
            return taken;
        }
        for step in steps {
            match step.stage(&world.view) {
                Ok(draft) => drop(draft.map(|draft| world.commit(draft))),
                Err(StageError::NameTaken) => {}
                Err(error) => panic!("{step:?}: {error}"),
            }
            taken.push(step);
        }
    }
    panic!("no end of it: {taken:?}");
}

/// What each email shows, by the names of its places.
type Shown = BTreeMap<EmailId, (Keywords, BTreeSet<MailboxName>)>;

fn shown(view: &View) -> Shown {
    let mut shown = Shown::new();
    for mailbox in view.mailboxes() {
        for entry in mailbox.entries() {
            let of_email = shown.entry(entry.email).or_default();
            of_email.0 = entry.keywords.clone();
            of_email.1.insert(mailbox.name().clone());
        }
    }
    shown
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_was_there_is_there_again_and_nothing_is_lost(
        steps in prop::collection::vec(step(), 1..60),
        moment in any::<prop::sample::Index>(),
        exact: bool,
    ) {
        let mut world = World::new();
        for step in &steps {
            run(&mut world, step, &mut Stored::default());
        }
        // The account's first change made the mailboxes.
        let moment = 2 + moment.index(world.views.len() - 2);
        let past = world.views[moment].clone();
        let before = world.view.clone();
        let mode = if exact { Mode::Exact } else { Mode::Keep };
        bring_back(&mut world, &past, mode);
        prop_assert_eq!(steps_back(&past, &world.view, mode, &HashSet::new()), vec![]);

        let (then, there, now) = (shown(&past), shown(&before), shown(&world.view));
        for (email, (keywords, places)) in &then {
            let (now_keywords, now_places) = &now[email];
            prop_assert_eq!(keywords, now_keywords);
            // Names that others have by now are found below "Restored".
            prop_assert!(now_places.len() >= places.len());
            if exact {
                prop_assert_eq!(now_places.len(), places.len());
            }
        }
        for (email, (keywords, places)) in there.iter().filter(|(email, _)| !then.contains_key(email)) {
            let (now_keywords, now_places) = &now[email];
            prop_assert_eq!(keywords, now_keywords);
            if exact {
                let trash = world.view.role(Role::Trash).expect("it is needed").name();
                prop_assert_eq!(now_places, &BTreeSet::from([trash.clone()]));
            } else {
                prop_assert_eq!(now_places.len(), places.len());
            }
        }
        let names_free = past.mailboxes().all(|old| {
            world.view.mailbox(old.id()).is_some_and(|now| now.name() == old.name())
                || (before.mailbox(old.id()).is_none() && before.mailbox_named(old.name()).is_none())
        });
        for (email, (_, places)) in then.iter().filter(|_| names_free) {
            let (_, now_places) = &now[email];
            prop_assert!(now_places.is_superset(places), "{now_places:?} {places:?}");
        }
        for name in past.subscriptions() {
            prop_assert!(world.view.is_subscribed(name));
        }
        for mailbox in before.mailboxes() {
            for entry in mailbox.entries() {
                prop_assert!(now.contains_key(&entry.email), "never destroyed");
            }
        }

        // It was a change like any other: it is undone too.
        bring_back(&mut world, &before, Mode::Exact);
        let back = shown(&world.view);
        for (email, (keywords, places)) in &there {
            prop_assert_eq!(keywords, &back[email].0);
            prop_assert_eq!(places.len(), back[email].1.len());
        }
    }
}

#[test]
fn a_slip_of_the_finger_is_undone_and_new_mail_stays() {
    let mut world = World::new();
    let inbox = world.id("INBOX");
    world.create("work", None).expect("fresh");
    let work = world.id("work");
    for to in [inbox, work] {
        world.deliver(to, &[Flag::Seen], 10);
        world.deliver(to, &[Flag::Flagged], 10);
    }
    let past = world.view.clone();
    world.delete("work").expect("there");
    world.flags(
        inbox,
        &UidSet::one(Uid(1)),
        FlagAction::Replace,
        &[Flag::Deleted],
        None,
    );
    world.expunge(inbox, Expunging::Deleted);
    world.flags(
        inbox,
        &UidSet::all(),
        FlagAction::Remove,
        &[Flag::Flagged],
        None,
    );
    let new = world.deliver(inbox, &[], 10);
    bring_back(&mut world, &past, Mode::Keep);
    assert_eq!(world.entries("work").len(), 2);
    let inbox_now: Vec<Uid> = world.entries("INBOX").iter().map(|e| e.uid).collect();
    assert_eq!(
        inbox_now,
        [Uid(2), new, Uid(4)],
        "what comes back has a new UID"
    );
    assert!(world.entries("INBOX")[2].keywords.is_seen());
    assert!(
        world
            .view
            .mailbox_named(&name("work"))
            .expect("made again")
            .uid_validity()
            > past.mailbox(work).expect("there").uid_validity()
    );
    // With the new mail in the trash it is exactly as it was.
    bring_back(&mut world, &past, Mode::Exact);
    assert_eq!(
        world.view.role(Role::Trash).expect("made").entries().len(),
        1
    );
    assert_eq!(world.entries("INBOX").len(), 2);
}

#[test]
fn what_was_moved_goes_back_and_names_too() {
    let mut world = World::new();
    let (inbox, archive) = (world.id("INBOX"), world.id("Archive"));
    world.create("a", None).expect("fresh");
    world.create("b", None).expect("fresh");
    world.deliver(inbox, &[], 10);
    let past = world.view.clone();
    world.move_(inbox, archive, &UidSet::all());
    world.rename("a", "c").expect("free");
    world.rename("b", "a").expect("free");
    let taken = bring_back(&mut world, &past, Mode::Keep);
    assert!(
        matches!(taken[..], [BackStep::Rename(_), BackStep::Move { .. }]),
        "{taken:?}"
    );
    assert_eq!(taken.iter().map(BackStep::count).sum::<u64>(), 3);
    assert_eq!(shown(&world.view), shown(&past));
    let names = |view: &View| {
        view.mailboxes()
            .map(|m| (m.id(), m.name().clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&world.view), names(&past));
}

#[test]
fn a_name_that_another_of_that_time_has_is_not_fought_over() {
    let mut world = World::new();
    world.create("a", None).expect("fresh");
    world.create("b", None).expect("fresh");
    world.deliver(world.id("b"), &[], 10);
    let past = world.view.clone();
    world.delete("b").expect("there");
    world.rename("a", "b").expect("free");
    // Its old name is taken by one that was made since, so it keeps the new one.
    world.create("a", None).expect("free");
    bring_back(&mut world, &past, Mode::Keep);
    assert_eq!(world.entries("Restored/b").len(), 1);
    assert!(world.entries("b").is_empty());
}

#[test]
fn emails_without_a_record_are_left_out() {
    let mut world = World::new();
    let inbox = world.id("INBOX");
    world.deliver(inbox, &[], 10);
    let past = world.view.clone();
    world.expunge(inbox, Expunging::Exactly(&UidSet::all()));
    let lost = HashSet::from([EmailId(1)]);
    assert_eq!(steps_back(&past, &world.view, Mode::Keep, &lost), []);
}
