//! The form of a token: a JWS in compact serialization (RFC 7515 §7.1).
//!
//! Not here: whether the signature is right, and what the claims say.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// How a token may be signed (RFC 7518 §3.1, RFC 8037 §3.1): public keys alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm of this exact name (RFC 8725 §3.1: a list of our own).
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            // RFC 9864 gives the curve its own name.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A token taken apart; nothing of it is proved.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    /// What is signed: the first two parts as they came.
    pub(crate) signed: &'a [u8],
    pub(crate) claims: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// What else may stand in a header (`jwk`, `jku`, `x5u`, `x5c`: keys that the token brings itself) is not even read.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> Token<'a> {
    /// Takes a token apart; the error says what is wrong with it, for the log.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("it is no signed JWT".to_owned());
        };
        let decode = |part: &str| {
            let decoded = wire::base64::decode_url(part.as_bytes());
            decoded.ok_or_else(|| "it is no base64url".to_owned())
        };
        let signed = &text.as_bytes()[..header.len() + 1 + claims.len()];
        let header: Header = serde_json::from_slice(&decode(header)?)
            .map_err(|_| "its header is no JOSE header".to_owned())?;
        // RFC 7515 §4.1.11: we understand no extension.
        if header.crit.is_some() {
            return Err("its header has critical extensions".to_owned());
        }
        if let Some(typ) = &header.typ
            && !is_access_token(typ)
        {
            return Err(format!("its type is {typ:?}"));
        }
        let algorithm = Algorithm::parse(&header.alg)
            .ok_or_else(|| format!("its algorithm is {:?}", header.alg))?;
        Ok(Self {
            algorithm,
            kid: header.kid,
            signed,
            claims: decode(claims)?,
            signature: decode(signature)?,
        })
    }
}

/// RFC 9068 §4 asks for `at+jwt`. `JWT`, or nothing, is accepted anyway, because
/// much used issuers write it; other kinds of tokens have types of their own
/// (RFC 8725 §3.11), and identity tokens another audience.
fn is_access_token(typ: &str) -> bool {
    let lower = typ.to_ascii_lowercase();
    let name = lower.strip_prefix("application/").unwrap_or(&lower);
    matches!(name, "at+jwt" | "jwt")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coded(text: &str) -> String {
        let padded = wire::base64::encode(text.as_bytes());
        let plain = padded.replace('+', "-").replace('/', "_");
        plain.trim_end_matches('=').to_owned()
    }

    fn with_header(header: &str) -> Result<Algorithm, String> {
        let text = format!("{}.{}.{}", coded(header), coded("{}"), coded("x"));
        Token::parse(&text).map(|token| token.algorithm)
    }

    #[test]
    fn algorithms_are_four_and_have_public_keys() {
        for (name, algorithm) in [
            ("RS256", Algorithm::Rs256),
            ("PS256", Algorithm::Ps256),
            ("ES256", Algorithm::Es256),
            ("EdDSA", Algorithm::EdDsa),
        ] {
            let header = format!(r#"{{"alg":"{name}","typ":"at+jwt"}}"#);
            assert_eq!(with_header(&header), Ok(algorithm));
        }
        for name in [
            "none", "None", "NONE", "", "HS256", "HS512", "rs256", "ES256K", "RS1", "RSA-OAEP",
        ] {
            let refused = with_header(&format!(r#"{{"alg":"{name}"}}"#));
            assert_eq!(refused, Err(format!("its algorithm is {name:?}")));
        }
    }

    #[test]
    fn types_of_other_tokens_and_extensions_are_refused() {
        for typ in ["JWT", "jwt", "at+jwt", "application/AT+jwt"] {
            let header = format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#);
            assert_eq!(with_header(&header), Ok(Algorithm::Rs256), "{typ}");
        }
        for header in [
            r#"{"alg":"RS256","typ":"logout+jwt"}"#,
            r#"{"alg":"RS256","typ":"dpop+jwt"}"#,
            r#"{"alg":"RS256","crit":["b64"],"b64":false}"#,
            r#"{"alg":"RS256","alg":"ES256"}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"typ":"JWT"}"#,
            "[]",
            "",
        ] {
            assert!(with_header(header).is_err(), "{header}");
        }
    }

    #[test]
    fn the_form_is_three_parts_of_base64url() {
        let header = coded(r#"{"alg":"RS256"}"#);
        for bad in [
            String::new(),
            "opaque".to_owned(),
            format!("{header}.e30"),
            format!("{header}.e30.eA.eA"),
            format!("{header}.e30.eA.eA.eA"),
            format!("{header}.e30=.eA"),
            format!("{header}.e3+/.eA"),
            // Not canonical: the last letter has bits that say nothing.
            format!("{header}.e30.eB"),
            format!("{header}.e30. eA"),
        ] {
            assert!(Token::parse(&bad).is_err(), "{bad}");
        }
        let good = format!("{header}.e30.eA");
        let token = Token::parse(&good).expect("good");
        assert_eq!(token.signed, format!("{header}.e30").as_bytes());
        assert_eq!(
            (token.claims, token.signature),
            (b"{}".to_vec(), b"x".to_vec())
        );
    }

    proptest! {
        #[test]
        fn any_text_is_borne(text in ".{0,80}", header in "[ -~]{0,60}") {
            let _ = Token::parse(&text);
            let _ = with_header(&header);
        }
    }
}
