//! The HTTP API as other programs use it: with curl, an application password, and a server that
//! is killed in between.

use anyhow::{Context as _, Result, ensure};
use interop::posthouse::Posthouse;
use interop::world::{Needs, World, run, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const RULES: &str = "[transport.build]\nkind = \"worker\"\n\
                     [[rule]]\nname = \"build\"\nwhen = { domain = \"work.test\" }\nvia = \"build\"\n\
                     [[subscription]]\nname = \"mine\"\ndomain = [\"work.test\"]\n";
const MESSAGE: &str =
    "From: admin@demo.test\nMessage-ID: <1@demo.test>\nSubject: build it\n\nnow\n.\n";

/// A program with its login.
struct Program<'a> {
    world: &'a World,
    login: String,
}

impl Program<'_> {
    /// The status and the body of an answer.
    fn curl(&self, path: &str, more: &[&str]) -> Result<(u16, String)> {
        let url = format!("http://127.0.0.2{path}");
        let mut args = vec![
            "-sS",
            "--max-time",
            "60",
            "-u",
            &self.login,
            "-w",
            "\n%{http_code}",
        ];
        args.extend(more);
        args.push(&url);
        let out = self.world.output("curl", args)?;
        let (body, status) = out.rsplit_once('\n').context("a status")?;
        Ok((status.parse()?, body.to_owned()))
    }

    fn ask(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let json = [
            "-H",
            "Content-Type: application/json",
            "--data",
            &body.to_string(),
        ];
        let (status, body) = self.curl(path, &json)?;
        Ok((status, serde_json::from_str(&body)?))
    }

    fn done(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, mut answer) = self.ask(path, body)?;
        ensure!(status == 200, "{path} {body}: {status} {answer}");
        Ok(answer["ok"].take())
    }

    fn put(&self, query: &str) -> Result<(u16, Value)> {
        let kind = [
            "-H",
            "Content-Type: message/rfc822",
            "--data-binary",
            MESSAGE,
        ];
        let (status, body) = self.curl(&format!("/api/v1/messages?{query}"), &kind)?;
        Ok((status, serde_json::from_str(&body)?))
    }
}

fn prepare(world: &mut World) -> Result<Posthouse> {
    let mut ours = Posthouse::init(world, "127.0.0.2", "demo.test", &["alice"])?;
    let file = ours.dir().join("rules.toml");
    std::fs::write(&file, RULES)?;
    ours.set("policy.rules", &format!("{:?}", file.display().to_string()))?;
    ours.set("api.enabled", "true")?;
    ours.serve(world)?;
    Ok(ours)
}

#[test]
fn programs_put_in_take_out_and_hear_over_a_crash() {
    run(
        "api::programs_put_in_take_out_and_hear_over_a_crash",
        Needs::Program("curl"),
        |world| {
            let mut ours = prepare(world)?;
            let made = ours.cli(&[
                "account",
                "app-password",
                "add",
                "--json",
                "admin@demo.test",
                "build",
                "--for",
                "api",
            ])?;
            let made: Value = serde_json::from_str(&made)?;
            let password = made["password"].as_str().context("a password")?;
            let login = format!("admin@demo.test:{password}");
            let program = Program {
                world,
                login: login.clone(),
            };

            // One recipient comes for it, one has a mailbox here, one may not be named.
            let query = "recipient=bob@work.test&recipient=alice@demo.test&recipient=x@demo.test";
            let (status, put) = program.put(query)?;
            ensure!(status == 200, "{put}");
            let each = &put["ok"]["recipients"];
            let accepted = [0, 1, 2].map(|at| each[at]["accepted"].as_bool());
            ensure!(accepted == [Some(true), Some(true), Some(false)], "{put}");
            let mail = ours.wait_for_mail("alice@demo.test", "build it")?;
            ensure!(interop::posthouse::contains(&mail, b"\r\n\r\nnow\r\n.\r\n"));
            let again = program.put(query)?.1;
            ensure!(again["ok"]["message"] == put["ok"]["message"], "{again}");
            let (status, forged) = program.put("recipient=bob@work.test&sender=x@far.test")?;
            ensure!(status == 422, "{forged}");

            // Nobody comes; so it waits, and is there at once when somebody does.
            wait_for("it to wait", PATIENCE, || {
                let list = ours.cli(&["queue", "list", "--json"])?;
                Ok(list.contains("no worker has asked for it").then_some(()))
            })?;
            let claiming = json!({"transport": "build", "wait_seconds": 20, "worker": "w1"});
            let work = program.done("/api/v1/claims", &claiming)?;
            ensure!(work["recipients"] == json!(["bob@work.test"]), "{work}");
            let claim = work["claim"].as_str().context("a claim")?.to_owned();
            let (status, octets) = program.curl(&format!("/api/v1/claims/{claim}/message"), &[])?;
            ensure!(
                status == 200 && octets.ends_with("\r\n\r\nnow\r\n.\r\n"),
                "{octets}"
            );
            ensure!(octets.contains("\r\nSubject: build it\r\n"), "{octets}");

            // The plug is pulled: the claim is over, the message is not.
            ours.kill(world)?;
            ours.serve(world)?;
            let settle = format!("/api/v1/claims/{claim}/settle");
            let program = Program { world, login };
            let said = json!({"outcome": "delivered", "text": "ticket 17"});
            ensure!(program.ask(&settle, &said)?.0 == 404);
            ours.cli(&["queue", "retry", "--all"])?;
            let same = program.done("/api/v1/claims", &claiming)?;
            ensure!(same["message"] == work["message"], "{same}");
            let claim = same["claim"].as_str().context("a claim")?;
            program.done(&format!("/api/v1/claims/{claim}/settle"), &said)?;
            wait_for("the queue to be empty", PATIENCE, || {
                let left = ours.cli(&["queue", "list", "--json"])?;
                Ok((left.trim() == "[]").then_some(()))
            })?;

            // What became of it was written down with it.
            let asking = json!({"wait_seconds": 10});
            let page = program.done("/api/v1/events/mine", &asking)?;
            let events = page["events"].as_array().context("events")?;
            let last = events.last().context("an event")?;
            ensure!(events[0]["event"] == "deferred", "{page}");
            ensure!(last["event"] == "delivered", "{page}");
            ensure!(last["reason"] == "250 2.0.0 worker w1: ticket 17", "{page}");
            ensure!(last["message"] == work["message"], "{page}");
            let next = program.done("/api/v1/events/mine", &json!({"heard": page["page"]}))?;
            ensure!(next["page"].is_null(), "{next}");

            // A refusal comes back to who has put it in.
            let (status, _) = program.put("recipient=eve@work.test")?;
            ensure!(status == 200);
            let work = program.done("/api/v1/claims", &claiming)?;
            let claim = work["claim"].as_str().context("a claim")?;
            let said = json!({"outcome": "failed", "status": "5.1.1", "text": "no such project"});
            program.done(&format!("/api/v1/claims/{claim}/settle"), &said)?;
            let report = ours.wait_for_mail("admin@demo.test", "no such project")?;
            ensure!(interop::posthouse::contains(&report, b"eve@work.test"));

            // The password is good for nothing else, and not for ever.
            let stats = program.done("/api/v1/acts/queue.stats", &json!({}))?;
            ensure!(stats["messages"].is_number(), "{stats}");
            ours.cli(&[
                "account",
                "app-password",
                "remove",
                "admin@demo.test",
                "build",
            ])?;
            ensure!(program.ask("/api/v1/acts/queue.stats", &json!({}))?.0 == 401);
            ours.assert_sound()
        },
    );
}
