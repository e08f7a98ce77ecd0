//! What the targets share: knobs off an input's end, and splits of the rest.
//!
//! A target's input is what the parser reads, followed by a few bytes of knobs.
//! They stand at the end so that seeds are readable protocol and messages.

use mailbox_model::View;
use mailbox_model::page::{ViewBuilder, encode_mailbox, encode_page, encode_root, pages_of};
use sasl::bearer::{Rejection, TokenFault};
use sasl::scram::{Hash, Salt, Verifier};
use sasl::{Answer, Binding, BindingKind, Offer, Question, Secret};

/// The parser's bytes and `N` knobs; nothing for an input that is too short.
#[must_use]
pub fn knobs<const N: usize>(data: &[u8]) -> Option<(&[u8], [u8; N])> {
    data.split_last_chunk::<N>()
        .map(|(rest, knobs)| (rest, *knobs))
}

/// Two bits or more of a knob as a choice among `options`.
#[must_use]
pub fn pick<T: Copy>(options: &[T], knob: u8) -> T {
    options[usize::from(knob) % options.len()]
}

/// `bytes` in pieces: of one byte if `seed` is 0; a short one and the rest from
/// 0xf0 on; else of up to `seed` bytes and now and then of sixteen times as many.
#[must_use]
pub fn pieces(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    if seed >= 0xf0 {
        let (first, rest) = bytes.split_at(usize::from(seed & 15).min(bytes.len()));
        return [first, rest]
            .into_iter()
            .filter(|p| !p.is_empty())
            .collect();
    }
    let mut state = u32::from(seed).wrapping_mul(0x9e37_79b9) | 1;
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let longest = usize::from(seed) * if state & 7 == 0 { 16 } else { 1 };
        let len = 1 + (state >> 8) as usize % longest.max(1);
        let (piece, behind) = rest.split_at(len.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// Undoes a small run-length code, so that short inputs reach the limits of lines
/// and literals: 0xFE and `n` stand for 40·`n` more of the byte before them.
#[must_use]
pub fn expand(data: &[u8]) -> Vec<u8> {
    const BYTES_MAX: usize = 100_000;
    let mut out = Vec::with_capacity(data.len());
    let mut bytes = data.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, out.last().copied()) {
            (0xfe, Some(last)) if out.len() < BYTES_MAX => {
                let times = usize::from(bytes.next().unwrap_or(0));
                out.resize(out.len() + 40 * times, last);
            }
            _ => out.push(byte),
        }
    }
    out
}

/// A choice that depends on a text alone, so that a shell's answers do not
/// depend on how its input was split.
#[must_use]
pub fn hash(text: &str, knob: u8) -> u32 {
    let seed = 0x811c_9dc5 ^ u32::from(knob);
    text.bytes().fold(seed, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Every line ends in CRLF, and no CR, LF or NUL stands anywhere else.
pub fn assert_lines(out: &[u8]) {
    assert!(
        out.is_empty() || out.ends_with(b"\r\n"),
        "a line without end"
    );
    for (at, &byte) in out.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(out.get(at + 1), Some(&b'\n'), "a bare CR"),
            b'\n' => assert!(at > 0 && out[at - 1] == b'\r', "a bare LF"),
            0 => panic!("a NUL"),
            _ => {}
        }
    }
}

/// The account as a checkpoint of it would bring it back.
#[must_use]
pub fn restored(view: &View) -> View {
    let mut builder = ViewBuilder::new(&encode_root(view)).expect("our own root");
    for name in view.keywords().iter() {
        builder.keyword(name);
    }
    for mailbox in view.mailboxes() {
        let id = mailbox.id();
        let record = encode_mailbox(view, id).expect("it is there");
        builder.mailbox(id, &record).expect("our own mailbox");
        for page in pages_of(mailbox) {
            let record = encode_page(view, id, page).expect("it has entries");
            builder.page(id, page, &record).expect("our own page");
        }
    }
    builder.finish().expect("our own checkpoint")
}

/// What a login's directory answers: the password "pass" is right for SCRAM, all others are.
#[must_use]
pub fn answer(question: &Question) -> Answer {
    match question {
        Question::Password(_) | Question::Certificate(_) => Answer::Accepted,
        Question::Salt(name) => {
            let verifier = verifier(name.hash);
            Answer::Salt(Salt {
                salt: verifier.salt,
                iterations: verifier.iterations,
                nonce: "server".into(),
            })
        }
        Question::Proof(proof) => proof
            .check(&verifier(proof.hash))
            .map_or(Answer::Refused, Answer::Signature),
        Question::Token(shown) if shown.token.expose() == "good" => Answer::Accepted,
        Question::Token(_) => Answer::Rejected(Rejection {
            fault: TokenFault::Invalid,
            scope: "mail".into(),
            configuration: "https://id.example/.well-known/openid-configuration".into(),
        }),
        Question::Challenge => Answer::Challenge("<1.2@server>".into()),
        Question::Digest(digest) if digest.check(&Secret::from("pass")) => Answer::Accepted,
        Question::Digest(_) => Answer::Refused,
    }
}

fn verifier(hash: Hash) -> Verifier {
    sasl::scram::derive(hash, &Secret::from("pass"), b"salt", 1)
}

/// Everything that can be offered, with bindings or without.
#[must_use]
pub fn offer(bound: bool) -> Offer {
    let binding = |kind| Binding::new(kind, b"data".to_vec());
    let bindings = [BindingKind::TlsExporter, BindingKind::TlsServerEndPoint].map(binding);
    Offer::passwords()
        .with_scram(if bound { bindings.to_vec() } else { Vec::new() })
        .with_certificate(vec!["bob@demo.test".into()])
        .with_tokens()
        .with_digests()
}
