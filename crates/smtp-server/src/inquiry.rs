//! VRFY and EXPN: strangers learn nothing (252, 502), users are answered.
//! RFC 5321 §3.5, §7.3

use directory::{Resolution, Target};
use envelope::{Address, Reply};

use crate::limits::EXPAND_MAX;
use crate::session::Session;

impl Session {
    pub(crate) async fn verify(&mut self, argument: &str) {
        let reply = match Box::pin(self.look_up(argument)).await {
            Some((address, Resolution::Local(_))) => {
                Reply::enhanced(250, (2, 1, 5), &format!("<{address}>"))
            }
            Some((_, Resolution::NoSuchUser)) => {
                Reply::enhanced(550, (5, 1, 1), "no such user here")
            }
            // RFC 5321 §7.3: neither yes nor no.
            _ => {
                let text = "send some mail, it will be seen whether it arrives";
                Reply::enhanced(252, (2, 5, 2), text)
            }
        };
        self.machine.reply(&reply);
    }

    pub(crate) async fn expand(&mut self, argument: &str) {
        let reply = match Box::pin(self.look_up(argument)).await {
            Some((_, Resolution::Local(targets))) => {
                let mut reply = Reply::enhanced(250, (2, 1, 5), "");
                reply.lines = targets.iter().take(EXPAND_MAX).map(shown).collect();
                reply
            }
            Some((_, Resolution::NoSuchUser)) => {
                Reply::enhanced(550, (5, 1, 1), "no such list here")
            }
            _ => Reply::enhanced(502, (5, 5, 1), "EXPN is not available"),
        };
        self.machine.reply(&reply);
    }

    /// Where an address leads, for those who may know.
    async fn look_up(&self, argument: &str) -> Option<(Address, Resolution)> {
        self.client.facts.session.identity.as_ref()?;
        let address = Address::parse(argument.trim_matches(['<', '>'])).ok()?;
        let resolution = self.ports.directory.resolve(&address).await.ok()?;
        Some((address, resolution))
    }
}

fn shown(target: &Target) -> String {
    match target {
        Target::Account { address, .. } | Target::Forward(address) => format!("<{address}>"),
    }
}
