//! What administrators do.

use super::*;
use crate::record::credentials::{Credentials, Stored};
use crate::{AccountChange, DirectoryError, Quota, Removal};
use engine::{Order, ShardId};

fn has_mail(world: &World, id: AccountId) -> bool {
    let shard = world.engine.shard_of_account(id.0);
    let snapshot = world.engine.snapshot(shard);
    snapshot
        .get(&engine::keys::account(id.0))
        .expect("readable")
        .is_some()
}

#[tokio::test]
async fn accounts_get_ids_in_order_and_their_mail_with_them() {
    let world = World::new().await;
    let listed = world.directory.account_list(None).await.expect("listed");
    let ids: Vec<_> = listed.iter().map(|account| account.id.0).collect();
    assert_eq!(ids, [1, 2, 3]);
    for account in &listed {
        assert!(has_mail(&world, account.id), "{}", account.address);
    }
    let here = world
        .directory
        .account_list(Some(&domain("other.test")))
        .await
        .expect("listed");
    assert_eq!(here.len(), 1);
    assert_eq!(here[0].address, address("carol@other.test"));
}

#[tokio::test]
async fn an_address_is_given_once_whatever_its_case() {
    let world = World::new().await;
    let again = NewAccount::new(address("BOB@demo.test"), None);
    let refused = world.directory.account_add(again, &make_mail).await;
    assert!(matches!(refused, Err(DirectoryError::AddressTaken(_))));
    let targets = [address("alice@demo.test")];
    let refused = world
        .directory
        .alias_add(&address("Bob@demo.test"), &targets)
        .await;
    assert!(matches!(refused, Err(DirectoryError::AddressTaken(_))));
    let stranger = NewAccount::new(address("x@far.test"), None);
    let refused = world.directory.account_add(stranger, &make_mail).await;
    assert!(matches!(refused, Err(DirectoryError::NoSuchDomain(_))));
    assert!(
        world
            .directory
            .domain_add(&domain("DEMO.test"), None)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn adding_many_at_once_gives_each_its_own_id() {
    let world = World::new().await;
    let adds = (0..20).map(|n| {
        let directory = world.directory.clone();
        let new = NewAccount::new(address(&format!("u{n}@demo.test")), None);
        world.runtime.spawn("add", async move {
            directory.account_add(new, &make_mail).await
        })
    });
    for add in adds.collect::<Vec<_>>() {
        add.join().await.expect("ran").expect("added");
    }
    let listed = world.directory.account_list(None).await.expect("listed");
    assert_eq!(listed.len(), 23);
    assert_eq!(listed.last().map(|account| account.id), Some(AccountId(23)));
}

#[tokio::test]
async fn a_removed_account_leaves_nothing_and_its_id_is_not_given_again() {
    let world = World::new().await;
    let bob = address("Bob@demo.test");
    let id = world
        .directory
        .account_remove(&bob, &drop_mail)
        .await
        .expect("removed");
    assert_eq!(id, AccountId(2));
    assert!(!has_mail(&world, id));
    assert!(matches!(
        world.directory.account_remove(&bob, &drop_mail).await,
        Err(DirectoryError::NoSuchAccount(_))
    ));
    let again = world
        .directory
        .account_add(NewAccount::new(bob, None), &make_mail)
        .await;
    assert_eq!(again.expect("added").id, AccountId(4));
    let snapshot = world.engine.snapshot(ShardId(0));
    let left = snapshot
        .scan(b"Dp", b"Dq", Order::Ascending, 10)
        .expect("readable");
    assert_eq!(left.len(), 2, "credentials of alice and carol only");
}

#[tokio::test]
async fn the_last_administrator_hands_over() {
    let world = World::new().await;
    let bob = address("bob@demo.test");
    world
        .directory
        .account_change(&bob, AccountChange::Admin(true))
        .await
        .expect("changed");
    world
        .directory
        .account_remove(&address("alice@demo.test"), &drop_mail)
        .await
        .expect("gone");
    let crate::Resolution::Local(found) = world.directory.resolve_postmaster().await.expect("read")
    else {
        panic!("someone answers");
    };
    assert!(matches!(
        &found[0],
        crate::Target::Account {
            id: AccountId(2),
            ..
        }
    ));
}

#[tokio::test]
async fn a_domain_with_accounts_is_removed_only_by_force() {
    let world = World::new().await;
    let demo = domain("demo.test");
    let refused = world
        .directory
        .domain_remove(&demo, Removal::Refuse, &drop_mail)
        .await;
    assert!(matches!(refused, Err(DirectoryError::DomainInUse(_))));
    let team = address("team@demo.test");
    world
        .directory
        .alias_add(&team, &[address("x@far.test")])
        .await
        .expect("added");
    let gone = world
        .directory
        .domain_remove(&demo, Removal::WithAccounts, &drop_mail)
        .await;
    let mut gone = gone.expect("removed");
    gone.sort();
    assert_eq!(gone, [AccountId(1), AccountId(2)]);
    assert!(world.directory.domain_show(&demo).await.is_err());
    assert!(
        world
            .directory
            .alias_list(None)
            .await
            .expect("listed")
            .is_empty()
    );
    let left = world.directory.domain_list().await.expect("listed");
    assert_eq!(left.len(), 1);
    let empty = domain("empty.test");
    world
        .directory
        .domain_add(&empty, None)
        .await
        .expect("added");
    let removed = world
        .directory
        .domain_remove(&empty, Removal::Refuse, &drop_mail)
        .await;
    assert!(removed.expect("removed").is_empty());
}

#[tokio::test]
async fn what_a_domains_accounts_may_hold_is_kept() {
    let world = World::new().await;
    let demo = domain("demo.test");
    let quota = Quota {
        bytes: Some(10),
        messages: None,
    };
    let changed = world.directory.domain_quota(&demo, quota).await;
    assert_eq!(changed.expect("changed").quota, quota);
    let shown = world.directory.domain_show(&demo).await.expect("shown");
    assert_eq!(shown.quota, quota);
    let nowhere = domain("no.test");
    assert!(world.directory.domain_quota(&nowhere, quota).await.is_err());
}

#[tokio::test]
async fn passwords_become_argon2id_and_scram_verifiers_and_nothing_else() {
    let world = World::new().await;
    let bob = address("bob@demo.test");
    let long = "correct horse battery staple";
    let change = AccountChange::Password(Secret::from(long));
    world
        .directory
        .account_change(&bob, change)
        .await
        .expect("changed");
    let snapshot = world.engine.snapshot(ShardId(0));
    for (key, record) in snapshot
        .scan(b"D", b"E", Order::Ascending, 100)
        .expect("readable")
    {
        let bytes = record.value.windows(long.len());
        assert!(bytes.into_iter().all(|window| window != long.as_bytes()));
        if key.starts_with(b"Dp\0\0\0\0\0\0\0\x02") {
            let stored = Credentials::decode(&record.value).expect("decodes");
            assert_eq!(stored.scram.len(), 3);
            assert!(matches!(stored.password, Stored::Argon2id(own) if own.hash.len() == 32));
        }
    }
    let refused = AccountChange::Password(Secret::from("a\nb"));
    assert!(world.directory.account_change(&bob, refused).await.is_err());
}

#[tokio::test]
async fn a_damaged_record_is_reported_and_the_others_are_served() {
    let world = World::new().await;
    let mut batch = Batch::new();
    batch.put(b"Dmdemo.test\0broken".to_vec(), &b"\x09"[..]);
    world.engine.submit(batch).expect("submitted").done().await;
    let broken = world.directory.resolve(&address("broken@demo.test")).await;
    let text = broken.expect_err("damaged").to_string();
    assert!(text.contains("broken"), "{text}");
    let listed = world.directory.account_list(None).await.expect("listed");
    assert_eq!(listed.len(), 3);
    let demo = domain("demo.test");
    let here = world.directory.account_list(Some(&demo)).await;
    assert_eq!(here.expect("listed").len(), 2);
    assert!(
        world
            .directory
            .resolve(&address("bob@demo.test"))
            .await
            .is_ok()
    );
}
