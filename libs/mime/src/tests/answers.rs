//! Known answers: structure, envelope, sections, preview.

use super::samples::{DEEP, DIGEST};
use super::{cached, check_digest, crlf, envelope_of, shown, structure_of, text};

#[test]
fn a_plain_message_is_one_text() {
    let message = "Subject: x\n\nhello\nworld\n";
    let expected = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 14 2 NIL NIL NIL NIL)"#;
    assert_eq!(structure_of(message), expected);
    let digest = crate::digest(&crlf(message));
    assert_eq!(
        text(&digest.body),
        r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 14 2)"#
    );
    assert_eq!((digest.header_len, digest.lines, digest.size), (14, 2, 28));
    assert_eq!(digest.preview, "hello world");
}

#[test]
fn extension_data_and_parameters_are_written() {
    let message = "\
Content-Type: TEXT/PLAIN; charset=\"utf-8\"; format=flowed (a comment)
Content-ID: <id@x>
Content-Description: a \"quoted\" one
Content-Transfer-Encoding: Quoted-Printable
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Disposition: attachment; filename*0=a; filename*1=\"b c.txt\"; size=12
Content-Language: en, zh-Hans
Content-Location: http://example.org/x
Content-Type: text/html

x
";
    assert_eq!(
        structure_of(message),
        "(\"TEXT\" \"PLAIN\" (\"charset\" \"utf-8\" \"format\" \"flowed\") \"<id@x>\" \"a \\\"quoted\\\" one\" \
         \"Quoted-Printable\" 3 1 \"Q2hlY2sgSW50ZWdyaXR5IQ==\" \
         (\"attachment\" (\"filename\" \"ab c.txt\" \"size\" \"12\")) (\"en\" \"zh-Hans\") \"http://example.org/x\")"
    );
    let digest = crate::digest(&crlf(message));
    assert_eq!(digest.parts.root().name.as_deref(), Some("ab c.txt"));
    assert_eq!(digest.parts.root().content_id.as_deref(), Some("id@x"));
}

#[test]
fn the_deep_message_has_the_structure_of_rfc_9051_section_6_4_5_1() {
    let plain = r#""text" "plain" ("charset" "us-ascii") NIL NIL "7bit""#;
    let digest = crate::digest(&crlf(DEEP));
    check_digest(&digest, crlf(DEEP).len());
    let third = r#"(NIL "third" ((NIL NIL "b" "example.org")) ((NIL NIL "b" "example.org")) ((NIL NIL "b" "example.org")) NIL NIL NIL NIL NIL)"#;
    let nils = r#"(NIL "four two" NIL NIL NIL NIL NIL NIL NIL NIL)"#;
    let octets = r#""application" "octet-stream" NIL NIL NIL "7bit""#;
    assert_eq!(
        text(&digest.body),
        format!(
            "(({plain} 3 0)({octets} 3)(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 179 {third} \
             (({plain} 9 0)({octets} 9) \"mixed\") 11)\
             ((\"image\" \"gif\" NIL NIL NIL \"base64\" 8)(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 142 {nils} \
             (({plain} 5 0)(\"text\" \"html\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 11 0) \"alternative\") 10) \"mixed\") \"mixed\")"
        )
    );
}

