//! What a change costs in memory, counted by the allocator.

use mailbox_model::stage::{
    Arrival, FlagAction, FlagsRequest, stage_create, stage_deliver, stage_flags,
};
use mailbox_model::{Flag, MailboxId, MailboxName, Role, Uid, UidSet, UidValidity, View, apply};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn account(messages: usize) -> (View, MailboxId) {
    let mut view = View::empty(UidValidity(1));
    let inbox = (MailboxName::inbox(), Some(Role::Inbox));
    let (draft, ids) = stage_create(&view, &[inbox]).expect("fresh");
    let entry = draft.into_entry(view.modseq().next(), 0);
    apply(&mut view, &entry).expect("fits");
    let arrival = Arrival {
        flags: &[],
        size: 10_000,
        dated: false,
    };
    let mut left = messages;
    while left > 0 {
        let some = left.min(10_000);
        let arrivals = vec![arrival.clone(); some];
        let staged = stage_deliver(&view, ids[0], &arrivals).expect("room");
        let entry = staged.draft.into_entry(view.modseq().next(), 0);
        apply(&mut view, &entry).expect("fits");
        left -= some;
    }
    (view, ids[0])
}

/// Bytes and allocations of staging and applying one flag change beside the
/// view before it, as a lane does.
fn flag_change(messages: usize) -> (usize, usize) {
    let (view, inbox) = account(messages);
    let middle = UidSet::one(Uid(u32::try_from(messages / 2).expect("few")));
    let region = Region::new(ALLOCATOR);
    let request = FlagsRequest {
        mailbox: inbox,
        uids: &middle,
        action: FlagAction::Add,
        flags: &[Flag::Seen],
        unchanged_since: None,
        untouched: Default::default(),
    };
    let staged = stage_flags(&view, &request).expect("there");
    let entry = staged
        .draft
        .expect("a change")
        .into_entry(view.modseq().next(), 0);
    let mut after = view.clone();
    apply(&mut after, &entry).expect("fits");
    let cost = region.change();
    assert_ne!(after, view);
    (cost.bytes_allocated, cost.allocations)
}

#[test]
fn a_flag_change_costs_at_most_twice_as_much_among_a_million_messages() {
    let (bytes, allocations) = flag_change(1_000);
    let (bytes_large, allocations_large) = flag_change(1_000_000);
    println!(
        "1,000: {bytes} bytes, {allocations} allocations; 1,000,000: {bytes_large} bytes, {allocations_large} allocations"
    );
    assert!(
        bytes_large <= 2 * bytes,
        "{bytes} bytes, then {bytes_large}"
    );
    assert!(
        allocations_large <= 2 * allocations,
        "{allocations} allocations, then {allocations_large}"
    );
}
