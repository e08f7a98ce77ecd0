//! SCRAM logins, and what a stranger can learn from them: nothing.

use super::*;
use crate::{AccountChange, AuthFailure, Caller, Identity, Service, Verdict};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sasl::scram::{Hash, Salt, ScramName};
use sasl::{Answer, Bound, Exchange, Mechanism, Offer, Question, Step};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const CALLER: Caller = Caller {
    service: Service::Imap,
    peer: PEER,
};
const SHA_256: Mechanism = Mechanism::Scram(Hash::Sha256, Bound::No);

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

async fn login(world: &World, login: &str, password: &str) -> Result<Identity, AuthFailure> {
    log_in(world, login, password, CALLER).await
}

/// The whole exchange, with a client by the formulas of RFC 5802 §3.
pub(super) async fn log_in(
    world: &World,
    login: &str,
    password: &str,
    caller: Caller,
) -> Result<Identity, AuthFailure> {
    let coded = |text: &str| wire::base64::encode(text.as_bytes()).into_bytes();
    let bare = format!("n={login},r=client");
    let offer = Offer::passwords().with_scram(Vec::new());
    let first = coded(&format!("n,,{bare}"));
    let (mut exchange, step) = Exchange::start(SHA_256, Some(&first), &offer);
    let Step::Ask(question) = step else {
        panic!("{step:?}");
    };
    let Verdict::GoOn(answer) = world.directory.answer(&question, caller).await? else {
        panic!("granted for a name");
    };
    let Answer::Salt(salt) = answer.clone() else {
        panic!("{answer:?}");
    };
    let Step::Challenge(server_first) = exchange.answer(answer) else {
        panic!("no challenge");
    };
    let server_first = wire::base64::decode(server_first.as_bytes()).expect("base64");
    let server_first = String::from_utf8(server_first).expect("text");
    let without = format!("c=biws,r=client{}", salt.nonce);
    let message = format!("{bare},{server_first},{without}");
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(
        password.as_bytes(),
        &salt.salt,
        salt.iterations,
        &mut salted,
    );
    let key = hmac(&salted, b"Client Key");
    let signature = hmac(&Sha256::digest(&key), message.as_bytes());
    let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    let last = coded(&format!("{without},p={}", wire::base64::encode(&proof)));
    let Step::Ask(question) = exchange.handle_line(&last) else {
        panic!("no proof");
    };
    match world.directory.answer(&question, caller).await? {
        Verdict::Granted(identity, Answer::Signature(signature)) => {
            let ours = hmac(&hmac(&salted, b"Server Key"), message.as_bytes());
            assert_eq!(signature, ours);
            Ok(identity)
        }
        other => panic!("{other:?}"),
    }
}

async fn salt(world: &World, login: &str) -> Salt {
    salt_for(&world.directory, login, Hash::Sha256).await
}

