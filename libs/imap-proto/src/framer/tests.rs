//! Dialogues of the framer, and that no split and no garbage changes them.

use super::*;
use proptest::prelude::*;

/// What happened, without borrowed bytes; neighbouring slices of a message are joined.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Command(String),
    Continue,
    Append(String, u64),
    Next(usize, u64),
    Data(Vec<u8>),
    End(bool),
    Bad(String, String),
    Fatal,
    Foreign,
}

fn record(seen: &mut Vec<Seen>, framer: &mut Framer, event: &Event<'_>, append_max: u64) {
    let event = match event {
        Event::Command(bytes) | Event::Line(bytes) => {
            Seen::Command(String::from_utf8_lossy(bytes).into_owned())
        }
        Event::Continue => Seen::Continue,
        Event::Append { head, literal } => {
            let size = literal.map_or(0, |literal| literal.size);
            if size > append_max {
                let _ = framer.refuse_append(10_000);
            } else {
                framer.accept_append();
            }
            let name = head.as_ref().map(|h| h.mailbox.to_string());
            Seen::Append(name.unwrap_or_default(), size)
        }
        Event::AppendNext { parts, literal } => {
            if literal.size > append_max {
                let _ = framer.refuse_append(10_000);
            } else {
                framer.accept_append();
            }
            Seen::Next(parts.len(), literal.size)
        }
        Event::AppendData(data) => {
            if let Some(Seen::Data(last)) = seen.last_mut() {
                last.extend_from_slice(data);
                return;
            }
            Seen::Data(data.to_vec())
        }
        Event::AppendEnd(result) => Seen::End(result.is_ok()),
        Event::Bad { tag, text } => Seen::Bad(
            tag.as_ref().map(ToString::to_string).unwrap_or_default(),
            (*text).to_owned(),
        ),
        Event::Fatal(_) => Seen::Fatal,
        Event::Foreign => Seen::Foreign,
    };
    seen.push(event);
}

fn run(authenticated: bool, input: &[u8], cuts: &[usize]) -> Vec<Seen> {
    let mut framer = Framer::new();
    if authenticated {
        framer.set_authenticated();
    }
    let mut seen = Vec::new();
    let mut pending = Vec::new();
    let mut ends: Vec<usize> = cuts.iter().map(|c| c % (input.len() + 1)).collect();
    ends.push(input.len());
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        pending.extend_from_slice(&input[start..end]);
        start = end;
        loop {
            let unread = std::mem::take(&mut pending);
            let step = framer.poll(&unread);
            let consumed = step.consumed;
            let more = step.event.is_some();
            if let Some(event) = &step.event {
                record(&mut seen, &mut framer, event, 1000);
            }
            pending = unread[consumed..].to_vec();
            if !more {
                break;
            }
        }
    }
    seen
}

fn command(text: &str) -> Seen {
    Seen::Command(text.to_owned())
}

fn bad(tag: &str, text: &str) -> Seen {
    Seen::Bad(tag.to_owned(), text.to_owned())
}

#[test]
fn literals_stand_in_the_command_as_they_came() {
    let seen = run(false, b"a LOGIN {5}\r\nalice {4+}\r\ndemo\r\nb NOOP\n", &[]);
    assert_eq!(
        seen,
        [
            Seen::Continue,
            command("a LOGIN {5}\r\nalice {4+}\r\ndemo"),
            command("b NOOP")
        ]
    );
}

#[test]
fn the_message_of_an_append_is_streamed_and_its_mailbox_may_be_a_literal() {
    let seen = run(
        true,
        b"a APPEND {5+}\r\nINBOX (\\Seen) {12}\r\nhello\r\nthere\r\nb NOOP\r\n",
        &[],
    );
    let [
        Seen::Append(name, 12),
        Seen::Data(data),
        Seen::End(true),
        next,
    ] = seen.as_slice()
    else {
        panic!("{seen:?}");
    };
    assert_eq!(
        (name.as_str(), data.as_slice()),
        ("INBOX", b"hello\r\nthere".as_slice())
    );
    assert_eq!(next, &command("b NOOP"));
}

