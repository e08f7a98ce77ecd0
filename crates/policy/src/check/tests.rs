//! Checks in their phases: what each finds, what that leads to, and what they cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envelope::{Address, Domain, ForwardPath, Reply, ReversePath};
use runtime::Runtime;

use super::testing::{Zone, stranger};
use super::{
    Action, Asked, BoxFuture, Check, Checks, Evidence, Field, Finding, Hello, IpRev, Manner, Mode,
    Options, Otherwise, Patience, Phase, Refusal, Verdict, Visitor, bans, hello, iprev,
};
use crate::tests::World;
use crate::{Policy, Role, Session};

const CLIENT: &str = "203.0.113.9";

fn said(name: &str) -> Hello {
    Hello {
        name: name.to_owned(),
        domain: Domain::parse_or_literal(name).ok(),
    }
}

/// All that HELO and reverse DNS are looked at for.
fn usual(mode: Mode, zone: Zone, runtime: &Runtime) -> Vec<Arc<dyn Check>> {
    let names = Arc::new(zone);
    let host = Domain::parse("mx.demo.test").ok();
    vec![
        Arc::new(hello::OwnName { mode, host }),
        Arc::new(hello::Syntax { mode }),
        Arc::new(hello::Literal { mode }),
        Arc::new(iprev::ReverseName::new(mode, names.clone(), runtime)),
        Arc::new(hello::Mismatch { mode, names }),
    ]
}

fn options() -> Options {
    Options {
        exempt: vec![settings::Network::parse("10.0.0.0/8").expect("a network")],
        refuse_at: 10,
    }
}

/// A client on its way through a policy.
struct Talk {
    policy: Arc<Policy>,
    session: Session,
    visitor: Visitor,
}

impl Talk {
    async fn new(client: &str, checks: impl FnOnce(&Runtime) -> Vec<Arc<dyn Check>>) -> Self {
        let world = World::new().await;
        let runtime = &world.runtime;
        let checks = Checks::new(runtime, options(), checks(runtime));
        let policy = world.policy.with_checks(checks);
        Self::with(Arc::new(policy), stranger(client))
    }

    fn with(policy: Arc<Policy>, session: Session) -> Self {
        Self {
            policy,
            session,
            visitor: Visitor::default(),
        }
    }

    async fn hello(&mut self, name: &str) -> Option<Refusal> {
        let checked = self
            .policy
            .check_hello(&self.session, &mut self.visitor, said(name));
        checked.await
    }

    async fn mail(&mut self) -> Option<Refusal> {
        let sender = ReversePath::Null;
        let checked = self
            .policy
            .check_mail(&self.session, &mut self.visitor, &sender);
        checked.await
    }

    async fn rcpt(&mut self, to: &str) -> String {
        let to = Address::parse(to).expect("an address");
        let path = ForwardPath::Address(to);
        let checked = self
            .policy
            .check_rcpt(&self.session, &mut self.visitor, &path);
        let refusal = checked.await;
        refusal.map_or_else(String::new, |refusal| refusal.reply().to_line())
    }

    /// HELO, MAIL, RCPT; the answer to RCPT.
    async fn all(&mut self, name: &str) -> String {
        assert_eq!(self.hello(name).await, None);
        assert_eq!(self.mail().await, None);
        self.rcpt("bob@demo.test").await
    }

    fn found(&self) -> Vec<&'static str> {
        let findings = self.visitor.evidence().findings();
        findings.map(|finding| finding.name).collect()
    }
}

fn good() -> Zone {
    Zone::default()
        .ptr(CLIENT, &["mail.far.test"])
        .host("mail.far.test", &["2001:db8::9", CLIENT])
}

#[tokio::test]
async fn a_server_with_its_name_in_order_leaves_no_mark() {
    let mut talk = Talk::new(CLIENT, |runtime| usual(Mode::Refuse, good(), runtime)).await;
    assert_eq!(talk.all("Mail.Far.test").await, "");
    assert_eq!(talk.found(), [""; 0]);
    let evidence = talk.visitor.evidence();
    assert_eq!(evidence.iprev(), Some(&IpRev::Pass("mail.far.test".into())));
    assert_eq!(evidence.header(), "");
}

