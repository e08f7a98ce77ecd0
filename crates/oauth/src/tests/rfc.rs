//! The examples of the RFCs.

use crate::jwks::KeySet;
use crate::jwt::Token;

const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn have_signed(keys: &str, token: &str) -> bool {
    let keys = KeySet::parse(format!("{{\"keys\":[{keys}]}}").as_bytes()).expect("keys");
    keys.have_signed(&Token::parse(token).expect("a token"))
}

#[test]
fn rfc_7515_appendix_a_2_rs256() {
    let key = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}.{signature}");
    assert!(have_signed(key, &token));
    // A zero in front of the modulus, as some issuers write it.
    let bytes = wire::base64::decode_url(key[18..].split('"').next().expect("n").as_bytes());
    let longer = super::coded([&[0], &bytes.expect("base64url")[..]].concat());
    let with_zero = format!(r#"{{"kty":"RSA","n":"{longer}","e":"AQAB"}}"#);
    assert!(have_signed(&with_zero, &token));
    let changed = token.replace("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Uj");
    assert!(!have_signed(key, &changed));
    // The same signature is none of PS256.
    let renamed = format!(
        "{}.{CLAIMS}.{signature}",
        super::coded(r#"{"alg":"PS256"}"#)
    );
    assert!(!have_signed(key, &renamed));
}

#[test]
fn rfc_7515_appendix_a_3_es256() {
    let key = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let token = format!(
        "eyJhbGciOiJFUzI1NiJ9.{CLAIMS}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    assert!(have_signed(key, &token));
    assert!(!have_signed(key, &token.replace(".DtEh", ".DtEi")));
}

#[test]
fn rfc_8037_appendix_a_4_eddsa() {
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(have_signed(key, token));
    assert!(!have_signed(key, &token.replace(".RXhh", ".RXhi")));
}

#[test]
fn keys_for_other_things_are_left_out() {
    let parse = |keys: &str| KeySet::parse(keys.as_bytes());
    for none in [
        "",
        "[]",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":{}}"#,
        r#"{"keys":["x",7,null]}"#,
        r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#,
        r#"{"keys":[{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","key_ops":["sign"],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"HS256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"RS256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        r#"{"keys":[{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}]}"#,
        r#"{"keys":[{"kty":"RSA","e":"AQAB"}]}"#,
    ] {
        assert!(parse(none).is_err(), "{none}");
    }
    let one = r#"{"keys":[{"kty":"oct","kid":"a","k":"eA"},{"kty":"OKP","kid":"b","crv":"Ed25519","alg":"EdDSA","use":"sig","key_ops":["verify"],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = parse(one).expect("one key");
    assert!(keys.may_have(Some("b")) && keys.may_have(None) && !keys.may_have(Some("a")));
}
