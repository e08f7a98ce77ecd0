//! The issuer's documents over HTTPS: its description
//! (OpenID Connect Discovery 1.0 §4) and the keys that this points to.
//!
//! No redirects, no cookies, no clear text; bounded in time and size.

use crate::keeper::Source;
use crate::limits::{ADDRESSES_MAX, CONNECT_TIMEOUT, DOCUMENT_BYTES_MAX, FETCH_TIMEOUT};
use bytes::Bytes;
use directory::BoxFuture;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use resolver::{AddressAnswer, Resolver};
use runtime::Runtime;
use runtime::net::Conn;
use runtime::tls::ClientTls;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// The keys of an issuer, found through its description.
#[derive(Debug)]
pub(crate) struct Discovery {
    pub(crate) issuer: String,
    pub(crate) configuration: String,
    pub(crate) https: Https,
}

/// Who asks.
pub(crate) struct Https {
    pub(crate) resolver: Resolver,
    pub(crate) tls: ClientTls,
    pub(crate) runtime: Runtime,
}

impl std::fmt::Debug for Https {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Https").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl Source for Discovery {
    fn load(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async {
            let load = Box::pin(self.load_both());
            match self.https.runtime.timeout(FETCH_TIMEOUT, load).await {
                Ok(loaded) => loaded,
                Err(_) => Err(format!("{} takes too long to answer", self.issuer)),
            }
        })
    }
}

impl Discovery {
    async fn load_both(&self) -> Result<Vec<u8>, String> {
        let description = self.https.get(&self.configuration).await?;
        let description: Description = serde_json::from_slice(&description).map_err(|error| {
            format!(
                "{} does not describe an issuer: {error}",
                self.configuration
            )
        })?;
        // OpenID Connect Discovery 1.0 §4.3 (MUST)
        if description.issuer != self.issuer {
            return Err(format!(
                "{} is about {:?}",
                self.configuration, description.issuer
            ));
        }
        self.https.get(&description.jwks_uri).await
    }
}

impl Https {
    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        self.request(url)
            .await
            .map_err(|reason| format!("{url}: {reason}"))
    }

    async fn request(&self, url: &str) -> Result<Vec<u8>, String> {
        let uri: Uri = url.parse().map_err(|_| "it is no address".to_owned())?;
        if uri.scheme_str() != Some("https") {
            return Err("it is not https".to_owned());
        }
        let host = uri.host().ok_or("it names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut conn = self.connect(host, uri.port_u16().unwrap_or(443)).await?;
        let shaken = Box::pin(conn.connect_tls(&self.tls, host)).await;
        shaken.map_err(|error| error.to_string())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(conn))
            .await
            .map_err(|error| error.to_string())?;
        // Aborted when this is over, one way or the other.
        let _talking = self.runtime.spawn("oauth https", connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        let request = Request::get(path)
            .header(HOST, authority)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, "posthouse")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answers {}", response.status()));
        }
        let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect();
        let body = body.await.map_err(|error| error.to_string())?;
        Ok(body.to_bytes().to_vec())
    }

    async fn connect(&self, host: &str, port: u16) -> Result<Conn, String> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => match self.resolver.addresses(host).await {
                Ok(AddressAnswer::Addresses(addresses)) => addresses,
                Ok(_) => return Err(format!("{host} has no address")),
                Err(error) => return Err(error.to_string()),
            },
        };
        let mut last = format!("{host} has no address");
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            let address = SocketAddr::new(address, port);
            match runtime::net::connect(address, None, CONNECT_TIMEOUT).await {
                Ok(conn) => return Ok(conn),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(last)
    }
}
