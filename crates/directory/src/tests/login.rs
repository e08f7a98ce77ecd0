//! Who gets in.

use super::*;
use crate::{
    AccountChange, AuthFailure, Caller, Identity, LoginOptions, NewAppPassword, Service, Verdict,
};
use sasl::{Answer, Credentials, Question};
use std::net::IpAddr;
use std::time::Duration;

pub(super) const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
pub(super) const CALLER: Caller = Caller {
    service: Service::Imap,
    peer: PEER,
};

async fn login(world: &World, login: &str, password: &str) -> Result<Identity, AuthFailure> {
    as_other(world, login, password, None).await
}

async fn as_other(
    world: &World,
    login: &str,
    password: &str,
    authorization: Option<&str>,
) -> Result<Identity, AuthFailure> {
    let question = Question::Password(Credentials {
        authorization: authorization.map(str::to_owned),
        login: login.to_owned(),
        password: Secret::from(password),
    });
    match world.directory.answer(&question, CALLER).await? {
        Verdict::Granted(identity, Answer::Accepted) => Ok(identity),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn logins_are_addresses_aliases_and_unique_bare_names() {
    let world = World::new().await;
    let bobs = [address("bob@demo.test")];
    world
        .directory
        .alias_add(&address("b@other.test"), &bobs)
        .await
        .expect("added");
    for name in [
        "bob@demo.test",
        "Bob@DEMO.test",
        "b@other.test",
        "bob",
        "BOB",
    ] {
        let identity = login(&world, name, "demo").await.expect(name);
        assert_eq!(identity.account, AccountId(2));
        assert_eq!(identity.address, address("bob@demo.test"));
        assert!(!identity.admin);
    }
    assert!(login(&world, "alice", "demo").await.expect("logs in").admin);
    let second = NewAccount::new(address("bob@other.test"), Some(Secret::from("demo")));
    world
        .directory
        .account_add(second, &make_mail)
        .await
        .expect("added");
    assert!(matches!(
        login(&world, "bob", "demo").await,
        Err(AuthFailure::Invalid)
    ));
    for name in [
        "bob+x@demo.test",
        "postmaster@demo.test",
        "@demo.test",
        "",
        "\0",
    ] {
        let refused = login(&world, name, "demo").await;
        assert!(matches!(refused, Err(AuthFailure::Invalid)), "{name}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_a_cached_one_ends_with_the_change() {
    let world = World::new().await;
    assert!(matches!(
        login(&world, "bob", "Demo").await,
        Err(AuthFailure::Invalid)
    ));
    for _ in 0..3 {
        login(&world, "bob", "demo").await.expect("logs in");
    }
    let change = AccountChange::Password(Secret::from("neu\u{e4}"));
    world
        .directory
        .account_change(&address("bob@demo.test"), change)
        .await
        .expect("changed");
    assert!(matches!(
        login(&world, "bob", "demo").await,
        Err(AuthFailure::Invalid)
    ));
    login(&world, "bob", "neua\u{308}")
        .await
        .expect("the same password, decomposed");
}

#[tokio::test]
async fn what_a_login_hangs_on_is_another_with_another_password() {
    let world = World::new().await;
    let bob = address("bob@demo.test");
    let id = login(&world, "bob", "demo").await.expect("logs in").account;
    let now = async || world.directory.standing(id).await.expect("read");
    let change = async |change| {
        let changed = world.directory.account_change(&bob, change).await;
        changed.expect("changed");
    };
    let first = now().await;
    login(&world, "bob", "demo").await.expect("logs in");
    change(AccountChange::SavesSent(true)).await;
    assert!(first.is_some() && now().await == first);
    change(AccountChange::Password(Secret::from("other"))).await;
    let second = now().await;
    assert!(second.is_some() && second != first);
    let device = NewAppPassword {
        label: "phone".into(),
        services: vec![Service::Imap],
        expires_ms: None,
        for_digests: false,
    };
    let made = world.directory.app_password_add(&bob, device).await;
    made.expect("made");
    assert_ne!(now().await, second);
    change(AccountChange::Disabled(true)).await;
    assert_eq!(now().await, None);
    assert_eq!(
        world
            .directory
            .standing(AccountId(999))
            .await
            .expect("read"),
        None
    );
}

#[tokio::test]
async fn a_disabled_account_is_refused_at_once_even_when_cached() {
    let world = World::new().await;
    login(&world, "bob", "demo").await.expect("logs in");
    let bob = address("bob@demo.test");
    world
        .directory
        .account_change(&bob, AccountChange::Disabled(true))
        .await
        .expect("changed");
    assert!(matches!(
        login(&world, "bob", "demo").await,
        Err(AuthFailure::Disabled)
    ));
    assert!(matches!(
        login(&world, "bob", "wrong").await,
        Err(AuthFailure::Invalid)
    ));
    world
        .directory
        .account_change(&bob, AccountChange::Disabled(false))
        .await
        .expect("changed");
    login(&world, "bob", "demo").await.expect("logs in");
}

#[tokio::test]
async fn an_account_without_a_password_never_logs_in() {
    let world = World::new().await;
    let info = NewAccount::new(address("info@demo.test"), None);
    world
        .directory
        .account_add(info, &make_mail)
        .await
        .expect("added");
    for password in ["", "-", "\0"] {
        assert!(login(&world, "info", password).await.is_err());
    }
}

#[tokio::test]
async fn wrong_passwords_are_delayed_and_end_in_a_ban() {
    let options = Options {
        login: LoginOptions {
            per_address_max: 3,
            delay: Duration::from_millis(1),
            ..LoginOptions::default()
        },
        ..Options::for_tests()
    };
    let world = World::empty(1, options);
    let before = world.runtime.monotonic();
    for n in 0..3 {
        assert!(matches!(
            login(&world, "nobody", &format!("wrong{n}")).await,
            Err(AuthFailure::Invalid)
        ));
    }
    let took = world.runtime.monotonic().since(before);
    assert!(took >= Duration::from_millis(7), "{took:?}");
    let Err(AuthFailure::Banned { reason }) = login(&world, "nobody", "wrong0").await else {
        panic!("banned");
    };
    assert!(reason.contains("192.0.2.1"), "{reason}");
    world.directory.lift_ban(PEER);
    assert!(matches!(
        login(&world, "else", "x").await,
        Err(AuthFailure::Invalid)
    ));
}

#[tokio::test]
async fn acting_for_another_account_is_refused() {
    let world = World::new().await;
    let identity = as_other(&world, "bob", "demo", Some("BOB@demo.test")).await;
    assert_eq!(identity.expect("itself").account, AccountId(2));
    let refused = as_other(&world, "bob", "demo", Some("alice@demo.test")).await;
    assert!(matches!(refused, Err(AuthFailure::Invalid)));
}

/// Whoever measures the time of an answer learns nothing: each costs one computation.
#[tokio::test]
async fn threat_07_every_refusal_costs_the_same_work() {
    let world = World::new().await;
    let without = NewAccount::new(address("imported@demo.test"), None);
    let added = world.directory.account_add(without, &make_mail).await;
    added.expect("added");
    for (name, password) in [
        ("bob@demo.test", "wrong"),
        ("nobody@demo.test", "demo"),
        ("bob@elsewhere.test", "demo"),
        ("imported@demo.test", "demo"),
        ("postmaster@demo.test", "demo"),
        ("nobody", "demo"),
        ("no address", "demo"),
        ("bob@demo.test", "\u{7}"),
        ("", ""),
    ] {
        let before = world.directory.inner.hashes.computed();
        let waited = login(&world, name, password).await;
        assert!(
            matches!(waited, Err(AuthFailure::Invalid)),
            "{name}: {waited:?}"
        );
        let after = world.directory.inner.hashes.computed();
        assert_eq!(after - before, 1, "{name} {password:?}");
        world.directory.lift_ban(PEER);
    }
}

#[tokio::test]
async fn a_certificate_logs_in_whom_it_names() {
    let world = World::new().await;
    let ask = |names: &[&str], authorization: Option<&str>| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let question = Question::Certificate(sasl::Certificate {
            names: names.into(),
            authorization: authorization.map(str::to_owned),
        });
        let directory = world.directory.clone();
        async move { directory.answer(&question, CALLER).await }
    };
    let both = ["old@gone.test", "Bob@Demo.test", "alice@demo.test"];
    for (names, wanted, id) in [
        (&both[..], None, 2),
        (&both, Some("bob"), 2),
        (&both, Some("alice@demo.test"), 1),
    ] {
        match ask(names, wanted).await {
            Ok(Verdict::Granted(identity, Answer::Accepted)) => {
                assert_eq!(identity.account, AccountId(id), "{wanted:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    for (names, wanted) in [
        (&both[..], Some("carol@other.test")),
        (&both, Some("nobody@demo.test")),
        (&["nobody@demo.test"], None),
        (&["old@gone.test"], Some("old@gone.test")),
    ] {
        let refused = ask(names, wanted).await;
        assert!(matches!(refused, Err(AuthFailure::Invalid)), "{wanted:?}");
    }
    let change = AccountChange::Disabled(true);
    let bob = address("bob@demo.test");
    world
        .directory
        .account_change(&bob, change)
        .await
        .expect("changed");
    let refused = ask(&["bob@demo.test"], None).await;
    assert!(matches!(refused, Err(AuthFailure::Disabled)));
}
