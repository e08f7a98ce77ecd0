//! Logins by a bearer token, with an issuer that says what a test wants.

use super::login::{CALLER, PEER};
use super::*;
use crate::{
    AccountChange, AuthFailure, BoxFuture, DirectoryError, LoginOptions, TokenRefusal, Tokens,
    Verdict,
};
use sasl::bearer::{Bearer, Rejection, TokenFault};
use sasl::{Answer, Question};
use std::time::Duration;

/// A token is the name that it is for, or why it is not good.
#[derive(Debug)]
struct Spelled;

impl Tokens for Spelled {
    fn scope(&self) -> &str {
        "mail"
    }

    fn configuration(&self) -> &str {
        "https://id.test/.well-known/openid-configuration"
    }

    fn check<'a>(&'a self, token: &'a Secret) -> BoxFuture<'a, Result<String, TokenRefusal>> {
        let token = token.expose().to_owned();
        Box::pin(async move {
            match token.split_once(' ') {
                Some(("down", reason)) => Err(TokenRefusal::Unavailable(reason.into())),
                Some(("scope", reason)) => Err(TokenRefusal::Scope(reason.into())),
                Some((_, reason)) => Err(TokenRefusal::Invalid(reason.into())),
                None => Ok(token),
            }
        })
    }
}

async fn world() -> World {
    world_with(Options::for_tests()).await
}

async fn world_with(options: Options) -> World {
    let options = Options {
        tokens: Some(Arc::new(Spelled)),
        ..options
    };
    let world = World::empty(1, options);
    let added = world.directory.domain_add(&domain("demo.test"), None).await;
    added.expect("added");
    for name in ["alice@demo.test", "bob@demo.test"] {
        // Without a password: the issuer is enough.
        let new = NewAccount::new(address(name), None);
        let added = world.directory.account_add(new, &make_mail).await;
        added.expect("added");
    }
    world
}

async fn show(world: &World, named: Option<&str>, token: &str) -> Result<Verdict, AuthFailure> {
    let question = Question::Token(Bearer {
        authorization: named.map(str::to_owned),
        token: Secret::from(token),
    });
    world.directory.answer(&question, CALLER).await
}

/// What the client is told of a token that is refused, and the log.
async fn refused(world: &World, named: Option<&str>, token: &str) -> (TokenFault, String) {
    match show(world, named, token).await {
        Ok(Verdict::Refused(AuthFailure::Token { reason }, Answer::Rejected(told))) => {
            let Rejection {
                fault,
                scope,
                configuration,
            } = told;
            assert_eq!(scope, "mail");
            assert!(configuration.starts_with("https://id.test/"));
            (fault, reason)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_logs_in_whom_its_issuer_names() {
    let world = world().await;
    let alias = address("b@demo.test");
    let bob = [address("bob@demo.test")];
    let added = world.directory.alias_add(&alias, &bob).await;
    added.expect("added");
    for (named, token) in [
        (None, "bob@demo.test"),
        (Some("Bob@Demo.test"), "bob@demo.test"),
        (Some("b@demo.test"), "BOB@demo.test"),
        (Some("bob"), "b@demo.test"),
    ] {
        match show(&world, named, token).await {
            Ok(Verdict::Granted(identity, Answer::Accepted)) => {
                assert_eq!(identity.address, bob[0], "{named:?} {token}");
            }
            other => panic!("{other:?}"),
        }
    }
    // Somebody else's token, and one of somebody who is not here.
    for (named, token) in [
        (Some("alice@demo.test"), "bob@demo.test"),
        (Some("nobody@demo.test"), "bob@demo.test"),
        (Some("nobody@demo.test"), "nobody@demo.test"),
        (None, "nobody@demo.test"),
    ] {
        let (fault, reason) = refused(&world, named, token).await;
        assert_eq!(fault, TokenFault::Invalid);
        assert!(reason.contains("is not the login"), "{reason}");
    }
    let off = AccountChange::Disabled(true);
    let changed = world.directory.account_change(&bob[0], off).await;
    changed.expect("changed");
    let disabled = show(&world, None, "bob@demo.test").await;
    assert!(
        matches!(disabled, Err(AuthFailure::Disabled)),
        "{disabled:?}"
    );
}

#[tokio::test]
async fn tokens_are_offered_only_with_an_issuer() {
    let names = |world: &World| world.directory.offer(Vec::new(), Vec::new()).names("");
    let with = names(&world().await);
    assert!(with.ends_with("OAUTHBEARER XOAUTH2"), "{with}");
    let without = World::empty(1, Options::for_tests());
    assert!(!names(&without).contains("OAUTH"));
    let refused = show(&without, None, "bob@demo.test").await;
    assert!(matches!(refused, Err(AuthFailure::Invalid)));
}

#[tokio::test]
async fn an_issuer_that_is_down_says_not_now_and_counts_nothing() {
    let mut options = Options::for_tests();
    options.login = LoginOptions {
        per_address_max: 2,
        per_account_max: 2,
        ..options.login
    };
    let world = world_with(options).await;
    for n in 0..10 {
        let token = format!("down {n}");
        let failure = show(&world, Some("bob"), &token)
            .await
            .expect_err("is down");
        let AuthFailure::Temporary(DirectoryError::Unreachable) = failure else {
            panic!("{failure:?}");
        };
    }
    assert!(world.directory.login_bans().is_empty());
    let good = show(&world, Some("bob"), "bob@demo.test").await;
    assert!(matches!(good, Ok(Verdict::Granted(..))), "{good:?}");
}

#[tokio::test]
async fn bad_tokens_are_delayed_and_end_in_a_ban() {
    let mut options = Options::for_tests();
    options.login = LoginOptions {
        delay: Duration::from_millis(1),
        per_address_max: 4,
        ..options.login
    };
    let world = world_with(options).await;
    let began = world.runtime.monotonic();
    // The same again is a phone that forgot to get a new one.
    for _ in 0..10 {
        let (fault, reason) = refused(&world, Some("bob"), "bad it expired").await;
        assert_eq!(
            (fault, reason.as_str()),
            (TokenFault::Invalid, "it expired")
        );
    }
    assert!(world.runtime.monotonic().since(began) >= Duration::from_millis(10));
    assert!(world.directory.login_bans().is_empty());
    let (fault, _) = refused(&world, None, "scope it lacks a scope").await;
    assert_eq!(fault, TokenFault::Scope);
    for n in 0..2 {
        refused(&world, None, &format!("bad {n}")).await;
    }
    let banned = show(&world, None, "bob@demo.test").await;
    assert!(
        matches!(banned, Err(AuthFailure::Banned { .. })),
        "{banned:?}"
    );
    assert_eq!(world.directory.login_bans().len(), 1);
    world.directory.lift_ban(PEER);
}

#[tokio::test]
async fn a_client_that_asks_what_it_needs_is_told_at_once() {
    let mut options = Options::for_tests();
    // Whoever waits, waits longer than any test.
    options.login.delay = Duration::from_secs(86_400);
    let world = world_with(options).await;
    for _ in 0..50 {
        let (fault, _) = refused(&world, None, "").await;
        assert_eq!(fault, TokenFault::Missing);
    }
    assert!(world.directory.login_bans().is_empty());
}
