//! Tokens that must let nobody in (THREATS 7; RFC 8725).

use super::*;
use crate::limits::SKEW;

#[tokio::test]
async fn a_good_token_names_its_owner_by_every_algorithm() {
    let world = World::new();
    let (rsa, ed25519) = (Pair::rsa(), Pair::ed25519());
    let all = [world.pair.jwk("k1"), rsa.jwk("r"), ed25519.jwk("e")];
    *world.end_point.keys.lock() = Ok(json!({ "keys": all }));
    let claims = world.claims();
    let by_pss = json!({"alg": "PS256", "kid": "r", "typ": "JWT"});
    for token in [
        world.pair.token("k1", &claims),
        rsa.token("r", &claims),
        rsa.sign(&by_pss, &claims),
        ed25519.token("e", &claims),
        // Without a name all keys of its kind are tried.
        ed25519.sign(&json!({"alg": "EdDSA"}), &claims),
    ] {
        let name = world.check(&token).await;
        assert_eq!(name.as_deref(), Ok("bob@demo.test"), "{token}");
    }
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn threat_07_without_a_signature_or_with_a_secret_nothing_is_a_token() {
    let world = World::new();
    let claims = world.claims();
    let unsigned = |alg: &str| {
        let header = json!({"alg": alg, "kid": "k1"}).to_string();
        format!("{}.{}.", coded(header), coded(claims.to_string()))
    };
    assert_eq!(
        world.invalid(&unsigned("none")).await,
        "its algorithm is \"none\""
    );
    assert_eq!(
        world.invalid(&unsigned("ES256")).await,
        "its signature is wrong"
    );
    // Key confusion: the public key, which everybody has, as the secret of an HMAC.
    for alg in ["HS256", "HS384", "HS512"] {
        let reason = world
            .invalid(&format!("{}{}", unsigned(alg), coded([7; 32])))
            .await;
        assert_eq!(reason, format!("its algorithm is {alg:?}"));
    }
    // None of it made us ask the issuer more than for its keys.
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn threat_07_other_keys_sign_nothing() {
    let world = World::new();
    let claims = world.claims();
    let other = Pair::p256();
    assert_eq!(
        world.invalid(&other.token("k1", &claims)).await,
        "its signature is wrong"
    );
    // A key that the token brings itself, or points to.
    let header = json!({
        "alg": "ES256", "jwk": other.jwk("mine"), "jku": "https://evil.test/keys",
        "x5u": "https://evil.test/cert", "kid": "k1",
    });
    assert_eq!(
        world.invalid(&other.sign(&header, &claims)).await,
        "its signature is wrong"
    );
    // A key of one kind under the name of another.
    let header = json!({"alg": "RS256", "kid": "k1"});
    assert_eq!(
        world.invalid(&world.pair.sign(&header, &claims)).await,
        "its signature is wrong"
    );
    // A name that looks like a way into the file system or the database.
    for kid in ["../../../../dev/null", "' OR 1=1 --", "file:///etc/passwd"] {
        let reason = world.invalid(&other.token(kid, &claims)).await;
        assert_eq!(reason, format!("the issuer has no key {kid:?}"));
    }
    // One letter changed.
    let good = world.pair.token("k1", &claims);
    let (header, rest) = good.split_once('.').expect("parts");
    let (_, signature) = rest.split_once('.').expect("parts");
    let eve = world
        .claims_with("email", json!("eve@demo.test"))
        .to_string();
    let changed = format!("{header}.{}.{signature}", coded(eve));
    assert_eq!(world.invalid(&changed).await, "its signature is wrong");
}

#[tokio::test]
async fn claims_must_be_for_us_and_for_now() {
    let world = World::new();
    let now = world.runtime.now().unix_seconds();
    let skew = SKEW.as_secs();
    for (name, value, reason) in [
        (
            "iss",
            json!("https://id.test/"),
            "its issuer is Some(\"https://id.test/\")",
        ),
        ("iss", Value::Null, "its issuer is None"),
        ("aud", json!("webshop"), "it is for another audience"),
        (
            "aud",
            json!(["webshop", "mail2"]),
            "it is for another audience",
        ),
        ("aud", Value::Null, "it is for another audience"),
        ("aud", json!({"mail": "mail"}), "it is for another audience"),
        ("exp", Value::Null, "it never expires"),
        ("exp", json!(now - skew), "it expired 60 s ago"),
        ("exp", json!("tomorrow"), "its claim \"exp\" is no time"),
        ("exp", json!(-1), "its claim \"exp\" is no time"),
        ("nbf", json!(now + skew + 1), "it is good in 61 s only"),
        (
            "cnf",
            json!({"jkt": "x"}),
            "it is bound to a key of the client's",
        ),
        ("email", Value::Null, "it has no claim \"email\""),
        ("email", json!(7), "it has no claim \"email\""),
        (
            "email_verified",
            Value::Null,
            "its issuer has not verified the address \"bob@demo.test\"",
        ),
        (
            "email_verified",
            json!(false),
            "its issuer has not verified the address \"bob@demo.test\"",
        ),
    ] {
        let claims = world.claims_with(name, value);
        assert_eq!(
            world.invalid(&world.pair.token("k1", &claims)).await,
            reason
        );
    }
    for (name, value) in [
        ("aud", json!(["webshop", "mail"])),
        ("exp", json!(now - skew + 1)),
        ("exp", json!(now as f64 + 0.5)),
        ("nbf", json!(now + skew)),
        ("email_verified", json!("true")),
    ] {
        let claims = world.claims_with(name, value);
        let name = world.check(&world.pair.token("k1", &claims)).await;
        assert_eq!(name.as_deref(), Ok("bob@demo.test"), "{claims}");
    }
}

#[tokio::test]
async fn scopes_that_are_asked_for_must_be_there() {
    let world = World::with(|issuer| issuer.scope = "mail send".into());
    let lacking = world.check(&world.pair.token("k1", &world.claims())).await;
    let reason = "it lacks the scope \"send\"".to_owned();
    assert_eq!(lacking, Err(TokenRefusal::Scope(reason)));
    for (name, value) in [
        ("scope", json!("send x mail")),
        ("scp", json!(["send", "mail"])),
        ("scp", json!("send mail")),
    ] {
        let token = world.pair.token("k1", &world.claims_with(name, value));
        assert!(world.check(&token).await.is_ok());
    }
    let mailings = world.claims_with("scope", json!("mailings send"));
    let lacking = world.check(&world.pair.token("k1", &mailings)).await;
    assert!(matches!(lacking, Err(TokenRefusal::Scope(_))));
}

#[tokio::test]
async fn another_claim_needs_no_verified_address() {
    let world = World::with(|issuer| issuer.claim = "preferred_username".into());
    let mut claims = world.claims_with("preferred_username", json!("bob"));
    claims["email_verified"] = json!(false);
    let name = world.check(&world.pair.token("k1", &claims)).await;
    assert_eq!(name.as_deref(), Ok("bob"));
    let world = World::with(|issuer| issuer.verified_only = false);
    let claims = world.claims_with("email_verified", Value::Null);
    assert!(world.check(&world.pair.token("k1", &claims)).await.is_ok());
}
