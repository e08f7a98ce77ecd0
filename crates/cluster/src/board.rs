//! The port: where nodes meet.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use thiserror::Error;

/// A future of the port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a node keeps of a party, and could use.
///
/// What is kept is a promise: until the node hears the answer it uses no more than that,
/// however long it takes, and also if there is none. So others may have the rest at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Whose servers.
    pub party: String,
    /// Connections at once that may be open from all nodes.
    pub limit: u32,
    /// Connections that it keeps: all that are in use, and no more than it has.
    pub keeps: u32,
    /// It could use so many.
    pub wanted: u32,
    /// Messages went there, or wait for their turn: a part of the pace is wanted.
    pub paced: bool,
    /// The part of the pace that it keeps, in thousandths.
    pub keeps_part: u32,
    /// The party has refused one connection more than are in use.
    pub refused: bool,
    /// The party said that this node was too fast: how long all of them rest.
    pub rest: Duration,
}

impl Use {
    /// There is nothing left to share.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.keeps == 0 && self.wanted == 0 && self.keeps_part == 0 && !self.paced
    }
}

/// What a node may use of a party until the next exchange, or until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Connections; fewer than are in use where others are to have some of them.
    pub connections: u32,
    /// Its part of the pace, in thousandths.
    pub part: u32,
    /// Connections that other nodes have.
    pub others: u32,
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
    #[error("another process has the name {0:?}: each node needs a name of its own")]
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

    /// This node stops, and has nothing in use: others may have what it held.
    fn leave(&self) -> BoxFuture<'_, ()>;
}
