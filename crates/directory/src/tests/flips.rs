//! A bit of every byte of every record of the directory is turned over, one at
//! a time, and each record is taken away: others are served, `fsck` names it, a
//! repair leaves a sound directory, and a second one has nothing to do.

use super::{World, address, domain, make_mail};
use crate::{Grant, NewAccount, NewAppPassword, Resolution, Service};
use engine::check::{Aside, SetAside};
use engine::{Batch, Order};
use envelope::AccountId;
use parking_lot::Mutex;
use sasl::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keeps what is set aside in memory.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Vec<u8>>>);

impl Aside for Kept {
    fn keep(&self, item: &SetAside<'_>) -> std::io::Result<()> {
        self.0.lock().push(item.key.to_vec());
        Ok(())
    }
}

fn pairs(world: &World) -> Pairs {
    let snapshot = world.engine.snapshot(crate::keys::SHARD);
    let found = snapshot
        .scan(b"D", b"E", Order::Ascending, 10_000)
        .expect("read");
    let found = found.into_iter();
    found
        .map(|(key, stored)| (key, stored.value.to_vec()))
        .collect()
}

async fn restore(world: &World, before: &Pairs) {
    let now = pairs(world);
    let mut batch = Batch::new();
    for key in now.keys().filter(|key| !before.contains_key(*key)) {
        batch.delete(key.clone());
    }
    for (key, value) in before
        .iter()
        .filter(|(key, value)| now.get(*key) != Some(value))
    {
        batch.put(key.clone(), value.clone());
    }
    if !batch.is_empty() {
        world.engine.submit(batch).expect("room").done().await;
    }
    world.directory.refresh();
}

/// True if the damage was named.
async fn mended(world: &World, what: &str) -> bool {
    world.directory.refresh();
    let others = world.directory.resolve(&address("eve@far.test")).await;
    assert!(
        matches!(others, Ok(Resolution::Local(_))),
        "{what}: {others:?}"
    );
    let found = world.directory.fsck().await.expect("it can be read");
    let kept = Arc::new(Kept::default());
    let largest = AccountId(9);
    let repaired = world.directory.repair(largest, kept.clone()).await;
    let repaired = repaired.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(
        repaired.is_empty(),
        found.is_empty(),
        "{what}: {found:?} {repaired:?}"
    );
    let left = world.directory.fsck().await.expect("it can be read");
    assert_eq!(left, [], "{what}: {found:?} {repaired:?}");
    let again = world.directory.repair(largest, kept).await.expect("ok");
    assert_eq!(again, [], "{what}");
    // It works: accounts are added, under ids that nobody has.
    let new = NewAccount::new(address("new@far.test"), None);
    let added = world.directory.account_add(new, &make_mail).await;
    let added = added.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(added.id > AccountId(4), "{what}: {added:?}");
    let mut mail = Batch::new();
    mail.delete(engine::keys::account(added.id.0));
    world.engine.submit(mail).expect("room").done().await;
    !found.is_empty()
}

#[tokio::test]
async fn every_byte_and_every_record_of_the_directory() {
    let world = World::new().await;
    world
        .directory
        .domain_add(&domain("far.test"), None)
        .await
        .expect("added");
    let eve = NewAccount::new(address("eve@far.test"), Some(Secret::from("demo")));
    world
        .directory
        .account_add(eve, &make_mail)
        .await
        .expect("added");
    let (alias, target) = (address("team@demo.test"), address("bob@demo.test"));
    world
        .directory
        .alias_add(&alias, &[target])
        .await
        .expect("added");
    world.directory.inner.made_up_key().await.expect("drawn");
    for name in ["eve@far.test", "bob@demo.test"] {
        let new = NewAppPassword {
            label: "phone".into(),
            services: vec![Service::Imap],
            expires_ms: None,
            for_digests: false,
        };
        let made = world.directory.app_password_add(&address(name), new).await;
        made.expect("made");
    }
    for (name, granted) in [
        ("eve@far.test", "info@far.test"),
        ("bob@demo.test", "info@demo.test"),
        ("bob@demo.test", "*@other.test"),
    ] {
        let grant = Grant::of(&address(granted));
        let added = world.directory.send_as_add(&address(name), &grant).await;
        assert!(added.expect("granted"));
    }
    assert_eq!(world.directory.fsck().await.expect("read"), []);
    let before = pairs(&world);
    let is_eves = |key: &[u8]| {
        key.windows(8).any(|part| part == b"far.test")
            || matches!(key.get(1), Some(b'a' | b'p' | b'w' | b's')) && key.ends_with(&[4])
    };
    let mine: Pairs = before
        .iter()
        .filter(|(key, _)| !is_eves(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let (mut flips, mut silent) = (0, BTreeMap::<u8, u32>::new());
    for (key, value) in &mine {
        for at in 0..value.len() {
            let mut flipped = value.clone();
            flipped[at] ^= 1 << (at % 8);
            let mut damage = Batch::new();
            damage.put(key.clone(), flipped);
            world.engine.submit(damage).expect("room").done().await;
            let what = format!("byte {at} of {}", key.escape_ascii());
            flips += 1;
            if !mended(&world, &what).await {
                *silent.entry(key[1]).or_default() += 1;
            }
            restore(&world, &before).await;
        }
        let mut damage = Batch::new();
        damage.delete(key.clone());
        world.engine.submit(damage).expect("room").done().await;
        mended(&world, &format!("without {}", key.escape_ascii())).await;
        restore(&world, &before).await;
    }
    assert!(flips > 300, "{flips}");
    // Login names are wholly derived: none of their bytes is free.
    assert!(!silent.contains_key(&b'n'), "{silent:?} of {flips}");
}

#[tokio::test]
async fn what_an_account_was_is_known_from_what_leads_to_it() {
    let world = World::new().await;
    let bob = world
        .directory
        .account_show(&address("bob@demo.test"))
        .await
        .expect("there");
    let mut damage = Batch::new();
    damage.put(crate::keys::account(bob.id), &b"\x01"[..]);
    world.engine.submit(damage).expect("room").done().await;
    world.directory.refresh();
    let kept = Arc::new(Kept::default());
    world
        .directory
        .repair(AccountId(3), kept.clone())
        .await
        .expect("ok");
    assert_eq!(kept.0.lock().len(), 1, "the damaged record is set aside");
    let again = world
        .directory
        .account_show(&address("bob@demo.test"))
        .await
        .expect("there");
    assert_eq!((again.id, again.address), (bob.id, bob.address));
}

#[tokio::test]
async fn mail_that_nothing_leads_to_gets_an_address() {
    let world = World::new().await;
    let lost = address("recovered-77@demo.test");
    world
        .directory
        .adopt(AccountId(77), lost.clone())
        .await
        .expect("adopted");
    let adopted = world.directory.account_show(&lost).await.expect("there");
    assert!(adopted.disabled);
    assert!(world.directory.adopt(AccountId(78), lost).await.is_err());
    let nowhere = address("recovered-79@no.test");
    assert!(world.directory.adopt(AccountId(79), nowhere).await.is_err());
    let found = world.directory.fsck().await.expect("read");
    assert_eq!(found, []);
}
