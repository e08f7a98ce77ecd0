//! What was refused at the end of the data, beside others that were not.

use super::*;
use queue::{Act, Filter};

fn too_large(own: bool) -> impl FnOnce(&mut NewMessage) {
    move |new: &mut NewMessage| {
        if !own {
            new.origin.account = None;
        }
        new.start = Start::Refused {
            reply: Reply::enhanced(552, (5, 3, 4), "too large for bob"),
        };
    }
}

#[tokio::test]
async fn our_own_user_is_told_and_nothing_is_sent() {
    for to in ["bob@there.test", "bob@here.test"] {
        let world = World::new();
        world
            .put_with("ann@here.test", &[to], too_large(true))
            .await;
        world.dispatcher().work().await;
        assert!(world.script.take_seen().is_empty());
        let mail = world.mail();
        assert_eq!(mail.len(), 1, "the report alone");
        let (reader, report) = &mail[0];
        assert_eq!(reader, "ann@here.test");
        assert!(
            report.contains("Action: failed\r\nStatus: 5.3.4"),
            "{report}"
        );
        assert!(report.contains("too large for bob"));
        assert_eq!(world.queue_keys(), 0);
    }
}

/// PRACTICE §2: nobody who may not have sent it is told.
#[tokio::test]
async fn what_a_stranger_sent_goes_into_junk_or_waits_for_a_person() {
    let world = &World::new();
    let put = |to| async move {
        let set = too_large(false);
        world.put_with("x@far.test", &[to], set).await
    };
    put("bob@here.test").await;
    let id = put("eve@there.test").await;
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    let junk = std::mem::take(&mut *world.mailboxes.junk.lock());
    assert_eq!(junk, [("bob@here.test".into(), "too large for bob".into())]);
    assert!(world.script.take_seen().is_empty() && world.mail().is_empty());
    assert_eq!(world.states(id).await, ["held"]);
    let shown = world.show(id).await;
    let reason = shown.progress.recipients[0].reason.as_deref();
    assert_eq!(reason, Some("too large for bob"));
    // Another process does not forget it.
    drop(dispatcher);
    let world = world.restarted();
    let mut dispatcher = world.dispatcher();
    dispatcher.work().await;
    assert_eq!(world.states(id).await, ["held"]);
    // A person decides that it goes all the same.
    let all = Filter::default();
    let acted = world.queue.act_on_all(&all, Act::Release).await;
    assert_eq!(acted.expect("read").changed, 1);
    dispatcher.work().await;
    let sent = [("there.test".into(), vec!["eve@there.test".into()])];
    assert_eq!(world.script.take_seen(), sent);
    assert_eq!(world.queue_keys(), 0);
}

#[tokio::test]
async fn what_junk_does_not_take_waits_for_a_person_whoever_sent_it() {
    for from in ["x@far.test", ""] {
        let world = World::new();
        *world.mailboxes.refuses_junk.lock() = true;
        let to = ["bob@here.test"];
        let id = world.put_with(from, &to, too_large(false)).await;
        let mut dispatcher = world.dispatcher();
        dispatcher.work().await;
        assert_eq!(world.states(id).await, ["held"], "{from}");
        assert!(world.mail().is_empty());
        let all = Filter::default();
        let acted = world.queue.act_on_all(&all, Act::Release);
        acted.await.expect("read");
        dispatcher.work().await;
        assert_eq!(world.mail().len(), 1, "{from}: delivered");
        assert_eq!(world.queue_keys(), 0);
    }
}
