//! What certificates say: the hash that logins are bound to
//! (`tls-server-end-point`, RFC 5929 §4.1), their public key, and whose mail addresses they name.

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_parser::asn1_rs::Oid;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer as _;
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// The certificate's hash under the hash function of its own signature, where
/// MD5 and SHA-1 count as SHA-256; none where the signature has no single one
/// (Ed25519): the RFC leaves these undefined, and clients disagree.
#[must_use]
pub fn end_point_hash(der: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let algorithm = &certificate.signature_algorithm;
    let parsed = SignatureAlgorithm::try_from(algorithm).ok()?;
    let hash = match &parsed {
        SignatureAlgorithm::RSASSA_PSS(parameters) => parameters.hash_algorithm_oid().clone(),
        _ => algorithm.algorithm.clone(),
    };
    hashed(der, &hash)
}

fn hashed(der: &[u8], named: &Oid<'_>) -> Option<Vec<u8>> {
    let is = |any: &[&Oid<'_>]| any.contains(&named);
    if is(&[
        &oid::OID_PKCS1_MD5WITHRSAENC,
        &oid::OID_PKCS1_SHA1WITHRSA,
        &oid::OID_HASH_SHA1,
        &oid::OID_PKCS1_SHA256WITHRSA,
        &oid::OID_SIG_ECDSA_WITH_SHA256,
        &oid::OID_NIST_HASH_SHA256,
    ]) {
        Some(Sha256::digest(der).to_vec())
    } else if is(&[
        &oid::OID_PKCS1_SHA384WITHRSA,
        &oid::OID_SIG_ECDSA_WITH_SHA384,
        &oid::OID_NIST_HASH_SHA384,
    ]) {
        Some(Sha384::digest(der).to_vec())
    } else if is(&[
        &oid::OID_PKCS1_SHA512WITHRSA,
        &oid::OID_SIG_ECDSA_WITH_SHA512,
        &oid::OID_NIST_HASH_SHA512,
    ]) {
        Some(Sha512::digest(der).to_vec())
    } else {
        None
    }
}

/// The DER of a certificate's SubjectPublicKeyInfo.
pub(crate) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

/// The mail addresses that a certificate names (RFC 5280 §4.2.1.6, rfc822Name), in
/// order; whether it is good is the handshake's to say.
pub(crate) fn mail_names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::RFC822Name(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}
