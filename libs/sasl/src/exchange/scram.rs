//! SCRAM from the first message to the last, against a client written from the
//! RFC's formulas.

use super::*;
use crate::scram::{self, Verifier};
use crate::{Binding, BindingKind, Bound, Secret};
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

const SHA_1: Mechanism = Mechanism::Scram(Hash::Sha1, Bound::No);
const SHA_256: Mechanism = Mechanism::Scram(Hash::Sha256, Bound::No);
const SHA_256_PLUS: Mechanism = Mechanism::Scram(Hash::Sha256, Bound::Plus);

fn offer() -> Offer {
    Offer::passwords().with_scram(Vec::new())
}

fn bound_offer() -> Offer {
    Offer::passwords().with_scram(vec![
        Binding::new(BindingKind::TlsExporter, b"exported".to_vec()),
        Binding::new(BindingKind::TlsServerEndPoint, b"certificate".to_vec()),
        Binding::new(BindingKind::TlsServerEndPoint, b"the one before".to_vec()),
    ])
}

fn text(step: Step) -> String {
    let Step::Challenge(challenge) = step else {
        panic!("no challenge: {step:?}");
    };
    let decoded = wire::base64::decode(challenge.as_bytes()).expect("base64");
    String::from_utf8(decoded).expect("text")
}

fn proof(step: Step) -> Proof {
    match step {
        Step::Ask(Question::Proof(proof)) => proof,
        other => panic!("no proof: {other:?}"),
    }
}

fn salt_of(verifier: &Verifier, nonce: &str) -> Answer {
    Answer::Salt(Salt {
        salt: verifier.salt.clone(),
        iterations: verifier.iterations,
        nonce: nonce.into(),
    })
}

fn as_in_the_rfc(hash: Hash, messages: [&str; 4], salt: &str, nonce: &str) {
    let [first, server_first, last, server_last] = messages;
    let salt = wire::base64::decode(salt.as_bytes()).expect("base64");
    let verifier = scram::derive(hash, &Secret::from("pencil"), &salt, 4096);
    let mechanism = Mechanism::Scram(hash, Bound::No);
    let (mut exchange, step) = Exchange::start(mechanism, Some(&b64(first)), &offer());
    let name = ScramName {
        hash,
        login: "user".into(),
        authorization: None,
    };
    assert_eq!(step, Step::Ask(Question::Salt(name)));
    assert_eq!(
        text(exchange.answer(salt_of(&verifier, nonce))),
        server_first
    );
    let proof = proof(exchange.handle_line(&b64(last)));
    let signature = proof.check(&verifier).expect("the right password");
    assert_eq!(
        text(exchange.answer(Answer::Signature(signature))),
        server_last
    );
    assert_eq!(exchange.handle_line(b""), Step::Done);
}

