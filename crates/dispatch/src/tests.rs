//! The dispatcher over the memory engine, a scripted transport and mailboxes in memory.

mod clock;
mod crash;
mod detour;
mod fair;
mod flow;
mod learning;
mod month;
mod nodes;
mod operator;
mod refused;
mod refusing;
mod relay;
mod reports;
mod sites;
mod steps;
mod transport;
mod turned;
mod wishes;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use blobs::Blobs;
use bytes::Bytes;
use deliver::{Outcome, Reason, Report};
use engine::{Batch, MemoryEngine, Order, ShardId, SharedEngine};
use envelope::{AccountId, Address, Domain, Envelope, Notify, Recipient, Reply, ReversePath};
use observe::Metrics;
use parking_lot::Mutex;
use queue::{Listed, NewMessage, Origin, Queue, Start};
use queue_model::{Party, QueueId};
use runtime::Runtime;
use tokio::sync::Notify as Gate;

use crate::dispatcher::{Core, Loop};
use crate::{
    BoxFuture, DetourStatus, Limiter, Local, LocalCopy, Options, Outbound, Ports, Routes, Site,
    SiteLimits, Together, Transport, Way,
};

const SHARD: ShardId = ShardId(1);
const TEXT: &[u8] =
    b"Subject: secret plans\r\nMessage-ID: <1@here.test>\r\n\r\nbody of the message\r\n";

/// Says what it was told to say, recipient by recipient, and remembers what it saw.
#[derive(Default)]
struct Script {
    /// The next answers per recipient; the last one stays.
    answers: Mutex<HashMap<String, Vec<Outcome>>>,
    seen: Mutex<Vec<(String, Vec<String>)>>,
    /// Until when whoever gets it is to hold it.
    holds: Mutex<Vec<Option<u64>>>,
    has_dsn: Mutex<bool>,
    retry_after: Mutex<Option<Duration>>,
    /// When set, every attempt waits here.
    gate: Mutex<Option<Arc<Gate>>>,
    begun: Gate,
}

impl Script {
    fn says(&self, to: &str, outcomes: &[Outcome]) {
        self.answers.lock().insert(to.to_owned(), outcomes.to_vec());
    }

    fn answer(&self, to: &str) -> Outcome {
        let mut answers = self.answers.lock();
        match answers.get_mut(to) {
            Some(outcomes) if outcomes.len() > 1 => outcomes.remove(0),
            Some(outcomes) => outcomes[0].clone(),
            None => Outcome::Delivered(Reply::enhanced(250, (2, 0, 0), "queued")),
        }
    }

    fn take_seen(&self) -> Vec<(String, Vec<String>)> {
        std::mem::take(&mut self.seen.lock())
    }

    fn take_holds(&self) -> Vec<Option<u64>> {
        std::mem::take(&mut self.holds.lock())
    }
}

impl Transport for Script {
    fn deliver<'a>(
        &'a self,
        site: &'a Site,
        envelope: &'a Envelope,
        message: &'a dyn deliver::Message,
    ) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let to: Vec<String> = envelope
                .recipients
                .iter()
                .map(|to| to.address.to_string())
                .collect();
            self.seen.lock().push((site.to_string(), to.clone()));
            self.holds.lock().push(envelope.hold_until_ms);
            self.begun.notify_one();
            let gate = self.gate.lock().clone();
            if let Some(gate) = gate {
                gate.notified().await;
            }
            let start = message.read(0).await.expect("a body");
            assert_eq!(start.len() as u64, message.size());
            Report {
                outcomes: to.iter().map(|to| self.answer(to)).collect(),
                reported_there: vec![*self.has_dsn.lock(); to.len()],
                host: Some("mx.there.test".into()),
                address: None,
                tls: false,
                tls_failed: false,
                no_room: false,
                retry_after: *self.retry_after.lock(),
            }
        })
    }

    fn detours(&self) -> Vec<DetourStatus> {
        Vec::new()
    }

    fn party<'a>(&'a self, _: &'a Site) -> BoxFuture<'a, Option<Party>> {
        Box::pin(std::future::ready(None))
    }
}

/// Mailboxes of `here.test`, in memory, with a mark in the store for each copy.
struct Mailboxes {
    engine: SharedEngine,
    queue: Queue,
    mail: Mutex<Vec<(String, Bytes)>>,
    refuses: Mutex<Option<Outcome>>,
    refuses_junk: Mutex<bool>,
    /// What went into Junk, with the reason.
    junk: Mutex<Vec<(String, String)>>,
}

impl Local for Mailboxes {
    fn is_local<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, bool> {
        Box::pin(async move { domain.as_str() == "here.test" })
    }

