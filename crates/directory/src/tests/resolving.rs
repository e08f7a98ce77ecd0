//! What addresses lead to.

use super::*;
use crate::limits::ALIAS_HOPS_MAX;
use crate::{Resolution, Target};

async fn leads(world: &World, text: &str) -> Resolution {
    world
        .directory
        .resolve(&address(text))
        .await
        .expect("readable")
}

fn account(id: u64, primary: &str, detail: Option<&str>) -> Target {
    Target::Account {
        id: AccountId(id),
        address: address(primary),
        detail: detail.map(str::to_owned),
    }
}

fn bob(detail: Option<&str>) -> Resolution {
    Resolution::Local(vec![account(2, "bob@demo.test", detail)])
}

#[tokio::test]
async fn a_user_is_found_in_any_case_and_with_a_detail() {
    let world = World::new().await;
    assert_eq!(leads(&world, "bob@demo.test").await, bob(None));
    assert_eq!(leads(&world, "BOB@Demo.TEST").await, bob(None));
    assert_eq!(leads(&world, "\"bob\"@demo.test").await, bob(None));
    assert_eq!(
        leads(&world, "Bob+Lists.Rust@demo.test").await,
        bob(Some("Lists.Rust"))
    );
    assert_eq!(leads(&world, "bob+a+b@demo.test").await, bob(Some("a+b")));
    assert_eq!(
        leads(&world, "nobody@demo.test").await,
        Resolution::NoSuchUser
    );
    assert_eq!(
        leads(&world, "bob@else.test").await,
        Resolution::NotLocalDomain
    );
    assert_eq!(
        leads(&world, "bob@[127.0.0.1]").await,
        Resolution::NotLocalDomain
    );
    assert_eq!(
        leads(&world, "bob@other.test").await,
        Resolution::NoSuchUser
    );
    assert_eq!(leads(&world, "+x@demo.test").await, Resolution::NoSuchUser);
    assert_eq!(
        leads(&world, "bob+@demo.test").await,
        Resolution::NoSuchUser
    );
}

#[tokio::test]
async fn without_a_separator_there_are_no_details() {
    let world = World::new().await;
    let options = Options {
        subaddress_separator: None,
        ..Options::for_tests()
    };
    let plain = Directory::new(Arc::clone(&world.engine), world.runtime.clone(), options);
    let found = plain.resolve(&address("bob+x@demo.test")).await;
    assert_eq!(found.expect("readable"), Resolution::NoSuchUser);
}

#[tokio::test]
async fn aliases_lead_to_accounts_and_elsewhere_each_once() {
    let world = World::new().await;
    let team = [
        "bob@demo.test",
        "Sales@demo.test",
        "dave@far.test",
        "bob+x@demo.test",
    ];
    let team: Vec<_> = team.iter().map(|text| address(text)).collect();
    world
        .directory
        .alias_add(&address("team@demo.test"), &team)
        .await
        .expect("added");
    let sales = [address("carol@other.test"), address("BOB@demo.test")];
    world
        .directory
        .alias_add(&address("sales@demo.test"), &sales)
        .await
        .expect("added");
    let found = leads(&world, "TEAM+q@demo.test").await;
    assert_eq!(
        found,
        Resolution::Local(vec![
            account(2, "bob@demo.test", Some("q")),
            account(3, "carol@other.test", Some("q")),
            Target::Forward(address("dave@far.test")),
        ])
    );
}

#[tokio::test]
async fn aliases_in_a_circle_end() {
    let world = World::new().await;
    let (a, b) = (address("a@demo.test"), address("b@demo.test"));
    world
        .directory
        .alias_add(&a, std::slice::from_ref(&b))
        .await
        .expect("added");
    world
        .directory
        .alias_add(&b, std::slice::from_ref(&a))
        .await
        .expect("added");
    assert_eq!(leads(&world, "a@demo.test").await, Resolution::AliasLoop);
    world
        .directory
        .alias_add(&b, &[address("bob@demo.test")])
        .await
        .expect("added");
    assert_eq!(leads(&world, "a@demo.test").await, bob(None));
}

#[tokio::test]
async fn a_chain_of_aliases_is_bounded() {
    let world = World::new().await;
    for hop in 0..=ALIAS_HOPS_MAX {
        let from = address(&format!("h{hop}@demo.test"));
        let to = address(&format!("h{}@demo.test", hop + 1));
        world
            .directory
            .alias_add(&from, &[to])
            .await
            .expect("added");
    }
    let end = address(&format!("h{}@demo.test", ALIAS_HOPS_MAX + 1));
    world
        .directory
        .alias_add(&end, &[address("bob@demo.test")])
        .await
        .expect("added");
    assert_eq!(leads(&world, "h0@demo.test").await, Resolution::AliasLoop);
    assert_eq!(leads(&world, "h2@demo.test").await, bob(None));
}

