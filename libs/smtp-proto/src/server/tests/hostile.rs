//! What peers should not send.

use super::*;

fn smuggling(variant: &str) {
    let mut shell = Shell::mx();
    shell.transaction();
    shell.dialogue(&[("DATA", "354")]);
    shell.out.clear();
    shell.send(
        format!("a\r\nb{variant}MAIL FROM:<evil@b.c>\r\nRCPT TO:<x@y.z>\r\n.\r\nNOOP\r\n")
            .as_bytes(),
    );
    let codes: Vec<&str> = shell.out.lines().map(|line| &line[..9]).collect();
    assert!(
        codes == ["550 5.6.0", "250 2.0.0"] || codes == ["554 5.6.0", "250 2.0.0"],
        "{variant:?}: {codes:?}"
    );
    assert!(!shell.seen.iter().any(|event| event.contains("evil")));
}

#[test]
fn threat_01_vu_302671_smuggling_is_refused_at_the_true_end() {
    for variant in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r\n.\r",
        "\r.\r\n",
        "\r.\n",
        "\n.\r",
        "\r\n.\0\r\n",
        "\r\n\0.\r\n",
        "\0\n.\0\n",
        "\r\n.\r\0\n",
    ] {
        smuggling(variant);
    }
}

#[test]
fn threat_04_another_protocol_is_closed_at_once_without_a_word() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"POST /x HTTP/1.1\r\nHost: a\r\n\r\nEHLO a\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"SSH-2.0-x\r\n",
        b"* OK hello\r\n",
        b"+OK hello\r\n",
        b"220 mx ESMTP\r\n",
        b"\0",
        b"\xff\xfb\x01",
        b"PRI * HTTP/2.0\r\n",
        b"options / http/1.0\r\n",
    ] {
        let mut shell = Shell::mx();
        shell.send(bytes);
        assert_eq!(shell.closed, Some(CloseReason::OtherProtocol), "{bytes:?}");
        assert_eq!(shell.out, "");
    }
}

#[test]
fn threat_04_eleven_unknown_verbs_close() {
    let mut shell = Shell::mx();
    for _ in 0..10 {
        assert_eq!(shell.say("XYZZY"), "500 5.5.1");
    }
    assert_eq!(shell.say("XYZZY"), "421 4.7.0");
    assert_eq!(shell.closed, Some(CloseReason::TooManyErrors));
}

#[test]
fn threat_05_errors_and_idle_commands_are_bounded() {
    for (line, bound) in [
        ("MAIL x", 102),
        ("NOOP", 1001),
        ("RSET", 1001),
        ("EHLO a", 1001),
        ("VRFY x", 1001),
    ] {
        let mut shell = Shell::mx();
        let mut said = 0;
        while shell.closed.is_none() && said < 2000 {
            shell.say(line);
            said += 1;
        }
        assert!(said <= bound, "{line}: {said}");
        assert!(shell.out.starts_with("421 4.7.0"));
    }
}

#[test]
fn threat_05_a_million_recipients_are_not_tried() {
    let mut shell = Shell::mx();
    shell.transaction();
    let mut said = 0;
    while shell.closed.is_none() && said < 2000 {
        shell.say("RCPT TO:<nobody@b.c>");
        said += 1;
    }
    assert_eq!(said, 1001);
}

#[test]
fn threat_05_recipients_beyond_the_limit_end_too_but_not_soon() {
    let mut shell = Shell::mx();
    shell.transaction();
    for _ in 1..1000 {
        assert_eq!(shell.say("RCPT TO:<x@b.c>"), "250 2.1.5");
    }
    for _ in 0..10_000 {
        assert_eq!(shell.say("RCPT TO:<x@b.c>"), "452 4.5.3");
    }
    assert_eq!(shell.closed, None);
    shell.say("RCPT TO:<x@b.c>");
    assert_eq!(shell.closed, Some(CloseReason::TooManyErrors));
}

#[test]
fn threat_05_lines_that_do_not_end_in_crlf_are_errors_and_not_commands() {
    let mut shell = Shell::mx();
    assert_eq!(shell.say("EHLO a"), "250");
    for line in [
        &b"MAIL FROM:<a@b.c>\n"[..],
        b"NOOP\r NOOP\r\n",
        b"NO\0OP\r\n",
        b"VRFY \xff\r\n",
        b"NOOP\x1b[2J\r\n",
    ] {
        shell.out.clear();
        shell.send(line);
        assert!(
            shell.out.starts_with("500 5.5.2"),
            "{line:?}: {}",
            shell.out
        );
        assert_eq!(shell.out.lines().count(), 1);
    }
    assert_eq!(shell.say("MAIL FROM:<a@b.c>"), "250 2.1.0");
}

#[test]
fn threat_05_an_overlong_line_is_skipped() {
    let mut shell = Shell::mx();
    let long = format!("NOOP {}", "x".repeat(4096));
    shell.dialogue(&[(&long, "500 5.5.2"), ("NOOP", "250 2.0.0")]);
    // With its CRLF this one just fits.
    let fits = format!("NOOP {}", "x".repeat(4089));
    assert_eq!(shell.say(&fits), "250 2.0.0");
    shell.send(&vec![b'x'; 2 << 20]);
    assert_eq!(shell.closed, Some(CloseReason::TooManyErrors));
}

#[test]
fn nothing_is_kept_of_what_is_far_too_big() {
    let mut config = Config::new(Role::Mx, "mx");
    config.size_max = 10;
    let mut shell = Shell::new(config, false);
    shell.transaction();
    shell.dialogue(&[("DATA", "354")]);
    shell.out.clear();
    let block = [b'x'; 64 << 10];
    let mut sent = 0u64;
    while shell.closed.is_none() && sent < 80 << 20 {
        shell.send(&block);
        sent += block.len() as u64;
    }
    assert_eq!(shell.closed, Some(CloseReason::Desynchronised));
    assert!(shell.content.len() <= 10);
    assert!(shell.out.starts_with("552 5.3.4"));
}

#[test]
fn threat_05_a_flood_of_parameters_is_one_error() {
    use crate::limits::PARAMETERS_MAX;
    let mut shell = Shell::mx();
    shell.say("EHLO a");
    let known = "SIZE=1 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x AUTH=<>";
    for (count, want) in [
        (PARAMETERS_MAX - 6, "555 5.5.4"),
        (PARAMETERS_MAX - 5, "501 5.5.4"),
        (700, "501 5.5.4"),
    ] {
        let flood: String = (0..count).map(|n| format!(" X{n}")).collect();
        let line = format!("MAIL FROM:<a@b.c> {known}{flood}");
        assert_eq!(shell.say(&line), want, "{count}");
    }
    // The line that they are in has its own bound.
    let line = format!("MAIL FROM:<a@b.c>{}", " X=1".repeat(2_000));
    assert_eq!(shell.say(&line), "500 5.5.2");
    assert_eq!(
        shell.say(&format!("MAIL FROM:<a@b.c> {known}")),
        "250 2.1.0"
    );
}
