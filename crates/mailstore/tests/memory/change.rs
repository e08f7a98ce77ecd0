//! A flag change in a large mailbox costs what it costs in a small one.

use crate::room::{ALICE, Room};
use crate::{ALLOCATOR, ALONE};
use engine::EmbeddedEngine;
use mailbox_model::stage::FlagAction;
use mailbox_model::{Flag, Uid, UidSet};
use mailstore::Options;
use stats_alloc::Region;
use std::alloc::System;
use std::sync::Arc;

/// Single flag changes that are counted by themselves: none of them is due for a
/// checkpoint.
const ALONE_COUNTED: u32 = 500;
/// And so many with the checkpoint that they end in: more than lie between two,
/// so that the pages which these write are in the count.
const CHANGES: u32 = 1100;

const JOURNAL: &str = "bytes written to the journal";
const ALLOCATIONS: &str = "allocations";

/// What one flag change costs on average.
#[derive(Debug)]
struct Cost {
    journal_bytes: u64,
    record_bytes: u64,
    allocations: u64,
    allocated_bytes: u64,
}

impl Cost {
    fn parts(&self) -> [(&'static str, u64); 4] {
        [
            (JOURNAL, self.journal_bytes),
            ("bytes of records", self.record_bytes),
            (ALLOCATIONS, self.allocations),
            ("bytes allocated", self.allocated_bytes),
        ]
    }
}

/// Messages of the large mailbox: fewer in the daily run, where filling it would
/// take most of the time.
fn many() -> u32 {
    let asked = std::env::var("POSTHOUSE_MESSAGES").ok();
    asked.map_or(100_000, |text| text.parse().expect("a number"))
}

/// The cost of single changes, and of all with their checkpoint.
async fn flag_changes(messages: u32) -> (Cost, Cost) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("store");
    let open = || {
        let options = engine::Options::default();
        Arc::new(EmbeddedEngine::open(&folder, &options).expect("a store"))
    };
    let engine = open();
    let room = Room::over(engine.clone());
    room.create([ALICE]).await;
    let store = room.store(Options::default());
    let account = store.account(ALICE).await.expect("there");
    let inbox = account.view().inbox().expect("there").id();
    room.deliver(&account, inbox, messages as usize, &[]).await;
    store.close().await;
    engine.close();
    drop((account, store, room, engine));

    // Opened again, so that nothing of the filling goes on meanwhile.
    let engine = open();
    let room = Room::over(engine.clone());
    let store = room.store(Options::default());
    let account = store.account(ALICE).await.expect("there");
    let before = Count::now(&room);
    let mut alone = None;
    for n in 0..CHANGES {
        if n == ALONE_COUNTED {
            alone = Some(before.cost(&room, ALONE_COUNTED));
        }
        // Hither and thither, each once where there are enough.
        let uid = Uid(1 + n * 7919 % messages);
        let round = n / messages;
        let action = [FlagAction::Add, FlagAction::Remove][round as usize % 2];
        let one = UidSet::one(uid);
        let stored = account.store_flags(inbox, &one, action, &[Flag::Seen], None);
        assert!(stored.await.expect("stored").modseq.is_some(), "UID {uid}");
    }
    store.close().await;
    let all = before.cost(&room, CHANGES);
    engine.close();
    (alone.expect("more changes than that"), all)
}

/// What is counted, as it stood at a moment.
struct Count {
    journal: u64,
    records: u64,
    region: Region<'static, System>,
}

impl Count {
    fn now(room: &Room<EmbeddedEngine>) -> Self {
        let (journal, records) = room.written();
        Self {
            journal,
            records,
            region: Region::new(ALLOCATOR),
        }
    }

    /// Since then, for each of so many changes.
    fn cost(&self, room: &Room<EmbeddedEngine>, changes: u32) -> Cost {
        let change = self.region.change();
        let (journal, records) = room.written();
        let changes = u64::from(changes);
        Cost {
            journal_bytes: (journal - self.journal) / changes,
            record_bytes: (records - self.records) / changes,
            allocations: change.allocations as u64 / changes,
            allocated_bytes: change.bytes_allocated as u64 / changes,
        }
    }
}

#[tokio::test]
async fn a_flag_change_costs_at_most_twice_as_much_in_a_large_mailbox() {
    let _alone = ALONE.lock().await;
    let small = flag_changes(1_000).await;
    let many = many();
    let large = flag_changes(many).await;
    println!("1,000 messages: {small:?}\n{many} messages: {large:?}");
    let alone = small.0.parts().into_iter().zip(large.0.parts());
    for ((what, few), (_, now)) in alone {
        assert!(now <= 2 * few, "{what}: {few}, then {now} of {many}");
    }
    // Scattered changes touch more pages where there are more: a checkpoint writes
    // some kilobytes for each change at most, as the journal's block is.
    let all = small.1.parts().into_iter().zip(large.1.parts());
    for ((what, few), (_, now)) in all {
        if matches!(what, JOURNAL | ALLOCATIONS) {
            assert!(now <= 2 * few, "{what}: {few}, then {now} of {many}");
        }
    }
}
