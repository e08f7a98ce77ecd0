//! The loop.
//!
//! One task owns the lists; each attempt is a task of its own that ends with a
//! message to the loop. Nothing is locked.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use blobs::Blobs;
use engine::SharedEngine;
use envelope::Domain;
use observe::Metrics;
use parking_lot::Mutex;
use queue::{Forward, Message, Queue, QueueError, Retried};
use queue_model::Schedule;
use runtime::{Monotonic, Runtime, Shutdown, Task};
use tokio::sync::{mpsc, oneshot};

use crate::attempt::attempt;
use crate::clock::{Nearing, WallClock};
use crate::detour::DetourStatus;
use crate::limiter::{Limiter, NodesStatus, PartyStatus, Seat};
use crate::limits::{
    DRAIN, FORWARD_PAGE, QUESTIONS_MAX, REST, RUNNING_LOCAL_MAX, RUNNING_MAX, RUNNING_PER_SITE_MAX,
    SLEEP_MAX,
};
use crate::ports::{Local, Routes, Transport};
use crate::scan::{self, Scanner};
use crate::site::Site;
use crate::sites::{Most, Seen, SiteStatus, Sites, Unit};

/// What the dispatcher works with.
#[derive(Clone)]
pub struct Ports {
    /// Where commits go.
    pub engine: SharedEngine,
    /// What there is to do.
    pub queue: Queue,
    /// Clock, randomness, tasks.
    pub runtime: Runtime,
    /// How mail leaves.
    pub transport: Arc<dyn Transport>,
    /// How mail enters a mailbox here.
    pub local: Arc<dyn Local>,
    /// Which way it goes.
    pub routes: Arc<dyn Routes>,
    /// How many connections to whom; `transport` asks the same one.
    pub limiter: Limiter,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Ports {
    pub(crate) fn blobs(&self) -> &Arc<Blobs> {
        self.queue.blobs()
    }
}

/// Where mail for elsewhere goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outbound {
    /// To each domain's own servers.
    Direct,
    /// To the smart host.
    SmartHost,
    /// Nowhere: it is held until a person releases it.
    Hold,
    /// Nowhere: it waits, with the reason "demo".
    Demo,
}

/// How the dispatcher behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our name, for reports.
    pub hostname: String,
    /// Where mail for elsewhere goes.
    pub outbound: Outbound,
    /// When to try again and when to give up.
    pub schedule: Schedule,
    /// Attempts at once.
    pub running_max: usize,
    /// Attempts at once to one site.
    pub running_per_site_max: usize,
    /// In-flight attempts have this long when the server stops.
    pub drain: Duration,
}

impl Options {
    /// Defaults, for a server of this name.
    #[must_use]
    pub fn new(hostname: &str, outbound: Outbound) -> Self {
        Self {
            hostname: hostname.to_owned(),
            outbound,
            schedule: Schedule::default(),
            running_max: RUNNING_MAX,
            running_per_site_max: RUNNING_PER_SITE_MAX,
            drain: DRAIN,
        }
    }
}

/// What every attempt needs.
pub(crate) struct Core {
    pub(crate) ports: Ports,
    pub(crate) options: Options,
}

impl Core {
    /// When mail for a domain is tried again, and when it is given up: as a domain's
    /// backup MX we have more patience, with reports too.
    pub(crate) fn schedule(&self, domain: &Domain) -> Schedule {
        let usual = self.options.schedule;
        match self.ports.routes.relay_lifetime_ms(domain) {
            Some(lifetime_ms) => Schedule {
                lifetime_ms,
                report_lifetime_ms: lifetime_ms,
                ..usual
            },
            None => usual,
        }
    }

    /// When a message for a domain is given up, in milliseconds since 1970.
    pub(crate) fn ends_ms(&self, message: &Message, domain: &Domain) -> u64 {
        let lifetime_ms = self.schedule(domain).lifetime_ms(message.is_report());
        message.counts_from_ms().saturating_add(lifetime_ms)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.ports.runtime.random_u64()
    }
}

/// Takes due entries from the queue and sees them delivered.
pub struct Dispatcher {
    core: Arc<Core>,
    watch: Watch,
    asked: Mutex<Option<Asked>>,
}

/// What the loop is asked.
enum Question {
    /// How the sites are.
    Sites(oneshot::Sender<Vec<SiteStatus>>),
    /// Whether a site that was down is up: it says so itself.
    Knock(Site),
}

/// Questions to the loop.
type Asked = mpsc::Receiver<Question>;

