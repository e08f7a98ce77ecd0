//! A Postfix that takes few connections at once and is slow, and what it has seen of us.

use crate::postfix::Postfix;
use crate::posthouse::Posthouse;
use crate::smtp;
use crate::world::{World, wait_for};
use anyhow::{Result, ensure};
use std::time::Duration;

/// The connections that it takes at once from one client.
pub const CONNECTIONS: usize = 5;
/// The zones that it needs: of the sender, and of the destination.
pub const ZONES: [(&str, &str); 2] = [
    ("near.test", "@ MX 10 mx\nmx A 127.0.0.2"),
    ("far.test", "@ MX 10 mx\nmx A 127.0.0.3"),
];
/// A second of sleep for each message; loopback is limited like everybody.
const SETTINGS: &str = "smtpd_client_connection_count_limit = 5\nsmtpd_client_event_limit_exceptions =\n\
    smtpd_data_restrictions = sleep 1\nsmtpd_peername_lookup = no\nsmtpd_tls_security_level = none\n";

/// The destination.
#[derive(Debug)]
pub struct Limited {
    postfix: Postfix,
}

/// What it has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Messages that were taken.
    pub taken: usize,
    /// Connections that were refused because there were too many.
    pub refused: usize,
}

impl Limited {
    /// Starts it as the server of `far.test`, at 127.0.0.3.
    pub fn start(world: &mut World) -> Result<Self> {
        let postfix = Postfix::start_with(world, "127.0.0.3", "far.test", &["bea"], SETTINGS)?;
        Ok(Self { postfix })
    }

    /// What it has seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let log = self.postfix.log();
        Seen {
            taken: log.matches(": client=").count(),
            refused: log.matches("Connection concurrency limit exceeded").count(),
        }
    }

    /// The process that listens.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.postfix.pid()
    }

    /// Hands so many messages for it to our server and waits until the queue is empty;
    /// what it has seen of them.
    pub fn send(&self, ours: &Posthouse, messages: usize) -> Result<Seen> {
        let before = self.seen();
        let mut client = smtp::Client::connect(&ours.addr(25))?;
        client.expect("EHLO client.test", 250)?;
        for n in 0..messages {
            let text = format!("Subject: message {n}\r\n\r\nx\r\n");
            let to = ["bea@far.test"];
            let (code, said) = client.send("ann@near.test", &to, text.as_bytes())?;
            ensure!(code == 250, "{said}");
        }
        let patience = Duration::from_secs(30 + messages as u64);
        wait_for("the queue to be empty", patience, || {
            let left = ours.cli(&["queue", "list", "--json"])?;
            Ok((left.trim() == "[]").then_some(()))
        })?;
        let after = self.seen();
        Ok(Seen {
            taken: after.taken - before.taken,
            refused: after.refused - before.refused,
        })
    }
}

/// Our server, whose clients on this machine may send to anywhere.
pub fn sender(world: &mut World) -> Result<Posthouse> {
    let ours = Posthouse::init(world, "127.0.0.2", "near.test", &["ann"])?;
    ours.set("relay.networks", "[\"127.0.0.0/8\"]")?;
    Ok(ours)
}
