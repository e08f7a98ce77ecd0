//! What cached accounts say that they weigh is what they take.

use crate::room::{ALICE, Room};
use crate::{ALLOCATOR, ALONE};
use engine::MemoryEngine;
use mailbox_model::stage::{Expunging, FlagAction};
use mailbox_model::{Flag, MailboxName, Uid, UidSet};
use mailstore::Options;
use stats_alloc::Region;
use std::sync::Arc;

/// Loads the account anew: what it takes, and what it says.
async fn load(room: &Room<MemoryEngine>) -> (u64, u64) {
    let store = room.store(Options::default());
    let region = Region::new(ALLOCATOR);
    let account = store.account(ALICE).await.expect("there");
    let cost = region.change();
    let said = store.cached_bytes();
    drop(account);
    store.close().await;
    let taken = cost.bytes_allocated.saturating_sub(cost.bytes_deallocated) as u64;
    (taken, said)
}

/// Compares what the loaded account takes with what it says.
async fn check(room: &Room<MemoryEngine>, what: &str, lines: &mut Vec<(String, bool)>) {
    // The first one writes what it found, and threads of before may still give memory back while
    // another one loads: the one in the middle counts.
    load(room).await;
    let mut loads = Vec::new();
    for _ in 0..5 {
        loads.push(load(room).await);
    }
    loads.sort_unstable();
    let (taken, said) = loads[2];
    // Within a quarter.
    let good = said * 4 >= taken * 3 && said * 4 <= taken * 5;
    lines.push((format!("{what}: takes {taken}, says {said}"), good));
}

fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).expect("valid")
}

#[tokio::test]
async fn accounts_of_every_shape_weigh_what_they_take() {
    let _alone = ALONE.lock().await;
    let mut lines = Vec::new();
    let room = Room::over(Arc::new(MemoryEngine::new(1)));
    room.create([ALICE]).await;
    check(&room, "an empty account", &mut lines).await;

    let store = room.store(Options::default());
    let account = store.account(ALICE).await.expect("there");
    let view = account.view();
    let inbox = view.inbox().expect("there").id();
    let archive = view.mailbox_named(&name("Archive")).expect("there").id();
    let junk = view.mailbox_named(&name("Junk")).expect("there").id();
    room.deliver(&account, inbox, 1, &[]).await;
    check(&room, "one message", &mut lines).await;
    room.deliver(&account, inbox, 99, &[]).await;
    check(&room, "a hundred messages", &mut lines).await;
    room.deliver(&account, inbox, 9_900, &[]).await;
    check(&room, "ten thousand messages", &mut lines).await;
    let all = UidSet::all();
    account.copy(inbox, archive, &all).await.expect("ok");
    check(&room, "two copies of each", &mut lines).await;
    account.copy(inbox, junk, &all).await.expect("ok");
    check(&room, "three copies of each", &mut lines).await;
    for from in [archive, junk] {
        account
            .expunge(from, Expunging::Exactly(&all))
            .await
            .expect("ok");
    }
    for at in 0..256u32 {
        let few: UidSet = (0..8).map(|n| Uid(1 + at * 16 + n * 2)).collect();
        account
            .expunge(inbox, Expunging::Exactly(&few))
            .await
            .expect("ok");
    }
    check(&room, "remembered expunges", &mut lines).await;
    account
        .expunge(inbox, Expunging::Exactly(&all))
        .await
        .expect("ok");
    for at in 0..300 {
        let keyword = format!("a-keyword-of-some-length-{at}");
        room.deliver(&account, junk, 10, &[Flag::Keyword(keyword.into())])
            .await;
    }
    let flags = [Flag::Keyword("$Label1".into())];
    account
        .store_flags(junk, &all, FlagAction::Add, &flags, None)
        .await
        .expect("ok");
    check(&room, "keywords", &mut lines).await;
    for at in 0..500 {
        account
            .create_mailbox(&name(&format!("folder number {at}")), None)
            .await
            .expect("ok");
    }
    check(&room, "five hundred mailboxes", &mut lines).await;
    assert!(lines.iter().all(|(_, good)| *good), "{lines:#?}");
    println!("{lines:#?}");
}
