//! Attempts that have begun and whose intents are not written yet.
//!
//! Most attempts end within milliseconds, and their outcome says all there is to say: an
//! intent is written when its attempt has lasted [`INTENT_AFTER`]. A crash before that
//! leaves nothing, and the attempt is made again without being counted, as after a crash
//! that comes before the intent is durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use engine::{Batch, Engine, ShardId, SharedEngine};
use parking_lot::Mutex;
use runtime::{Monotonic, Runtime, Task};

use crate::intent::Intent;
use crate::keys;
use crate::limits::INTENT_AFTER;

/// Writes down what lasts. Cheap to clone; clones are one and the same.
#[derive(Clone)]
pub(crate) struct Begun(Arc<Inner>);

struct Inner {
    engine: SharedEngine,
    runtime: Runtime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they began.
    waiting: VecDeque<Waiting>,
    last: u64,
    /// There is one while anything waits.
    writing: Option<Task<()>>,
    is_writing: bool,
}

struct Waiting {
    number: u64,
    since: Monotonic,
    key: Vec<u8>,
    record: Vec<u8>,
    shard: ShardId,
    is_written: Arc<AtomicBool>,
}

/// An attempt's intent: still to be written, or written. Ends with its outcome.
pub(crate) struct Noted {
    begun: Begun,
    number: u64,
    key: Vec<u8>,
    is_written: Arc<AtomicBool>,
}

impl Begun {
    pub(crate) fn new(engine: SharedEngine, runtime: Runtime) -> Self {
        Self(Arc::new(Inner {
            engine,
            runtime,
            state: Mutex::default(),
        }))
    }

    /// An attempt begins; its first recipient names the intent.
    pub(crate) fn note(&self, shard: ShardId, intent: &Intent) -> Noted {
        let first = intent.recipients.first().copied().unwrap_or(0);
        let key = keys::intent(shard, intent.id, first as u32);
        let mut state = self.0.state.lock();
        state.last += 1;
        let number = state.last;
        let is_written = Arc::new(AtomicBool::new(false));
        state.waiting.push_back(Waiting {
            number,
            since: self.0.runtime.monotonic(),
            key: key.clone(),
            record: intent.encode(),
            shard,
            is_written: Arc::clone(&is_written),
        });
        if !state.is_writing {
            state.is_writing = true;
            let writing = write_what_lasts(self.0.runtime.clone(), Arc::downgrade(&self.0));
            state.writing = Some(self.0.runtime.spawn("intents", writing));
        }
        Noted {
            begun: self.clone(),
            number,
            key,
            is_written,
        }
    }
}

impl Noted {
    /// The attempt is over: what its outcome, or its end without one, takes from the disk.
    /// Whoever asks submits that: an intent that is not written by now never will be.
    pub(crate) fn over(&self) -> Option<Vec<u8>> {
        let mut state = self.begun.0.state.lock();
        let place = |one: &Waiting| one.number;
        if let Ok(at) = state.waiting.binary_search_by_key(&self.number, place) {
            state.waiting.remove(at);
        }
        let is_written = self.is_written.load(Ordering::Acquire);
        is_written.then(|| self.key.clone())
    }
}

impl State {
    /// Submits the intents of those that have lasted. The lock is held over it, so that
    /// nobody's outcome is submitted between an intent and the word that it is written.
    fn write(&mut self, engine: &dyn Engine, now: Monotonic) {
        let mut batches: BTreeMap<ShardId, (Batch, Vec<Arc<AtomicBool>>)> = BTreeMap::new();
        while let Some(first) = self.waiting.front()
            && now.since(first.since) >= INTENT_AFTER
            && let Some(lasting) = self.waiting.pop_front()
        {
            let (batch, written) = batches.entry(lasting.shard).or_default();
            batch.put(lasting.key, lasting.record);
            written.push(lasting.is_written);
        }
        for (mut batch, written) in batches.into_values() {
            batch.can_wait();
            if engine.submit(batch).is_ok() {
                for is_written in written {
                    is_written.store(true, Ordering::Release);
                }
            }
        }
    }
}

async fn write_what_lasts(runtime: Runtime, inner: Weak<Inner>) {
    loop {
        runtime.sleep(INTENT_AFTER).await;
        let Some(inner) = inner.upgrade() else { return };
        let mut state = inner.state.lock();
        state.write(&*inner.engine, runtime.monotonic());
        if state.waiting.is_empty() {
            state.is_writing = false;
            return;
        }
    }
}
