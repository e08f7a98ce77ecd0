//! Everything at once, until the plug is pulled.

use super::inside;
use super::mail::{ACCOUNTS, message};
use super::promised::Delivered;
use super::tally::Tally;
use super::worker::Worker;
use anyhow::{Context as _, Result, bail, ensure};
use interop::posthouse::{Posthouse, program};
use interop::smtp;
use interop::world::World;
use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Sessions that deliver.
pub const SENDERS: usize = 6;
/// Runs that a backup keeps.
const KEPT: &str = "4";

/// What one life leaves.
#[derive(Debug)]
pub struct Life {
    /// By account.
    pub delivered: Vec<Delivered>,
    pub backups: Vec<Done>,
}

/// A backup that said it was done.
#[derive(Debug, Clone)]
pub struct Done {
    run: String,
    /// By account, ids that had been acknowledged when it began.
    before: Vec<HashSet<String>>,
}

/// A session that delivers, over all lives.
#[derive(Debug)]
pub struct Sender {
    number: usize,
    sent: u32,
    random: fastrand::Rng,
}

/// What the threads of a life share.
struct Stage<'a> {
    /// The plug is being pulled: from now on commands may fail.
    over: AtomicBool,
    delivered: Mutex<Vec<Delivered>>,
    /// Commands of ours that run, to be killed with the server.
    children: Mutex<Vec<Child>>,
    tally: &'a Tally,
    config: PathBuf,
}

/// Lives for `length` and pulls the plug.
///
/// # Errors
/// The server died by itself, or answered what it should not.
pub fn live(
    ours: &mut Posthouse,
    world: &mut World,
    workers: &mut [Worker],
    senders: &mut [Sender],
    backups: &Backups,
    tally: &Tally,
    length: Duration,
) -> Result<Life> {
    let stage = Stage {
        over: AtomicBool::new(false),
        delivered: Mutex::new((0..ACCOUNTS).map(|_| Delivered::default()).collect()),
        children: Mutex::default(),
        tally,
        config: ours.config(),
    };
    let (mx, imap, http) = (ours.addr(25), ours.addr(143), ours.addr(80));
    let done = thread::scope(|scope| -> Result<Vec<Done>> {
        let (stage, mx, imap, http) = (&stage, &mx, &imap, &http);
        let mut threads = Vec::new();
        for sender in senders.iter_mut() {
            threads.push(scope.spawn(move || stage.until_the_end(sender.send(mx, stage))));
        }
        for worker in workers.iter_mut() {
            threads.push(scope.spawn(move || stage.until_the_end(worker.work(imap, tally))));
        }
        threads.push(scope.spawn(move || stage.until_the_end(stage.purge())));
        threads.push(scope.spawn(move || stage.until_the_end(stage.watch(http))));
        let backing_up = scope.spawn(move || stage.back_up(backups));
        thread::sleep(length);
        stage.over.store(true, Ordering::SeqCst);
        let killed = ours.kill(world);
        for child in lock(&stage.children).iter_mut() {
            // One that ended just now is as good.
            let _ = child.kill();
        }
        for thread in threads {
            thread.join().expect("a session does not panic")?;
        }
        let done = backing_up.join().expect("a backup does not panic")?;
        killed?;
        Ok(done)
    })?;
    let under_way = |worker: &&Worker| worker.promised.under_way.is_some();
    let changes = workers.iter().filter(under_way).count();
    tally.add("changes under way at a kill", changes as u64);
    let delivered = stage.delivered.into_inner();
    let delivered = delivered.unwrap_or_else(PoisonError::into_inner);
    let unanswered: usize = delivered.iter().map(|to| to.unanswered.len()).sum();
    tally.add("deliveries under way at a kill", unanswered as u64);
    Ok(Life {
        delivered,
        backups: done,
    })
}

