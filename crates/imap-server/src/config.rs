//! What the wiring decides about a listener's sessions.

use crate::limits;
use crate::message_limit::MessageLimit;
use runtime::tls::ServerTls;
use std::time::Duration;

/// How a listener uses TLS.
#[derive(Debug, Clone)]
pub enum TlsMode {
    /// Never: logins need [`Config::plaintext_login`].
    None,
    /// By STARTTLS.
    StartTls(ServerTls),
    /// From the first byte.
    Implicit(ServerTls),
}

/// A listener's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name in the greeting.
    pub host_name: String,
    /// How TLS is used.
    pub tls: TlsMode,
    /// Logins without TLS are taken (loopback in a demo).
    pub plaintext_login: bool,
    /// Largest message of APPEND.
    pub append_bytes_max: u64,
    /// How many messages one command works on.
    pub message_limit: Option<MessageLimit>,
    /// The JMAP session of the same mail, if there is one that clients can be told.
    pub jmap_session: Option<String>,
    /// UNAUTHENTICATE is there.
    pub unauthenticate: bool,
    /// Silence that ends a session after login.
    pub idle_timeout: Duration,
    /// How often a long search says how far it is.
    pub progress_interval: Duration,
}

impl Config {
    /// Everything at its default.
    #[must_use]
    pub fn new(host_name: impl Into<String>, tls: TlsMode) -> Self {
        Self {
            host_name: host_name.into(),
            tls,
            plaintext_login: false,
            append_bytes_max: imap_proto::limits::APPEND_BYTES_MAX,
            message_limit: None,
            jmap_session: None,
            unauthenticate: true,
            idle_timeout: limits::IDLE_AFTER_LOGIN,
            progress_interval: limits::PROGRESS_INTERVAL,
        }
    }
}
