//! The running system: everything opened, bound and started in order, and ended in the other.
//!
//! Order of a start: settings, log, ports below 1024 (bound while still root when a user is to be become), store,
//! certificate, queue taken back, faces, dispatcher, control socket, readiness. Order of the end: no new sessions,
//! sessions end at their next safe point, deliveries record their outcomes, checkpoints, index, lock.

mod accept;
mod api;
mod collection;
mod door;
mod faces;
mod hooks;
mod listeners;
pub(crate) mod outgoing;
mod proxied;
mod quota;
mod reaper;
mod redirects;
mod reports;
mod ways;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use admin::control::Control;
use anyhow::Context as _;
use certs::Certificates;
use dispatch::{TurnedSites, Turning};
use gateway::Workers;
use intake::Intake;
use observe::Metrics;
use runtime::net::UnixListener;
use runtime::process::{self, Signal, Signals};
use runtime::{Runtime, Task};
use settings::{LogFormat, Settings};

use crate::acts::Acts;
use crate::backups;
use crate::bind::{LocalByIntake, PrimaryByDeliver, TurnByDispatch};
use crate::limits::{DRAIN_TIMEOUT, STOP_TIMEOUT};
use crate::memory;
use crate::place;
use crate::store::Store;
use api::TransportsByRules;
use faces::{Faces, Others};

/// Whether the log is kept to what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quiet {
    Yes,
    No,
}

/// What the world may know once every port accepts.
pub(crate) struct Ready {
    /// The services that are on, in the order of the settings, with where they listen.
    pub(crate) listening: Vec<(&'static str, Vec<SocketAddr>)>,
}

impl Ready {
    /// Where a service listens first.
    pub(crate) fn first(&self, name: &str) -> Option<SocketAddr> {
        let (_, addresses) = self.listening.iter().find(|(known, _)| *known == name)?;
        addresses.first().copied()
    }

    /// The web address.
    pub(crate) fn url(&self) -> String {
        match (self.first("http"), self.first("https")) {
            (Some(address), _) => format!("http://{address}"),
            (None, Some(address)) => format!("https://{address}"),
            (None, None) => "(no listen.http)".to_owned(),
        }
    }
}

/// Runs the system of these settings until SIGTERM. `prepare` is given the open store before anybody else;
/// `ready` is called when every port accepts.
pub(crate) fn run<F>(
    settings: &Settings,
    quiet: Quiet,
    prepare: impl FnOnce(Arc<Store>) -> F,
    ready: impl FnOnce(&Ready),
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let workers = usize::try_from(settings.general.workers).ok();
    let executor =
        process::build(workers.filter(|workers| *workers > 0)).context("cannot start threads")?;
    let runtime = executor.runtime();
    start_log(settings, quiet, &runtime)?;
    let result = executor.block_on(Box::pin(live(settings, &runtime, prepare, ready)));
    executor.stop(STOP_TIMEOUT);
    result
}

fn start_log(settings: &Settings, quiet: Quiet, runtime: &Runtime) -> anyhow::Result<()> {
    let format = match settings.log.format {
        LogFormat::Text => observe::log::Format::Text,
        LogFormat::Json => observe::log::Format::Json,
    };
    let level = match quiet {
        Quiet::Yes => "error",
        Quiet::No => settings.log.level.as_str(),
    };
    let clock = runtime.clone();
    Ok(observe::log::install(format, level, move || {
        clock.now().unix_ms
    })?)
}

async fn live<F>(
    settings: &Settings,
    runtime: &Runtime,
    prepare: impl FnOnce(Arc<Store>) -> F,
    ready: impl FnOnce(&Ready),
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut signals = Signals::new().context("cannot listen to signals")?;
    let open_files = process::raise_open_files();
    place::make_data_dir(&settings.general.data_dir)?;
    let (store, bound) = open(settings, runtime).await?;
    let system = System::start(settings, runtime, store, bound, prepare).await?;
    process::notify_ready();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        hostname = system.hostname,
        open_files,
        memory = system.store.shares.total,
        "ready"
    );
    ready(&system.ready);
    loop {
        match signals.next().await {
            Signal::Terminate => break,
            Signal::Reload => system.reload().await,
        }
    }
    system.end(&mut signals).await;
    Ok(())
}

