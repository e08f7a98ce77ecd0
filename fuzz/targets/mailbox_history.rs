//! Any requests, staged and applied: what is staged applies, its record is read
//! as written, a checkpoint of the account is the account, and undoing gives back
//! what there was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailbox_model::stage::{
    Arrival, Expunging, FlagAction, FlagsRequest, stage_copy, stage_create, stage_delete,
    stage_deliver, stage_expunge, stage_flags, stage_move, stage_rename, stage_subscribe,
    stage_uid_validity, stage_unsubscribe,
};
use mailbox_model::{
    Draft, Entry, Flag, LogEntry, MailboxId, MailboxName, ModSeq, Rewind, Role, Uid, UidSet,
    UidValidity, View, apply,
};

const NAMES: [&str; 8] = ["INBOX", "a", "a/b", "a/b/c", "b", "inbox/x", "é", "b/a"];

fn name(knob: u8) -> MailboxName {
    MailboxName::parse(fuzz::pick(&NAMES, knob)).expect("a name")
}

fn flags(knob: u8) -> Vec<Flag> {
    let all = [
        Flag::Seen,
        Flag::Flagged,
        Flag::Deleted,
        Flag::Draft,
        Flag::Keyword("$Junk".into()),
        Flag::Keyword("k".into()),
    ];
    let chosen = all
        .into_iter()
        .enumerate()
        .filter(|(at, _)| knob >> at & 1 == 1);
    chosen.map(|(_, flag)| flag).collect()
}

fn uids(knob: u8) -> UidSet {
    let first = u32::from(knob & 15) + 1;
    UidSet::from_ranges([
        (Uid(first), Uid(first + u32::from(knob >> 4 & 3))),
        (Uid(u32::from(knob >> 5) + 1), Uid(u32::from(knob >> 6) + 1)),
    ])
}

/// The change that four bytes ask for, if it can be made.
fn draft(view: &View, [kind, a, b, c]: [u8; 4]) -> Option<Draft> {
    let mailbox = |knob: u8| MailboxId(u32::from(knob & 7) + 1);
    match kind % 12 {
        0 | 1 => {
            let (first, second) = (flags(b), flags(c));
            let arrivals = [
                Arrival {
                    flags: &first,
                    size: 1 + u64::from(c),
                    dated: c & 1 != 0,
                },
                Arrival {
                    flags: &second,
                    size: 7,
                    dated: false,
                },
            ];
            Some(
                stage_deliver(view, mailbox(a), &arrivals[..1 + usize::from(kind >> 7)])
                    .ok()?
                    .draft,
            )
        }
        2 | 3 => {
            let (uids, flags) = (uids(b), flags(c));
            let request = FlagsRequest {
                mailbox: mailbox(a),
                uids: &uids,
                action: fuzz::pick(
                    &[FlagAction::Add, FlagAction::Remove, FlagAction::Replace],
                    a >> 3,
                ),
                flags: &flags,
                unchanged_since: (kind & 64 != 0).then(|| ModSeq(u64::from(a))),
                untouched: Default::default(),
            };
            stage_flags(view, &request).ok()?.draft
        }
        4 => {
            stage_copy(view, mailbox(a), mailbox(c), &uids(b))
                .ok()?
                .draft
        }
        5 => {
            stage_move(view, mailbox(a), mailbox(c), &uids(b))
                .ok()?
                .draft
        }
        6 => {
            let uids = uids(b);
            let which = if c & 1 == 0 {
                Expunging::Deleted
            } else {
                Expunging::DeletedAmong(&uids)
            };
            stage_expunge(view, mailbox(a), which, 1 + usize::from(c))
                .ok()?
                .draft
        }
        7 => Some(
            stage_create(
                view,
                &[(
                    name(a),
                    Role::from_attribute(fuzz::pick(&["\\Sent", "\\Trash", "", ""], b)),
                )],
            )
            .ok()?
            .0,
        ),
        8 => stage_rename(view, &name(a), &name(b)).ok(),
        9 => Some(stage_delete(view, &name(a)).ok()?.draft),
        10 if c & 1 == 0 => stage_subscribe(view, &name(a)).ok()?,
        10 => stage_unsubscribe(view, &name(a)),
        _ => stage_uid_validity(view, mailbox(a)).ok(),
    }
}

/// What undoing gives back of an account; its module says what it does not.
fn held(view: &View) -> String {
    let mailboxes = view.mailboxes().map(|mailbox| {
        let entry = |entry: &Entry| {
            let keywords: Vec<_> = entry.keywords.iter().collect();
            (entry.uid, entry.email, entry.size(), entry.deleted, keywords)
        };
        (
            (
                mailbox.id(),
                mailbox.name(),
                mailbox.role(),
                mailbox.uid_validity(),
            ),
            mailbox.counters(),
            mailbox.entries().iter().map(entry).collect::<Vec<_>>(),
        )
    });
    let mailboxes: Vec<_> = mailboxes.collect();
    let subscriptions: Vec<_> = view.subscriptions().collect();
    format!("{mailboxes:?} {subscriptions:?} {:?}", view.usage())
}

fuzz_target!(|data: &[u8]| {
    let mut past = Vec::new();
    let mut view = View::empty(UidValidity(1));
    for step in data.chunks_exact(4).take(60) {
        let step = [step[0], step[1], step[2], step[3]];
        let Some(draft) = draft(&view, step) else {
            continue;
        };
        let entry = draft.into_entry(view.modseq().next(), 1_000);
        assert_eq!(LogEntry::decode(&entry.encode()).as_ref(), Ok(&entry));
        let before = held(&view);
        apply(&mut view, &entry).expect("what was staged applies");
        past.push((before, entry));
        if view.usage().emails > 2_000 {
            break;
        }
    }
    assert_eq!(fuzz::restored(&view), view);
    let mut rewind = Rewind::new(view);
    for (before, entry) in past.iter().rev() {
        rewind.undo(entry).expect("what was applied is undone");
        assert_eq!(&held(rewind.view()), before);
    }
});
