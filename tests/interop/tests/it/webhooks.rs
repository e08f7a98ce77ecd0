//! Mail and outcomes that are posted to servers on the web, which check the signatures with
//! Python's own libraries.

use anyhow::{Result, ensure};
use interop::posthouse::Posthouse;
use interop::web::{Receiver, Taken};
use interop::world::{Needs, World, run, wait_for};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Makes the signature of a request as a receiver would.
const SIGN: &str = r#"
import base64, hashlib, hmac, sys
secret, ident, stamp, body = sys.argv[1:5]
key = base64.b64decode(secret.removeprefix("whsec_"))
print("v1," + base64.b64encode(hmac.new(key, f"{ident}.{stamp}.".encode() + open(body, "rb").read(), hashlib.sha256).digest()).decode())
"#;

/// The signature is that of whoever has the secret, and no other.
fn ensure_signed(world: &World, taken: &Taken, body: &Path) -> Result<()> {
    let headers = &taken.head["headers"];
    let of = |name: &str| headers[name].as_str().unwrap_or_default().to_owned();
    let (id, stamp) = (of("webhook-id"), of("webhook-timestamp"));
    let body = body.display().to_string();
    let made = world.output("python3", ["-c", SIGN, SECRET, &id, &stamp, &body])?;
    ensure!(made.trim() == of("webhook-signature"), "{made} {headers}");
    Ok(())
}

fn prepare(world: &mut World, rules: &str) -> Result<Posthouse> {
    let mut ours = Posthouse::init(world, "127.0.0.2", "demo.test", &["alice"])?;
    std::fs::write(ours.dir().join("secret"), format!("{SECRET}\n"))?;
    let file = ours.dir().join("rules.toml");
    std::fs::write(&file, rules)?;
    ours.set("policy.rules", &format!("{:?}", file.display().to_string()))?;
    ours.serve(world)?;
    Ok(ours)
}

fn wait_for_empty_queue(ours: &Posthouse) -> Result<()> {
    wait_for("the queue to be empty", PATIENCE, || {
        let left = ours.cli(&["queue", "list", "--json"])?;
        Ok((left.trim() == "[]").then_some(()))
    })
}

#[test]
fn mail_is_posted_signed_and_refused_with_a_reason() {
    run(
        "webhooks::mail_is_posted_signed_and_refused_with_a_reason",
        Needs::Program("python3"),
        |world| {
            let receiver = Receiver::start(world, "127.0.0.1:8025")?;
            let rules = "[transport.app]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:8025/in\"\n\
                         secret_file = \"secret\"\n[[rule]]\nname = \"app\"\n\
                         when = { domain = \"app.test\" }\nvia = \"app\"\n";
            let ours = prepare(world, rules)?;
            let text = b"From: alice@demo.test\r\nSubject: one\r\n\r\nhello\r\n.\r\n";
            ours.submit(world, &["bob@app.test", "eve@app.test"], text)?;
            wait_for_empty_queue(&ours)?;
            let taken = receiver.wait_for(2)?;
            for (number, (one, to)) in taken
                .iter()
                .zip(["bob@app.test", "eve@app.test"])
                .enumerate()
            {
                ensure!(one.head["path"] == "/in");
                let headers = &one.head["headers"];
                ensure!(headers["content-type"] == "message/rfc822", "{headers}");
                ensure!(
                    headers["posthouse-sender"] == "alice@demo.test",
                    "{headers}"
                );
                ensure!(headers["posthouse-recipient"] == to, "{headers}");
                let body = String::from_utf8_lossy(&one.body);
                let head = format!("Return-Path: <alice@demo.test>\r\nDelivered-To: {to}\r\n");
                ensure!(body.starts_with(&head), "{body}");
                ensure!(body.ends_with("\r\n\r\nhello\r\n.\r\n"), "{body}");
                ensure_signed(world, one, &receiver.body(number + 1))?;
            }

            // Away for now: it is asked again, under the same name.
            receiver.answer(&json!({"status": 503}))?;
            ours.submit(world, &["joe@app.test"], text)?;
            let taken = receiver.wait_for(3)?;
            receiver.answer(&json!({"status": 422, "text": "no such ticket"}))?;
            wait_for("the outcome", PATIENCE, || {
                let list = ours.cli(&["queue", "list", "--json"])?;
                Ok(list.contains("it answers 503").then_some(()))
            })?;
            ours.cli(&["queue", "retry", "--all"])?;
            let again = receiver.wait_for(4)?;
            let id = |taken: &Taken| taken.head["headers"]["webhook-id"].clone();
            ensure!(id(&taken[2]) == id(&again[3]) && id(&taken[1]) != id(&taken[2]));
            let report = ours.wait_for_mail("alice@demo.test", "no such ticket")?;
            ensure!(interop::posthouse::contains(&report, b"joe@app.test"));
            ours.assert_sound()
        },
    );
}

