//! The SMTP face: MX (RFC 5321), submission (RFC 6409) and LMTP (RFC 2033).
//!
//! A tour: [`serve`] runs one connection with the [`Ports`] it may use and its
//! listener's [`Config`]. `session` reads, waits and writes; `transaction` turns
//! the events of `smtp_proto`'s machine into questions to `policy`, `directory`
//! and `intake`, and their answers into replies; `submit` is a session in memory, for messages that come in other ways; `inquiry` answers VRFY and
//! EXPN; `burl` takes messages by URL; `ruling` asks the operator's rules about a transaction; `deadline` says how long a client may take.
//!
//! Not here: the protocol (`smtp_proto`), who may send what to whom (`policy`),
//! what becomes of a message (`intake`), limits on connections (the wiring).
//!
//! Invariants: a 250 behind the data is written only after `intake` said that
//! everything is durable; every wait has an end; a refused command leaves the
//! session as it was; nothing said before STARTTLS is remembered behind it.

#![forbid(unsafe_code)]

mod atrn;
mod burl;
mod config;
mod deadline;
mod etrn;
mod inquiry;
pub mod limits;
mod ruling;
mod session;
mod submit;
#[cfg(test)]
mod tests;
mod transaction;

pub use atrn::{Turn, TurnRefusal, Turning};
pub use burl::{UrlOctets, UrlRefusal, Urls};
pub use config::{Config, TlsMode};
pub use etrn::Etrn;
pub use smtp_proto::server::Role;
pub use submit::{Submission, SubmitError, Submitted};

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use directory::{Directory, Logins};
use intake::Intake;
use observe::Metrics;
use policy::Policy;
use runtime::Runtime;
use runtime::net::Conn;

/// What sessions use of the rest of the program.
#[derive(Debug)]
pub struct Ports {
    /// Clock, randomness, the drain.
    pub runtime: Runtime,
    /// Logins.
    pub directory: Directory,
    /// Logins.
    pub logins: Arc<dyn Logins>,
    /// Who may send what to whom.
    pub policy: Arc<Policy>,
    /// Messages.
    pub intake: Intake,
    /// The queue, where ETRN starts it.
    pub etrn: Etrn,
    /// Where ATRN leads; without it there is none.
    pub turn: Option<Arc<dyn Turn>>,
    /// Where BURL's messages are; without it every URL is refused.
    pub urls: Option<Arc<dyn Urls>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A session's place within the limits on connections.
pub trait Seat: std::fmt::Debug + Send + Sync {
    /// The session turns out to be with `client`; false when that address has enough sessions.
    fn move_to(&self, client: IpAddr) -> bool;
}

/// Serves one connection to its end.
///
/// # Cancel safety
/// Dropping the future ends the session; a message that was submitted goes on.
pub async fn serve(mut conn: Conn, seat: Arc<dyn Seat>, ports: Arc<Ports>, config: Arc<Config>) {
    if let TlsMode::Implicit(tls) = &config.tls
        && !conn.is_tls()
    {
        let handshake = Box::pin(conn.start_tls(tls));
        if let Err(error) = in_time(&ports.runtime, handshake).await {
            tracing::debug!(peer = %conn.peer_addr(), %error, "smtp: no TLS");
            return;
        }
    }
    let _counted = ports.metrics.session(config.protocol());
    let session = Box::new(session::Session::new(conn, seat, ports, config));
    session.run().await;
}

/// A handshake must end: who stands still in it is let go.
pub(crate) async fn in_time(
    runtime: &Runtime,
    handshake: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    match runtime.timeout(limits::HANDSHAKE_TIMEOUT, handshake).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
