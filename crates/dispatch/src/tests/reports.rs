//! What senders are told.

use super::*;

fn own(origin: bool) -> impl FnOnce(&mut NewMessage) {
    move |new| new.origin.account = origin.then_some(AccountId(1))
}

fn notify(notify: Notify) -> impl FnOnce(&mut NewMessage) {
    move |new| new.envelope.recipients[0].notify = notify
}

#[tokio::test]
async fn a_refusal_comes_back_with_the_reason_and_the_original_header() {
    let world = World::new();
    world.script.says("bob@there.test", &[never()]);
    let id = world.put("ann@here.test", &["bob@there.test"]).await;
    world.dispatcher().work().await;
    let mail = world.mail();
    assert_eq!(mail.len(), 1);
    let (to, text) = &mail[0];
    assert_eq!(to, "ann@here.test");
    for part in [
        "Final-Recipient: rfc822;bob@there.test",
        "Action: failed",
        "Status: 5.1.1",
        "550 5.1.1 no such user here",
        "Remote-MTA: dns;mx.there.test",
        "Reporting-MTA: dns;mail.here.test",
        "Subject: secret plans",
        "Received: by here",
        &id.to_string(),
    ] {
        let spaced = part.replace(';', "; ");
        assert!(
            text.contains(part) || text.contains(&spaced),
            "{part} is not in\n{text}"
        );
    }
    assert!(!text.contains("body of the message"));
    assert_eq!(world.queue_keys(), 0, "the report has left the queue too");
}

#[tokio::test]
async fn the_report_is_in_the_queue_with_the_outcome() {
    let world = World::new();
    world.script.says("bob@there.test", &[never()]);
    world.script.says("ann@far.test", &[later()]);
    world.put("ann@far.test", &["bob@there.test"]).await;
    world.dispatcher().work().await;
    let page = world
        .queue
        .list(&queue::Filter::default(), None, 10)
        .await
        .expect("read");
    assert_eq!(page.messages.len(), 1);
    let report = &page.messages[0].message;
    assert!(report.is_report());
    assert_eq!(
        report.envelope.recipients[0].address,
        address("ann@far.test")
    );
}

