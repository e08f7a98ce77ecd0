//! Application passwords: what they are good for, and for how long.

use super::scram::log_in as by_scram;
use super::*;
use crate::{
    AccountChange, AuthFailure, Caller, DirectoryError, Identity, NewAppPassword, Service, Verdict,
};
use sasl::{Credentials, Question};
use std::time::Duration;

fn caller(service: Service) -> Caller {
    Caller {
        service,
        peer: "192.0.2.1".parse().expect("an address"),
    }
}

async fn by_plain(
    world: &World,
    login: &str,
    password: &str,
    caller: Caller,
) -> Result<Identity, AuthFailure> {
    let question = Question::Password(Credentials {
        authorization: None,
        login: login.to_owned(),
        password: Secret::from(password),
    });
    match world.directory.answer(&question, caller).await? {
        Verdict::Granted(identity, _) => Ok(identity),
        other => panic!("{other:?}"),
    }
}

async fn make(world: &World, name: &str, label: &str, services: &[Service]) -> String {
    let new = NewAppPassword {
        label: label.into(),
        services: services.to_vec(),
        expires_ms: None,
        for_digests: false,
    };
    let made = world.directory.app_password_add(&address(name), new).await;
    made.expect("made").1.expose().to_owned()
}

#[tokio::test]
async fn they_log_in_for_their_services_by_every_mechanism() {
    let world = World::new().await;
    let bob = "bob@demo.test";
    let phone = make(&world, bob, "phone", &[Service::Imap, Service::Smtp]).await;
    let printer = make(&world, bob, "printer", &[Service::Smtp]).await;
    assert_ne!(phone, printer);
    assert_eq!(phone.len(), 24, "{phone}");
    for (password, label, good) in [
        (&phone, "phone", &[Service::Imap, Service::Smtp][..]),
        (&printer, "printer", &[Service::Smtp]),
    ] {
        for service in [Service::Imap, Service::Pop3, Service::Smtp] {
            for found in [
                by_plain(&world, bob, password, caller(service)).await,
                by_scram(&world, bob, password, caller(service)).await,
            ] {
                if good.contains(&service) {
                    let identity = found.expect("good for it");
                    assert_eq!(identity.account, AccountId(2));
                    assert_eq!(identity.app_password.as_deref(), Some(label));
                } else {
                    assert!(
                        matches!(found, Err(AuthFailure::Invalid)),
                        "{label} {service:?}"
                    );
                }
            }
        }
    }
    // The account's own password goes on, and nobody else's account is open.
    let own = by_scram(&world, bob, "demo", caller(Service::Pop3)).await;
    assert_eq!(own.expect("logs in").app_password, None);
    let other = by_plain(&world, "alice@demo.test", &phone, caller(Service::Imap)).await;
    assert!(matches!(other, Err(AuthFailure::Invalid)));
}

#[tokio::test]
async fn they_end_with_their_time_their_removal_and_their_account() {
    let world = World::new().await;
    let (bob, imap) = ("bob@demo.test", caller(Service::Imap));
    let new = NewAppPassword {
        label: "guest".into(),
        services: vec![Service::Imap],
        expires_ms: Some(world.runtime.now().unix_ms + 60_000),
        for_digests: false,
    };
    let made = world.directory.app_password_add(&address(bob), new).await;
    let guest = made.expect("made").1.expose().to_owned();
    let phone = make(&world, bob, "phone", &[Service::Imap]).await;
    by_plain(&world, bob, &guest, imap).await.expect("good");
    world.runtime.advance(Duration::from_secs(60));
    for found in [
        by_plain(&world, bob, &guest, imap).await,
        by_scram(&world, bob, &guest, imap).await,
    ] {
        assert!(matches!(found, Err(AuthFailure::Invalid)));
    }
    by_plain(&world, bob, &phone, imap).await.expect("good");
    let change = AccountChange::Disabled(true);
    let changed = world.directory.account_change(&address(bob), change).await;
    changed.expect("changed");
    let found = by_plain(&world, bob, &phone, imap).await;
    assert!(matches!(found, Err(AuthFailure::Disabled)));
    let change = AccountChange::Disabled(false);
    let changed = world.directory.account_change(&address(bob), change).await;
    changed.expect("changed");
    let removed = world
        .directory
        .app_password_remove(&address(bob), "phone")
        .await;
    removed.expect("removed");
    let found = by_plain(&world, bob, &phone, imap).await;
    assert!(matches!(found, Err(AuthFailure::Invalid)));
    let removed = world
        .directory
        .account_remove(&address(bob), &drop_mail)
        .await;
    removed.expect("removed");
    assert_eq!(world.directory.fsck().await.expect("read"), []);
}

