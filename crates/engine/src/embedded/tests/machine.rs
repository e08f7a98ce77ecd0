//! A store whose workers move only when they are told to.

use super::*;
use crate::embedded::group::SealedGroup;
use crate::embedded::threads::{DURABLE_GROUPS_MAX, Step};

/// The workers, and the group that one of them has in its hands.
struct Moving {
    workers: Workers,
    writing: Option<SealedGroup>,
    unapplied: usize,
}

/// What callbacks and the engine told.
#[derive(Debug, Default)]
struct Told {
    visible: Vec<u64>,
    fatal: Vec<String>,
}

/// One life of a store: from `open` to whatever ends it.
pub(super) struct Machine {
    pub(super) engine: Arc<EmbeddedEngine>,
    moving: Arc<Mutex<Option<Moving>>>,
    told: Arc<Mutex<Told>>,
}

impl Machine {
    pub(super) fn open(folder: &Path, options: &Options) -> Result<Self, OpenError> {
        let moving = Arc::new(Mutex::new(None::<Moving>));
        let told = Arc::new(Mutex::new(Told::default()));
        let mut options = options.clone();
        // The core holds this and the workers the core: a circle, but for the weak end.
        let of_stall = Arc::downgrade(&moving);
        options.on_stall = Some(Arc::new(move || {
            let moving = of_stall.upgrade().expect("the machine lives");
            let mut moving = moving.lock();
            let moving = moving
                .as_mut()
                .expect("a writer waits only while the store is open");
            let steps = [
                moving.supply(),
                moving.begin(),
                moving.end(),
                moving.apply(),
            ];
            // The last one that fails wakes the writer, which then gives up.
            assert!(
                steps.iter().any(|step| *step != Step::Idle) || moving.is_full(),
                "a writer waits and nothing moves"
            );
        }));
        let of_fatal = Arc::clone(&told);
        options.on_fatal = Arc::new(move |why| of_fatal.lock().fatal.push(why.to_owned()));
        let (engine, workers) = EmbeddedEngine::assemble(folder, &options)?;
        *moving.lock() = Some(Moving {
            workers,
            writing: None,
            unapplied: 0,
        });
        Ok(Self {
            engine: Arc::new(engine),
            moving,
            told,
        })
    }

    /// A callback for a batch: notes that it is visible.
    pub(super) fn on_visible(&self) -> impl FnOnce(CommitNo) + Send + 'static {
        let told = Arc::clone(&self.told);
        move |commit| told.lock().visible.push(commit.0)
    }

    /// Commits that became visible since this was asked last, in their order.
    pub(super) fn take_visible(&self) -> Vec<u64> {
        std::mem::take(&mut self.told.lock().visible)
    }

    /// Why the process would have ended, as often as it was told.
    pub(super) fn fatal(&self) -> Vec<String> {
        self.told.lock().fatal.clone()
    }

    pub(super) fn is_fatal(&self) -> bool {
        !self.told.lock().fatal.is_empty()
    }

    /// The writer takes a group, or writes the one that it has.
    pub(super) fn write(&self) {
        self.with(|moving| {
            if moving.writing.is_none() {
                moving.begin();
            } else {
                moving.end();
            }
        });
    }

    pub(super) fn apply(&self) {
        self.with(|moving| {
            moving.apply();
        });
    }

    pub(super) fn supply(&self) {
        self.with(|moving| {
            moving.supply();
        });
    }

    fn with(&self, f: impl FnOnce(&mut Moving)) {
        f(self.moving.lock().as_mut().expect("open"));
    }

    /// Ends in order: everything submitted is written and applied.
    pub(super) fn close(self) {
        {
            self.engine.core.state.lock().closing = true;
        }
        self.with(|moving| {
            moving.end();
            while moving.begin() == Step::Done && moving.end() == Step::Done {
                moving.apply();
            }
            moving.apply();
        });
        self.engine.close();
    }

    /// Ends as a killed process.
    pub(super) fn abandon(self) {
        self.engine.abandon();
    }
}

impl Moving {
    fn begin(&mut self) -> Step {
        if self.writing.is_some() {
            return Step::Idle;
        }
        match self.workers.writer.take() {
            Ok(group) => {
                self.writing = Some(group);
                Step::Done
            }
            Err(step) => step,
        }
    }

    fn end(&mut self) -> Step {
        let Some(group) = self.writing.take() else {
            return Step::Idle;
        };
        if self.unapplied == DURABLE_GROUPS_MAX {
            self.apply();
        }
        self.unapplied += 1;
        match self.workers.writer.write(group) {
            Some(durable) => {
                self.workers.writer.hand_on(durable);
                Step::Done
            }
            None => Step::End,
        }
    }

    fn apply(&mut self) -> Step {
        self.unapplied = 0;
        self.workers.applier.step()
    }

    fn supply(&mut self) -> Step {
        self.workers.supplier.step()
    }

    fn is_full(&self) -> bool {
        self.workers.writer.core.disk_full.load(Ordering::Acquire)
    }
}

/// Ten thousand seeds are forty thousand lives, of megabytes each.
#[test]
fn a_life_leaves_nothing_in_memory() {
    for end in [Machine::close, Machine::abandon] {
        let folder = Folder::new();
        let machine = Machine::open(&folder.0, &small()).expect("open");
        let core = Arc::downgrade(&machine.engine.core);
        end(machine);
        assert!(core.upgrade().is_none(), "somebody holds the store");
    }
}