impl Stage<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// An error is what ends a session when the plug is pulled; before, it is a fault.
    fn until_the_end(&self, result: Result<()>) -> Result<()> {
        if self.is_over() { Ok(()) } else { result }
    }

    /// Runs a command of ours; `None` when it was killed or the server was.
    fn command(&self, args: &[&str]) -> Result<Option<serde_json::Value>> {
        let at = {
            let mut children = lock(&self.children);
            // One that begins now would open the store itself.
            if self.is_over() {
                return Ok(None);
            }
            let child = Command::new(program())
                .args(args)
                .arg("--json")
                .arg("--config")
                .arg(&self.config)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            children.push(child);
            children.len() - 1
        };
        let status = loop {
            if let Some(status) = lock(&self.children)[at].try_wait()? {
                break status;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let (mut out, mut err) = (String::new(), String::new());
        let mut children = lock(&self.children);
        let child = &mut children[at];
        if let (Some(stdout), Some(stderr)) = (&mut child.stdout, &mut child.stderr) {
            stdout.read_to_string(&mut out)?;
            stderr.read_to_string(&mut err)?;
        }
        drop(children);
        if status.success() {
            return Ok(Some(serde_json::from_str(&out)?));
        }
        ensure!(self.is_over(), "{args:?} failed: {out}{err}");
        Ok(None)
    }

    /// What was deleted goes for good, account by account.
    fn purge(&self) -> Result<()> {
        for account in (0..ACCOUNTS).cycle() {
            let user = format!("user{account}@demo.test");
            let Some(answer) = self.command(&["account", "purge", &user])? else {
                return Ok(());
            };
            if answer["changes"].as_u64() > Some(0) {
                self.tally.add("logs that were cut", 1);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn watch(&self, http: &str) -> Result<()> {
        loop {
            self.tally.read_metrics(http)?;
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// One backup behind the other; those that said they are done.
    fn back_up(&self, backups: &Backups) -> Result<Vec<Done>> {
        let mut done = Vec::new();
        loop {
            let before = {
                let delivered = lock(&self.delivered);
                delivered.iter().map(|to| to.acknowledged.clone()).collect()
            };
            let place = backups.place.display().to_string();
            let args = ["backup", "--to", &place, "--keep", KEPT];
            let Some(answer) = self.command(&args)? else {
                self.tally.add("backups that were cut", 1);
                return Ok(done);
            };
            let run = answer["run"].as_str().context("a run without a name")?;
            self.tally.add("backups", 1);
            done.push(Done {
                run: run.to_owned(),
                before,
            });
        }
    }
}

impl Sender {
    pub fn new(number: usize, seed: u64) -> Self {
        Self {
            number,
            sent: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Sends until the server dies.
    fn send(&mut self, addr: &str, stage: &Stage<'_>) -> Result<()> {
        let mut client = smtp::Client::connect(addr)?;
        client.expect("EHLO client.test", 250)?;
        loop {
            self.sent += 1;
            let id = format!("d{}.{}", self.number, self.sent);
            // Some share a body between two accounts.
            let mut to = vec![self.random.usize(..ACCOUNTS)];
            if self.random.u8(..4) == 0 {
                to.push((to[0] + 1) % ACCOUNTS);
            }
            let users: Vec<String> = to.iter().map(|n| format!("user{n}@demo.test")).collect();
            let users: Vec<&str> = users.iter().map(String::as_str).collect();
            for account in &to {
                let unanswered = &mut lock(&stage.delivered)[*account].unanswered;
                unanswered.insert(id.clone());
            }
            let (code, text) = client.send("x@far.test", &users, &message(&id))?;
            ensure!(code == 250, "{text}");
            let mut delivered = lock(&stage.delivered);
            for account in to {
                let delivered = &mut delivered[account];
                delivered.unanswered.remove(&id);
                delivered.acknowledged.insert(id.clone());
            }
            drop(delivered);
            stage.tally.add("deliveries", 1);
        }
    }
}

/// Where backups go, and what those that are done must hold.
#[derive(Debug)]
pub struct Backups {
    place: PathBuf,
    /// Since the last look.
    pub done: Vec<Done>,
    /// The last one, with what must be in it.
    last: Option<Done>,
}

impl Backups {
    pub fn new(place: PathBuf) -> Self {
        Self {
            place,
            done: Vec::new(),
            last: None,
        }
    }

    /// What was acknowledged before a backup began and is in the account now,
    /// after it, must be in the backup.
    pub fn note(&mut self, here: &[HashSet<String>]) {
        if let Some(mut done) = self.done.pop() {
            for (before, here) in done.before.iter_mut().zip(here) {
                before.retain(|id| here.contains(id));
            }
            self.last = Some(done);
        }
        self.done.clear();
    }

    /// A backup that can be restored and was made under load, if there is one.
    pub fn last_checked(&self) -> Option<&str> {
        let last = self.last.as_ref()?;
        let holds: usize = last.before.iter().map(HashSet::len).sum();
        (holds > 0).then_some(&*last.run)
    }

    /// The last run that said it is done is there; and every run is whole, when
    /// that is asked for.
    pub fn check(&self, ours: &Posthouse, whole: bool) -> Result<()> {
        let Some(last) = &self.last else {
            return Ok(());
        };
        let place = self.place.display().to_string();
        if whole {
            let (code, text) = ours.try_cli(&["backup", "verify", &place])?;
            ensure!(code == Some(0), "a backup is damaged: {text}");
        }
        let runs: serde_json::Value =
            serde_json::from_str(&ours.cli(&["backup", "list", &place, "--json"])?)?;
        let there = runs.as_array().into_iter().flatten();
        let mut names = there.filter_map(|run| run["run"].as_str());
        ensure!(
            names.any(|run| run == last.run),
            "the backup {} said it was done and is not there: {runs}",
            last.run
        );
        Ok(())
    }

    /// Restores the last one beside the system; the server does not run.
    pub fn restore(&self, ours: &Posthouse, world: &World) -> Result<()> {
        let Some(last) = &self.last else {
            bail!("no backup was ever done");
        };
        let config = world.dir().join("restored.toml");
        let data = world.dir().join("restored");
        std::fs::copy(ours.config(), &config)?;
        let run = |args: &[&str]| -> Result<String> {
            let command = Command::new(program())
                .args(args)
                .arg("--config")
                .arg(&config)
                .output()?;
            let text = String::from_utf8_lossy(&[command.stdout, command.stderr].concat()).into();
            ensure!(command.status.success(), "{args:?}: {text}");
            Ok(text)
        };
        run(&["config", "set", "data_dir", &format!("{data:?}")])?;
        let place = self.place.display().to_string();
        run(&["restore", "--from", &place, "--at", &last.run])?;
        run(&["fsck"])?;
        let restored = inside::ids(Path::new(&data.join("store")))?;
        let mut held = 0;
        for (account, before) in last.before.iter().enumerate() {
            let there = restored.get(&format!("user{account}@demo.test"));
            let there = there.with_context(|| format!("user{account} was not restored"))?;
            for id in before {
                ensure!(there.contains(id), "{id} is not in the backup {}", last.run);
                held += 1;
            }
        }
        ensure!(held > 0, "the backup {} proves nothing", last.run);
        eprintln!("{held} messages had to be in the backup {}", last.run);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
