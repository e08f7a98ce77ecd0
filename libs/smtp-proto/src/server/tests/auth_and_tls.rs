//! RFC 4954, RFC 3207.

use super::*;

const PLAIN_TIM: &str = "AHRpbQB0YW5zdGFhZnRhbnN0YWFm";
const PLAIN_WRONG: &str = "AHRpbQB3cm9uZw==";

fn submission(auth: AuthOffer, tls: bool) -> Shell {
    let mut config = Config::new(Role::Submission, "mx");
    config.starttls = true;
    config.auth = auth;
    Shell::new(config, tls)
}

#[test]
fn submission_wants_tls_and_then_auth() {
    let mut shell = submission(AuthOffer::OverTls, false);
    assert_eq!(shell.say("EHLO a"), "250");
    assert!(shell.out.contains("STARTTLS") && !shell.out.contains("AUTH"));
    shell.dialogue(&[
        ("MAIL FROM:<a@b.c>", "530 5.7.0"),
        (&format!("AUTH PLAIN {PLAIN_TIM}"), "538 5.7.11"),
        ("STARTTLS", "220 2.0.0"),
        // RFC 3207 §4.2: as if nothing had been said.
        ("MAIL FROM:<a@b.c>", "503 5.5.1"),
        ("EHLO a", "250"),
    ]);
    assert!(!shell.out.contains("STARTTLS"));
    assert!(shell.out.contains("AUTH PLAIN LOGIN"));
    shell.dialogue(&[
        ("MAIL FROM:<a@b.c>", "530 5.7.0"),
        ("STARTTLS", "503 5.5.1"),
        (&format!("AUTH PLAIN {PLAIN_WRONG}"), "535 5.7.8"),
        ("MAIL FROM:<a@b.c>", "530 5.7.0"),
        (&format!("auth plain {PLAIN_TIM}"), "235 2.7.0"),
        (&format!("AUTH PLAIN {PLAIN_TIM}"), "503 5.5.1"),
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
    ]);
}

#[test]
fn auth_exchanges() {
    let mut shell = submission(AuthOffer::Always, false);
    shell.dialogue(&[
        ("AUTH PLAIN", "503 5.5.1"),
        ("EHLO a", "250"),
        ("AUTH", "501 5.5.4"),
        ("AUTH CRAM-MD5", "504 5.5.4"),
        ("AUTH PLAIN a b", "501 5.5.4"),
        ("AUTH PLAIN", "334"),
        ("*", "501 5.7.0"),
        ("AUTH PLAIN", "334"),
        ("!!!", "501 5.5.2"),
        ("AUTH PLAIN =", "501 5.5.2"),
        ("AUTH PLAIN", "334"),
        (&"A".repeat(13_000), "500 5.5.2"),
        ("AUTH LOGIN", "334"),
        ("dGlt", "334"),
        ("dGFuc3RhYWZ0YW5zdGFhZg==", "235 2.7.0"),
    ]);
    assert!(shell.session.is_authenticated());
}

#[test]
fn a_long_initial_response_is_heard() {
    let mut shell = submission(AuthOffer::Always, true);
    shell.dialogue(&[
        ("EHLO a", "250"),
        (&format!("AUTH PLAIN {}", "A".repeat(8000)), "501 5.5.2"),
    ]);
}