    fn deliver<'a>(
        &'a self,
        copy: LocalCopy<'a>,
        together: &'a mut dyn Together,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            if let Some(outcome) = self.refuses.lock().clone() {
                return outcome;
            }
            let text = self
                .queue
                .read(copy.shard, copy.message, 0..u64::MAX)
                .await
                .expect("read");
            let mut batch = Batch::new();
            batch.put(engine::keys::account(copy.shard.0.into()), text.clone());
            if together.stage(&mut batch).is_err() {
                return Outcome::temporary((4, 3, 0), "not staged");
            }
            let Ok(ticket) = self.engine.submit(batch) else {
                return Outcome::temporary((4, 3, 0), "not taken");
            };
            together.submitted(ticket.commit());
            ticket.done().await;
            self.mail
                .lock()
                .push((copy.recipient.address.to_string(), text));
            Outcome::Delivered(Reply::enhanced(250, (2, 1, 5), "delivered"))
        })
    }

    fn set_aside<'a>(
        &'a self,
        copy: LocalCopy<'a>,
        reason: &'a str,
        together: &'a mut dyn Together,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            if *self.refuses_junk.lock() {
                return Outcome::temporary((4, 3, 0), "no Junk");
            }
            let mut batch = Batch::new();
            batch.put(engine::keys::account(copy.shard.0.into()), Bytes::new());
            together.stage(&mut batch).expect("staged");
            let ticket = self.engine.submit(batch).expect("taken");
            together.submitted(ticket.commit());
            ticket.done().await;
            let to = copy.recipient.address.to_string();
            self.junk.lock().push((to, reason.to_owned()));
            Outcome::Delivered(Reply::enhanced(250, (2, 1, 5), "set aside"))
        })
    }
}

struct World {
    engine: SharedEngine,
    blobs: Arc<Blobs>,
    runtime: Runtime,
    queue: Queue,
    script: Arc<Script>,
    mailboxes: Arc<Mailboxes>,
    outbound: Outbound,
    routes: Arc<Ways>,
    limiter: Limiter,
}

/// Rules that a test sets.
#[derive(Default)]
struct Ways {
    /// Domains that we are a backup of, with the time that mail for them is tried.
    relays: Mutex<HashMap<String, u64>>,
    /// Ways of domains.
    ways: Mutex<HashMap<String, Way>>,
    /// Ways of senders: where there are any, mail for other domains depends on them.
    by_sender: Mutex<HashMap<String, Way>>,
    /// Transports that are no more than addresses of ours.
    sources: Mutex<HashMap<String, Arc<[IpAddr]>>>,
}

impl Routes for Ways {
    fn relay_lifetime_ms(&self, domain: &Domain) -> Option<u64> {
        self.relays.lock().get(domain.as_str()).copied()
    }

    fn way(&self, domain: &Domain) -> Option<Way> {
        if self.relays.lock().contains_key(domain.as_str()) {
            return Some(Way::Primary);
        }
        let known = self.ways.lock().get(domain.as_str()).cloned();
        known.or_else(|| self.by_sender.lock().is_empty().then_some(Way::Usual))
    }

    fn way_of<'a>(&'a self, _: &'a Domain, message: &'a queue::Message) -> BoxFuture<'a, Way> {
        let sender = message.envelope.reverse_path.to_string();
        let way = self.by_sender.lock().get(&sender).cloned();
        Box::pin(std::future::ready(way.unwrap_or(Way::Usual)))
    }

    fn routes(&self, _: &Site) -> Vec<deliver::Route> {
        Vec::new()
    }

    fn sources(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        self.sources.lock().get(name).cloned()
    }
}

impl World {
    fn new() -> Self {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
        Self::over(engine, Runtime::for_tests())
    }

    fn over(engine: SharedEngine, runtime: Runtime) -> Self {
        let blobs = Arc::new(Blobs::new(Arc::clone(&engine)));
        let queue = Queue::new(Arc::clone(&engine), Arc::clone(&blobs), runtime.clone());
        let mailboxes = Mailboxes {
            engine: Arc::clone(&engine),
            queue: queue.clone(),
            mail: Mutex::default(),
            refuses: Mutex::default(),
            refuses_junk: Mutex::default(),
            junk: Mutex::default(),
        };
        let routes: Arc<Ways> = Arc::default();
        let rules = Arc::clone(&routes) as Arc<dyn Routes>;
        Self {
            limiter: Limiter::new(&runtime, rules, SiteLimits::default()),
            engine,
            blobs,
            runtime,
            queue,
            script: Arc::default(),
            mailboxes: Arc::new(mailboxes),
            outbound: Outbound::Direct,
            routes,
        }
    }

    /// The same store in a new process.
    fn restarted(&self) -> Self {
        Self::over(Arc::clone(&self.engine), self.runtime.clone())
    }

    fn ports(&self) -> Ports {
        Ports {
            engine: Arc::clone(&self.engine),
            queue: self.queue.clone(),
            runtime: self.runtime.clone(),
            transport: Arc::clone(&self.script) as Arc<dyn Transport>,
            local: Arc::clone(&self.mailboxes) as Arc<dyn Local>,
            routes: Arc::clone(&self.routes) as Arc<dyn Routes>,
            limiter: self.limiter.clone(),
            metrics: Arc::new(Metrics::new()),
        }
    }

