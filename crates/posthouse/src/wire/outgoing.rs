//! Mail for elsewhere: the dispatcher with its ways out, from the settings.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use cluster::{Board, PostgresBoard};
use dispatch::{
    Dispatcher, Limiter, Local, Outbound, Routes, SiteLimits, SmartHost, SmtpTransport, TurnedSites,
};
use gateway::{Gateways, Workers};
use https::Https;
use observe::Metrics;
use queue_model::Schedule;
use resolver::{Dnssec, Resolver};
use runtime::tls::ClientTls;
use runtime::{Runtime, Task};
use sasl::{Credentials, Secret};
use settings::{OutboundMode, Settings};
use sts::{Internet, Sts};

use crate::bind::{RoutesByRules, SendersByBounces};
use crate::store::Store;
use crate::wire::ways::Ways;

/// Starts the dispatcher; it ends with the drain.
pub(super) fn start(
    settings: &Settings,
    hostname: &str,
    store: &Arc<Store>,
    local: Arc<dyn Local>,
    metrics: &Arc<Metrics>,
    (mut ports, turned, dns): (deliver::Ports, TurnedSites, Resolver),
    workers: Workers,
) -> anyhow::Result<Task<()>> {
    let runtime = &store.runtime;
    let smart_host = smart_host(&settings.outbound)?;
    let mut options = dispatch::Options::new(
        hostname,
        outbound(settings.outbound.mode, smart_host.is_some()),
    );
    options.schedule = schedule(&settings.queue);
    options.running_max = usize::try_from(settings.outbound.connections).unwrap_or(usize::MAX);
    let routes: Arc<dyn Routes> = Arc::new(RoutesByRules {
        rules: store.rules.clone(),
        directory: store.directory.clone(),
    });
    let limiter = Limiter::sharing(
        board(settings, runtime, (&dns, &ports.verified))?,
        runtime,
        Arc::clone(&routes),
        site_limits(&settings.outbound),
    );
    ports.gate = Some(Arc::new(limiter.clone()));
    // The operator names them: they may be anywhere.
    let web = Https::new(dns, ports.verified.clone(), runtime.clone()).clear_on_loopback();
    let ports = dispatch::Ports {
        engine: store.engine.clone(),
        queue: store.queue.clone(),
        runtime: runtime.clone(),
        transport: Arc::new(Ways {
            smtp: SmtpTransport::new(ports, smart_host, Arc::clone(&routes))
                .with_turned(turned)
                .with_senders(Arc::new(SendersByBounces {
                    directory: store.directory.clone(),
                    returns: settings.outbound.batv.then(|| store.returns.clone()),
                    suppressed: store.suppressed.clone(),
                })),
            rules: store.rules.clone(),
            gateways: Gateways::new(runtime.clone(), hostname)
                .with_https(web)
                .with_workers(workers),
        }),
        local,
        routes,
        limiter,
        metrics: metrics.clone(),
    };
    let dispatcher = Dispatcher::new(ports, options);
    // A store has one dispatcher; a second would not be asked.
    let _ = store.outgoing.set(dispatcher.watch());
    let shutdown = runtime.shutdown();
    Ok(runtime.spawn("dispatcher", async move {
        if let Err(error) = dispatcher.run(shutdown).await {
            tracing::error!(%error, "mail in the queue is not delivered: the queue cannot be opened");
        }
    }))
}

fn outbound(mode: OutboundMode, has_smart_host: bool) -> Outbound {
    match (mode, has_smart_host) {
        (OutboundMode::Hold, _) => Outbound::Hold,
        (_, true) => Outbound::SmartHost,
        (OutboundMode::Direct, false) => Outbound::Direct,
        (OutboundMode::Demo, false) => Outbound::Demo,
    }
}

fn site_limits(outbound: &settings::Outbound) -> SiteLimits {
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let pace = outbound.messages_per_minute_per_site;
    SiteLimits {
        connections: small(outbound.connections_per_site),
        messages_per_connection: small(outbound.messages_per_connection) as usize,
        messages_per_minute: (pace > 0).then(|| small(pace)),
        chunking: true,
    }
}

