//! In whose names a user sends: what is granted to a running server's account counts
//! from the next message on, and so does taking it back.

use crate::sasl::server_with;
use anyhow::ensure;
use interop::posthouse::PASSWORD;
use interop::world::{Needs, run};

const USER: &str = "alice@demo.test";
const IP: &str = "127.0.0.10";

#[test]
fn a_grant_counts_from_the_next_message_on() {
    run(
        "send_as::a_grant_counts_from_the_next_message_on",
        Needs::Program("curl"),
        |world| {
            let ours = server_with(world, IP, |_| Ok(()))?;
            let submit = |sender: &str, from: &str| {
                let message = format!("From: {from}\nSubject: by {from}\n\nx\n");
                std::fs::write(world.dir().join("message"), message)?;
                let line = format!(
                    "curl -sSv -k --ssl-reqd -u {USER}:{PASSWORD} smtp://{IP}:587 --mail-from {sender} --mail-rcpt {USER} -T message"
                );
                world.try_output("sh", ["-c", &line])
            };
            let sales = "sales@demo.test";
            for (sender, code) in [(sales, "553 5.7.1 "), (USER, "550 5.7.1 From ")] {
                let (ok, text) = submit(sender, sales)?;
                let hint = "posthouse account send-as add ACCOUNT ADDRESS";
                ensure!(!ok && text.contains(code) && text.contains(hint), "{text}");
            }
            let grant = |act: &str, name: &str| ours.cli(&["account", "send-as", act, USER, name]);
            grant("add", sales)?;
            grant("add", sales)?;
            let (ok, text) = submit("sales+x@demo.test", sales)?;
            ensure!(ok, "{text}");
            ours.wait_for_mail(USER, "Subject: by sales@demo.test")?;
            let (ok, text) = submit("boss@demo.test", sales)?;
            ensure!(!ok, "{text}");
            grant("add", "*@demo.test")?;
            let (ok, text) = submit("boss@demo.test", "chief@demo.test")?;
            ensure!(ok, "{text}");
            ours.wait_for_mail(USER, "Subject: by chief@demo.test")?;
            let listed = ours.cli(&["account", "send-as", "list", USER, "--json"])?;
            let listed: serde_json::Value = serde_json::from_str(&listed)?;
            ensure!(
                listed == serde_json::json!([{"send_as": sales}, {"send_as": "*@demo.test"}]),
                "{listed}"
            );
            let shown = ours.cli(&["account", "show", USER])?;
            ensure!(shown.contains("*@demo.test"), "{shown}");
            let refused = ours.try_cli(&["account", "send-as", "add", USER, "*@far.test"])?;
            ensure!(
                refused.0 == Some(3) && refused.1.contains("domain list"),
                "{refused:?}"
            );
            grant("remove", "*@demo.test")?;
            grant("remove", sales)?;
            let (ok, text) = submit(sales, sales)?;
            ensure!(!ok && text.contains("553 5.7.1 "), "{text}");
            ours.assert_sound()
        },
    );
}