/// Opens the store and binds the ports. The store comes first, so that a second server on its folder is told so;
/// when a user is to be become, the ports come first, because only root may have them.
async fn open(
    settings: &Settings,
    runtime: &Runtime,
) -> anyhow::Result<(Arc<Store>, listeners::Bound)> {
    let user = &settings.general.user;
    if user.is_empty() || !process::is_root() {
        let store = Arc::new(Store::open(settings, runtime).await?);
        let bound = listeners::Bound::bind(&settings.listen)?;
        return Ok((store, bound));
    }
    let bound = listeners::Bound::bind(&settings.listen)?;
    process::drop_privileges(user)?;
    let store = Store::open(settings, runtime).await.with_context(|| {
        format!(
            "as user {user}; does {} belong to it?",
            settings.general.data_dir.display()
        )
    })?;
    Ok((Arc::new(store), bound))
}

/// Everything that runs.
struct System {
    hostname: String,
    ready: Ready,
    store: Arc<Store>,
    intake: Intake,
    certificates: Arc<Certificates>,
    rules_file: PathBuf,
    runtime: Runtime,
    running: BTreeMap<&'static str, Vec<Task<()>>>,
    _watch: Task<()>,
}

impl System {
    async fn start<F>(
        settings: &Settings,
        runtime: &Runtime,
        store: Arc<Store>,
        bound: listeners::Bound,
        prepare: impl FnOnce(Arc<Store>) -> F,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let hostname = place::hostname(settings);
        for finding in store.engine.findings() {
            tracing::warn!(%finding, "the store was not as it should be");
        }
        let certificates = open_certificates(settings, &hostname, runtime).await?;
        let metrics = Arc::new(Metrics::new());
        let intake = open_intake(settings, &hostname, runtime, &store, &metrics).await?;
        prepare(store.clone()).await?;
        store
            .directory
            .survey()
            .await
            .context("cannot read the accounts' passwords")?;
        watch_store(&metrics, &store);
        memory::watch(&metrics, &store);
        let ready = Ready {
            listening: bound.addresses(),
        };
        let mut system = Self {
            hostname,
            ready,
            store,
            intake,
            _watch: certificates.watch(runtime),
            certificates,
            rules_file: settings.policy.rules.clone(),
            runtime: runtime.clone(),
            running: BTreeMap::new(),
        };
        Box::pin(system.start_services(settings, bound, &metrics)).await?;
        Ok(system)
    }

