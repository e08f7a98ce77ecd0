//! Senders who want to hear of a success: RFC 3461 §5.2.3, §5.2.7.

use super::*;
use envelope::Notify;

fn success() -> Notify {
    Notify::parse("SUCCESS,FAILURE").expect("valid")
}

/// Sends with `SUCCESS,FAILURE` for all.
async fn send(world: &World, to: &[&str]) -> Outcome {
    let mut transaction = world.transaction(user(), "bob@demo.test", to).await;
    transaction.envelope.envid = Some("mark-7".into());
    for recipient in &mut transaction.envelope.recipients {
        recipient.notify = success();
    }
    let mut receiving = world.intake.begin(transaction).expect("taken");
    receiving.push(MESSAGE.as_bytes()).await;
    receiving.finish().await
}

/// The queue's messages from nobody, whole, and the others.
async fn reports(world: &World) -> (Vec<String>, Vec<Listed>) {
    let (mut reports, mut others) = (Vec::new(), Vec::new());
    for listed in world.queued().await {
        if !listed.message.is_report() {
            others.push(listed);
            continue;
        }
        assert_eq!(recipients(&listed), ["bob@demo.test"]);
        let never = listed.message.envelope.recipients[0].notify;
        assert_eq!(never, Notify::Never);
        let read = world
            .queue
            .read(listed.shard, &listed.message, 0..u64::MAX)
            .await;
        let text = String::from_utf8_lossy(&read.expect("readable")).into_owned();
        reports.push(text);
    }
    (reports, others)
}

#[tokio::test]
async fn a_delivery_at_the_door_is_told_in_its_commit() {
    for shards in [1, 3] {
        let world = World::new(shards).await;
        let to = ["alice@demo.test", "Alice+x@demo.test", "carol@other.test"];
        assert!(send(&world, &to).await.is_accepted());
        assert_eq!(world.inbox(1).await.len(), 1, "one copy");
        assert_eq!(world.inbox(3).await.len(), 1);
        let (reports, others) = reports(&world).await;
        assert!(others.is_empty());
        let text = reports.concat();
        for part in [
            "Original-Envelope-Id: mark-7",
            "Reporting-MTA: dns; mx.demo.test",
            "Subject: hi",
            "In-Reply-To: <1@far.test>",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(text.matches("Action: delivered").count(), 3, "{text}");
        for name in to {
            let field = format!("Final-Recipient: rfc822; {name}\r\n");
            assert!(text.contains(&field), "{name}: {text}");
        }
    }
}

#[tokio::test]
async fn nothing_is_told_of_what_was_refused_or_not_asked_for() {
    let world = World::new(1).await;
    let mut long = MESSAGE.to_owned();
    long.push_str(&"x".repeat(3_000));
    let to = ["small@demo.test"];
    let mut transaction = world.transaction(user(), "bob@demo.test", &to).await;
    transaction.envelope.recipients[0].notify = success();
    let mut receiving = world.intake.begin(transaction).expect("taken");
    receiving.push(long.as_bytes()).await;
    assert_eq!(receiving.finish().await.reply.code, 452);
    assert!(world.queued().await.is_empty());
    let to = ["alice@demo.test"];
    assert!(
        world
            .send(user(), "bob@demo.test", &to, MESSAGE)
            .await
            .is_accepted()
    );
    assert!(world.queued().await.is_empty());
    // Nobody is told of what nobody sent.
    let mut transaction = world.transaction(user(), "", &to).await;
    transaction.envelope.recipients[0].notify = success();
    let mut receiving = world.intake.begin(transaction).expect("taken");
    receiving.push(MESSAGE.as_bytes()).await;
    assert!(receiving.finish().await.is_accepted());
    assert!(world.queued().await.is_empty());
}

#[tokio::test]
async fn an_alias_of_one_passes_the_wish_on_and_one_of_several_is_expanded() {
    let world = World::new(1).await;
    for (alias, members) in [
        ("one@demo.test", &["dave@far.test"][..]),
        ("many@demo.test", &["eve@far.test", "alice@demo.test"][..]),
    ] {
        let members: Vec<Address> = members.iter().map(|member| address(member)).collect();
        let added = world.directory.alias_add(&address(alias), &members).await;
        added.expect("added");
    }
    assert!(send(&world, &["one@demo.test"]).await.is_accepted());
    let (told, others) = reports(&world).await;
    assert!(told.is_empty(), "the next server tells");
    assert_eq!(others[0].message.envelope.recipients[0].notify, success());

    let world = World::new(1).await;
    let members = [address("eve@far.test"), address("alice@demo.test")];
    let many = address("many@demo.test");
    let added = world.directory.alias_add(&many, &members).await;
    added.expect("added");
    assert!(send(&world, &["many@demo.test"]).await.is_accepted());
    let (told, others) = reports(&world).await;
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("Action: expanded"), "{}", told[0]);
    assert!(told[0].contains("rfc822; many@demo.test"));
    let eve = &others[0].message.envelope.recipients[0];
    assert_eq!(eve.notify.to_string(), "FAILURE");
    assert_eq!(world.inbox(1).await.len(), 1);
}
