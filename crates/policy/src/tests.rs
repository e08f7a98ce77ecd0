//! Decisions over a directory of two domains and a few people.

mod primary;

use crate::{Decision, PerTime, Policy, Role, SendingLimits, Session};
use blobs::Blobs;
use directory::{AccountChange, Directory, Identity, NewAccount, Options, Resolution, Target};
use engine::{MemoryEngine, SharedEngine};
use envelope::{Address, Domain, ForwardPath, Reply, ReversePath};
use mailstore::{Mailstore, QuotaLimits};
use runtime::Runtime;
use sasl::Secret;
use settings::Network;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) struct World {
    pub(crate) directory: Directory,
    pub(crate) policy: Policy,
    pub(crate) runtime: Runtime,
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("a valid address")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl World {
    pub(crate) async fn new() -> Self {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
        let runtime = Runtime::for_tests();
        let directory = Directory::new(Arc::clone(&engine), runtime.clone(), Options::for_tests());
        let blobs = Arc::new(Blobs::new(Arc::clone(&engine)));
        let mailstore = Mailstore::new(
            Arc::clone(&engine),
            blobs,
            runtime.clone(),
            Default::default(),
        );
        for name in ["demo.test", "other.test", "b\u{fc}cher.test"] {
            let domain = Domain::parse(name).expect("valid");
            directory.domain_add(&domain, None).await.expect("added");
        }
        for (name, limits) in [
            ("alice@demo.test", QuotaLimits::default()),
            ("bob@demo.test", QuotaLimits::default()),
            (
                "small@demo.test",
                QuotaLimits {
                    bytes: Some(1_000),
                    emails: None,
                },
            ),
        ] {
            let mut new = NewAccount::new(address(name), Some(Secret::from("demo")));
            new.admin = name.starts_with("alice");
            let store = mailstore.clone();
            let stage = move |batch: &mut engine::Batch, id| {
                let made = store.create_account(batch, id, limits);
                made.map_err(|error| error.to_string())
            };
            directory.account_add(new, &stage).await.expect("added");
        }
        let networks = vec![Network::parse("192.0.2.0/28").expect("a network")];
        let policy = Policy::new(
            directory.clone(),
            mailstore,
            engine,
            runtime.clone(),
            networks,
        );
        Self {
            directory,
            policy,
            runtime,
        }
    }

    async fn rcpt(&self, session: &Session, text: &str) -> Decision {
        let path = ForwardPath::Address(address(text));
        self.policy.check_recipient(session, &path, None).await
    }

    pub(crate) async fn identity(&self, name: &str) -> Identity {
        let name = address(&format!("{name}@demo.test"));
        let account = self.directory.account_show(&name);
        let account = account.await.expect("is there");
        Identity {
            account: account.id,
            address: account.address,
            admin: account.admin,
            app_password: None,
        }
    }

    pub(crate) async fn submission(&self, name: &str) -> Session {
        Session {
            role: Role::Submission,
            identity: Some(self.identity(name).await),
            ..stranger()
        }
    }
}

fn stranger() -> Session {
    Session {
        role: Role::Mx,
        client_ip: ip("203.0.113.9"),
        server_ip: ip("198.51.100.25"),
        identity: None,
        local_user: None,
    }
}

fn codes(decision: &Decision) -> String {
    let Decision::Refuse(reply) = decision else {
        panic!("refused: {decision:?}");
    };
    shown(reply)
}

fn shown(reply: &Reply) -> String {
    let enhanced = reply.enhanced.expect("an enhanced code");
    format!("{} {enhanced}", reply.code)
}

fn leads_to(decision: &Decision, name: &str) {
    let Decision::Local(targets) = decision else {
        panic!("local: {decision:?}");
    };
    let Some(Target::Account { address, .. }) = targets.first() else {
        panic!("an account: {targets:?}");
    };
    assert_eq!(address.to_string(), name);
}

#[tokio::test]
async fn a_stranger_reaches_our_users_and_nobody_else() {
    let world = World::new().await;
    let session = stranger();
    leads_to(
        &world.rcpt(&session, "BOB+x@Demo.TEST").await,
        "bob@demo.test",
    );
    assert_eq!(
        codes(&world.rcpt(&session, "nobody@demo.test").await),
        "550 5.1.1"
    );
    assert_eq!(
        codes(&world.rcpt(&session, "bob@far.test").await),
        "550 5.7.1"
    );
    let bare = world
        .policy
        .check_recipient(&session, &ForwardPath::Postmaster, None)
        .await;
    leads_to(&bare, "alice@demo.test");
    leads_to(
        &world.rcpt(&session, "abuse@other.test").await,
        "alice@demo.test",
    );
}

/// Vulnerability list, number 8: no spelling makes us a relay.
#[tokio::test]
async fn threat_08_no_trick_makes_us_a_relay() {
    let world = World::new().await;
    let to = Some(address("bob@demo.test"));
    let other = Domain::parse("other.test").expect("valid");
    world
        .directory
        .domain_catch_all(&other, to)
        .await
        .expect("changed");
    let session = stranger();
    for trick in [
        "user%far.test@demo.test",
        "user%far.test@other.test",
        "far.test!user@demo.test",
        "far.test!user@other.test",
        "\"user@far.test\"@demo.test",
        "\"user@far.test\"@other.test",
        "\"user%far.test\"@other.test",
        "bob%far.test@other.test",
        "user+bob@far.test",
        "\"bob@demo.test\"@far.test",
        "bob%demo.test@far.test",
        "demo.test!bob@far.test",
        "bob@demo.test.far.test",
        "bob@xdemo.test",
        "bob@[203.0.113.1]",
        "bob@[198.51.100.25]",
        "bob@[IPv6:::1]",
        "bob%far.test@[198.51.100.25]",
    ] {
        let decision = world.rcpt(&session, trick).await;
        assert!(
            matches!(decision, Decision::Refuse(_)),
            "{trick}: {decision:?}"
        );
        assert!(codes(&decision).starts_with("550 5."), "{trick}");
    }
    // A detail is a detail, whatever stands in it.
    leads_to(
        &world.rcpt(&session, "bob+x%far.test@demo.test").await,
        "bob@demo.test",
    );
    // A route is dropped: what counts is the address behind it.
    for (path, local) in [
        ("<@demo.test:user@far.test>", false),
        ("<@far.test:bob@demo.test>", true),
    ] {
        let parsed = envelope::path::parse_forward(path).expect("parses");
        let decision = world
            .policy
            .check_recipient(&session, &parsed.path, None)
            .await;
        assert_eq!(matches!(decision, Decision::Local(_)), local, "{path}");
    }
    // Letters that only look like ours, and empty parts, are no addresses or other domains.
    for text in [
        "bob@demo.te\u{17f}t",
        "bob@\u{ff44}emo.test",
        "@demo.test",
        "bob@demo.test.",
        "bob@demo..test",
        "bob@far.test@demo.test",
        "bob@demo.test\0",
        "=?utf-8?q?bob=40far.test=3e?=\r\n@demo.test",
    ] {
        if let Ok(address) = Address::parse(text) {
            let path = ForwardPath::Address(address);
            let decision = world.policy.check_recipient(&session, &path, None).await;
            assert!(
                matches!(decision, Decision::Refuse(_)),
                "{text}: {decision:?}"
            );
        }
    }
    let encoded = "=?utf-8?q?bob=40demo.test?=@demo.test";
    assert_eq!(codes(&world.rcpt(&session, encoded).await), "550 5.1.1");
}

#[tokio::test]
async fn our_own_address_literal_is_for_postmaster_alone() {
    let world = World::new().await;
    let session = stranger();
    leads_to(
        &world.rcpt(&session, "Postmaster@[198.51.100.25]").await,
        "alice@demo.test",
    );
    assert_eq!(
        codes(&world.rcpt(&session, "bob@[198.51.100.25]").await),
        "550 5.1.1"
    );
    assert_eq!(
        codes(&world.rcpt(&session, "postmaster@[203.0.113.1]").await),
        "550 5.7.1"
    );
}

#[tokio::test]
async fn international_domains_are_one_whatever_their_spelling() {
    let world = World::new().await;
    let session = stranger();
    for text in [
        "abuse@B\u{dc}CHER.test",
        "abuse@xn--bcher-kva.test",
        "abuse@bu\u{308}cher.test",
    ] {
        leads_to(&world.rcpt(&session, text).await, "alice@demo.test");
    }
    assert_eq!(
        codes(&world.rcpt(&session, "abuse@bucher.test").await),
        "550 5.7.1"
    );
}

#[tokio::test]
async fn users_and_listed_networks_may_send_anywhere() {
    let world = World::new().await;
    let far = "dave@far.test";
    let user = world.submission("bob").await;
    assert_eq!(world.rcpt(&user, far).await, Decision::Relay(address(far)));
    let listed = Session {
        client_ip: ip("192.0.2.5"),
        ..stranger()
    };
    assert_eq!(
        world.rcpt(&listed, far).await,
        Decision::Relay(address(far))
    );
    let loopback = Session {
        client_ip: ip("127.0.0.1"),
        ..stranger()
    };
    assert_eq!(codes(&world.rcpt(&loopback, far).await), "550 5.7.1");
    for unlisted in ["192.0.2.16", "::ffff:192.0.2.16"] {
        let session = Session {
            client_ip: ip(unlisted),
            ..stranger()
        };
        assert_eq!(codes(&world.rcpt(&session, far).await), "550 5.7.1");
    }
    // Neither door takes the other's reason.
    let nobody = Session {
        identity: None,
        local_user: None,
        ..user.clone()
    };
    assert_eq!(codes(&world.rcpt(&nobody, far).await), "550 5.7.1");
    let lmtp = Session {
        role: Role::Lmtp,
        client_ip: ip("192.0.2.5"),
        ..user
    };
    assert_eq!(codes(&world.rcpt(&lmtp, far).await), "550 5.7.1");
    leads_to(&world.rcpt(&lmtp, "bob@demo.test").await, "bob@demo.test");
}

#[tokio::test]
async fn rfc_6409_4_2_users_write_domains_in_full() {
    let world = World::new().await;
    let user = world.submission("bob").await;
    for single in ["dave@far", "dave@localhost", "dave@xn--bcher-kva"] {
        assert_eq!(
            codes(&world.rcpt(&user, single).await),
            "554 5.1.2",
            "{single}"
        );
    }
    for far in ["dave@far.test", "dave@[203.0.113.1]"] {
        assert_eq!(world.rcpt(&user, far).await, Decision::Relay(address(far)));
    }
    // One that is ours is known, however it is written.
    let office = Domain::parse("office").expect("valid");
    world
        .directory
        .domain_add(&office, None)
        .await
        .expect("added");
    leads_to(&world.rcpt(&user, "abuse@office").await, "alice@demo.test");
    assert_eq!(codes(&world.rcpt(&user, "dave@office").await), "550 5.1.1");
    // A server that we relay for knows what it does.
    let listed = Session {
        client_ip: ip("192.0.2.5"),
        ..stranger()
    };
    assert!(matches!(
        world.rcpt(&listed, "dave@far").await,
        Decision::Relay(_)
    ));
}

#[tokio::test]
async fn replies_name_domains_in_ascii() {
    let world = World::new().await;
    for text in ["nobody@b\u{fc}cher.test", "nobody@b\u{fc}cher.example"] {
        let Decision::Refuse(reply) = world.rcpt(&stranger(), text).await else {
            panic!("refused: {text}");
        };
        assert!(
            reply.to_line().contains("<nobody@xn--bcher-kva."),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn a_user_sends_as_what_it_was_granted() {
    let world = World::new().await;
    let bob = world.submission("bob").await;
    let check = async |text: &str| {
        let path = ReversePath::parse(text).expect("a path");
        let checked = world.policy.check_sender(&bob, &path).await;
        checked.map_err(|reply| reply.to_line())
    };
    let refused = check("alice@demo.test").await.expect_err("not granted");
    assert!(refused.starts_with("553 5.7.1 <alice@demo.test> "));
    assert!(refused.contains("posthouse account send-as add ACCOUNT ADDRESS"));
    for granted in ["alice@demo.test", "*@other.test"] {
        let grant = directory::Grant::of(&address(granted));
        let added = world
            .directory
            .send_as_add(&address("bob@demo.test"), &grant)
            .await;
        assert!(added.expect("granted"));
    }
    for granted in ["alice@demo.test", "Alice+x@demo.test", "any@other.test"] {
        assert_eq!(check(granted).await, Ok(()), "{granted}");
    }
    let refused = check("x@far.test").await.expect_err("not ours to grant");
    assert!(!refused.contains("send-as"), "{refused}");
}

#[tokio::test]
async fn a_user_sends_as_its_own_addresses() {
    let world = World::new().await;
    let team = address("team@demo.test");
    let members = [address("bob@demo.test")];
    world
        .directory
        .alias_add(&team, &members)
        .await
        .expect("added");
    let bob = world.submission("bob").await;
    let check = async |session: &Session, text: &str| {
        let path = ReversePath::parse(text).expect("a path");
        let checked = world.policy.check_sender(session, &path).await;
        checked.map_err(|reply| shown(&reply))
    };
    for own in ["bob@demo.test", "Bob+news@demo.test", "team@demo.test", ""] {
        assert_eq!(check(&bob, own).await, Ok(()), "{own}");
    }
    for foreign in [
        "alice@demo.test",
        "bob@far.test",
        "postmaster@demo.test",
        "bob@other.test",
    ] {
        assert_eq!(
            check(&bob, foreign).await,
            Err("553 5.7.1".into()),
            "{foreign}"
        );
    }
    let nobody = Session {
        identity: None,
        local_user: None,
        ..bob
    };
    assert_eq!(
        check(&nobody, "bob@demo.test").await,
        Err("530 5.7.0".into())
    );
    assert_eq!(check(&stranger(), "anyone@far.test").await, Ok(()));
}

#[tokio::test]
async fn disabled_and_full_accounts_are_refused() {
    let world = World::new().await;
    let session = stranger();
    let small = ForwardPath::Address(address("small@demo.test"));
    let fits = world
        .policy
        .check_recipient(&session, &small, Some(1_000))
        .await;
    leads_to(&fits, "small@demo.test");
    let full = world
        .policy
        .check_recipient(&session, &small, Some(1_001))
        .await;
    assert_eq!(codes(&full), "452 4.2.2");
    // Through an alias with somebody else behind it, the others still get it.
    let both = address("both@demo.test");
    let targets = [address("small@demo.test"), address("bob@demo.test")];
    world
        .directory
        .alias_add(&both, &targets)
        .await
        .expect("added");
    let both = ForwardPath::Address(both);
    let decision = world
        .policy
        .check_recipient(&session, &both, Some(1_001))
        .await;
    assert!(matches!(decision, Decision::Local(targets) if targets.len() == 2));
    let bob = address("bob@demo.test");
    let off = AccountChange::Disabled(true);
    world
        .directory
        .account_change(&bob, off)
        .await
        .expect("changed");
    assert_eq!(
        codes(&world.rcpt(&session, "bob@demo.test").await),
        "550 5.2.1"
    );
    assert!(matches!(
        world.directory.resolve(&bob).await,
        Ok(Resolution::Local(_))
    ));
}

#[tokio::test]
async fn a_refusal_says_which_limit_it_was() {
    let world = World::new().await;
    let session = stranger();
    let text = async |to: &str| {
        let to = ForwardPath::Address(address(to));
        let decided = world.policy.check_recipient(&session, &to, Some(1_001));
        match decided.await {
            Decision::Refuse(reply) => reply.to_line(),
            decision => format!("{decision:?}"),
        }
    };
    assert_eq!(
        text("small@demo.test").await,
        "452 4.2.2 <small@demo.test>: the mailbox is full (limit of bytes), please try again later"
    );
    // The domain's is bob's too.
    let bob = match world.directory.resolve(&address("bob@demo.test")).await {
        Ok(Resolution::Local(targets)) => match &targets[..] {
            [Target::Account { id, .. }] => *id,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let limits = QuotaLimits {
        bytes: Some(1_000),
        emails: None,
    };
    let mailstore = &world.policy.mailstore;
    let set = mailstore
        .set_group_limits("demo.test", limits, &[bob])
        .await;
    set.expect("read");
    assert_eq!(
        text("bob@demo.test").await,
        "452 4.2.2 <bob@demo.test>: the mailboxes of the domain are full (limit of bytes), please try again later"
    );
    world.runtime.advance(crate::limits::FULL_TEMPORARY);
    assert_eq!(
        text("bob@demo.test").await,
        "552 5.2.2 <bob@demo.test>: the mailboxes of the domain have been full for days (limit of bytes)"
    );
}

#[tokio::test]
async fn rfc_7293_a_mailbox_younger_than_the_sender_knows_it_is_refused() {
    let world = World::new().await;
    let path = ForwardPath::Address(address("bob@demo.test"));
    let decision = world.rcpt(&stranger(), "bob@demo.test").await;
    let bob = world.identity("bob").await;
    let account = world.directory.account(bob.account).await.expect("read");
    let created = i64::try_from(account.expect("there").created_ms / 1000).expect("small");
    let since = |unix_seconds| envelope::ValidSince {
        unix_seconds,
        reject: false,
    };
    let bob_alone = [address("bob@demo.test")];
    let check = |at| world.policy.check_owner(&path, &decision, since(at));
    assert_eq!(check(created).await, Ok(()));
    let refusal = check(created - 1).await.expect_err("younger");
    assert_eq!(
        (refusal.code, refusal.enhanced.map(|e| e.to_string())),
        (550, Some("5.7.17".into()))
    );
    // A sub-address is its owner's; an alias may be older than whom it leads to.
    for (text, refused) in [("bob+x@demo.test", true), ("team@demo.test", false)] {
        if !refused {
            let team = world.directory.alias_add(&address(text), &bob_alone).await;
            team.expect("added");
        }
        let path = ForwardPath::Address(address(text));
        let decision = world.rcpt(&stranger(), text).await;
        let checked = world
            .policy
            .check_owner(&path, &decision, since(created - 1));
        assert_eq!(checked.await.is_err(), refused, "{text}");
    }
    // §10: a role has no owner.
    let role = ForwardPath::Address(address("postmaster@demo.test"));
    let decision = world.rcpt(&stranger(), "postmaster@demo.test").await;
    assert_eq!(
        world.policy.check_owner(&role, &decision, since(0)).await,
        Ok(())
    );
}

#[tokio::test]
async fn rfc_6710_users_go_ahead_a_little_administrators_far_strangers_not() {
    let world = World::new().await;
    let asked = |value| envelope::Priority::new(value).expect("in range");
    let granted =
        |session: &Session, value| world.policy.grant_priority(session, asked(value)).get();
    let (alice, bob) = (
        world.submission("alice").await,
        world.submission("bob").await,
    );
    assert_eq!(
        (
            granted(&alice, 9),
            granted(&bob, 9),
            granted(&stranger(), 9)
        ),
        (9, 4, 0)
    );
    for session in [&alice, &bob, &stranger()] {
        assert_eq!(granted(session, -9), -9);
    }
}

/// What a user's scripts send on is the user's: counted with what is submitted, and refused where that would be held.
#[tokio::test]
async fn redirects_count_as_what_their_owner_sends() {
    let mut world = World::new().await;
    let per = |hour| PerTime { hour, day: 0 };
    world.policy = world.policy.with_sending_limits(SendingLimits {
        messages: per(4),
        new_recipients: per(2),
        ..SendingLimits::default()
    });
    let session = world.submission("bob").await;
    let owner = world.identity("bob").await.account;
    let from = address("bob@demo.test");
    let redirect = async |to: &str| {
        let to = address(to);
        let counted = world.policy.count_redirect(owner, &from, &to);
        let counted = counted.await.map_err(|excess| excess.to_string())?;
        world.policy.redirected(counted, true);
        Ok::<_, String>(())
    };
    // What is not sent after all counts for nothing, and makes nobody known.
    for _ in 0..5 {
        let to = address("a@x.test");
        let counted = world.policy.count_redirect(owner, &from, &to).await;
        world.policy.redirected(counted.expect("counted"), false);
    }
    assert_eq!(redirect("a@x.test").await, Ok(()));
    assert_eq!(redirect("b@x.test").await, Ok(()));
    // A third stranger is one too many, and no better known afterwards; a known one and people here are none.
    for _ in 0..5 {
        let why = redirect("c@x.test").await.expect_err("over");
        assert!(
            why.starts_with("3 recipients never written to before in an hour (limit 2)"),
            "{why}"
        );
    }
    assert_eq!(redirect("a@x.test").await, Ok(()));
    let submitted = || world.policy.count_sending(&session, &[], &[]);
    assert!(submitted().await.is_none(), "the fourth");
    let why = redirect("alice@demo.test").await.expect_err("over");
    assert!(why.starts_with("5 messages in an hour (limit 4)"), "{why}");
    assert!(submitted().await.is_some_and(|overrun| overrun.tell));
    // All of a domain have theirs, and who is refused by it has sent nothing.
    world.policy = world
        .policy
        .with_sending_limits(SendingLimits {
            messages: per(2),
            ..SendingLimits::default()
        })
        .with_domain_limits(SendingLimits {
            messages: per(1),
            ..SendingLimits::default()
        });
    let redirect = |owner| {
        let (from, to) = (from.clone(), address("a@x.test"));
        let policy = &world.policy;
        async move { policy.count_redirect(owner, &from, &to).await }
    };
    assert!(redirect(owner).await.is_ok());
    let alice = world.identity("alice").await.account;
    for _ in 0..3 {
        assert!(redirect(alice).await.is_err_and(|excess| excess.by_domain));
    }
}