/// Asks a dispatcher how its sites are. Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    asks: mpsc::Sender<Question>,
    limiter: Limiter,
    transport: Arc<dyn Transport>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// How the sites are that have work, or were down; nothing when the dispatcher does not run.
    pub async fn sites(&self) -> Option<Vec<SiteStatus>> {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(Question::Sites(sender)).await.ok()?;
        receiver.await.ok()
    }

    /// A site says that it takes mail: what was put off because it was down is due now.
    pub fn knock(&self, site: Site) {
        // Where very much is asked already, or the dispatcher has ended, it goes at its time.
        let _ = self.asks.try_send(Question::Knock(site));
    }

    /// How it is with those whose servers mail goes to, the busiest first.
    #[must_use]
    pub fn parties(&self) -> Vec<PartyStatus> {
        self.limiter.status()
    }

    /// How it is with the nodes that limits are shared with; nothing where they are not shared.
    #[must_use]
    pub fn nodes(&self) -> Option<NodesStatus> {
        self.limiter.nodes()
    }

    /// Whom mail goes around, because they refuse us for our reputation.
    #[must_use]
    pub fn detours(&self) -> Vec<DetourStatus> {
        self.transport.detours()
    }

    /// How it is with those that have a site's servers, as far as that is known.
    #[must_use]
    pub fn party_of(&self, site: &Site) -> Option<PartyStatus> {
        self.limiter.status_of(&self.limiter.party_of(site)?)
    }
}

impl Dispatcher {
    /// A dispatcher over these ports. One for a process.
    #[must_use]
    pub fn new(ports: Ports, options: Options) -> Self {
        let (asks, asked) = mpsc::channel(QUESTIONS_MAX);
        let limiter = ports.limiter.clone();
        let transport = Arc::clone(&ports.transport);
        Self {
            core: Arc::new(Core { ports, options }),
            watch: Watch {
                asks,
                limiter,
                transport,
            },
            asked: Mutex::new(Some(asked)),
        }
    }

    /// Whom to ask how the sites are.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Runs until the shutdown's signal, then lets attempts under way end
    /// within the drain's time; what has not ended then is due as before.
    ///
    /// # Errors
    /// What an earlier process left behind cannot be read or written.
    ///
    /// # Cancel safety
    /// Dropping the future aborts the attempts; what they did is recorded or is done again.
    pub async fn run(&self, shutdown: Shutdown) -> Result<(), QueueError> {
        let recovered = self.core.ports.queue.recover().await?;
        tracing::info!(
            messages = recovered.messages,
            interrupted = recovered.interrupted,
            "the queue is open"
        );
        let mut running = Loop::new(Arc::clone(&self.core));
        running.asked = self.asked.lock().take();
        let limiter = &self.core.ports.limiter;
        limiter.keep_sharing();
        running.until(&shutdown).await;
        running.drain().await;
        limiter.end_sharing().await;
        Ok(())
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher")
            .field("options", &self.core.options)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Loop {
    core: Arc<Core>,
    sites: Sites,
    scanner: Scanner,
    clock: WallClock,
    nearing: Nearing,
    tasks: HashMap<u64, Task<()>>,
    next_task: u64,
    /// Attempts that met trouble of our own, and when to look at their entries again.
    resting: VecDeque<(Monotonic, Ended)>,
    ended: mpsc::Sender<Ended>,
    ends: mpsc::Receiver<Ended>,
    asked: Option<Asked>,
}

/// How an attempt ended.
struct Ended {
    task: u64,
    unit: Unit,
    /// What it has shown; nothing when it met trouble of our own.
    seen: Option<Seen>,
}

/// Tells the loop that an attempt has ended, however it ended.
struct Telling {
    ended: Option<Ended>,
    to: mpsc::Sender<Ended>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            // Without a receiver the loop has gone, and nobody wants to know.
            let _ = self.to.try_send(ended);
        }
    }
}

/// The next question; never one when nobody can ask.
async fn question(asked: &mut Option<Asked>) -> Option<Question> {
    match asked {
        Some(asked) => asked.recv().await,
        None => std::future::pending().await,
    }
}

