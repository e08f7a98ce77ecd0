//! Messages made to hurt: the answers are coarse, the work is bounded.

use super::{cached, check_digest, check_index, crlf, in_pieces, text};
use crate::limits::{DEPTH_MAX, DIGEST_BYTES_MAX, PARTS_MAX};
use crate::{Digest, Limits, PartKind, digest, part_at};

/// The digest as it would be without its bound.
fn unbounded(message: &[u8]) -> Digest {
    let limits = Limits {
        digest_bytes: usize::MAX,
        ..Limits::default()
    };
    in_pieces([message], limits)
}

/// A digest that had to be shortened, and fits now.
fn shortened(message: &[u8]) -> Digest {
    assert!(unbounded(message).encode().len() > DIGEST_BYTES_MAX);
    let short = digest(message);
    check_digest(&short, message.len());
    assert!(short.encode().len() <= DIGEST_BYTES_MAX);
    assert!(short.fields.is_empty() && !short.fields_complete);
    short
}

/// Children of the structure's root: what stands at depth one.
fn children(structure: &[u8]) -> usize {
    let mut depth = 0;
    let mut quoted = false;
    let mut found = 0;
    for &byte in structure {
        match byte {
            b'"' => quoted = !quoted,
            b'(' if !quoted => {
                found += usize::from(depth == 1);
                depth += 1;
            }
            b')' if !quoted => depth -= 1,
            _ => {}
        }
    }
    found
}

#[test]
fn nesting_stops_at_the_limit() {
    let mut message = Vec::new();
    for level in 0..3 * DEPTH_MAX {
        message.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n")
                .as_bytes(),
        );
    }
    let nested = digest(&message);
    check_digest(&nested, message.len());
    assert_eq!(nested.parts.parts().len(), DEPTH_MAX);
    let last = nested.parts.parts().last().expect("parts");
    assert_eq!(
        (last.kind, last.media_type.as_str()),
        (PartKind::Leaf, "application/octet-stream")
    );

    let message = b"Content-Type: message/rfc822\r\n\r\n".repeat(3 * DEPTH_MAX);
    let nested = digest(&message);
    check_digest(&nested, message.len());
    assert_eq!(nested.parts.parts().len(), DEPTH_MAX);
}

/// Multiparts and messages in turn, deeper than is looked, with 10^5 fields in
/// all, and below them 10^5 lines that each open boundary is compared with.
#[test]
fn nested_kinds_with_a_hundred_thousand_fields_stay_bounded() {
    const LEVELS: usize = 2 * DEPTH_MAX;
    let fields = b"X-Field: 0123456789\r\n".repeat(100_000 / LEVELS);
    let mut message = Vec::new();
    for level in 0..LEVELS / 2 {
        message.extend_from_slice(&fields);
        message.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n")
                .as_bytes(),
        );
        message.extend_from_slice(&fields);
        message.extend_from_slice(b"Content-Type: message/rfc822\r\n\r\n");
    }
    message.extend_from_slice(&b"--b\r\n".repeat(100_000));
    let nested = digest(&message);
    check_digest(&nested, message.len());
    assert_eq!(nested.parts.parts().len(), DEPTH_MAX);
    assert!(nested.encode().len() <= DIGEST_BYTES_MAX);
    assert_eq!(
        in_pieces(message.chunks(1_021), Limits::default()),
        nested,
        "the pieces do not matter"
    );
}

#[test]
fn parts_stop_at_the_limit() {
    let mut message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    message.extend_from_slice(&b"--b\r\n\r\nx\r\n".repeat(PARTS_MAX + 500));
    message.extend_from_slice(b"--b--\r\n");
    let many = unbounded(&message);
    check_index(&many.parts, message.len() as u64);
    assert_eq!(many.parts.parts().len(), PARTS_MAX);
    assert_eq!(many.parts.parts()[PARTS_MAX - 1].lines, 0);
}

