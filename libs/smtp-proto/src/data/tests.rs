//! Smuggling variants by name, the round trip, splits.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// Content, fault, octets left behind the end (none: it did not end).
fn decode_split(
    framing: Framing,
    wire: &[u8],
    cuts: &[usize],
) -> (Vec<u8>, Option<DataFault>, Option<usize>) {
    let mut decoder = DataDecoder::new(framing);
    let mut content = Vec::new();
    let mut at = 0;
    let mut cuts = cuts.iter().copied().chain([wire.len()]);
    while at < wire.len() {
        let end = cuts.next().unwrap_or(wire.len()).clamp(at, wire.len());
        let piece = &wire[at..end];
        let mut out = Vec::new();
        let decoded = decoder.decode(piece, &mut out);
        match decoded.unchanged {
            Some(run) => {
                assert!(out.is_empty());
                content.extend_from_slice(&piece[run]);
            }
            None => content.extend_from_slice(&out),
        }
        at += decoded.consumed;
        if decoded.ended {
            assert_eq!(decoder.size(), content.len() as u64);
            return (content, decoder.fault(), Some(wire.len() - at));
        }
        assert_eq!(decoded.consumed, piece.len());
    }
    if framing == Framing::Counted {
        decoder.finish(&mut content);
    }
    assert_eq!(decoder.size(), content.len() as u64);
    (content, decoder.fault(), None)
}

fn decode(wire: &[u8]) -> (Vec<u8>, Option<DataFault>, Option<usize>) {
    decode_split(Framing::Dot, wire, &[])
}

fn assert_smuggling(variant: &[u8]) {
    let wire = [b"a\r\nb", variant, b"MAIL FROM:<x@y.z>\r\n", b"\r\n.\r\n"].concat();
    let (_, fault, rest) = decode(&wire);
    assert_eq!(fault, Some(DataFault::Smuggling), "{variant:?}");
    assert_eq!(rest, Some(0), "only CRLF.CRLF ends the data");
}

#[test]
fn smuggling_lf_dot_lf() {
    assert_smuggling(b"\n.\n");
}

#[test]
fn smuggling_lf_dot_crlf() {
    assert_smuggling(b"\n.\r\n");
}

#[test]
fn smuggling_crlf_dot_lf() {
    assert_smuggling(b"\r\n.\n");
}

#[test]
fn smuggling_cr_dot_cr() {
    assert_smuggling(b"\r.\r");
}

#[test]
fn smuggling_crlf_dot_cr() {
    assert_smuggling(b"\r\n.\r");
}

#[test]
fn smuggling_cr_dot_crlf() {
    assert_smuggling(b"\r.\r\n");
}

#[test]
fn smuggling_cr_dot_lf_and_lf_dot_cr() {
    assert_smuggling(b"\r.\n");
    assert_smuggling(b"\n.\r");
    assert_smuggling(b"\r\n.\r\r\n");
    assert_smuggling(b"\n\n.\n\n");
}

#[test]
fn smuggling_with_nul() {
    for variant in [
        &b"\r\n.\0\r\n"[..],
        b"\r\n\0.\r\n",
        b"\r\n.\r\0\n",
        b"\0\r\n.\n",
        b"\r\0\n.\r\n",
    ] {
        let wire = [b"a", variant, b"\r\n.\r\n"].concat();
        let (_, fault, rest) = decode(&wire);
        assert!(fault.is_some(), "{variant:?}");
        assert!(rest.is_some());
    }
}

#[test]
fn smuggling_in_counted_chunks_is_refused_too() {
    let fault = |wire: &[u8]| decode_split(Framing::Counted, wire, &[]).1;
    assert_eq!(fault(b"a\n.\nb\r\n"), Some(DataFault::Smuggling));
    assert_eq!(fault(b"a\r\n.\nb\r\n"), Some(DataFault::Smuggling));
    assert_eq!(fault(b"a\r\n.\r\nb\r\n"), None);
}

#[test]
fn the_first_line_may_be_the_dot() {
    assert_eq!(decode(b".\r\nQUIT\r\n"), (vec![], None, Some(6)));
}

#[test]
fn dots_are_unstuffed_at_line_starts_only() {
    let (content, fault, _) = decode(b"..\r\n...x\r\na..b\r\n.c\r\n.\r\n");
    assert_eq!(content, b".\r\n..x\r\na..b\r\nc\r\n");
    assert_eq!(fault, None);
    // Behind a bare LF no honest sender stuffs.
    assert_eq!(decode(b"a\n.b\r\n.\r\n").0, b"a\r\n.b\r\n");
}

#[test]
fn bare_line_ends_are_repaired() {
    let (content, fault, _) = decode(b"a\nb\rc\r\r\nd\n\n\r\n.\r\n");
    assert_eq!(content, b"a\r\nb c \r\nd\r\n\r\n\r\n");
    assert_eq!(fault, None);
}

