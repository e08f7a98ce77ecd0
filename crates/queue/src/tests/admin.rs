//! The operator's view and hand.

use std::time::Duration;

use super::*;
use crate::Retried;
use crate::{Act, Acted, Filter};
use queue_model::State;

fn by_domain(text: &str) -> Filter {
    Filter {
        domain: Some(domain(text)),
        ..Filter::default()
    }
}

async fn listed(world: &World, filter: &Filter) -> Vec<QueueId> {
    let page = world.queue.list(filter, None, 100).await.expect("read");
    page.messages.iter().map(|listed| listed.id).collect()
}

#[tokio::test]
async fn lists_by_domain_sender_and_state_in_pages() {
    let world = World::new();
    let a = world.put(&["bob@there.test"]).await;
    let b = world.put(&["eve@else.test", "bob@there.test"]).await;
    let c = world
        .put_with(
            &["eve@else.test"],
            Start::Held {
                reason: "demo".into(),
            },
        )
        .await;
    assert_eq!(listed(&world, &Filter::default()).await, [a, b, c]);
    assert_eq!(listed(&world, &by_domain("there.test")).await, [a, b]);
    let state = |name: &str| Filter {
        state: Some(name.into()),
        ..by_domain("else.test")
    };
    assert_eq!(listed(&world, &state("held")).await, [c]);
    assert_eq!(listed(&world, &state("todo")).await, [b]);
    let sender = |path| Filter {
        sender: Some(path),
        ..Filter::default()
    };
    let ann = ReversePath::Address(address("Ann@here.test"));
    assert_eq!(listed(&world, &sender(ann)).await, [a, b, c]);
    assert!(listed(&world, &sender(ReversePath::Null)).await.is_empty());
    let recipient = Filter {
        recipient: Some(address("eve@else.test")),
        ..Filter::default()
    };
    assert_eq!(listed(&world, &recipient).await, [b, c]);
    let first = world
        .queue
        .list(&Filter::default(), None, 2)
        .await
        .expect("read");
    assert_eq!(first.messages.len(), 2);
    let rest = world
        .queue
        .list(&Filter::default(), first.next, 2)
        .await
        .expect("read");
    assert_eq!(
        rest.messages
            .iter()
            .map(|listed| listed.id)
            .collect::<Vec<_>>(),
        [c]
    );
    assert_eq!(rest.next, None);
}

#[tokio::test]
async fn retry_makes_a_deferred_one_due_and_tells_the_dispatcher() {
    let world = World::new();
    let later = Start::Later {
        wait_ms: 60_000,
        reason: "451".into(),
    };
    let id = world.put_with(&["bob@there.test"], later).await;
    assert!(world.due().await.is_empty());
    assert_eq!(world.queue.news().take_retried(), Retried::default());
    let acted = world.queue.act(id, Act::Retry).await.expect("done");
    assert_eq!(
        acted,
        Acted {
            changed: 1,
            busy: 0,
            messages: 1,
        }
    );
    assert_eq!(world.due().await.len(), 1);
    assert_eq!(world.queue.news().take_retried(), Retried::Everything);
    let acted = world
        .queue
        .act_on_all(&by_domain("there.test"), Act::Retry)
        .await;
    assert_eq!(acted.expect("done").messages, 1);
    let only = Retried::Domains([domain("there.test")].into());
    assert_eq!(world.queue.news().take_retried(), only);
}

#[tokio::test]
async fn hold_release_and_remove_touch_the_named_recipients_only() {
    let world = World::new();
    let id = world.put(&["bob@there.test", "eve@else.test"]).await;
    let acted = world
        .queue
        .act_on_all(&by_domain("else.test"), Act::Hold)
        .await
        .expect("done");
    assert_eq!(acted.changed, 1);
    assert_eq!(world.due().await.len(), 1);
    world.runtime.advance(Duration::from_secs(100));
    let retried = world
        .queue
        .act_on_all(&by_domain("else.test"), Act::Retry)
        .await
        .expect("done");
    assert_eq!(retried.changed, 0, "what is held is released, not retried");
    world.queue.act(id, Act::Release).await.expect("done");
    assert_eq!(world.due().await.len(), 2);
    world
        .queue
        .act_on_all(&by_domain("there.test"), Act::Remove)
        .await
        .expect("done");
    let shown = world.queue.show(id).await.expect("there");
    assert_eq!(shown.progress.recipients[0].state, State::Removed);
    world.queue.act(id, Act::Remove).await.expect("done");
    assert_eq!(world.keys(), Vec::<Vec<u8>>::new());
    assert!(matches!(
        world.queue.show(id).await,
        Err(crate::QueueError::NotFound)
    ));
    assert!(matches!(
        world.queue.act(id, Act::Retry).await,
        Err(crate::QueueError::NotFound)
    ));
}

#[tokio::test]
async fn what_is_being_attempted_is_left_alone() {
    let world = World::new();
    let id = world.put(&["bob@there.test", "eve@else.test"]).await;
    let due = world.due().await;
    let there = domain("there.test");
    let lease = world
        .queue
        .lease(&due[0], |d| *d == there)
        .await
        .expect("read")
        .expect("free");
    let shown = world.queue.show(id).await.expect("there");
    let states: Vec<&str> = shown
        .recipients()
        .map(|(_, state, _)| state.name())
        .collect();
    assert_eq!(states, ["leased", "todo"]);
    let acted = world.queue.act(id, Act::Remove).await.expect("done");
    assert_eq!(
        acted,
        Acted {
            changed: 1,
            busy: 1,
            messages: 1,
        }
    );
    let change = lease
        .change(vec![settled(0, Event::Deliver)], None)
        .await
        .expect("legal");
    assert!(change.finishes(), "on top of the removal");
    change.commit().await.expect("committed");
    drop(lease);
    assert_eq!(world.keys(), Vec::<Vec<u8>>::new());
}
