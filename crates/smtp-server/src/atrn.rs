//! ATRN: "I am here, give me my mail through this connection". RFC 2645.
//!
//! Not here: the mail's way through it (behind [`Turn`]).

use std::fmt;

use bytes::BytesMut;
use envelope::{Domain, Reply};
use policy::primary::BoxFuture;
use runtime::net::Conn;

use crate::limits::ATRN_TIMEOUT;
use crate::session::Session;

/// Why a connection is not turned round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnRefusal {
    /// Nothing waits.
    NoMail,
    /// Another connection fetches the same.
    Busy,
    /// Our own trouble; it is in the log.
    Trouble,
}

/// A connection's way into the queue's hands.
pub trait Turn: fmt::Debug + Send + Sync {
    /// Whether there is something to fetch for these domains.
    fn begin<'a>(
        &'a self,
        domains: &'a [Domain],
    ) -> BoxFuture<'a, Result<Box<dyn Turning>, TurnRefusal>>;
}

/// A connection may be turned round now.
pub trait Turning: Send {
    /// Sends through it what waits. `input` is what its client has said already, `host`
    /// how it is called.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    fn run(self: Box<Self>, conn: Conn, input: BytesMut, host: String) -> BoxFuture<'static, ()>;
}

impl Session {
    /// Answers ATRN; with a yes, what takes the connection.
    pub(crate) async fn atrn(&mut self, named: &[Domain]) -> Option<Box<dyn Turning>> {
        // RFC 2645 §5.2.1: one that the client may not have refuses them all.
        let session = &self.client.facts.session;
        let Some(domains) = self.ports.policy.may_fetch(session, named) else {
            self.machine.reply(&Reply::enhanced(
                450,
                (4, 7, 1),
                "ATRN request refused: not your domain",
            ));
            return None;
        };
        let begun = match &self.ports.turn {
            Some(turn) => {
                let beginning = turn.begin(&domains);
                let begun = self.ports.runtime.timeout(ATRN_TIMEOUT, beginning).await;
                begun.unwrap_or(Err(TurnRefusal::Trouble))
            }
            None => Err(TurnRefusal::Trouble),
        };
        let id = &self.client.facts.session_id;
        match begun {
            Ok(turning) => {
                let names: Vec<&str> = domains.iter().map(Domain::as_str).collect();
                tracing::info!(session = %id, domains = names.join(" "), "ATRN");
                let text = "OK now reversing the connection";
                self.machine.reply(&Reply::enhanced(250, (2, 0, 0), text));
                Some(turning)
            }
            Err(refusal) => {
                let (code, status, text) = match refusal {
                    TurnRefusal::NoMail => (453, (4, 0, 0), "You have no mail"),
                    TurnRefusal::Busy => (450, (4, 2, 1), "another connection has your mail now"),
                    TurnRefusal::Trouble => (451, (4, 3, 0), "Unable to process ATRN request now"),
                };
                self.machine.reply(&Reply::enhanced(code, status, text));
                None
            }
        }
    }
}
