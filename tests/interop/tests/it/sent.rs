//! A program that files nothing itself: the server keeps what it sends.

use crate::sasl::server_with;
use anyhow::ensure;
use interop::imap;
use interop::posthouse::{PASSWORD, contains};
use interop::world::{Needs, run};

const USER: &str = "alice@demo.test";
const IP: &str = "127.0.0.10";

#[test]
fn what_a_script_submits_is_in_sent_where_it_was_asked_for() {
    run(
        "sent::what_a_script_submits_is_in_sent_where_it_was_asked_for",
        Needs::Program("curl"),
        |world| {
            let ours = server_with(world, IP, |_| Ok(()))?;
            let submit = |subject: &str| {
                let message = format!(
                    "From: {USER}\nTo: {USER}\nBcc: secret@far.test\nSubject: {subject}\n\nx\n"
                );
                std::fs::write(world.dir().join("message"), message)?;
                let line = format!(
                    "curl -sSv -k --ssl-reqd -u {USER}:{PASSWORD} smtp://{IP}:587 --mail-from {USER} --mail-rcpt {USER} -T message"
                );
                let (ok, told) = world.try_output("sh", ["-c", &line])?;
                ensure!(ok, "{told}");
                ours.wait_for_mail(USER, subject)
            };
            let mut client = imap::Client::login(&ours.addr(143), USER, PASSWORD)?;
            submit("not kept")?;
            ensure!(client.messages("Sent")?.is_empty());
            let shown = ours.cli(&["account", "change", USER, "--save-sent", "on", "--json"])?;
            ensure!(shown.contains("\"saves_sent\": true"), "{shown}");
            let received = submit("kept")?;
            ensure!(!contains(&received, b"Bcc:"));
            let kept = client.messages("Sent")?;
            ensure!(
                kept.len() == 1
                    && contains(&kept[0], b"Subject: kept")
                    && contains(&kept[0], b"Bcc: secret@far.test\r\n")
            );
            client.command("SELECT Sent")?;
            let unseen = client.command("SEARCH UNSEEN")?;
            ensure!(
                String::from_utf8_lossy(&unseen[0]).trim() == "* SEARCH",
                "{unseen:?}"
            );
            ours.cli(&["account", "change", USER, "--save-sent", "off"])?;
            submit("not kept any more")?;
            ensure!(client.messages("Sent")?.len() == 1);
            let (status, told) = ours.try_cli(&["account", "change", USER])?;
            ensure!(
                status == Some(3) || told.contains("--save-sent"),
                "{status:?} {told}"
            );
            ours.assert_sound()
        },
    );
}
