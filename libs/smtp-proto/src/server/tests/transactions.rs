//! The order of commands, their syntax, their parameters.

use super::*;

#[test]
fn rfc_5321_appendix_d_1_a_typical_transaction() {
    let mut shell = Shell::mx();
    assert_eq!(shell.say("EHLO bar.com"), "250");
    for capability in [
        "250-PIPELINING",
        "250-SIZE 52428800",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250-ENHANCEDSTATUSCODES",
        "250-CHUNKING",
        "250 LIMITS RCPTMAX=1000",
    ] {
        assert!(
            shell.out.lines().any(|line| line == capability),
            "{capability}: {}",
            shell.out
        );
    }
    for absent in ["STARTTLS", "AUTH", "DSN", "BINARYMIME", "VRFY", "ETRN"] {
        assert!(!shell.out.contains(absent), "{absent}");
    }
    shell.dialogue(&[
        ("MAIL FROM:<Smith@bar.com>", "250 2.1.0"),
        ("RCPT TO:<Jones@foo.com>", "250 2.1.5"),
        ("RCPT TO:<nobody@foo.com>", "550 5.1.1"),
        ("RCPT TO:<Brown@foo.com>", "250 2.1.5"),
        ("DATA", "354"),
        ("Blah blah blah...\r\n..etc.", ""),
        (".", "250 2.0.0"),
        ("QUIT", "221 2.0.0"),
    ]);
    assert_eq!(shell.content, b"Blah blah blah...\r\n.etc.\r\n");
    assert_eq!(shell.closed, Some(CloseReason::Quit));
}

#[test]
fn rfc_2920_pipelined_replies_leave_together() {
    let mut shell = Shell::mx();
    shell.send(
        b"EHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<nobody@d.e>\r\nRCPT TO:<x@d.e>\r\nDATA\r\n",
    );
    let codes: Vec<&str> = shell
        .out
        .lines()
        .filter(|l| l.as_bytes()[3] == b' ')
        .map(|l| &l[..3])
        .collect();
    assert_eq!(codes, ["250", "250", "550", "250", "354"]);
    shell.out.clear();
    shell.send(b"x\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n");
    assert_eq!(shell.out.lines().count(), 3);
}

