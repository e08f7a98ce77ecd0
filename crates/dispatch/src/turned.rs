//! Mail that its own server fetches: on-demand mail relay (RFC 2645).
//!
//! A client that may have a domain's mail turns its connection round. While it is
//! there, what goes to that domain's primary goes through it, one message after the
//! other; the dispatcher leases, judges and commits as always.
//!
//! Not here: who may (`policy`), the command (`smtp-server`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::BytesMut;
use deliver::{Report, Turned};
use envelope::{Domain, Envelope};
use parking_lot::Mutex;
use queue::{Act, Filter, Queue, QueueError};
use runtime::net::Conn;
use tokio::sync::Notify;

use crate::limits::TURNED_IDLE;

/// Connections that were turned round, by the domains that they are for. Cheap to
/// clone; clones are one and the same.
#[derive(Clone, Default)]
pub struct TurnedSites(Arc<Mutex<HashMap<Domain, Option<Arc<Line>>>>>);

/// One of them.
#[derive(Default)]
struct Line {
    turned: tokio::sync::Mutex<Option<Turned>>,
    /// Recipients that are still to come; may be below zero for a moment.
    left: AtomicI64,
    broken: AtomicBool,
    moved: Notify,
}

impl TurnedSites {
    /// Hands a message over, if the domain's server is there to fetch its mail.
    pub(crate) async fn deliver(
        &self,
        domain: &Domain,
        envelope: &Envelope,
        message: &dyn deliver::Message,
    ) -> Option<Report> {
        let line = self.0.lock().get(domain).cloned().flatten()?;
        let mut turned = line.turned.lock().await;
        // It may have gone while others were before us.
        let open = turned.as_mut()?;
        let report = open.deliver(envelope, message).await;
        if !open.is_ready() {
            line.broken.store(true, Ordering::Release);
        }
        let count = i64::try_from(envelope.recipients.len()).unwrap_or(i64::MAX);
        line.left.fetch_sub(count, Ordering::AcqRel);
        line.moved.notify_one();
        Some(report)
    }

    fn reserve(&self, domains: &[Domain]) -> Option<Reserved> {
        let mut sites = self.0.lock();
        if domains.iter().any(|domain| sites.contains_key(domain)) {
            return None;
        }
        sites.extend(domains.iter().map(|domain| (domain.clone(), None)));
        Some(Reserved {
            sites: self.clone(),
            domains: domains.to_vec(),
        })
    }
}

/// Domains that nobody else fetches meanwhile; given back when it is dropped.
struct Reserved {
    sites: TurnedSites,
    domains: Vec<Domain>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut sites = self.sites.0.lock();
        for domain in &self.domains {
            sites.remove(domain);
        }
    }
}

/// Why a connection is not turned round.
#[derive(Debug)]
pub enum NotTurned {
    /// Nothing waits for any of the domains.
    NoMail,
    /// Another connection fetches one of them.
    Busy,
    /// The queue cannot be read.
    Trouble(QueueError),
}

/// Turns connections round.
#[derive(Clone)]
pub struct Turning {
    ports: deliver::Ports,
    queue: Queue,
    sites: TurnedSites,
}

/// A connection may be turned round now.
pub struct Fetch {
    turning: Turning,
    reserved: Reserved,
}

impl Turning {
    /// Over these; `sites` are those of the transport.
    #[must_use]
    pub fn new(ports: deliver::Ports, queue: Queue, sites: TurnedSites) -> Self {
        Self {
            ports,
            queue,
            sites,
        }
    }

    /// Whether there is something to fetch, and nobody fetching it.
    ///
    /// # Errors
    /// See [`NotTurned`].
    pub async fn begin(&self, domains: &[Domain]) -> Result<Fetch, NotTurned> {
        let reserved = self.sites.reserve(domains).ok_or(NotTurned::Busy)?;
        for domain in domains {
            if self.is_waiting(domain).await.map_err(NotTurned::Trouble)? {
                return Ok(Fetch {
                    turning: self.clone(),
                    reserved,
                });
            }
        }
        Err(NotTurned::NoMail)
    }

    async fn is_waiting(&self, domain: &Domain) -> Result<bool, QueueError> {
        let filter = of(domain);
        let mut from = None;
        loop {
            let page = self.queue.list(&filter, from, 1).await?;
            let waits = |listed: &queue::Listed| {
                listed
                    .recipients()
                    .any(|(to, state, _)| to.address.domain() == domain && state.due_ms().is_some())
            };
            if page.messages.iter().any(waits) {
                return Ok(true);
            }
            from = page.next;
            if from.is_none() {
                return Ok(false);
            }
        }
    }
}

fn of(domain: &Domain) -> Filter {
    Filter {
        domain: Some(domain.clone()),
        ..Filter::default()
    }
}

impl Fetch {
    /// Sends what waits through the connection, until all of it was tried, the other
    /// side is gone, or nothing moves for a while. `input` is what it has said already.
    ///
    /// # Cancel safety
    /// Dropped, the connection closes; what was in the middle is tried again.
    pub async fn run(self, conn: Conn, input: BytesMut, host: &str) {
        let Turning { ports, queue, .. } = &self.turning;
        let turned = match Turned::new(ports, conn, input, host).await {
            Ok(turned) => turned,
            Err(why) => {
                tracing::info!(host, why, "a connection that was turned round is of no use");
                return;
            }
        };
        let line = Arc::new(Line {
            turned: tokio::sync::Mutex::new(Some(turned)),
            ..Line::default()
        });
        for domain in &self.reserved.domains {
            let mut sites = self.reserved.sites.0.lock();
            sites.insert(domain.clone(), Some(Arc::clone(&line)));
        }
        let mut total = 0;
        for domain in &self.reserved.domains {
            match queue.act_on_all(&of(domain), Act::Retry).await {
                Ok(acted) => total += acted.changed,
                Err(error) => tracing::error!(%domain, %error, "ATRN: the queue cannot be read"),
            }
        }
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        line.left.fetch_add(total, Ordering::AcqRel);
        while line.left.load(Ordering::Acquire) > 0 && !line.broken.load(Ordering::Acquire) {
            let moved = line.moved.notified();
            if ports.runtime.timeout(TURNED_IDLE, moved).await.is_err() {
                break;
            }
        }
        // From here on its domains' mail goes the usual way again.
        drop(self.reserved);
        let turned = line.turned.lock().await.take();
        let left = line.left.load(Ordering::Acquire).max(0);
        tracing::info!(host, sent = total - left, left, "ATRN ends");
        if let Some(turned) = turned {
            turned.quit().await;
        }
    }
}

impl std::fmt::Debug for Turning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turning").finish_non_exhaustive()
    }
}
