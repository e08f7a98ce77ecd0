//! Messages made to hurt: the answers are coarse, the work is bounded.

use super::{check_digest, check_index, in_pieces};
use crate::limits::{DEPTH_MAX, PARTS_MAX};
use crate::{Limits, PartKind, digest};

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

#[test]
fn parts_stop_at_the_limit() {
    let mut message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    message.extend_from_slice(&b"--b\r\n\r\nx\r\n".repeat(PARTS_MAX + 500));
    message.extend_from_slice(b"--b--\r\n");
    let many = digest(&message);
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
fn a_hundred_thousand_recipients_are_written() {
    let mut message = b"To: ".to_vec();
    message.extend_from_slice(&b"a@b.c, ".repeat(100_000));
    message.extend_from_slice(b"\r\n\r\n");
    let envelope = digest(&message).envelope;
    assert_eq!(
        memchr::memmem::find_iter(&envelope, b"(NIL NIL \"a\" \"b.c\")").count(),
        100_000
    );
}

#[test]
fn headers_of_ten_thousand_parts_share_one_budget() {
    let mut message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    let header = format!("--b\r\nContent-Description: {}\r\n\r\n", "d".repeat(9_000));
    message.extend_from_slice(header.repeat(2_000).as_bytes());
    let many = digest(&message);
    check_index(&many.parts, message.len() as u64);
    assert!(many.body_structure.len() < 10 << 20);
}