#[test]
fn a_huge_header_is_cut_but_measured() {
    let field = b"X-Field: 0123456789\r\n";
    let mut message = b"Subject: first\r\n".to_vec();
    message.extend_from_slice(&field.repeat(1_000_000));
    message.extend_from_slice(b"From: last@x\r\n\r\nbody\r\n");
    let huge = digest(&message);
    assert_eq!(huge.header_len, message.len() as u64 - 6);
    assert_eq!(huge.subject, "first");
    assert!(!huge.fields_complete);
    assert_eq!(huge.lines, 1);
    assert_eq!(huge, in_pieces(message.chunks(4_093), Limits::default()));
}

#[test]
fn one_line_of_many_megabytes_is_not_kept() {
    let message = [b"\r\n".to_vec(), vec![b'a'; 8 << 20]].concat();
    let long = in_pieces(message.chunks(1_000), Limits::default());
    assert_eq!(
        (long.size, long.lines, long.preview.len()),
        (message.len() as u64, 0, 200)
    );
    assert_eq!(long, digest(&message));
}

#[test]
fn ordinary_long_digests_are_not_touched() {
    let message = format!("To: {}\r\n\r\n", "someone@example.org, ".repeat(500));
    assert_eq!(digest(message.as_bytes()), unbounded(message.as_bytes()));
}

#[test]
fn cached_fields_go_first_and_alone() {
    let references = "<0123456789@example.org>\r\n ".repeat(900);
    let to = "a@b.c, ".repeat(5_000);
    let message = crlf(&format!(
        "Subject: s\r\nReferences: {references}\r\nTo: {to}\r\n\r\nx\r\n"
    ));
    let (short, long) = (shortened(&message), unbounded(&message));
    assert!(long.fields_complete);
    assert_eq!(cached(&short, &["subject"]), None);
    assert_eq!(
        (&short.envelope, &short.body_structure, &short.parts),
        (&long.envelope, &long.body_structure, &long.parts)
    );
}

#[test]
fn of_a_hundred_thousand_recipients_the_first_are_written() {
    let mut message = b"From: f@g.h\r\nSubject: s\r\nCc: c@d.e\r\nTo: ".to_vec();
    message.extend_from_slice(&b"a@b.c, ".repeat(100_000));
    message.extend_from_slice(b"\r\nMessage-ID: <m@x>\r\n\r\n");
    let all = |digest: &Digest| {
        memchr::memmem::find_iter(&digest.envelope, b"(NIL NIL \"a\" \"b.c\")").count()
    };
    let short = shortened(&message);
    assert_eq!(all(&unbounded(&message)), 100_000);
    assert!((300..1_000).contains(&all(&short)), "{}", all(&short));
    let envelope = text(&short.envelope);
    assert!(envelope.starts_with("(NIL \"s\" ((NIL NIL \"f\" \"g.h\")) "));
    assert!(envelope.ends_with(") ((NIL NIL \"c\" \"d.e\")) NIL NIL \"<m@x>\")"));
}

#[test]
fn a_group_that_is_cut_is_closed() {
    let to = "a@b.c, ".repeat(50_000);
    let message = format!("To: team: {to};\r\nSubject: a\\\"b {to}\r\n\r\n");
    let envelope = text(&shortened(message.as_bytes()).envelope);
    assert!(envelope.starts_with("(NIL \"a\\\\\\\"b a@b.c, a@b.c,"));
    assert!(envelope.contains(" NIL NIL NIL ((NIL NIL \"team\" NIL)(NIL NIL \"a\" \"b.c\")"));
    assert!(envelope.ends_with("(NIL NIL \"a\" \"b.c\")(NIL NIL NIL NIL)) NIL NIL NIL NIL)"));
}

#[test]
fn an_address_that_is_too_long_and_what_follows_it_are_left_out() {
    let name = "n".repeat(200_000);
    let message = format!("To: <a@b>, {name} <c@d>, e@f\r\nCc: {name} <c@d>\r\n\r\n");
    let envelope = text(&shortened(message.as_bytes()).envelope);
    assert!(envelope.ends_with(" ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL)"));
}

