//! What strangers' servers go through before their mail is taken.

use std::sync::Arc;

use policy::check::{
    Action, Asked, BoxFuture, Check, Finding, IpRev, Manner, Phase, Verdict, hello,
};
use settings::CheckMode;

use super::{FAR, World};
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

fn mx() -> Config {
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
        ])
        .await;
}
