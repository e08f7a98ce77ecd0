//! Forwards whose senders are rewritten, between two Postfixes: what is refused behind
//! us comes back to who sent it first.

use anyhow::{Result, ensure};
use interop::dns;
use interop::postfix::Postfix;
use interop::posthouse::{Posthouse, contains};
use interop::smtp;
use interop::world::{Needs, run, wait_for};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_forward_that_is_refused_comes_back_to_its_first_sender() {
    run(
        "returning::a_forward_that_is_refused_comes_back_to_its_first_sender",
        Needs::Peers,
        |world| {
            let at = |ip: &str| format!("@ MX 10 mx\nmx A {ip}");
            let zones = [
                ("near.test", at("127.0.0.2")),
                ("away.test", at("127.0.0.3")),
                ("first.test", at("127.0.0.4")),
            ];
            let zones = zones.each_ref().map(|(name, records)| (*name, &**records));
            dns::start(world, &zones)?;
            let first = Postfix::start(world, "127.0.0.4", "first.test", &["ann"])?;
            // It takes mail for bouncy and then finds that nobody is there.
            let settings = "virtual_alias_maps = inline:{ bouncy@away.test=nobody@near.test }\n";
            let users = ["bea", "bouncy"];
            let away = Postfix::start_with(world, "127.0.0.3", "away.test", &users, settings)?;
            let mut ours = Posthouse::init(world, "127.0.0.2", "near.test", &["alice"])?;
            for (alias, to) in [
                ("good@near.test", "bea@away.test"),
                ("refused@near.test", "nobody@away.test"),
                ("later@near.test", "bouncy@away.test"),
            ] {
                ours.cli(&["alias", "add", alias, to])?;
            }
            ours.serve(world)?;
            let send = |to: &str| -> Result<()> {
                let mut client = smtp::Client::connect("127.0.0.4:25")?;
                client.expect("EHLO client.test", 250)?;
                let text = format!("From: ann@first.test\r\nSubject: for {to}\r\n\r\nhello\r\n");
                let (code, said) = client.send("ann@first.test", &[to], text.as_bytes())?;
                ensure!(code == 250, "{said}");
                Ok(())
            };

            send("good@near.test")?;
            let mail = away.wait_for_mail("bea@away.test")?;
            ensure!(contains(&mail, b"Return-Path: <SRS0="), "not rewritten");
            ensure!(
                contains(&mail, b"=first.test=ann@near.test>"),
                "not rewritten"
            );

            // Our own notification.
            send("refused@near.test")?;
            let mail = first.wait_for_mail("ann@first.test")?;
            ensure!(contains(&mail, b"for refused@near.test"), "no notification");
            ensure!(contains(&mail, b"Return-Path: <>"), "of another sender");
            // The other server's, through our door.
            send("later@near.test")?;
            let count = |mails: &[Vec<u8>]| {
                let about = |mail: &&Vec<u8>| contains(mail, b"for later@near.test");
                mails.iter().filter(about).count()
            };
            wait_for("the second notification", Duration::from_secs(30), || {
                Ok((count(&first.mail("ann@first.test")?) == 1).then_some(()))
            })?;
            let log = away.log();
            ensure!(
                log.contains("from=<>") && log.contains("to=<SRS0="),
                "{log}"
            );
            ours.assert_sound()
        },
    );
}

/// As a provider sends it.
const COMPLAINT: &str = "From: fbl@provider.test\r\nTo: fbl@near.test\r\nSubject: FW: offers\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nAn email abuse report.\r\n\
    --b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\
    User-Agent: ProviderFBL/1.0\r\nVersion: 1\r\nOriginal-Rcpt-To: <Bea@away.test>\r\n\r\n\
    --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: offers\r\n\r\nbuy\r\n--b--\r\n";

#[test]
fn whoever_complains_gets_no_more_mail() {
    run(
        "returning::whoever_complains_gets_no_more_mail",
        Needs::Nothing,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.2", "near.test", &["alice"])?;
            let command = [
                interop::posthouse::program().display().to_string(),
                "--config".into(),
                ours.config().display().to_string(),
                "suppress".into(),
                "report".into(),
            ];
            let rules = format!(
                "[transport.complaints]\nkind = \"pipe\"\ncommand = {command:?}\n\
                 [[rule]]\nname = \"read\"\nwhen = {{ domain = \"complaints.internal\" }}\nvia = \"complaints\"\n"
            );
            let file = ours.dir().join("rules.toml");
            std::fs::write(&file, rules)?;
            ours.set("policy.rules", &format!("{:?}", file.display().to_string()))?;
            ours.set("outbound.suppress", "\"all\"")?;
            let alias = ["alias", "add", "fbl@near.test", "in@complaints.internal"];
            ours.cli(&alias)?;
            ours.serve(world)?;
            let report = |text: &str| -> Result<()> {
                let mut client = smtp::Client::connect(&ours.addr(25))?;
                client.expect("EHLO provider.test", 250)?;
                let to = ["fbl@near.test"];
                let (code, said) = client.send("fbl@provider.test", &to, text.as_bytes())?;
                ensure!(code == 250, "{said}");
                Ok(())
            };
            report(COMPLAINT)?;
            wait_for("the complaint", PATIENCE, || {
                let list = ours.cli(&["suppress", "list", "--json"])?;
                Ok(list.contains("bea@away.test").then_some(()))
            })?;
            let shown = ours.cli(&["suppress", "show", "bea@away.test", "--json"])?;
            ensure!(shown.contains("\"by\": \"complaint\""), "{shown}");
            ensure!(shown.contains("ProviderFBL/1.0"), "{shown}");
            // Who writes to her learns why it does not go.
            let text = b"From: alice@near.test\r\n\r\nbuy\r\n";
            let sent = ours.submit_as(world, "alice@near.test", &["bea@away.test"], text);
            ensure!(sent.is_err(), "it was taken");
            let trace = ours.cli(&["trace", "bea@away.test"])?;
            ensure!(
                trace.contains("nothing is sent to this address (a complaint"),
                "{trace}"
            );
            // Reports of another kind say nothing of her.
            ours.cli(&["suppress", "lift", "bea@away.test"])?;
            report(&COMPLAINT.replace("Feedback-Type: abuse", "Feedback-Type: not-spam"))?;
            wait_for("the queue to be empty", PATIENCE, || {
                let left = ours.cli(&["queue", "list", "--json"])?;
                Ok((left.trim() == "[]").then_some(()))
            })?;
            let list = ours.cli(&["suppress", "list", "--json"])?;
            ensure!(list.trim() == "[]", "{list}");
            ours.assert_sound()
        },
    );
}
