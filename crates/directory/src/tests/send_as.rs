//! Grants: what an account may send as besides its own addresses.

use super::*;
use crate::fsck::Finding;
use crate::limits::SEND_AS_MAX;
use crate::{DirectoryError, Grant, Removal};
use engine::check::{Aside, SetAside};
use parking_lot::Mutex;

fn grant(text: &str) -> Grant {
    Grant::of(&address(text))
}

async fn add(world: &World, account: &str, granted: &str) -> Result<bool, DirectoryError> {
    let directory = &world.directory;
    directory
        .send_as_add(&address(account), &grant(granted))
        .await
}

async fn remove(world: &World, account: &str, granted: &str) -> Result<bool, DirectoryError> {
    let directory = &world.directory;
    directory
        .send_as_remove(&address(account), &grant(granted))
        .await
}

async fn listed(world: &World, account: &str) -> Vec<String> {
    let listed = world.directory.send_as_list(&address(account)).await;
    let listed = listed.expect("listed");
    listed.iter().map(ToString::to_string).collect()
}

/// Whether bob (2) may.
async fn may(world: &World, text: &str) -> bool {
    let may = world
        .directory
        .may_send_as(AccountId(2), &address(text))
        .await;
    may.expect("readable")
}

#[tokio::test]
async fn an_account_sends_as_the_address_that_it_was_granted() {
    let world = World::new().await;
    assert!(!may(&world, "alice@demo.test").await);
    let added = add(&world, "bob@demo.test", "Alice@Demo.test").await;
    assert!(added.expect("granted"));
    let added = add(&world, "Bob@demo.test", "alice@demo.test").await;
    assert!(!added.expect("it has it already"));
    add(&world, "bob@demo.test", "no-reply@other.test")
        .await
        .expect("an address that leads nowhere");
    assert_eq!(
        listed(&world, "bob@demo.test").await,
        ["alice@demo.test", "no-reply@other.test"]
    );
    for (text, want) in [
        ("alice@demo.test", true),
        ("ALICE+x@demo.test", true),
        ("no-reply@other.test", true),
        ("bob@demo.test", true),
        ("alice@other.test", false),
        ("carol@other.test", false),
        ("alice@sub.demo.test", false),
        ("alice@far.test", false),
    ] {
        assert_eq!(may(&world, text).await, want, "{text}");
    }
    // Not the other way round, and nobody else.
    for (id, text) in [(1, "bob@demo.test"), (3, "alice@demo.test")] {
        let may = world
            .directory
            .may_send_as(AccountId(id), &address(text))
            .await;
        assert!(!may.expect("readable"), "{id} as {text}");
    }
    let removed = remove(&world, "bob@demo.test", "ALICE@demo.test").await;
    assert!(removed.expect("removed"));
    let removed = remove(&world, "bob@demo.test", "alice@demo.test").await;
    assert!(!removed.expect("it is gone already"));
    assert!(!may(&world, "alice@demo.test").await);
    assert!(may(&world, "no-reply@other.test").await);
}

#[tokio::test]
async fn a_sub_address_that_is_somebodys_own_is_not_granted_with_the_rest() {
    let world = World::new().await;
    add(&world, "bob@demo.test", "info@demo.test")
        .await
        .expect("granted");
    assert!(may(&world, "info+boss@demo.test").await);
    let boss = NewAccount::new(address("info+boss@demo.test"), None);
    let added = world.directory.account_add(boss, &make_mail).await;
    added.expect("added");
    assert!(!may(&world, "info+boss@demo.test").await);
    assert!(may(&world, "info+x@demo.test").await);
    add(&world, "bob@demo.test", "info+boss@demo.test")
        .await
        .expect("granted");
    assert!(may(&world, "Info+Boss@demo.test").await);
}

#[tokio::test]
async fn a_star_is_anybody_of_a_domain_and_of_no_other() {
    let world = World::new().await;
    add(&world, "bob@demo.test", "*@Other.test")
        .await
        .expect("granted");
    assert_eq!(listed(&world, "bob@demo.test").await, ["*@other.test"]);
    for (text, want) in [
        ("carol@other.test", true),
        ("carol+x@other.test", true),
        ("nobody@OTHER.test", true),
        ("alice@demo.test", false),
        ("carol@sub.other.test", false),
        ("carol@another.test", false),
    ] {
        assert_eq!(may(&world, text).await, want, "{text}");
    }
}