#[tokio::test]
async fn a_new_password_leaves_them_as_they_are() {
    let world = World::new().await;
    let (bob, imap) = ("bob@demo.test", caller(Service::Imap));
    let phone = make(&world, bob, "phone", &[Service::Imap]).await;
    for password in ["new", "newer"] {
        let change = AccountChange::Password(Secret::from(password));
        let changed = world.directory.account_change(&address(bob), change).await;
        changed.expect("changed");
        for password in [password, &phone] {
            by_plain(&world, bob, password, imap).await.expect("good");
            by_scram(&world, bob, password, imap).await.expect("good");
        }
    }
    let found = by_scram(&world, bob, "demo", imap).await;
    assert!(matches!(found, Err(AuthFailure::Invalid)));
}

#[tokio::test]
async fn an_account_without_a_password_can_have_them() {
    let world = World::new().await;
    let (info, smtp) = ("info@demo.test", caller(Service::Smtp));
    let new = NewAccount::new(address(info), None);
    let added = world.directory.account_add(new, &make_mail).await;
    added.expect("added");
    let scanner = make(&world, info, "scanner", &[Service::Smtp]).await;
    by_plain(&world, info, &scanner, smtp).await.expect("good");
    by_scram(&world, info, &scanner, smtp).await.expect("good");
    let change = AccountChange::Password(Secret::from("own"));
    let changed = world.directory.account_change(&address(info), change).await;
    changed.expect("changed");
    by_scram(&world, info, &scanner, smtp).await.expect("good");
    by_scram(&world, info, "own", smtp).await.expect("good");
}

#[tokio::test]
async fn what_cannot_be_made_is_told() {
    let world = World::new().await;
    let add = |label: &str, services: &[Service], expires_ms| {
        let new = NewAppPassword {
            label: label.into(),
            services: services.to_vec(),
            expires_ms,
            for_digests: false,
        };
        let (directory, bob) = (world.directory.clone(), address("bob@demo.test"));
        async move { directory.app_password_add(&bob, new).await.map(drop) }
    };
    for label in ["", "  ", "a\nb", &"x".repeat(65)] {
        let refused = add(label, &[Service::Imap], None).await;
        assert!(matches!(refused, Err(DirectoryError::Label)), "{label:?}");
    }
    let refused = add("phone", &[], None).await;
    assert!(matches!(refused, Err(DirectoryError::NeverGood)));
    let refused = add("phone", &[Service::Imap], Some(1)).await;
    assert!(matches!(refused, Err(DirectoryError::NeverGood)));
    for n in 0..crate::limits::APP_PASSWORDS_MAX {
        let label = format!("phone {n}");
        add(&label, &[Service::Imap], None).await.expect("room");
    }
    let refused = add("phone 3", &[Service::Imap], None).await;
    assert!(matches!(refused, Err(DirectoryError::LabelTaken(_))));
    let refused = add("one more", &[Service::Imap], None).await;
    assert!(matches!(refused, Err(DirectoryError::TooManyAppPasswords)));
    let bob = address("bob@demo.test");
    let listed = world.directory.app_password_list(&bob).await.expect("read");
    assert_eq!(listed.len(), crate::limits::APP_PASSWORDS_MAX);
    let refused = world.directory.app_password_remove(&bob, "tablet").await;
    assert!(matches!(refused, Err(DirectoryError::NoSuchAppPassword(_))));
    let refused = world
        .directory
        .app_password_list(&address("eve@demo.test"))
        .await;
    assert!(matches!(refused, Err(DirectoryError::NoSuchAccount(_))));
}

#[tokio::test]
async fn a_damaged_record_leaves_the_own_password() {
    let world = World::new().await;
    let (bob, imap) = ("bob@demo.test", caller(Service::Imap));
    let phone = make(&world, bob, "phone", &[Service::Imap]).await;
    let mut batch = Batch::new();
    batch.put(crate::keys::app_passwords(AccountId(2)), &b"\x01\x07"[..]);
    world.engine.submit(batch).expect("room").done().await;
    world.directory.refresh();
    by_plain(&world, bob, "demo", imap).await.expect("good");
    by_scram(&world, bob, "demo", imap).await.expect("good");
    let found = by_plain(&world, bob, &phone, imap).await;
    assert!(matches!(found, Err(AuthFailure::Invalid)));
}
