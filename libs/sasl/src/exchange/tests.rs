//! Exchanges as the RFCs show them, and what broken clients send.

use super::*;
use crate::Offer;
use proptest::prelude::*;

mod scram;

fn b64(text: &str) -> Vec<u8> {
    wire::base64::encode(text.as_bytes()).into_bytes()
}

fn start(mechanism: Mechanism, initial: Option<&[u8]>) -> (Exchange, Step) {
    Exchange::start(mechanism, initial, &Offer::passwords())
}

fn asked(step: Step) -> Credentials {
    match step {
        Step::Ask(Question::Password(credentials)) => credentials,
        other => panic!("not asked: {other:?}"),
    }
}

#[test]
fn plain_with_initial_response_as_in_rfc_4616_section_4() {
    let (mut exchange, step) = start(Mechanism::Plain, Some(&b64("\0tim\0tanstaaftanstaaf")));
    let credentials = asked(step);
    assert_eq!(credentials.login, "tim");
    assert_eq!(credentials.authorization, None);
    assert_eq!(credentials.password.expose(), "tanstaaftanstaaf");
    assert_eq!(exchange.answer(Answer::Accepted), Step::Done);
    assert_eq!(
        exchange.answer(Answer::Accepted),
        Step::Failed(Failure::Finished)
    );
}

#[test]
fn plain_after_an_empty_challenge() {
    let (mut exchange, step) = start(Mechanism::Plain, None);
    assert_eq!(step, Step::Challenge(String::new()));
    let credentials = asked(exchange.handle_line(&b64("Ursel\0Kurt\0xipj3plmq")));
    assert_eq!(credentials.authorization.as_deref(), Some("Ursel"));
    assert_eq!(credentials.login, "Kurt");
    assert_eq!(
        exchange.handle_line(b"AA=="),
        Step::Failed(Failure::Finished)
    );
}

#[test]
fn an_answer_to_something_else_is_no_yes() {
    let salt = Salt {
        salt: vec![1; 16],
        iterations: 4096,
        nonce: "x".into(),
    };
    for answer in [
        Answer::Refused,
        Answer::Salt(salt),
        Answer::Signature(vec![1; 32]),
    ] {
        let (mut exchange, _) = start(Mechanism::Plain, Some(&b64("\0tim\0x")));
        assert_eq!(exchange.answer(answer), Step::Failed(Failure::Refused));
        assert_eq!(
            exchange.answer(Answer::Accepted),
            Step::Failed(Failure::Finished)
        );
    }
    let (mut exchange, _) = start(Mechanism::Plain, None);
    assert_eq!(
        exchange.answer(Answer::Accepted),
        Step::Failed(Failure::Finished)
    );
}

#[test]
fn login_asks_for_name_and_password() {
    let (mut exchange, step) = start(Mechanism::Login, None);
    assert_eq!(step, Step::Challenge("VXNlcm5hbWU6".into()));
    assert_eq!(
        exchange.handle_line(&b64("bob@demo.test")),
        Step::Challenge("UGFzc3dvcmQ6".into())
    );
    let credentials = asked(exchange.handle_line(&b64("p\u{e4}ss")));
    assert_eq!(credentials.login, "bob@demo.test");
    assert_eq!(credentials.password.expose(), "p\u{e4}ss");
}

#[test]
fn login_takes_the_name_as_initial_response() {
    let (mut exchange, step) = start(Mechanism::Login, Some(&b64("bob")));
    assert_eq!(step, Step::Challenge("UGFzc3dvcmQ6".into()));
    assert_eq!(asked(exchange.handle_line(&b64("x"))).login, "bob");
}

#[test]
fn a_star_cancels_in_every_state_and_leaves_nothing() {
    let (mut exchange, _) = start(Mechanism::Login, Some(&b64("bob")));
    assert_eq!(exchange.handle_line(b"*"), Step::Failed(Failure::Cancelled));
    assert_eq!(
        exchange.handle_line(&b64("x")),
        Step::Failed(Failure::Finished)
    );
    let (mut exchange, _) = start(Mechanism::Plain, None);
    assert_eq!(exchange.handle_line(b"*"), Step::Failed(Failure::Cancelled));
}

#[test]
fn bad_lines_fail_for_their_own_reason() {
    let (_, step) = start(Mechanism::Plain, Some(b"="));
    assert_eq!(step, Step::Failed(Failure::Malformed));
    let (_, step) = start(Mechanism::Plain, Some(b"*"));
    assert_eq!(step, Step::Failed(Failure::Base64));
    let (mut exchange, _) = start(Mechanism::Plain, None);
    assert_eq!(
        exchange.handle_line(b"no base64!"),
        Step::Failed(Failure::Base64)
    );
    let (mut exchange, _) = start(Mechanism::Plain, None);
    let long = vec![b'A'; LINE_BYTES_MAX + 4];
    assert_eq!(exchange.handle_line(&long), Step::Failed(Failure::TooLong));
}

