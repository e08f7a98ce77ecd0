//! Scripts as they were compiled, kept for the next command: a hook runs the same script again and again.
//!
//! Invariants: what is kept is bounded in number and weight; two texts are never taken for each other; compiling holds
//! up nobody else who looks for a script.

use crate::limits::{EVENT_SCRIPTS_KEPT, EVENT_SCRIPTS_WEIGHT};
use parking_lot::Mutex;
use sieve::{Offer, Script, compile};
use std::collections::HashMap;
use std::sync::Arc;

/// A script, or what is wrong with it.
pub(super) type Made = Result<Arc<Script>, Arc<str>>;

#[derive(Debug, Default)]
pub(super) struct Compiled {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By their texts.
    all: HashMap<Arc<str>, One>,
    weight: usize,
    /// Counts looks, so that it is known which was used last.
    looks: u64,
    #[cfg(test)]
    made: usize,
}

#[derive(Debug)]
struct One {
    made: Made,
    weight: usize,
    look: u64,
}

impl Compiled {
    /// The script of a text, as it is behind a command. Compiling may take long: call it on the blocking pool.
    pub(super) fn script(&self, source: &str) -> Made {
        if let Some(known) = self.kept.lock().find(source) {
            return known;
        }
        let made: Made = match compile(source, &Offer::behind_commands()) {
            Ok(script) => Ok(Arc::new(script)),
            Err(complaints) => Err(complaints.to_string().into()),
        };
        self.kept.lock().keep(source, made.clone());
        made
    }

    #[cfg(test)]
    pub(super) fn made(&self) -> usize {
        self.kept.lock().made
    }
}

impl Kept {
    fn find(&mut self, source: &str) -> Option<Made> {
        self.looks += 1;
        let found = self.all.get_mut(source)?;
        found.look = self.looks;
        Some(found.made.clone())
    }

    fn keep(&mut self, source: &str, made: Made) {
        #[cfg(test)]
        {
            self.made += 1;
        }
        let own = match &made {
            Ok(script) => script.weight(),
            Err(said) => said.len(),
        };
        let one = One {
            made,
            weight: source.len() + own,
            look: self.looks,
        };
        self.weight += one.weight;
        if let Some(before) = self.all.insert(source.into(), one) {
            self.weight -= before.weight;
        }
        while self.all.len() > EVENT_SCRIPTS_KEPT || self.weight > EVENT_SCRIPTS_WEIGHT {
            let oldest = self.all.iter().min_by_key(|(_, one)| one.look);
            let Some(oldest) = oldest.map(|(source, _)| Arc::clone(source)) else {
                return;
            };
            if let Some(gone) = self.all.remove(&oldest) {
                self.weight -= gone.weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_kept_by_number_and_weight() {
        let compiled = Compiled::default();
        let source = |n: usize| format!("# {n}\nkeep;");
        for n in 0..EVENT_SCRIPTS_KEPT {
            assert!(compiled.script(&source(n)).is_ok());
        }
        assert!(compiled.script(&source(0)).is_ok());
        assert!(
            compiled
                .script("frob;")
                .is_err_and(|said| said.contains("frob"))
        );
        assert!(compiled.script("frob;").is_err());
        assert_eq!(compiled.made(), EVENT_SCRIPTS_KEPT + 1);
        // The one that was not looked for longest has gone.
        assert!(compiled.script(&source(0)).is_ok());
        assert_eq!(compiled.made(), EVENT_SCRIPTS_KEPT + 1);
        assert!(compiled.script(&source(1)).is_ok());
        assert_eq!(compiled.made(), EVENT_SCRIPTS_KEPT + 2);
        let long = "#".repeat(sieve::limits::SCRIPT_BYTES_MAX - 10);
        for n in 0..20 {
            assert!(compiled.script(&format!("{long}{n}")).is_ok());
        }
        let kept = compiled.kept.lock();
        assert!(kept.weight <= EVENT_SCRIPTS_WEIGHT && !kept.all.is_empty());
        let sum: usize = kept.all.values().map(|one| one.weight).sum();
        assert_eq!(kept.weight, sum);
    }
}
