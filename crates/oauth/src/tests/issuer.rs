//! An issuer that changes its keys, and one that is down.

use super::*;
use crate::limits::{KEYS_FRESH, KEYS_STALE_MAX, REFRESH_PAUSE, RETRY_PAUSE};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

impl World {
    fn serve(&self, keys: &[Value]) {
        *self.end_point.keys.lock() = Ok(json!({ "keys": keys }));
    }

    fn go_down(&self) {
        *self.end_point.keys.lock() = Err("connection refused".into());
    }

    /// A token of `pair` that is good for as long as tests last.
    async fn try_key(&self, pair: &Pair, kid: &str) -> Result<String, TokenRefusal> {
        let claims = self.claims();
        self.check(&pair.token(kid, &claims)).await
    }
}

#[tokio::test]
async fn an_unknown_key_makes_us_ask_once_a_minute() {
    let world = World::new();
    let next = Pair::p256();
    assert!(world.try_key(&world.pair, "k1").await.is_ok());
    assert_eq!(world.asked(), 1);
    for n in 0..20 {
        let refused = world.try_key(&next, &format!("x{n}")).await;
        assert!(matches!(refused, Err(TokenRefusal::Invalid(_))));
    }
    assert_eq!(world.asked(), 1, "not while the answer is young");
    world.serve(&[world.pair.jwk("k1"), next.jwk("k2")]);
    world.runtime.advance(REFRESH_PAUSE - SECOND);
    assert!(world.try_key(&next, "k2").await.is_err());
    world.runtime.advance(SECOND);
    assert!(world.try_key(&next, "k2").await.is_ok());
    assert!(world.try_key(&world.pair, "k1").await.is_ok());
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_key_that_was_withdrawn_is_good_for_an_hour_at_most() {
    let world = World::new();
    let next = Pair::p256();
    assert!(world.try_key(&world.pair, "k1").await.is_ok());
    world.serve(&[next.jwk("k2")]);
    world.runtime.advance(KEYS_FRESH - SECOND);
    assert!(world.try_key(&world.pair, "k1").await.is_ok());
    world.runtime.advance(SECOND);
    let refused = world.try_key(&world.pair, "k1").await;
    assert!(
        matches!(refused, Err(TokenRefusal::Invalid(_))),
        "{refused:?}"
    );
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_token_that_names_no_key_makes_us_ask_too() {
    let world = World::new();
    let next = Pair::p256();
    let token = |pair: &Pair| pair.sign(&json!({"alg": "ES256"}), &world.claims());
    assert!(world.check(&token(&world.pair)).await.is_ok());
    world.serve(&[next.jwk("k2")]);
    assert!(world.check(&token(&next)).await.is_err());
    world.runtime.advance(REFRESH_PAUSE);
    assert!(world.check(&token(&next)).await.is_ok());
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_not_now_and_known_keys_go_on() {
    let world = World::new();
    let next = Pair::p256();
    world.go_down();
    let unavailable = TokenRefusal::Unavailable("connection refused".into());
    for _ in 0..3 {
        let refused = world.try_key(&world.pair, "k1").await;
        assert_eq!(refused, Err(unavailable.clone()));
    }
    assert_eq!(world.asked(), 1, "not again at once");
    world.serve(&[world.pair.jwk("k1")]);
    world.runtime.advance(RETRY_PAUSE);
    assert!(world.try_key(&world.pair, "k1").await.is_ok());
    world.go_down();
    world.runtime.advance(KEYS_STALE_MAX - SECOND);
    assert!(
        world.try_key(&world.pair, "k1").await.is_ok(),
        "with the keys of yesterday"
    );
    // Whether it has a new key nobody knows now.
    assert_eq!(world.try_key(&next, "k2").await, Err(unavailable.clone()));
    world.runtime.advance(SECOND);
    assert_eq!(world.try_key(&world.pair, "k1").await, Err(unavailable));
}

#[tokio::test]
async fn what_is_no_key_set_is_as_good_as_down() {
    let world = World::new();
    for answer in [json!({"keys": []}), json!("<html>"), json!({"error": "x"})] {
        *world.end_point.keys.lock() = Ok(answer);
        world.runtime.advance(RETRY_PAUSE);
        let refused = world.try_key(&world.pair, "k1").await;
        assert!(matches!(refused, Err(TokenRefusal::Unavailable(_))));
    }
}

#[tokio::test]
async fn many_at_once_ask_once() {
    let world = Arc::new(World::new());
    let token = world.pair.token("k1", &world.claims());
    let checks = (0..50).map(|_| {
        let (world, token) = (world.clone(), token.clone());
        let runtime = world.runtime.clone();
        runtime.spawn("check", async move { world.check(&token).await })
    });
    for check in checks.collect::<Vec<_>>() {
        assert!(check.join().await.expect("joined").is_ok());
    }
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn a_file_of_keys_is_read_and_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.json");
    let (old, new) = (Pair::p256(), Pair::p256());
    let write = |pair: &Pair, kid: &str| {
        let keys = json!({"keys": [pair.jwk(kid)]});
        std::fs::write(&file, keys.to_string()).expect("written");
    };
    let runtime = Runtime::for_tests();
    let open = || {
        let issuer = Issuer {
            issuer: ISSUER.into(),
            audiences: vec!["mail".into()],
            claim: "email".into(),
            verified_only: true,
            scope: String::new(),
            keys: Keys::File(file.clone()),
        };
        Verifier::new(issuer, &runtime)
    };
    assert!(open().is_err(), "there is no file");
    std::fs::write(&file, "{}").expect("written");
    assert!(open().is_err(), "there are no keys");
    write(&old, "k1");
    let verifier = open().expect("a verifier");
    let claims = World::new().claims();
    let check = async |pair: &Pair, kid: &str| {
        let token = Secret::from(pair.token(kid, &claims).as_str());
        verifier.check(&token).await.is_ok()
    };
    assert!(check(&old, "k1").await);
    write(&new, "k2");
    assert!(!check(&new, "k2").await);
    runtime.advance(REFRESH_PAUSE);
    assert!(check(&new, "k2").await && !check(&old, "k1").await);
    let expected = format!("{ISSUER}/.well-known/openid-configuration");
    assert_eq!(verifier.configuration(), expected);
}
