//! Accounts that are touched once leave memory again, and are small while they are there.

use crate::room::Room;
use crate::{ALLOCATOR, ALONE};
use engine::MemoryEngine;
use envelope::AccountId;
use mailstore::Options;
use stats_alloc::Region;
use std::sync::Arc;

const ACCOUNTS: u64 = 400;
/// Messages in each, as an ordinary inbox has.
const MESSAGES: usize = 100;

async fn filled() -> Room<MemoryEngine> {
    let room = Room::over(Arc::new(MemoryEngine::new(1)));
    room.create((1..=ACCOUNTS).map(AccountId)).await;
    let store = room.store(Options::default());
    for id in (1..=ACCOUNTS).map(AccountId) {
        let account = store.account(id).await.expect("there");
        let inbox = account.view().inbox().expect("there").id();
        for _ in 0..MESSAGES / 10 {
            room.deliver(&account, inbox, 10, &[]).await;
        }
    }
    store.close().await;
    room
}

#[tokio::test]
async fn cached_views_stay_within_their_share() {
    let _alone = ALONE.lock().await;
    let room = filled().await;
    let one = {
        let store = room.store(Options::default());
        store.account(AccountId(1)).await.expect("there");
        store.cached_bytes()
    };
    let share = one * ACCOUNTS / 10;
    let store = room.store(Options {
        cache_bytes_max: share,
        ..Options::default()
    });
    let mut most = 0;
    for id in (1..=ACCOUNTS).map(AccountId) {
        let account = store.account(id).await.expect("there");
        assert_eq!(account.view().usage().emails, MESSAGES as u64);
        most = most.max(store.cached_bytes());
    }
    // An eighth more while some come faster than others leave.
    assert!(most <= share / 8 * 9 + one, "{most} of {share}");
    assert!(most > share / 2, "the share is used: {most} of {share}");
    // Who left comes back.
    let first = store.account(AccountId(1)).await.expect("there");
    assert_eq!(first.view().usage().emails, MESSAGES as u64);
}

/// Ten thousand accounts touched once take less than 300 MB: this is the part of
/// it that grows with their number.
#[tokio::test]
async fn an_account_touched_once_takes_a_few_kilobytes() {
    let _alone = ALONE.lock().await;
    let room = filled().await;
    let store = room.store(Options::default());
    let region = Region::new(ALLOCATOR);
    for id in (1..=ACCOUNTS).map(AccountId) {
        store.account(id).await.expect("there");
    }
    let cost = region.change();
    let taken = cost.bytes_allocated.saturating_sub(cost.bytes_deallocated) as u64;
    let each = taken / ACCOUNTS;
    let said = store.cached_bytes() / ACCOUNTS;
    println!("an account of {MESSAGES} messages takes {each} bytes, says {said}");
    assert!(each * 10_000 < 250_000_000, "{each} bytes each");
}
