//! What a store must hold, kept beside it, and the checkers by name.

use super::super::*;
use crate::embedded::disk::random::Random;
use std::collections::BTreeMap;
use std::fmt;

/// A key's value and the commit that wrote it.
pub(super) type State = BTreeMap<Vec<u8>, (u64, Bytes)>;

/// A promise that was broken.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) checker: &'static str,
    pub(super) how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.how)
    }
}

pub(super) type Checked = Result<(), Broken>;

/// Names the checker that is not satisfied.
pub(super) fn must(holds: bool, checker: &'static str, how: impl FnOnce() -> String) -> Checked {
    if holds {
        return Ok(());
    }
    Err(Broken {
        checker,
        how: how(),
    })
}

/// A submitted commit.
#[derive(Debug, Clone)]
pub(super) struct Submitted {
    /// A key that only this commit writes and nobody deletes.
    pub(super) marker: Vec<u8>,
    pub(super) writes: Vec<(Vec<u8>, Option<Bytes>)>,
    pub(super) bodies: Vec<(Extent, Bytes)>,
    /// Its ticket was done.
    pub(super) acknowledged: bool,
    /// A snapshot showed it, or a callback told of it.
    pub(super) seen: bool,
}

/// Everything that was submitted and has not vanished: the commit with
/// number n is `history[n - 1]`.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) history: Vec<Submitted>,
    /// The state after the last of them.
    pub(super) tip: State,
}

fn apply(state: &mut State, number: u64, commit: &Submitted) {
    for (key, value) in &commit.writes {
        match value {
            Some(value) => state.insert(key.clone(), (number, value.clone())),
            None => state.remove(key),
        };
    }
}

impl Model {
    pub(super) fn last(&self) -> u64 {
        self.history.len() as u64
    }

    pub(super) fn submit(&mut self, commit: Submitted) {
        self.history.push(commit);
        let number = self.last();
        apply(&mut self.tip, number, &self.history[number as usize - 1]);
    }

    /// The state after commit `number`.
    pub(super) fn state_at(&self, number: u64) -> State {
        let mut state = State::new();
        for (at, commit) in self.history.iter().take(number as usize).enumerate() {
            apply(&mut state, at as u64 + 1, commit);
        }
        state
    }

    /// A callback or a snapshot told of everything up to `number`.
    pub(super) fn see(&mut self, number: u64) {
        let unseen = self.history[..number as usize].iter_mut().rev();
        for commit in unseen.take_while(|commit| !commit.seen) {
            commit.seen = true;
        }
    }

    /// A body that can be read now, whoever wrote it.
    pub(super) fn any_body(&self, random: &mut Random) -> Option<&(Extent, Bytes)> {
        let at = random.below(self.history.len().max(1));
        let bodies = &self.history.get(at)?.bodies;
        bodies.get(random.below(bodies.len().max(1)))
    }

    /// Compares a store that was just opened with what it was; forgets what
    /// was lost and may be. Gives the number of commits that vanished.
    pub(super) fn check_opened(&mut self, engine: &EmbeddedEngine) -> Result<usize, Broken> {
        let last = engine.core.state.lock().last_commit;
        let stored = read_all(engine)?;
        let there: Vec<bool> = self
            .history
            .iter()
            .map(|commit| stored.contains_key(&commit.marker))
            .collect();
        self.acknowledged_is_present(&there)?;
        self.seen_is_present(&there)?;
        self.vanished_only_from_the_end(&there)?;
        let survived = there.iter().filter(|&&there| there).count();
        self.numbers_only_grow(last, survived as u64)?;
        nothing_half(&stored, &self.state_at(last))?;
        let vanished = self.history.len() - survived;
        self.history.truncate(survived);
        self.tip = self.state_at(last);
        self.bodies_read_back(engine)?;
        must(engine.findings().is_empty(), "a_cut_is_no_damage", || {
            format!("{:?}", engine.findings())
        })?;
        self.see(last);
        Ok(vanished)
    }

    fn acknowledged_is_present(&self, there: &[bool]) -> Checked {
        self.first_gone(there, "acknowledged_is_present", |c| c.acknowledged)
    }

    fn seen_is_present(&self, there: &[bool]) -> Checked {
        self.first_gone(there, "seen_is_present", |c| c.seen)
    }

    fn first_gone(
        &self,
        there: &[bool],
        checker: &'static str,
        which: impl Fn(&Submitted) -> bool,
    ) -> Checked {
        let mut all = self.history.iter().zip(there);
        let gone = all.position(|(commit, there)| which(commit) && !there);
        must(gone.is_none(), checker, || {
            format!(
                "commit {} of {} is gone",
                gone.unwrap_or(0) + 1,
                self.last()
            )
        })
    }

    /// If a later commit survived, every earlier one did.
    fn vanished_only_from_the_end(&self, there: &[bool]) -> Checked {
        let gone = there.iter().position(|there| !there);
        let after = gone.and_then(|gone| there[gone..].iter().rposition(|&there| there));
        must(after.is_none(), "vanished_only_from_the_end", || {
            format!(
                "commit {} is gone, a later one is not",
                gone.unwrap_or(0) + 1
            )
        })
    }

    fn numbers_only_grow(&self, last: u64, survived: u64) -> Checked {
        // A commit that writes nothing leaves no trace but its number.
        must(last == survived, "numbers_only_grow", || {
            format!("{survived} commits survived, the last has number {last}")
        })
    }

    /// Every body that a surviving commit names.
    fn bodies_read_back(&self, engine: &EmbeddedEngine) -> Checked {
        for (at, commit) in self.history.iter().enumerate() {
            for (extent, body) in &commit.bodies {
                body_reads_back(engine, extent, body).map_err(|broken| Broken {
                    how: format!("commit {}: {}", at + 1, broken.how),
                    ..broken
                })?;
            }
        }
        Ok(())
    }
}

/// Everything in the store, as the model keeps it.
fn read_all(engine: &EmbeddedEngine) -> Result<State, Broken> {
    read_snapshot(&*engine.snapshot(ShardId(0)))
}

pub(super) fn read_snapshot(snapshot: &dyn Snapshot) -> Result<State, Broken> {
    let pairs = snapshot
        .scan(b"", &[255; 8], Order::Ascending, usize::MAX)
        .map_err(|error| Broken {
            checker: "everything_is_readable",
            how: error.to_string(),
        })?;
    let pairs = pairs.into_iter();
    Ok(pairs
        .map(|(key, stored)| (key, (stored.version.0, stored.value)))
        .collect())
}

pub(super) fn body_reads_back(engine: &EmbeddedEngine, extent: &Extent, body: &Bytes) -> Checked {
    let read = engine.read_body(extent);
    let same = read.as_ref().is_ok_and(|read| read == body);
    must(same, "bodies_read_back", || match read {
        Ok(_) => format!("{extent:?} has other bytes"),
        Err(error) => format!("{extent:?}: {error}"),
    })
}

/// The state is one that was: every commit up to one moment as a whole, and
/// nothing else.
pub(super) fn nothing_half(stored: &State, model: &State) -> Checked {
    let differs = |(key, value): &(&Vec<u8>, &(u64, Bytes))| model.get(*key) != Some(value);
    let wrong = stored.iter().find(differs);
    let lacks = model.keys().find(|key| !stored.contains_key(*key));
    must(wrong.is_none() && lacks.is_none(), "nothing_half", || {
        let wrong = wrong.map(|(key, (version, _))| (key.escape_ascii().to_string(), version));
        let lacks = lacks.map(|key| (key.escape_ascii().to_string(), model[key].0));
        format!("has {wrong:?}, lacks {lacks:?}")
    })
}
