//! A board in memory, for tests and the simulation.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::{Monotonic, Runtime};

use crate::board::{Answer, Board, BoardError, BoxFuture, Use};
use crate::limits::{LEASE, LEVEL_TIME, REST_MAX};
use crate::row::{Common, Row, answer, learned, turn};

/// Where nodes of one process meet. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct MemoryBoard {
    runtime: Runtime,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    is_away: bool,
    exchanges: u64,
    nodes: HashMap<String, Monotonic>,
    rows: HashMap<String, Vec<(Row, Monotonic)>>,
    common: HashMap<String, Kept>,
}

/// What is known of a party, and until when.
#[derive(Debug, Default)]
struct Kept {
    rests_until: Monotonic,
    level: Option<(u32, Monotonic)>,
}

impl Kept {
    fn at(&self, now: Monotonic) -> Common {
        let level = self.level.filter(|(_, until)| *until > now);
        Common {
            rest: self.rests_until.since(now),
            level: level.map(|(level, _)| level),
        }
    }

    fn keep(&mut self, known: Common, now: Monotonic) {
        self.rests_until = now.after(known.rest.min(REST_MAX));
        if known.level != self.at(now).level {
            self.level = known.level.map(|level| (level, now.after(LEVEL_TIME)));
        }
    }
}

#[derive(Debug)]
struct Node {
    board: MemoryBoard,
    name: String,
}

impl MemoryBoard {
    /// An empty one.
    #[must_use]
    pub fn new(runtime: &Runtime) -> Self {
        Self {
            runtime: runtime.clone(),
            state: Arc::default(),
        }
    }

    /// A node's way to it.
    #[must_use]
    pub fn node(&self, name: &str) -> Arc<dyn Board> {
        Arc::new(Node {
            board: self.clone(),
            name: name.to_owned(),
        })
    }

    /// Nobody reaches it, or everyone does again.
    pub fn set_away(&self, is_away: bool) {
        self.state.lock().is_away = is_away;
    }

    /// Exchanges so far.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.state.lock().exchanges
    }

    /// What all nodes together hold of a party.
    #[must_use]
    pub fn held(&self, party: &str) -> u32 {
        let now = self.runtime.monotonic();
        let state = self.state.lock();
        let rows = state.rows.get(party).into_iter().flatten();
        let live = rows.filter(|(_, until)| *until > now);
        live.map(|(row, _)| row.held).sum()
    }
}

impl Board for Node {
    fn exchange<'a>(&'a self, uses: &'a [Use]) -> BoxFuture<'a, Result<Answer, BoardError>> {
        Box::pin(async move {
            let now = self.board.runtime.monotonic();
            let mut state = self.board.state.lock();
            if state.is_away {
                return Err(BoardError::Away("nobody reaches it".to_owned()));
            }
            state.exchanges += 1;
            let until = now.after(LEASE);
            state.nodes.retain(|_, until| *until > now);
            state.nodes.insert(self.name.clone(), until);
            let nodes = u32::try_from(state.nodes.len()).unwrap_or(u32::MAX);
            let State { common, rows, .. } = &mut *state;
            let shares = uses.iter().map(|one| {
                let rows = rows.entry(one.party.clone()).or_default();
                rows.retain(|(row, until)| *until > now && row.node != self.name);
                let others: Vec<Row> = rows.iter().map(|(row, _)| row.clone()).collect();
                let kept = common.entry(one.party.clone()).or_default();
                let known = learned(one, &others, kept.at(now));
                kept.keep(known, now);
                let (row, share) = answer(&self.name, one, &others, (known, turn(now.0)));
                if !one.is_over() {
                    rows.push((row, until));
                }
                share
            });
            let shares = shares.collect();
            Ok(Answer { shares, nodes })
        })
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut state = self.board.state.lock();
            state.nodes.remove(&self.name);
            for rows in state.rows.values_mut() {
                rows.retain(|(row, _)| row.node != self.name);
            }
        })
    }
}
