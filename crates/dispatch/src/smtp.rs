//! The transport over `deliver`: a domain's servers, or the smart host.

use deliver::{Report, Route, TlsPolicy};
use envelope::Envelope;
use sasl::Credentials;
use smtp_proto::client::Protocol;

use crate::ports::{BoxFuture, Transport};
use crate::sites::Site;

/// The relay that takes all mail for elsewhere.
#[derive(Clone)]
pub struct SmartHost {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What is demanded of TLS.
    pub tls: TlsPolicy,
    /// Whom to log in as.
    pub credentials: Option<Credentials>,
}

impl SmartHost {
    /// With the TLS that suits the port and the login: implicit on 465
    /// (RFC 8314 §3.3); a password goes only to a host with a good certificate,
    /// or to this machine; else what is offered.
    #[must_use]
    pub fn new(host: &str, port: u16, credentials: Option<Credentials>) -> Self {
        let ip: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let here = ip.is_some_and(|ip| ip.is_loopback()) || host == "localhost";
        let tls = match (port, &credentials) {
            (465, _) => TlsPolicy::Implicit,
            (_, Some(_)) if !here => TlsPolicy::Verified,
            _ => TlsPolicy::Opportunistic,
        };
        Self {
            host: host.to_owned(),
            port,
            tls,
            credentials,
        }
    }
}

/// Mail leaves by SMTP.
pub struct SmtpTransport {
    /// What `deliver` needs.
    pub ports: deliver::Ports,
    /// Where [`Site::SmartHost`] is.
    pub smart_host: Option<SmartHost>,
}

impl Transport for SmtpTransport {
    fn deliver<'a>(
        &'a self,
        site: &'a Site,
        envelope: &'a Envelope,
        message: &'a dyn deliver::Message,
    ) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            match (site, &self.smart_host) {
                (Site::Domain(domain), _) => {
                    deliver::deliver_to_domain(&self.ports, domain, envelope, message).await
                }
                (Site::SmartHost, Some(relay)) => {
                    let route = Route {
                        host: relay.host.clone(),
                        port: relay.port,
                        protocol: Protocol::Smtp,
                        tls: relay.tls,
                        credentials: relay.credentials.clone(),
                    };
                    deliver::deliver_to_host(&self.ports, &route, envelope, message).await
                }
                (Site::Local | Site::SmartHost, _) => no_way(envelope),
            }
        })
    }
}

/// The dispatcher was told of a site that the transport was not: mail waits.
fn no_way(envelope: &Envelope) -> Report {
    let outcome = deliver::Outcome::temporary((4, 3, 5), "no way to send this is configured");
    Report {
        outcomes: vec![outcome; envelope.recipients.len()],
        host: None,
        address: None,
        tls: false,
        tls_failed: false,
    }
}
