//! Bearer tokens instead of passwords: OAUTHBEARER (RFC 7628) and XOAUTH2, which
//! came before it and which more clients speak.
//!
//! ```text
//! OAUTHBEARER   n,a=user@example.com,^Ahost=…^Aport=143^Aauth=Bearer TOKEN^A^A
//! XOAUTH2       user=user@example.com^Aauth=Bearer TOKEN^A^A
//! ```
//! A refused token is answered by a challenge, a small JSON object that says what
//! would do; the client says something, by rights `^A` or nothing, and then it
//! hears the refusal.
//!
//! Not here: what a token says and whether it is good.

use crate::limits::{NAME_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::scram::message::sasl_name;
use crate::secret::Secret;
use core::fmt::Write as _;

/// A token as a client shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Whose it is, as the client says; XOAUTH2 always does, OAUTHBEARER may.
    pub authorization: Option<String>,
    /// The token. Empty for a client that only wants to hear what it should get.
    pub token: Secret,
}

/// Which mechanism carries a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// RFC 7628.
    OauthBearer,
    /// The one without a standard.
    XOauth2,
}

/// Why a token is refused, and what would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub fault: TokenFault,
    /// The scopes that are asked for, with blanks between; empty for none.
    pub scope: String,
    /// Where the issuer describes itself, so that a client can get a token.
    pub configuration: String,
}

/// Why a token is refused, as far as a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// There is none.
    Missing,
    /// It is not good: expired, for others, not signed by whom it should be.
    Invalid,
    /// It is good for other things.
    Scope,
}

/// Parses a decoded client response; `None` when it is not one.
#[must_use]
pub fn parse(form: Form, message: &[u8]) -> Option<Bearer> {
    let text = core::str::from_utf8(message).ok()?;
    match form {
        Form::OauthBearer => parse_oauthbearer(text),
        Form::XOauth2 => parse_xoauth2(text),
    }
}

/// RFC 7628 §3.1: `gs2-header kvsep *(key "=" value kvsep) kvsep`.
fn parse_oauthbearer(text: &str) -> Option<Bearer> {
    let (header, pairs) = text.split_once(SEPARATOR)?;
    let authorization = gs2_authorization(header)?;
    let pairs = pairs.strip_suffix(SEPARATOR)?;
    if !pairs.is_empty() && !pairs.ends_with(SEPARATOR) {
        return None;
    }
    let mut token = None;
    for pair in pairs.split_terminator(SEPARATOR) {
        let (key, value) = pair.split_once('=')?;
        let key_fits = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphabetic());
        let value_fits = |b: u8| matches!(b, b'\t' | b'\r' | b'\n' | b' '..=b'~');
        if !key_fits || !value.bytes().all(value_fits) {
            return None;
        }
        // Host, port and what we don't know say nothing about the client.
        if key == "auth" && token.replace(bearer(value)?).is_some() {
            return None;
        }
    }
    Some(Bearer {
        authorization,
        token: token?,
    })
}

/// RFC 5801 §4: there is no channel binding, so that `p=` cannot be.
fn gs2_authorization(header: &str) -> Option<Option<String>> {
    let (flag, rest) = header.split_once(',')?;
    if !matches!(flag, "n" | "y") {
        return None;
    }
    match rest.strip_suffix(',')? {
        // `a=` is none by the grammar; accepted anyway, as with SCRAM.
        "" | "a=" => Some(None),
        named => sasl_name(named.strip_prefix("a=")?).map(Some),
    }
}

fn parse_xoauth2(text: &str) -> Option<Bearer> {
    let (user, rest) = text.strip_prefix("user=")?.split_once(SEPARATOR)?;
    let auth = rest.strip_prefix("auth=")?;
    let auth = auth.strip_suffix(SEPARATOR)?.strip_suffix(SEPARATOR)?;
    let fits = !user.is_empty() && user.len() <= NAME_BYTES_MAX && !user.contains('\0');
    fits.then_some(Bearer {
        authorization: Some(user.to_owned()),
        token: bearer(auth)?,
    })
}

/// RFC 6750 §2.1: `"Bearer" 1*SP b64token`, the word in any case. Nothing, or the
/// word alone, is an empty token.
fn bearer(value: &str) -> Option<Secret> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.is_empty() && !scheme.eq_ignore_ascii_case("Bearer") {
        return None;
    }
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let fits =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    if token.is_empty() {
        return Some(Secret::default());
    }
    let is_token = !body.is_empty() && body.bytes().all(fits) && token.len() <= TOKEN_BYTES_MAX;
    (is_token && !scheme.is_empty()).then(|| Secret::from(token))
}

impl Rejection {
    /// The challenge that tells, before base64.
    #[must_use]
    pub fn challenge(&self, form: Form) -> String {
        let mut json = String::from("{");
        let status = match (form, self.fault) {
            // RFC 7628 §3.2.2, with the codes of RFC 6750 §3.1.
            (Form::OauthBearer, TokenFault::Missing) => "invalid_request",
            (Form::OauthBearer, TokenFault::Invalid) => "invalid_token",
            (Form::OauthBearer, TokenFault::Scope) => "insufficient_scope",
            (Form::XOauth2, TokenFault::Missing) => "400",
            (Form::XOauth2, TokenFault::Invalid) => "401",
            (Form::XOauth2, TokenFault::Scope) => "403",
        };
        member(&mut json, "status", status);
        if form == Form::XOauth2 {
            member(&mut json, "schemes", "Bearer");
        }
        if !self.scope.is_empty() {
            member(&mut json, "scope", &self.scope);
        }
        if form == Form::OauthBearer {
            member(&mut json, "openid-configuration", &self.configuration);
        }
        json.push('}');
        json
    }
}

