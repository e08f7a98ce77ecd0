//! What the wiring decides about a listener's sessions.

use policy::Role;
use runtime::tls::ServerTls;
use smtp_proto::server::{self, AuthOffer};
use std::sync::Arc;

/// How a listener uses TLS.
#[derive(Debug, Clone)]
pub enum TlsMode {
    /// Never.
    None,
    /// By STARTTLS (RFC 3207).
    StartTls(ServerTls),
    /// From the first byte (RFC 8314).
    Implicit(ServerTls),
}

/// A listener's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which door it is.
    pub role: Role,
    /// How TLS is used.
    pub tls: TlsMode,
    /// Our name, in ASCII.
    pub host_name: String,
    pub(crate) protocol: Arc<server::Config>,
}

/// What the listeners of a system share.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// The largest message in octets.
    pub message_bytes: u64,
    /// Recipients of one transaction.
    pub recipients: usize,
}

impl Config {
    /// The settings of a listener. Logins are offered on the doors for users:
    /// behind TLS, or also before it where `plaintext_login` says so.
    #[must_use]
    pub fn new(
        role: Role,
        host_name: &str,
        tls: TlsMode,
        plaintext_login: bool,
        sizes: Sizes,
    ) -> Self {
        let proto_role = match role {
            Role::Mx => server::Role::Mx,
            Role::Submission => server::Role::Submission,
            Role::Lmtp => server::Role::Lmtp,
        };
        let mut protocol = server::Config::new(proto_role, host_name);
        protocol.size_max = sizes.message_bytes;
        protocol.recipients_max = sizes.recipients;
        protocol.starttls = matches!(tls, TlsMode::StartTls(_));
        protocol.auth = match role {
            Role::Submission if plaintext_login => AuthOffer::Always,
            Role::Submission => AuthOffer::OverTls,
            Role::Mx | Role::Lmtp => AuthOffer::Never,
        };
        Self {
            role,
            tls,
            host_name: host_name.to_owned(),
            protocol: Arc::new(protocol),
        }
    }
}
