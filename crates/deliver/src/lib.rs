//! Hands one message to one destination: SMTP to other servers, LMTP.
//!
//! * [`deliver_to_domain`] – to a domain's own servers: MX, addresses, fall-back
//! * [`deliver_to_primary`] – to the primary of a domain that we are a backup of
//! * [`deliver_to_hosts`] – to configured hosts, one after the other: a smart host, a relay domain's host
//! * [`deliver_smtp`], [`deliver_lmtp`] – to one address and port
//! * [`Turned`] – a connection that its client has turned round (ATRN)
//! * [`ask_primary`] – whether a domain's primary knows a recipient
//! * [`preview`] – where an attempt would go, for people who ask why; [`Transcripts`] – what is said there
//! * [`Report`], [`Outcome`] – what became of each recipient
//! * [`Gate`] – port: how many connections there may be
//! * [`Message`], [`Dns`] – ports: the message's octets, names
//!
//! Not here: when to try and how many at once (`dispatch`), what is recorded
//! (`queue`), reports to senders (`report-format`).
//!
//! Invariants: every recipient has one outcome; what is not known to be permanent
//! is temporary; after the end of data was sent nobody else is tried; mail never
//! goes to our own listeners, nor to private addresses that are not allowed, nor in the
//! clear or to an unproved host where the domain has said that it shall not.

#![forbid(unsafe_code)]

mod connection;
mod counted;
mod demands;
mod destination;
mod dns;
mod gate;
mod kept;
mod known;
pub mod limits;
mod message;
mod preview;
mod report;
mod smtp;
mod sources;
mod timeouts;
mod transcript;
mod transport;
mod turned;
mod wishes;

#[cfg(test)]
mod tests;

pub use counted::Counted;
pub use demands::Demand;
pub use destination::{Refusal, may_reach};
pub use dns::Dns;
pub use gate::{Blame, Chunks, Gate, Heard, Hearing, Place};
pub use kept::Kept;
pub use known::{Known, ask_primary};
pub use message::{Message, MessageBytes};
pub use preview::{Hop, preview};
pub use report::{Outcome, Reason, Report};
pub use smtp::{deliver_lmtp, deliver_smtp};
pub use smtp_proto::client::Protocol;
pub use sources::Sources;
pub use timeouts::Timeouts;
pub use transcript::{Said, Speaker, Transcripts};
pub use transport::{
    Patience, deliver_to_domain, deliver_to_hosts, deliver_to_primary, party_of, party_of_route,
};
pub use turned::Turned;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use runtime::Runtime;
use runtime::tls::ClientTls;
use sasl::Credentials;
use settings::Network;
use sts::Sts;
use tls_reports::TlsReports;

/// A future of a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What outgoing delivery needs. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// Clock, randomness, network.
    pub runtime: Runtime,
    /// Names.
    pub dns: Arc<dyn Dns>,
    /// TLS that takes any certificate.
    pub opportunistic: ClientTls,
    /// TLS that checks certificates, for [`TlsPolicy::Verified`] and
    /// [`TlsPolicy::Implicit`]; without it they fail.
    pub verified: Option<ClientTls>,
    /// How many connections there may be; without, any number.
    pub gate: Option<Arc<dyn Gate>>,
    /// Connections that wait for another message; without, each is for one.
    pub kept: Option<Kept>,
    /// The MTA-STS policies of domains; without, nobody has one.
    pub sts: Option<Sts>,
    /// Who counts how TLS goes; without, nobody.
    pub tls_reports: Option<TlsReports>,
    /// Who looks on.
    pub transcripts: Transcripts,
    /// How to go about it.
    pub options: Arc<Options>,
}

impl Ports {
    /// The same, sending from these addresses of ours instead of the usual ones.
    #[must_use]
    pub fn sending_from(&self, addresses: &Arc<[IpAddr]>) -> Self {
        let mut options = Options::clone(&self.options);
        options.sources = Arc::new(options.sources.instead(addresses));
        Self {
            options: Arc::new(options),
            ..self.clone()
        }
    }
}

/// How outgoing delivery goes about it.
#[derive(Debug, Clone)]
pub struct Options {
    /// EHLO's argument, in ASCII.
    pub hello: String,
    /// The port of other servers; 25 but in tests.
    pub port: u16,
    /// The addresses to send from.
    pub sources: Arc<Sources>,
    /// IPv6 is used at all.
    pub use_ipv6: bool,
    /// Private networks that mail may go to (`outbound.allow_networks`).
    pub allow_networks: Vec<Network>,
    /// Our own listeners; an unspecified address means every address of this machine.
    pub own_listeners: Vec<SocketAddr>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

impl Options {
    /// Defaults: port 25, both families, nothing private, RFC 5321's time-outs.
    #[must_use]
    pub fn new(hello: &str) -> Self {
        Self {
            hello: hello.to_owned(),
            port: 25,
            sources: Arc::default(),
            use_ipv6: true,
            allow_networks: Vec::new(),
            own_listeners: Vec::new(),
            timeouts: Timeouts::default(),
        }
    }
}

/// One address and port, and what is demanded of it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The host's name, for TLS and reports.
    pub host: String,
    /// Where it is.
    pub address: SocketAddr,
    /// TLS.
    pub tls: TlsPolicy,
    /// Whom to log in as.
    pub credentials: Option<Credentials>,
    /// Who demands it beside the operator.
    pub demand: Option<Demand>,
    /// What its TLS is counted for; nothing for hosts that the operator named.
    pub counted: Option<Counted>,
    /// Another address of the host, of the other family: tried too where this one keeps
    /// silent for a moment (RFC 8305).
    pub other: Option<SocketAddr>,
}

/// A host that the operator named.
#[derive(Debug, Clone)]
pub struct Route {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// TLS.
    pub tls: TlsPolicy,
    /// Whom to log in as.
    pub credentials: Option<Credentials>,
}

/// What is demanded of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsPolicy {
    /// No TLS.
    Never,
    /// STARTTLS where offered, any certificate; after a failed handshake once more
    /// in the clear.
    Opportunistic,
    /// STARTTLS or nothing, any certificate.
    Required,
    /// STARTTLS or nothing, with a certificate that is good for the host's name.
    Verified,
    /// TLS from the first octet, with a good certificate (RFC 8314 §3.3).
    Implicit,
}
