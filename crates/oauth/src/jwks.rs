//! The issuer's keys: a JWK Set (RFC 7517 §5), and the check of a signature.
//!
//! Keys that we can do nothing with are left out (§5 says so): other kinds, other
//! uses, secrets. `kid` is a word to compare and nothing else.

use crate::jwt::{Algorithm, Token};
use crate::limits::{KEYS_MAX, MODULUS_BYTES_MAX};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// The keys of an issuer.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    /// The one algorithm that it is for, where it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set; the error says what is wrong with it.
    pub(crate) fn parse(document: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(document)
            .map_err(|error| format!("it is no JWK Set: {error}"))?;
        let keys = document.keys.into_iter().take(KEYS_MAX);
        let jwks = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<Key> = jwks.filter_map(Key::of).collect();
        if keys.is_empty() {
            return Err("it has no key for RS256, PS256, ES256 or EdDSA signatures".to_owned());
        }
        Ok(Self(keys))
    }

    /// Whether a token might be of one of these keys; one without `kid` might always.
    pub(crate) fn may_have(&self, kid: Option<&str>) -> bool {
        kid.is_none() || self.0.iter().any(|key| key.kid.as_deref() == kid)
    }

    /// Whether one of the keys has signed the token.
    pub(crate) fn have_signed(&self, token: &Token<'_>) -> bool {
        let kid = token.kid.as_deref();
        let mut keys = self
            .0
            .iter()
            .filter(|key| kid.is_none() || key.kid.as_deref() == kid);
        keys.any(|key| key.has_signed(token))
    }
}

impl Key {
    fn of(jwk: Jwk) -> Option<Self> {
        // RFC 7517 §4.2, §4.3
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = |ops: &Vec<String>| ops.iter().any(|op| op == "verify");
        if !signs || !jwk.key_ops.as_ref().is_none_or(verifies) {
            return None;
        }
        let algorithm = match &jwk.alg {
            Some(name) => Some(Algorithm::parse(name)?),
            None => None,
        };
        let material = Material::of(&jwk)?;
        algorithm
            .is_none_or(|algorithm| material.serves(algorithm))
            .then_some(Self {
                kid: jwk.kid,
                algorithm,
                material,
            })
    }

    fn has_signed(&self, token: &Token<'_>) -> bool {
        let (wanted, signed, signature) = (token.algorithm, token.signed, &token.signature);
        if self.algorithm.is_some_and(|own| own != wanted) {
            return false;
        }
        let verified = match (&self.material, wanted) {
            (Material::Rsa { modulus, exponent }, Algorithm::Rs256 | Algorithm::Ps256) => {
                let parameters = match wanted {
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                let (n, e) = (modulus.as_slice(), exponent.as_slice());
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature)
            }
            (Material::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            (Material::Ed25519(point), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, point).verify(signed, signature)
            }
            // A key of one kind never serves another.
            _ => return false,
        };
        verified.is_ok()
    }
}

impl Material {
    fn of(jwk: &Jwk) -> Option<Self> {
        let field = |field: &Option<String>| {
            let decoded = wire::base64::decode_url(field.as_ref()?.as_bytes())?;
            (!decoded.is_empty() && decoded.len() <= MODULUS_BYTES_MAX).then_some(decoded)
        };
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Some(Self::Rsa {
                modulus: without_zeros(&field(&jwk.n)?),
                exponent: without_zeros(&field(&jwk.e)?),
            }),
            ("EC", Some("P-256")) => {
                let (x, y) = (field(&jwk.x)?, field(&jwk.y)?);
                // RFC 7518 §6.2.1.2: full length, leading zeros included.
                (x.len() == 32 && y.len() == 32).then(|| Self::P256([&[4], &x[..], &y].concat()))
            }
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519(field(&jwk.x)?)),
            _ => None,
        }
    }

    fn serves(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            Self::P256(_) => algorithm == Algorithm::Es256,
            Self::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }
}

/// Some issuers write numbers with a zero in front (against RFC 7518 §2).
fn without_zeros(number: &[u8]) -> Vec<u8> {
    let from = number.iter().position(|&byte| byte != 0).unwrap_or(0);
    number[from..].to_vec()
}