#[tokio::test]
async fn what_is_not_in_order_is_marked_and_refuses_nothing_by_default() {
    let zone = Zone::default().ptr(CLIENT, &["liar.test"]);
    let mut talk = Talk::new(CLIENT, |runtime| usual(Mode::Mark, zone, runtime)).await;
    assert_eq!(talk.all("other.test").await, "");
    assert_eq!(talk.found(), ["iprev-fail", "helo-mismatch"]);
    assert_eq!(
        talk.visitor.evidence().header(),
        "X-Posthouse-Marks: iprev-fail (liar.test); helo-mismatch (other.test)\r\n"
    );
    for (name, found) in [
        ("localhost", &["iprev-fail", "helo-syntax"]),
        ("192.0.2.1", &["iprev-fail", "helo-syntax"]),
        ("[192.0.2.1]", &["iprev-fail", "helo-literal"]),
    ] {
        assert_eq!(talk.all(name).await, "", "{name}");
        assert_eq!(talk.found(), found, "{name}");
    }
    // The worst that there can be is less than what is refused.
    assert!(talk.visitor.evidence().points() * 2 < options().refuse_at);
}

#[tokio::test]
async fn each_finding_can_refuse_with_its_own_words() {
    for (name, zone, want) in [
        (
            "mail.far.test",
            Zone::default(),
            "550 5.7.25 [203.0.113.9] has no name in the DNS",
        ),
        (
            "mail.far.test",
            good().ptr(CLIENT, &["x.test"]),
            "550 5.7.25 [203.0.113.9] has the name x.test",
        ),
        (
            "x.test",
            good(),
            "550 5.7.25 your server calls itself x.test (HELO), but",
        ),
        (
            "localhost",
            good(),
            "550 5.7.1 your server calls itself \"localhost\"",
        ),
        (
            "[192.0.2.1]",
            good(),
            "550 5.7.1 your server calls itself [192.0.2.1] (HELO) and comes from [203.0.113.9]",
        ),
    ] {
        let mut talk = Talk::new(CLIENT, |runtime| usual(Mode::Refuse, zone, runtime)).await;
        let reply = talk.all(name).await;
        assert!(reply.starts_with(want), "{name}: {reply}");
        // Role addresses are never refused by evidence.
        assert_eq!(talk.rcpt("postmaster@demo.test").await, "");
        assert_eq!(talk.rcpt("Abuse@demo.test").await, "");
        assert!(!talk.rcpt("alice@demo.test").await.is_empty());
    }
}

#[tokio::test]
async fn our_own_name_is_refused_at_once() {
    for name in ["mx.demo.test", "MX.demo.test", "[198.51.100.25]"] {
        let mut talk = Talk::new(CLIENT, |runtime| usual(Mode::Refuse, good(), runtime)).await;
        let refusal = talk.hello(name).await.expect("refused");
        assert_eq!(refusal.reply().code, 550, "{name}");
        assert!(matches!(refusal, Refusal::Command(_)));
        // Another name is looked at anew.
        assert_eq!(talk.all("mail.far.test").await, "");
    }
    let mut talk = Talk::new(CLIENT, |runtime| usual(Mode::Mark, good(), runtime)).await;
    assert_eq!(talk.all("mx.demo.test").await, "");
    assert_eq!(talk.found(), ["helo-own-name", "helo-mismatch"]);
}

#[tokio::test]
async fn users_listed_networks_and_lmtp_are_not_concerned() {
    let zone = Arc::new(Zone::default());
    let world = World::new().await;
    let check = iprev::ReverseName::new(Mode::Refuse, zone.clone(), &world.runtime);
    let checks = Checks::new(&world.runtime, options(), vec![Arc::new(check)]);
    let user = world.submission("alice").await;
    let policy = Arc::new(world.policy.with_checks(checks));
    let lmtp = Session {
        role: Role::Lmtp,
        ..stranger(CLIENT)
    };
    for session in [user, lmtp, stranger("10.1.2.3"), stranger("192.0.2.9")] {
        let mut talk = Talk::with(policy.clone(), session);
        assert_eq!(talk.all("localhost").await, "");
        assert_eq!(talk.found(), [""; 0]);
        assert_eq!(zone.asked.load(Ordering::SeqCst), 0);
    }
    let mut talk = Talk::with(policy, stranger(CLIENT));
    assert!(talk.all("localhost").await.starts_with("550 5.7.25"));
}