    async fn start_services(
        &mut self,
        settings: &Settings,
        bound: listeners::Bound,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<()> {
        let tls = self.certificates.server_tls()?;
        let authorities = &settings.auth.certificate_authorities;
        let asking = (!authorities.as_os_str().is_empty())
            .then(|| self.certificates.server_tls_asking(authorities))
            .transpose()?;
        let dns = outgoing::resolver(settings, &self.runtime)?;
        let ports = outgoing::deliver_ports(settings, &self.hostname, &self.store, dns.clone())?;
        let verified = ports.verified.clone();
        let (webhooks, telling) = hooks::start(&self.store, &dns, verified, metrics).await?;
        self.running.entry("webhooks").or_default().push(telling);
        let transports = Arc::new(TransportsByRules(self.store.clone()));
        let workers = Workers::new(self.runtime.clone(), transports);
        if let Some(task) = reports::start(settings, &self.hostname, &self.store, &dns, &ports) {
            self.running.entry("reports").or_default().push(task);
        }
        let turned = TurnedSites::default();
        let (queue, rules) = (self.store.queue.clone(), self.store.rules.clone());
        let turning = Turning::new(ports.clone(), queue, turned.clone());
        let others = Others {
            names: Arc::new(dns.clone()),
            primary: Arc::new(PrimaryByDeliver {
                rules,
                ports: ports.clone(),
            }),
            turn: Arc::new(TurnByDispatch(turning)),
        };
        let faces = Faces::new(
            settings,
            &self.hostname,
            &self.store,
            &self.intake,
            metrics,
            &tls,
            &others,
        )
        .with_certificates(asking.as_ref());
        let faces = if settings.api.enabled {
            faces.with_api(&self.store, workers.clone(), webhooks)
        } else {
            faces
        };
        let scripts = faces.watch_scripts();
        self.running.entry("scripts").or_default().push(scripts);
        let keeping = door::keep_records(self.store.clone(), settings.door.trace_for);
        self.running.entry("door").or_default().push(keeping);
        if let Some(tokens) = self.store.tokens.clone() {
            let warming = async move { tokens.warm_up().await };
            let task = self.runtime.spawn("oauth keys", warming);
            self.running.entry("oauth").or_default().push(task);
        }
        if let Some(task) = door::watch_lists(&self.store) {
            self.running.entry("lists").or_default().push(task);
        }
        for (name, listener) in bound.into_listeners() {
            let task = faces.start(name, listener);
            self.running.entry(name).or_default().push(task);
        }
        let socket = &settings.sendmail.socket;
        if !socket.as_os_str().is_empty() {
            let listener = UnixListener::bind_for_all(socket)
                .with_context(|| format!("cannot make {} (sendmail.socket)", socket.display()))?;
            let task = faces.start_local(listener);
            self.running.entry("sendmail").or_default().push(task);
        }
        let local = Arc::new(LocalByIntake {
            intake: self.intake.clone(),
            directory: self.store.directory.clone(),
        });
        let dispatcher = outgoing::start(
            settings,
            &self.hostname,
            &self.store,
            local,
            metrics,
            (ports, turned, dns),
            workers,
        )?;
        self.running
            .entry("dispatcher")
            .or_default()
            .push(dispatcher);
        let retention = settings.store.retention;
        let reaper = reaper::start(self.store.clone(), &self.runtime, retention);
        self.running.entry("reaper").or_default().push(reaper);
        if let Some(task) = collection::start(settings, &self.runtime, &self.store, metrics) {
            self.running.entry("collection").or_default().push(task);
        }
        let notices = quota::Notices {
            store: self.store.clone(),
            intake: self.intake.clone(),
            hostname: self.hostname.clone(),
        };
        let running = notices.run(self.runtime.clone());
        let task = self.runtime.spawn("quota", running);
        self.running.entry("quota").or_default().push(task);
        let control =
            Control::bind(&settings.general.data_dir).context("cannot make the control socket")?;
        let acts = Arc::new(Acts::new(self.store.clone()));
        let serving = control.serve(self.runtime.clone(), acts);
        let task = self.runtime.spawn("control", serving);
        self.running.entry("control").or_default().push(task);
        let schedule = backups::schedule(self.store.clone(), self.runtime.clone());
        let task = self.runtime.spawn("backups", schedule);
        self.running.entry("backups").or_default().push(task);
        Ok(())
    }

    /// SIGHUP: the rules and the certificate are read again.
    async fn reload(&self) {
        let (file, rules) = (self.rules_file.clone(), self.store.rules.clone());
        let reload = move || crate::rules::reload(&file, &rules);
        match self.runtime.blocking(reload).await {
            Ok(()) => {
                hooks::reload(&self.store).await;
                tracing::info!("rules reloaded");
            }
            Err(error) => tracing::error!("the rules that are in force stay: {error:#}"),
        }
        let certificates = self.certificates.clone();
        match self.runtime.blocking(move || certificates.reload()).await {
            Ok(()) => tracing::info!("certificate reloaded"),
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the old one stays");
            }
        }
    }

    /// The drain. A second signal, or the end of patience, cuts it short; nothing that was promised is lost by that.
    async fn end(self, signals: &mut Signals) {
        process::notify_stopping();
        tracing::info!("draining");
        let runtime = self.runtime;
        runtime.shutdown().drain();
        let all = async {
            for (name, tasks) in self.running {
                for task in tasks {
                    if let Err(error) = task.join().await {
                        tracing::error!(name, %error, "a service ended badly");
                    }
                }
            }
        };
        let drained = async {
            tokio::select! {
                () = all => true,
                _ = signals.next() => false,
            }
        };
        let drained = runtime.timeout(DRAIN_TIMEOUT, Box::pin(drained)).await;
        if drained != Ok(true) {
            tracing::warn!("some sessions were still at work and are cut off");
        }
        self.intake.close().await;
        self.store.close().await;
        tracing::info!("ended");
    }
}

