//! Around servers that refuse us for our reputation.
//!
//! Where the operator has named a detour, what such servers refuse goes by it in the
//! same attempt, and all other mail for them too. Once a day one message goes the
//! direct way, to see; when it is taken, all others follow. In memory only: after a
//! restart the first refusal is enough again.
//!
//! Not here: what a reply means (`queue_model::Signal`), how mail is sent (`smtp`).

use std::collections::HashMap;

use parking_lot::Mutex;
use queue_model::Party;
use runtime::{Monotonic, Runtime, Timestamp};

use crate::limits::{DETOUR_PROBED_AGAIN, DETOUR_TIME, DETOURS_MAX};

/// A party that is gone around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetourStatus {
    /// Whose servers refuse us.
    pub party: Party,
    /// Since when.
    pub since: Timestamp,
    /// When the direct way is tried again.
    pub until: Timestamp,
    /// What they said.
    pub said: String,
}

struct Detour {
    since: Timestamp,
    said: String,
    until: (Monotonic, Timestamp),
}

pub(crate) struct Detours {
    runtime: Runtime,
    parties: Mutex<HashMap<Party, Detour>>,
}

impl Detours {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            parties: Mutex::default(),
        }
    }

    /// Whether this message goes around. When it is time to see, the one that asks
    /// first does not, and the others go on doing so.
    pub(crate) fn goes_around(&self, party: &Party) -> bool {
        let now = (self.runtime.monotonic(), self.runtime.now());
        let mut parties = self.parties.lock();
        let Some(detour) = parties.get_mut(party) else {
            return false;
        };
        if detour.until.0 > now.0 {
            return true;
        }
        detour.until = (
            now.0.after(DETOUR_PROBED_AGAIN),
            now.1.after(DETOUR_PROBED_AGAIN),
        );
        false
    }

    /// True if mail for a party goes around, whoever asks.
    pub(crate) fn is_known(&self, party: &Party) -> bool {
        self.parties.lock().contains_key(party)
    }

    /// It has refused us; true if that is news.
    pub(crate) fn refused(&self, party: &Party, said: &str) -> bool {
        let now = (self.runtime.monotonic(), self.runtime.now());
        let until = (now.0.after(DETOUR_TIME), now.1.after(DETOUR_TIME));
        let mut parties = self.parties.lock();
        if let Some(detour) = parties.get_mut(party) {
            detour.until = until;
            said.clone_into(&mut detour.said);
            return false;
        }
        if parties.len() >= DETOURS_MAX {
            // Those that nobody has asked for since their time was over.
            parties.retain(|_, detour| detour.until.0 > now.0);
        }
        if parties.len() < DETOURS_MAX {
            let detour = Detour {
                since: now.1,
                said: said.to_owned(),
                until,
            };
            parties.insert(party.clone(), detour);
        }
        true
    }

    /// It has taken something from us; true if it had refused us before.
    pub(crate) fn accepted(&self, party: &Party) -> bool {
        self.parties.lock().remove(party).is_some()
    }

    pub(crate) fn status(&self) -> Vec<DetourStatus> {
        let parties = self.parties.lock();
        let status = |(party, detour): (&Party, &Detour)| DetourStatus {
            party: party.clone(),
            since: detour.since,
            until: detour.until.1,
            said: detour.said.clone(),
        };
        let mut all: Vec<DetourStatus> = parties.iter().map(status).collect();
        all.sort_by(|one, other| one.party.cmp(&other.party));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn once_a_day_one_message_sees_whether_the_direct_way_is_open() {
        let runtime = Runtime::for_tests();
        let detours = Detours::new(runtime.clone());
        let party = Party::of_host("mx.example", 25);
        assert!(!detours.goes_around(&party));
        assert!(detours.refused(&party, "550 5.7.1 no"), "it is news");
        assert!(detours.goes_around(&party));
        runtime.advance(DETOUR_TIME - Duration::from_secs(1));
        assert!(detours.goes_around(&party));
        runtime.advance(Duration::from_secs(1));
        assert!(!detours.goes_around(&party), "this one sees");
        assert!(detours.goes_around(&party), "and no other");
        assert!(!detours.refused(&party, "550 5.7.1 still no"));
        runtime.advance(DETOUR_PROBED_AGAIN);
        assert!(detours.goes_around(&party), "a day more");
        assert_eq!(detours.status()[0].said, "550 5.7.1 still no");
        runtime.advance(DETOUR_TIME);
        assert!(!detours.goes_around(&party));
        assert!(detours.accepted(&party) && !detours.accepted(&party));
        assert!(!detours.goes_around(&party) && !detours.is_known(&party));
    }

    #[test]
    fn not_too_many_are_remembered() {
        let detours = Detours::new(Runtime::for_tests());
        for n in 0..DETOURS_MAX + 10 {
            detours.refused(&Party::of_host(&format!("x{n}"), 25), "no");
        }
        assert_eq!(detours.status().len(), DETOURS_MAX);
    }
}
