//! Signatures of what is posted, as Standard Webhooks has them, for which receivers have libraries.
//!
//! | field | holds |
//! |---|---|
//! | `webhook-id` | a name that stays the same when the same thing is posted again |
//! | `webhook-timestamp` | when it was posted, in seconds since 1970: old ones are to be refused |
//! | `webhook-signature` | `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body` |

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use wire::base64;
use zeroize::Zeroizing;

/// How a secret that is base64 begins.
const CODED: &str = "whsec_";

/// The key that a receiver shares with us.
#[derive(Clone)]
pub struct SigningKey(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// The key of a secret: `whsec_` and base64, or any other text as it is. None for an
    /// empty one, and for what is no base64 behind `whsec_`.
    #[must_use]
    pub fn parse(secret: &str) -> Option<Self> {
        let key = match secret.strip_prefix(CODED) {
            Some(coded) => base64::decode(coded.as_bytes())?,
            None => secret.as_bytes().to_vec(),
        };
        (!key.is_empty()).then(|| Self(Zeroizing::new(key)))
    }

    /// Begins to sign what is posted under this name at this moment; the name has no dots.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn sign(&self, id: &str, unix_seconds: u64) -> Signing {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{unix_seconds}.").as_bytes());
        Signing(mac)
    }
}

/// A signature that is being made.
pub struct Signing(Hmac<Sha256>);

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signing(…)")
    }
}

impl Signing {
    /// Adds the next octets of the body.
    pub fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// The field's value.
    #[must_use]
    pub fn finish(self) -> String {
        format!("v1,{}", base64::encode(&self.0.finalize().into_bytes()))
    }
}

/// The fields of what is posted under this name at this moment; the last is there with a signature.
#[must_use]
pub fn signed_fields(
    id: &str,
    unix_seconds: u64,
    signature: Option<String>,
) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", unix_seconds.to_string()),
    ];
    fields.extend(signature.map(|signature| ("webhook-signature", signature)));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published example, and one that Python's `hmac` made.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        for (secret, id, seconds, body, signature) in [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                "{\"test\": 2432232314}",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "plain secret",
                "7",
                9,
                "hello",
                "v1,zOu/6ikCjb5OIplPlLu8VMNw9+VCxGvOZzhXX/5j0V0=",
            ),
        ] {
            let key = SigningKey::parse(secret).expect("a key");
            for at in 0..body.len() {
                let mut signing = key.sign(id, seconds);
                signing.update(&body.as_bytes()[..at]);
                signing.update(&body.as_bytes()[at..]);
                assert_eq!(signing.finish(), signature);
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_none() {
        for none in ["", "whsec_", "whsec_!"] {
            assert!(SigningKey::parse(none).is_none(), "{none:?}");
        }
        let shown = format!("{:?}", SigningKey::parse("plain"));
        assert!(!shown.contains("plain"), "{shown}");
        let fields = signed_fields("a", 7, None);
        assert_eq!(fields.len(), 2);
    }
}
