//! RFC 4468: messages by URL.

use super::*;

const ONE: &str = "imap://joe@h/Drafts/;UID=1;URLAUTH=submit+joe:internal:00";
const TWO: &str = "imap://joe@h/Drafts/;UID=2;URLAUTH=submit+joe:internal:00";

fn shell(size_max: u64) -> Shell {
    let mut config = Config::new(Role::Submission, "mx.example.org");
    config.auth = AuthOffer::Always;
    config.burl = true;
    config.size_max = size_max;
    let mut shell = Shell::new(config, false);
    shell.urls = vec![(ONE, b"Subject: x\r\n\r\n.\r\n"), (TWO, b"QUIT\r\n")];
    shell
}

fn logged_in() -> Shell {
    let mut shell = shell(1000);
    shell.dialogue(&[
        ("EHLO c.example", "250"),
        ("AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "235 2.7.0"),
    ]);
    shell.transaction();
    shell
}

#[test]
fn it_is_offered_behind_auth_and_taken_nowhere_else() {
    let mut shell = shell(1000);
    shell.say("EHLO c.example");
    assert!(!shell.out.contains("BURL"), "{}", shell.out);
    shell.dialogue(&[
        (&format!("BURL {ONE} LAST"), "530 5.7.0"),
        ("AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "235 2.7.0"),
    ]);
    shell.say("EHLO c.example");
    assert!(shell.out.contains("BURL imap\r\n"), "{}", shell.out);
    shell.dialogue(&[
        (&format!("BURL {ONE} LAST"), "503 5.5.1"),
        ("MAIL FROM:<a@b.example>", "250 2.1.0"),
        (&format!("BURL {ONE} LAST"), "503 5.5.1"),
        ("RCPT TO:<nobody@b.example>", "550 5.1.1"),
        (&format!("BURL {ONE} LAST"), "554 5.5.1"),
        ("RCPT TO:<c@b.example>", "250 2.1.5"),
        ("BURL", "501 5.5.4"),
        ("BURL nothing LAST", "501 5.5.4"),
        (&format!("BURL {ONE} FIRST"), "501 5.5.4"),
        (&format!("BURL {ONE} LAST LAST"), "501 5.5.4"),
        (&format!("BURL {ONE} LAST"), "250 2.0.0"),
    ]);
    let mut mx = Shell::mx();
    mx.transaction();
    mx.dialogue(&[(&format!("BURL {ONE} LAST"), "502 5.5.1")]);
}

#[test]
fn a_message_is_what_its_urls_and_chunks_name() {
    let mut shell = logged_in();
    shell.out.clear();
    let text = format!("BDAT 6\r\nA: b\r\nBURL {ONE}\r\nBURL {TWO}\r\nBDAT 3\r\n.x\r");
    shell.send(text.as_bytes());
    shell.send(format!("NOOP\r\nBURL {TWO} LAST\r\nNOOP\r\n").as_bytes());
    let codes: Vec<&str> = shell.out.lines().map(|line| &line[..9]).collect();
    assert_eq!(codes, ["250 2.0.0"; 7]);
    assert_eq!(
        shell.content,
        b"A: b\r\nSubject: x\r\n\r\n.\r\nQUIT\r\n.x QUIT\r\n".as_slice()
    );
    assert_eq!(shell.closed, None, "what a message says is no command");
    assert!(!shell.session.is_in_transaction());
}

#[test]
fn one_url_can_be_all_of_it() {
    let mut shell = logged_in();
    shell.dialogue(&[
        (&format!("burl {ONE} last"), "250 2.0.0"),
        ("NOOP", "250 2.0.0"),
    ]);
    assert_eq!(shell.content, b"Subject: x\r\n\r\n.\r\n");
    assert!(
        shell.seen.contains(&"DataEnd { size: 17 }".to_owned()),
        "{:?}",
        shell.seen
    );
}

#[test]
fn a_url_that_names_nothing_ends_the_message() {
    for first in [true, false] {
        let mut shell = logged_in();
        if !first {
            shell.dialogue(&[(&format!("BURL {ONE}"), "250 2.0.0")]);
        }
        shell.dialogue(&[
            ("BURL imap://h/nothing/;UID=1", "554 5.6.6"),
            (&format!("BURL {ONE} LAST"), "503 5.5.1"),
            ("MAIL FROM:<a@b.example>", "250 2.1.0"),
        ]);
        assert!(shell.seen.contains(&"DataAborted(Refused)".to_owned()));
    }
}

#[test]
fn a_url_of_too_many_octets_is_refused_unread() {
    let mut shell = shell(20);
    shell.dialogue(&[
        ("EHLO c.example", "250"),
        ("AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "235 2.7.0"),
    ]);
    shell.transaction();
    shell.dialogue(&[
        (&format!("BURL {ONE}"), "250 2.0.0"),
        (&format!("BURL {TWO} LAST"), "552 5.3.4"),
        ("NOOP", "250 2.0.0"),
    ]);
    assert_eq!(shell.content, b"Subject: x\r\n\r\n.\r\n");
    assert!(!shell.session.is_in_transaction());
}

#[test]
fn data_does_not_follow_a_url_and_a_refused_beginning_is_said_at_once() {
    let mut shell = logged_in();
    shell.dialogue(&[
        (&format!("BURL {TWO}"), "250 2.0.0"),
        ("DATA", "503 5.5.1"),
        ("RSET", "250 2.0.0"),
    ]);
    shell.transaction();
    shell.refuse_data = true;
    shell.dialogue(&[
        (&format!("BURL {TWO} LAST"), "451 4.3.0"),
        ("NOOP", "250 2.0.0"),
    ]);
    assert!(!shell.session.is_in_transaction());
}

#[test]
fn octets_that_stay_away_end_the_message() {
    let mut shell = logged_in();
    shell
        .input
        .extend_from_slice(format!("BURL {ONE} LAST\r\n").as_bytes());
    let begin = shell.session.next_event(&mut shell.input);
    assert_eq!(begin, Some(Event::DataStart));
    shell.session.accept();
    let url = shell.session.next_event(&mut shell.input);
    assert_eq!(url, Some(Event::Burl(ONE.into())));
    shell.session.accept_url(9);
    let mut some = BytesMut::from(&b"abc"[..]);
    assert!(matches!(
        shell.session.take_url(&mut some),
        Some(Event::DataChunk(_)) | None
    ));
    assert!(shell.session.wants_url());
    assert_eq!(shell.session.next_event(&mut shell.input), None);
    shell
        .session
        .fail_url(Reply::enhanced(451, (4, 3, 0), "not now"));
    let aborted = shell.session.take_url(&mut BytesMut::new());
    assert!(
        matches!(aborted, Some(Event::DataAborted(_))),
        "{aborted:?}"
    );
    let out = shell.session.take_output();
    assert!(out.starts_with(b"451 4.3.0"));
    assert!(!shell.session.is_in_transaction() && !shell.session.wants_url());
}
