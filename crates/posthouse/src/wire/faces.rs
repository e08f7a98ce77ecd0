//! Each face with its listeners: what a listener's sessions may use and how they behave.

use std::sync::Arc;

use admin::api::Api;
use gateway::Workers;
use intake::Intake;
use jmap_server::Jmap;
use observe::Metrics;
use policy::Policy;
use policy::check::Names;
use policy::primary::Primary;
use runtime::net::{Conn, Listener, UnixListener};
use runtime::tls::ServerTls;
use runtime::{Runtime, Task};
use settings::Settings;
use smtp_server::{Role, Submission};
use webhooks::Webhooks;

use super::accept::Hall;
use super::api::SubmissionsBySmtp;
use super::door;
use super::redirects::RedirectsByIntake;
use crate::acts::{Acts, RemoteActs};
use crate::bind::UrlsByImap;
use crate::store::Store;

const SMTP_BANNED: &str = "421 4.7.1 this server's operator has banned your address\r\n";
const SMTP_REFUSAL: &str = "421 4.3.2 too many sessions here; try again later\r\n";

/// What all faces are made from.
pub(super) struct Faces<'a> {
    pub(super) settings: &'a Settings,
    pub(super) hostname: &'a str,
    pub(super) runtime: &'a Runtime,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) tls: &'a ServerTls,
    /// Where client certificates are asked for.
    asking: Option<&'a ServerTls>,
    /// The HTTP API, if it is on.
    api: Option<Api>,
    /// Mail over HTTP, if it is on.
    jmap: Option<Jmap>,
    halls: Halls,
    imap: Arc<imap_server::Ports>,
    pop3: Arc<pop3_server::Ports>,
    smtp: Arc<smtp_server::Ports>,
}

struct Halls {
    imap: Hall,
    pop3: Hall,
    smtp: Hall,
    lmtp: Hall,
    submission: Hall,
}

/// Who is asked about clients and recipients.
pub(super) struct Others {
    pub(super) names: Arc<dyn Names>,
    /// Of relay domains.
    pub(super) primary: Arc<dyn Primary>,
    /// Where ATRN leads.
    pub(super) turn: Arc<dyn smtp_server::Turn>,
}

/// How a listener's first byte is met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    /// In clear text, with STARTTLS.
    Plain,
    /// Under TLS.
    Tls,
}