    fn options(&self) -> Options {
        Options::new("mail.here.test", self.outbound)
    }

    fn dispatcher(&self) -> Loop {
        Loop::new(Arc::new(Core {
            ports: self.ports(),
            options: self.options(),
        }))
    }

    async fn put(&self, from: &str, to: &[&str]) -> QueueId {
        self.put_with(from, to, |_| {}).await
    }

    async fn put_with(
        &self,
        from: &str,
        to: &[&str],
        set: impl FnOnce(&mut NewMessage),
    ) -> QueueId {
        let mut writer = self.blobs.writer(SHARD);
        writer.push(TEXT).expect("written");
        let mut blob = writer.finish().expect("finished");
        let mut batch = Batch::new();
        self.blobs.stage(&mut batch, &mut blob).expect("staged");
        let mut envelope = Envelope::new(ReversePath::parse(from).expect("a path"));
        envelope.recipients = to.iter().map(|to| Recipient::new(address(to))).collect();
        let mut new = NewMessage {
            blob: blob.id,
            blob_size: blob.size,
            body: None,
            prefix: Bytes::from_static(b"Received: by here\r\n"),
            envelope,
            origin: Origin {
                account: Some(AccountId(1)),
                ..Origin::default()
            },
            start: Start::Now,
        };
        set(&mut new);
        let id = self.queue.stage(&mut batch, SHARD, new);
        self.engine.submit(batch).expect("taken").done().await;
        id
    }

    /// Many messages of one sender, in few commits; `to` gives each its recipient.
    async fn put_many(&self, from: &str, count: u64, to: impl Fn(u64) -> String) {
        let mut writer = self.blobs.writer(SHARD);
        writer.push(TEXT).expect("written");
        let mut blob = writer.finish().expect("finished");
        let envelope = Envelope::new(ReversePath::parse(from).expect("a path"));
        let mut n = 0;
        while n < count {
            let mut batch = Batch::new();
            self.blobs.stage(&mut batch, &mut blob).expect("staged");
            for _ in 0..500.min(count - n) {
                let new = NewMessage {
                    blob: blob.id,
                    blob_size: blob.size,
                    body: None,
                    prefix: Bytes::new(),
                    envelope: Envelope {
                        recipients: vec![Recipient::new(address(&to(n)))],
                        ..envelope.clone()
                    },
                    origin: Origin::default(),
                    start: Start::Now,
                };
                self.queue.stage(&mut batch, SHARD, new);
                n += 1;
            }
            self.engine.submit(batch).expect("taken").done().await;
        }
    }

    /// Everything submitted before is visible: commits of a shard become so in order.
    async fn settle(&self) {
        let mut batch = Batch::new();
        batch.put(engine::keys::account(SHARD.0.into()), Bytes::new());
        self.engine.submit(batch).expect("taken").done().await;
    }

    /// Attempts that are under way have their intents on the disk.
    async fn last(&self) {
        // The writer gets its turn: it begins to wait, and then time passes for it.
        for _ in 0..20 {
            self.runtime.blocking(std::thread::yield_now).await;
            self.runtime.advance(queue::limits::INTENT_AFTER);
        }
        self.settle().await;
    }

    async fn show(&self, id: QueueId) -> Listed {
        self.queue.show(id).await.expect("in the queue")
    }

    async fn states(&self, id: QueueId) -> Vec<&'static str> {
        self.show(id)
            .await
            .recipients()
            .map(|(_, state, _)| state.name())
            .collect()
    }

    fn mail(&self) -> Vec<(String, String)> {
        let mail = std::mem::take(&mut *self.mailboxes.mail.lock());
        mail.into_iter()
            .map(|(to, text)| (to, String::from_utf8_lossy(&text).into_owned()))
            .collect()
    }

    fn queue_keys(&self) -> usize {
        let scan = |shard| {
            let snapshot = self.engine.snapshot(ShardId(shard));
            snapshot
                .scan(b"Q", b"R", Order::Ascending, 10_000)
                .expect("read")
                .iter()
                // How recipients ended stays.
                .filter(|(key, _)| key.get(3) != Some(&b'e'))
                .count()
        };
        (0..3).map(scan).sum()
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn said(code: u16, status: (u8, u16, u16), text: &str) -> Reason {
    Reason {
        reply: Reply::enhanced(code, status, text),
        said_by: Some("mx.there.test".into()),
    }
}

fn later() -> Outcome {
    Outcome::Temporary(said(451, (4, 2, 0), "come back"))
}

fn never() -> Outcome {
    Outcome::Permanent(said(550, (5, 1, 1), "no such user here"))
}

fn yes() -> Outcome {
    Outcome::Delivered(Reply::enhanced(250, (2, 0, 0), "queued as 1"))
}

fn unreachable() -> Outcome {
    Outcome::temporary((4, 4, 1), "connection refused")
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}
