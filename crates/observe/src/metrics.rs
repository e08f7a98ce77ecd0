//! The program's counters and gauges, by the names that dashboards use.
//!
//! | name | labels | counts |
//! |---|---|---|
//! | `posthouse_messages_accepted_total` | door | messages that got their 250 |
//! | `posthouse_messages_refused_total` | door, reason | messages or recipients that were refused |
//! | `posthouse_message_bytes_total` | door | bytes of accepted messages |
//! | `posthouse_deliveries_total` | route, outcome | recipients, by what became of them |
//! | `posthouse_sessions_open` | protocol | sessions now |
//! | `posthouse_sessions_total` | protocol | sessions so far |
//! | `posthouse_logins_total` | protocol, result | logins tried |
//!
//! What others know (the queue's length, the store's syncs) they tell through [`Metrics::watch`].

use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

type Label = (&'static str, &'static str);
type Counters<const N: usize> = Family<[Label; N], Counter<u64, AtomicU64>>;

/// Where a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// From a stranger's server.
    Mx,
    /// From a user.
    Submission,
    /// From a trusted server.
    Lmtp,
    /// Made by ourselves, such as a notification.
    Own,
}

/// Which way a recipient's copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Into a mailbox of ours.
    Local,
    /// To another server.
    Remote,
}

/// What became of a recipient's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Delivered,
    /// It is tried again later.
    Deferred,
    /// It went back to its sender.
    Failed,
}

/// All counters and gauges. One for the program, shared by `Arc`.
pub struct Metrics {
    registry: Mutex<Registry>,
    accepted: Counters<1>,
    refused: Counters<2>,
    bytes: Counters<1>,
    deliveries: Counters<2>,
    sessions_open: Family<[Label; 1], Gauge>,
    sessions: Counters<1>,
    logins: Counters<2>,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("posthouse");
        let metrics = Self {
            accepted: Family::default(),
            refused: Family::default(),
            bytes: Family::default(),
            deliveries: Family::default(),
            sessions_open: Family::default(),
            sessions: Family::default(),
            logins: Family::default(),
            registry: Mutex::new(Registry::default()),
        };
        registry.register(
            "messages_accepted",
            "Messages that got their 250",
            metrics.accepted.clone(),
        );
        registry.register(
            "messages_refused",
            "Messages or recipients that were refused",
            metrics.refused.clone(),
        );
        registry.register(
            "message_bytes",
            "Bytes of accepted messages",
            metrics.bytes.clone(),
        );
        registry.register(
            "deliveries",
            "Recipients by what became of them",
            metrics.deliveries.clone(),
        );
        registry.register(
            "sessions_open",
            "Sessions now",
            metrics.sessions_open.clone(),
        );
        registry.register("sessions", "Sessions so far", metrics.sessions.clone());
        registry.register("logins", "Logins tried", metrics.logins.clone());
        *metrics.lock() = registry;
        metrics
    }

    /// A message of `bytes` got its 250.
    pub fn message_accepted(&self, door: Door, bytes: u64) {
        let label = [("door", door.as_str())];
        self.accepted.get_or_create(&label).inc();
        self.bytes.get_or_create(&label).inc_by(bytes);
    }

    /// A message or recipient was refused; `reason` is one of our own words, never a peer's.
    pub fn message_refused(&self, door: Door, reason: &'static str) {
        self.refused
            .get_or_create(&[("door", door.as_str()), ("reason", reason)])
            .inc();
    }

    /// Something became of a recipient's copy.
    pub fn delivery(&self, route: Route, outcome: Outcome) {
        self.deliveries
            .get_or_create(&[("route", route.as_str()), ("outcome", outcome.as_str())])
            .inc();
    }

    /// A session begins; it ends when the returned value is dropped.
    #[must_use = "the session is counted until this is dropped"]
    pub fn session(&self, protocol: &'static str) -> SessionGauge {
        let label = [("protocol", protocol)];
        self.sessions.get_or_create(&label).inc();
        let gauge = self.sessions_open.get_or_create_owned(&label);
        gauge.inc();
        SessionGauge { gauge }
    }

    /// Somebody tried to log in.
    pub fn login(&self, protocol: &'static str, succeeded: bool) {
        let result = if succeeded { "ok" } else { "failed" };
        self.logins
            .get_or_create(&[("protocol", protocol), ("result", result)])
            .inc();
    }

    /// Asks `read` for a number that only grows, at each scrape. The name gets `posthouse_` before and `_total` behind.
    pub fn watch_counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.watch(Watch {
            name,
            help,
            grows: true,
            read: Box::new(read),
        });
    }

    /// Asks `read` for a number that goes up and down, at each scrape. The name gets `posthouse_` before.
    pub fn watch_gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.watch(Watch {
            name,
            help,
            grows: false,
            read: Box::new(read),
        });
    }

    fn watch(&self, watch: Watch) {
        self.lock().register_collector(Box::new(watch));
    }

    /// The text that Prometheus reads (OpenMetrics).
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.lock());
        text
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        // A collector that panicked has changed nothing here.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Counts one open session while it lives.
#[derive(Debug)]
pub struct SessionGauge {
    gauge: Gauge,
}

impl Drop for SessionGauge {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

struct Watch {
    name: &'static str,
    help: &'static str,
    grows: bool,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Collector for Watch {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let value = (self.read)();
        if self.grows {
            let metric = ConstCounter::new(value);
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(self.name, self.help, None, kind)?)
        } else {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(self.name, self.help, None, kind)?)
        }
    }
}

impl Door {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Submission => "submission",
            Self::Lmtp => "lmtp",
            Self::Own => "own",
        }
    }
}

impl Route {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::new();
        metrics.message_accepted(Door::Mx, 100);
        metrics.message_accepted(Door::Mx, 23);
        metrics.message_refused(Door::Submission, "no-relay");
        metrics.delivery(Route::Remote, Outcome::Deferred);
        metrics.login("imap", false);
        metrics.watch_counter("store_syncs", "Syncs of the journal", || 7);
        metrics.watch_gauge("queue_messages", "Messages that wait", || 3);
        let session = metrics.session("imap");
        let text = metrics.encode();
        for line in [
            "posthouse_messages_accepted_total{door=\"mx\"} 2",
            "posthouse_message_bytes_total{door=\"mx\"} 123",
            "posthouse_messages_refused_total{door=\"submission\",reason=\"no-relay\"} 1",
            "posthouse_deliveries_total{route=\"remote\",outcome=\"deferred\"} 1",
            "posthouse_logins_total{protocol=\"imap\",result=\"failed\"} 1",
            "posthouse_sessions_open{protocol=\"imap\"} 1",
            "posthouse_store_syncs_total 7",
            "posthouse_queue_messages 3",
        ] {
            assert!(
                text.contains(&format!("{line}\n")),
                "{line} is not in\n{text}"
            );
        }
        drop(session);
        assert!(
            metrics
                .encode()
                .contains("posthouse_sessions_open{protocol=\"imap\"} 0\n")
        );
    }
}
