//! Answers that DNSSEC proves: RFC 4035 §4.3, RFC 7672 §2.
//!
//! The servers that are asked hand signatures on, or they do not: many forwarders of
//! homes and offices drop them, and then nothing is proved, rather than nothing
//! delivered. Which it is shows on the root's own key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use envelope::Domain;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::proto::serialize::txt::ParseError;
use runtime::{Monotonic, Runtime};
use tls_policy::Tlsa;

use crate::answer::{AddressAnswer, MxAnswer, Proved, TemporaryError};
use crate::limits::SIGNATURES_FOR;
use crate::resolver::{Found, Resolver, SetupError, address_answer, ask, asking, mx_answer};

/// Whether signatures are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Dnssec {
    /// Never: nothing is proved.
    Off,
    /// Where the servers hand them on.
    #[default]
    WhereHandedOn,
    /// Always, and these are the trust anchors: DNSKEY records in a file.
    On(PathBuf),
}

/// The servers, asked with signatures.
pub(crate) struct Proving {
    inner: TokioResolver,
    runtime: Runtime,
    /// When it was looked last whether signatures come, and whether they did; none
    /// where the operator says so.
    handed_on: Option<tokio::sync::Mutex<Option<(Monotonic, bool)>>>,
}

impl Proving {
    pub(crate) fn new(
        servers: &[SocketAddr],
        anchors: Option<&PathBuf>,
        runtime: Runtime,
    ) -> Result<Self, SetupError> {
        let trusted = match anchors {
            Some(file) => read(file)?,
            None => TrustAnchors::default(),
        };
        Ok(Self {
            inner: asking(servers, Some(Arc::new(trusted)))?,
            runtime,
            handed_on: anchors.is_none().then(Default::default),
        })
    }

    /// True when the servers hand signatures on.
    async fn works(&self) -> bool {
        let Some(handed_on) = &self.handed_on else {
            return true;
        };
        let mut handed_on = handed_on.lock().await;
        if let Some((at, works)) = *handed_on
            && self.runtime.monotonic().since(at) < SIGNATURES_FOR
        {
            return works;
        }
        let root = ask(&self.inner, ".", RecordType::DNSKEY).await;
        let works = root.is_ok_and(|found| is_secure(&found));
        *handed_on = Some((self.runtime.monotonic(), works));
        works
    }
}

fn read(file: &Path) -> Result<TrustAnchors, SetupError> {
    let failed = |why: String| SetupError::Anchors(file.display().to_string(), why);
    // At the start, as the rest of the configuration.
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    // With no key at all every answer would be a bad one.
    if !text.contains("DNSKEY") {
        return Err(failed("there is none in it".to_owned()));
    }
    text.parse()
        .map_err(|error: ParseError| failed(error.to_string()))
}

impl Resolver {
    async fn with_proof(&self) -> Option<&TokioResolver> {
        let proving = self.proving.as_deref()?;
        proving.works().await.then_some(&proving.inner)
    }

    /// [`Resolver::mx`], and whether that is proved.
    ///
    /// # Errors
    /// Nothing is known now; bad signatures are no answer either.
    ///
    /// # Cancel safety
    /// Dropping the future drops the question.
    pub async fn proved_mx(&self, domain: &Domain) -> Result<Proved<MxAnswer>, TemporaryError> {
        let Some(asking) = self.with_proof().await else {
            return self.mx(domain).await.map(unproved);
        };
        let found = ask(asking, &domain.to_ascii(), RecordType::MX).await?;
        Ok(Proved {
            answer: mx_answer(&found),
            secure: is_secure(&found),
        })
    }

    /// [`Resolver::addresses`], and whether all of them are proved.
    ///
    /// # Errors
    /// As [`Resolver::proved_mx`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the questions.
    pub async fn proved_addresses(
        &self,
        host: &str,
    ) -> Result<Proved<AddressAnswer>, TemporaryError> {
        let Some(asking) = self.with_proof().await else {
            return self.addresses(host).await.map(unproved);
        };
        let (v6, v4) = tokio::join!(
            ask(asking, host, RecordType::AAAA),
            ask(asking, host, RecordType::A)
        );
        let proofs: Vec<bool> = [&v6, &v4]
            .into_iter()
            .filter_map(|found| found.as_ref().ok())
            .filter(|found| matches!(found, Found::Records(_)))
            .map(is_secure)
            .collect();
        let answer = address_answer(v6, v4)?;
        Ok(Proved {
            answer,
            secure: !proofs.is_empty() && proofs.into_iter().all(|proof| proof),
        })
    }

    /// The TLSA records of a host's port (RFC 6698 §3), those that are proved; none
    /// where there are none, and where nothing is proved.
    ///
    /// # Errors
    /// Nothing is known now: that is not the same as none (RFC 7672 §2.1.1).
    ///
    /// # Cancel safety
    /// Dropping the future drops the question.
    pub async fn tlsa(&self, port: u16, host: &str) -> Result<Vec<Tlsa>, TemporaryError> {
        let Some(asking) = self.with_proof().await else {
            return Ok(Vec::new());
        };
        let found = ask(asking, &format!("_{port}._tcp.{host}"), RecordType::TLSA).await?;
        let Found::Records(lookup) = &found else {
            return Ok(Vec::new());
        };
        if !is_secure(&found) {
            return Ok(Vec::new());
        }
        let records = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TLSA(tlsa) => Some(Tlsa {
                    usage: tlsa.cert_usage.into(),
                    selector: tlsa.selector.into(),
                    matching: tlsa.matching.into(),
                    data: tlsa.cert_data.clone(),
                }),
                _ => None,
            });
        Ok(records.take(tls_policy::limits::TLSA_MAX).collect())
    }
}

fn unproved<T>(answer: T) -> Proved<T> {
    Proved {
        answer,
        secure: false,
    }
}

/// Everything on the way to the answer is proved, aliases too.
fn is_secure(found: &Found) -> bool {
    let Found::Records(lookup) = found else {
        return false;
    };
    let is_signature = |kind| kind == RecordType::RRSIG;
    let mut records = lookup
        .answers()
        .iter()
        .filter(|record| !is_signature(record.record_type()))
        .peekable();
    records.peek().is_some() && records.all(|record| record.proof == Proof::Secure)
}
