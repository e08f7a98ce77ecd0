//! Collection over a disk that keeps only what it must: deliveries, removals
//! and the steps of collection take turns, and the power goes, an operation
//! fails or the process is killed in the middle of any of them.
//!
//! What is compared is what a user has: keys with their values, and bodies by
//! their bytes, wherever they lie.

use super::super::machine::Machine;
use super::super::*;
use super::model::{Broken, Checked, must};
use super::seeds;
use crate::collect::{CollectError, Goal, Step, Walk};
use crate::embedded::disk::random::Random;
use crate::embedded::disk::simulated::{Fault, SimDisk};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wire::codec::Reader;

const SHARD: ShardId = ShardId(0);
/// Fewer than of the other world: each is longer.
const SEEDS: u64 = 50;
const MAILS: usize = 14;
const KEYS: usize = 8;
/// Few of them fill a segment.
const BODY_BYTES_MAX: usize = 250_000;

/// What a key holds, whatever the journal calls it.
type Contents = BTreeMap<Vec<u8>, Bytes>;

#[derive(Debug, Default, Clone, Copy)]
struct Met {
    freed: u64,
    moved: u64,
    cuts: u64,
    cuts_in_collection: u64,
    errors: u64,
    lost_indexes: u64,
    rebuilt: u64,
}

struct World {
    random: Random,
    disk: SimDisk,
    index: Arc<MapIndex>,
    folder: Folder,
    options: Options,
    /// The contents after each commit that was submitted.
    history: BTreeMap<u64, Contents>,
    acknowledged: u64,
    waiting: Vec<Ticket>,
    walk: Option<Walk>,
    serial: u64,
    /// Sealed segments that collection waits for: with few, it frees what the
    /// index does not have for good; with many, old segments stay.
    patience: usize,
    met: Met,
}

fn mail(n: usize) -> Vec<u8> {
    key(1, &format!("mail{n}"))
}

fn extent(key: &[u8], value: &[u8]) -> Option<Extent> {
    key.windows(4)
        .any(|window| window == b"mail")
        .then(|| Extent::decode(&mut Reader::new(value)).expect("extent"))
}

