//! CRAM-MD5 and APOP: for passwords that were made for it alone.

use super::login::{CALLER, PEER};
use super::*;
use crate::{
    AuthFailure, DirectoryError, Identity, LoginOptions, NewAppPassword, SealingKey, Service,
    Verdict,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sasl::{Answer, Digest, DigestKind, Question};
use std::time::Duration;

const BOB: &str = "bob@demo.test";

async fn world() -> World {
    world_with(LoginOptions {
        delay: Duration::ZERO,
        ..LoginOptions::default()
    })
    .await
}

async fn world_with(login: LoginOptions) -> World {
    let options = Options {
        sealing: Some(SealingKey::new(&[7; 32])),
        login,
        ..Options::for_tests()
    };
    let world = World::empty(1, options);
    let added = world.directory.domain_add(&domain("demo.test"), None).await;
    added.expect("added");
    let new = NewAccount::new(address(BOB), Some(Secret::from("demo")));
    let added = world.directory.account_add(new, &make_mail).await;
    added.expect("added");
    world
}

async fn make(world: &World, label: &str, for_digests: bool) -> Result<Secret, DirectoryError> {
    let new = NewAppPassword {
        label: label.into(),
        services: vec![Service::Imap],
        expires_ms: Some(world.runtime.now().unix_ms + 60_000),
        for_digests,
    };
    let made = world.directory.app_password_add(&address(BOB), new).await;
    made.map(|(_, secret)| secret)
}

/// A client: asks for a challenge and answers it with a password.
async fn log_in(
    world: &World,
    kind: DigestKind,
    login: &str,
    password: &str,
    service: Service,
) -> Result<Identity, AuthFailure> {
    let caller = crate::Caller { service, ..CALLER };
    let challenge = match world.directory.answer(&Question::Challenge, caller).await? {
        Verdict::GoOn(Answer::Challenge(challenge)) => challenge,
        other => panic!("{other:?}"),
    };
    let (password, text) = (password.as_bytes(), challenge.as_bytes());
    let digest: [u8; 16] = match kind {
        DigestKind::CramMd5 => {
            let mut mac = Hmac::<Md5>::new_from_slice(password).expect("any length");
            mac.update(text);
            mac.finalize().into_bytes().into()
        }
        DigestKind::Apop => Md5::digest([text, password].concat()).into(),
    };
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let message = format!("{login} {digits}");
    let digest = Digest::parse(kind, &challenge, message.as_bytes()).expect("well formed");
    let question = Question::Digest(digest);
    match world.directory.answer(&question, caller).await? {
        Verdict::Granted(identity, Answer::Accepted) => Ok(identity),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_passwords_made_for_it_make_digests() {
    let world = world().await;
    let marked = make(&world, "scanner", true).await.expect("made");
    let other = make(&world, "phone", false).await.expect("made");
    for kind in [DigestKind::CramMd5, DigestKind::Apop] {
        for login in [BOB, "Bob@DEMO.test", "bob"] {
            let identity = log_in(&world, kind, login, marked.expose(), Service::Imap).await;
            let identity = identity.expect("logs in");
            assert_eq!(identity.app_password.as_deref(), Some("scanner"));
        }
        for (login, password, service) in [
            // The account's own, one that is not marked, one for another service, nobody's.
            (BOB, "demo", Service::Imap),
            (BOB, other.expose(), Service::Imap),
            (BOB, marked.expose(), Service::Smtp),
            ("nobody@demo.test", marked.expose(), Service::Imap),
            (BOB, "", Service::Imap),
        ] {
            let refused = log_in(&world, kind, login, password, service).await;
            assert!(
                matches!(refused, Err(AuthFailure::Invalid)),
                "{login} {refused:?}"
            );
        }
    }
    world.runtime.advance(Duration::from_secs(60));
    let late = log_in(
        &world,
        DigestKind::CramMd5,
        BOB,
        marked.expose(),
        Service::Imap,
    )
    .await;
    assert!(matches!(late, Err(AuthFailure::Invalid)), "it is over");
}

#[tokio::test]
async fn without_a_key_there_is_none_and_with_another_no_password_opens() {
    let world = World::new().await;
    let names = world.directory.offer(Vec::new(), Vec::new()).names("");
    assert!(!names.contains("CRAM-MD5"));
    assert!(matches!(
        make(&world, "scanner", true).await,
        Err(DirectoryError::NoDigests)
    ));
    let refused = log_in(&world, DigestKind::CramMd5, BOB, "demo", Service::Imap).await;
    assert!(matches!(refused, Err(AuthFailure::Invalid)));
    let world = self::world().await;
    let names = world.directory.offer(Vec::new(), Vec::new()).names("");
    assert!(names.ends_with("CRAM-MD5"), "{names}");
    let marked = make(&world, "scanner", true).await.expect("made");
    let options = Options {
        sealing: Some(SealingKey::new(&[8; 32])),
        ..Options::for_tests()
    };
    let directory = Directory::new(world.engine.clone(), world.runtime.clone(), options);
    let world = World { directory, ..world };
    let refused = log_in(
        &world,
        DigestKind::CramMd5,
        BOB,
        marked.expose(),
        Service::Imap,
    )
    .await;
    assert!(matches!(refused, Err(AuthFailure::Invalid)));
}

#[tokio::test]
async fn the_store_alone_has_no_password() {
    let world = world().await;
    let marked = make(&world, "scanner", true).await.expect("made");
    let all = world.engine.snapshot(engine::ShardId(0));
    let pairs = all.scan(&[], &[0xff; 8], engine::Order::Ascending, 1_000);
    let secret = marked.expose().as_bytes();
    for (key, record) in pairs.expect("read") {
        let found = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
        assert!(!found(&record.value), "{}", key.escape_ascii());
    }
}

#[tokio::test]
async fn wrong_digests_are_delayed_and_count_once() {
    let world = world_with(LoginOptions {
        per_address_max: 3,
        delay: Duration::from_millis(1),
        ..LoginOptions::default()
    })
    .await;
    let began = world.runtime.monotonic();
    for n in 0..10 {
        let wrong = log_in(
            &world,
            DigestKind::CramMd5,
            BOB,
            &n.to_string(),
            Service::Imap,
        )
        .await;
        assert!(matches!(wrong, Err(AuthFailure::Invalid)), "{wrong:?}");
    }
    assert!(world.runtime.monotonic().since(began) >= Duration::from_millis(10));
    assert!(world.directory.login_bans().is_empty());
    // Of many accounts it is a guesser.
    for login in ["a@demo.test", "b@demo.test"] {
        let wrong = log_in(&world, DigestKind::Apop, login, "x", Service::Imap).await;
        assert!(matches!(wrong, Err(AuthFailure::Invalid)), "{wrong:?}");
    }
    let banned = log_in(&world, DigestKind::CramMd5, BOB, "x", Service::Imap).await;
    assert!(
        matches!(banned, Err(AuthFailure::Banned { .. })),
        "{banned:?}"
    );
    world.directory.lift_ban(PEER);
}
