//! VRFY and EXPN: strangers learn nothing (252, 502), users are answered.
//! RFC 5321 §3.5, §7.3

use crate::limits::EXPAND_MAX;
use crate::session::Session;
use directory::{Resolution, Target};
use envelope::{Address, Reply};

impl Session {
    pub(crate) async fn verify(&mut self, argument: &str) {
        let reply = match self.look_up(argument).await {
            Some(Resolution::Local(_)) => Reply::enhanced(
                250,
                (2, 1, 5),
                &format!("<{}>", argument.trim_matches(['<', '>'])),
            ),
            Some(Resolution::NoSuchUser) => Reply::enhanced(550, (5, 1, 1), "no such user here"),
            _ => cannot_verify(),
        };
        self.protocol.reply(&reply);
    }

    pub(crate) async fn expand(&mut self, argument: &str) {
        let reply = match self.look_up(argument).await {
            Some(Resolution::Local(targets)) => {
                let mut reply = Reply::enhanced(250, (2, 1, 5), "");
                reply.lines = targets.iter().take(EXPAND_MAX).map(address_of).collect();
                reply
            }
            Some(Resolution::NoSuchUser) => Reply::enhanced(550, (5, 1, 1), "no such list here"),
            _ => Reply::enhanced(502, (5, 5, 1), "EXPN is not available"),
        };
        self.protocol.reply(&reply);
    }

    /// Where an address leads, for those who may know.
    async fn look_up(&self, argument: &str) -> Option<Resolution> {
        self.policy.identity.as_ref()?;
        let address = Address::parse(argument.trim().trim_matches(['<', '>'])).ok()?;
        self.ports.directory.resolve(&address).await.ok()
    }
}

fn address_of(target: &Target) -> String {
    match target {
        Target::Account { address, .. } | Target::Forward(address) => format!("<{address}>"),
    }
}

/// RFC 5321 §7.3: neither yes nor no.
fn cannot_verify() -> Reply {
    Reply::enhanced(
        252,
        (2, 5, 2),
        "send some mail, it will be seen whether it arrives",
    )
}