fn schedule(queue: &settings::Queue) -> Schedule {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Schedule {
        first_ms: ms(queue.retry_first),
        max_ms: ms(queue.retry_max),
        lifetime_ms: ms(queue.lifetime),
        report_lifetime_ms: ms(queue.notification_lifetime),
        ..Schedule::default()
    }
}

/// Where this node meets the others, if there are any.
fn board(
    settings: &Settings,
    runtime: &Runtime,
    (dns, verified): (&Resolver, &Option<ClientTls>),
) -> anyhow::Result<Option<Arc<dyn Board>>> {
    let cluster = &settings.cluster;
    if cluster.database.is_empty() {
        return Ok(None);
    }
    let file = &cluster.password_file;
    let password = (!file.as_os_str().is_empty())
        .then(|| first_line(file, "cluster.password_file"))
        .transpose()?;
    let config = cluster::Config::parse(&cluster.database, password.as_deref())
        .context("cluster.database cannot be used")?;
    let network = (dns.clone(), verified.clone());
    let board = PostgresBoard::new(runtime, config, &cluster.node, network);
    Ok(Some(Arc::new(board)))
}

/// The relay for everything, with the password read from its file.
pub(crate) fn smart_host(outbound: &settings::Outbound) -> anyhow::Result<Option<SmartHost>> {
    let Some((host, port)) = outbound.smart_host.get() else {
        return Ok(None);
    };
    let credentials = if outbound.smart_host_user.is_empty() {
        None
    } else {
        let path = &outbound.smart_host_password_file;
        let password = first_line(path, "outbound.smart_host_password_file")?;
        Some(Credentials {
            authorization: None,
            login: outbound.smart_host_user.clone(),
            password: Secret::from(password.as_str()),
        })
    };
    Ok(Some(SmartHost::new(host, port, credentials)))
}

/// The password in the file that a key names.
fn first_line(path: &Path, key: &str) -> anyhow::Result<String> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {shown} ({key})"))?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(password) => Ok(password.to_owned()),
        None => bail!("{shown} ({key}) holds no password"),
    }
}

pub(crate) fn deliver_ports(
    settings: &Settings,
    hostname: &str,
    store: &Store,
    dns: Resolver,
) -> anyhow::Result<deliver::Ports> {
    let runtime = &store.runtime;
    let outbound = &settings.outbound;
    let mut options = deliver::Options::new(hostname);
    options.port = u16::try_from(outbound.port).unwrap_or(options.port);
    let sources = deliver::Sources::new(outbound.source_addresses.clone());
    options.sources = Arc::new(sources);
    options.allow_networks.clone_from(&outbound.allow_networks);
    let listen = &settings.listen;
    options.own_listeners = [&listen.smtp, &listen.submission, &listen.lmtp, &listen.atrn]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    let options = Arc::new(options);
    let verified = ClientTls::verifying_by_system()?;
    let sts = outbound.mta_sts.then(|| {
        let reachable = Arc::clone(&options);
        let may = move |ip| deliver::may_reach(&reachable, ip);
        let source = Internet::new(dns.clone(), verified.clone(), runtime.clone(), may);
        Sts::new(store.engine.clone(), runtime.clone(), Arc::new(source))
    });
    Ok(deliver::Ports {
        runtime: runtime.clone(),
        dns: Arc::new(dns),
        opportunistic: ClientTls::opportunistic()?,
        verified,
        gate: None,
        transcripts: store.transcripts.clone(),
        kept: Some(deliver::Kept::new(runtime)),
        sts,
        tls_reports: outbound.count_tls.then(|| store.tls_reports.clone()),
        options,
    })
}

/// Whoever asks for names, with proof where there is any.
pub(crate) fn resolver(settings: &Settings, runtime: &Runtime) -> anyhow::Result<Resolver> {
    let asked = &settings.resolver;
    let dnssec = if !asked.dnssec {
        Dnssec::Off
    } else if asked.trust_anchors.as_os_str().is_empty() {
        Dnssec::WhereHandedOn
    } else {
        Dnssec::On(asked.trust_anchors.clone())
    };
    let resolver = Resolver::proving(&asked.servers, &dnssec, runtime);
    resolver.context("cannot set up name look-ups")
}
