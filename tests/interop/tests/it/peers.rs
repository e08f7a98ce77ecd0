//! The peers themselves work in the world that the other tests rely on.

use interop::postfix::Postfix;
use interop::world::{Needs, run};
use interop::{dns, smtp};

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
