//! The port: where nodes meet.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use thiserror::Error;

/// A future of the port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a node uses of a party, and could use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Whose servers.
    pub party: String,
    /// Connections at once that may be open from all nodes.
    pub limit: u32,
    /// Connections that are open or being opened here.
    pub used: u32,
    /// It could use so many; with none in use and none wanted the share is given back.
    pub wanted: u32,
    /// Messages went there, or wait for their turn: a part of the pace is kept or wanted.
    pub paced: bool,
    /// The party said that this node was too fast: how long all of them rest.
    pub rest: Duration,
}

impl Use {
    /// There is nothing left to share.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.used == 0 && self.wanted == 0 && !self.paced
    }
}

/// What a node may use of a party until the next exchange, or until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Connections; fewer than are in use where others are to have some of them.
    pub connections: u32,
    /// Its part of the pace, in thousandths.
    pub part: u32,
    /// How long the party is given a rest from now on.
    pub rest: Duration,
}

/// What came of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// One for each use, in their order.
    pub shares: Vec<Share>,
    /// Nodes that have been heard of lately, this one among them.
    pub nodes: u32,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BoardError {
    /// It is not reached, or does not do what it is asked.
    #[error("{0}")]
    Away(String),
    /// Two processes call themselves the same.
    #[error("another process has taken the name {0:?} since: each node needs a name of its own")]
    NameTaken(String),
}

/// Where nodes meet. One for a node.
pub trait Board: Send + Sync {
    /// Says what this node uses, and is told what it may use; at most
    /// [`crate::limits::PARTIES_PER_EXCHANGE`] parties, each once. With none, the node only
    /// shows that it is there.
    ///
    /// # Cancel safety
    /// Dropped, it may have been said or not.
    fn exchange<'a>(&'a self, uses: &'a [Use]) -> BoxFuture<'a, Result<Answer, BoardError>>;

    /// This node stops: others may have what it held.
    fn leave(&self) -> BoxFuture<'_, ()>;
}
