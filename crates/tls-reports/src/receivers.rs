//! Who wants reports, and how they get them: RFC 8460 §3, §5.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use https::{Https, Posted};
use resolver::{Resolver, TemporaryError};
use runtime::Runtime;
use runtime::tls::ClientTls;

use crate::limits::{ANSWER_BYTES_MAX, POST_TIMEOUT, REASON_CHARS_MAX};

/// A future of a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A report as it travels.
#[derive(Debug, Clone)]
pub struct Packed {
    /// JSON, compressed.
    pub octets: Bytes,
    /// What the file is called (§5.1).
    pub file_name: String,
}

/// Those who may want reports.
pub trait Receivers: Send + Sync {
    /// The TXT records of a name.
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Vec<u8>>, TemporaryError>>;

    /// Posts a report; why it was not taken, if it was not.
    ///
    /// # Cancel safety
    /// May be dropped at any time; it may have been taken.
    fn post<'a>(&'a self, url: &'a str, report: &'a Packed) -> BoxFuture<'a, Result<(), String>>;
}

/// The world outside.
pub struct Internet {
    resolver: Resolver,
    https: Https,
}

impl Internet {
    /// Asks `resolver`, and posts to servers whose addresses `may` allows; without `verified`
    /// nobody takes anything.
    #[must_use]
    pub fn new(
        resolver: Resolver,
        verified: Option<ClientTls>,
        runtime: Runtime,
        may: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        let https = Https::new(resolver.clone(), verified, runtime).within(Arc::new(may));
        Self { resolver, https }
    }
}

impl Receivers for Internet {
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Vec<u8>>, TemporaryError>> {
        Box::pin(self.resolver.texts(name))
    }

    fn post<'a>(&'a self, url: &'a str, report: &'a Packed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let name = format!("attachment; filename=\"{}\"", report.file_name);
            let posted = Posted {
                url,
                // RFC 8460 §5.4, §6.5
                media_type: "application/tlsrpt+gzip",
                fields: &[("content-disposition", name)],
                answer_bytes_max: ANSWER_BYTES_MAX,
                timeout: POST_TIMEOUT,
            };
            match self.https.post(&posted, &report.octets).await {
                Ok(answer) if answer.is_success() => Ok(()),
                Ok(answer) => {
                    let words = answer.words(REASON_CHARS_MAX);
                    Err(format!("it answers {} {words}", answer.status)
                        .trim()
                        .to_owned())
                }
                Err(failure) => Err(failure.to_string()),
            }
        })
    }
}