#[test]
fn several_messages_and_texts_are_told_apart() {
    let seen = run(
        true,
        b"a APPEND x {2}\r\nhi (\\Seen) CATENATE (URL {2}\r\n/y TEXT {4}\r\na\r\nb TEXT {0}\r\n URL /z)\r\nb NOOP\r\n",
        &[],
    );
    assert_eq!(
        seen,
        [
            Seen::Append("x".into(), 2),
            Seen::Data(b"hi".to_vec()),
            Seen::Continue,
            Seen::Next(4, 4),
            Seen::Data(b"a\r\nb".to_vec()),
            Seen::Next(1, 0),
            Seen::End(true),
            command("b NOOP"),
        ]
    );
}

#[test]
fn what_is_wrong_behind_a_message_never_shifts_the_stream() {
    for (input, next) in [
        (&b"a APPEND x {2+}\r\nhi junk\r\nb NOOP\r\n"[..], 2),
        (b"a APPEND x {2+}\r\nhi {3+} \r\nb NOOP\r\n", 2),
        (
            b"a APPEND x {2+}\r\nhi what {8+}\r\nc NOOP\r\n {8+}\r\nc NOOP\r\n\r\nb NOOP\r\n",
            2,
        ),
        (
            b"a APPEND x {2+}\r\nhi CATENATE (TEXT ~{8+}\r\nc NOOP\r\n)\r\nb NOOP\r\n",
            2,
        ),
    ] {
        let seen = run(true, input, &[]);
        assert_eq!(seen[next], Seen::End(false), "{seen:?}");
        assert_eq!(seen[next + 1..], [command("b NOOP")], "{seen:?}");
    }
    let many = format!(
        "a APPEND x {{1+}}\r\nm{}\r\nb NOOP\r\n",
        " {1+}\r\nm".repeat(limits::APPEND_LITERALS_MAX)
    );
    let seen = run(true, many.as_bytes(), &[]);
    assert_eq!(
        seen[seen.len() - 2..],
        [Seen::End(false), command("b NOOP")]
    );
}

#[test]
fn a_literal_of_4_gb_before_login_is_refused_before_it_is_sent() {
    // THREATS 23
    let seen = run(false, b"a LOGIN {4294967296}\r\nb NOOP\r\n", &[]);
    assert_eq!(
        seen,
        [bad("a", "a literal is too large"), command("b NOOP")]
    );
}

#[test]
fn a_refused_unasked_literal_is_consumed_and_never_read_as_commands() {
    // THREATS 23: the octets of the literal look like a command.
    let evil = "x LOGOUT\r\n".repeat(500);
    let input = format!(
        "a LOGIN {{{}+}}\r\n{evil} {{3+}}\r\nabc\r\nb NOOP\r\n",
        evil.len()
    );
    let seen = run(false, input.as_bytes(), &[]);
    assert_eq!(
        seen,
        [bad("a", "a literal is too large"), command("b NOOP")]
    );
}

#[test]
fn an_unasked_literal_of_4_gb_ends_the_session() {
    let seen = run(false, b"a LOGIN {4294967296+}\r\nb NOOP\r\n", &[]);
    assert_eq!(seen, [Seen::Fatal]);
}

#[test]
fn a_refused_unasked_message_is_consumed() {
    let body = "y LOGOUT\r\n".repeat(200);
    let input = format!("a APPEND INBOX {{{}+}}\r\n{body}\r\nb NOOP\r\n", body.len());
    let seen = run(true, input.as_bytes(), &[]);
    assert_eq!(
        seen,
        [Seen::Append("INBOX".into(), 2000), command("b NOOP")]
    );
}

#[test]
fn a_line_too_long_is_refused_and_the_next_command_is_heard() {
    let max = limits::LINE_BYTES_BEFORE_LOGIN_MAX;
    let long = "x".repeat(max);
    // Its end is a literal's length, cut in two by the limit: the octets belong to it.
    for filler in max - 13..max {
        let line = &long[..filler];
        let input = format!("a NOOP {line} {{9+}}\r\nx LOGOUT\n\r\nb NOOP\r\n");
        let seen = run(false, input.as_bytes(), &[]);
        assert_eq!(seen.last(), Some(&command("b NOOP")), "{filler}");
        assert_eq!(seen.len(), 2, "{filler} {seen:?}");
    }
    // RFC 2971 §3.3: 30 fields, names of 30 octets, values of 1,024.
    let field = format!(" \"{}\" \"{}\"", "n".repeat(30), "v".repeat(1024));
    let id = format!("a ID ({})", &field.repeat(30)[1..]);
    let seen = run(false, format!("{id}\r\n").as_bytes(), &[]);
    assert_eq!(seen, [command(&id)]);
    let input = format!("a NOOP {}", "x".repeat(5_000_000));
    assert_eq!(run(false, input.as_bytes(), &[]), [Seen::Fatal]);
}

