//! Small documents of other people's servers: one GET over HTTPS.
//!
//! * [`Https`] – who asks, and where it may go
//! * [`Wanted`] – what is asked for, and how much of it is taken
//!
//! Not here: what the documents mean (`oauth`, `sts`), and serving any (`admin`).
//!
//! Invariants: no redirects, no cookies, no clear text, no certificate that is not
//! good for the name; bounded in time, size and addresses.

#![forbid(unsafe_code)]

mod limits;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use resolver::{AddressAnswer, Resolver};
use runtime::Runtime;
use runtime::net::Conn;
use runtime::tls::ClientTls;
use thiserror::Error;

use crate::limits::{ADDRESSES_MAX, CONNECT_TIMEOUT};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its address, `https://…`.
    pub url: &'a str,
    /// Its kind: what Accept says.
    pub media_type: &'a str,
    /// Octets that are taken of it; more is a failure.
    pub bytes_max: usize,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// What was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What Content-Type says, in lower case and without parameters; empty without.
    pub media_type: String,
    /// Its octets.
    pub body: Vec<u8>,
}

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// Nobody was reached, or nothing was understood of what came back.
    #[error("{0}")]
    Other(String),
    /// The server's certificate is not good for its name.
    #[error("its certificate is not good: {0}")]
    Certificate(String),
}

/// Where requests may go.
pub type Reach = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Who asks. Cheap to clone.
#[derive(Clone)]
pub struct Https {
    resolver: Resolver,
    tls: ClientTls,
    runtime: Runtime,
    reach: Option<Reach>,
}

impl std::fmt::Debug for Https {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Https").finish_non_exhaustive()
    }
}

impl Https {
    /// Asks servers whose certificates satisfy `tls`.
    #[must_use]
    pub fn new(resolver: Resolver, tls: ClientTls, runtime: Runtime) -> Self {
        Self {
            resolver,
            tls,
            runtime,
            reach: None,
        }
    }

    /// The same that goes to no other address than those that `reach` allows: for
    /// names that strangers choose.
    #[must_use]
    pub fn within(mut self, reach: Reach) -> Self {
        self.reach = Some(reach);
        self
    }

    /// Fetches one document.
    ///
    /// # Errors
    /// Anything but the document with a status of 200.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn get(&self, wanted: &Wanted<'_>) -> Result<Document, Failure> {
        let asked = Box::pin(self.request(wanted));
        match self.runtime.timeout(wanted.timeout, asked).await {
            Ok(got) => got,
            Err(_) => Err(other("it takes too long to answer")),
        }
    }

    async fn request(&self, wanted: &Wanted<'_>) -> Result<Document, Failure> {
        let uri: Uri = wanted.url.parse().map_err(|_| other("it is no address"))?;
        if uri.scheme_str() != Some("https") {
            return Err(other("it is not https"));
        }
        let host = uri.host().ok_or_else(|| other("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut conn = self.connect(host, uri.port_u16().unwrap_or(443)).await?;
        let shaken = Box::pin(conn.connect_tls(&self.tls, host)).await;
        shaken.map_err(|error| match runtime::tls::certificate_fault(&error) {
            Some(fault) => Failure::Certificate(fault.to_string()),
            None => other(error),
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(conn))
            .await
            .map_err(other)?;
        // Aborted when this is over, one way or the other.
        let _talking = self.runtime.spawn("https", connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        let request = Request::get(path)
            .header(HOST, authority)
            .header(ACCEPT, wanted.media_type)
            .header(USER_AGENT, "posthouse")
            .body(Empty::<Bytes>::new())
            .map_err(other)?;
        let response = sender.send_request(request).await.map_err(other)?;
        if response.status() != StatusCode::OK {
            return Err(other(format!("it answers {}", response.status())));
        }
        let media_type = response.headers().get(CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next());
        let media_type = media_type.unwrap_or_default().trim().to_ascii_lowercase();
        let body = Limited::new(response.into_body(), wanted.bytes_max).collect();
        let body = body.await.map_err(other)?.to_bytes().to_vec();
        Ok(Document { media_type, body })
    }

    async fn connect(&self, host: &str, port: u16) -> Result<Conn, Failure> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => match self.resolver.addresses(host).await {
                Ok(AddressAnswer::Addresses(addresses)) => addresses,
                Ok(_) => return Err(other(format!("{host} has no address"))),
                Err(error) => return Err(other(error)),
            },
        };
        let mut last = format!("{host} has no address");
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            if self.reach.as_ref().is_some_and(|may| !may(address)) {
                last = format!("{host} is at {address}, where nothing is asked for");
                continue;
            }
            let address = SocketAddr::new(address, port);
            match runtime::net::connect(address, None, CONNECT_TIMEOUT).await {
                Ok(conn) => return Ok(conn),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(other(last))
    }
}

fn other(why: impl std::fmt::Display) -> Failure {
    Failure::Other(why.to_string())
}
