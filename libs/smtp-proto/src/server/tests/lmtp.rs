//! RFC 2033.

use super::*;

fn lmtp() -> Shell {
    let mut shell = Shell::new(Config::new(Role::Lmtp, "mx"), false);
    shell.dialogue(&[
        ("EHLO a", "500 5.5.1"),
        ("HELO a", "500 5.5.1"),
        ("LHLO a", "250"),
        ("MAIL FROM:<a@b.c>", "250 2.1.0"),
    ]);
    shell
}

#[test]
fn rfc_2033_4_2_one_reply_for_each_accepted_recipient() {
    let mut shell = lmtp();
    shell.dialogue(&[
        ("RCPT TO:<a@b.c>", "250 2.1.5"),
        ("RCPT TO:<nobody@b.c>", "550 5.1.1"),
        ("RCPT TO:<b@b.c>", "250 2.1.5"),
        ("RCPT TO:<c@b.c>", "250 2.1.5"),
        ("DATA", "354"),
    ]);
    shell.out.clear();
    shell.send(b"x\r\n.\r\nNOOP\r\n");
    let codes: Vec<&str> = shell.out.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "452", "250", "250"]);
}

#[test]
fn a_fault_is_told_to_each_recipient() {
    let mut shell = lmtp();
    shell.dialogue(&[
        ("RCPT TO:<a@b.c>", "250 2.1.5"),
        ("RCPT TO:<b@b.c>", "250 2.1.5"),
        ("DATA", "354"),
    ]);
    shell.out.clear();
    shell.send(b"x\n.\ny\r\n.\r\nNOOP\r\n");
    let codes: Vec<&str> = shell.out.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["550", "550", "250"]);
}

#[test]
fn rfc_2033_4_2_data_without_recipients_is_503() {
    let mut shell = lmtp();
    shell.dialogue(&[("RCPT TO:<nobody@b.c>", "550 5.1.1"), ("DATA", "503 5.5.1")]);
}