#[tokio::test]
async fn only_domains_of_ours_and_only_so_many() {
    let world = World::new().await;
    for elsewhere in ["ann@far.test", "*@far.test", "ann@[192.0.2.1]"] {
        let refused = add(&world, "bob@demo.test", elsewhere).await;
        assert!(
            matches!(refused, Err(DirectoryError::NotGrantable(_))),
            "{elsewhere}: {refused:?}"
        );
    }
    let refused = add(&world, "nobody@demo.test", "bob@demo.test").await;
    assert!(matches!(refused, Err(DirectoryError::NoSuchAccount(_))));
    for n in 0..SEND_AS_MAX {
        let added = add(&world, "bob@demo.test", &format!("u{n}@demo.test")).await;
        assert!(added.expect("granted"));
    }
    let refused = add(&world, "bob@demo.test", "more@demo.test").await;
    assert!(matches!(refused, Err(DirectoryError::TooManyGrants)));
    let again = add(&world, "bob@demo.test", "u0@demo.test").await;
    assert!(!again.expect("it is there"));
    assert!(may(&world, &format!("u{}@demo.test", SEND_AS_MAX - 1)).await);
}

#[tokio::test]
async fn grants_go_with_their_account_and_with_their_domain() {
    let world = World::new().await;
    for (account, granted) in [
        ("bob@demo.test", "carol@other.test"),
        ("bob@demo.test", "*@other.test"),
        ("bob@demo.test", "alice@demo.test"),
        ("alice@demo.test", "x@other.test"),
    ] {
        add(&world, account, granted).await.expect("granted");
    }
    let other = domain("other.test");
    let removed = world
        .directory
        .domain_remove(&other, Removal::WithAccounts, &drop_mail)
        .await;
    removed.expect("removed");
    assert_eq!(listed(&world, "bob@demo.test").await, ["alice@demo.test"]);
    assert_eq!(listed(&world, "alice@demo.test").await, [""; 0]);
    let added = world.directory.domain_add(&other, None).await;
    added.expect("added again");
    assert!(!may(&world, "carol@other.test").await);
    let removed = world
        .directory
        .account_remove(&address("bob@demo.test"), &drop_mail)
        .await;
    removed.expect("removed");
    let snapshot = world.engine.snapshot(crate::keys::SHARD);
    let (start, end) = crate::keys::all_send_as();
    let left = snapshot.scan(&start, &end, engine::Order::Ascending, 10);
    assert!(left.expect("readable").is_empty());
    assert_eq!(world.directory.fsck().await.expect("read"), []);
}

/// Keeps in memory what is set aside.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Vec<u8>>>);

impl Aside for Kept {
    fn keep(&self, item: &SetAside<'_>) -> std::io::Result<()> {
        self.0.lock().push(item.key.to_vec());
        Ok(())
    }
}

#[tokio::test]
async fn what_is_left_over_counts_for_nothing_and_is_found_and_set_aside() {
    let world = World::new().await;
    let added = world.directory.domain_add(&domain("gone.test"), None).await;
    added.expect("added");
    for granted in ["*@gone.test", "x@gone.test", "alice@demo.test"] {
        add(&world, "bob@demo.test", granted)
            .await
            .expect("granted");
    }
    let snapshot = world.engine.snapshot(crate::keys::SHARD);
    let (bobs, nobodys) = (
        crate::keys::send_as(AccountId(2)),
        crate::keys::send_as(AccountId(9)),
    );
    let stored = snapshot.get(&bobs).expect("readable").expect("there");
    let mut damage = Batch::new();
    damage.delete(crate::keys::domain(&domain("gone.test")));
    damage.put(nobodys.clone(), stored.value);
    world.engine.submit(damage).expect("room").done().await;
    world.directory.refresh();
    assert!(!may(&world, "x@gone.test").await);
    assert_eq!(
        world.directory.fsck().await.expect("read"),
        [
            Finding::GrantWithoutDomain(AccountId(2), domain("gone.test")),
            Finding::StraySendAs(AccountId(9)),
        ]
    );
    let kept = Arc::new(Kept::default());
    let mended = world.directory.repair(AccountId(3), kept.clone()).await;
    assert_eq!(mended.expect("mended").len(), 2);
    assert_eq!(*kept.0.lock(), [bobs, nobodys]);
    assert_eq!(world.directory.fsck().await.expect("read"), []);
    assert_eq!(listed(&world, "bob@demo.test").await, ["alice@demo.test"]);
    assert!(may(&world, "alice@demo.test").await);
}

#[tokio::test]
async fn a_damaged_record_says_not_now_and_leaves_own_addresses() {
    let world = World::new().await;
    add(&world, "bob@demo.test", "alice@demo.test")
        .await
        .expect("granted");
    let mut damage = Batch::new();
    damage.put(crate::keys::send_as(AccountId(2)), &b"\x09"[..]);
    world.engine.submit(damage).expect("room").done().await;
    world.directory.refresh();
    assert!(may(&world, "bob@demo.test").await);
    let answer = world
        .directory
        .may_send_as(AccountId(2), &address("alice@demo.test"))
        .await;
    assert!(matches!(answer, Err(DirectoryError::Damaged { .. })));
}
