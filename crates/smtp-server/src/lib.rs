//! The SMTP face: mail from strangers (RFC 5321), from users (RFC 6409), and
//! from trusted servers by LMTP (RFC 2033).
//!
//! A tour: [`serve`] runs one connection with the [`Ports`] it may use and its
//! listener's [`Config`]. `session` reads, waits and writes around the machine
//! of `smtp_proto`; `transaction` answers MAIL, RCPT and the message; `inquiry`
//! answers VRFY and EXPN.
//!
//! Not here: the protocol's rules (`smtp-proto`), who may send what to whom
//! (`policy`), what becomes of a message (`intake`).
//!
//! Invariants: a 250 for a message leaves only after the intake's commit is
//! durable; the message streams through, whatever its size; every wait has a
//! deadline; between commands a session holds no buffers.

#![forbid(unsafe_code)]

mod config;
mod inquiry;
pub mod limits;
mod session;
mod transaction;

pub use config::{Config, Sizes, TlsMode};

use directory::Directory;
use intake::Intake;
use observe::Metrics;
use policy::Policy;
use runtime::Runtime;
use runtime::net::Conn;
use std::sync::Arc;

/// What sessions use of the rest of the program.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Where messages go.
    pub intake: Intake,
    /// Who may send what to whom.
    pub policy: Arc<Policy>,
    /// Logins.
    pub directory: Directory,
    /// Clock and shutdown.
    pub runtime: Runtime,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Serves one connection to its end.
///
/// # Cancel safety
/// Dropping the future ends the session; a message whose commit was submitted
/// is delivered all the same.
pub async fn serve(mut conn: Conn, ports: Arc<Ports>, config: Arc<Config>) {
    conn.set_write_timeout(limits::WRITE_TIMEOUT);
    if let TlsMode::Implicit(tls) = &config.tls
        && !conn.is_tls()
        && let Err(error) = Box::pin(conn.start_tls(tls)).await
    {
        tracing::debug!(peer = %conn.peer_addr(), %error, "smtp: no TLS");
        return;
    }
    let mut session = Box::new(session::Session::new(conn, ports, config));
    session.run().await;
}

#[cfg(test)]
mod tests;
