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
        .lease(&due[0], |d, _| *d == there)
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

#[tokio::test]
async fn lists_by_age_recipient_and_reason_within_a_domains_line() {
    let world = World::new();
    let old = world.put(&["bob@there.test"]).await;
    world.runtime.advance(Duration::from_secs(3600));
    let half_ms = world.runtime.now().unix_ms;
    let later = Start::Later {
        wait_ms: 60_000,
        reason: "451 Mailbox busy".into(),
    };
    let new = world
        .put_with(&["Eve@there.test", "eve@else.test"], later)
        .await;
    let before = Filter {
        before_ms: Some(half_ms),
        ..Filter::default()
    };
    assert_eq!(listed(&world, &before).await, [old]);
    let since = Filter {
        since_ms: Some(half_ms),
        ..by_domain("there.test")
    };
    assert_eq!(listed(&world, &since).await, [new]);
    let reason = |text: &str| Filter {
        reason: Some(text.into()),
        ..Filter::default()
    };
    assert_eq!(listed(&world, &reason("mailbox BUSY")).await, [new]);
    assert!(listed(&world, &reason("full")).await.is_empty());
    let recipient = Filter {
        recipient: Some(address("eve@there.test")),
        ..Filter::default()
    };
    assert_eq!(listed(&world, &recipient).await, [new]);
    let counted = world.queue.count_all(&since).await.expect("read");
    assert_eq!((counted.messages, counted.changed), (1, 1));
}

/// The list of a domain is a walk along its line, to its end, whatever moves meanwhile.
#[tokio::test]
async fn acts_on_a_domain_meet_each_message_once() {
    let world = World::new();
    let count = 700;
    for n in 0..count {
        let start = if n % 2 == 0 {
            Start::Now
        } else {
            Start::Later {
                wait_ms: 60_000,
                reason: "451".into(),
            }
        };
        world.put_with(&["bob@there.test"], start).await;
    }
    world.put(&["bob@else.test"]).await;
    let there = by_domain("there.test");
    let on_all = async |act: Act| {
        let acted = world.queue.act_on_all(&there, act).await.expect("done");
        (acted.messages, acted.changed)
    };
    let all = (count, count);
    assert_eq!(on_all(Act::Retry).await, all);
    assert_eq!(on_all(Act::Hold).await, all);
    assert_eq!(on_all(Act::Hold).await, (0, 0));
    assert_eq!(world.due().await.len(), 1);
    let another = || Act::Reroute(Some("mx".into()));
    assert_eq!(on_all(another()).await, all);
    assert_eq!(on_all(another()).await, (0, 0));
    assert_eq!(on_all(Act::Release).await, all);
    let due = world.due().await;
    let ways = due
        .iter()
        .filter(|due| due.line.way.as_deref() == Some("mx"));
    assert_eq!((due.len() as u64, ways.count() as u64), (count + 1, count));
    assert_eq!(world.queue.fsck(SHARD).await.expect("read"), []);
    let mut from = None;
    let mut pages = 0;
    let mut met = std::collections::HashSet::new();
    loop {
        let page = world.queue.list(&there, from, 100).await.expect("read");
        met.extend(page.messages.iter().map(|listed| listed.id));
        pages += 1;
        let Some(next) = page.next else { break };
        from = Some(next.to_string().parse().expect("a page"));
    }
    assert_eq!((met.len() as u64, pages), (count, 7));
    assert_eq!(on_all(Act::Reroute(None)).await, all);
    assert_eq!(on_all(Act::Remove).await, all);
    assert_eq!(world.due().await.len(), 1);
    assert!("00".parse::<crate::PageMark>().is_err());
    assert!("0001f".parse::<crate::PageMark>().is_err());
}

/// What is made due in the millisecond in which a retry begins stands in the way
/// of its later pages, when that millisecond has gone.
#[tokio::test(start_paused = true)]
async fn a_retry_meets_what_it_made_due_at_its_start_once() {
    let world = World::new();
    let count = 700;
    for _ in 0..count {
        world.put(&["bob@there.test"]).await;
    }
    let tick = || world.runtime.advance(Duration::from_millis(1));
    tick();
    let all = by_domain("there.test");
    let acted = world
        .queue
        .act_on_all_telling(&all, Act::Retry, |_| tick())
        .await
        .expect("done");
    assert_eq!((acted.messages, acted.changed), (count, count));
}

