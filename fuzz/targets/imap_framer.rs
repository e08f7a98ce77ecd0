//! Where IMAP commands begin and end: any split of the client's bytes gives the
//! same events, nothing is consumed twice or kept without bound.
#![no_main]

use imap_proto::{Event, Framer, NameForm, parse_command};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, PartialEq)]
enum Seen {
    Told(String),
    Data(Vec<u8>),
}

struct Shell {
    framer: Framer,
    knob: u8,
    unread: Vec<u8>,
    seen: Vec<Seen>,
}

impl Shell {
    fn send(&mut self, piece: &[u8]) {
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(piece);
        let mut rest = unread.as_slice();
        loop {
            let step = self.framer.poll(rest);
            assert!(step.consumed <= rest.len());
            rest = &rest[step.consumed..];
            match step.event {
                Some(event) => self.handle(&event),
                None => break,
            }
        }
        self.unread = rest.to_vec();
    }

    fn handle(&mut self, event: &Event<'_>) {
        if let Event::AppendData(data) = event {
            assert!(!data.is_empty());
            match self.seen.last_mut() {
                Some(Seen::Data(last)) => last.extend_from_slice(data),
                _ => self.seen.push(Seen::Data(data.to_vec())),
            }
            return;
        }
        let text = format!("{event:?}");
        let choice = fuzz::hash(&text, self.knob) % 8;
        match event {
            Event::Command(bytes) => {
                assert!(self.framer.is_between_commands());
                let _ = parse_command(bytes, NameForm::Utf8);
                if choice == 0 {
                    self.framer.expect_line();
                }
            }
            Event::Append { .. } | Event::AppendNext { .. } if choice < 2 => {
                let _ = self.framer.refuse_append(500);
            }
            Event::Append { .. } | Event::AppendNext { .. } => {
                self.framer.accept_append();
                if choice == 2 {
                    self.framer.abandon_append();
                }
            }
            _ => {}
        }
        self.seen.push(Seen::Told(text));
    }
}

fn run<'a>(knob: u8, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut framer = Framer::new();
    if knob & 1 == 1 {
        framer.set_authenticated();
    }
    let mut shell = Shell {
        framer,
        knob,
        unread: Vec::new(),
        seen: Vec::new(),
    };
    for piece in pieces {
        shell.send(piece);
    }
    shell.seen
}

fuzz_target!(|data: &[u8]| {
    let Some((data, [knob, seed])) = fuzz::knobs::<2>(data) else {
        return;
    };
    let data = fuzz::expand(data);
    let whole = run(knob, [data.as_slice()]);
    assert_eq!(run(knob, fuzz::pieces(&data, seed)), whole);
});
