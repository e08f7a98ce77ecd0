//! What strangers' servers go through before their mail is taken.

use std::sync::Arc;
use std::time::Duration;

use policy::check::{
    Action, Asked, BoxFuture, Check, Finding, IpRev, Manner, Phase, Verdict, hello,
};
use settings::CheckMode;

use super::{FAR, RELAYING, World};
use crate::{Config, Role, TlsMode};

/// Gives a verdict on everybody.
#[derive(Debug)]
struct Says(Phase, Verdict);

impl Check for Says {
    fn name(&self) -> &'static str {
        "says"
    }

    fn phase(&self) -> Phase {
        self.0
    }

    fn manner(&self) -> Manner {
        Manner::Immediate
    }

    fn check<'a>(&'a self, _: Asked<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(std::future::ready(self.1.clone()))
    }
}

fn says(phase: Phase, verdict: Verdict) -> Vec<Arc<dyn Check>> {
    vec![Arc::new(Says(phase, verdict))]
}

pub(super) fn mx() -> Config {
    Config::new(Role::Mx, "mx.demo.test", TlsMode::None)
}

/// The id that a refusal quotes.
fn id_of(reply: &str) -> String {
    let (_, rest) = reply.rsplit_once("(id ").unwrap();
    let (id, rest) = rest.split_once(')').unwrap();
    assert_eq!((id.len(), rest), (16, "\r\n"), "{reply}");
    id.to_owned()
}

#[tokio::test]
async fn marks_and_the_reverse_name_stand_above_the_message_and_forged_ones_do_not() {
    let verdict = Verdict {
        findings: vec![Finding::new("odd", 2, "very\r\nodd")],
        iprev: Some(IpRev::Pass("mail.far.test".into())),
        ..Verdict::pass()
    };
    let world = World::with_checks(says(Phase::Hello, verdict)).await;
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<a@far.test>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
            ("DATA", "354"),
            (
                "X-Posthouse-Marks: none at all\r\nSubject: x\r\n\r\nx\r\n.",
                "250",
            ),
        ])
        .await;
    let inbox = world.inbox(1).await;
    let message = inbox[0].as_str();
    assert!(message.contains("\r\nX-Posthouse-Marks: odd (very??odd)\r\nReceived: from far.test (mail.far.test [198.51.100.7])\r\n"), "{message}");
    assert!(!message.contains("none at all"), "{message}");
}

#[tokio::test]
async fn every_refusal_quotes_one_id_for_the_session() {
    let syntax = hello::Syntax {
        mode: CheckMode::Refuse,
    };
    let world = World::with_checks(vec![Arc::new(syntax)]).await;
    let mut client = world.connect(mx(), FAR);
    client.hear().await;
    let own = client.say("EHLO mx.demo.test").await;
    assert!(own.starts_with("550 5.7.1 that is our own name"), "{own}");
    client
        .dialogue(&[("EHLO localhost", "250"), ("MAIL FROM:<a@far.test>", "250")])
        .await;
    let refused = client.say("RCPT TO:<alice@demo.test>").await;
    assert!(refused.contains("calls itself \"localhost\""), "{refused}");
    let unknown = client.say("RCPT TO:<nobody@demo.test>").await;
    assert!(unknown.starts_with("550 5.1.1"), "{unknown}");
    let id = id_of(&own);
    assert_eq!((&id_of(&refused), &id_of(&unknown)), (&id, &id));
    // Whoever is refused can still ask why.
    client
        .dialogue(&[
            ("RCPT TO:<postmaster>", "250"),
            ("RCPT TO:<abuse@demo.test>", "250"),
        ])
        .await;
    let mut other = world.connect(mx(), FAR);
    other.hear().await;
    assert_ne!(id_of(&other.say("EHLO mx.demo.test").await), id);
}

#[tokio::test]
async fn a_client_can_be_turned_away_before_the_greeting() {
    let close = Verdict {
        action: Action::Close(envelope::Reply::enhanced(554, (5, 7, 1), "not you")),
        ..Verdict::pass()
    };
    let world = World::with_checks(says(Phase::Connect, close)).await;
    let mut client = world.connect(mx(), FAR);
    let told = client.hear().await;
    assert!(told.starts_with("554 5.7.1 not you (id "), "{told}");
    assert_eq!(client.hear().await, "", "and the session is over");
    // Not on the port for users.
    let config = Config::new(Role::Submission, "mx.demo.test", TlsMode::None);
    let mut user = world.connect(config, FAR);
    assert!(user.hear().await.starts_with("220 "));
}

