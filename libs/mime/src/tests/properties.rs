//! Properties: the pieces do not matter, and no bytes break an invariant.

use proptest::prelude::*;

use super::{check_digest, in_pieces};
use crate::Limits;

/// Lines that mean something to the indexer, and some that do not.
fn line() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        &b"Content-Type: multipart/mixed; boundary=a\r\n"[..],
        b"Content-Type: multipart/digest; boundary=\"b\"\r\n",
        b"Content-Type: multipart/alternative;\r\n boundary=ab\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/html; charset=utf-8\r\n",
        b"Content-Type: text/plain; charset=gbk\r\n",
        b"Content-Type: x\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Disposition: attachment; filename*0*=utf-8''%e4; filename*1=x\r\n",
        b"Subject: =?utf-8?Q?a?= \xc4\xe3\r\n",
        b"From: A <a@b>, g: c@d;\r\n",
        b"Date: Thu, 15 Feb 2007 01:02:03 +0200\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"--",
        b"-",
        b"--a\r\n",
        b"--a--\r\n",
        b"--b \r\n",
        b"--b--\r\n",
        b"--ab\n",
        b"--ab--",
        b"text \xe4\xbd\xa0 <p>\r\n",
        b" \t\r\n",
        b"eHh4\r\n",
        b"\0\xff\r\n",
    ])
}

proptest! {
    #[test]
    fn any_split_gives_the_same_digest(lines in prop::collection::vec(line(), 0..40), size in 1usize..40) {
        let message = lines.concat();
        let whole = crate::digest(&message);
        check_digest(&whole, message.len());
        prop_assert_eq!(&in_pieces(message.chunks(size), Limits::default()), &whole);
        prop_assert_eq!(&in_pieces(lines.iter().copied(), Limits::default()), &whole);
    }

    #[test]
    fn short_digests_break_no_invariant(
        lines in prop::collection::vec(line(), 0..300), digest_bytes in 0usize..10_000, size in 1usize..900,
    ) {
        let message = lines.concat();
        let limits = Limits { digest_bytes, ..Limits::default() };
        let whole = in_pieces([message.as_slice()], limits);
        check_digest(&whole, message.len());
        prop_assert!(whole.encode().len() <= digest_bytes.max(crate::limits::DIGEST_BYTES_FLOOR));
        prop_assert_eq!(&in_pieces(message.chunks(size), limits), &whole);
    }

    #[test]
    fn low_limits_break_no_invariant(
        lines in prop::collection::vec(line(), 0..60),
        depth in 1usize..4, parts in 1usize..5, header_bytes in 0usize..60, size in 1usize..20,
        digest_bytes in 0usize..2_000,
    ) {
        let message = lines.concat();
        let limits = Limits { depth, parts, header_bytes, digest_bytes };
        let whole = in_pieces([message.as_slice()], limits);
        check_digest(&whole, message.len());
        prop_assert_eq!(&in_pieces(message.chunks(size), limits), &whole);
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>, size in 1usize..9) {
        let whole = crate::digest(&bytes);
        check_digest(&whole, bytes.len());
        prop_assert_eq!(in_pieces(bytes.chunks(size), Limits::default()), whole);
    }
}