#[test]
fn the_tag_of_a_line_too_long_is_found_wherever_it_was_cut() {
    let input = format!(
        "tag1 NOOP {}\r\nb NOOP\r\n",
        "x".repeat(limits::LINE_BYTES_BEFORE_LOGIN_MAX)
    );
    for cut in 0..12 {
        let seen = run(false, input.as_bytes(), &[cut]);
        let expected = [bad("tag1", "the line is too long"), command("b NOOP")];
        assert_eq!(seen, expected, "{cut}");
    }
}

#[test]
fn nul_is_refused() {
    let seen = run(true, b"a NOOP \0\r\nb SELECT \"\0\" {3}\r\nc NOOP\r\n", &[]);
    let nul = "a command may not hold NUL";
    assert_eq!(seen, [bad("a", nul), bad("b", nul), command("c NOOP")]);
}

#[test]
fn threat_04_other_protocols_are_told_apart() {
    // THREATS 4
    assert_eq!(
        run(false, b"GET / HTTP/1.1\r\nHost: x\r\n", &[]),
        [Seen::Foreign]
    );
    assert_eq!(
        run(false, b"\x16\x03\x01\x02\x00\x01", &[]),
        [Seen::Foreign]
    );
    for greeting in [
        &b"220 mx.far.test ESMTP\r\n"[..],
        b"220-mx.far.test ESMTP\r\n",
        b"* OK IMAP4rev1\r\n",
        b"+OK POP3\r\n",
        b"SSH-2.0-x\r\n",
    ] {
        assert_eq!(run(false, greeting, &[]), [Seen::Foreign], "{greeting:?}");
    }
    assert_eq!(run(false, b"GET NOOP\r\n", &[]), [command("GET NOOP")]);
    assert_eq!(run(false, b"220 NOOP\r\n", &[]), [command("220 NOOP")]);
}

#[test]
fn a_line_outside_of_the_grammar_has_no_literals() {
    let mut framer = Framer::new();
    framer.expect_line();
    let step = framer.poll(b"DONE {3}\r\nabc");
    assert_eq!(step.event, Some(Event::Line(b"DONE {3}".to_vec())));
    assert!(framer.is_between_commands());
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"a NOOP\r\n".to_vec()),
        Just(b"b LOGIN {3}\r\nabc {2+}\r\nxy\r\n".to_vec()),
        Just(b"c APPEND INBOX (\\Seen) {12+}\r\nhello\r\nworld\r\n".to_vec()),
        Just(b"d APPEND {5}\r\nINBOX ~{4}\r\n\0\r\n\0\r\n".to_vec()),
        Just(
            b"e APPEND x {2000+}\r\n"
                .iter()
                .copied()
                .chain([b'm'; 2000])
                .chain(*b"\r\n")
                .collect()
        ),
        Just(b"h APPEND x {2+}\r\nhi (\\Seen) {3}\r\nyou\r\n".to_vec()),
        Just(b"i APPEND x CATENATE (URL {2+}\r\n/y TEXT {4+}\r\na\r\nb URL {2}\r\n/z) {2+}\r\nhi\r\n".to_vec()),
        Just(b"j UID REPLACE 3 x CATENATE (URL /y)\r\n".to_vec()),
        Just(b"k APPEND x {2+}\r\nhi what {3+}\r\nyou\r\n".to_vec()),
        Just(b"f SELECT {2000000+}\r\n".to_vec()),
        Just(b"g \0 {4+}\r\nabcd\r\n".to_vec()),
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(vec![b'x'; limits::LINE_BYTES_BEFORE_LOGIN_MAX + 1000]),
        prop::collection::vec(any::<u8>(), 0..20),
        Just(b"{7+}\r\n".to_vec()),
        Just(b"\n".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split_gives_the_same_events(
        fragments in prop::collection::vec(fragment(), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        authenticated: bool,
    ) {
        let input = fragments.concat();
        prop_assert_eq!(run(authenticated, &input, &cuts), run(authenticated, &input, &[]));
    }

    #[test]
    fn byte_by_byte_gives_the_same_events(fragments in prop::collection::vec(fragment(), 0..3), authenticated: bool) {
        let input: Vec<u8> = fragments.concat().into_iter().take(600).collect();
        let cuts: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(run(authenticated, &input, &cuts), run(authenticated, &input, &[]));
    }
}