#[tokio::test]
async fn a_rule_that_allows_is_above_what_is_only_suspected() {
    let refusal = envelope::Reply::enhanced(550, (5, 7, 1), "suspected");
    let verdict = Verdict {
        findings: vec![Finding::new("odd", 2, "odd")],
        action: Action::Refuse(refusal),
        ..Verdict::pass()
    };
    let world = World::with_checks(says(Phase::Hello, verdict)).await;
    let rules = "[[rule]]\nname = \"a partner\"\nwhen.sender = \"@partner.test\"\nallow = true\n";
    let rules = settings::rules::Rules::parse(rules).unwrap();
    world.ports.policy.rules().replace(rules);
    let mut client = world.stranger().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@far.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "550 5.7.1 suspected"),
            ("RSET", "250"),
            ("MAIL FROM:<x@partner.test>", "250"),
            ("RCPT TO:<bob@demo.test>", "250"),
            ("RCPT TO:<x@elsewhere.test>", "550 5.7.1"),
            // Whoever is not there is not there.
            ("RCPT TO:<nobody@demo.test>", "550 5.1.1"),
        ])
        .await;
}
/// THREATS 7, 8, 33: whoever tries addresses is slowed down, then turned away.
#[tokio::test(start_paused = true)]
async fn threat_33_harvesting_is_slowed_down_and_ends_in_a_ban() {
    let (world, bans, conduct) = World::with_penalties(Duration::ZERO).await;
    let mut client = world.stranger().await;
    client.dialogue(&[("MAIL FROM:<>", "250")]).await;
    let begun = world.runtime.monotonic();
    let mut waits = Vec::new();
    for n in 0..50 {
        let before = world.runtime.monotonic();
        let reply = client.say(&format!("RCPT TO:<nobody{n}@demo.test>")).await;
        assert!(reply.starts_with("550 5.1.1"), "{reply}");
        waits.push(world.runtime.monotonic().since(before).as_secs());
    }
    assert_eq!(waits[..10], [0, 0, 0, 1, 2, 4, 8, 16, 20, 20]);
    assert!(world.runtime.monotonic().since(begun) > Duration::from_secs(800));
    let ban = bans.list().pop().unwrap();
    assert_eq!(ban.network.to_string(), "198.51.100.7/32");
    assert!(
        ban.reason.contains("recipients that do not exist"),
        "{ban:?}"
    );
    // The next session is not greeted.
    let mut again = world.connect(mx(), FAR);
    let told = again.hear().await;
    assert!(
        told.starts_with("421 4.7.1 [198.51.100.7] is turned away for "),
        "{told}"
    );
    id_of(&told);
    // Lifted, it begins anew.
    bans.lift(ban.network).await.unwrap().unwrap();
    conduct.forgive(ban.network.address);
    let mut lifted = world.stranger().await;
    lifted
        .dialogue(&[
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<alice@demo.test>", "250"),
        ])
        .await;
}

#[tokio::test(start_paused = true)]
async fn listed_networks_and_good_senders_are_neither_slowed_nor_banned() {
    let (world, bans, conduct) = World::with_penalties(Duration::ZERO).await;
    let good = "203.0.113.77:40000";
    for _ in 0..100 {
        conduct.accepted("203.0.113.77".parse().unwrap());
    }
    world.runtime.advance(Duration::from_secs(86_400));
    conduct.accepted("203.0.113.77".parse().unwrap());
    for peer in [RELAYING, good] {
        let mut client = world.connect(mx(), peer);
        client.hear().await;
        client
            .dialogue(&[("EHLO far.test", "250"), ("MAIL FROM:<>", "250")])
            .await;
        let begun = world.runtime.monotonic();
        for n in 0..60 {
            let reply = client.say(&format!("RCPT TO:<nobody{n}@demo.test>")).await;
            assert!(reply.starts_with("550 5.1.1"), "{reply}");
        }
        assert_eq!(world.runtime.monotonic().since(begun), Duration::ZERO);
    }
    assert_eq!(bans.list(), []);
}

