//! One seed: a store, its disk, and those who use it, over several lives.

use super::super::machine::Machine;
use super::super::*;
use super::model::{Broken, Checked, Model, Submitted, body_reads_back, must};
use super::model::{nothing_half, read_snapshot};
use crate::embedded::disk::random::Random;
use crate::embedded::disk::simulated::{Fault, Lie, Op, SimDisk};
use crate::limits::BODY_FRAME_BYTES_MAX;
use rustix::io::Errno;

/// Writers that take turns.
const SESSIONS: usize = 5;
/// Keys of an account that change often.
const KEYS: usize = 6;

/// What a run met, so that a test can tell that it met everything.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Met {
    pub(super) lives: u64,
    pub(super) commits: u64,
    pub(super) vanished: u64,
    pub(super) torn: u64,
    pub(super) cuts: u64,
    pub(super) cuts_while_opening: u64,
    pub(super) errors: u64,
    pub(super) kills: u64,
    pub(super) closes: u64,
    pub(super) conflicts: u64,
    pub(super) refused_full: u64,
    pub(super) aborted_uploads: u64,
    pub(super) replayed: u64,
    pub(super) index_lost: u64,
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The power goes in the middle of an operation, or between two.
    PowerCut,
    /// An operation fails; the machine stays on or not.
    Error,
    Kill,
    Close,
}

/// A message that arrives in pieces.
type Upload = Vec<(Extent, Bytes)>;

#[derive(Debug)]
struct Session {
    account: u64,
    upload: Option<Upload>,
}

pub(super) struct World {
    random: Random,
    pub(super) disk: SimDisk,
    /// `None`: the real one, in the folder.
    index: Option<Arc<MapIndex>>,
    folder: Folder,
    options: Options,
    model: Model,
    sessions: Vec<Session>,
    waiting: Vec<Ticket>,
    views: Vec<(u64, Box<dyn Snapshot>)>,
    visible: u64,
    /// Bodies that were sent, to send them again.
    sent: Vec<Bytes>,
    serial: u64,
    pub(super) met: Met,
}

