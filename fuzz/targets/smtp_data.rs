//! A message's bytes on SMTP's wire: any split gives the same content, which has
//! CRLF lines only, and what goes out comes in again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp_proto::data::{DataDecoder, DataEncoder, DataFault, Framing};

struct Content {
    bytes: Vec<u8>,
    fault: Option<DataFault>,
    consumed: usize,
    ended: bool,
}

fn decode<'a>(framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>) -> Content {
    let mut decoder = DataDecoder::new(framing);
    let mut content = Content {
        bytes: Vec::new(),
        fault: None,
        consumed: 0,
        ended: false,
    };
    for piece in pieces {
        let mut out = Vec::new();
        let decoded = decoder.decode(piece, &mut out);
        content.consumed += decoded.consumed;
        match decoded.unchanged {
            Some(run) => {
                assert!(out.is_empty());
                content.bytes.extend_from_slice(&piece[run]);
            }
            None => content.bytes.extend_from_slice(&out),
        }
        if decoded.ended {
            content.ended = true;
            break;
        }
        assert_eq!(decoded.consumed, piece.len());
    }
    if framing == Framing::Counted {
        decoder.finish(&mut content.bytes);
    }
    assert_eq!(decoder.size(), content.bytes.len() as u64);
    content.fault = decoder.fault();
    content
}

fn encode<'a>(framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut encoder = DataEncoder::new(framing);
    let mut out = Vec::new();
    for piece in pieces {
        encoder.encode(piece, &mut out);
    }
    encoder.finish(&mut out);
    out
}

fn no_bare_line_ends(bytes: &[u8]) {
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(bytes.get(at + 1), Some(&b'\n')),
            b'\n' => assert!(at > 0 && bytes[at - 1] == b'\r'),
            _ => {}
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [knob, seed])) = fuzz::knobs::<2>(data) else {
        return;
    };
    let framing = fuzz::pick(&[Framing::Dot, Framing::Counted], knob);
    let whole = decode(framing, [data]);
    let split = decode(framing, fuzz::pieces(data, seed));
    assert_eq!(split.bytes, whole.bytes);
    assert_eq!(
        (split.fault, split.consumed, split.ended),
        (whole.fault, whole.consumed, whole.ended)
    );
    // A dot in front of a line may go, a bare LF or a last line may grow by two.
    assert!(whole.bytes.len() <= 2 * whole.consumed + 3);
    if whole.ended {
        no_bare_line_ends(&whole.bytes);
        assert!(data[..whole.consumed].ends_with(b".\r\n"));
        assert_eq!(
            data[..whole.consumed]
                .windows(5)
                .filter(|w| *w == b"\r\n.\r\n")
                .count()
                + usize::from(data.starts_with(b".\r\n")),
            1
        );
    }
    if framing == Framing::Counted {
        no_bare_line_ends(&whole.bytes);
    }

    let sent = encode(framing, [data]);
    assert_eq!(sent, encode(framing, fuzz::pieces(data, seed)));
    no_bare_line_ends(&sent);
    let received = decode(framing, [sent.as_slice()]);
    assert_eq!(received.consumed, sent.len());
    assert!(matches!(
        received.fault,
        None | Some(DataFault::Nul | DataFault::LineTooLong)
    ));
    // What was received is sent and received again without a change.
    let sent_again = encode(framing, [received.bytes.as_slice()]);
    assert_eq!(
        decode(framing, [sent_again.as_slice()]).bytes,
        received.bytes
    );
    if framing == Framing::Dot {
        assert!(received.ended);
    }
});