#[tokio::test(start_paused = true)]
async fn who_talks_before_the_greeting_is_turned_away_where_that_is_wished_for() {
    let (world, ..) = World::with_penalties(Duration::from_secs(3)).await;
    let mut rude = world.connect(mx(), FAR);
    rude.send("EHLO far.test\r\nMAIL FROM:<>\r\n").await;
    let told = rude.hear().await;
    assert!(told.starts_with("554 5.5.1 you talk before"), "{told}");
    assert_eq!(rude.hear().await, "");
    let begun = world.runtime.monotonic();
    let mut polite = world.connect(mx(), "203.0.113.8:40000");
    assert!(polite.hear().await.starts_with("220 "));
    assert!(world.runtime.monotonic().since(begun) >= Duration::from_secs(3));
    // Listed networks are greeted at once.
    let begun = world.runtime.monotonic();
    let mut listed = world.connect(mx(), RELAYING);
    assert!(listed.hear().await.starts_with("220 "));
    assert_eq!(world.runtime.monotonic().since(begun), Duration::ZERO);
}

#[tokio::test]
async fn what_is_refused_is_traced_with_its_reason_and_no_session_floods_the_trace() {
    let engine: engine::SharedEngine = Arc::new(engine::MemoryEngine::new(1));
    let traced = Arc::new(std::sync::OnceLock::new());
    let giving = traced.clone();
    let world = World::with_policy(move |policy, runtime| {
        let trace = Arc::new(policy::trace::Trace::new(engine, runtime.clone()));
        let _ = giving.set(trace.clone());
        policy.with_trace(trace)
    })
    .await;
    let trace = traced.get().unwrap();
    let mut client = world.stranger().await;
    client
        .dialogue(&[("MAIL FROM:<eve@far.test>", "250")])
        .await;
    let told = client.say("RCPT TO:<nobody@demo.test>").await;
    let found = trace.find(&id_of(&told), 10).await.unwrap();
    let one = &found[0];
    assert_eq!(found.len(), 1);
    assert_eq!(
        (one.client.as_str(), one.helo.as_str()),
        ("198.51.100.7", "far.test")
    );
    assert_eq!(
        (one.sender.as_str(), one.what.as_str()),
        ("eve@far.test", "recipient")
    );
    assert_eq!(one.whom, "nobody@demo.test");
    assert_eq!(one.reply, "550 5.1.1 <nobody@demo.test>: no such user here");
    // What the data is refused for, too, and a message that comes again.
    for want in [0, 1] {
        client
            .dialogue(&[
                ("RSET", "250"),
                ("MAIL FROM:<eve@far.test>", "250"),
                ("RCPT TO:<bob@demo.test>", "250"),
                ("DATA", "354"),
                ("Message-ID: <1@far.test>\r\n\r\nx\r\n.", "250"),
            ])
            .await;
        let found = trace.find("eve@far.test", 10).await.unwrap();
        let again = found.iter().filter(|one| one.what == "resend");
        assert_eq!(again.count(), want);
    }
    assert_eq!(world.inbox(2).await.len(), 1);
    client
        .dialogue(&[("MAIL FROM:<eve@far.test>", "250")])
        .await;
    client
        .dialogue(&[("RCPT TO:<alice@demo.test>", "250"), ("DATA", "354")])
        .await;
    let mut loops = "Received: from x by y\r\n".repeat(60);
    loops.push_str("\r\nx\r\n.");
    let told = client.say(&loops).await;
    assert!(told.starts_with("554 5.4.6"), "{told}");
    let found = trace.find(&id_of(&told), 10).await.unwrap();
    assert_eq!((found.len(), found[0].what.as_str()), (3, "data"));
    client
        .dialogue(&[("MAIL FROM:<eve@far.test>", "250")])
        .await;
    for n in 0..200 {
        client.say(&format!("RCPT TO:<nobody{n}@demo.test>")).await;
    }
    let found = trace.find("198.51.100.7", 1000).await.unwrap();
    assert_eq!(found.len(), 50);
}
