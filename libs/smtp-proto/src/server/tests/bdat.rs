//! RFC 3030: CHUNKING and BINARYMIME.

use super::*;

#[test]
fn rfc_3030_4_1_chunks() {
    let mut shell = Shell::mx();
    shell.transaction();
    shell.out.clear();
    shell.send(b"BDAT 6\r\na\r\n.\r\nBDAT 3 LAST\r\n.b\nNOOP\r\n");
    let codes: Vec<&str> = shell.out.lines().map(|line| &line[..9]).collect();
    assert_eq!(codes, ["250 2.0.0", "250 2.0.0", "250 2.0.0"]);
    assert_eq!(shell.content, b"a\r\n.\r\n.b\r\n");
    assert!(shell.seen.contains(&"DataEnd { size: 10 }".to_owned()));
}

#[test]
fn an_empty_last_chunk_ends_the_message() {
    let mut shell = Shell::mx();
    shell.transaction();
    shell.dialogue(&[("BDAT 0", "250 2.0.0"), ("BDAT 0 LAST", "250 2.0.0")]);
    assert!(shell.seen.contains(&"DataEnd { size: 0 }".to_owned()));
}

#[test]
fn threat_05_data_and_bdat_do_not_mix() {
    let mut shell = Shell::mx();
    shell.transaction();
    shell.out.clear();
    shell.send(b"BDAT 2\r\nab");
    shell.dialogue(&[
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:<a@b.c>", "503 5.5.1"),
        ("RCPT TO:<a@b.c>", "503 5.5.1"),
        ("EHLO x", "503 5.5.1"),
        ("NOOP", "250 2.0.0"),
        ("BDAT 0 LAST", "250 2.0.0"),
    ]);
    assert_eq!(shell.content, b"ab\r\n");
}

#[test]
fn a_chunk_out_of_order_is_swallowed_whole() {
    let mut shell = Shell::mx();
    shell.dialogue(&[("EHLO a", "250"), ("MAIL FROM:<a@b.c>", "250 2.1.0")]);
    shell.out.clear();
    shell.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
    let codes: Vec<&str> = shell.out.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["503", "250"]);
    assert_eq!(shell.closed, None);
}

#[test]
fn a_refused_first_chunk_is_swallowed_and_ends_the_transaction() {
    let mut shell = Shell::mx();
    shell.transaction();
    shell.refuse_data = true;
    shell.out.clear();
    shell.send(b"BDAT 6\r\nQUIT\r\nBDAT 3 LAST\r\nabcRSET\r\n");
    let codes: Vec<&str> = shell.out.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["451", "503", "250"]);
}

#[test]
fn rset_throws_chunks_away() {
    let mut shell = Shell::mx();
    shell.transaction();
    shell.send(b"BDAT 2\r\nab");
    shell.dialogue(&[("RSET", "250 2.0.0"), ("MAIL FROM:<a@b.c>", "250 2.1.0")]);
}

#[test]
fn threat_05_a_size_that_lies_closes() {
    for line in [
        "BDAT",
        "BDAT x",
        "BDAT -1",
        "BDAT 5 FIRST",
        "BDAT 5 LAST x",
        "BDAT 99999999999999999999999",
        "BDAT 18446744073709551615",
        "BDAT +5",
        "BDAT 0x10",
    ] {
        let mut shell = Shell::mx();
        shell.transaction();
        let reply = shell.say(line);
        assert!(
            reply == "501 5.5.4" || reply == "552 5.3.4",
            "{line}: {reply}"
        );
        assert_eq!(shell.closed, Some(CloseReason::Desynchronised), "{line}");
    }
}

#[test]
fn chunks_are_bounded_together() {
    let mut config = Config::new(Role::Mx, "mx");
    config.size_max = 5;
    let mut shell = Shell::new(config, false);
    shell.transaction();
    shell.out.clear();
    shell.send(b"BDAT 4\r\nabcdBDAT 4\r\nefghBDAT 1 LAST\r\ni");
    let codes: Vec<&str> = shell.out.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "552", "503"]);
}

fn binary() -> Shell {
    let mut config = Config::new(Role::Mx, "mx.example.org");
    config.binary_mime = true;
    let mut shell = Shell::new(config, false);
    shell.say("EHLO a");
    shell
}

#[test]
fn rfc_3030_3_binary_parts_become_base64_as_they_come_in() {
    let message = b"Content-Type: a/b\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\n.\n\r\r\xff";
    for cut in 0..message.len() {
        let mut shell = binary();
        shell.dialogue(&[
            ("MAIL FROM:<a@b.c> BODY=BINARYMIME", "250 2.1.0"),
            ("RCPT TO:<x@b.c>", "250 2.1.5"),
        ]);
        let (first, second) = message.split_at(cut);
        shell.send(format!("BDAT {}\r\n", first.len()).as_bytes());
        shell.send(first);
        shell.send(format!("BDAT {} LAST\r\n", second.len()).as_bytes());
        shell.send(second);
        assert!(shell.out.ends_with("250 2.0.0 OK\r\n"), "{}", shell.out);
        assert_eq!(
            shell.content,
            b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\nAAouCg0N/w==\r\n"
        );
    }
}

#[test]
fn rfc_3030_3_a_binary_message_does_not_come_by_data() {
    let mut shell = binary();
    assert!(shell.say("EHLO a").starts_with("250"));
    assert!(shell.out.contains("BINARYMIME"));
    shell.dialogue(&[
        ("MAIL FROM:<a@b.c> BODY=BINARYMIME", "250 2.1.0"),
        ("RCPT TO:<x@b.c>", "250 2.1.5"),
        ("DATA", "503 5.5.1"),
        ("BDAT 0 LAST", "250 2.0.0"),
        // The next message is one of lines again.
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
        ("RCPT TO:<x@b.c>", "250 2.1.5"),
        ("DATA", "354"),
    ]);
}

#[test]
fn a_nul_that_no_encoding_takes_and_a_lone_dot_are_refused_in_a_binary_message_too() {
    for bad in [&b"Subject: \0\r\n\r\n"[..], b"Subject: x\n\n.\n"] {
        let mut shell = binary();
        shell.dialogue(&[
            ("MAIL FROM:<a@b.c> BODY=BINARYMIME", "250 2.1.0"),
            ("RCPT TO:<x@b.c>", "250 2.1.5"),
        ]);
        shell.out.clear();
        shell.send(format!("BDAT {} LAST\r\n", bad.len()).as_bytes());
        shell.send(bad);
        assert!(shell.out.starts_with("55"), "{}", shell.out);
    }
}