#[tokio::test]
async fn an_alias_may_have_up_to_a_thousand_targets() {
    let world = World::new().await;
    let targets: Vec<_> = (0..1_001)
        .map(|n| address(&format!("u{n}@far.test")))
        .collect();
    let list = address("list@demo.test");
    assert!(world.directory.alias_add(&list, &targets).await.is_err());
    assert!(world.directory.alias_add(&list, &[]).await.is_err());
    world
        .directory
        .alias_add(&list, &targets[..1_000])
        .await
        .expect("added");
    let Resolution::Local(found) = leads(&world, "list@demo.test").await else {
        panic!("resolves");
    };
    assert_eq!(found.len(), 1_000);
    // Two such lists behind one address are too many.
    let more = address("more@demo.test");
    world
        .directory
        .alias_add(&more, &targets[1_000..])
        .await
        .expect("added");
    let both = address("both@demo.test");
    world
        .directory
        .alias_add(&both, &[list, more])
        .await
        .expect("added");
    assert_eq!(leads(&world, "both@demo.test").await, Resolution::AliasLoop);
}

#[tokio::test]
async fn role_addresses_exist_in_every_domain() {
    let world = World::new().await;
    let alice = Resolution::Local(vec![account(1, "alice@demo.test", None)]);
    for text in [
        "postmaster@other.test",
        "Abuse@demo.test",
        "POSTMASTER@demo.test",
    ] {
        assert_eq!(leads(&world, text).await, alice, "{text}");
    }
    let bare = world
        .directory
        .resolve_postmaster()
        .await
        .expect("readable");
    assert_eq!(bare, alice);
    let other = domain("other.test");
    let carol = Some(address("carol@other.test"));
    world
        .directory
        .domain_administrator(&other, carol)
        .await
        .expect("changed");
    let carol = Resolution::Local(vec![account(3, "carol@other.test", None)]);
    assert_eq!(leads(&world, "abuse@other.test").await, carol);
    let own = address("abuse@other.test");
    world
        .directory
        .alias_add(&own, &[address("bob@demo.test")])
        .await
        .expect("added");
    assert_eq!(leads(&world, "abuse@other.test").await, bob(None));
}

#[tokio::test]
async fn a_catch_all_takes_the_rest_but_no_further_hops() {
    let world = World::new().await;
    let to = Some(address("bob@demo.test"));
    world
        .directory
        .domain_catch_all(&domain("demo.test"), to)
        .await
        .expect("changed");
    assert_eq!(leads(&world, "any.body@demo.test").await, bob(None));
    assert_eq!(leads(&world, "carol@other.test").await, {
        Resolution::Local(vec![account(3, "carol@other.test", None)])
    });
    for trick in [
        "a%far.test@demo.test",
        "far.test!a@demo.test",
        "\"a@far.test\"@demo.test",
        "x+a%far.test@demo.test",
    ] {
        assert_eq!(
            leads(&world, trick).await,
            Resolution::NoSuchUser,
            "{trick}"
        );
    }
}

#[tokio::test]
async fn an_account_may_send_as_what_leads_to_it() {
    let world = World::new().await;
    let team = address("team@demo.test");
    let members = [address("bob@demo.test"), address("carol@other.test")];
    world
        .directory
        .alias_add(&team, &members)
        .await
        .expect("added");
    for (text, may) in [
        ("bob@demo.test", true),
        ("Bob+shop@demo.test", true),
        ("team@demo.test", true),
        ("alice@demo.test", false),
        ("postmaster@demo.test", false),
        ("bob@far.test", false),
    ] {
        let answer = world
            .directory
            .may_send_as(AccountId(2), &address(text))
            .await;
        assert_eq!(answer.expect("readable"), may, "{text}");
    }
}

#[tokio::test]
async fn what_memory_holds_follows_each_change() {
    let world = World::new().await;
    let dave = address("dave@demo.test");
    assert_eq!(
        leads(&world, "dave@demo.test").await,
        Resolution::NoSuchUser
    );
    world
        .directory
        .alias_add(&dave, &[address("bob@demo.test")])
        .await
        .expect("added");
    assert_eq!(leads(&world, "dave@demo.test").await, bob(None));
    world.directory.alias_remove(&dave).await.expect("removed");
    assert_eq!(
        leads(&world, "dave@demo.test").await,
        Resolution::NoSuchUser
    );
}
