//! What the IMAP server writes, read by our own framer and parser: a string of
//! any bytes never breaks out of its place, no text begins a line.
#![no_main]

use imap_proto::response::{self, Code, Status};
use imap_proto::{
    Command, Date, DateTime, Event, Flag, Framer, NameForm, Tag, parse_command, sequence,
};
use libfuzzer_sys::fuzz_target;

/// The command that a client of ours would have sent so, with its literals.
fn framed(line: &[u8]) -> Option<Vec<u8>> {
    let mut framer = Framer::new();
    framer.set_authenticated();
    let mut rest = line;
    loop {
        let step = framer.poll(rest);
        rest = &rest[step.consumed..];
        match step.event {
            Some(Event::Continue) => {}
            Some(Event::Command(command)) => {
                assert!(rest.is_empty(), "the command ended early");
                return Some(command);
            }
            Some(Event::Bad { .. }) | None => return None,
            Some(other) => panic!("{other:?}"),
        }
    }
}

fn check_strings(text: &[u8]) {
    let mut line = b"a LOGIN ".to_vec();
    response::write_astring(&mut line, text);
    line.push(b' ');
    response::write_string(&mut line, text);
    line.extend_from_slice(b"\r\n");
    let Some(command) = framed(&line) else {
        assert!(text.contains(&0), "a string without NUL is framed");
        return;
    };
    match parse_command(&command, NameForm::Utf8) {
        Ok((_, Command::Login { user, password })) => {
            assert_eq!((user.as_bytes(), password.as_slice()), (text, text));
        }
        Ok((_, other)) => panic!("{other:?}"),
        Err(_) => assert!(core::str::from_utf8(text).is_err() || text.contains(&0)),
    }
}

fn check_status(text: &str) {
    let tag = Tag::parse(text.as_bytes());
    let codes = [
        None,
        Some(Code::TRY_CREATE),
        Some(Code::CopyUid(1, vec![1, 2, 9], vec![4, 5, 6])),
        Some(Code::PermanentFlags(
            Flag::parse(text).into_iter().collect(),
            true,
        )),
    ];
    for code in codes {
        let mut out = Vec::new();
        response::tagged(&mut out, tag.as_ref(), Status::No, code.as_ref(), text);
        fuzz::assert_lines(&out);
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }
}

fn check_date(unix_s: i64, offset_min: i16) {
    let offset_min = offset_min % (24 * 60);
    let date = DateTime { unix_s, offset_min };
    let mut out = Vec::new();
    date.write(&mut out);
    assert!(out.len() <= 40);
    let (year, month, day) = date.local_date().civil();
    if (0..=9_999).contains(&year) {
        assert_eq!(DateTime::parse(&out[1..out.len() - 1]), Some(date));
        assert_eq!(Date::from_civil(year, month, day), Some(date.local_date()));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((data, knobs)) = fuzz::knobs::<10>(data) else {
        return;
    };
    let [a, b, c, d, e, f, g, h, i, j] = knobs;
    check_date(
        i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        i16::from_le_bytes([i, j]),
    );
    let data = fuzz::expand(data);
    // Longer ones are longer than a line may be.
    check_strings(&data[..data.len().min(20_000)]);
    if let Ok(text) = core::str::from_utf8(&data) {
        check_status(text);
    }
    let _ = DateTime::parse(&data).map(|date| check_date(date.unix_s, date.offset_min));

    let numbers = data
        .chunks_exact(4)
        .map(|n| u32::from_le_bytes([n[0], n[1], n[2], n[3]]));
    let ranges = sequence::merge(numbers.clone().map(|n| (n, n)).collect());
    assert!(numbers.clone().all(|n| sequence::contains(&ranges, n)));
    let mut out = Vec::new();
    sequence::write_numbers(&mut out, numbers);
    assert!(out.len() <= 22 * (data.len() / 4));
});
