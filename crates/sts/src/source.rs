//! Where policies come from: RFC 8461 §3.1, §3.3.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use https::{Failure, Https, Wanted};
use resolver::{Resolver, TemporaryError};
use runtime::Runtime;
use runtime::tls::ClientTls;
use tls_policy::limits::POLICY_BYTES_MAX;

use crate::limits::FETCH_TIMEOUT;

/// A future of a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a policy that is announced cannot be had: RFC 8460 §4.3.2.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It could not be fetched.
    Fetch(String),
    /// What was fetched is none.
    Invalid(String),
    /// The certificate of its server is not good.
    Certificate(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fetch(why) | Self::Invalid(why) | Self::Certificate(why) => f.write_str(why),
        }
    }
}

/// Asks for what a domain publishes.
pub trait Source: Send + Sync {
    /// The TXT records of a name.
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Vec<u8>>, TemporaryError>>;

    /// The policy's text, of the host `mta-sts.DOMAIN`.
    fn document<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<u8>, Trouble>>;
}

/// The world outside.
pub struct Internet {
    resolver: Resolver,
    https: Option<Https>,
}

impl Internet {
    /// Asks `resolver`, and servers whose addresses `may` allows; without `verified` no
    /// policy can be had.
    #[must_use]
    pub fn new(
        resolver: Resolver,
        verified: Option<ClientTls>,
        runtime: Runtime,
        may: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        let https =
            verified.map(|tls| Https::new(resolver.clone(), tls, runtime).within(Arc::new(may)));
        Self { resolver, https }
    }
}

impl Source for Internet {
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Vec<u8>>, TemporaryError>> {
        Box::pin(self.resolver.texts(name))
    }

    fn document<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<u8>, Trouble>> {
        Box::pin(async move {
            let Some(https) = &self.https else {
                let why = "this machine trusts no certificate authorities";
                return Err(Trouble::Fetch(why.to_owned()));
            };
            let url = format!("https://{host}/.well-known/mta-sts.txt");
            let wanted = Wanted {
                url: &url,
                media_type: "text/plain",
                bytes_max: POLICY_BYTES_MAX,
                timeout: FETCH_TIMEOUT,
            };
            match https.get(&wanted).await {
                // RFC 8461 §3.2: it is text/plain, so that nobody's uploads make one.
                Ok(document) if document.media_type != "text/plain" => {
                    let kind = document.media_type;
                    Err(Trouble::Fetch(format!("{url} is {kind:?}, not text/plain")))
                }
                Ok(document) => Ok(document.body),
                Err(Failure::Certificate(why)) => {
                    Err(Trouble::Certificate(format!("{url}: {why}")))
                }
                Err(failure) => Err(Trouble::Fetch(format!("{url}: {failure}"))),
            }
        })
    }
}
