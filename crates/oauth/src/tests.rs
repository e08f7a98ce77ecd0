//! Tokens as an issuer makes them, and as others would like to.

mod forged;
mod issuer;
mod rfc;

use crate::keeper::Source;
use crate::verifier::{Issuer, Keys, Verifier};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use directory::{BoxFuture, TokenRefusal, Tokens as _};
use parking_lot::Mutex;
use runtime::Runtime;
use sasl::Secret;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const ISSUER: &str = "https://id.test";

/// base64url.
pub(crate) fn coded(bytes: impl AsRef<[u8]>) -> String {
    let padded = wire::base64::encode(bytes.as_ref());
    let plain = padded.replace('+', "-").replace('/', "_");
    plain.trim_end_matches('=').to_owned()
}

/// A key pair of an issuer's.
pub(crate) enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    pub(crate) fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self::P256(pair.expect("a key"))
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(Box::new(
            RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
        ))
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().expect("a key"))
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                // RSAPublicKey (RFC 8017 §A.1.1): a sequence of two integers.
                let der = pair.public_key().as_ref();
                let (n, e) = (&der[9..9 + 256], &der[der.len() - 3..]);
                json!({"kty": "RSA", "kid": kid, "n": coded(n), "e": coded(e)})
            }
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": coded(&point[1..33]), "y": coded(&point[33..])})
            }
            Self::Ed25519(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": coded(point)})
            }
        }
    }

    /// A token with this header and these claims; the header says how RSA signs.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!(
            "{}.{}",
            coded(header.to_string()),
            coded(claims.to_string())
        );
        let random = SystemRandom::new();
        let message = signed.as_bytes();
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                if header["alg"] == "PS256" {
                    let done = pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature);
                    done.expect("signed");
                } else {
                    let done = pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                    done.expect("signed");
                }
                signature
            }
            Self::P256(pair) => pair
                .sign(&random, message)
                .expect("signed")
                .as_ref()
                .to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        };
        format!("{signed}.{}", coded(signature))
    }

    /// A good token of this key.
    pub(crate) fn token(&self, kid: &str, claims: &Value) -> String {
        let alg = match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        };
        self.sign(&json!({"alg": alg, "kid": kid, "typ": "at+jwt"}), claims)
    }
}

/// An issuer's end point that tests change.
#[derive(Debug)]
pub(crate) struct EndPoint {
    /// What it answers.
    pub(crate) keys: Mutex<Result<Value, String>>,
    /// How often it was asked.
    pub(crate) asked: Mutex<u32>,
}

#[derive(Debug)]
struct ByEndPoint(Arc<EndPoint>);

impl Source for ByEndPoint {
    fn load(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        *self.0.asked.lock() += 1;
        let answer = self.0.keys.lock().clone();
        Box::pin(async move { answer.map(|keys| keys.to_string().into_bytes()) })
    }
}

/// A verifier and what is around it.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) end_point: Arc<EndPoint>,
    pub(crate) verifier: Verifier,
    pub(crate) pair: Pair,
}

impl World {
    /// One key `k1`, audience `mail`, claim `email`.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Issuer)) -> Self {
        let runtime = Runtime::for_tests();
        let pair = Pair::p256();
        let end_point = Arc::new(EndPoint {
            keys: Mutex::new(Ok(json!({"keys": [pair.jwk("k1")]}))),
            asked: Mutex::new(0),
        });
        let mut issuer = Issuer {
            issuer: ISSUER.to_owned(),
            audiences: vec!["mail".to_owned()],
            claim: "email".to_owned(),
            verified_only: true,
            scope: String::new(),
            keys: Keys::File("unused".into()),
        };
        change(&mut issuer);
        let source = Box::new(ByEndPoint(end_point.clone()));
        let configuration = format!("{ISSUER}/.well-known/openid-configuration");
        Self {
            verifier: Verifier::with_source(issuer, configuration, source, &runtime),
            runtime,
            end_point,
            pair,
        }
    }

    /// Claims that are good for an hour.
    pub(crate) fn claims(&self) -> Value {
        let now = self.runtime.now().unix_seconds();
        json!({
            "iss": ISSUER, "aud": "mail", "sub": "1", "iat": now, "exp": now + 3600,
            "email": "bob@demo.test", "email_verified": true, "scope": "openid mail"
        })
    }

    /// [`World::claims`] with one of them changed; null takes it away.
    pub(crate) fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        let all = claims.as_object_mut().expect("an object");
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.to_owned(), value);
        }
        claims
    }

    pub(crate) async fn check(&self, token: &str) -> Result<String, TokenRefusal> {
        self.verifier.check(&Secret::from(token)).await
    }

    /// What is wrong with a token; it must be refused for good.
    pub(crate) async fn invalid(&self, token: &str) -> String {
        match self.check(token).await {
            Err(TokenRefusal::Invalid(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn asked(&self) -> u32 {
        *self.end_point.asked.lock()
    }
}