#[test]
fn nul_and_overlong_lines_are_faults() {
    assert_eq!(decode(b"a\0b\r\n.\r\n").1, Some(DataFault::Nul));
    let line = |len: usize| [&vec![b'x'; len][..], b"\r\n.\r\n"].concat();
    assert_eq!(decode(&line((1 << 20) - 2)).1, None);
    assert_eq!(decode(&line((1 << 20) + 1)).1, Some(DataFault::LineTooLong));
}

#[test]
fn unaltered_input_is_not_copied() {
    let mut out = Vec::new();
    let input = b"one\r\ntwo\r\nthree";
    let decoded = DataDecoder::new(Framing::Dot).decode(input, &mut out);
    assert_eq!(decoded.unchanged, Some(0..input.len()));
    assert!(out.is_empty());
}

#[test]
fn counted_data_gets_its_last_line_end() {
    let content = |wire: &[u8]| decode_split(Framing::Counted, wire, &[]).0;
    assert_eq!(content(b""), b"");
    assert_eq!(content(b"a"), b"a\r\n");
    assert_eq!(content(b"a\r"), b"a \r\n");
    assert_eq!(content(b"a\r\n."), b"a\r\n.\r\n");
    assert_eq!(content(b".a\r\n"), b".a\r\n");
    assert_eq!(content(b"a\r\n.\r"), b"a\r\n. \r\n");
}

fn encode(framing: Framing, content: &[u8], cut: usize) -> Vec<u8> {
    let mut encoder = DataEncoder::new(framing);
    let mut out = Vec::new();
    let (head, tail) = content.split_at(cut.min(content.len()));
    encoder.encode(head, &mut out);
    encoder.encode(tail, &mut out);
    encoder.finish(&mut out);
    out
}

#[test]
fn what_goes_out_is_stuffed_and_ended() {
    let out = |content: &[u8]| encode(Framing::Dot, content, 0);
    assert_eq!(out(b""), b".\r\n");
    assert_eq!(out(b".\r\n.a\r\nb."), b"..\r\n..a\r\nb.\r\n.\r\n");
    assert_eq!(out(b"a\n.\nb\rc\r"), b"a\r\n..\r\nb c \r\n.\r\n");
    assert_eq!(
        encode(Framing::Counted, b".\r\n.a\nb", 2),
        b".\r\n.a\r\nb\r\n"
    );
}

/// Breaking a line would break its signature.
#[test]
fn practice_1_a_line_of_a_megabyte_goes_in_and_out_unbroken() {
    let wire = [&vec![b'x'; (1 << 20) - 2][..], b"\r\n.\r\n"].concat();
    let (content, fault, _) = decode(&wire);
    assert_eq!((content.len(), fault), (1 << 20, None));
    assert_eq!(encode(Framing::Dot, &content, 777), wire);
}

prop_compose! {
    /// Octets that matter here, and few others.
    fn tricky()(picks in prop::collection::vec(prop::sample::select(b"\r\n\r\n.\r\n.\0ab".to_vec()), 0..40)) -> Vec<u8> {
        picks
    }
}

proptest! {
    #[test]
    fn any_split_gives_the_same_content(
        wire in tricky(), mut cuts in prop::collection::vec(0usize..40, 0..6), counted: bool,
    ) {
        cuts.sort_unstable();
        let framing = if counted { Framing::Counted } else { Framing::Dot };
        let ones: Vec<usize> = (0..wire.len()).collect();
        let whole = decode_split(framing, &wire, &[]);
        prop_assert_eq!(&decode_split(framing, &wire, &cuts), &whole);
        prop_assert_eq!(&decode_split(framing, &wire, &ones), &whole);
        // What is kept has whole line ends only.
        if whole.2.is_some() || counted {
            let text = String::from_utf8(whole.0).unwrap();
            prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
            prop_assert!(text.is_empty() || text.ends_with("\r\n"));
        }
    }

    #[test]
    fn stuffed_and_unstuffed_is_the_same(
        lines in prop::collection::vec("[.a\u{e9}]{0,4}", 0..20), cut in 0usize..60, rest in tricky(),
    ) {
        let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let mut wire = encode(Framing::Dot, content.as_bytes(), cut);
        wire.extend_from_slice(&rest);
        let (decoded, fault, left) = decode_split(Framing::Dot, &wire, &[cut]);
        prop_assert_eq!(decoded, content.as_bytes());
        prop_assert_eq!(fault, None);
        prop_assert_eq!(left, Some(rest.len()));
    }

    #[test]
    fn threat_01_a_bare_line_end_never_goes_out(content in tricky(), cut in 0usize..40, counted: bool) {
        let framing = if counted { Framing::Counted } else { Framing::Dot };
        let wire = encode(framing, &content, cut);
        prop_assert_eq!(&wire, &encode(framing, &content, 0));
        let text = String::from_utf8(wire).unwrap();
        prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
        if !counted {
            // The end is where it belongs, and nowhere before.
            prop_assert_eq!(format!("\r\n{text}").find("\r\n.\r\n"), Some(text.len() - 3));
        }
    }
}