impl<'a> Faces<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        hostname: &'a str,
        store: &'a Arc<Store>,
        intake: &Intake,
        metrics: &'a Arc<Metrics>,
        tls: &'a ServerTls,
        others: &Others,
    ) -> Self {
        let runtime = &store.runtime;
        let hall =
            |protocol, refusal| Hall::new(protocol, refusal, settings, runtime, Some(&store.door));
        let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        let policy = Policy::new(
            store.directory.clone(),
            store.mailstore.clone(),
            store.engine.clone(),
            runtime.clone(),
            settings.relay.networks.clone(),
        )
        .with_sending_limits(sending_limits(&settings.limits))
        .with_domain_limits(domain_limits(&settings.limits))
        .with_rules(store.rules.clone())
        .with_returns(store.returns.clone())
        .with_suppressed(store.suppressed.clone())
        .with_primary(others.primary.clone())
        .with_trace(store.door.trace.clone())
        .with_checks(door::checks(settings, hostname, store, &others.names));
        let policy = Arc::new(match settings.door.require_tags {
            true => policy.with_required_tags(),
            false => policy,
        });
        let imap = imap_server::Ports {
            mailstore: store.mailstore.clone(),
            blobs: store.blobs.clone(),
            search: store.search.clone(),
            logins: Arc::new(store.directory.clone()),
            runtime: runtime.clone(),
            metrics: metrics.clone(),
            orders: imap_server::Orders::default(),
            events: imap_server::Events::default().sending_by(Arc::new(RedirectsByIntake {
                intake: intake.clone(),
                policy: Arc::clone(&policy),
                suppressed: store.suppressed.clone(),
                runtime: runtime.clone(),
                received_max: count(settings.smtp.received_max),
            })),
            sessions: imap_server::Sessions::new(
                count(settings.imap.sessions_per_user),
                count(settings.limits.connections_per_address),
            ),
        };
        Self {
            settings,
            hostname,
            runtime,
            metrics,
            tls,
            asking: None,
            api: None,
            jmap: settings
                .jmap
                .enabled
                .then(|| jmap(settings, hostname, &imap)),
            halls: Halls {
                smtp: hall("smtp", SMTP_REFUSAL)
                    .telling_of_a_crowd(&store.door.crowd)
                    .filling(&store.queue),
                lmtp: hall("lmtp", SMTP_REFUSAL).filling(&store.queue),
                submission: hall("submission", SMTP_REFUSAL)
                    .turning_away(SMTP_BANNED)
                    .filling(&store.queue),
                pop3: hall(
                    "pop3",
                    "-ERR [SYS/TEMP] too many sessions here; try again later\r\n",
                )
                .turning_away("-ERR [SYS/PERM] this server's operator has banned your address\r\n"),
                imap: hall(
                    "imap",
                    "* BYE [LIMIT] too many sessions here; try again later\r\n",
                )
                .turning_away("* BYE [NOPERM] this server's operator has banned your address\r\n"),
            },
            pop3: Arc::new(pop3_server::Ports {
                mailstore: store.mailstore.clone(),
                logins: Arc::new(store.directory.clone()),
                runtime: runtime.clone(),
                metrics: metrics.clone(),
                maildrops: pop3_server::Maildrops::default(),
            }),
            smtp: Arc::new(smtp_server::Ports {
                intake: intake.clone(),
                etrn: smtp_server::Etrn::new(store.queue.clone()),
                turn: Some(others.turn.clone()),
                urls: Some(Arc::new(UrlsByImap(imap_server::Urls::new(
                    store.mailstore.clone(),
                    Arc::new(store.directory.clone()),
                    runtime.clone(),
                )))),
                policy,
                logins: Arc::new(store.directory.clone()),
                directory: store.directory.clone(),
                runtime: runtime.clone(),
                metrics: metrics.clone(),
            }),
            imap: Arc::new(imap),
        }
    }

    /// The TLS of services that ask for a certificate of the client's.
    pub(super) fn with_certificates(mut self, asking: Option<&'a ServerTls>) -> Self {
        self.asking = asking;
        self
    }

    /// Ends when the server stops and no script behind a command runs any more.
    pub(super) fn watch_scripts(&self) -> Task<()> {
        let (events, shutdown) = (self.imap.events.clone(), self.runtime.shutdown());
        self.runtime.spawn("scripts", async move {
            shutdown.draining().await;
            events.wait().await;
        })
    }

    /// With the HTTP API.
    pub(super) fn with_api(
        mut self,
        store: &Arc<Store>,
        workers: Workers,
        webhooks: Webhooks,
    ) -> Self {
        let mode = smtp_server::TlsMode::None;
        let config = self.smtp_config(Role::Submission, mode);
        let submission = Submission::new(self.smtp.clone(), config);
        self.api = Some(Api {
            logins: Arc::new(store.directory.clone()),
            commands: Arc::new(RemoteActs(Acts::new(store.clone()))),
            workers,
            webhooks,
            submissions: Arc::new(SubmissionsBySmtp(submission)),
        });
        self
    }

    /// Starts the service that a listener is for.
    pub(super) fn start(&self, name: &'static str, listener: Listener) -> Task<()> {
        match name {
            "http" => self.http(listener, None),
            "https" => self.http(listener, Some(self.tls.with_alpn(&["http/1.1"]))),
            "smtp" => self.smtp(name, listener, Role::Mx, Door::Plain),
            "lmtp" => self.smtp(name, listener, Role::Lmtp, Door::Plain),
            "submission" => self.smtp(name, listener, Role::Submission, Door::Plain),
            "atrn" => self.smtp(name, listener, Role::Submission, Door::Plain),
            "submissions" => self.smtp(name, listener, Role::Submission, Door::Tls),
            "pop3" => self.pop3(name, listener, Door::Plain),
            "pop3s" => self.pop3(name, listener, Door::Tls),
            "imap" => self.imap(name, listener, Door::Plain),
            "imaps" => self.imap(name, listener, Door::Tls),
            _ => unreachable!("every name of `Listen::all` is above"),
        }
    }

    /// A service's TLS: one that asks for certificates where the settings say so.
    fn tls_of(&self, name: &str) -> &ServerTls {
        let mut services = self.settings.auth.certificate_services.iter();
        let asks = services.any(|service| service.as_str() == name);
        self.asking.filter(|_| asks).unwrap_or(self.tls)
    }

    fn http(&self, listener: Listener, tls: Option<ServerTls>) -> Task<()> {
        let (metrics, runtime) = (self.metrics.clone(), self.runtime.clone());
        let beside = self.jmap.as_ref().map(Jmap::router);
        let serving = admin::http::serve(listener, tls, metrics, self.api.clone(), beside, runtime);
        self.runtime.spawn("http", serving)
    }

    fn smtp(&self, name: &str, listener: Listener, role: Role, door: Door) -> Task<()> {
        let tls = self.tls_of(name).with_alpn(&["smtp"]);
        let mode = match (door, role) {
            (Door::Tls, _) => smtp_server::TlsMode::Implicit(tls),
            // LMTP stays on this machine or a trusted network.
            (Door::Plain, Role::Lmtp) => smtp_server::TlsMode::None,
            (Door::Plain, _) => smtp_server::TlsMode::StartTls(tls),
        };
        let far = self
            .smtp_config(role, mode)
            .with_xclient(&self.settings.trust.xclient);
        let far = if name == "atrn" { far.for_atrn() } else { far };
        let near = if self.settings.auth.plaintext_on_loopback {
            far.clone().with_plaintext_login()
        } else {
            far.clone()
        };
        let config = ByPeer {
            near: Arc::new(near),
            far: Arc::new(far),
        };
        let ports = self.smtp.clone();
        let hall = match role {
            Role::Mx => &self.halls.smtp,
            Role::Lmtp => &self.halls.lmtp,
            Role::Submission => &self.halls.submission,
        };
        let serving = hall
            .clone()
            .receive(listener, door == Door::Tls, move |conn, seat| {
                let config = config.of(&conn).clone();
                smtp_server::serve(conn, seat, ports.clone(), config)
            });
        self.runtime.spawn("smtp", serving)
    }

    fn smtp_config(&self, role: Role, mode: smtp_server::TlsMode) -> smtp_server::Config {
        let limits = &self.settings.limits;
        let recipients = usize::try_from(limits.recipients).unwrap_or(usize::MAX);
        smtp_server::Config::new(role, self.hostname, mode)
            .with_limits(limits.message_bytes.0, recipients)
            .with_idle_timeout(self.settings.smtp.idle_timeout)
    }

    /// Starts taking mail from programs of this machine.
    pub(super) fn start_local(&self, listener: UnixListener) -> Task<()> {
        let config = self.smtp_config(Role::Submission, smtp_server::TlsMode::None);
        let ports = self.smtp.clone();
        let hall = self.halls.submission.clone();
        let serving = hall.receive_local(listener, move |conn, seat, user| {
            let config = Arc::new(config.clone().for_local_user(&user));
            smtp_server::serve(conn, seat, ports.clone(), config)
        });
        self.runtime.spawn("sendmail", serving)
    }

    fn pop3(&self, name: &str, listener: Listener, door: Door) -> Task<()> {
        let tls = self.tls_of(name).with_alpn(&["pop3"]);
        let mode = match door {
            Door::Plain => pop3_server::TlsMode::StartTls(tls),
            Door::Tls => pop3_server::TlsMode::Implicit(tls),
        };
        let config = |plaintext_login| {
            let mut config = pop3_server::Config::new(self.hostname, mode.clone());
            config.plaintext_login = plaintext_login;
            config.idle_timeout = self.settings.pop3.idle_timeout;
            config.retrieve_marks_seen = self.settings.pop3.retrieve_marks_seen;
            let expire_days = u32::try_from(self.settings.pop3.expire_days).ok();
            config.expire_days = expire_days.filter(|days| *days > 0);
            config.take_over_after = self.settings.pop3.take_over_after;
            Arc::new(config)
        };
        let config = ByPeer {
            near: config(self.settings.auth.plaintext_on_loopback),
            far: config(false),
        };
        let ports = self.pop3.clone();
        let hall = self.halls.pop3.clone();
        let serving = hall.receive(listener, door == Door::Tls, move |conn, _seat| {
            let config = config.of(&conn).clone();
            pop3_server::serve(conn, ports.clone(), config)
        });
        self.runtime.spawn("pop3", serving)
    }

    fn imap(&self, name: &str, listener: Listener, door: Door) -> Task<()> {
        let tls = self.tls_of(name).with_alpn(&["imap"]);
        let mode = match door {
            Door::Plain => imap_server::TlsMode::StartTls(tls),
            Door::Tls => imap_server::TlsMode::Implicit(tls),
        };
        let config = |plaintext_login| {
            let mut config = imap_server::Config::new(self.hostname, mode.clone());
            config.plaintext_login = plaintext_login;
            config.append_bytes_max = self.settings.limits.message_bytes.0;
            config.idle_timeout = self.settings.imap.idle_timeout;
            config.message_limit = message_limit(&self.settings.imap);
            config.unauthenticate = self.settings.imap.unauthenticate;
            config.jmap_session = jmap_session(&self.settings.jmap);
            Arc::new(config)
        };
        let config = ByPeer {
            near: config(self.settings.auth.plaintext_on_loopback),
            far: config(false),
        };
        let ports = self.imap.clone();
        let serving =
            self.halls
                .imap
                .clone()
                .receive(listener, door == Door::Tls, move |conn, _seat| {
                    let config = config.of(&conn).clone();
                    imap_server::serve(conn, ports.clone(), config)
                });
        self.runtime.spawn("imap", serving)
    }
}