#[test]
fn sections_of_the_deep_message() {
    let message = crlf(DEEP);
    let show = |spec| shown(&message, b"", spec);
    assert_eq!(show("1").as_deref(), Some("one"));
    assert_eq!(
        show("1.MIME").as_deref(),
        Some("Content-Type: text/plain\r\n\r\n")
    );
    assert_eq!(
        show("3.HEADER")
            .as_deref()
            .map(|h| h.starts_with("From: b@") && h.ends_with("inner\r\n\r\n")),
        Some(true)
    );
    assert_eq!(
        show("3.TEXT")
            .as_deref()
            .map(|h| h.starts_with("--inner\r\n") && h.ends_with("--inner--")),
        Some(true)
    );
    assert_eq!(
        show("3.MIME").as_deref(),
        Some("Content-Type: message/rfc822\r\n\r\n")
    );
    assert_eq!(show("3.1").as_deref(), Some("three one"));
    assert_eq!(show("3.1.MIME").as_deref(), Some("\r\n"));
    assert_eq!(show("3.2").as_deref(), Some("three two"));
    assert_eq!(show("4.1").as_deref(), Some("R0lGODlh"));
    assert_eq!(
        show("4.2.HEADER")
            .as_deref()
            .map(|h| h.starts_with("Subject: four two")),
        Some(true)
    );
    assert_eq!(show("4.2.1").as_deref(), Some("plain"));
    assert_eq!(
        show("4.2.2.MIME").as_deref(),
        Some("Content-Type: text/html\r\n\r\n")
    );
    assert_eq!(show("4.2.2").as_deref(), Some("<p>rich</p>"));
    for missing in [
        "0",
        "5",
        "1.1",
        "1.HEADER",
        "4.TEXT",
        "3.3",
        "4.2.1.1",
        "MIME",
        "4.2.2.HEADER",
    ] {
        assert_eq!(show(missing), None, "{missing}");
    }
    assert_eq!(
        show("TEXT").map(|t| t.starts_with("preamble") && t.ends_with("epilogue\r\n")),
        Some(true)
    );
    assert_eq!(show("").map(String::into_bytes), Some(message.clone()));
}

#[test]
fn a_message_that_is_no_multipart_has_part_one() {
    let message = crlf("Subject: x\n\nhello\n");
    let prefix = b"Return-Path: <a@b>\r\n";
    let show = |spec| shown(&message, prefix, spec);
    assert_eq!(show("1").as_deref(), Some("hello\r\n"));
    assert_eq!(show("TEXT").as_deref(), Some("hello\r\n"));
    assert_eq!(
        show("HEADER").as_deref(),
        Some("Return-Path: <a@b>\r\nSubject: x\r\n\r\n")
    );
    assert_eq!(
        show("1.MIME").as_deref(),
        Some("Return-Path: <a@b>\r\nSubject: x\r\n\r\n")
    );
    assert_eq!(
        show("").as_deref(),
        Some("Return-Path: <a@b>\r\nSubject: x\r\n\r\nhello\r\n")
    );
    assert_eq!(show("2"), None);
    assert_eq!(show("1.1"), None);
}

#[test]
fn a_message_that_is_a_message_has_it_as_part_one() {
    let message = crlf("Content-Type: message/rfc822\n\nSubject: in\n\nhello\n");
    assert_eq!(
        shown(&message, b"", "1.HEADER").as_deref(),
        Some("Subject: in\r\n\r\n")
    );
    assert_eq!(shown(&message, b"", "1.1").as_deref(), Some("hello\r\n"));
    assert_eq!(shown(&message, b"", "1.1.1"), None);
}

#[test]
fn parts_of_a_digest_are_messages_and_nothing_follows_its_end() {
    let message = crlf(DIGEST);
    assert_eq!(
        shown(&message, b"", "1.HEADER").as_deref(),
        Some("From: m1@example.com\r\nSubject: m1\r\n\r\n")
    );
    assert_eq!(
        shown(&message, b"", "2.MIME").as_deref(),
        Some("X-Mime: yes\r\n\r\n")
    );
    assert_eq!(shown(&message, b"", "2.1").as_deref(), Some("body two\r\n"));
    assert_eq!(shown(&message, b"", "3"), None);
}

#[test]
fn an_outer_boundary_ends_inner_parts() {
    let message = crlf(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n\
         --b\n\nfirst\n--a\n\nsecond",
    );
    assert_eq!(shown(&message, b"", "1.1").as_deref(), Some("first"));
    assert_eq!(shown(&message, b"", "2").as_deref(), Some("second"));
    check_digest(&crate::digest(&message), message.len());
}