/// Finds this, in its own phase and manner.
#[derive(Debug)]
struct Always {
    phase: Phase,
    manner: Manner,
    verdict: Verdict,
    asked: AtomicUsize,
}

impl Always {
    fn new(phase: Phase, manner: Manner, verdict: Verdict) -> Arc<Self> {
        Arc::new(Self {
            phase,
            manner,
            verdict,
            asked: AtomicUsize::new(0),
        })
    }
}

impl Check for Always {
    fn name(&self) -> &'static str {
        "always"
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    fn manner(&self) -> Manner {
        self.manner
    }

    fn check<'a>(&'a self, _: Asked<'a>) -> BoxFuture<'a, Verdict> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(self.verdict.clone()))
    }
}

fn points(name: &'static str, points: i32) -> Verdict {
    Verdict {
        findings: vec![Finding::new(name, points, "")],
        ..Verdict::pass()
    }
}

#[tokio::test]
async fn evidence_adds_up_and_what_speaks_for_a_client_counts() {
    let now = Manner::Immediate;
    let mut talk = Talk::new(CLIENT, |_| {
        vec![
            Always::new(Phase::Connect, now, points("one", 6)),
            Always::new(Phase::Hello, now, points("two", 4)),
        ]
    })
    .await;
    let policy = talk.policy.clone();
    assert_eq!(
        policy.check_arrival(&talk.session, &mut talk.visitor).await,
        None
    );
    let reply = talk.all("x.test").await;
    assert!(
        reply.starts_with("550 5.7.1 mail from [203.0.113.9] is not taken: one; two;"),
        "{reply}"
    );
    // HELO again is not counted twice.
    talk.all("y.test").await;
    assert_eq!(talk.visitor.evidence().points(), 10);

    let mut talk = Talk::new(CLIENT, |_| {
        vec![
            Always::new(Phase::Hello, now, points("one", 12)),
            Always::new(Phase::Hello, now, points("friend", -4)),
        ]
    })
    .await;
    assert_eq!(talk.all("x.test").await, "");
    let trust = Verdict {
        action: Action::Trust,
        ..Verdict::pass()
    };
    let mut talk = Talk::new(CLIENT, |_| {
        vec![
            Always::new(Phase::Hello, now, points("one", 100)),
            Always::new(Phase::Hello, now, trust),
        ]
    })
    .await;
    assert_eq!(talk.all("x.test").await, "");
}