/// Mail over HTTP, of what IMAP has.
fn jmap(settings: &Settings, hostname: &str, imap: &imap_server::Ports) -> Jmap {
    let ports = jmap_server::Ports {
        mailstore: imap.mailstore.clone(),
        blobs: imap.blobs.clone(),
        search: imap.search.clone(),
        logins: imap.logins.clone(),
        runtime: imap.runtime.clone(),
        metrics: imap.metrics.clone(),
    };
    let url = &settings.jmap.url;
    let config = jmap_server::Config {
        url: (!url.is_empty()).then(|| url.clone()),
        host_name: hostname.to_owned(),
        message_bytes_max: settings.limits.message_bytes.0,
    };
    Jmap::new(ports, config)
}

/// What IMAP tells its clients of it: only an address that is known to be good.
fn jmap_session(jmap: &settings::Jmap) -> Option<String> {
    let told = jmap.enabled && !jmap.url.is_empty();
    told.then(|| format!("{}/jmap/session", jmap.url.trim_end_matches('/')))
}

/// Only one of the two is set.
fn message_limit(imap: &settings::Imap) -> Option<imap_server::MessageLimit> {
    let small = |limit: u64| u32::try_from(limit).ok().filter(|limit| *limit > 0);
    let all = small(imap.message_limit).map(imap_server::MessageLimit::Commands);
    all.or_else(|| small(imap.save_limit).map(imap_server::MessageLimit::Saves))
}

