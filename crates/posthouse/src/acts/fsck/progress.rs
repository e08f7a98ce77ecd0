//! Where a check is. At most one runs at a time.

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, watch};

/// The check that runs, if one does.
#[derive(Debug)]
pub(crate) struct Checking {
    one: Mutex<()>,
    step: watch::Sender<Step>,
}

#[derive(Clone, Debug, Default)]
struct Step {
    name: String,
    done: u64,
    total: u64,
}

impl Default for Checking {
    fn default() -> Self {
        Self {
            one: Mutex::default(),
            step: watch::Sender::new(Step::default()),
        }
    }
}

impl Checking {
    /// The right to run; none while somebody else has it.
    pub(super) fn begin(&self) -> Option<MutexGuard<'_, ()>> {
        let one = self.one.try_lock().ok()?;
        self.tell("", 0, 0);
        Some(one)
    }

    /// Says what is being done now: the `done`th of `total` things, 0 of 0 when nobody counts them.
    pub(super) fn tell(&self, name: &str, done: u64, total: u64) {
        self.step.send_replace(Step {
            name: name.to_owned(),
            done,
            total,
        });
    }

    /// For whoever asks meanwhile.
    pub(crate) fn shown(&self) -> Value {
        let step = self.step.borrow();
        json!({"step": step.name, "done": step.done, "total": step.total})
    }
}