#[test]
fn threat_02_commands_behind_starttls_in_the_clear_close() {
    let mut shell = submission(AuthOffer::OverTls, false);
    assert_eq!(shell.say("EHLO a"), "250");
    shell.out.clear();
    shell.send(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@b.c>\r\n");
    assert_eq!(shell.closed, Some(CloseReason::PipelinedStartTls));
    assert_eq!(shell.out, "");
    assert_eq!(shell.seen.len(), 2);
}

#[test]
fn starttls_is_not_for_the_middle_of_a_transaction() {
    let mut config = Config::new(Role::Mx, "mx");
    config.starttls = true;
    let mut shell = Shell::new(config, false);
    shell.transaction();
    shell.dialogue(&[
        ("STARTTLS", "503 5.5.1"),
        ("RSET", "250 2.0.0"),
        ("STARTTLS x", "501 5.5.4"),
        ("STARTTLS", "220 2.0.0"),
    ]);
    assert!(shell.session.is_tls());
}

const FIRST: &str = "biwsbj11c2VyLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdM";
const LAST: &str = "Yz1iaXdzLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdMM3JmY05IWUpZMVpWdldWczdqLHA9djBYOHYzQnoyVDBDSkdiSlF5RjBYK0hJNFRzPQ==";

/// RFC 5802 §5 over RFC 4954 §4: the server's last word is a challenge of its own.
#[test]
fn scram_ends_with_an_empty_line() {
    let mut shell = submission(AuthOffer::Always, true);
    shell
        .session
        .set_offer(Offer::passwords().with_scram(Vec::new()));
    assert_eq!(shell.say("EHLO a"), "250");
    assert!(
        shell
            .out
            .contains("AUTH SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN\r\n")
    );
    shell.dialogue(&[
        ("AUTH SCRAM-SHA-1-PLUS", "504 5.5.4"),
        ("AUTH SCRAM-SHA-1", "334"),
        (FIRST, "334"),
        (LAST, "334"),
        ("MAIL FROM:<a@b.c>", "501 5.5.2"),
        ("MAIL FROM:<a@b.c>", "530 5.7.0"),
        (&format!("AUTH SCRAM-SHA-1 {FIRST}"), "334"),
        (LAST, "334"),
        ("*", "501 5.7.0"),
        ("MAIL FROM:<a@b.c>", "530 5.7.0"),
        (&format!("AUTH SCRAM-SHA-1 {FIRST}"), "334"),
        (&LAST.replace("djBY", "djBZ"), "535 5.7.8"),
        (&format!("AUTH SCRAM-SHA-1 {FIRST}"), "334"),
        (LAST, "334"),
    ]);
    assert!(!shell.session.is_authenticated());
    assert!(!shell.seen.iter().any(|event| event == "LoggedIn"));
    assert_eq!(shell.say(""), "235 2.7.0");
    assert!(shell.session.is_authenticated());
    assert_eq!(shell.seen.last().map(String::as_str), Some("LoggedIn"));
    assert_eq!(shell.say("MAIL FROM:<a@b.c>"), "250 2.1.0");
}

#[test]
fn the_login_is_told_before_the_next_command() {
    let mut shell = submission(AuthOffer::Always, true);
    shell.send(format!("EHLO a\r\nAUTH PLAIN {PLAIN_TIM}\r\nMAIL FROM:<a@b.c>\r\n").as_bytes());
    let at = |name: &str| shell.seen.iter().position(|event| event.starts_with(name));
    assert!(
        at("Auth") < at("LoggedIn") && at("LoggedIn") < at("Mail"),
        "{:?}",
        shell.seen
    );
}

#[test]
fn xclient_is_for_proxies_that_are_believed_and_begins_anew() {
    let mut stranger = Shell::mx();
    assert_eq!(stranger.say("EHLO a"), "250");
    assert!(!stranger.out.contains("XCLIENT"));
    assert_eq!(stranger.say("XCLIENT ADDR=192.0.2.7"), "502 5.5.1");
    assert!(
        !stranger
            .seen
            .iter()
            .any(|event| event.starts_with("XClient"))
    );

    let mut proxy = Shell::mx();
    proxy.session.allow_xclient();
    assert_eq!(proxy.say("EHLO a"), "250");
    assert!(
        proxy
            .out
            .ends_with("XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT\r\n")
    );
    proxy.dialogue(&[
        ("XCLIENT", "501 5.5.4"),
        ("XCLIENT ADDR=x", "501 5.5.4"),
        ("XCLIENT ADDR=192.0.2.7", "220"),
        ("MAIL FROM:<a@b.c>", "503 5.5.1"),
        ("EHLO a", "250"),
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
        ("XCLIENT ADDR=192.0.2.7", "503 5.5.1"),
    ]);
}