#[tokio::test]
async fn who_only_connects_causes_no_question_and_nobody_two() {
    let zone = Arc::new(good());
    let (names, reverse) = (zone.clone(), zone.clone());
    let mut talk = Talk::new(CLIENT, move |runtime| {
        vec![
            Arc::new(iprev::ReverseName::new(Mode::Mark, reverse, runtime)),
            Arc::new(hello::Mismatch {
                mode: Mode::Mark,
                names,
            }),
        ]
    })
    .await;
    talk.hello("mail.far.test").await;
    assert_eq!(zone.asked.load(Ordering::SeqCst), 0);
    talk.mail().await;
    talk.mail().await;
    talk.hello("mail.far.test").await;
    talk.mail().await;
    assert_eq!(
        zone.asked.load(Ordering::SeqCst),
        2,
        "PTR and its addresses"
    );
    // The next session from there knows it already.
    let mut next = Talk::with(talk.policy.clone(), stranger(CLIENT));
    next.all("mail.far.test").await;
    assert_eq!(zone.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn silent_or_broken_name_servers_hold_up_no_mail() {
    let mut silent = Zone::default();
    silent.silent = true;
    for zone in [silent, Zone::default().broken(CLIENT).broken("x.test")] {
        let world = World::new().await;
        let runtime = world.runtime.clone();
        let checks = usual(Mode::Refuse, zone, &runtime);
        let checks = Checks::new(&runtime, options(), checks);
        let mut talk = Talk::with(Arc::new(world.policy.with_checks(checks)), stranger(CLIENT));
        let patience = async {
            // Each wait is over when its time is; there are two at most.
            for _ in 0..100 {
                tokio::task::yield_now().await;
                runtime.advance(Duration::from_secs(1));
            }
            std::future::pending::<()>().await;
        };
        let reply = tokio::select! {
            reply = talk.all("x.test") => reply,
            () = patience => unreachable!("it waits for ever"),
        };
        assert_eq!(reply, "");
        assert_eq!(talk.found(), [""; 0]);
    }
}

#[tokio::test]
async fn a_check_that_has_no_place_left_passes_or_defers_as_it_says() {
    for (otherwise, want) in [
        (Otherwise::Pass, ""),
        (
            Otherwise::Defer,
            "451 4.7.1 the check always has no answer now",
        ),
    ] {
        let manner = Manner::InTurn(Patience {
            timeout: Duration::from_secs(1),
            at_once_max: 0,
            otherwise,
        });
        let check = Always::new(Phase::Recipient, manner, points("never", 100));
        let kept = check.clone();
        let mut talk = Talk::new(CLIENT, move |_| vec![check]).await;
        let reply = talk.all("x.test").await;
        assert!(
            reply.starts_with(want) && reply.is_empty() == want.is_empty(),
            "{reply}"
        );
        assert_eq!(kept.asked.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_recipients_check_is_asked_for_each_and_refuses_that_one() {
    let refuse = Verdict {
        action: Action::Refuse(Reply::enhanced(450, (4, 2, 0), "come again")),
        ..Verdict::pass()
    };
    let check = Always::new(Phase::Recipient, Manner::Immediate, refuse);
    let kept = check.clone();
    let mut talk = Talk::new(CLIENT, move |_| vec![check]).await;
    assert_eq!(talk.all("x.test").await, "450 4.2.0 come again");
    assert_eq!(talk.rcpt("alice@demo.test").await, "450 4.2.0 come again");
    assert_eq!(talk.rcpt("postmaster@demo.test").await, "");
    assert_eq!(kept.asked.load(Ordering::SeqCst), 2);
}

#[test]
fn threat_10_a_field_of_a_check_cannot_add_lines() {
    let mut evidence = Evidence::default();
    let finding = Finding::new("x", 1, "a\r\nBcc: b\u{e9}");
    let field = Field::new("X-Score", "5\n\nbody");
    evidence.add(Phase::Hello, vec![finding], vec![field], None);
    assert_eq!(
        evidence.header(),
        "X-Posthouse-Marks: x (a??Bcc: b?)\r\nX-Score: 5??body\r\n"
    );
}

#[tokio::test]
async fn a_ban_does_not_hold_where_somebody_logged_in() {
    let world = World::new().await;
    let runtime = &world.runtime;
    let engine: engine::SharedEngine = Arc::new(engine::MemoryEngine::new(3));
    let opened = bans::Bans::open(engine, runtime.clone()).await;
    let all = Arc::new(opened.expect("readable"));
    let ban = bans::Ban {
        network: settings::Network::parse("203.0.113.0/24").expect("a network"),
        from: runtime.now(),
        until: runtime.now().after(Duration::from_secs(3600)),
        by: bans::By::Operator,
        reason: "a provider of\r\n250 spam".into(),
    };
    all.add(ban).await.expect("added");
    let checks: Vec<Arc<dyn Check>> = vec![Arc::new(bans::Banned(all))];
    let checks = Checks::new(runtime, options(), checks);
    let policy = world.policy.with_checks(checks);
    let arrives = async || {
        let mut visitor = Visitor::default();
        policy.check_arrival(&stranger(CLIENT), &mut visitor).await
    };
    let refusal = arrives().await.expect("turned away");
    let told = refusal.reply().to_line();
    let want = "421 4.7.1 [203.0.113.9] is turned away for 60 minutes more: a provider of";
    assert!(told.starts_with(want), "{told}");
    assert!(
        told.ends_with("; it ends by itself, or when the administrator of this server lifts it"),
        "{told}"
    );
    assert!(!told.contains(['\r', '\n']), "{told:?}");
    let caller = directory::Caller {
        service: directory::Service::Smtp,
        peer: super::testing::ip(CLIENT),
    };
    let claimed = sasl::Credentials {
        authorization: None,
        login: "alice@demo.test".into(),
        password: sasl::Secret::from("demo"),
    };
    let question = sasl::Question::Password(claimed);
    let granted = world.directory.answer(&question, caller).await;
    granted.expect("logged in");
    assert_eq!(arrives().await, None);
}
