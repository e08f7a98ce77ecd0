//! The peers themselves work in the world that the other tests rely on.

use interop::dovecot::{Dovecot, Fsync};
use interop::postfix::Postfix;
use interop::world::{Needs, run, wait_for};
use interop::{dns, imap, smtp};
use std::time::Duration;

#[test]
fn postfix_sends_to_postfix_by_real_dns() {
    run(
        "peers::postfix_sends_to_postfix_by_real_dns",
        Needs::Peers,
        |world| {
            dns::start(
                world,
                &[
                    ("near.test", "@ MX 10 mx\nmx A 127.0.0.2"),
                    ("far.test", "@ MX 10 mx\nmx A 127.0.0.3"),
                ],
            )?;
            let _near = Postfix::start(world, "127.0.0.2", "near.test", &["ann"])?;
            let far = Postfix::start(world, "127.0.0.3", "far.test", &["bea"])?;
            let mut client = smtp::Client::connect("127.0.0.2:25")?;
            client.expect("EHLO client.test", 250)?;
            let (code, text) = client.send(
                "ann@near.test",
                &["bea@far.test"],
                b"Subject: over there\r\n\r\nhello\r\n",
            )?;
            assert_eq!(code, 250, "{text}");
            let mail = far.wait_for_mail("bea@far.test")?;
            assert!(String::from_utf8_lossy(&mail).contains("Subject: over there"));
            Ok(())
        },
    );
}

#[test]
fn postfix_delivers_into_dovecot() {
    run(
        "peers::postfix_delivers_into_dovecot",
        Needs::Peers,
        |world| {
            let dovecot = Dovecot::start(world, "127.0.0.5", "secret", Fsync::Always)?;
            let settings = format!(
                "virtual_transport = lmtp:unix:{}\nvirtual_mailbox_maps = static:all\n",
                dovecot.lmtp
            );
            let _postfix = Postfix::start_with(world, "127.0.0.3", "demo.test", &[], &settings)?;
            let messages = || -> anyhow::Result<usize> {
                let mut imap = imap::Client::login("127.0.0.5:143", "user1@demo.test", "secret")?;
                Ok(imap.messages("INBOX")?.len())
            };
            // Dovecot's IMAP and LMTP get into each other's way where both make a user's folder.
            assert_eq!(messages()?, 0);
            let mut client = smtp::Client::connect("127.0.0.3:25")?;
            client.expect("EHLO client.test", 250)?;
            let (code, text) = client.send(
                "a@far.test",
                &["user1@demo.test"],
                b"Subject: hello\r\n\r\nx\r\n",
            )?;
            assert_eq!(code, 250, "{text}");
            wait_for("the mail at Dovecot", Duration::from_secs(20), || {
                Ok((messages()? == 1).then_some(()))
            })
        },
    );
}