#[test]
fn boundaries_that_are_like_each_other_are_told_apart() {
    let message = crlf(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=\"ab\"\n\n\
         --ab\n\nfirst\n--abc\n -- a\n--ab--\n--a\t \n\nsecond\n--a--",
    );
    assert_eq!(
        shown(&message, b"", "1.1").as_deref(),
        Some("first\r\n--abc\r\n -- a")
    );
    assert_eq!(shown(&message, b"", "2").as_deref(), Some("second"));
}

#[test]
fn a_boundary_in_a_header_ends_the_header() {
    let message = crlf(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n--a\n--a--\n",
    );
    let digest = crate::digest(&message);
    check_digest(&digest, message.len());
    assert_eq!(
        shown(&message, b"", "1.MIME").as_deref(),
        Some("Content-Type: message/rfc822\r\n")
    );
    assert_eq!(shown(&message, b"", "1").as_deref(), Some(""));
    assert_eq!(shown(&message, b"", "2").as_deref(), Some(""));
}

#[test]
fn empty_and_impossible_multiparts() {
    let empty = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)"#;
    let no_parts = "Content-Type: multipart/mixed; boundary=a\n\nnothing here\n";
    let expected = format!(r#"({empty} "mixed" ("boundary" "a") NIL NIL NIL)"#);
    assert_eq!(structure_of(no_parts), expected);
    assert_eq!(shown(&crlf(no_parts), b"", "1").as_deref(), Some(""));
    // Without a boundary it is shown as the text it is.
    let no_boundary = "Content-Type: multipart/mixed\n\nhello\n";
    let expected = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 1 NIL NIL NIL NIL)"#;
    assert_eq!(structure_of(no_boundary), expected);
    assert_eq!(structure_of("Content-Type: nonsense\n\nhello\n"), expected);
    for message in ["", "\n", "\r", "x", "Subject: x", "\n\n", "--", ": \n x"] {
        check_digest(&crate::digest(message.as_bytes()), message.len());
    }
}

#[test]
fn what_follows_a_content_type_does_not_spoil_it() {
    for (field, kind) in [
        ("application/pdf name=\"x.pdf\"", "application/pdf"),
        ("Text / HTML (comment)", "text/html"),
        ("text/plain>", "text/plain"),
        ("/plain", "text/plain"),
        ("image/", "text/plain"),
        ("a b/c", "text/plain"),
    ] {
        let digest = crate::digest(&crlf(&format!("Content-Type: {field}\n\nx")));
        assert_eq!(digest.parts.root().media_type, kind, "{field}");
    }
}

#[test]
fn a_boundary_may_be_folded() {
    let message = crlf(
        "Content-Type: multipart/mixed; boundary=\"foo\n bar\"\n\n--foo bar\nContent-Type: text/x-myown; charset=us-ascii\n\nhello\n\n--foo bar--\n",
    );
    assert_eq!(
        text(&crate::digest(&message).body),
        r#"(("text" "x-myown" ("charset" "us-ascii") NIL NIL "7bit" 7 1) "mixed")"#
    );
}

