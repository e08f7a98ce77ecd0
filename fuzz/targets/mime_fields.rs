//! Header fields and bodies piece by piece: addresses, dates, parameters,
//! encoded-words, transfer encodings, charsets, line ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mime::parameters::Structured;
use mime::transfer::{self, Decoder};
use mime::{AddressItem, Encoding, HeaderReader, encoded_word};

fn check_addresses(value: &[u8]) {
    let items = mime::parse_addresses(value);
    assert!(items.len() <= value.len() + 1);
    let mut in_group = false;
    for item in &items {
        match item {
            AddressItem::GroupStart(_) => assert!(!std::mem::replace(&mut in_group, true)),
            AddressItem::GroupEnd => assert!(std::mem::replace(&mut in_group, false)),
            AddressItem::Mailbox(mailbox) => {
                let _ = (mailbox.name_text(), mailbox.address_text());
            }
        }
    }
    assert!(!in_group, "a group without end");
    assert!(mime::mailboxes(&items).count() <= items.len());
}

fn check_date(value: &[u8]) {
    if let Some(date) = mime::parse_date(value) {
        let written = mime::format_date(date);
        assert_eq!(
            mime::parse_date(written.as_bytes()),
            Some(date),
            "{written}"
        );
        let _ = date.local_day();
    }
}

fn check_words(value: &[u8]) {
    let text = encoded_word::decode(value);
    assert!(text.len() <= 3 * value.len() + 16);
    let ascii = encoded_word::to_ascii(value);
    assert!(ascii.is_ascii());
    let coded = encoded_word::encode(&text);
    assert!(coded.split(' ').all(|word| word.len() <= 75));
    // A word may not bring controls in.
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    assert_eq!(encoded_word::decode(coded.as_bytes()), spaced);
    let (base, _) = mime::subject::base_subject(&text);
    assert!(base.len() <= text.len());
    let structured = Structured::parse(value);
    for (name, parameter) in &structured.parameters {
        assert!(!name.is_empty() && parameter.len() <= value.len());
    }
    let _ = structured.parameter_text("name");
}

fn check_header(block: &[u8]) {
    let mut reader = HeaderReader::new(block);
    let mut joined = Vec::new();
    for field in reader.by_ref() {
        joined.extend_from_slice(field.raw);
        let unfolded = field.unfolded();
        assert!(
            !unfolded
                .iter()
                .any(|byte| matches!(byte, b'\r' | b'\n' | 0))
        );
    }
    joined.extend_from_slice(reader.rest());
    assert_eq!(joined, block);
    let all: [&str; 0] = [];
    assert!(mime::header_fields(block, &all, true).len() <= block.len() + 4);
    let _ = mime::text::header_for_search(block);
}

fn check_transfer(body: &[u8], seed: u8) {
    for encoding in [
        Encoding::Base64,
        Encoding::QuotedPrintable,
        Encoding::EightBit,
    ] {
        let whole = transfer::decode(encoding, body);
        assert!(whole.len() <= body.len() + 2);
        let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
        for piece in fuzz::pieces(body, seed) {
            decoder.push(piece, &mut out);
        }
        decoder.finish(&mut out);
        assert_eq!(out, whole, "{encoding:?}");
    }
    let coded = transfer::base64_lines(body);
    assert!(coded.lines().all(|line| line.len() <= 76));
    assert_eq!(transfer::decode(Encoding::Base64, coded.as_bytes()), body);
    let message = mime::normalise_line_ends(body);
    assert_eq!(mime::normalise_line_ends(&message), message);
    let coded = transfer::quoted_printable(&message);
    assert!(coded.is_ascii() && coded.split("\r\n").all(|line| line.len() <= 76));
    assert_eq!(
        transfer::decode(Encoding::QuotedPrintable, coded.as_bytes()),
        *message
    );
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [knob, seed])) = fuzz::knobs::<2>(data) else {
        return;
    };
    let data = &fuzz::expand(data);
    check_addresses(data);
    check_date(data);
    check_words(&mime::unfold(data));
    check_header(data);
    check_transfer(data, seed);
    let labels = [
        "utf-8",
        "gb18030",
        "big5",
        "shift_jis",
        "iso-2022-jp",
        "utf-16le",
        "x-none",
        "us-ascii",
    ];
    let text = mime::charset::decode(Some(fuzz::pick(&labels, knob)), data);
    assert!(text.len() <= 3 * data.len() + 16);
    let plain = mime::text::html_to_text(&text);
    assert!(plain.len() <= text.len() + text.len() / 2 + 16);
});
