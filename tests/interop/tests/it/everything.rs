//! The plug is pulled again and again while everything happens at once:
//! deliveries, flag storms, expunges, copies and moves, backups, collection,
//! the cutting of logs. Nothing is lost, nothing is doubled, nothing is half.
//!
//! | part | |
//! |---|---|
//! | `mail` | messages whose every byte follows from their id |
//! | `promised` | what a session was told, and the checks by name |
//! | `worker` | an IMAP session that never rests |
//! | `life` | all that goes on between a start and its kill |
//! | `inside` | the store without the server: what only grows, what a backup holds |
//! | `tally` | how often each thing happened |
//!
//! `POSTHOUSE_KILLS=200` is the long form, `POSTHOUSE_SEED=17` one run's choices
//! again (what races is another story).

mod inside;
mod life;
mod mail;
mod promised;
mod tally;
mod worker;

use anyhow::Context as _;
use inside::Inside;
use interop::Result;
use interop::posthouse::Posthouse;
use interop::world::{Needs, World, run, wait_for};
use life::{Backups, Life};
use mail::{ACCOUNTS, WORKERS};
use promised::Delivered;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tally::Tally;
use worker::Worker;

/// What `make test` does.
const KILLS: u64 = 8;
/// Lives that are longer, so that collection gets through a pass.
fn is_long(kill: u64) -> bool {
    kill % 8 == 1 || kill == 5
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_doubled_or_half_when_the_plug_is_pulled_on_everything() {
    run(
        "everything::nothing_is_lost_doubled_or_half_when_the_plug_is_pulled_on_everything",
        Needs::Nothing,
        |world| {
            let kills = from_env("POSTHOUSE_KILLS").unwrap_or(KILLS);
            let seed = from_env("POSTHOUSE_SEED").unwrap_or_else(|| fastrand::u64(..));
            eprintln!("POSTHOUSE_SEED={seed}, {kills} kills");
            let mut house = House::new(world, seed)?;
            for kill in 0..kills {
                house
                    .life_and_death(world, kill)
                    .and_then(|()| house.check(world, kill))
                    .with_context(|| format!("kill {kill}, POSTHOUSE_SEED={seed}"))?;
            }
            house.end(world)?;
            house.tally.check(kills)
        },
    );
}

/// The system with everything that is known of it.
struct House {
    ours: Posthouse,
    workers: Vec<Worker>,
    senders: Vec<life::Sender>,
    /// By account.
    delivered: Vec<Delivered>,
    backups: Backups,
    inside: Inside,
    tally: Tally,
    random: fastrand::Rng,
}

impl House {
    /// A server that runs, with accounts, mailboxes and small segments.
    fn new(world: &mut World, seed: u64) -> Result<Self> {
        let users: Vec<String> = (0..ACCOUNTS).map(|n| format!("user{n}")).collect();
        let names: Vec<&str> = users.iter().map(String::as_str).collect();
        let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &names)?;
        ours.set("store.segment_bytes", "\"4 MiB\"")?;
        ours.set("store.collect_grace", "\"1s\"")?;
        ours.serve(world)?;
        for account in 0..ACCOUNTS {
            worker::make_mailboxes(&ours.addr(143), account)?;
        }
        let mut random = fastrand::Rng::with_seed(seed);
        let workers = (0..ACCOUNTS * WORKERS)
            .map(|n| Worker::new(n / WORKERS, n % WORKERS, random.u64(..)))
            .collect();
        let senders = (0..life::SENDERS)
            .map(|n| life::Sender::new(n, random.u64(..)))
            .collect();
        let inside = Inside::new(ours.dir().join("data/store"));
        Ok(Self {
            backups: Backups::new(world.dir().join("backups")),
            ours,
            workers,
            senders,
            delivered: (0..ACCOUNTS).map(|_| Delivered::default()).collect(),
            inside,
            tally: Tally::default(),
            random,
        })
    }

    /// Everything at once, until the plug is pulled.
    fn life_and_death(&mut self, world: &mut World, kill: u64) -> Result<()> {
        let length = if is_long(kill) {
            Duration::from_millis(5000)
        } else {
            Duration::from_millis(self.random.u64(50..1500))
        };
        let Life {
            delivered, backups, ..
        } = life::live(
            &mut self.ours,
            world,
            &mut self.workers,
            &mut self.senders,
            &self.backups,
            &self.tally,
            length,
        )?;
        self.delivered = delivered;
        self.backups.done.extend(backups);
        self.tally.end_life();
        Ok(())
    }

    /// Nothing runs. The store is looked at with and without its server.
    fn check(&mut self, world: &mut World, kill: u64) -> Result<()> {
        let offline = kill.is_multiple_of(2);
        if offline {
            self.inside.check()?;
            self.ours.assert_sound()?;
        }
        self.ours.serve(world)?;
        let here = self.compare()?;
        self.backups.note(&here);
        if !offline {
            self.ours.assert_sound()?;
        }
        self.backups.check(&self.ours, kill % 4 == 3)
    }

    /// Every promise to every session; gives the ids that are in each account.
    fn compare(&mut self) -> Result<Vec<HashSet<String>>> {
        let addr = self.ours.addr(143);
        let mut here = Vec::new();
        for (account, delivered) in self.delivered.iter().enumerate() {
            let all = worker::look_around(&addr, account)?;
            let ids = all.iter().flat_map(|of| of.values());
            here.push(ids.map(|found| found.id.clone()).collect());
            let workers = self
                .workers
                .iter_mut()
                .filter(|worker| worker.account == account);
            for (worker, found) in workers.zip(all) {
                let mut delivered = Delivered {
                    acknowledged: delivered.acknowledged.clone(),
                    unanswered: delivered.unanswered.clone(),
                };
                let mine = |id: &String| mail::owner(id) == worker.number;
                delivered.acknowledged.retain(mine);
                delivered.unanswered.retain(mine);
                worker
                    .promised
                    .settle(found, &delivered)
                    .with_context(|| format!("user{account}, session {}", worker.number))?;
            }
        }
        Ok(here)
    }

    /// A backup of the last busy life is restored and holds what it must.
    fn end(&mut self, world: &mut World) -> Result<()> {
        let begun = Instant::now();
        while self.backups.last_checked().is_none() && begun.elapsed() < Duration::from_secs(60) {
            let length = Duration::from_millis(3000);
            let life = life::live(
                &mut self.ours,
                world,
                &mut self.workers,
                &mut self.senders,
                &self.backups,
                &self.tally,
                length,
            )?;
            self.delivered = life.delivered;
            self.backups.done.extend(life.backups);
            self.tally.end_life();
            self.check(world, 3)?;
        }
        // The lives before may all have been too short for a pass of collection.
        let http = self.ours.addr(80);
        let freed = "store_segments_freed_total";
        wait_for("a segment to be freed", Duration::from_secs(60), || {
            self.tally.read_metrics(&http)?;
            Ok((self.tally.so_far(freed) > 0).then_some(()))
        })?;
        self.tally.end_life();
        self.ours.end(world, "TERM")?;
        self.inside.check()?;
        self.ours.assert_sound()?;
        self.backups.restore(&self.ours, world)
    }
}