#[test]
fn rfc_5802_section_5_sha_1() {
    as_in_the_rfc(
        Hash::Sha1,
        [
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
        "QSXCR+Q6sek8bf92",
        "3rfcNHYJY1ZVvWVs7j",
    );
}

#[test]
fn rfc_7677_section_3_sha_256() {
    as_in_the_rfc(
        Hash::Sha256,
        [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    );
}

/// A client's last message, by the formulas of RFC 5802 §3.
fn client_last(
    hash: Hash,
    header: &[u8],
    bare: &str,
    server_first: &str,
    password: &str,
) -> String {
    let mut parts = server_first.split(',').map(|part| &part[2..]);
    let nonce = parts.next().expect("r=");
    let salt = wire::base64::decode(parts.next().expect("s=").as_bytes()).expect("base64");
    let rounds: u32 = parts.next().expect("i=").parse().expect("a number");
    let without = format!("c={},r={nonce}", wire::base64::encode(header));
    let message = format!("{bare},{server_first},{without}");
    let proof = match hash {
        Hash::Sha1 => client_proof::<Sha1>(password, &salt, rounds, &message),
        Hash::Sha256 => client_proof::<Sha256>(password, &salt, rounds, &message),
        Hash::Sha512 => client_proof::<Sha512>(password, &salt, rounds, &message),
    };
    format!("{without},p={}", wire::base64::encode(&proof))
}

fn client_proof<D>(password: &str, salt: &[u8], rounds: u32, message: &str) -> Vec<u8>
where
    D: EagerHash + Digest,
    Hmac<D>: KeyInit + Mac,
{
    let hmac = |key: &[u8], text: &[u8]| {
        let mut mac = <Hmac<D> as KeyInit>::new_from_slice(key).expect("any length");
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    };
    let mut salted = vec![0; <D as Digest>::output_size()];
    pbkdf2::pbkdf2_hmac::<D>(password.as_bytes(), salt, rounds, &mut salted);
    let key = hmac(&salted, b"Client Key");
    let stored = <D as Digest>::digest(&key).to_vec();
    let signature = hmac(&stored, message.as_bytes());
    key.iter().zip(signature).map(|(a, b)| a ^ b).collect()
}

/// Goes as far as the proof; the header's data follow it in `c=`.
fn until_proof(mechanism: Mechanism, header: &str, data: &[u8]) -> Step {
    let Mechanism::Scram(hash, _) = mechanism else {
        panic!("SCRAM only");
    };
    let verifier = scram::derive(hash, &Secret::from("pass"), b"a salt of 16 by.", 1);
    let bare = "n=bob,r=client";
    let first = format!("{header}{bare}");
    let (mut exchange, step) = Exchange::start(mechanism, Some(&b64(&first)), &bound_offer());
    if !matches!(step, Step::Ask(Question::Salt(_))) {
        return step;
    }
    let server_first = text(exchange.answer(salt_of(&verifier, "server")));
    let input = [header.as_bytes(), data].concat();
    let last = client_last(hash, &input, bare, &server_first, "pass");
    exchange.handle_line(&b64(&last))
}

#[test]
fn a_bound_client_proves_both_password_and_session() {
    for hash in Hash::ALL {
        for (kind, data) in [
            ("tls-exporter", &b"exported"[..]),
            ("tls-server-end-point", b"certificate"),
            ("tls-server-end-point", b"the one before"),
        ] {
            let mechanism = Mechanism::Scram(hash, Bound::Plus);
            let proof = proof(until_proof(mechanism, &format!("p={kind},,"), data));
            let verifier = scram::derive(hash, &Secret::from("pass"), b"a salt of 16 by.", 1);
            assert!(proof.check(&verifier).is_some(), "{mechanism:?} {kind}");
        }
    }
}

#[test]
fn a_binding_to_another_session_is_refused() {
    let refused = Step::Failed(Failure::Binding);
    for (header, data) in [
        ("p=tls-exporter,,", &b"somebody else's"[..]),
        ("p=tls-exporter,,", b""),
        // The right data of another kind.
        ("p=tls-exporter,,", b"certificate"),
        ("p=tls-unique,,", b"exported"),
    ] {
        assert_eq!(until_proof(SHA_256_PLUS, header, data), refused, "{header}");
    }
    // Data where none belong.
    assert_eq!(until_proof(SHA_256, "n,,", b"exported"), refused);
}

#[test]
fn rfc_5802_section_6_the_flag_goes_with_the_mechanism() {
    for mechanism in [SHA_256, SHA_256_PLUS] {
        let downgraded = Step::Failed(Failure::Downgraded);
        assert_eq!(until_proof(mechanism, "y,,", b""), downgraded);
    }
    for (mechanism, header) in [(SHA_256_PLUS, "n,,"), (SHA_256, "p=tls-exporter,,")] {
        let refused = Step::Failed(Failure::Malformed);
        assert_eq!(until_proof(mechanism, header, b""), refused, "{header}");
    }
    // Where there is nothing to bind to, "y" is the truth.
    let (_, step) = Exchange::start(SHA_1, Some(&b64("y,,n=bob,r=x")), &offer());
    assert!(matches!(step, Step::Ask(Question::Salt(_))), "{step:?}");
}

#[test]
fn a_header_changed_on_its_way_is_noticed() {
    let verifier = scram::derive(Hash::Sha1, &Secret::from("pass"), b"salt", 1);
    let (mut exchange, _) = Exchange::start(SHA_1, Some(&b64("n,,n=bob,r=c")), &offer());
    let server_first = text(exchange.answer(salt_of(&verifier, "s")));
    let last = client_last(Hash::Sha1, b"y,,", "n=bob,r=c", &server_first, "pass");
    let step = exchange.handle_line(&b64(&last));
    assert_eq!(step, Step::Failed(Failure::Binding));
}

#[test]
fn another_nonce_or_a_short_proof_is_malformed() {
    let verifier = scram::derive(Hash::Sha1, &Secret::from("pass"), b"salt", 1);
    for last in [
        "c=biws,r=cS,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=c,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=cs,p=AAAA",
    ] {
        let (mut exchange, _) = Exchange::start(SHA_1, Some(&b64("n,,n=bob,r=c")), &offer());
        let _ = exchange.answer(salt_of(&verifier, "s"));
        let step = exchange.handle_line(&b64(last));
        assert_eq!(step, Step::Failed(Failure::Malformed), "{last}");
    }
}

#[test]
fn a_client_that_does_not_confirm_the_signature_is_not_logged_in() {
    for end in [&b"*"[..], b"QQ==", b"!"] {
        let verifier = scram::derive(Hash::Sha1, &Secret::from("pass"), b"salt", 1);
        let (mut exchange, _) = Exchange::start(SHA_1, None, &offer());
        let _ = exchange.handle_line(&b64("n,,n=bob,r=c"));
        let server_first = text(exchange.answer(salt_of(&verifier, "s")));
        let last = client_last(Hash::Sha1, b"n,,", "n=bob,r=c", &server_first, "pass");
        let proof = proof(exchange.handle_line(&b64(&last)));
        let signature = proof.check(&verifier).expect("right");
        let _ = exchange.answer(Answer::Signature(signature));
        assert!(matches!(exchange.handle_line(end), Step::Failed(_)));
        assert_eq!(exchange.handle_line(b""), Step::Failed(Failure::Finished));
    }
}

proptest! {
    #[test]
    fn any_name_and_password_come_through(login in "[a-z@.=,é]{1,12}", password in "[ -~]{1,12}", guess in "[ -~]{1,12}") {
        let verifier = scram::derive(Hash::Sha256, &Secret::from(password.as_str()), b"salt", 1);
        let coded = login.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={coded},r=c");
        let (mut exchange, step) = Exchange::start(SHA_256, Some(&b64(&format!("n,,{bare}"))), &offer());
        prop_assert!(matches!(&step, Step::Ask(question) if question.login() == login), "{:?}", step);
        let server_first = text(exchange.answer(salt_of(&verifier, "s")));
        let last = client_last(Hash::Sha256, b"n,,", &bare, &server_first, &guess);
        let proof = proof(exchange.handle_line(&b64(&last)));
        prop_assert_eq!(proof.check(&verifier).is_some(), guess == password);
    }

    #[test]
    fn any_last_message_is_borne(message: Vec<u8>) {
        let verifier = scram::derive(Hash::Sha1, &Secret::from("pass"), b"salt", 1);
        let (mut exchange, _) = Exchange::start(SHA_1, Some(&b64("n,,n=bob,r=c")), &offer());
        let _ = exchange.answer(salt_of(&verifier, "s"));
        let line = wire::base64::encode(&message);
        let step = exchange.handle_line(line.as_bytes());
        prop_assert!(matches!(step, Step::Failed(_) | Step::Ask(Question::Proof(_))));
    }
}
