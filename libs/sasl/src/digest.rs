//! Digests of a challenge and a password, from the time before TLS: CRAM-MD5
//! (RFC 2195) and POP3's APOP (RFC 1939 §7).
//!
//! Who checks one needs the password itself, and who overhears one can try
//! passwords at leisure. So they are only for passwords that were drawn at random
//! for them, where a device knows nothing better.

use crate::limits::NAME_BYTES_MAX;
use crate::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq;

/// Bytes of a digest.
const DIGEST_BYTES: usize = 16;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestKind {
    /// HMAC-MD5 of the challenge, the password being the key.
    CramMd5,
    /// MD5 of the challenge with the password behind it.
    Apop,
}

/// What a client answers to a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// How it was made.
    pub kind: DigestKind,
    /// The login as it was sent.
    pub login: String,
    /// The challenge that it is an answer to.
    pub challenge: String,
    digest: [u8; DIGEST_BYTES],
}

impl Digest {
    /// Parses `login SP 32 hexadecimal digits`; `None` when it is something else.
    #[must_use]
    pub fn parse(kind: DigestKind, challenge: &str, message: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(message).ok()?;
        // RFC 2195 §2: the digest is the last word; a name may hold blanks.
        let (login, digits) = text.rsplit_once(' ')?;
        let fits = !login.is_empty() && login.len() <= NAME_BYTES_MAX && !login.contains('\0');
        fits.then_some(Self {
            kind,
            login: login.to_owned(),
            challenge: challenge.to_owned(),
            digest: hexadecimal(digits.as_bytes())?,
        })
    }

    /// Whether it is of this password. Takes the same time for any.
    #[must_use]
    pub fn check(&self, password: &Secret) -> bool {
        let (password, challenge) = (password.expose().as_bytes(), self.challenge.as_bytes());
        let right: [u8; DIGEST_BYTES] = match self.kind {
            DigestKind::CramMd5 => {
                let Ok(mut mac) = Hmac::<Md5>::new_from_slice(password) else {
                    return false;
                };
                mac.update(challenge);
                mac.finalize().into_bytes().into()
            }
            DigestKind::Apop => Md5::new()
                .chain_update(challenge)
                .chain_update(password)
                .finalize()
                .into(),
        };
        right.ct_eq(&self.digest).into()
    }
}

fn hexadecimal(digits: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
    let mut bytes = [0; DIGEST_BYTES];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for &digit in pair {
            let value = char::from(digit).to_digit(16)?;
            *byte = *byte << 4 | u8::try_from(value).ok()?;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2195_section_2() {
        let challenge = "<1896.697170952@postoffice.reston.mci.net>";
        let message = b"tim b913a602c7eda7a495b4e6e7334d3890";
        let digest = Digest::parse(DigestKind::CramMd5, challenge, message);
        let digest = digest.expect("well formed");
        assert_eq!(digest.login, "tim");
        assert!(digest.check(&Secret::from("tanstaaftanstaaf")));
        assert!(!digest.check(&Secret::from("tanstaaftanstaaF")));
        let apop = Digest {
            kind: DigestKind::Apop,
            ..digest
        };
        assert!(!apop.check(&Secret::from("tanstaaftanstaaf")));
    }

    #[test]
    fn the_example_of_rfc_1939_section_7() {
        let challenge = "<1896.697170952@dbc.mtview.ca.us>";
        let message = b"mrose c4c9334bac560ecc979e58001b3e22fb";
        let digest = Digest::parse(DigestKind::Apop, challenge, message);
        assert!(
            digest
                .expect("well formed")
                .check(&Secret::from("tanstaaf"))
        );
    }

    #[test]
    fn what_is_no_digest() {
        let parse = |message: &[u8]| Digest::parse(DigestKind::CramMd5, "<x>", message);
        let digits = "b913a602c7eda7a495b4e6e7334d3890";
        let named = parse(format!("two words {digits}").as_bytes()).expect("a name with a blank");
        assert_eq!(named.login, "two words");
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for bad in [
            String::new(),
            digits.to_owned(),
            format!(" {digits}"),
            format!("tim {digits}0"),
            format!("tim {}", &digits[1..]),
            format!("tim {}g", &digits[1..]),
            format!("tim {} ", &digits[1..]),
            format!("t\0m {digits}"),
            format!("{long} {digits}"),
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(parse(b"t\xffm b913a602c7eda7a495b4e6e7334d3890"), None);
    }
}
