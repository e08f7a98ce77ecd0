//! Recipients of relay domains, and what their primary says.

use super::*;
use crate::primary::{BoxFuture, Known, Primary};
use settings::rules::Rules;
use std::sync::Mutex;
use std::time::Duration;

/// Says what it is told to, and counts how often it was asked.
#[derive(Debug, Default)]
struct Scripted {
    says: Mutex<Option<Known>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    fn says(&self, known: Known) {
        *self.says.lock().expect("unpoisoned") = Some(known);
    }

    fn asked(&self) -> usize {
        self.asked.lock().expect("unpoisoned").len()
    }
}

impl Primary for Scripted {
    fn ask<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Known> {
        Box::pin(async move {
            self.asked
                .lock()
                .expect("unpoisoned")
                .push(address.to_string());
            let says = self.says.lock().expect("unpoisoned").clone();
            match says {
                Some(known) => known,
                // It takes the connection, and never answers.
                None => std::future::pending().await,
            }
        })
    }
}

fn no() -> Known {
    Known::No(Reply::enhanced(550, (5, 1, 1), "who is that?"))
}

struct Asking {
    policy: Arc<Policy>,
    runtime: Runtime,
    primary: Arc<Scripted>,
    directory: Directory,
}

impl Asking {
    async fn new(unsure: &str) -> Self {
        let World {
            policy,
            runtime,
            directory,
        } = World::new().await;
        let primary = Arc::new(Scripted::default());
        let policy = policy.with_primary(Arc::clone(&primary) as Arc<dyn Primary>);
        let text = format!(
            "[relay_domain.\"primary.test\"]\nverify = true\nunsure = \"{unsure}\"\n\
             known_for = \"2h\"\nunknown_for = \"10m\"\n[relay_domain.\"unasked.test\"]\n"
        );
        policy
            .rules()
            .replace(Rules::parse(&text).expect("good rules"));
        Self {
            policy: Arc::new(policy),
            runtime,
            primary,
            directory,
        }
    }

    async fn rcpt(&self, text: &str) -> String {
        let path = ForwardPath::Address(address(text));
        let session = stranger();
        let decision = self.policy.check_recipient(&session, &path, None).await;
        match decision {
            Decision::Relay(_) => "relayed".to_owned(),
            Decision::Refuse(reply) => reply.to_line(),
            Decision::Local(_) => "local".to_owned(),
        }
    }

