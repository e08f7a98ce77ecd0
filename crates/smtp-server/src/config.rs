//! What the wiring decides about a listener's sessions.

use std::sync::Arc;
use std::time::Duration;

use directory::Identity;
use envelope::Domain;
use runtime::tls::ServerTls;
use settings::Network;
use smtp_proto::server::{AuthOffer, Role, WishOffers};

use crate::limits;

/// How a listener uses TLS.
#[derive(Debug, Clone)]
pub enum TlsMode {
    /// Never.
    None,
    /// By STARTTLS.
    StartTls(ServerTls),
    /// From the first byte (RFC 8314).
    Implicit(ServerTls),
}

/// A listener's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the machine is told.
    pub(crate) protocol: Arc<smtp_proto::server::Config>,
    /// Our name, as the domain of the bare postmaster.
    pub(crate) host: Option<Domain>,
    /// How TLS is used.
    pub(crate) tls: TlsMode,
    /// Silence that ends a session.
    pub(crate) idle_timeout: Duration,
    /// Proxies that may say who their client is.
    pub(crate) xclient: Vec<Network>,
    /// The user of this machine that the session is with.
    pub(crate) local_user: Option<String>,
    /// Who has logged in before it began.
    pub(crate) identity: Option<Identity>,
}

/// What users, and machines that the operator has listed, may wish for.
pub(crate) fn all_wishes() -> WishOffers {
    WishOffers {
        hold_seconds_max: Some(limits::HOLD_MAX.as_secs()),
        deliver_by: true,
        priority: true,
        valid_since: true,
    }
}

impl Config {
    /// Everything at its default: on submission DSN, BINARYMIME, wishes, and AUTH behind TLS only.
    #[must_use]
    pub fn new(role: Role, host_name: &str, tls: TlsMode) -> Self {
        let host = Domain::parse(host_name).ok();
        let ascii = host
            .as_ref()
            .map_or_else(|| host_name.to_owned(), Domain::to_ascii);
        let mut protocol = smtp_proto::server::Config::new(role, &ascii);
        protocol.starttls = matches!(tls, TlsMode::StartTls(_));
        if role == Role::Submission {
            protocol.auth = AuthOffer::OverTls;
            // Reports of success go to our own users only: what a stranger
            // gives as its address may be somebody else's.
            protocol.dsn = true;
            protocol.binary_mime = true;
            protocol.burl = true;
            protocol.wishes = all_wishes();
        }
        if role == Role::Mx {
            protocol.wishes.valid_since = true;
            protocol.prdr = true;
            protocol.etrn = true;
        }
        protocol.require_tls = !matches!(tls, TlsMode::None);
        Self {
            protocol: Arc::new(protocol),
            host,
            tls,
            idle_timeout: limits::IDLE_TIMEOUT,
            xclient: Vec::new(),
            local_user: None,
            identity: None,
        }
    }

    /// Logins without TLS are taken: loopback, where the operator says so.
    #[must_use]
    pub fn with_plaintext_login(self) -> Self {
        self.change(|protocol| {
            if protocol.role == Role::Submission {
                protocol.auth = AuthOffer::Always;
            }
        })
    }

    /// The largest message and the most recipients of one.
    #[must_use]
    pub fn with_limits(self, message_bytes_max: u64, recipients_max: usize) -> Self {
        self.change(|protocol| {
            protocol.size_max = message_bytes_max;
            protocol.recipients_max = recipients_max;
        })
    }

    /// Silence that ends a session.
    #[must_use]
    pub fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// Where XCLIENT is believed, but not in LMTP.
    #[must_use]
    pub fn with_xclient(mut self, networks: &[Network]) -> Self {
        if self.role() != Role::Lmtp {
            self.xclient = networks.to_vec();
        }
        self
    }

    /// On-demand mail relay (RFC 2645): logins and ATRN, and no mail.
    #[must_use]
    pub fn for_atrn(self) -> Self {
        self.change(|protocol| {
            protocol.atrn = true;
            protocol.burl = false;
        })
    }

    /// Submission by a program of this machine, over a socket that says which user's.
    #[must_use]
    pub fn for_local_user(mut self, user: &str) -> Self {
        self.local_user = Some(user.to_owned());
        self.change(|protocol| {
            protocol.auth = AuthOffer::Never;
            protocol.auth_required = false;
            protocol.burl = false;
        })
    }

    /// Submission by somebody who has logged in elsewhere.
    #[must_use]
    pub(crate) fn for_account(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self.change(|protocol| {
            protocol.auth = AuthOffer::Never;
            protocol.auth_required = false;
            protocol.burl = false;
        })
    }

    fn change(mut self, change: impl FnOnce(&mut smtp_proto::server::Config)) -> Self {
        change(Arc::make_mut(&mut self.protocol));
        self
    }

    pub(crate) fn role(&self) -> Role {
        self.protocol.role
    }

    /// The word for counters.
    pub(crate) fn protocol(&self) -> &'static str {
        match self.role() {
            Role::Mx => "smtp",
            Role::Submission => "submission",
            Role::Lmtp => "lmtp",
        }
    }
}