#[test]
fn external_names_whom_to_act_as_or_nobody() {
    let offer = Offer::passwords().with_certificate(vec!["bob@demo.test".into()]);
    let begin = |initial: Option<&[u8]>| Exchange::start(Mechanism::External, initial, &offer);
    let asks = |step: Step, authorization: Option<&str>| match step {
        Step::Ask(Question::Certificate(shown)) => {
            assert_eq!(*shown.names, ["bob@demo.test"]);
            assert_eq!(shown.authorization.as_deref(), authorization);
        }
        other => panic!("{other:?}"),
    };
    let (mut exchange, step) = begin(Some(b"="));
    asks(step, None);
    assert_eq!(exchange.answer(Answer::Accepted), Step::Done);
    let (mut exchange, step) = begin(None);
    assert_eq!(step, Step::Challenge(String::new()));
    asks(exchange.handle_line(b""), None);
    assert_eq!(
        exchange.answer(Answer::Refused),
        Step::Failed(Failure::Refused)
    );
    asks(begin(Some(&b64("bob@demo.test"))).1, Some("bob@demo.test"));
    for bad in ["bob\0", &"x".repeat(NAME_BYTES_MAX + 1)] {
        assert_eq!(begin(Some(&b64(bad))).1, Step::Failed(Failure::Malformed));
    }
    // Without a certificate it is not offered, and would not go.
    let (_, step) = start(Mechanism::External, Some(b"="));
    assert_eq!(step, Step::Failed(Failure::Malformed));
}

fn rejection() -> Rejection {
    Rejection {
        fault: bearer::TokenFault::Invalid,
        scope: "mail".into(),
        configuration: "https://id.test/.well-known/openid-configuration".into(),
    }
}

#[test]
fn rfc_7628_section_3_2_3_a_refused_token_is_explained_first() {
    let offer = Offer::passwords().with_tokens();
    let bad = b64("n,a=user@example.com,\x01auth=Bearer vF9dft4q\x01\x01");
    for last in ["AQ==", "", "no base64!"] {
        let (mut exchange, step) = Exchange::start(Mechanism::OauthBearer, Some(&bad), &offer);
        let Step::Ask(question @ Question::Token(_)) = step else {
            panic!("{step:?}");
        };
        assert_eq!(question.login(), "user@example.com");
        let Step::Challenge(told) = exchange.answer(Answer::Rejected(rejection())) else {
            panic!("not told");
        };
        let told = wire::base64::decode(told.as_bytes()).expect("base64");
        assert!(told.starts_with(br#"{"status":"invalid_token","scope":"mail","#));
        assert_eq!(
            exchange.handle_line(last.as_bytes()),
            Step::Failed(Failure::Refused),
            "{last:?}"
        );
    }
}

#[test]
fn a_good_token_is_the_end_of_it() {
    let offer = Offer::passwords().with_tokens();
    let message = b64("user=someuser@example.com\x01auth=Bearer ya29\x01\x01");
    let (mut exchange, step) = Exchange::start(Mechanism::XOauth2, None, &offer);
    assert_eq!(step, Step::Challenge(String::new()));
    let step = exchange.handle_line(&message);
    assert!(matches!(step, Step::Ask(Question::Token(shown)) if shown.token.expose() == "ya29"));
    assert_eq!(exchange.answer(Answer::Accepted), Step::Done);
    // A rejection is an answer to tokens alone.
    let (mut exchange, _) = start(Mechanism::Plain, Some(&b64("\0tim\0x")));
    assert_eq!(
        exchange.answer(Answer::Rejected(rejection())),
        Step::Failed(Failure::Refused)
    );
    let (_, step) = Exchange::start(Mechanism::OauthBearer, Some(b"AQ=="), &offer);
    assert_eq!(step, Step::Failed(Failure::Malformed));
}

#[test]
fn cram_md5_as_in_rfc_2195_section_2() {
    let offer = Offer::passwords().with_digests();
    let begin = |initial: Option<&[u8]>| Exchange::start(Mechanism::CramMd5, initial, &offer);
    let (mut exchange, step) = begin(None);
    assert_eq!(step, Step::Ask(Question::Challenge));
    let challenge = "<1896.697170952@postoffice.reston.mci.net>";
    let sent = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
    let step = exchange.answer(Answer::Challenge(challenge.into()));
    assert_eq!(step, Step::Challenge(sent.into()));
    let step = exchange.handle_line(b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
    let Step::Ask(Question::Digest(digest)) = step else {
        panic!("{step:?}");
    };
    assert!(digest.login == "tim" && digest.check(&crate::Secret::from("tanstaaftanstaaf")));
    assert_eq!(exchange.answer(Answer::Accepted), Step::Done);
    // The server has the first word, and a line before it is nobody's.
    assert_eq!(
        begin(Some(&b64("tim x"))).1,
        Step::Failed(Failure::Malformed)
    );
    let (mut exchange, _) = begin(None);
    let early = exchange.handle_line(b"dGlt");
    assert_eq!(early, Step::Failed(Failure::Finished));
}

proptest! {
    #[test]
    fn garbage_never_panics_and_always_ends(lines in proptest::collection::vec(any::<Vec<u8>>(), 0..6), at in 0..Mechanism::ALL.len()) {
        let (mut exchange, _) = start(Mechanism::ALL[at], lines.first().map(Vec::as_slice));
        for line in &lines { let _ = exchange.handle_line(line); }
        for _ in 0..3 { let _ = exchange.handle_line(b"QQ=="); }
        prop_assert_eq!(exchange.handle_line(b"QQ=="), Step::Failed(Failure::Finished));
    }

    #[test]
    fn decoded_messages_of_any_bytes_never_panic(message: Vec<u8>) {
        let text = wire::base64::encode(&message);
        for mechanism in Mechanism::ALL {
            let _ = start(mechanism, Some(text.as_bytes()));
        }
    }
}
