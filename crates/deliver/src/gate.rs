//! A place for each connection: asked for before one is opened, and told how it goes.
//!
//! How many a party takes is learned from its answers (`queue_model::Learned`), and
//! whoever learns it (`dispatch`) must know of every connection that there is, of those
//! that only wait for another message too. So a connection holds its place until the
//! server has closed it: some count us until then.

use envelope::Reply;
use queue_model::Party;

use crate::limits::ROOM_ASKED_MAX;
use crate::{BoxFuture, Ports};

/// Knows how many connections there may be.
pub trait Gate: Send + Sync {
    /// A place for one more, if there is one now.
    fn enter(&self, party: &Party) -> Option<Place>;

    /// Waits until there may be one, for a while.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    fn room<'a>(&'a self, party: &'a Party) -> BoxFuture<'a, ()>;

    /// Messages that go over one connection to this party, at most.
    fn messages_per_connection(&self, party: &Party) -> usize;

    /// Whether messages may go by BDAT to this party, where it offers that.
    fn may_chunk(&self, party: &Party) -> bool;
}

/// One connection's place; free again when it is dropped.
pub struct Place(Box<dyn Hearing>);

impl Place {
    /// A place that is told by `hearing` what is heard over its connection.
    #[must_use]
    pub fn new(hearing: Box<dyn Hearing>) -> Self {
        Self(hearing)
    }

    /// Tells what has happened on the connection that has this place.
    pub fn hear(&mut self, heard: Heard<'_>) -> Blame {
        self.0.hear(heard)
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

/// Is told how a connection goes; dropped when it has ended.
pub trait Hearing: Send + Sync {
    /// What has happened, and whether it is only because we are too many.
    fn hear(&mut self, heard: Heard<'_>) -> Blame;
}

/// What has happened on a connection.
#[derive(Debug, Clone, Copy)]
pub enum Heard<'a> {
    /// The server is ready for a message.
    Ready,
    /// It took one.
    Taken,
    /// It turned the connection away, before it had heard of a message or with 421.
    TurnedAway(&'a Reply),
    /// It refused the connection without a word, or closed it instead of greeting.
    Closed,
    /// It was not reached, or did not answer in time.
    NoAnswer,
    /// It said this about a message or a recipient.
    Said(&'a Reply),
    /// A message went there by BDAT.
    Chunks(Chunks<'a>),
}

/// How it went by BDAT.
#[derive(Debug, Clone, Copy)]
pub enum Chunks<'a> {
    /// Well.
    Taken,
    /// With a temporary failure, which may be about something else.
    Deferred,
    /// The connection broke or grew silent.
    Lost,
    /// The server offers it and does not know it.
    Unknown(&'a Reply),
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Others of ours are open there: this was one too many, and says nothing of the message.
    Us,
    /// Theirs, or nobody's.
    Them,
}

/// A place, if need be that of a connection which only waits, or one that is about to be free.
pub(crate) async fn enter(ports: &Ports, gate: &dyn Gate, party: &Party) -> Option<Place> {
    for _ in 0..ROOM_ASKED_MAX {
        if let Some(place) = gate.enter(party) {
            return Some(place);
        }
        let waits = ports.kept.as_ref().and_then(|kept| kept.take_of(party));
        match waits {
            Some(connection) => Box::pin(connection.quit()).await,
            None => gate.room(party).await,
        }
    }
    gate.enter(party)
}
