//! Replies that lie, stop, flood or never come: each is a bounded wait, a named reason,
//! and mail that waits or is told once.

use super::sessions::self_signed_for;
use super::*;

const SHORT: Duration = Duration::from_millis(50);

/// Leaks a little, as tests may.
fn text(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// One message by these scripts, a connection each.
async fn told(scripts: Vec<Script>, tls: Option<ServerTls>) -> (Report, Vec<String>) {
    let runtime = Runtime::new();
    let server = Server::start_with(&runtime, local("127.0.0.1"), scripts, tls);
    let mut options = options();
    options.timeouts.mail = SHORT;
    options.timeouts.data_end = SHORT;
    let ports = ports(&runtime, Names::default(), options);
    let to = envelope(&["b@x.example"]);
    let report = deliver_smtp(&ports, &target(&server), &to, &message()).await;
    (report, server.said())
}

/// Mail waits, nobody else has said so, and the reason has these words.
fn waits(report: &Report, words: &str) {
    let Outcome::Temporary(reason) = &report.outcomes[0] else {
        panic!("it does not wait: {report:?}");
    };
    let line = reason.reply.to_line();
    assert!(reason.said_by.is_none() && line.contains(words), "{line}");
}

#[tokio::test]
async fn bad_input_a_flood_of_lines_is_no_reply() {
    let flood = text("250-more\r\n".repeat(5_000));
    for script in [
        vec![("", text("220-more\r\n".repeat(5_000)))],
        vec![HELLO, ("EHLO", flood)],
        vec![HELLO, PLAIN, ("MAIL", flood)],
        vec![HELLO, PLAIN, ("MAIL", text("2".repeat(300_000)))],
    ] {
        let (report, said) = told(vec![script], None).await;
        waits(&report, "mx.example");
        assert!(
            !said.iter().any(|line| line.starts_with("RCPT")),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn bad_input_what_is_no_reply_at_all_ends_the_session() {
    for garbage in [
        "\0\u{1}\u{2}\u{7f}\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "\u{16}\u{3}\u{1}\0\r\n",
        "25O ok\r\n",
        "250-ok\r\n550 no\r\n",
    ] {
        let (report, said) = told(vec![vec![HELLO, PLAIN, ("MAIL", garbage)]], None).await;
        waits(&report, "mx.example");
        assert!(
            !said.iter().any(|line| line.starts_with("RCPT")),
            "{garbage:?}: {said:?}"
        );
    }
}

#[tokio::test]
async fn bad_input_half_a_line_is_no_reply_whether_it_ends_or_not() {
    let ends = vec![HELLO, PLAIN, ("MAIL", "250 o"), ("", "")];
    let (report, _) = told(vec![ends], None).await;
    waits(&report, "connection lost");
    let hangs = vec![HELLO, PLAIN, ("MAIL", "250 o")];
    let (report, _) = told(vec![hangs], None).await;
    waits(&report, "4.4.2");
}

#[tokio::test]
async fn bad_input_a_reply_counts_though_the_connection_ends_with_it() {
    let mut script = willing();
    script.truncate(5);
    script.extend([TAKEN, ("", "")]);
    let (report, said) = told(vec![script, willing()], None).await;
    assert_eq!(codes(&report), [250]);
    assert_eq!(
        said.iter().filter(|line| line.starts_with("MAIL")).count(),
        1
    );
}

#[tokio::test]
async fn bad_input_silence_behind_the_message_is_waited_for_and_nothing_is_sent_twice() {
    let mut script = willing();
    script.truncate(5);
    // It is read to its end, and nothing comes.
    script.push((".", "250-"));
    let (report, said) = told(vec![script, willing()], None).await;
    waits(&report, "4.4.2");
    assert_eq!(
        said.iter().filter(|line| line.starts_with("MAIL")).count(),
        1
    );
}

#[tokio::test]
async fn bad_input_a_refusal_behind_the_message_is_the_servers_word() {
    for (reply, code) in [
        ("451 4.3.0 later\r\n", 451),
        ("554 5.7.1 no\r\n", 554),
        ("421 4.3.2 closing\r\n", 421),
    ] {
        let mut script = willing();
        script.truncate(5);
        script.push((".", reply));
        let (report, _) = told(vec![script], None).await;
        assert_eq!(codes(&report), [code]);
    }
}

#[tokio::test]
async fn bad_input_tls_that_breaks_in_the_middle_is_no_reason_for_clear_text() {
    let start = || {
        vec![
            HELLO,
            ("EHLO us.example", "250-mx\r\n250 STARTTLS\r\n"),
            ("STARTTLS", "220 go\r\n<tls>"),
            ("EHLO us.example", "250 mx\r\n"),
        ]
    };
    let mut before = start();
    before.push(("MAIL", ""));
    let mut behind = start();
    behind.extend([
        ("MAIL", "250 ok\r\n"),
        ("RCPT", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        (".", ""),
    ]);
    for script in [before, behind] {
        let (tls, _) = self_signed_for("mx.example");
        let (report, said) = told(vec![script, willing()], Some(tls)).await;
        waits(&report, "connection lost");
        assert!(!report.tls_failed);
        assert_eq!(
            said.iter().filter(|line| line.starts_with("MAIL")).count(),
            1
        );
    }
}

#[tokio::test]
async fn bad_input_a_thousand_mx_are_a_few_attempts() {
    let runtime = Runtime::new();
    let no: Script = vec![HELLO, ("EHLO", "421 4.3.2 not now\r\n")];
    let server = Server::start(&runtime, local("127.0.0.1"), vec![no; 1_000]);
    let names: Vec<&'static str> = (0..1_000).map(|n| text(format!("mx{n}.example"))).collect();
    let records: Vec<(u16, &str)> = names.iter().map(|name| (10, *name)).collect();
    let mut dns = Names::default().with_mx("x.example", &records);
    for name in &names {
        dns = dns.with_address(name, "127.0.0.1");
    }
    let mut options = options();
    options.port = server.address.port();
    let ports = ports(&runtime, dns, options);
    let domain = Domain::parse("x.example").unwrap();
    let to = envelope(&["b@x.example"]);
    let tls = TlsPolicy::Opportunistic;
    let report = deliver_to_domain(&ports, &domain, tls, &to, &message()).await;
    assert_eq!(codes(&report), [421]);
    assert_eq!(server.said().len(), limits::ADDRESSES_MAX);
}