#[test]
fn encoded_words_are_not_cut_in_two() {
    let message = format!(
        "Subject: {}\r\n\r\n",
        "关于明天上午会议的通知".repeat(5_000)
    );
    let envelope = text(&shortened(message.as_bytes()).envelope);
    let subject = envelope.split('"').nth(1).expect("a subject");
    assert!(subject.len() > 1_800 && subject.len() < 2_049);
    assert!(subject.split(' ').all(|word| word.ends_with("?=")));
}

#[test]
fn parts_beyond_the_bound_are_the_epilogue() {
    let mut message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    message.extend_from_slice(&b"--b\r\n\r\nx\r\n".repeat(5_000));
    message.extend_from_slice(b"--b--\r\n");
    let short = shortened(&message);
    let kept = short.parts.root().children.len();
    assert!((300..1_000).contains(&kept), "{kept}");
    assert_eq!(short.parts.parts().len(), kept + 1);
    assert_eq!(children(&short.body), kept);
    let at = |number: usize| part_at(&short.parts, &[u32::try_from(number).expect("small")]);
    assert_eq!(
        at(kept),
        unbounded(&message)
            .parts
            .part(u32::try_from(kept).expect("small"))
    );
    assert_eq!(at(kept + 1), None);
}

#[test]
fn deep_parts_become_a_leaf() {
    // Each level has a message whose envelope would be written twice more.
    let mut message = Vec::new();
    for _ in 0..DEPTH_MAX {
        let to = "someone@example.org, ".repeat(20);
        message.extend_from_slice(
            format!("Subject: s\r\nTo: {to}\r\nContent-Type: message/rfc822\r\n\r\n").as_bytes(),
        );
    }
    let short = shortened(&message);
    let parts = short.parts.parts();
    assert!((10..DEPTH_MAX).contains(&parts.len()), "{}", parts.len());
    let last = parts.last().expect("parts");
    assert_eq!(
        (last.kind, last.media_type.as_str()),
        (PartKind::Leaf, "application/octet-stream")
    );
    assert_eq!(last.body.end, message.len() as u64);
    assert_eq!(
        memchr::memmem::find_iter(&short.body, b"\"message\" \"rfc822\"").count(),
        parts.len() - 1
    );
}

#[test]
fn a_part_with_a_huge_header_keeps_what_matters() {
    let long = "d".repeat(300_000);
    let message = crlf(&format!(
        "Content-Type: multipart/{long}; boundary=b\n\n--b\n\
         Content-Type: text/html; charset=utf-8; x=\"{long}\"; name=n\nContent-ID: <{long}>\n\
         Content-Disposition: attachment; filename=\"{long}\"\nContent-Transfer-Encoding: {long}\n\nhi\n\
         --b\nContent-Type: {long}/plain\n\nho\n--b--\n"
    ));
    let short = shortened(&message);
    assert_eq!(
        text(&short.body_structure),
        "((\"text\" \"html\" (\"charset\" \"utf-8\" \"name\" \"n\") NIL NIL \"x-unknown\" 2 0 NIL (\"attachment\" NIL) NIL NIL)\
         (\"application\" \"octet-stream\" NIL NIL NIL \"7bit\" 2 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"
    );
    let part = part_at(&short.parts, &[1]).expect("a part");
    assert_eq!(part.name.as_ref().map(String::len), Some(256));
}

#[test]
fn headers_of_ten_thousand_parts_share_one_budget() {
    let mut message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    let header = format!("--b\r\nContent-Description: {}\r\n\r\n", "d".repeat(9_000));
    message.extend_from_slice(header.repeat(2_000).as_bytes());
    assert!(unbounded(&message).body_structure.len() < 10 << 20);
    assert!(shortened(&message).parts.parts().len() > 100);
}
