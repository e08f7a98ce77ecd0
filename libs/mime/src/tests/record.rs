//! The stored record: golden bytes, and no trust in what is read.

use proptest::prelude::*;
use wire::codec::DecodeError;

use super::crlf;
use crate::{Digest, StoredDigest};

const MESSAGE: &str = "From: a@b\nDate: Thu, 1 Jan 1970 00:00:01 -0001\nMessage-ID: <m@x>\nContent-Type: multipart/mixed; boundary=q\n\n--q\nContent-Type: text/plain; charset=utf-8; name=n\n\nhi\n--q--\n";

#[test]
fn golden_bytes_of_version_1() {
    let record = crate::digest(&crlf(MESSAGE)).encode();
    let golden = [
        &b"\x01\xb4\x01q\x03z\x01z"[..],
        b"(\"Thu, 1 Jan 1970 00:00:01 -0001\" NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL \"<m@x>\")L",
        b"((\"text\" \"plain\" (\"charset\" \"utf-8\" \"name\" \"n\") NIL NIL \"7bit\" 2 0) \"mixed\")y",
        b"((\"text\" \"plain\" (\"charset\" \"utf-8\" \"name\" \"n\") NIL NIL \"7bit\" 2 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"q\") NIL NIL NIL)\x00\x00\x03m@x",
        b"\x04\x04from\x0bFrom: a@b\r\n\x04date&Date: Thu, 1 Jan 1970 00:00:01 -0001\r\n\nmessage-id\x13Message-ID: <m@x>\r\n",
        b"\x0ccontent-type+Content-Type: multipart/mixed; boundary=q\r\n",
        b"\x02\x00\x00qC\x05\x01\x00\x00\x0fmultipart/mixed\x00\x00\x00\x01v3\x02\x00\x00\x00\x00\ntext/plain\x05utf-8\x01n\x00",
    ]
    .concat();
    assert_eq!(
        record.escape_ascii().to_string(),
        golden.escape_ascii().to_string()
    );
}

#[test]
fn other_versions_and_rests_are_refused() {
    let mut record = crate::digest(&crlf(MESSAGE)).encode();
    assert!(Digest::decode(&record).is_ok());
    for len in 0..record.len() {
        assert!(Digest::decode(&record[..len]).is_err());
    }
    record.push(0);
    assert_eq!(Digest::decode(&record), Err(DecodeError::Trailing));
    record[0] = 2;
    assert_eq!(Digest::decode(&record), Err(DecodeError::Version(2)));
}

// Found by the fuzzer `mime_record`.
#[test]
fn undefined_bits_and_impossible_offsets_are_refused() {
    let record = crate::digest(&crlf("\nx\n")).encode();
    let mut flags = record.clone();
    flags[3] |= 8;
    assert_eq!(
        Digest::decode(&flags),
        Err(DecodeError::Tag(flags[3])),
        "a bit that is not defined"
    );
    // The index: one part at 0 with a header of 2 and a body of 3 bytes in 1 line.
    let index = b"\x01\x00\x00\x02\x03\x01\x00\x00\x00\x0atext/plain";
    let at = memchr::memmem::find(&record, index).expect("the index");
    let (before, behind) = (&record[..at + 4], &record[at + 5..]);
    let far = [before, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], behind].concat();
    assert_eq!(Digest::decode(&far), Err(DecodeError::OutOfRange));
}

proptest! {
    #[test]
    fn damaged_records_never_panic(at in 0usize..400, byte: u8) {
        let mut record = crate::digest(&crlf(MESSAGE)).encode();
        let at = at % record.len();
        record[at] = byte;
        if let Ok(digest) = Digest::decode(&record) {
            let _ = crate::part_at(&digest.parts, &[1]);
        }
        if let Ok(stored) = StoredDigest::read(&record) {
            let mut out = Vec::new();
            let _ = (stored.subject(), stored.parts());
            assert!(stored.write_cached_fields(&["from"], &mut out) || out.is_empty());
        }
    }
}
