//! VRFY and EXPN: strangers learn nothing (252, 502), users are answered.
//! RFC 5321 §3.5, §7.3; RFC 6531 §3.7.4.2 for letters in the answer.

use directory::{Resolution, Target};
use envelope::{Address, Reply};
use smtp_proto::server::Inquiry;

use crate::limits::EXPAND_MAX;
use crate::session::Session;

impl Session {
    pub(crate) async fn verify(&mut self, inquiry: &Inquiry) {
        let reply = match Box::pin(self.look_up(inquiry)).await {
            Some((address, Resolution::Local(_))) => match shown(&address, inquiry) {
                Some(shown) => Reply::enhanced(250, (2, 1, 5), &shown),
                None => Reply::enhanced(252, (2, 6, 8), "its name can be told by SMTPUTF8 only"),
            },
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

    pub(crate) async fn expand(&mut self, inquiry: &Inquiry) {
        let reply = match Box::pin(self.look_up(inquiry)).await {
            Some((_, Resolution::Local(targets))) => {
                let targets = targets.iter().take(EXPAND_MAX).map(address_of);
                let lines: Option<Vec<String>> =
                    targets.map(|address| shown(address, inquiry)).collect();
                match lines {
                    Some(lines) => Reply {
                        lines,
                        ..Reply::enhanced(250, (2, 1, 5), "")
                    },
                    None => {
                        let text = "its members can be told by SMTPUTF8 only";
                        Reply::enhanced(550, (5, 6, 8), text)
                    }
                }
            }
            Some((_, Resolution::NoSuchUser)) => {
                Reply::enhanced(550, (5, 1, 1), "no such list here")
            }
            _ => Reply::enhanced(502, (5, 5, 1), "EXPN is not available"),
        };
        self.machine.reply(&reply);
    }

    /// Where an address leads, for those who may know.
    async fn look_up(&self, inquiry: &Inquiry) -> Option<(Address, Resolution)> {
        self.client.facts.session.identity.as_ref()?;
        let address = Address::parse(inquiry.argument.trim_matches(['<', '>'])).ok()?;
        let resolution = self.ports.directory.resolve(&address).await.ok()?;
        Some((address, resolution))
    }
}

fn address_of(target: &Target) -> &Address {
    match target {
        Target::Account { address, .. } | Target::Forward(address) => address,
    }
}

/// In letters where the client takes them, else in ASCII; `None` where neither
/// is possible.
fn shown(address: &Address, inquiry: &Inquiry) -> Option<String> {
    if inquiry.smtputf8 {
        return Some(format!("<{address}>"));
    }
    address.to_ascii().map(|ascii| format!("<{ascii}>"))
}