#[test]
fn outcomes_are_told_over_restarts_and_signed() {
    run(
        "webhooks::outcomes_are_told_over_restarts_and_signed",
        Needs::Program("python3"),
        |world| {
            let rules = "[[webhook]]\nname = \"crm\"\nurl = \"http://127.0.0.1:8025/out\"\nsecret_file = \"secret\"\n\
                         [transport.app]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:8026/\"\n\
                         [[rule]]\nname = \"app\"\nwhen = { domain = \"app.test\" }\nvia = \"app\"\n";
            let app = Receiver::start(world, "127.0.0.1:8026")?;
            let mut ours = prepare(world, rules)?;
            let (code, said) = ours.try_cli(&["webhook", "test", "crm"])?;
            ensure!(
                code == Some(1) && said.contains("crm has not taken it"),
                "{said}"
            );
            let (code, _) = ours.try_cli(&["webhook", "test", "nobody"])?;
            ensure!(code == Some(3));

            // Nobody hears yet; then the plug is pulled.
            let text = b"From: alice@demo.test\r\nSubject: one\r\n\r\nhello\r\n";
            app.answer(&json!({"status": 503}))?;
            ours.submit(world, &["bob@app.test"], text)?;
            app.wait_for(1)?;
            wait_for("the outcome to wait", PATIENCE, || {
                let list = ours.cli(&["webhook", "list", "--json"])?;
                Ok(list.contains("\"waiting\": 1").then_some(()))
            })?;
            ours.kill(world)?;
            let receiver = Receiver::start(world, "127.0.0.1:8025")?;
            app.answer(&json!({"status": 200}))?;
            ours.serve(world)?;
            ours.cli(&["queue", "retry", "--all"])?;
            let events = wait_for("both outcomes", PATIENCE, || {
                let mut events = Vec::new();
                for (number, taken) in receiver.taken()?.iter().enumerate() {
                    ensure_signed(world, taken, &receiver.body(number + 1))?;
                    let body: serde_json::Value = serde_json::from_slice(&taken.body)?;
                    events.extend(body["events"].as_array().cloned().unwrap_or_default());
                }
                let has = |what: &str| events.iter().any(|event| event["event"] == what);
                Ok((has("deferred") && has("delivered")).then_some(events))
            })?;
            ensure!(events[0]["event"] == "deferred", "{events:?}");
            ensure!(
                events
                    .iter()
                    .all(|event| event["recipient"] == "bob@app.test"),
                "{events:?}"
            );
            let reason = events[0]["reason"].as_str().unwrap_or_default();
            ensure!(reason.contains("it answers 503"), "{events:?}");
            let told = ours.cli(&["webhook", "test", "crm"])?;
            ensure!(told.contains("it answers 200"), "{told}");
            wait_for("nothing to wait", PATIENCE, || {
                let list = ours.cli(&["webhook", "list", "--json"])?;
                Ok(list.contains("\"waiting\": 0").then_some(()))
            })?;
            ours.assert_sound()
        },
    );
}