/// Adds a member to an object whose brace is open (RFC 8259 §7).
fn member(json: &mut String, name: &str, value: &str) {
    if !json.ends_with('{') {
        json.push(',');
    }
    // Writing to a String cannot fail.
    let _ = write!(json, "\"{name}\":\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            control if control < ' ' => drop(write!(json, "\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json.push('"');
}

const SEPARATOR: char = '\x01';

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn oauthbearer(text: &str) -> Option<Bearer> {
        parse(Form::OauthBearer, text.as_bytes())
    }

    fn xoauth2(text: &str) -> Option<Bearer> {
        parse(Form::XOauth2, text.as_bytes())
    }

    #[test]
    fn the_message_of_rfc_7628_section_4_1() {
        let shown = oauthbearer(
            "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
             auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
        );
        let shown = shown.expect("well formed");
        assert_eq!(shown.authorization.as_deref(), Some("user@example.com"));
        let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        assert_eq!(shown.token.expose(), token);
        assert!(!format!("{shown:?}").contains("vF9d"));
    }

    #[test]
    fn names_are_optional_and_unescaped() {
        for nobody in [
            "n,,\x01auth=bearer x\x01\x01",
            "y,a=,\x01auth=BEARER x\x01\x01",
        ] {
            assert_eq!(oauthbearer(nobody).expect(nobody).authorization, None);
        }
        let comma = oauthbearer("n,a=a=2Cb=3Dc,\x01auth=Bearer x\x01\x01");
        let comma = comma.and_then(|shown| shown.authorization);
        assert_eq!(comma.as_deref(), Some("a,b=c"));
    }

    #[test]
    fn a_client_may_ask_what_it_should_get() {
        for asking in [
            "n,,\x01auth=\x01\x01",
            "n,,\x01auth=Bearer\x01\x01",
            "n,,\x01auth=Bearer \x01\x01",
        ] {
            assert_eq!(oauthbearer(asking).expect(asking).token.expose(), "");
        }
    }

    #[test]
    fn what_is_no_oauthbearer_message() {
        for bad in [
            "",
            "\x01",
            "n,,",
            "n,,\x01",
            "n,,\x01\x01",
            "n,,\x01auth=Bearer x",
            "n,,\x01auth=Bearer x\x01",
            "n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01",
            "n,,\x01auth=Basic x\x01\x01",
            "n,,\x01auth=Bearer x y\x01\x01",
            "n,,\x01auth=Bearer =\x01\x01",
            "n,,\x01auth= x\x01\x01",
            "n,,\x01auth=Bearer x\u{e9}\x01\x01",
            "n,,\x01=v\x01auth=Bearer x\x01\x01",
            "n,,\x01host\x01auth=Bearer x\x01\x01",
            "n,,\x01host=a\0b\x01auth=Bearer x\x01\x01",
            "p=tls-exporter,,\x01auth=Bearer x\x01\x01",
            "n,a=a=2Db,\x01auth=Bearer x\x01\x01",
            "n,b=c,\x01auth=Bearer x\x01\x01",
            "n,\x01auth=Bearer x\x01\x01",
        ] {
            assert_eq!(oauthbearer(bad), None, "{bad:?}");
        }
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        assert_eq!(
            oauthbearer(&format!("n,,\x01auth=Bearer {long}\x01\x01")),
            None
        );
    }

    #[test]
    fn xoauth2_names_its_user() {
        let shown = xoauth2(
            "user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01",
        );
        let shown = shown.expect("well formed");
        assert_eq!(shown.authorization.as_deref(), Some("someuser@example.com"));
        assert!(shown.token.expose().starts_with("ya29."));
        for bad in [
            "",
            "user=\x01auth=Bearer x\x01\x01",
            "user=a\x01auth=Bearer x\x01",
            "user=a\x01auth=Bearer x",
            "auth=Bearer x\x01user=a\x01\x01",
            "user=a\x01auth=Bearer x\x01y\x01\x01",
            "user=a\0\x01auth=Bearer x\x01\x01",
            "user=a auth=Bearer x\x01\x01",
        ] {
            assert_eq!(xoauth2(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_do() {
        let rejection = Rejection {
            fault: TokenFault::Invalid,
            scope: "mail \"x\"\n".into(),
            configuration: "https://id.test/.well-known/openid-configuration".into(),
        };
        assert_eq!(
            rejection.challenge(Form::OauthBearer),
            r#"{"status":"invalid_token","scope":"mail \"x\"\u000a","openid-configuration":"https://id.test/.well-known/openid-configuration"}"#
        );
        let rejection = Rejection {
            fault: TokenFault::Scope,
            scope: String::new(),
            ..rejection
        };
        assert_eq!(
            rejection.challenge(Form::XOauth2),
            r#"{"status":"403","schemes":"Bearer"}"#
        );
    }

    proptest! {
        #[test]
        fn garbage_is_no_panic(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(Form::OauthBearer, &message);
            let _ = parse(Form::XOauth2, &message);
        }

        #[test]
        fn what_is_made_of_the_grammars_pieces_is_read_or_refused(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("n,"), Just("a=u"), Just(","), Just("\x01"), Just("auth="), Just("user=u"),
                    Just("Bearer "), Just("tok"), Just("="), Just("host=h"),
                ],
                0..12,
            )
        ) {
            let text = pieces.concat();
            for form in [Form::OauthBearer, Form::XOauth2] {
                if let Some(shown) = parse(form, text.as_bytes()) {
                    prop_assert!(!shown.token.expose().contains(['\x01', ' ', ',']));
                    prop_assert!(shown.authorization.is_none_or(|name| !name.is_empty()));
                }
            }
        }
    }
}
