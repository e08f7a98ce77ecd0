//! Certificates that TLSA records are about: RFC 7671 §5.1, §5.2, RFC 7672 §3.1, §3.2.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, crypto,
};
use tls_policy::{Tlsa, Usage};

use crate::x509::public_key;

/// Checks a server's certificates by records instead of by authorities.
#[derive(Debug)]
pub(crate) struct Dane {
    own: Vec<Tlsa>,
    issuers: Vec<Tlsa>,
    names: Vec<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Dane {
    pub(crate) fn new(records: Vec<Tlsa>, names: &[String], provider: Arc<CryptoProvider>) -> Self {
        let (mut own, mut issuers) = (Vec::new(), Vec::new());
        for record in records {
            match record.usage() {
                Some(Usage::EndEntity) => own.push(record),
                Some(Usage::TrustAnchor) => issuers.push(record),
                None => {}
            }
        }
        let names = names
            .iter()
            .filter_map(|name| ServerName::try_from(name.trim_end_matches('.').to_owned()).ok());
        Self {
            own,
            issuers,
            names: names.collect(),
            provider,
        }
    }

    /// Leads the certificate to an issuer that a record is about, by its names and dates.
    fn by_issuer(
        &self,
        end_entity: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut anchors = RootCertStore::empty();
        for shown in chain {
            if about(&self.issuers, shown) {
                // One that is no certificate is no anchor.
                let _ = anchors.add(shown.clone().into_owned());
            }
        }
        // A whole certificate in the DNS need not be shown (RFC 7671 §5.2.2).
        for record in &self.issuers {
            if (record.selector, record.matching) == (0, 0) {
                let _ = anchors.add(CertificateDer::from(record.data.clone()));
            }
        }
        if anchors.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(anchors.into(), self.provider.clone())
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
        let mut refusal = Error::InvalidCertificate(CertificateError::NotValidForName);
        for name in &self.names {
            match verifier.verify_server_cert(end_entity, chain, name, &[], now) {
                Ok(_) => return Ok(()),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

fn about(records: &[Tlsa], certificate: &[u8]) -> bool {
    if records.is_empty() {
        return false;
    }
    let key = public_key(certificate).unwrap_or_default();
    records
        .iter()
        .any(|record| record.matches(certificate, &key))
}

impl ServerCertVerifier for Dane {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // RFC 7671 §5.1: the record alone says it, whatever names and dates there are.
        if !about(&self.own, end_entity) {
            self.by_issuer(end_entity, intermediates, now)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
