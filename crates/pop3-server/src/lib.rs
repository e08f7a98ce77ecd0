//! The POP3 face: the inbox of an account as a maildrop (RFC 1939).
//!
//! A tour: [`serve`] runs one connection with the [`Ports`] it may use and its
//! listener's [`Config`]. `session` reads, waits, writes and answers the events
//! of `pop3_proto`; `ahead` reads messages together; `maildrops` holds which
//! accounts have a session.
//!
//! The maildrop is what the inbox holds at the login, without the entries that
//! are marked `\Deleted` in IMAP. A message that another session expunges
//! meanwhile keeps its number and cannot be fetched any more. A unique id is the
//! inbox's UIDVALIDITY and the entry's UID: the same in every session, never
//! given again.
//!
//! Invariants: nothing is removed but by QUIT; the lock keeps out other POP3
//! sessions of the account only, never IMAP or deliveries, and a session that lost it does nothing more; a message streams in
//! pieces, whatever its size, short ones in one; a second after a command a session holds no buffers.

#![forbid(unsafe_code)]

mod ahead;
mod config;
pub mod limits;
mod maildrops;
mod session;

pub use config::{Config, TlsMode};
pub use maildrops::Maildrops;

use directory::Logins;
use mailstore::Mailstore;
use observe::Metrics;
use runtime::Runtime;
use runtime::net::Conn;
use std::sync::Arc;

/// What sessions use of the rest of the program.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Inboxes.
    pub mailstore: Mailstore,
    /// Logins.
    pub logins: Arc<dyn Logins>,
    /// Clock and shutdown.
    pub runtime: Runtime,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Which accounts have a session; one for all listeners.
    pub maildrops: Maildrops,
}

/// Serves one connection to its end.
///
/// # Cancel safety
/// Dropping the future ends the session without removing anything.
pub async fn serve(mut conn: Conn, ports: Arc<Ports>, config: Arc<Config>) {
    conn.set_write_timeout(limits::WRITE_TIMEOUT);
    if let TlsMode::Implicit(tls) = &config.tls
        && !conn.is_tls()
        && let Err(error) = Box::pin(conn.start_tls(tls)).await
    {
        tracing::debug!(peer = %conn.peer_addr(), %error, "pop3: no TLS");
        return;
    }
    let mut session = Box::new(session::Session::new(conn, ports, config));
    session.run().await;
}

#[cfg(test)]
mod tests;
