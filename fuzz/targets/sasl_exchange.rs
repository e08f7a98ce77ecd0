//! SASL lines: an exchange ends once, credentials are bounded, preparing twice
//! changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sasl::limits::{NAME_BYTES_MAX, PASSWORD_BYTES_MAX, TOKEN_BYTES_MAX};
use sasl::{Credentials, Exchange, Failure, Mechanism, Question, Step, prepare};

fn check(credentials: &Credentials) {
    let password = credentials.password.expose();
    let names = [Some(&credentials.login), credentials.authorization.as_ref()];
    for name in names.into_iter().flatten() {
        assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains('\0'));
    }
    assert!(!password.is_empty() && password.len() <= PASSWORD_BYTES_MAX);
    assert!(!password.contains('\0'));
}

fn check_prepared(text: &str) {
    let Some(once) = prepare::prepare(text) else {
        return;
    };
    assert!(once.expose().len() <= PASSWORD_BYTES_MAX);
    let twice = prepare::prepare(once.expose());
    assert_eq!(
        twice.as_ref().map(|secret| secret.expose()),
        Some(once.expose())
    );
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [knob])) = fuzz::knobs::<1>(data) else {
        return;
    };
    if let Ok(text) = core::str::from_utf8(data) {
        check_prepared(text);
    }
    let _ = sasl::plain::parse(data).as_ref().map(check);
    let mut lines = data.split(|&byte| byte == b'\n');
    let mechanism = fuzz::pick(&Mechanism::ALL, knob >> 4);
    let initial = if knob & 2 != 0 { lines.next() } else { None };
    let offer = fuzz::offer(knob & 4 != 0);
    if !offer.contains(mechanism) {
        return;
    }
    let (mut exchange, mut step) = Exchange::start(mechanism, initial, &offer);
    let mut challenges = 0;
    for line in lines {
        match &step {
            Step::Challenge(text) => {
                challenges += 1;
                assert!(text.is_ascii() && !text.contains(['\r', '\n']));
            }
            Step::Ask(question) => {
                if let Question::Password(credentials) = question {
                    check(credentials);
                }
                if let Question::Token(shown) = question {
                    assert!(shown.token.expose().len() <= TOKEN_BYTES_MAX);
                    assert!(!shown.token.expose().contains(['\x01', ' ', '\0']));
                }
                let name = question.login();
                let may_lack = matches!(question, Question::Token(_) | Question::Challenge);
                assert!((may_lack || !name.is_empty()) && name.len() <= NAME_BYTES_MAX);
                step = exchange.answer(fuzz::answer(question));
                assert!(!matches!(step, Step::Ask(_)), "asked twice");
            }
            Step::Done | Step::Failed(_) => {}
        }
        let ended = !matches!(step, Step::Challenge(_));
        step = exchange.handle_line(line);
        if ended {
            let over = [Failure::Finished, Failure::TooLong, Failure::Base64].map(Step::Failed);
            assert!(over.contains(&step), "{step:?}");
        }
    }
    assert!(challenges <= 3);
});