fn sending_limits(limits: &settings::Limits) -> policy::SendingLimits {
    let per = |hour, day| policy::PerTime { hour, day };
    policy::SendingLimits {
        messages: per(limits.user_messages_per_hour, limits.user_messages_per_day),
        recipients: per(
            limits.user_recipients_per_hour,
            limits.user_recipients_per_day,
        ),
        new_recipients: per(
            limits.user_new_recipients_per_hour,
            limits.user_new_recipients_per_day,
        ),
    }
}

fn domain_limits(limits: &settings::Limits) -> policy::SendingLimits {
    let per = |hour, day| policy::PerTime { hour, day };
    policy::SendingLimits {
        messages: per(
            limits.domain_messages_per_hour,
            limits.domain_messages_per_day,
        ),
        recipients: per(
            limits.domain_recipients_per_hour,
            limits.domain_recipients_per_day,
        ),
        new_recipients: per(0, 0),
    }
}

/// A configuration for clients on this very machine, and one for all others.
#[derive(Clone)]
struct ByPeer<T> {
    near: T,
    far: T,
}

impl<T> ByPeer<T> {
    fn of(&self, conn: &Conn) -> &T {
        if conn.peer_addr().ip().is_loopback() {
            &self.near
        } else {
            &self.far
        }
    }
}
