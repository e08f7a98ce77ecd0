//! Forwards whose senders are rewritten, between two Postfixes: what is refused behind
//! us comes back to who sent it first.

use anyhow::{Result, ensure};
use interop::dns;
use interop::postfix::Postfix;
use interop::posthouse::{Posthouse, contains};
use interop::smtp;
use interop::world::{Needs, run};

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
            interop::world::wait_for(
                "the second notification",
                std::time::Duration::from_secs(30),
                || Ok((count(&first.mail("ann@first.test")?) == 1).then_some(())),
            )?;
            let log = away.log();
            ensure!(
                log.contains("from=<>") && log.contains("to=<SRS0="),
                "{log}"
            );
            ours.assert_sound()
        },
    );
}
