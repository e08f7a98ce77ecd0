//! The sender with which a message leaves that an address of ours sends on elsewhere.
//!
//! A foreign sender's domain has not allowed us to send for it (SPF), so it is rewritten
//! into an address of ours from which notifications find their way back (SRS). Our own
//! users' senders and the null sender stay as they are.

use bounces::Maker;
use envelope::{Address, Domain, Reply, ReversePath};

use crate::reply;
use crate::store::Inner;

/// What is known about the sender of one message.
#[derive(Debug)]
pub(crate) struct Senders {
    /// The foreign sender, and who rewrites it.
    foreign: Option<(Address, Maker)>,
    /// The domain of ours that the message was for.
    home: Option<Domain>,
}

impl Senders {
    /// Every sender stays.
    pub(crate) fn kept() -> Self {
        Self {
            foreign: None,
            home: None,
        }
    }

    /// The sender of what goes on through an address of this domain; none if it stays.
    pub(crate) fn through(&self, domain: &Domain) -> Option<Address> {
        let (sender, maker) = self.foreign.as_ref()?;
        match maker.for_forward(sender, domain) {
            Ok(rewritten) => Some(rewritten),
            Err(why) => {
                tracing::info!(%sender, %domain, %why, "a forward leaves with its own sender");
                None
            }
        }
    }
}

impl Senders {
    /// For a message that was for this domain of ours.
    pub(crate) fn at_home(self, home: Option<Domain>) -> Self {
        Self { home, ..self }
    }

    /// The sender of what a rule sends elsewhere: another recipient, a copy.
    pub(crate) fn by_rule(&self) -> Option<Address> {
        self.through(self.home.as_ref()?)
    }
}

impl Inner {
    /// How senders of forwards are rewritten, for a message that has some.
    ///
    /// # Errors
    /// It is not known whether the sender is ours.
    pub(crate) async fn senders(&self, reverse_path: &ReversePath) -> Result<Senders, Reply> {
        let ReversePath::Address(sender) = reverse_path else {
            return Ok(Senders::kept());
        };
        if !self.options.rewrite_forwards {
            return Ok(Senders::kept());
        }
        match self.ports.directory.is_local_domain(sender.domain()).await {
            Ok(true) => Ok(Senders::kept()),
            Ok(false) => {
                let maker = self.ports.returns.maker().await;
                let foreign = maker.map(|maker| (sender.clone(), maker));
                Ok(Senders {
                    foreign,
                    home: None,
                })
            }
            Err(error) => {
                tracing::error!(%error, %sender, "it is not known whether a sender is ours");
                Err(reply::local_trouble())
            }
        }
    }
}