impl World {
    pub(super) fn new(seed: u64, lie: Lie) -> Self {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.u64(), random.once_in(2));
        disk.lie(lie);
        if random.once_in(6) {
            disk.set_capacity((4 + random.below(8) as u64) << 20);
        }
        let real_index = random.once_in(8);
        let index = (!real_index).then(|| Arc::new(MapIndex::default()));
        let options = Options {
            disk: Some(Arc::new(disk.clone())),
            index: index.clone().map(|index| index as Arc<dyn index::Index>),
            memtable_bytes: 16 << 20,
            unflushed_commits: 1 << 20,
            ..small()
        };
        Self {
            random,
            disk,
            index,
            folder: Folder::new(),
            options,
            model: Model::default(),
            sessions: (1..=SESSIONS as u64)
                .map(|account| Session {
                    account,
                    upload: None,
                })
                .collect(),
            waiting: Vec::new(),
            views: Vec::new(),
            visible: 0,
            sent: Vec::new(),
            serial: 0,
            met: Met::default(),
        }
    }

    /// Several lives, then one on a good disk.
    pub(super) fn run(&mut self) -> Checked {
        for _ in 0..3 + self.random.below(4) {
            self.live()?;
        }
        self.disk.set_capacity(1 << 40);
        let machine = self.open()?;
        self.index_agrees(&machine)?;
        machine.close();
        self.met.torn = self.disk.torn();
        Ok(())
    }

    fn live(&mut self) -> Checked {
        self.met.lives += 1;
        let end = match self.random.below(10) {
            0..=4 => End::PowerCut,
            5..=7 => End::Error,
            8 => End::Kill,
            _ => End::Close,
        };
        let early = self.random.once_in(4);
        if early {
            self.plan(end, 12);
        }
        let machine = self.open()?;
        if self.random.once_in(4) {
            self.index_agrees(&machine)?;
        }
        if !early {
            self.plan(end, 50);
        }
        for _ in 0..20 + self.random.below(160) {
            if machine.is_fatal() || self.disk.is_off() {
                break;
            }
            self.turn(&machine)?;
            self.fails_with_its_disk(&machine)?;
        }
        self.end(machine, end)
    }

    fn plan(&mut self, end: End, within: usize) {
        let fault = match end {
            End::PowerCut => Fault::PowerCut,
            End::Error if self.random.once_in(3) => Fault::Error(Errno::NOSPC),
            End::Error => Fault::Error(Errno::IO),
            End::Kill | End::Close => return,
        };
        let after = 1 + self.random.below(within) as u64;
        self.disk.plan_after(after, fault);
    }

    /// Opens, again after each failure of the disk, and checks.
    fn open(&mut self) -> Result<Machine, Broken> {
        loop {
            match Machine::open(&self.folder.0, &self.options) {
                Ok(machine) => {
                    let vanished = self.model.check_opened(&machine.engine)?;
                    self.met.vanished += vanished as u64;
                    self.met.replayed += machine.engine.stats().replayed;
                    self.visible = self.model.last();
                    self.disk
                        .note(format!("open, {} commits", self.model.last()));
                    return Ok(machine);
                }
                Err(error) => {
                    let full = matches!(&error, OpenError::Io(error) if error.kind() == io::ErrorKind::StorageFull);
                    if self.disk.failure().is_none() && !full {
                        return Err(Broken {
                            checker: "a_good_disk_opens",
                            how: error.to_string(),
                        });
                    }
                    self.met.cuts_while_opening += u64::from(self.disk.is_off());
                    self.disk.set_capacity(1 << 40);
                    self.process_ended(false);
                }
            }
        }
    }

    fn end(&mut self, machine: Machine, end: End) -> Checked {
        if end == End::Close && !self.disk.is_off() && !machine.is_fatal() {
            self.met.closes += 1;
            self.watch(&machine)?;
            machine.close();
        } else {
            // The applier is a thread of its own: it may get as far as this
            // before the end that the writer has met.
            if self.random.once_in(2) {
                machine.apply();
                self.watch(&machine)?;
            }
            machine.abandon();
        }
        let cut = end == End::PowerCut || self.random.once_in(2);
        match end {
            End::Error => self.met.errors += 1,
            _ if !cut => self.met.kills += 1,
            _ => {}
        }
        self.process_ended(cut);
        Ok(())
    }

    /// What the end of a process, or of the power, leaves.
    fn process_ended(&mut self, cut: bool) {
        if cut || self.disk.is_off() {
            self.met.cuts += 1;
            self.disk.power_cut();
        } else {
            self.disk.restart();
        }
        if let Some(index) = &self.index {
            if self.random.once_in(5) {
                self.met.index_lost += 1;
                index.lose();
            } else {
                index.go_back(&mut self.random);
            }
        }
        self.waiting.clear();
        self.views.clear();
        for session in &mut self.sessions {
            session.upload = None;
        }
        self.disk.set_direct(self.random.once_in(2));
    }

    fn turn(&mut self, machine: &Machine) -> Checked {
        match self.random.below(40) {
            0..=19 => {
                let session = self.random.below(SESSIONS);
                self.act(machine, session)?;
            }
            20..=27 => machine.write(),
            28..=33 => machine.apply(),
            34..=35 => machine.supply(),
            36..=37 => self.read(machine)?,
            38 => {
                if let Some((extent, body)) = self.model.any_body(&mut self.random) {
                    body_reads_back(&machine.engine, extent, body)?;
                }
            }
            _ if self.random.once_in(3) => {
                let flushed = machine.engine.core.index.flush();
                must(flushed.is_ok(), "the_index_is_flushed", || {
                    format!("{flushed:?}")
                })?;
            }
            _ => {}
        }
        self.watch(machine)
    }

    /// Hears what became visible and what was acknowledged.
    fn watch(&mut self, machine: &Machine) -> Checked {
        for number in machine.take_visible() {
            must(number == self.visible + 1, "callbacks_run_in_order", || {
                format!("{number} after {}", self.visible)
            })?;
            self.visible = number;
        }
        self.model.see(self.visible);
        let visible = self.visible;
        let mut early = None;
        let history = &mut self.model.history;
        let disk = &self.disk;
        self.waiting.retain(|ticket| {
            let number = ticket.commit().0;
            if ticket.is_done() {
                disk.note(format!("acknowledged {number}"));
                history[number as usize - 1].acknowledged = true;
                early = early.or((number > visible).then_some(number));
            }
            !ticket.is_done()
        });
        must(early.is_none(), "visible_before_acknowledged", || {
            format!("{early:?}, visible is {visible}")
        })
    }

    /// A snapshot shows one moment, the last that is visible, and stays there.
    fn read(&mut self, machine: &Machine) -> Checked {
        let (view, commit) = machine.engine.core.index.snapshot();
        must(
            commit.0 == self.visible,
            "a_snapshot_is_the_last_moment",
            || format!("{} instead of {}", commit.0, self.visible),
        )?;
        self.views.push((commit.0, view));
        let at = self.random.below(self.views.len());
        let (commit, view) = &self.views[at];
        nothing_half(&read_snapshot(&**view)?, &self.model.state_at(*commit))?;
        if self.views.len() > 3 {
            self.views.remove(0);
        }
        Ok(())
    }

    /// The engine ends if, and only if, its disk failed it: a full disk while
    /// a segment is made is no failure.
    fn fails_with_its_disk(&self, machine: &Machine) -> Checked {
        let failure = self.disk.failure();
        let failed = match failure {
            None => false,
            Some((Op::Write | Op::Sync, _)) => true,
            Some((_, fault)) => fault != Fault::Error(Errno::NOSPC),
        };
        must(machine.is_fatal() == failed, "fails_with_its_disk", || {
            format!("disk: {failure:?}, engine: {:?}", machine.fatal())
        })
    }

    fn index_agrees(&self, machine: &Machine) -> Checked {
        let findings = machine.engine.fsck();
        let none = findings.as_ref().is_ok_and(Vec::is_empty);
        must(none, "index_agrees_with_journal", || {
            format!("{findings:?}")
        })
    }

    /// A session does its next thing.
    fn act(&mut self, machine: &Machine, session: usize) -> Checked {
        if let Some(mut upload) = self.sessions[session].upload.take() {
            return match self.random.below(8) {
                0 => {
                    self.met.aborted_uploads += 1;
                    Ok(())
                }
                1..=2 => self.commit(machine, session, upload, false),
                _ => {
                    let len = self.random.below(BODY_FRAME_BYTES_MAX) + 1;
                    if self.put_body(machine, len, &mut upload)? {
                        self.sessions[session].upload = Some(upload);
                    }
                    Ok(())
                }
            };
        }
        match self.random.below(16) {
            0..=7 => {
                let len = match self.random.below(10) {
                    0..=5 => self.random.below(3_000),
                    6..=8 => self.random.below(20_000),
                    _ => self.random.below(BODY_FRAME_BYTES_MAX + 1),
                };
                let mut bodies = Vec::new();
                if self.put_body(machine, len, &mut bodies)? {
                    self.commit(machine, session, bodies, false)?;
                }
                Ok(())
            }
            8..=9 => {
                self.sessions[session].upload = Some(Vec::new());
                Ok(())
            }
            10 => self.commit(machine, session, Vec::new(), true),
            _ => self.commit(machine, session, Vec::new(), false),
        }
    }

    /// Appends a body; false when the disk is full or gone.
    fn put_body(
        &mut self,
        machine: &Machine,
        len: usize,
        bodies: &mut Vec<(Extent, Bytes)>,
    ) -> Result<bool, Broken> {
        let body = self.body(len);
        match machine.engine.put_body(ShardId(0), &body) {
            Ok(extent) => {
                body_reads_back(&machine.engine, &extent, &body)?;
                bodies.push((extent, body));
                Ok(true)
            }
            Err(error) => self.refused(machine, &error).map(|()| false),
        }
    }

    /// Random bytes, a message that was sent before, or one that imitates the journal.
    fn body(&mut self, len: usize) -> Bytes {
        let again = self.random.below(self.sent.len() + 8);
        if let Some(again) = self.sent.get(again) {
            return again.clone();
        }
        let at = (1 + self.random.below(100)) * format::BLOCK - self.random.below(2) * 56;
        let imitation = self.disk.peek(1, at, len);
        let body = match imitation {
            Some(imitation) if self.random.once_in(6) => imitation,
            _ => self.random.bytes(len),
        };
        let body = Bytes::from(body);
        if self.sent.len() < 12 {
            self.sent.push(body.clone());
        }
        body
    }

    /// Submits a batch with a condition on the account's head that holds, or
    /// that does not.
    fn commit(
        &mut self,
        machine: &Machine,
        session: usize,
        bodies: Vec<(Extent, Bytes)>,
        stale: bool,
    ) -> Checked {
        self.serial += 1;
        let account = self.sessions[session].account;
        let head = key(account, "head");
        let marker = key(account, &format!("m{}", self.serial));
        let names: Vec<u8> = bodies.iter().flat_map(|(e, _)| e.encode()).collect();
        let mut writes = vec![
            (head.clone(), Some(Bytes::from(self.serial.to_string()))),
            (marker.clone(), Some(Bytes::from(names))),
        ];
        let large = self.random.once_in(25);
        for n in 0..self.random.below(4) {
            let key = key(account, &format!("k{}", self.random.below(KEYS)));
            let len = if large && n == 0 {
                200_000 + self.random.below(600_000)
            } else {
                self.random.below(400)
            };
            let value = (!self.random.once_in(3)).then(|| Bytes::from(self.random.bytes(len)));
            writes.retain(|(written, _)| *written != key);
            writes.push((key, value));
        }
        let version = self.model.tip.get(&head).map(|(version, _)| *version);
        let mut batch = Batch::new();
        batch.expect(
            head,
            match version {
                None if stale => Expect::Version(CommitNo(1)),
                None => Expect::Absent,
                Some(version) if stale => Expect::Version(CommitNo(version - 1)),
                Some(version) => Expect::Version(CommitNo(version)),
            },
        );
        for (key, value) in &writes {
            match value {
                Some(value) => batch.put(key.clone(), value.clone()),
                None => batch.delete(key.clone()),
            }
        }
        batch.on_visible(machine.on_visible());
        match machine.engine.submit(batch) {
            Ok(ticket) => {
                self.met.commits += 1;
                must(!stale, "conditions_hold", || {
                    format!("{:?} is not refused", ticket.commit())
                })?;
                self.model.submit(Submitted {
                    marker,
                    writes,
                    bodies,
                    acknowledged: false,
                    seen: false,
                });
                must(
                    ticket.commit().0 == self.model.last(),
                    "numbers_only_grow",
                    || format!("{:?} is not {}", ticket.commit(), self.model.last()),
                )?;
                if !self.random.once_in(8) {
                    self.waiting.push(ticket);
                }
                Ok(())
            }
            Err(SubmitError::Conflict { .. }) => {
                self.met.conflicts += 1;
                must(stale, "conditions_hold", || "refused without reason".into())
            }
            Err(error) => self.refused(machine, &error),
        }
    }

    /// Only a full disk or a broken one refuses.
    fn refused(&mut self, machine: &Machine, error: &SubmitError) -> Checked {
        let right = match error {
            SubmitError::Full => {
                self.met.refused_full += 1;
                machine.engine.core.disk_full.load(Ordering::Acquire)
            }
            SubmitError::Closed => machine.is_fatal(),
            _ => false,
        };
        must(right, "refused_with_reason", || error.to_string())
    }
}
