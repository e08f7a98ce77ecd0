//! Small documents of other people's servers, and what is posted to them.
//!
//! * [`Https`] – who asks, and where it may go
//! * [`Wanted`], [`Document`] – GET: what is asked for, how much of it is taken, and what came
//! * [`Posted`], [`Content`], [`Answer`] – POST: what is sent, read as the connection takes it, and
//!   what was answered
//! * [`SigningKey`] – signs what is posted, for receivers that share a secret with us
//!
//! Not here: what the documents mean (`oauth`, `sts`), what is posted (`tls-reports`,
//! `gateway`), and serving any (`admin`).
//!
//! Invariants: no redirects, no cookies, no certificate that is not good for the name;
//! clear text only to this machine, and only for who asks for that; bounded in time, size and addresses.

#![forbid(unsafe_code)]

mod asking;
mod content;
mod limits;
mod signature;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use resolver::Resolver;
use runtime::Runtime;
use runtime::tls::ClientTls;
use thiserror::Error;

pub use content::{BoxFuture, Content};
pub use signature::{Signing, SigningKey, signed_fields};

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

/// What is posted.
#[derive(Debug, Clone, Copy)]
pub struct Posted<'a> {
    /// Where to, `https://…`.
    pub url: &'a str,
    /// What Content-Type says.
    pub media_type: &'a str,
    /// Other fields of the header: names in lower case, values of visible ASCII.
    pub fields: &'a [(&'a str, String)],
    /// Octets that are read of the answer's body; the rest is left.
    pub answer_bytes_max: usize,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// What was answered to a POST, whatever it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, 200 to 599.
    pub status: u16,
    /// How long to wait before another try, if it says so (RFC 9110 §10.2.3); a week at most.
    pub retry_after: Option<Duration>,
    /// As [`Document::media_type`].
    pub media_type: String,
    /// The beginning of its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// It was taken.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first line of its body that says something, if it is text: for people, without
    /// control characters, `chars_max` at most.
    #[must_use]
    pub fn words(&self, chars_max: usize) -> String {
        if self.media_type != "text/plain" {
            return String::new();
        }
        let text = String::from_utf8_lossy(&self.body);
        let mut lines = text.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
        let visible = line.chars().filter(|c| !c.is_control());
        visible.take(chars_max).collect()
    }
}

/// Why there is no document, or no answer.
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
    tls: Option<ClientTls>,
    runtime: Runtime,
    reach: Option<Reach>,
    clear_here: bool,
}

impl std::fmt::Debug for Https {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Https").finish_non_exhaustive()
    }
}

impl Https {
    /// Asks servers whose certificates satisfy `tls`; none where this machine trusts
    /// nobody, and then https fails.
    #[must_use]
    pub fn new(resolver: Resolver, tls: impl Into<Option<ClientTls>>, runtime: Runtime) -> Self {
        Self {
            resolver,
            tls: tls.into(),
            runtime,
            reach: None,
            clear_here: false,
        }
    }

    /// The same that goes to no other address than those that `reach` allows: for
    /// names that strangers choose.
    #[must_use]
    pub fn within(mut self, reach: Reach) -> Self {
        self.reach = Some(reach);
        self
    }

    /// The same that takes `http://` too, for servers on this machine and no other: for
    /// addresses that the operator chooses.
    #[must_use]
    pub fn clear_on_loopback(mut self) -> Self {
        self.clear_here = true;
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
        let asked = Box::pin(self.fetch(wanted));
        match self.runtime.timeout(wanted.timeout, asked).await {
            Ok(got) => got,
            Err(_) => Err(Failure::Other("it takes too long to answer".into())),
        }
    }

    /// Posts something; an answer of any status is one.
    ///
    /// # Errors
    /// There was no answer. The server may have taken it all the same.
    ///
    /// # Cancel safety
    /// May be dropped at any time; the server may have taken it.
    pub async fn post(
        &self,
        posted: &Posted<'_>,
        content: &dyn Content,
    ) -> Result<Answer, Failure> {
        let asked = Box::pin(self.send(posted, content));
        match self.runtime.timeout(posted.timeout, asked).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure::Other("it takes too long to answer".into())),
        }
    }
}