#[tokio::test]
async fn threat_11_nobody_is_told_of_a_report_that_fails() {
    let world = World::new();
    world.script.says("bob@there.test", &[never()]);
    world.put("", &["bob@there.test"]).await;
    world.dispatcher().work().await;
    assert!(world.mail().is_empty());
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn notify_never_and_notify_success() {
    let world = World::new();
    world.script.says("never@there.test", &[never()]);
    world
        .put_with(
            "ann@here.test",
            &["never@there.test"],
            notify(Notify::Never),
        )
        .await;
    let success = Notify::On {
        success: true,
        failure: false,
        delay: false,
    };
    world
        .put_with("ann@here.test", &["never@there.test"], notify(success))
        .await;
    world.dispatcher().work().await;
    assert!(world.mail().is_empty());
    world
        .put_with("ann@here.test", &["bob@there.test"], notify(success))
        .await;
    world.dispatcher().work().await;
    assert!(world.mail()[0].1.contains("Action: relayed"));
    world
        .put_with("ann@here.test", &["bob@here.test"], notify(success))
        .await;
    world.dispatcher().work().await;
    let mail = world.mail();
    assert_eq!(mail.len(), 2, "the copy and the report");
    assert!(mail[1].1.contains("Action: delivered"));
    assert_eq!(world.queue_keys(), 0);
}

/// RFC 3461 §5.2.1: the next server has taken the wish over.
#[tokio::test]
async fn a_success_is_told_once_by_us_or_by_the_next_server() {
    let world = World::new();
    let success = Notify::On {
        success: true,
        failure: true,
        delay: false,
    };
    for (has_dsn, reports) in [(true, 0), (false, 1)] {
        *world.script.has_dsn.lock() = has_dsn;
        world
            .put_with("ann@here.test", &["bob@there.test"], notify(success))
            .await;
        world.dispatcher().work().await;
        assert_eq!(world.mail().len(), reports, "DSN there: {has_dsn}");
    }
    // What it refuses at once is still ours to tell.
    *world.script.has_dsn.lock() = true;
    world.script.says("bob@there.test", &[never()]);
    world
        .put_with("ann@here.test", &["bob@there.test"], notify(success))
        .await;
    world.dispatcher().work().await;
    assert!(world.mail()[0].1.contains("Action: failed"));
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn the_whole_message_goes_back_when_asked_for() {
    let world = World::new();
    world.script.says("bob@there.test", &[never()]);
    let full = |new: &mut NewMessage| {
        new.envelope.ret = Some(envelope::Ret::Full);
        new.envelope.envid = Some("mark-7".into());
    };
    world
        .put_with("ann@here.test", &["bob@there.test"], full)
        .await;
    world.dispatcher().work().await;
    let text = &world.mail()[0].1;
    assert!(text.contains("body of the message") && text.contains("mark-7"));
}

#[tokio::test]
async fn after_five_days_the_sender_is_told_that_time_ran_out() {
    let world = World::new();
    world.script.says("bob@there.test", &[later()]);
    world
        .put_with("x@here.test", &["bob@there.test"], own(false))
        .await;
    let mut dispatcher = world.dispatcher();
    let mut attempts = 0;
    for _ in 0..(5 * 24 * 2 + 1) {
        dispatcher.work().await;
        attempts += world.script.take_seen().len();
        world.runtime.advance(minutes(30));
    }
    assert!((25..60).contains(&attempts), "{attempts}");
    let mail = world.mail();
    assert_eq!(mail.len(), 1, "a stranger gets no notice of delay");
    for part in ["Action: failed", "Status: 4.4.7", "451 4.2.0 come back"] {
        assert!(mail[0].1.contains(part), "{part} is not in\n{}", mail[0].1);
    }
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn a_report_is_tried_for_two_days() {
    let world = World::new();
    world.script.says("bob@there.test", &[later()]);
    world.put("", &["bob@there.test"]).await;
    let mut dispatcher = world.dispatcher();
    for _ in 0..(2 * 24 + 1) {
        dispatcher.work().await;
        world.runtime.advance(minutes(60));
    }
    dispatcher.work().await;
    assert_eq!(world.queue_keys(), 0);
    assert!(world.mail().is_empty());
}

#[tokio::test]
async fn our_own_users_are_told_once_that_mail_waits() {
    let world = World::new();
    world.script.says("bob@there.test", &[later()]);
    let id = world.put("ann@here.test", &["bob@there.test"]).await;
    let mut dispatcher = world.dispatcher();
    for _ in 0..(3 * 6) {
        dispatcher.work().await;
        world.runtime.advance(minutes(10));
    }
    assert!(world.mail().is_empty(), "not within three hours");
    for _ in 0..(20 * 6) {
        dispatcher.work().await;
        world.runtime.advance(minutes(10));
    }
    let mail = world.mail();
    assert_eq!(mail.len(), 1);
    for part in ["Action: delayed", "Status: 4.2.0", "Will-Retry-Until:"] {
        assert!(mail[0].1.contains(part), "{part} is not in\n{}", mail[0].1);
    }
    assert!(world.show(id).await.progress.recipients[0].delay_told);
}

fn refuses(world: &World, outcome: Outcome) {
    *world.mailboxes.refuses.lock() = Some(outcome);
}

/// Nobody has proved who it is: it could be anybody's address.
#[tokio::test]
async fn a_stranger_is_not_told_of_a_refusal_here_and_junk_gets_the_message() {
    let world = World::new();
    refuses(&world, Outcome::permanent(554, (5, 4, 6), "mail loop"));
    world
        .put_with("x@far.test", &["bob@here.test"], own(false))
        .await;
    world.dispatcher().work().await;
    let junk = std::mem::take(&mut *world.mailboxes.junk.lock());
    assert_eq!(junk, [("bob@here.test".into(), "mail loop".into())]);
    assert!(world.script.take_seen().is_empty() && world.mail().is_empty());
    assert_eq!(world.queue_keys(), 0);
    // A user of ours is told.
    world.put("ann@far.test", &["bob@here.test"]).await;
    world.dispatcher().work().await;
    assert_eq!(
        world.script.take_seen(),
        [("far.test".into(), vec!["ann@far.test".into()])]
    );
    assert!(world.mailboxes.junk.lock().is_empty());
}

#[tokio::test]
async fn what_stays_full_goes_into_junk_when_its_time_is_over() {
    let world = World::new();
    refuses(&world, Outcome::temporary((4, 2, 2), "full"));
    world
        .put_with("x@far.test", &["bob@here.test"], own(false))
        .await;
    let mut dispatcher = world.dispatcher();
    for _ in 0..5 * 24 + 4 {
        dispatcher.work().await;
        world.runtime.advance(minutes(60));
    }
    assert_eq!(world.mailboxes.junk.lock().len(), 1);
    assert!(world.script.take_seen().is_empty(), "no report");
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn what_not_even_junk_takes_waits_for_a_person() {
    let world = World::new();
    refuses(
        &world,
        Outcome::permanent(550, (5, 1, 1), "no such user here"),
    );
    *world.mailboxes.refuses_junk.lock() = true;
    let id = world
        .put_with("x@far.test", &["bob@here.test"], own(false))
        .await;
    world.dispatcher().work().await;
    assert_eq!(world.states(id).await, ["held"]);
    assert!(world.script.take_seen().is_empty(), "no report");
    // A report of our own that nobody can get is thrown away.
    world.put_with("", &["bob@here.test"], own(false)).await;
    world.dispatcher().work().await;
    let page = world.queue.list(&queue::Filter::default(), None, 10).await;
    assert_eq!(page.expect("read").messages.len(), 1);
}
