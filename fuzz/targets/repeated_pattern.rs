//! Short patterns repeated to megabytes: what takes time in the square of its
//! input runs into the time-out.
#![no_main]

use std::hint::black_box;

use imap_proto::{ListPattern, NameForm, parse_command};
use libfuzzer_sys::fuzz_target;
use mime::parameters::Structured;
use mime::{Encoding, encoded_word, transfer};

/// A header or a body of this size is ordinary.
const BYTES: usize = 2 << 20;
/// What a line of a command with its literals may have.
const COMMAND_BYTES: usize = 1 << 20;

fn repeated(head: &[u8], pattern: &[u8], bytes: usize) -> Vec<u8> {
    let times = bytes / pattern.len().max(1);
    [head, &pattern.repeat(times)].concat()
}

fn work(kind: u8, head: &[u8], pattern: &[u8]) {
    let value = repeated(head, pattern, BYTES);
    match kind % 13 {
        0 => drop(black_box(mime::digest(&value))),
        1 => drop(black_box(mime::parse_addresses(&value))),
        2 => drop(black_box(Structured::parse(&value))),
        3 => drop(black_box(encoded_word::decode(&value))),
        4 => drop(black_box(mime::unfold(&value))),
        5 => drop(black_box(mime::text::header_for_search(&value))),
        6 => {
            let text = String::from_utf8_lossy(&value);
            drop(black_box(mime::text::html_to_text(&text)));
        }
        7 => {
            for encoding in [Encoding::Base64, Encoding::QuotedPrintable] {
                drop(black_box(transfer::decode(encoding, &value)));
            }
            drop(black_box(transfer::quoted_printable(&value)));
        }
        8 => drop(black_box(mime::charset::guess(&value).into_owned())),
        9 => drop(black_box(report_format::parse_delivery_status(&value))),
        10 => {
            let command = repeated(&[b"a ", head].concat(), pattern, COMMAND_BYTES);
            drop(black_box(parse_command(&command, NameForm::ModifiedUtf7)));
        }
        11 => {
            let (pattern, name) = (
                String::from_utf8_lossy(pattern),
                String::from_utf8_lossy(head),
            );
            let pattern = ListPattern::new(&pattern.repeat(4_000 / pattern.len().max(1)));
            let _ = black_box(pattern.matches(&name.repeat(1_000 / name.len().max(1))));
        }
        _ => {
            let text = String::from_utf8_lossy(pattern).repeat(1_000 / pattern.len().max(1));
            drop(black_box(mime::subject::base_subject(&text)));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [kind, cut])) = fuzz::knobs::<2>(data) else {
        return;
    };
    // Longer patterns are less of a repetition.
    let data = &data[..data.len().min(64)];
    let (head, pattern) = data.split_at(usize::from(cut).min(data.len()));
    work(kind, head, pattern);
});