/// The intake, with what a crash left half done finished.
async fn open_intake(
    settings: &Settings,
    hostname: &str,
    runtime: &Runtime,
    store: &Store,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Intake> {
    let ports = intake::Ports {
        engine: store.engine.clone(),
        runtime: runtime.clone(),
        blobs: store.blobs.clone(),
        mailstore: store.mailstore.clone(),
        queue: store.queue.clone(),
        directory: store.directory.clone(),
        returns: store.returns.clone(),
        metrics: metrics.clone(),
    };
    let options = intake::Options {
        hostname: hostname.to_owned(),
        message_bytes_max: settings.limits.message_bytes.0,
        received_max: usize::try_from(settings.smtp.received_max).unwrap_or(usize::MAX),
        queued_max: match settings.queue.messages_max {
            0 => u64::MAX,
            most => most,
        },
        rewrite_forwards: settings.outbound.srs,
    };
    let intake = Intake::new(ports, options);
    let finished = intake.recover().await?;
    if finished > 0 {
        tracing::info!(
            messages = finished,
            "messages that were on their way into several shards"
        );
    }
    Ok(intake)
}

async fn open_certificates(
    settings: &Settings,
    hostname: &str,
    runtime: &Runtime,
) -> anyhow::Result<Arc<Certificates>> {
    let files = (!settings.tls.certificate.as_os_str().is_empty()).then(|| certs::Files {
        certificate: settings.tls.certificate.clone(),
        key: settings.tls.key.clone(),
    });
    let (data_dir, hostname) = (settings.general.data_dir.clone(), hostname.to_owned());
    let clock = runtime.clone();
    let opened = runtime
        .blocking(move || Certificates::open(files, &data_dir, &hostname, &clock))
        .await?;
    Ok(Arc::new(opened))
}

/// What the store and the queue know, for the metrics.
fn watch_store(metrics: &Metrics, store: &Arc<Store>) {
    use engine::{Engine as _, Stats};

    let watch = |name, help, read: fn(Stats) -> u64| {
        let engine = store.engine.clone();
        metrics.watch_counter(name, help, move || read(engine.stats()));
    };
    watch("store_commits", "Commits submitted", |stats| stats.commits);
    watch("store_syncs", "Syncs of the journal", |stats| stats.syncs);
    watch(
        "store_bytes_written",
        "Bytes written to the journal",
        |stats| stats.bytes_written,
    );
    watch(
        "store_bytes_filled",
        "Zeros that new segments were filled with",
        |stats| stats.bytes_filled,
    );
    watch("store_body_bytes", "Stored bytes of bodies", |stats| {
        stats.body_bytes
    });
    watch("store_conflicts", "Batches staged again", |stats| {
        stats.conflicts
    });
    watch("store_segments_freed", "Segments freed", |stats| {
        stats.segments_freed
    });
    watch("store_index_flushes", "Flushes of the index", |stats| {
        stats.flushes
    });
    watch(
        "store_index_compactions",
        "Compactions of the index",
        |stats| stats.compactions,
    );
    watch(
        "store_replayed",
        "Commits replayed from the journal at the start",
        |stats| stats.replayed,
    );
    let gauge = |name, help, read: fn(Stats) -> u64| {
        let engine = store.engine.clone();
        metrics.watch_gauge(name, help, move || read(engine.stats()));
    };
    gauge("store_segments", "Segments of the journal", |stats| {
        stats.segments
    });
    gauge("store_segment_bytes", "Bytes of the journal", |stats| {
        stats.segment_bytes
    });
    let queue = store.queue.clone();
    metrics.watch_gauge("queue_messages", "Messages that wait", move || {
        queue.count()
    });
}
