//! Sieve scripts: complained of, or they end within their fuel with bounded actions.
//!
//! An input is a script, a NUL, and the message that it is run over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sieve::limits::{COMPLAINTS_MAX, REGEX_BYTES_TOTAL_MAX, SCRIPT_WEIGHT};
use sieve::{Input, Limits, Moment, Offer, SieveEnvelope, WholeMessage, World, WorldError, compile, run};

struct Nowhere;

impl World for Nowhere {
    fn mailbox_exists(&mut self, name: &str) -> Result<bool, WorldError> {
        match name.len() % 3 {
            0 => Err(WorldError("away".into())),
            rest => Ok(rest == 1),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let at = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (source, message) = input.split_at(at);
    let Ok(source) = core::str::from_utf8(source) else {
        return;
    };
    let script = match compile(source, &Offer::default()) {
        Ok(script) => script,
        Err(complaints) => {
            assert!((1..=COMPLAINTS_MAX).contains(&complaints.list().len()));
            return;
        }
    };
    assert!(script.weight() <= source.len() * SCRIPT_WEIGHT + REGEX_BYTES_TOTAL_MAX);
    let message = WholeMessage::new(message.get(1..).unwrap_or_default());
    let envelope = SieveEnvelope::default();
    let limits = Limits::default();
    for (envelope, traced) in [(Some(&envelope), true), (None, false)] {
        let input = Input {
            message: &message,
            envelope,
            flags: &[],
            now: Moment::default(),
            limits,
            traced,
        };
        let outcome = run(&script, "script", &input, &mut Nowhere);
        assert!(outcome.fuel_used <= limits.fuel);
        assert!((1..=limits.actions + 1).contains(&outcome.actions.len()));
        assert!(traced || outcome.trace.is_empty());
    }
});