fn is_once(key: &[u8]) -> bool {
    key.windows(4).any(|window| window == b"once")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.u64(), random.once_in(2));
        let index = Arc::new(MapIndex::default());
        let options = Options {
            disk: Some(Arc::new(disk.clone())),
            index: Some(index.clone()),
            ..small()
        };
        Self {
            random,
            disk,
            index,
            folder: Folder::new(),
            options,
            history: BTreeMap::from([(0, Contents::new())]),
            acknowledged: 0,
            waiting: Vec::new(),
            walk: None,
            serial: 0,
            patience: 0,
            met: Met::default(),
        }
    }

    fn run(&mut self) -> Checked {
        for _ in 0..4 {
            self.live()?;
        }
        let machine = self.open()?;
        let findings = machine.engine.fsck();
        must(
            findings.as_ref().is_ok_and(Vec::is_empty),
            "index_agrees_with_journal",
            || format!("{findings:?}"),
        )?;
        machine.close();
        // And once more from the journal alone.
        self.index.lose();
        self.met.rebuilt += 1;
        self.open()?.close();
        Ok(())
    }

    fn live(&mut self) -> Checked {
        self.patience = if self.random.once_in(3) {
            0
        } else {
            3 + self.random.below(5)
        };
        let machine = self.open()?;
        let fault = match self.random.below(4) {
            0 => None,
            1 => Some(Fault::Error(Errno::IO)),
            _ => Some(Fault::PowerCut),
        };
        if let Some(fault) = fault {
            let after = 1 + self.random.below(120) as u64;
            self.disk.plan_after(after, fault);
        }
        for _ in 0..300 {
            if machine.is_fatal() || self.disk.is_off() {
                break;
            }
            self.turn(&machine)?;
        }
        let collecting = self.walk.take().is_some();
        self.acknowledge(&machine);
        machine.abandon();
        let cut = self.disk.is_off() || self.random.once_in(2);
        if cut {
            self.met.cuts += 1;
            self.met.cuts_in_collection += u64::from(collecting);
            self.disk.power_cut();
        } else {
            self.met.errors += u64::from(fault.is_some());
            self.disk.restart();
        }
        if self.random.once_in(4) {
            self.met.lost_indexes += 1;
            self.index.lose();
        } else {
            self.index.go_back(&mut self.random);
        }
        self.waiting.clear();
        self.disk.set_direct(self.random.once_in(2));
        Ok(())
    }

    /// Opens, and compares with what was promised.
    fn open(&mut self) -> Result<Machine, Broken> {
        let machine = Machine::open(&self.folder.0, &self.options).map_err(|error| Broken {
            checker: "a_good_disk_opens",
            how: error.to_string(),
        })?;
        let engine = &machine.engine;
        must(engine.findings().is_empty(), "a_cut_is_no_damage", || {
            format!("{:?}", engine.findings())
        })?;
        let last = engine.core.state.lock().last_commit;
        must(last >= self.acknowledged, "acknowledged_is_present", || {
            format!("{last} is the last, {} was promised", self.acknowledged)
        })?;
        self.history.split_off(&(last + 1));
        let (_, expected) = self.history.last_key_value().expect("the first moment");
        same(&contents(engine)?, expected)?;
        self.acknowledged = last;
        self.disk.note(format!("open, {last} commits"));
        Ok(machine)
    }

    fn turn(&mut self, machine: &Machine) -> Checked {
        match self.random.below(24) {
            0..=6 => self.change(machine)?,
            7..=10 => machine.write(),
            11..=13 => machine.apply(),
            14 => machine.supply(),
            15 if self.random.once_in(4) => {
                let _ = machine.engine.core.index.flush();
            }
            15..=16 => {}
            _ => self.collect(machine)?,
        }
        self.acknowledge(machine);
        Ok(())
    }

    fn acknowledge(&mut self, machine: &Machine) {
        machine.take_visible();
        let acknowledged = &mut self.acknowledged;
        self.waiting.retain(|ticket| {
            if ticket.is_done() {
                *acknowledged = (*acknowledged).max(ticket.commit().0);
            }
            !ticket.is_done()
        });
    }

    fn submit(&mut self, machine: &Machine, batch: Batch, now: Contents) {
        if let Ok(ticket) = machine.engine.submit(batch) {
            self.history.insert(ticket.commit().0, now);
            self.waiting.push(ticket);
        }
    }

    /// A mail comes or goes, or a few keys change.
    fn change(&mut self, machine: &Machine) -> Checked {
        let (_, now) = self.history.last_key_value().expect("the first moment");
        let mut now = now.clone();
        let mut batch = Batch::new();
        let name = mail(self.random.below(MAILS));
        match self.random.below(6) {
            0..=2 => {
                let len = BODY_BYTES_MAX / 3 + self.random.below(BODY_BYTES_MAX / 2);
                let body = Bytes::from(self.random.bytes(len));
                let Ok(extent) = machine.engine.put_body(SHARD, &body) else {
                    return Ok(());
                };
                batch.put(name.clone(), extent.encode().to_vec());
                now.insert(name, body);
            }
            3 => {
                batch.delete(name.clone());
                now.remove(&name);
            }
            4 => {
                // Put once and deleted once: its deletion is the last word.
                let once: Vec<_> = now.keys().filter(|key| is_once(key)).cloned().collect();
                if let Some(gone) = once.get(self.random.below(once.len() + 3)) {
                    batch.delete(gone.clone());
                    now.remove(gone);
                } else {
                    self.serial += 1;
                    let key = key(2, &format!("once{}", self.serial));
                    batch.put(key.clone(), "once");
                    now.insert(key, Bytes::from("once"));
                }
            }
            _ => {
                for _ in 0..1 + self.random.below(3) {
                    let key = key(2, &format!("k{}", self.random.below(KEYS)));
                    if self.random.once_in(3) {
                        batch.delete(key.clone());
                        now.remove(&key);
                    } else {
                        let len = self.random.below(2_000);
                        let value = Bytes::from(self.random.bytes(len));
                        batch.put(key.clone(), value.clone());
                        now.insert(key, value);
                    }
                }
            }
        }
        self.submit(machine, batch, now);
        Ok(())
    }

    /// Begins to collect a segment, or goes a step.
    fn collect(&mut self, machine: &Machine) -> Checked {
        let engine = &machine.engine;
        let Some(mut walk) = self.walk.take() else {
            let sealed = engine.sealed_segments(SHARD);
            if sealed.len() < self.patience {
                return Ok(());
            }
            if let Some(victim) = sealed.get(self.random.below(sealed.len().max(1))) {
                must(!victim.damaged, "a_cut_is_no_damage", || {
                    format!("segment {} is taken for damaged", victim.number)
                })?;
                let victim = victim.number;
                // A body that was put but is not named yet would be held.
                if self.move_bodies(machine, victim)? {
                    self.walk = Some(Walk::new(SHARD, victim, Goal::Free));
                }
            }
            return Ok(());
        };
        match engine.collect_step(&mut walk) {
            Ok(Step::Done) => self.met.freed += 1,
            Ok(Step::More | Step::Waiting) => self.walk = Some(walk),
            Err(CollectError::NotNow) => {}
            Err(error) => {
                let excused = machine.is_fatal() || self.disk.failure().is_some();
                must(excused, "collection_fails_with_its_disk", || {
                    error.to_string()
                })?;
            }
        }
        Ok(())
    }

    /// True when no record that is visible or will be names the segment.
    fn move_bodies(&mut self, machine: &Machine, victim: u32) -> Result<bool, Broken> {
        // Everything submitted before is looked at.
        for _ in 0..9 {
            machine.write();
            machine.apply();
        }
        self.acknowledge(machine);
        if !self.waiting.is_empty() {
            return Ok(false);
        }
        let (_, now) = self.history.last_key_value().expect("the first moment");
        let now = now.clone();
        let pairs =
            machine
                .engine
                .snapshot(SHARD)
                .scan(b"", &[255; 8], Order::Ascending, usize::MAX);
        for (key, stored) in pairs.expect("in memory") {
            let Some(old) = extent(&key, &stored.value).filter(|e| e.segment() == victim) else {
                continue;
            };
            let read = machine.engine.read_body(&old);
            let Ok(body) = read else {
                must(self.disk.is_off(), "bodies_read_back", || {
                    format!("{read:?}")
                })?;
                return Ok(false);
            };
            let Ok(new) = machine.engine.put_body(SHARD, &body) else {
                return Ok(false);
            };
            self.met.moved += 1;
            let mut batch = Batch::new();
            batch.expect(key.clone(), Expect::Version(stored.version));
            batch.put(key, new.encode().to_vec());
            self.submit(machine, batch, now.clone());
        }
        Ok(true)
    }
}