#[test]
fn rfc_5321_4_1_4_commands_out_of_order_leave_the_state_alone() {
    let mut shell = Shell::mx();
    shell.dialogue(&[
        ("MAIL FROM:<a@b.c>", "503 5.5.1"),
        ("RCPT TO:<a@b.c>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("EHLO a", "250"),
        ("RCPT TO:<a@b.c>", "503 5.5.1"),
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
        ("MAIL FROM:<a@b.c>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("RCPT TO:<nobody@b.c>", "550 5.1.1"),
        ("DATA", "554 5.5.1"),
        ("RCPT TO:<b c@b.c>", "553 5.1.3"),
        ("RCPT TO:<x@b.c>", "250 2.1.5"),
        ("BOGUS", "500 5.5.1"),
        ("NOOP ignored", "250 2.0.0"),
        ("DATA now", "501 5.5.4"),
        ("DATA", "354"),
        (".", "250 2.0.0"),
        ("DATA", "503 5.5.1"),
    ]);
}

#[test]
fn hello_and_rset_end_a_transaction() {
    for end in ["RSET", "EHLO again", "HELO again"] {
        let mut shell = Shell::mx();
        shell.transaction();
        assert!(shell.say(end).starts_with("250"));
        shell.dialogue(&[
            ("RCPT TO:<a@b.c>", "503 5.5.1"),
            ("MAIL FROM:<a@b.c>", "250 2.1.0"),
        ]);
    }
}

#[test]
fn rfc_5321_4_2_4_verbs_known_unknown_not_done() {
    let mut shell = Shell::mx();
    shell.dialogue(&[
        ("ehlo a", "250"),
        ("SEND FROM:<a@b.c>", "502 5.5.1"),
        ("SOML FROM:<a@b.c>", "502 5.5.1"),
        ("SAML FROM:<a@b.c>", "502 5.5.1"),
        ("TURN", "502 5.5.1"),
        ("AUTH PLAIN", "502 5.5.1"),
        ("STARTTLS", "502 5.5.1"),
        ("LHLO a", "500 5.5.1"),
        ("VRFY a", "252"),
        ("EXPN a", "252"),
        ("VRFY", "501 5.5.4"),
        ("VRFY a SMTPUTF8", "252"),
        ("VRFY \u{e9} SMTPUTF8", "252"),
        ("VRFY \u{e9}", "553 5.6.7"),
        ("HELP", "214 2.0.0"),
        ("RSET x", "501 5.5.4"),
        ("QUIT x", "501 5.5.4"),
        ("", "500 5.5.1"),
        ("EHLO", "501 5.5.4"),
        ("EHLO a b", "501 5.5.4"),
        ("EHLO é", "500 5.5.2"),
    ]);
}

#[test]
fn mail_parameters() {
    let mut shell = Shell::mx();
    assert_eq!(shell.say("EHLO a"), "250");
    for (line, want) in [
        ("MAIL FROM: <a@b.c> size=100 BODY=8bitmime", "250 2.1.0"),
        (
            "MAIL FROM:<a@b.c> AUTH=<> RET=HDRS ENVID=a+2Bb",
            "250 2.1.0",
        ),
        ("MAIL FROM:<\"a b\"@b.c>  SIZE=0 ", "250 2.1.0"),
        ("MAIL FROM:<@r.example:a@b.c>", "250 2.1.0"),
        ("MAIL FROM:<é@b.c> SMTPUTF8", "250 2.1.0"),
        ("MAIL FROM:<é@b.c>", "550 5.6.7"),
        ("MAIL FROM:<a@é.example>", "550 5.6.7"),
        ("MAIL FROM:<a@b.c> SIZE=52428801", "552 5.3.4"),
        ("MAIL FROM:<a@b.c> SIZE=99999999999999999999", "552 5.3.4"),
        ("MAIL FROM:<a@b.c> SIZE=-1", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SIZE=", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SIZE", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SIZE=1 SIZE=1", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> BODY=BINARYMIME", "555 5.6.1"),
        ("MAIL FROM:<a@b.c> BODY=9BIT", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> SMTPUTF8=1", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> FOO=1", "555 5.5.4"),
        ("MAIL FROM:<a@b.c>SIZE=1", "501 5.5.4"),
        ("MAIL FROM:a@b.c", "501 5.1.7"),
        ("MAIL FROM:<a@b.c", "501 5.1.7"),
        ("MAIL FROM:<a>", "553 5.1.7"),
        ("MAIL TO:<a@b.c>", "501 5.5.4"),
        ("MAIL", "501 5.5.4"),
    ] {
        assert_eq!(shell.say(line), want, "{line}");
        assert_eq!(shell.say("RSET"), "250 2.0.0");
    }
}

#[test]
fn rcpt_parameters() {
    let mut shell = Shell::mx();
    shell.dialogue(&[
        ("EHLO a", "250"),
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
        ("RCPT TO:<PostMaster>", "250 2.1.5"),
        (
            "RCPT TO:<a@b.c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@z",
            "250 2.1.5",
        ),
        ("RCPT TO:<@r.example,@s.example:a@b.c>", "250 2.1.5"),
        ("RCPT TO:<>", "553 5.1.3"),
        ("RCPT TO:<é@b.c>", "553 5.6.7"),
        ("RCPT TO:<a@b.c> NOTIFY=NEVER,DELAY", "501 5.5.4"),
        ("RCPT TO:<a@b.c> ORCPT=x", "501 5.5.4"),
        ("RCPT TO:<a@b.c> SIZE=1", "555 5.5.4"),
    ]);
    assert!(
        shell
            .seen
            .iter()
            .any(|event| event.contains("had_route: true"))
    );
}

#[test]
fn rfc_5321_4_5_3_1_10_too_many_recipients_is_temporary() {
    let mut config = Config::new(Role::Mx, "mx");
    config.recipients_max = 2;
    let mut shell = Shell::new(config, false);
    shell.transaction();
    shell.dialogue(&[
        ("RCPT TO:<d@d.example>", "250 2.1.5"),
        ("RCPT TO:<e@d.example>", "452 4.5.3"),
        ("DATA", "354"),
        (".", "250 2.0.0"),
    ]);
}

#[test]
fn rfc_1870_size_counts_unstuffed_octets() {
    let mut config = Config::new(Role::Mx, "mx");
    config.size_max = 5;
    let mut shell = Shell::new(config, false);
    shell.transaction();
    shell.dialogue(&[("DATA", "354"), ("..ab\r\n.", "250 2.0.0")]);
    shell.transaction();
    shell.dialogue(&[
        ("DATA", "354"),
        ("abcd\r\n.", "552 5.3.4"),
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
    ]);
    assert!(
        shell
            .seen
            .iter()
            .any(|event| event == "DataAborted(TooBig)")
    );
}

#[test]
fn refused_data_is_not_read_as_data() {
    let mut shell = Shell::mx();
    shell.transaction();
    shell.refuse_data = true;
    shell.dialogue(&[("DATA", "451 4.3.0"), ("NOOP", "250 2.0.0")]);
}

#[test]
fn the_shell_can_throw_a_message_away() {
    let mut shell = Shell::mx();
    shell.transaction();
    shell.dialogue(&[("DATA", "354")]);
    shell
        .session
        .discard_data(Reply::enhanced(452, (4, 3, 1), "full"));
    shell.dialogue(&[("abc\r\n.", "452 4.3.1"), ("DATA", "503 5.5.1")]);
    assert!(shell.content.is_empty());
}

fn wishful(tls: bool) -> Shell {
    let mut config = Config::new(Role::Mx, "mx.example.org");
    config.require_tls = true;
    config.wishes = WishOffers {
        hold_seconds_max: Some(86_400),
        deliver_by: true,
        priority: true,
        valid_since: true,
    };
    Shell::new(config, tls)
}

#[test]
fn wishes_for_a_messages_way() {
    let mut shell = wishful(true);
    assert_eq!(shell.say("EHLO a"), "250");
    for offer in [
        "FUTURERELEASE 86400 ",
        "DELIVERBY",
        "MT-PRIORITY",
        "RRVS",
        "REQUIRETLS",
    ] {
        assert!(shell.out.contains(offer), "{}", shell.out);
    }
    for (line, want) in [
        (
            "MAIL FROM:<a@b.c> HOLDFOR=86400 BY=60;R MT-PRIORITY=-3 REQUIRETLS",
            "250 2.1.0",
        ),
        (
            "MAIL FROM:<a@b.c> HOLDUNTIL=2026-11-26T18:00:00Z BY=-1;NT",
            "250 2.1.0",
        ),
        (
            "MAIL FROM:<a@b.c> HOLDFOR=1 HOLDUNTIL=2026-11-26T18:00:00Z",
            "501 5.5.4",
        ),
        ("MAIL FROM:<a@b.c> HOLDFOR=", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> HOLDUNTIL=tomorrow", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> BY=0;R", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> BY", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> MT-PRIORITY=10", "501 5.5.4"),
        ("MAIL FROM:<a@b.c> REQUIRETLS=1", "501 5.5.4"),
    ] {
        assert_eq!(shell.say(line), want, "{line}");
        assert_eq!(shell.say("RSET"), "250 2.0.0");
    }
    assert_eq!(shell.say("MAIL FROM:<a@b.c>"), "250 2.1.0");
    for (line, want) in [
        ("RCPT TO:<x@b.c> RRVS=2014-04-03T23:01:00Z", "250 2.1.5"),
        ("RCPT TO:<y@b.c> RRVS=2014-04-03T23:01:00Z;R", "250 2.1.5"),
        ("RCPT TO:<z@b.c> RRVS=2014", "501 5.5.4"),
        ("RCPT TO:<z@b.c> RRVS", "501 5.5.4"),
    ] {
        assert_eq!(shell.say(line), want, "{line}");
    }
    let mail = &shell.seen[1];
    assert!(
        mail.contains("hold: Some(For(86400))") && mail.contains("require_tls: true"),
        "{mail}"
    );
}

#[test]
fn wishes_that_are_not_offered_are_not_known_and_requiretls_needs_tls() {
    let mut shell = Shell::mx();
    shell.dialogue(&[
        ("EHLO a", "250"),
        ("MAIL FROM:<a@b.c> HOLDFOR=1", "555 5.5.4"),
        ("MAIL FROM:<a@b.c> BY=1;N", "555 5.5.4"),
        ("MAIL FROM:<a@b.c> MT-PRIORITY=1", "555 5.5.4"),
        ("MAIL FROM:<a@b.c> REQUIRETLS", "555 5.5.4"),
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
        ("RCPT TO:<x@b.c> RRVS=2014-04-03T23:01:00Z", "555 5.5.4"),
    ]);
    let mut clear = wishful(false);
    assert_eq!(clear.say("EHLO a"), "250");
    assert!(!clear.out.contains("REQUIRETLS"));
    clear.dialogue(&[
        ("MAIL FROM:<a@b.c> REQUIRETLS", "530 5.7.10"),
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
    ]);
}

#[test]
fn prdr_answers_for_each_recipient_and_then_for_all() {
    let mut config = Config::new(Role::Mx, "mx.example.org");
    config.prdr = true;
    let mut shell = Shell::new(config, false);
    assert_eq!(shell.say("EHLO a"), "250");
    assert!(shell.out.contains("PRDR"));
    for data in ["DATA\r\nx\r\n.\r\n", "BDAT 3 LAST\r\nx\r\n"] {
        shell.dialogue(&[
            ("MAIL FROM:<a@b.c> PRDR", "250 2.1.0"),
            ("RCPT TO:<nobody@b.c>", "550 5.1.1"),
            ("RCPT TO:<x@b.c>", "250 2.1.5"),
            ("RCPT TO:<y@b.c>", "250 2.1.5"),
        ]);
        shell.out.clear();
        shell.send(data.as_bytes());
        let codes = shell.out.lines().map(|line| &line[..3]);
        let codes: Vec<&str> = codes.filter(|code| *code != "354").collect();
        assert_eq!(codes, ["353", "250", "452", "250"], "{}", shell.out);
    }
    // One answer of the shell's is everybody's.
    shell.dialogue(&[
        ("MAIL FROM:<a@b.c> PRDR", "250 2.1.0"),
        ("RCPT TO:<x@b.c>", "250 2.1.5"),
        ("DATA", "354"),
    ]);
    shell.out.clear();
    shell.send(b"x\r\n.\r\n");
    let codes: Vec<&str> = shell.out.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["353", "250", "250"]);
    // Who does not ask has one answer.
    shell.dialogue(&[
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
        ("RCPT TO:<x@b.c>", "250 2.1.5"),
        ("RCPT TO:<y@b.c>", "250 2.1.5"),
        ("DATA", "354"),
    ]);
    shell.out.clear();
    shell.send(b"x\r\n.\r\n");
    assert_eq!(shell.out, "250 2.0.0 OK\r\n");
    assert_eq!(shell.say("MAIL FROM:<a@b.c> PRDR=1"), "501 5.5.4");
    assert_eq!(Shell::mx().say("MAIL FROM:<a@b.c> PRDR"), "503 5.5.1");
}

#[test]
fn rfc_1985_etrn_is_not_for_the_middle_of_a_transaction() {
    let mut config = Config::new(Role::Mx, "mx.example.org");
    config.etrn = true;
    let mut shell = Shell::new(config, false);
    shell.session.allow_etrn(true);
    assert_eq!(shell.say("ETRN b.example"), "503 5.5.1");
    assert_eq!(shell.say("EHLO a"), "250");
    assert!(shell.out.ends_with("250 ETRN\r\n"), "{}", shell.out);
    shell.dialogue(&[
        ("ETRN b.example", "250 2.0.0"),
        ("ETRN", "501 5.5.4"),
        ("ETRN @b.example", "501 5.5.4"),
        ("ETRN #queue", "501 5.5.4"),
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
        ("ETRN b.example", "503 5.5.1"),
    ]);
    assert_eq!(Shell::mx().say("ETRN b.example"), "502 5.5.1");
}

#[test]
fn rfc_2645_atrn_is_for_who_has_logged_in_on_its_own_port() {
    assert_eq!(Shell::mx().say("ATRN"), "502 5.5.1");
    let mut config = Config::new(Role::Submission, "mx.example");
    config.atrn = true;
    config.auth = AuthOffer::Always;
    let mut shell = Shell::new(config, false);
    assert_eq!(shell.say("ATRN"), "503 5.5.1");
    assert_eq!(shell.say("EHLO a.example"), "250");
    assert!(shell.out.ends_with("250 ATRN\r\n"), "{}", shell.out);
    for (line, want) in [
        ("MAIL FROM:<a@a.example>", "502 5.5.1"),
        ("ATRN a.example", "530 5.7.0"),
        ("AUTH PLAIN AGEAYg==", "235 2.7.0"),
        ("ATRN a..example", "501 5.5.4"),
        ("MAIL FROM:<a@a.example>", "502 5.5.1"),
        ("ATRN a.example, b.example", "250 2.0.0"),
    ] {
        assert_eq!(shell.say(line), want, "{line}");
    }
    assert!(
        shell
            .seen
            .iter()
            .any(|event| event.starts_with("Atrn([Domain(\"a.example\"), "))
    );
}