#[tokio::test]
async fn another_way_is_durable_and_goes_with_the_message() {
    let world = World::new();
    let id = world.put(&["bob@there.test", "eve@else.test"]).await;
    let way = Act::Reroute(Some("relay".into()));
    let acted = world.queue.act_on_all(&by_domain("there.test"), way).await;
    assert_eq!(acted.expect("done").changed, 1);
    let world = world.restarted();
    let shown = world.queue.show(id).await.expect("there");
    let ways: Vec<_> = shown.progress.ways.iter().collect();
    assert_eq!(ways.len(), 1);
    assert_eq!((ways[0].0.as_str(), &**ways[0].1), ("there.test", "relay"));
    let due = world.due().await;
    let rerouted = due.iter().find(|due| due.line.way.is_some()).expect("due");
    let lease = world
        .queue
        .lease(rerouted, |d, _| *d == domain("there.test"));
    drop(lease.await.expect("read").expect("free"));
    let told = world.queue.news().take_added().dues;
    assert!(told.contains(rerouted), "{told:?}");
    assert_eq!(world.queue.fsck(SHARD).await.expect("read"), []);
    world.queue.act(id, Act::Remove).await.expect("done");
    assert_eq!(world.keys(), Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn what_is_paused_stays_so_until_it_is_resumed() {
    let world = World::new();
    let there = domain("there.test");
    assert!(world.queue.pause(Some(&there)).await.expect("written"));
    assert!(!world.queue.pause(Some(&there)).await.expect("known"));
    let before = world.queue.paused().await.expect("read");
    assert!(before.has(&there) && !before.has(&domain("else.test")));
    let world = world.restarted();
    let paused = world.queue.paused().await.expect("read");
    assert_eq!(paused, before);
    let same = world.queue.paused().await.expect("read");
    assert!(Arc::ptr_eq(&paused, &same), "nothing has changed");
    assert!(world.queue.pause(None).await.expect("written"));
    let paused = world.queue.paused().await.expect("read");
    assert!(paused.has(&domain("else.test")));
    let mut damage = Batch::new();
    damage.put(b"Q\0\0z\xff".to_vec(), &b"\x01\x05"[..]);
    world.engine.submit(damage).expect("room").done().await;
    let found = world.queue.fsck(ShardId(0)).await.expect("read");
    assert_eq!(found.len(), 1, "{found:?}");
    let world = world.restarted();
    assert!(world.queue.resume(None).await.expect("written"));
    assert!(world.queue.resume(Some(&there)).await.expect("written"));
    assert!(!world.queue.resume(Some(&there)).await.expect("known"));
    let paused = world.restarted().queue.paused().await.expect("read");
    assert_eq!(*paused, crate::Paused::default());
}

#[tokio::test]
async fn a_standing_order_outlives_a_restart() {
    let world = World::new();
    world.queue.drain("other").await.expect("written");
    let known = world.queue.drain_known().expect("just said");
    let world = world.restarted();
    assert_eq!(world.queue.drain_known(), None);
    world.queue.learn_drain().await.expect("read");
    assert_eq!(world.queue.drain_known(), Some(known));
    assert!(world.queue.end_drain().await.expect("written"));
    assert!(!world.queue.end_drain().await.expect("known"));
    let world = world.restarted();
    world.queue.learn_drain().await.expect("read");
    assert_eq!(world.queue.drain_known(), None);
}

#[tokio::test]
async fn statistics_tell_what_waits_domain_by_domain() {
    let world = World::new();
    let later = |reason: &str| Start::Later {
        wait_ms: 60_000,
        reason: reason.into(),
    };
    let oldest = world
        .put_with(&["bob@there.test"], later("451 oldest"))
        .await;
    world.runtime.advance(Duration::from_secs(10));
    for n in 0..5 {
        let to = [format!("u{n}@there.test"), "eve@else.test".to_owned()];
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        world.put_with(&to, later("451")).await;
    }
    let held = Start::Held {
        reason: "demo".into(),
    };
    world.put_with(&["joe@there.test"], held).await;
    let way = Act::Reroute(Some("mx".into()));
    let by_reason = Filter {
        reason: Some("oldest".into()),
        ..Filter::default()
    };
    let stats = world.queue.stats(1).await.expect("read");
    assert_eq!((stats.messages, stats.domains), (7, 2));
    assert_eq!(stats.biggest.len(), 1);
    let there = &stats.biggest[0];
    assert_eq!(there.domain, domain("there.test"));
    assert_eq!((there.messages, there.held, there.oldest), (7, 1, oldest));
    assert_eq!(there.reason.as_deref(), Some("451 oldest"));
    assert!(there.next_ms.is_some());
    world.queue.act_on_all(&by_reason, way).await.expect("done");
    let stats = world.queue.stats(9).await.expect("read");
    let told = stats.biggest.iter();
    let told = told.map(|one| (one.domain.as_str(), one.way.as_deref(), one.messages));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("there.test", None, 6),
            ("else.test", None, 5),
            ("there.test", Some("mx"), 1)
        ]
    );
}