/// Everything in the store, bodies by their bytes.
fn contents(engine: &EmbeddedEngine) -> Result<Contents, Broken> {
    let mut contents = Contents::new();
    for (key, _, value) in all(engine) {
        let value = match extent(&key, &value) {
            None => value,
            Some(extent) => engine.read_body(&extent).map_err(|error| Broken {
                checker: "bodies_read_back",
                how: format!("{}: {extent:?}: {error}", key.escape_ascii()),
            })?,
        };
        contents.insert(key, value);
    }
    Ok(contents)
}

fn same(stored: &Contents, expected: &Contents) -> Checked {
    let names = |of: &Contents, other: &Contents| -> Vec<String> {
        let differs = |(key, value): &(&Vec<u8>, &Bytes)| other.get(*key) != Some(*value);
        let names = of.iter().filter(differs);
        names
            .map(|(key, _)| key.escape_ascii().to_string())
            .collect()
    };
    must(stored == expected, "nothing_lost_nothing_back", || {
        format!(
            "the store has {:?}, but should have {:?}",
            names(stored, expected),
            names(expected, stored)
        )
    })
}

fn run(seed: u64) -> (Vec<String>, Result<Met, Broken>) {
    let mut world = World::new(seed);
    let result = catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        Err(Broken {
            checker: "nothing_panics",
            how: super::said(&*panic),
        })
    });
    (world.disk.log(), result.map(|()| world.met))
}

#[test]
fn simulated_collection_loses_nothing_and_brings_nothing_back() {
    let met = seeds("simulated_collection", SEEDS, run);
    let sum = |of: fn(&Met) -> u64| met.iter().map(of).sum::<u64>();
    for (what, count) in [
        ("freed segments", sum(|m| m.freed)),
        ("moved bodies", sum(|m| m.moved)),
        ("power cuts", sum(|m| m.cuts)),
        ("power cuts in a collection", sum(|m| m.cuts_in_collection)),
        ("errors", sum(|m| m.errors)),
        ("lost indexes", sum(|m| m.lost_indexes)),
        ("rebuilds", sum(|m| m.rebuilt)),
    ] {
        println!("{what}: {count}");
        assert!(count > 0 || (met.len() as u64) < SEEDS, "no {what}");
    }
}
