//! What the dispatcher needs others to do.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use deliver::{Outcome, Report};
use engine::{Batch, CommitNo};
use envelope::{Address, Domain, Envelope, Recipient, Reply};
use queue::{Message, QueueError};
use queue_model::{Party, QueueId};

use crate::detour::DetourStatus;
use crate::limiter::SiteLimits;
use crate::site::Site;

/// A future of a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How mail leaves.
pub trait Transport: Send + Sync {
    /// Hands a message to a site, for the recipients of `envelope`; one outcome for each.
    ///
    /// # Cancel safety
    /// Dropped when the server stops and time is up: the attempt is then made again.
    fn deliver<'a>(
        &'a self,
        site: &'a Site,
        envelope: &'a Envelope,
        message: &'a dyn deliver::Message,
    ) -> BoxFuture<'a, Report>;

    /// Whom mail goes around, because they refuse us.
    fn detours(&self) -> Vec<DetourStatus>;

    /// Whose servers a site has; none where that cannot be said.
    fn party<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, Option<Party>>;
}

/// What is done about the senders of what leaves, and who hears what became of it.
pub trait Senders: Send + Sync {
    /// What a message leaves with in place of this sender; none where it stays.
    fn leaves_as<'a>(&'a self, sender: &'a Address) -> BoxFuture<'a, Option<Address>>;

    /// What a recipient's server has said for good, of a message of this sender.
    fn refused<'a>(
        &'a self,
        sender: &'a Address,
        recipient: &'a Address,
        reply: &'a Reply,
    ) -> BoxFuture<'a, ()>;
}

/// What the operator's rules say about the ways of mail for elsewhere. They may
/// change at any time; each question is answered by those in force.
pub trait Routes: Send + Sync {
    /// How long mail for a domain is tried, in milliseconds, when we are its backup MX.
    fn relay_lifetime_ms(&self, domain: &Domain) -> Option<u64>;

    /// The way of a domain's mail; none where it depends on the message.
    fn way(&self, domain: &Domain) -> Option<Way>;

    /// The way of one message's mail for a domain.
    fn way_of<'a>(&'a self, domain: &'a Domain, message: &'a Message) -> BoxFuture<'a, Way>;

    /// The hosts that the operator has named for a site, in the order in which they are
    /// tried; none where they are found by MX.
    fn routes(&self, site: &Site) -> Vec<deliver::Route>;

    /// The addresses that a transport sends from which is nothing else than that.
    fn sources(&self, _: &str) -> Option<Arc<[IpAddr]>> {
        None
    }

    /// Whether how mail goes to a domain depends on whose its servers are.
    fn depends_on_party(&self) -> bool {
        false
    }

    /// What the operator demands of a party's TLS.
    fn tls(&self, _: &Party) -> Option<deliver::TlsPolicy> {
        None
    }

    /// What takes mail that a party refuses for our reputation.
    fn detour(&self, _: &Party) -> Option<Around> {
        None
    }

    /// What is allowed with a party; `usual` where nothing else is said of it.
    fn limits(&self, _: &Party, usual: SiteLimits) -> SiteLimits {
        usual
    }
}

/// A way around a party that does not like who sends.
#[derive(Debug, Clone)]
pub enum Around {
    /// Over another host.
    By(deliver::Route),
    /// To the party itself, from these addresses of ours.
    From(Arc<[IpAddr]>),
}

impl std::fmt::Display for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::By(route) => f.write_str(&route.host),
            Self::From(sources) => write!(f, "{sources:?}"),
        }
    }
}

/// Which way mail for elsewhere goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// As `outbound` says: the smart host, or the domain's own servers.
    Usual,
    /// The domain's own servers.
    Mx,
    /// To the primary of a domain whose backup MX we are.
    Primary,
    /// To transports of the rules file: the first, where it is not reached the next.
    Transports(Arc<[String]>),
}

/// No rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRoutes;

impl Routes for NoRoutes {
    fn relay_lifetime_ms(&self, _: &Domain) -> Option<u64> {
        None
    }

    fn way(&self, _: &Domain) -> Option<Way> {
        Some(Way::Usual)
    }

    fn way_of<'a>(&'a self, _: &'a Domain, _: &'a Message) -> BoxFuture<'a, Way> {
        Box::pin(std::future::ready(Way::Usual))
    }

    fn routes(&self, _: &Site) -> Vec<deliver::Route> {
        Vec::new()
    }
}

/// How mail enters a mailbox here.
pub trait Local: Send + Sync {
    /// Whether a domain's mail is for here.
    fn is_local<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, bool>;

    /// Delivers to one recipient here. When it goes into a mailbox, `together`
    /// is part of that commit and has been told of it when this returns
    /// [`Outcome::Delivered`]. With any other outcome nothing was committed.
    ///
    /// # Cancel safety
    /// Dropped when the server stops and time is up.
    fn deliver<'a>(
        &'a self,
        copy: LocalCopy<'a>,
        together: &'a mut dyn Together,
    ) -> BoxFuture<'a, Outcome>;

    /// Delivers into the Junk of the account behind a recipient what
    /// [`Local::deliver`] has refused, with the reason, whatever its quota; the
    /// same is true of `together`.
    ///
    /// # Cancel safety
    /// Dropped when the server stops and time is up.
    fn set_aside<'a>(
        &'a self,
        copy: LocalCopy<'a>,
        reason: &'a str,
        together: &'a mut dyn Together,
    ) -> BoxFuture<'a, Outcome>;
}

/// A queued message for one recipient here.
#[derive(Clone, Copy)]
pub struct LocalCopy<'a> {
    /// Its name in the queue.
    pub id: QueueId,
    /// The shard of its queue entry and of its body.
    pub shard: engine::ShardId,
    /// The message.
    pub message: &'a Message,
    /// For whom.
    pub recipient: &'a Recipient,
}

/// What goes into the same commit.
pub trait Together: Send {
    /// Adds it to a batch of the message's shard; again for another batch after a conflict.
    ///
    /// # Errors
    /// The batch lacks a part of it and must not be submitted.
    fn stage(&mut self, batch: &mut Batch) -> Result<(), QueueError>;

    /// The batch it was staged in last was taken. A batch of another shard
    /// cannot hold it: commit the mailbox first, then [`Together::commit`].
    fn submitted(&mut self, commit: CommitNo);

    /// Commits it alone.
    fn commit(&mut self) -> BoxFuture<'_, bool>;
}