#[test]
fn envelopes_name_everybody() {
    assert_eq!(
        envelope_of(
            "Message-ID: <m@x>\nIn-Reply-To: <r@x>\nDate: Thu, 15 Feb 2007 01:02:03 +0200\nSubject: a \"b\"\n\tc\\\nFrom: A B <a@x>\nSender: s@x (S)\nReply-To: \nTo: g: t@x, u@y;, <@r,@q:v@z>\nCc: \"quoted \\\" name\" <\"l l\"@x>\nBcc: none:;\nTo: w@x\n\n"
        ),
        "(\"Thu, 15 Feb 2007 01:02:03 +0200\" \"a \\\"b\\\"\tc\\\\\" \
         ((\"A B\" NIL \"a\" \"x\")) ((\"S\" NIL \"s\" \"x\")) ((\"A B\" NIL \"a\" \"x\")) \
         ((NIL NIL \"g\" NIL)(NIL NIL \"t\" \"x\")(NIL NIL \"u\" \"y\")(NIL NIL NIL NIL)(NIL \"@r,@q\" \"v\" \"z\")(NIL NIL \"w\" \"x\")) \
         ((\"quoted \\\" name\" NIL \"l l\" \"x\")) ((NIL NIL \"none\" NIL)(NIL NIL NIL NIL)) \"<r@x>\" \"<m@x>\")"
    );
    assert_eq!(
        envelope_of("\n"),
        "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    );
}

#[test]
fn raw_letters_become_encoded_words() {
    let chinese = encoding_rs::GB18030
        .encode("Subject: 关于明天上午会议的通知，请各位同事准时参加\r\n\r\n")
        .0
        .into_owned();
    let digest = crate::digest(&chinese);
    assert_eq!(digest.subject, "关于明天上午会议的通知，请各位同事准时参加");
    assert!(text(&digest.envelope).starts_with("(NIL \"=?utf-8?B?"));
    let mixed = "Subject: =?utf-8?Q?=E4=BD=A0?= 好\nFrom: 王 <王@例子.中国>\n\n";
    assert_eq!(
        envelope_of(mixed).split(" NIL NIL NIL").next(),
        Some(
            "(NIL \"=?utf-8?B?5L2gIOWlvQ==?=\" ((\"=?utf-8?B?546L?=\" NIL \"=?utf-8?B?546L?=\" \"=?utf-8?B?5L6L5a2QLuS4reWbvQ==?=\")) ((\"=?utf-8?B?546L?=\" NIL \"=?utf-8?B?546L?=\" \"=?utf-8?B?5L6L5a2QLuS4reWbvQ==?=\")) ((\"=?utf-8?B?546L?=\" NIL \"=?utf-8?B?546L?=\" \"=?utf-8?B?5L6L5a2QLuS4reWbvQ==?=\"))"
        )
    );
    check_digest(&crate::digest(&crlf(mixed)), crlf(mixed).len());
}

#[test]
fn previews_take_the_text_and_leave_attachments() {
    let message = crlf(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/plain\nContent-Disposition: attachment\n\nno\n\
         --a\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>html</p>\n--b\n\
         Content-Type: text/plain; charset=gb2312\nContent-Transfer-Encoding: base64\n\nxOO6\nww==\n--b--\n--a--\n",
    );
    assert_eq!(crate::digest(&message).preview, "你好");
    let html = crlf(
        "Content-Type: text/html; charset=utf-8\n\n<style>x</style>\n<p>Hello   &amp;\n<b>you</b>",
    );
    assert_eq!(crate::digest(&html).preview, "Hello & you");
    let long = crlf(&format!("\n{}", "字 ".repeat(500)));
    assert_eq!(crate::digest(&long).preview.chars().count(), 199);
}

#[test]
fn cached_fields_answer_only_what_they_hold() {
    let message = crlf("Received: x\nSubject: a\n b\nTo: t@x\nSubject: c\nX-Other: y\n\n");
    let digest = crate::digest(&message);
    assert_eq!(
        cached(&digest, &["SUBJECT"]).as_deref(),
        Some(&b"Subject: a\r\n b\r\nSubject: c\r\n\r\n"[..])
    );
    assert_eq!(cached(&digest, &["cc"]).as_deref(), Some(&b"\r\n"[..]));
    assert_eq!(cached(&digest, &["subject", "received"]), None);
    let huge = crlf(&format!("To: {}\nSubject: a\n\n", "x@y, ".repeat(20_000)));
    let digest = crate::digest(&huge);
    assert!(!digest.fields_complete);
    assert_eq!(cached(&digest, &["subject"]), None);
    assert_eq!(digest.subject, "a");
}