impl Loop {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        // Every attempt sends once, so this never fills.
        let (ended, ends) = mpsc::channel(core.options.running_max.max(1));
        Self {
            scanner: Scanner::new(),
            core,
            sites: Sites::default(),
            clock: WallClock::default(),
            nearing: Nearing::default(),
            tasks: HashMap::new(),
            next_task: 0,
            resting: VecDeque::new(),
            ended,
            ends,
            asked: None,
        }
    }

    /// Works until nothing is due and nothing is under way.
    #[cfg(test)]
    pub(crate) async fn work(&mut self) {
        loop {
            self.turn().await.expect("the queue can be read");
            if self.tasks.is_empty() {
                if !self.wants_more() {
                    return;
                }
                continue;
            }
            if let Some(ended) = self.ends.recv().await {
                self.end(ended);
            }
        }
    }

    /// Works until all that is under way only waits for a time: `asleep` counts that,
    /// `moved` tells when it may be more.
    #[cfg(test)]
    pub(crate) async fn turn_until_idle(
        &mut self,
        asleep: impl Fn() -> usize,
        moved: &tokio::sync::Notify,
    ) {
        loop {
            self.turn().await.expect("the queue can be read");
            while self.tasks.len() > asleep() {
                tokio::select! {
                    Some(ended) = self.ends.recv() => self.end(ended),
                    () = moved.notified() => {}
                }
                self.start();
            }
            if !self.wants_more() {
                return;
            }
        }
    }

    /// Starts what is due and lets all of it end: with attempts that take a second, a second's work.
    #[cfg(test)]
    pub(crate) async fn round(&mut self) {
        self.turn().await.expect("the queue can be read");
        while !self.tasks.is_empty() {
            if let Some(ended) = self.ends.recv().await {
                self.end(ended);
            }
        }
    }

    /// Starts what is due, and waits for nothing.
    pub(crate) async fn turn(&mut self) -> Result<(), QueueError> {
        while let Ok(ended) = self.ends.try_recv() {
            self.end(ended);
        }
        while let Some(Ok(question)) = self.asked.as_mut().map(mpsc::Receiver::try_recv) {
            self.answer(question).await;
        }
        self.wake_resting();
        self.look_at_the_clock().await?;
        self.forget_failures().await;
        self.bring_forward().await?;
        self.scanner.scan(&self.core, &mut self.sites).await?;
        self.start();
        Ok(())
    }

    /// What a person wants tried now is tried, whatever is known about its sites.
    async fn forget_failures(&mut self) {
        let queue = &self.core.ports.queue;
        match queue.news().take_retried() {
            Retried::Everything => {
                self.core.ports.limiter.forgive_all();
                self.sites.forget_failures();
            }
            Retried::Domains(domains) => {
                for domain in domains {
                    for line in scan::lines_of(queue, &domain) {
                        match scan::route(&self.core, &line).await {
                            Some(site) => {
                                self.core.ports.limiter.forgive(&site);
                                self.sites.forget_failures_of(&site);
                            }
                            None => self.sites.forget_failures(),
                        }
                    }
                }
            }
        }
    }

    /// A site is back: what was put off meanwhile follows, as fast as it takes it.
    async fn bring_forward(&mut self) -> Result<(), QueueError> {
        let Some((site, line, place, since_ms)) = self.sites.next_forward() else {
            return Ok(());
        };
        let queue = &self.core.ports.queue;
        let part = Forward {
            from: place,
            to_ms: u64::MAX,
            since_ms,
            held_ms_max: u64::MAX,
        };
        let next = queue.bring_forward(&line, part, FORWARD_PAGE).await?;
        if let Some(place) = next {
            self.sites.forward_more(site, line, place, since_ms);
        }
        Ok(())
    }

    async fn look_at_the_clock(&mut self) -> Result<(), QueueError> {
        let runtime = &self.core.ports.runtime;
        let now = (runtime.monotonic(), runtime.now());
        if let Some(set_back_ms) = self.clock.set_back_ms(now) {
            self.nearing.begin(&self.core, set_back_ms);
            self.scanner.look_at_everything();
        }
        self.nearing.step(&self.core).await
    }

    async fn until(&mut self, shutdown: &Shutdown) {
        let queue = self.core.ports.queue.clone();
        while !shutdown.is_draining() {
            if let Err(error) = self.turn().await {
                tracing::error!(%error, "the queue cannot be read");
                self.core.ports.runtime.sleep(Duration::from_secs(1)).await;
                continue;
            }
            self.wait(&queue, shutdown).await;
        }
    }

    /// Until there is something to look for in the schedule.
    async fn wait(&mut self, queue: &Queue, shutdown: &Shutdown) {
        let mut sleep = std::pin::pin!(self.core.ports.runtime.sleep(self.pause()));
        let limiter = self.core.ports.limiter.clone();
        while !self.wants_more() {
            tokio::select! {
                Some(ended) = self.ends.recv() => {
                    self.end(ended);
                    while let Ok(ended) = self.ends.try_recv() {
                        self.end(ended);
                    }
                    self.start();
                }
                Some(question) = question(&mut self.asked) => self.answer(question).await,
                () = limiter.grown() => self.start(),
                () = queue.news().wait() => return,
                () = &mut sleep => return,
                () = shutdown.draining() => return,
            }
        }
    }

    async fn answer(&mut self, question: Question) {
        let runtime = &self.core.ports.runtime;
        match question {
            Question::Sites(asker) => {
                // Whoever has asked may have gone.
                let _ = asker.send(self.sites.status(runtime.monotonic()));
            }
            Question::Knock(site) => {
                let lines = self.scanner.lines_to(&self.core, &site).await;
                self.sites.forget_failures_of(&site);
                self.sites
                    .bring_forward(&site, lines, runtime.now().unix_ms);
            }
        }
    }

    /// There is more in the schedule, and room for it.
    fn wants_more(&self) -> bool {
        let runtime = &self.core.ports.runtime;
        self.scanner.is_unfinished(runtime.now().unix_ms)
            || self.sites.wants_more(runtime.monotonic())
            || self.sites.wants_forward()
            || self.nearing.is_active()
    }

    fn pause(&self) -> Duration {
        self.next_wake()
            .map_or(SLEEP_MAX, |wake| wake.min(SLEEP_MAX))
    }

    /// How long until something is due that is known of.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        let now_ms = self.core.ports.runtime.now().unix_ms;
        let due = self
            .scanner
            .next_ms()
            .map(|ms| Duration::from_millis(ms.saturating_sub(now_ms)));
        let now = self.core.ports.runtime.monotonic();
        let rested = self.resting.front().map(|(at, _)| *at);
        let opens = self.sites.opens_at(now);
        let seats = self.sites.unparks_at();
        let steady = rested.into_iter().chain(opens).chain(seats);
        let steady = steady.map(|at| at.since(now));
        due.into_iter().chain(steady).min()
    }

    /// As many attempts as there is room for.
    fn start(&mut self) {
        let core = Arc::clone(&self.core);
        let limiter = &core.ports.limiter;
        let most = Most {
            per_site: core.options.running_per_site_max,
            local: RUNNING_LOCAL_MAX,
            limiter: Some(limiter),
        };
        self.sites.unpark(limiter);
        while self.tasks.len() < core.options.running_max {
            let Some(unit) = self.sites.next(most) else {
                return;
            };
            let seat = match unit.closed_until {
                None => limiter.party_of(&unit.site),
                Some(_) => None,
            };
            let seat = seat.and_then(|party| limiter.sit(&party));
            self.spawn(unit, seat);
        }
    }

    fn spawn(&mut self, unit: Unit, seat: Option<Seat>) {
        let number = self.next_task;
        self.next_task += 1;
        let mut telling = Telling {
            ended: Some(Ended {
                task: number,
                unit: unit.clone(),
                seen: None,
            }),
            to: self.ended.clone(),
        };
        let core = Arc::clone(&self.core);
        let attempt = async move {
            let seen = attempt(&core, &unit, seat).await;
            if let Err(error) = &seen {
                let message = &unit.dues[0].id;
                tracing::error!(%message, %error, "an attempt met trouble of our own");
            }
            if let Some(ended) = &mut telling.ended {
                ended.seen = seen.ok();
            }
            drop(telling);
        };
        let task = self.core.ports.runtime.spawn("attempt", attempt);
        self.tasks.insert(number, task);
    }

    fn end(&mut self, ended: Ended) {
        self.tasks.remove(&ended.task);
        let now = self.core.ports.runtime.monotonic();
        if ended.seen.is_none() {
            // Its entries stay known, so that nobody tries again before.
            self.resting.push_back((now.after(REST), ended));
            return;
        }
        self.leave(&ended);
    }

    fn leave(&mut self, ended: &Ended) {
        let runtime = &self.core.ports.runtime;
        let now = (runtime.monotonic(), runtime.now());
        let wait = (&self.core.options.schedule, self.core.seed());
        let (site, seen) = (&ended.unit.site, ended.seen.unwrap_or(Seen::Nothing));
        let finished = self.sites.finish(&ended.unit, seen, now, wait);
        for due in finished.again {
            self.scanner.go_back(due.line.clone(), due.place());
        }
        if finished.is_back {
            tracing::info!(%site, "takes mail again");
            let lines = self.scanner.lines_of(site);
            self.sites.bring_forward(site, lines, now.1.unix_ms);
        }
    }

    fn wake_resting(&mut self) {
        let now = self.core.ports.runtime.monotonic();
        while let Some((_, ended)) = self.resting.pop_front_if(|(at, _)| *at <= now) {
            self.leave(&ended);
            for due in &ended.unit.dues {
                self.scanner.go_back(due.line.clone(), due.place());
            }
        }
    }

    /// Lets attempts under way end; what has not ended in time is dropped, and its lease with it.
    pub(crate) async fn drain(&mut self) {
        let runtime = self.core.ports.runtime.clone();
        let mut time_is_up = std::pin::pin!(runtime.sleep(self.core.options.drain));
        while !self.tasks.is_empty() {
            tokio::select! {
                Some(ended) = self.ends.recv() => {
                    self.tasks.remove(&ended.task);
                }
                () = &mut time_is_up => {
                    tracing::info!(attempts = self.tasks.len(), "attempts are cut off and made again later");
                    self.cut_off().await;
                }
            }
        }
    }

    async fn cut_off(&mut self) {
        for (_, task) in self.tasks.drain() {
            task.abort();
            // Its lease is given back when it is dropped.
            let _ = task.join().await;
        }
    }
}
