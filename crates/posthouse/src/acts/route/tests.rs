//! What `posthouse route` says, over a real store.

#![allow(clippy::unwrap_used)]

use runtime::Runtime;
use serde_json::{Value, json};
use settings::rules::Rules;

use crate::acts::Acts;
use crate::acts::testing::{account, acts, run};

const RULES: &str = r#"
[transport.partner]
host = "relay.partner.test:465"

[transport.spare]
host = "spare.partner.test:587"
tls = "required"

[transport.primary]
kind = "lmtp"
host = "127.0.0.1:24"

[relay_domain."primary.test"]
via = "primary"
lifetime = "2w"

[[rule]]
name = "not from there"
when = { ip = "192.0.2.0/24", user = false }
refuse = "550 5.7.1 not from there"

[[rule]]
name = "large ones wait"
when = { larger_than = "1 MiB" }
hold = "large"

[[rule]]
name = "old names"
when = { recipient = "old@here.test" }
rewrite_recipient = "ann@here.test"

[[rule]]
name = "journal"
when = { domain = "here.test" }
bcc = "journal@here.test"

[[rule]]
name = "ann by the partner"
when = { sender = "ann@here.test" }
via = ["partner", "spare"]
"#;

async fn world(folder: &std::path::Path) -> Acts {
    let runtime = Runtime::new();
    let acts = acts(folder, &runtime).await;
    run(&acts, "domain.add", json!({"domain": "here.test"}))
        .await
        .unwrap();
    account(&acts, "ann@here.test").await;
    let alias =
        json!({"address": "team@here.test", "targets": ["ann@here.test", "x@primary.test"]});
    run(&acts, "alias.add", alias).await.unwrap();
    acts.store.rules.replace(Rules::parse(RULES).unwrap());
    acts
}

async fn route(acts: &Acts, ask: Value) -> (Vec<String>, Value) {
    let answer = Box::pin(run(acts, "route", ask)).await.unwrap();
    let text = |step: &Value| {
        let word = |name: &str| step[name].as_str().unwrap().to_owned();
        format!("{}: {}", word("about"), word("text"))
    };
    let steps = answer["steps"].as_array().unwrap().iter().map(text);
    (steps.collect(), answer)
}

#[tokio::test]
async fn every_step_is_told_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let acts = Box::pin(world(folder.path())).await;
    let ask =
        json!({"sender": "x@far.test", "recipient": "old@here.test", "from_ip": "198.51.100.7"});
    let (steps, answer) = Box::pin(route(&acts, ask)).await;
    assert_eq!(
        steps,
        [
            "verdict: rule \"not from there\" does not match: the client is 198.51.100.7, not in 192.0.2.0/24",
            "verdict: rule \"large ones wait\" does not match: it is not known to have more than 1048576 bytes",
            "recipient: rule \"old names\" matches: the recipient becomes ann@here.test",
            "recipient: old@here.test becomes ann@here.test",
            "leads to: ann@here.test: an account here",
            "bcc: rule \"journal\" matches: also to journal@here.test",
            "way: ann@here.test: local, into the mailbox, within the session",
        ]
    );
    assert_eq!(answer["decision"], "taken");
    assert_eq!(answer["ways"][0]["transport"], "local");

    let ask = json!({"sender": "x@far.test", "recipient": "ann@here.test", "from_ip": "192.0.2.9"});
    let (steps, answer) = Box::pin(route(&acts, ask)).await;
    assert_eq!(
        steps,
        [
            "verdict: rule \"not from there\" matches: refuse, 550 5.7.1 not from there",
            "refused: 550 5.7.1 not from there",
        ]
    );
    assert_eq!(
        (&answer["decision"], &answer["reply"]),
        (&json!("refused"), &json!("550 5.7.1 not from there"))
    );

    // No relay: the house's own answer.
    let ask = json!({"sender": "x@far.test", "recipient": "x@far.test"});
    let (_, answer) = Box::pin(route(&acts, ask)).await;
    assert_eq!(answer["decision"], "refused");
}

#[tokio::test]
async fn the_way_out_is_told_with_its_transport_and_its_tls() {
    let folder = tempfile::tempdir().unwrap();
    let acts = Box::pin(world(folder.path())).await;
    let ask = json!({
        "sender": "ann@here.test", "recipient": "x@far.test", "user": "ann@here.test", "size": 2_000_000,
    });
    let (steps, answer) = Box::pin(route(&acts, ask)).await;
    assert_eq!(
        steps[1..],
        [
            "verdict: rule \"large ones wait\" matches: hold, large",
            "held: until `posthouse queue release`: large",
            "recipient: rule \"old names\" does not match: the recipient is x@far.test, not old@here.test",
            "leads to: x@far.test: far.test is elsewhere, and this client may send there",
            "bcc: rule \"journal\" does not match: the domain is far.test, not here.test",
            "way: rule \"ann by the partner\" matches: via partner, then spare",
            "way: x@far.test: transport partner (smtp), relay.partner.test port 465; TLS from the first byte, with a good certificate",
            "way: x@far.test: where that is not reached or turns us away, transport spare (smtp), spare.partner.test port 587; TLS required, with any certificate",
        ]
    );
    assert_eq!(
        (&answer["decision"], &answer["ways"][0]["transport"]),
        (&json!("held"), &json!("transport partner (smtp)"))
    );

    // An alias leads to an account and to a relay domain.
    let ask = json!({"sender": "<>", "recipient": "team@here.test"});
    let (steps, answer) = Box::pin(route(&acts, ask)).await;
    let ends: Vec<&String> = steps
        .iter()
        .filter(|step| !step.contains("rule \""))
        .collect();
    assert_eq!(
        ends,
        [
            "leads to: team@here.test: ann@here.test, by an alias, a role or the catch-all",
            "leads to: team@here.test: on to x@primary.test, by an alias, or as the sender before it was rewritten",
            "way: ann@here.test: local, into the mailbox, within the session",
            "way: x@primary.test: to its primary, tried for 14 days",
            "way: x@primary.test: transport primary (lmtp), 127.0.0.1 port 24; TLS where it is offered, with any certificate",
        ]
    );
    assert_eq!(
        answer["ways"][1]["hosts"],
        json!([{"host": "127.0.0.1", "port": 24}])
    );
}

#[tokio::test]
async fn who_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let acts = Box::pin(world(folder.path())).await;
    let ask = json!({"sender": "a@b.test", "recipient": "x@y.test", "user": "nobody@here.test"});
    let error = Box::pin(run(&acts, "route", ask)).await.unwrap_err();
    assert!(error.to_string().contains("nobody@here.test"), "{error}");
}