async fn salt_for(directory: &Directory, login: &str, hash: Hash) -> Salt {
    let question = Question::Salt(ScramName {
        hash,
        login: login.into(),
        authorization: None,
    });
    match directory.answer(&question, CALLER).await.expect("a salt") {
        Verdict::GoOn(Answer::Salt(salt)) => salt,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_proof_logs_in_by_full_address_or_unique_bare_name() {
    let world = World::new().await;
    for name in ["bob@demo.test", "BOB@Demo.TEST", "bob", "Bob"] {
        let identity = login(&world, name, "demo").await.expect(name);
        assert_eq!(identity.account, AccountId(2));
    }
    for (name, password) in [("bob", "Demo"), ("bob@demo.test", ""), ("nobody", "demo")] {
        let refused = login(&world, name, password).await;
        assert!(matches!(refused, Err(AuthFailure::Invalid)), "{name}");
    }
    let change = AccountChange::Disabled(true);
    let bob = address("bob@demo.test");
    let changed = world.directory.account_change(&bob, change);
    changed.await.expect("changed");
    let refused = login(&world, "bob", "demo").await;
    assert!(matches!(refused, Err(AuthFailure::Disabled)));
    let refused = login(&world, "bob", "wrong").await;
    assert!(matches!(refused, Err(AuthFailure::Invalid)));
}

#[tokio::test]
async fn salts_do_not_tell_who_exists() {
    let world = World::new().await;
    let names = [
        "bob@demo.test",
        "nobody@demo.test",
        "postmaster@demo.test",
        "x",
        "\u{e9}@",
        "",
    ];
    for name in names {
        for hash in Hash::ALL {
            let (one, two) = (
                salt_for(&world.directory, name, hash).await,
                salt_for(&world.directory, name, hash).await,
            );
            assert_eq!((one.salt.len(), one.iterations), (16, 1), "{name}");
            assert_eq!(one.salt, two.salt, "{name}");
            assert_ne!(one.nonce, two.nonce, "{name}");
        }
    }
    // The case of letters changes nothing, whether there is such an account or not.
    for (one, two) in [
        ("bob@demo.test", "BOB@Demo.test"),
        ("no@demo.test", "NO@demo.TEST"),
    ] {
        assert_eq!(salt(&world, one).await.salt, salt(&world, two).await.salt);
    }
    // A restart does not change what is made up.
    let before = salt(&world, "nobody@demo.test").await.salt;
    let options = Options::for_tests();
    let again = Directory::new(Arc::clone(&world.engine), world.runtime.clone(), options);
    let after = salt_for(&again, "nobody@demo.test", Hash::Sha256)
        .await
        .salt;
    assert_eq!(before, after);
}

/// Equal salts would tell that two names are one account's.
#[tokio::test]
async fn equal_salts_do_not_tell_who_exists() {
    let world = World::new().await;
    for bare in ["bob", "carol", "nobody", "somebody", "eve"] {
        let of_bare = salt(&world, bare).await.salt;
        let mut equal = 0;
        for domain in ["demo.test", "other.test"] {
            equal += u32::from(of_bare == salt(&world, &format!("{bare}@{domain}")).await.salt);
        }
        assert_eq!(equal, 1, "{bare}");
    }
    let alias = address("sales@demo.test");
    let bob = [address("bob@demo.test")];
    let added = world.directory.alias_add(&alias, &bob);
    added.await.expect("added");
    let of_bob = salt(&world, "bob@demo.test").await.salt;
    assert_ne!(salt(&world, "sales@demo.test").await.salt, of_bob);
    let refused = login(&world, "sales@demo.test", "demo").await;
    assert!(matches!(refused, Err(AuthFailure::Invalid)));
}

#[tokio::test]
async fn scram_is_offered_only_while_every_password_has_keys() {
    let world = World::new().await;
    let offered = || {
        world
            .directory
            .offer(Vec::new(), Vec::new())
            .contains(SHA_256)
    };
    assert!(!offered(), "nothing is known yet");
    world.directory.survey().await.expect("read");
    assert!(offered());
    // An account without a password logs in by no mechanism.
    let none = NewAccount::new(address("info@demo.test"), None);
    let added = world.directory.account_add(none, &make_mail).await;
    added.expect("added");
    assert!(offered());
    // One whose keys were not kept, by a server with other options.
    let options = Options {
        scram: false,
        ..Options::for_tests()
    };
    let other = Directory::new(Arc::clone(&world.engine), world.runtime.clone(), options);
    other.survey().await.expect("nothing to read");
    assert!(!other.offer(Vec::new(), Vec::new()).contains(SHA_256));
    let change = || AccountChange::Password(Secret::from("demo"));
    let bob = address("bob@demo.test");
    other.account_change(&bob, change()).await.expect("changed");
    world.directory.refresh();
    world.directory.survey().await.expect("read");
    assert!(!offered());
    world
        .directory
        .account_change(&bob, change())
        .await
        .expect("changed");
    assert!(offered(), "the commit is enough");
}
