//! The IMAP face: sessions of IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051).
//!
//! A tour: [`serve`] runs one connection with the [`Ports`] it may use and its
//! listener's [`Config`]. `session` reads, waits and writes; `commands` has one
//! file per command; `selected` is the mailbox as the client knows it;
//! `fetch` writes data items; `orders` remembers what was sorted; `search` evaluates keys; `list` knows names and
//! their attributes; `events` runs scripts behind what was done; `access` decides whose a mailbox is and what may be done with it; `urls` finds what a URL names, for submission too. The grammar is `imap_proto`'s, the mail `mailstore`'s.
//!
//! | state | entered by | commands |
//! |---|---|---|
//! | not authenticated | greeting | CAPABILITY NOOP LOGOUT ID, STARTTLS, LOGIN, AUTHENTICATE |
//! | authenticated | login, CLOSE, UNSELECT | and ENABLE, SELECT, …, APPEND, IDLE |
//! | selected | SELECT, EXAMINE | and FETCH, STORE, SEARCH, … |
//! | logout | LOGOUT, BYE, errors | none |
//!
//! Invariants: the client's sequence numbers change only by what it was told;
//! output is gathered to 64 KiB at most, whatever is asked for; an email that
//! cannot be read never keeps the others from being served.

#![forbid(unsafe_code)]

mod access;
mod capability;
mod commands;
mod config;
mod context;
mod events;
mod fetch;
pub mod limits;
mod list;
mod message_limit;
mod notify;
mod orders;
mod reply;
mod search;
mod selected;
mod session;
mod sessions;
#[cfg(test)]
mod tests;
mod urls;
mod wire;

pub use config::{Config, TlsMode};
pub use events::{EventTold, Events, Outgoing, Redirected, Redirecting};
pub use message_limit::MessageLimit;
pub use orders::Orders;
pub use sessions::Sessions;
pub use urls::{UrlBody, UrlError, UrlReader, Urls};

use ::search::Search;
use blobs::Blobs;
use directory::Logins;
use imap_proto::response::{self, Status};
use mailstore::Mailstore;
use observe::Metrics;
use runtime::Runtime;
use runtime::net::Conn;
use std::sync::Arc;

/// What sessions use of the rest of the program.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Mailboxes and mail.
    pub mailstore: Mailstore,
    /// Bodies of messages that APPEND brings.
    pub blobs: Arc<Blobs>,
    /// The index of texts.
    pub search: Search,
    /// Logins.
    pub logins: Arc<dyn Logins>,
    /// Clock and tasks.
    pub runtime: Runtime,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Limits on sessions; one for all listeners.
    pub sessions: Sessions,
    /// What was sorted and threaded; one for all listeners.
    pub orders: Orders,
    /// Scripts that run behind what clients do; one for all listeners.
    pub events: Events,
}

/// Serves one connection to its end.
///
/// # Cancel safety
/// Dropping the future ends the session; what was submitted to the store goes on.
pub async fn serve(conn: Conn, ports: Arc<Ports>, config: Arc<Config>) {
    // What the beginning takes is not held while the session waits.
    if let Some(mut session) = Box::pin(begin(conn, ports, config)).await {
        // What there was to say has been said.
        let _ = session.run().await;
        tracing::debug!(session = session.id, "imap: session ends");
        let _ = Box::pin(session.conn.shutdown()).await;
    }
}

async fn begin(
    mut conn: Conn,
    ports: Arc<Ports>,
    config: Arc<Config>,
) -> Option<Box<session::Session>> {
    if let TlsMode::Implicit(tls) = &config.tls
        && !conn.is_tls()
        && let Err(error) = conn.start_tls(tls).await
    {
        tracing::debug!(peer = %conn.peer_addr(), %error, "imap: no TLS");
        return None;
    }
    match ports.sessions.enter_address(conn.peer_addr().ip()) {
        Ok(slot) => {
            let session = Box::new(session::Session::new(conn, ports, config, slot));
            tracing::debug!(session = session.id, peer = %session.conn.peer_addr(), "imap: session begins");
            Some(session)
        }
        Err(max) => {
            refuse(conn, max).await;
            None
        }
    }
}

async fn refuse(mut conn: Conn, max: usize) {
    let mut out = Vec::new();
    let text = format!("there are {max} sessions from your address already, the most allowed");
    response::untagged_status(&mut out, Status::Bye, Some(&response::Code::LIMIT), &text);
    // The client is refused either way.
    let _ = conn.write_all(&out).await;
    let _ = conn.shutdown().await;
}
