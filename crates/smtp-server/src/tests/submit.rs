//! Messages that come in without a client's SMTP.

use super::*;
use crate::{Submission, SubmitError, Submitted};
use bytes::Bytes;
use directory::Identity;
use std::io;
use tokio::sync::mpsc;

fn alice() -> Submitted {
    Submitted {
        identity: Identity {
            account: AccountId(1),
            address: Address::parse("alice@demo.test").unwrap(),
            admin: false,
            app_password: None,
        },
        client: "198.51.100.7".parse().unwrap(),
        sender: Address::parse("alice@demo.test").unwrap(),
        recipients: vec![Address::parse("bob@demo.test").unwrap()],
        priority: None,
    }
}

fn submission(world: &World) -> Submission {
    let config = Config::new(Role::Submission, "mx.demo.test", TlsMode::None);
    Submission::new(world.ports.clone(), config)
}

/// What is said of each recipient of a message in these parts.
async fn submit(
    world: &World,
    submitted: Submitted,
    parts: Vec<io::Result<&'static str>>,
) -> Result<Vec<String>, SubmitError> {
    let (sender, octets) = mpsc::channel(1);
    let feeding = async move {
        for part in parts {
            let part = part.map(|text| Bytes::from_static(text.as_bytes()));
            if sender.send(part).await.is_err() {
                return;
            }
        }
    };
    let submission = submission(world);
    let (said, ()) = tokio::join!(submission.submit(submitted, octets), feeding);
    Ok(said?.iter().map(envelope::Reply::to_line).collect())
}

#[tokio::test]
async fn it_is_taken_as_from_a_client_that_has_logged_in() {
    let world = World::new().await;
    let mut submitted = alice();
    for to in ["friend@elsewhere.test", "nobody@demo.test"] {
        submitted.recipients.push(Address::parse(to).unwrap());
    }
    let parts = vec![
        Ok("From: alice@demo.test\nSubj"),
        Ok("ect: x\r\n\r"),
        Ok("\n.dot\n."),
    ];
    let said = submit(&world, submitted, parts).await.unwrap();
    assert!(said[0].starts_with("250 2.0.0 Ok, "), "{said:?}");
    assert_eq!(said[0], said[1]);
    assert!(said[2].starts_with("550 5.1.1"), "{said:?}");
    let message = &world.inbox(2).await[0];
    assert!(message.contains("\r\nSubject: x\r\n"), "{message}");
    assert!(message.ends_with("\r\n\r\n.dot\r\n.\r\n"), "{message}");
    assert!(message.contains("with ESMTPA id"), "{message}");
    assert!(
        message.contains("[198.51.100.7]") || !message.contains("127.0.0.1"),
        "{message}"
    );
    assert_eq!(world.queued().await, 1);
}

#[tokio::test]
async fn what_does_not_come_to_its_end_is_not_taken_nor_what_may_not_be_sent() {
    let world = World::new().await;
    let broken = vec![
        Ok("From: alice@demo.test\r\n\r\n"),
        Err(io::ErrorKind::TimedOut.into()),
    ];
    let said = submit(&world, alice(), broken).await;
    assert!(matches!(said, Err(SubmitError::Octets(_))), "{said:?}");
    let mut forged = alice();
    forged.sender = Address::parse("bob@demo.test").unwrap();
    let said = submit(&world, forged, vec![Ok("From: bob@demo.test\r\n\r\n")])
        .await
        .unwrap();
    assert!(said[0].starts_with("553 5.7.1"), "{said:?}");
    let forged = vec![Ok("From: bob@demo.test\r\n\r\n")];
    let said = submit(&world, alice(), forged).await.unwrap();
    assert!(said[0].starts_with("550 5.7.1"), "{said:?}");
    assert_eq!((world.inbox(2).await.len(), world.queued().await), (0, 0));
}
