//! What the wiring decides about a listener's sessions.

use crate::limits;
use runtime::tls::ServerTls;
use std::time::Duration;

/// How a listener uses TLS.
#[derive(Debug, Clone)]
pub enum TlsMode {
    /// Never: logins need [`Config::plaintext_login`].
    None,
    /// By STLS.
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
    /// Logins without TLS are taken (loopback, where it is allowed).
    pub plaintext_login: bool,
    /// Silence that ends a session after the login. RFC 1939 §3: at least 10 minutes.
    pub idle_timeout: Duration,
    /// RETR marks the message `\Seen`.
    pub retrieve_marks_seen: bool,
    /// The days after which mail that was retrieved goes, with a QUIT (RFC 2449 §6.7); `None`
    /// for never.
    pub expire_days: Option<u32>,
    /// After so much silence a session loses the maildrop to the next login.
    pub take_over_after: Duration,
}

impl Config {
    /// Everything at its default.
    #[must_use]
    pub fn new(host_name: impl Into<String>, tls: TlsMode) -> Self {
        Self {
            host_name: host_name.into(),
            tls,
            plaintext_login: false,
            idle_timeout: limits::IDLE_AFTER_LOGIN,
            retrieve_marks_seen: true,
            expire_days: None,
            take_over_after: limits::TAKE_OVER_AFTER,
        }
    }
}
