//! Each face with its listeners: what a listener's sessions may use and how they behave.

use std::sync::Arc;

use observe::Metrics;
use runtime::net::{Conn, Listener};
use runtime::tls::ServerTls;
use runtime::{Runtime, Task};
use settings::Settings;

use super::accept::Hall;
use crate::store::Store;

/// What all faces are made from.
pub(super) struct Faces<'a> {
    pub(super) settings: &'a Settings,
    pub(super) hostname: &'a str,
    pub(super) runtime: &'a Runtime,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) tls: &'a ServerTls,
    halls: Halls,
    imap: Arc<imap_server::Ports>,
    pop3: Arc<pop3_server::Ports>,
}

struct Halls {
    imap: Hall,
    pop3: Hall,
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
        runtime: &'a Runtime,
        store: &'a Arc<Store>,
        metrics: &'a Arc<Metrics>,
        tls: &'a ServerTls,
    ) -> Self {
        let hall = |protocol, refusal| Hall::new(protocol, refusal, &settings.limits, runtime);
        let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        let imap = imap_server::Ports {
            mailstore: store.mailstore.clone(),
            blobs: store.blobs.clone(),
            directory: store.directory.clone(),
            runtime: runtime.clone(),
            metrics: metrics.clone(),
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
            halls: Halls {
                pop3: hall(
                    "pop3",
                    "-ERR [SYS/TEMP] too many sessions here; try again later\r\n",
                ),
                imap: hall(
                    "imap",
                    "* BYE [LIMIT] too many sessions here; try again later\r\n",
                ),
            },
            pop3: Arc::new(pop3_server::Ports {
                mailstore: store.mailstore.clone(),
                directory: store.directory.clone(),
                runtime: runtime.clone(),
                metrics: metrics.clone(),
                maildrops: pop3_server::Maildrops::default(),
            }),
            imap: Arc::new(imap),
        }
    }

    /// Starts the service that a listener is for.
    pub(super) fn start(&self, name: &'static str, listener: Listener) -> Task<()> {
        match name {
            "http" => self.http(listener, None),
            "https" => self.http(listener, Some(self.tls.with_alpn(&["http/1.1"]))),
            "pop3" => self.pop3(listener, Door::Plain),
            "pop3s" => self.pop3(listener, Door::Tls),
            "imap" => self.imap(listener, Door::Plain),
            "imaps" => self.imap(listener, Door::Tls),
            _ => self.runtime.spawn("nobody", async move { drop(listener) }),
        }
    }

    fn http(&self, listener: Listener, tls: Option<ServerTls>) -> Task<()> {
        let (metrics, runtime) = (self.metrics.clone(), self.runtime.clone());
        let serving = admin::http::serve(listener, tls, metrics, runtime);
        self.runtime.spawn("http", serving)
    }

    fn pop3(&self, listener: Listener, door: Door) -> Task<()> {
        let tls = self.tls.with_alpn(&["pop3"]);
        let mode = match door {
            Door::Plain => pop3_server::TlsMode::StartTls(tls),
            Door::Tls => pop3_server::TlsMode::Implicit(tls),
        };
        let config = |plaintext_login| {
            let mut config = pop3_server::Config::new(self.hostname, mode.clone());
            config.plaintext_login = plaintext_login;
            config.idle_timeout = self.settings.pop3.idle_timeout;
            config.retrieve_marks_seen = self.settings.pop3.retrieve_marks_seen;
            Arc::new(config)
        };
        let config = ByPeer {
            near: config(self.settings.auth.plaintext_on_loopback),
            far: config(false),
        };
        let ports = self.pop3.clone();
        let hall = self.halls.pop3.clone();
        let serving = hall.receive(listener, door == Door::Tls, move |conn| {
            let config = config.of(&conn).clone();
            pop3_server::serve(conn, ports.clone(), config)
        });
        self.runtime.spawn("pop3", serving)
    }

    fn imap(&self, listener: Listener, door: Door) -> Task<()> {
        let tls = self.tls.with_alpn(&["imap"]);
        let mode = match door {
            Door::Plain => imap_server::TlsMode::StartTls(tls),
            Door::Tls => imap_server::TlsMode::Implicit(tls),
        };
        let config = |plaintext_login| {
            let mut config = imap_server::Config::new(self.hostname, mode.clone());
            config.plaintext_login = plaintext_login;
            config.append_bytes_max = self.settings.limits.message_bytes.0;
            config.idle_timeout = self.settings.imap.idle_timeout;
            Arc::new(config)
        };
        let config = ByPeer {
            near: config(self.settings.auth.plaintext_on_loopback),
            far: config(false),
        };
        let ports = self.imap.clone();
        let serving = self
            .halls
            .imap
            .clone()
            .receive(listener, door == Door::Tls, move |conn| {
                let config = config.of(&conn).clone();
                imap_server::serve(conn, ports.clone(), config)
            });
        self.runtime.spawn("imap", serving)
    }
}

/// A configuration for clients on this very machine, and one for all others.
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
