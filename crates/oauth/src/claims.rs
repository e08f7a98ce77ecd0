//! What a signed token says (RFC 7519 §4.1, RFC 9068 §2.2), and whether that is for us.

use crate::limits::SKEW;
use crate::verifier::Issuer;
use directory::TokenRefusal;
use serde_json::{Map, Value};

/// The name that the token is for.
pub(crate) fn check(claims: &[u8], issuer: &Issuer, now_s: u64) -> Result<String, TokenRefusal> {
    let invalid = |reason: String| TokenRefusal::Invalid(reason);
    let claims: Map<String, Value> = serde_json::from_slice(claims)
        .map_err(|_| invalid("its claims are no JSON object".to_owned()))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(issuer.issuer.as_str()) {
        return Err(invalid(format!("its issuer is {:?}", text("iss"))));
    }
    if !is_for(claims.get("aud"), &issuer.audiences) {
        return Err(invalid("it is for another audience".to_owned()));
    }
    check_time(&claims, now_s).map_err(invalid)?;
    // RFC 7800, 8705, 9449: good only together with a key, whose proof no mail protocol carries.
    if claims.contains_key("cnf") {
        return Err(invalid("it is bound to a key of the client's".to_owned()));
    }
    let granted = scopes(&claims);
    if let Some(missing) = issuer
        .scope
        .split(' ')
        .find(|scope| !scope.is_empty() && !granted.contains(scope))
    {
        return Err(TokenRefusal::Scope(format!(
            "it lacks the scope {missing:?}"
        )));
    }
    let name = text(&issuer.claim).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Err(invalid(format!("it has no claim {:?}", issuer.claim)));
    };
    if issuer.verified_only && issuer.claim == "email" && !is_true(claims.get("email_verified")) {
        return Err(invalid(format!(
            "its issuer has not verified the address {name:?}"
        )));
    }
    Ok(name.to_owned())
}

/// RFC 7519 §4.1.3: one text, or a list of which one must be us.
fn is_for(audience: Option<&Value>, ours: &[String]) -> bool {
    let is_ours = |value: &Value| {
        let text = value.as_str();
        text.is_some_and(|text| ours.iter().any(|one| one == text))
    };
    match audience {
        Some(Value::Array(all)) => all.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => false,
    }
}

/// RFC 7519 §4.1.4, §4.1.5. Without an end a token is good for nothing here.
fn check_time(claims: &Map<String, Value>, now_s: u64) -> Result<(), String> {
    let at = |name: &str| -> Result<Option<u64>, String> {
        let Some(value) = claims.get(name) else {
            return Ok(None);
        };
        let whole = value.as_u64();
        // RFC 7519 §2: NumericDate may have a fraction.
        let seconds = whole.or_else(|| {
            value
                .as_f64()
                .filter(|s| (0.0..1e15).contains(s))
                .map(whole_seconds)
        });
        seconds
            .map(Some)
            .ok_or_else(|| format!("its claim {name:?} is no time"))
    };
    let skew = SKEW.as_secs();
    match at("exp")? {
        None => return Err("it never expires".to_owned()),
        Some(exp) if now_s >= exp.saturating_add(skew) => {
            return Err(format!("it expired {} s ago", now_s.saturating_sub(exp)));
        }
        Some(_) => {}
    }
    match at("nbf")? {
        Some(nbf) if now_s.saturating_add(skew) < nbf => {
            Err(format!("it is good in {} s only", nbf - now_s))
        }
        _ => Ok(()),
    }
}

fn whole_seconds(seconds: f64) -> u64 {
    // The caller has checked the range.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = seconds.trunc() as u64;
    whole
}

/// `scope` (RFC 9068 §2.2.3), or `scp`, which some issuers write, as text or as a list.
fn scopes(claims: &Map<String, Value>) -> Vec<&str> {
    let values = ["scope", "scp"]
        .into_iter()
        .filter_map(|name| claims.get(name));
    let mut all = Vec::new();
    for value in values {
        match value {
            Value::String(text) => all.extend(text.split(' ')),
            Value::Array(list) => all.extend(list.iter().filter_map(Value::as_str)),
            _ => {}
        }
    }
    all
}

/// `true`, or the text, which some issuers write.
fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}
