//! Password hashes of other systems: right until the first login, then our own.

use super::scram::log_in as by_scram;
use super::*;
use crate::record::credentials::{Credentials, Stored};
use crate::{AccountChange, AuthFailure, Caller, Identity, Service, Verdict};
use sasl::imported::Imported;
use sasl::{Bound, Mechanism, Question};

const CALLER: Caller = Caller {
    service: Service::Imap,
    peer: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
};

/// "secret", as Python's hashlib made it.
const SSHA: &str = "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0";

fn hash() -> Imported {
    Imported::parse(SSHA).expect("a hash")
}

async fn import(world: &World, name: &str) {
    let change = AccountChange::ImportedHash(hash());
    let changed = world.directory.account_change(&address(name), change).await;
    changed.expect("changed");
}

async fn by_plain(world: &World, login: &str, password: &str) -> Result<Identity, AuthFailure> {
    let question = Question::Password(sasl::Credentials {
        authorization: None,
        login: login.to_owned(),
        password: Secret::from(password),
    });
    match world.directory.answer(&question, CALLER).await? {
        Verdict::Granted(identity, _) => Ok(identity),
        other => panic!("{other:?}"),
    }
}

fn stored(world: &World, id: u64) -> Credentials {
    let key = crate::keys::credentials(AccountId(id));
    let record = world.engine.snapshot(crate::keys::SHARD).get(&key);
    let record = record.expect("read").expect("is there");
    Credentials::decode(&record.value).expect("decodes")
}

#[tokio::test]
async fn an_imported_hash_is_replaced_at_the_first_login() {
    let world = World::new().await;
    world.directory.survey().await.expect("read");
    let offers_scram = || {
        let offer = world.directory.offer(Vec::new(), Vec::new());
        offer.contains(Mechanism::Scram(sasl::scram::Hash::Sha256, Bound::No))
    };
    assert!(offers_scram());
    import(&world, "bob@demo.test").await;
    assert!(!offers_scram(), "bob would fail");
    let set_ms = stored(&world, 2).set_ms;
    for wrong in ["demo", "Secret", "", "\u{7}"] {
        let refused = by_plain(&world, "bob", wrong).await;
        assert!(matches!(refused, Err(AuthFailure::Invalid)), "{wrong}");
        assert!(matches!(stored(&world, 2).password, Stored::Imported(_)));
    }
    let refused = by_scram(&world, "bob", "secret", CALLER).await;
    assert!(matches!(refused, Err(AuthFailure::Invalid)));
    world.runtime.advance(std::time::Duration::from_secs(9));
    by_plain(&world, "bob", "secret").await.expect("logs in");
    let now = stored(&world, 2);
    assert!(matches!(now.password, Stored::Argon2id(_)));
    assert_eq!(now.set_ms, set_ms, "the password is as old as it was");
    assert!(offers_scram());
    by_plain(&world, "bob", "secret").await.expect("logs in");
    let again = by_scram(&world, "bob", "secret", CALLER).await;
    again.expect("logs in");
}

#[tokio::test]
async fn an_account_can_begin_with_one() {
    let world = World::new().await;
    let mut new = NewAccount::new(address("eve@demo.test"), None);
    new.imported = Some(hash());
    let added = world.directory.account_add(new, &make_mail).await;
    added.expect("added");
    by_plain(&world, "eve", "secret").await.expect("logs in");
    assert!(matches!(stored(&world, 4).password, Stored::Argon2id(_)));
    assert_eq!(world.directory.fsck().await.expect("read"), []);
}

/// SCRAM salts follow the application passwords, which keep working.
#[tokio::test]
async fn application_passwords_outlive_the_replacement() {
    let world = World::new().await;
    let new = crate::NewAppPassword {
        label: "phone".into(),
        services: vec![Service::Imap],
        expires_ms: None,
        for_digests: false,
    };
    let bob = address("bob@demo.test");
    let made = world.directory.app_password_add(&bob, new).await;
    let phone = made.expect("made").1;
    import(&world, "bob@demo.test").await;
    for password in ["secret", phone.expose()] {
        let found = by_plain(&world, "bob", password).await;
        found.expect("logs in");
    }
    for password in ["secret", phone.expose()] {
        let found = by_scram(&world, "bob", password, CALLER).await;
        found.expect("logs in");
    }
}

/// What is behind an answer does not show.
#[tokio::test]
async fn a_wrong_password_of_an_imported_hash_costs_what_others_cost() {
    let world = World::new().await;
    import(&world, "bob@demo.test").await;
    for name in ["bob", "alice", "nobody"] {
        let before = world.directory.inner.hashes.computed();
        let refused = by_plain(&world, name, "wrong").await;
        assert!(matches!(refused, Err(AuthFailure::Invalid)));
        let computed = world.directory.inner.hashes.computed() - before;
        assert_eq!(computed, 1, "{name}");
    }
}