    async fn pass(&self, seconds: u64) {
        self.runtime.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn the_primarys_word_counts_and_is_remembered() {
    let asking = Asking::new("accept").await;
    asking.primary.says(Known::Yes);
    assert_eq!(asking.rcpt("bob@primary.test").await, "relayed");
    assert_eq!(asking.rcpt("BOB@Primary.test").await, "relayed");
    assert_eq!(asking.primary.asked(), 1);
    asking.primary.says(no());
    let refused = "550 5.1.1 <eve@primary.test>: the domain's own server does not know it: 550 5.1.1 who is that?";
    assert_eq!(asking.rcpt("eve@primary.test").await, refused);
    assert_eq!(asking.rcpt("eve@primary.test").await, refused);
    assert_eq!(asking.primary.asked(), 2);
    // The no is forgotten first: she may have come meanwhile.
    asking.primary.says(Known::Yes);
    asking.pass(599).await;
    assert_eq!(asking.rcpt("eve@primary.test").await, refused);
    asking.pass(1).await;
    assert_eq!(asking.rcpt("eve@primary.test").await, "relayed");
    assert_eq!(asking.primary.asked(), 3);
    asking.primary.says(no());
    asking.pass(6599).await;
    assert_eq!(asking.rcpt("bob@primary.test").await, "relayed");
    asking.pass(1).await;
    assert!(
        asking
            .rcpt("bob@primary.test")
            .await
            .starts_with("550 5.1.1")
    );
}

#[tokio::test]
async fn who_need_not_be_asked_about_is_not() {
    let asking = Asking::new("defer").await;
    asking.primary.says(no());
    for to in [
        "bob@unasked.test",
        "postmaster@primary.test",
        "abuse@primary.test",
    ] {
        assert_eq!(asking.rcpt(to).await, "relayed", "{to}");
    }
    assert!(
        asking
            .rcpt("x%y@primary.test")
            .await
            .starts_with("550 5.7.1")
    );
    assert_eq!(asking.primary.asked(), 0);
}

#[tokio::test]
async fn not_knowing_is_never_a_refusal_for_good_and_the_primary_has_a_rest() {
    for (unsure, want) in [("accept", "relayed"), ("defer", "451 4.4.1")] {
        let asking = Asking::new(unsure).await;
        asking
            .primary
            .says(Known::Unsure("connection refused".into()));
        assert!(asking.rcpt("bob@primary.test").await.starts_with(want));
        // A minute long nobody is asked, about others neither.
        asking.primary.says(no());
        assert!(asking.rcpt("eve@primary.test").await.starts_with(want));
        assert_eq!(asking.primary.asked(), 1);
        asking.pass(60).await;
        assert!(
            asking
                .rcpt("eve@primary.test")
                .await
                .starts_with("550 5.1.1")
        );
        assert_eq!(asking.primary.asked(), 2);
    }
}

#[tokio::test]
async fn a_primary_that_hangs_holds_up_a_recipient_for_a_while_only() {
    let asking = Asking::new("defer").await;
    let policy = Arc::clone(&asking.policy);
    let waiting = asking.runtime.spawn("rcpt", async move {
        let path = ForwardPath::Address(address("bob@primary.test"));
        policy.check_recipient(&stranger(), &path, None).await
    });
    while asking.primary.asked() == 0 {
        tokio::task::yield_now().await;
    }
    asking.runtime.advance(crate::limits::ASK_TIMEOUT);
    let decision = waiting.join().await.expect("it ends");
    assert_eq!(codes(&decision), "451 4.4.1");
}

#[tokio::test]
async fn a_dictionary_does_not_go_through_us_all_at_once() {
    let asking = Asking::new("accept").await;
    let mut waiting = Vec::new();
    for n in 0..crate::limits::ASKED_AT_ONCE_MAX {
        let policy = Arc::clone(&asking.policy);
        waiting.push(asking.runtime.spawn("rcpt", async move {
            let path = ForwardPath::Address(address(&format!("word{n}@primary.test")));
            policy.check_recipient(&stranger(), &path, None).await
        }));
    }
    while asking.primary.asked() < crate::limits::ASKED_AT_ONCE_MAX {
        tokio::task::yield_now().await;
    }
    assert_eq!(asking.rcpt("one-more@primary.test").await, "relayed");
    assert_eq!(asking.primary.asked(), crate::limits::ASKED_AT_ONCE_MAX);
    // Those who hang up give their places back.
    for task in waiting {
        task.abort();
        let _ = task.join().await;
    }
    asking.primary.says(no());
    assert!(
        asking
            .rcpt("one-more@primary.test")
            .await
            .starts_with("550 5.1.1")
    );
}

/// What leads into the relay domain is asked about as if a stranger had named it.
#[tokio::test]
async fn aliases_and_rewritings_into_a_relay_domain_are_asked_about_too() {
    let asking = Asking::new("accept").await;
    let add = async |name: &str, targets: &[&str]| {
        let targets: Vec<Address> = targets.iter().map(|text| address(text)).collect();
        let added = asking.directory.alias_add(&address(name), &targets).await;
        added.expect("added");
    };
    add("one@demo.test", &["eve@primary.test"]).await;
    add("two@demo.test", &["eve@primary.test", "bob@demo.test"]).await;
    asking.primary.says(no());
    let refused = "550 5.1.1 <eve@primary.test>: the domain's own server does not know it";
    assert!(asking.rcpt("one@demo.test").await.starts_with(refused));
    // Others get theirs, without her.
    let path = ForwardPath::Address(address("two@demo.test"));
    let decision = asking
        .policy
        .check_recipient(&stranger(), &path, None)
        .await;
    let Decision::Local(targets) = decision else {
        panic!("local: {decision:?}");
    };
    assert_eq!(targets.len(), 1);
    let session = stranger();
    let (named, instead) = (address("old@demo.test"), address("eve@primary.test"));
    let rewritten = asking
        .policy
        .check_rewritten(&session, &named, &instead, None);
    assert!(matches!(rewritten.await, Decision::Refuse(_)));
    assert_eq!(asking.primary.asked(), 1, "and the answer is remembered");
    // Nobody else's forwards are asked about.
    add("three@demo.test", &["x@far.test"]).await;
    assert_eq!(asking.rcpt("three@demo.test").await, "local");
    assert_eq!(asking.primary.asked(), 1);
}
