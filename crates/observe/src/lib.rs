//! Structured logs and metrics.
//!
//! A short tour:
//!
//! - [`log`]: one line per event that matters, as text or JSON, on standard error. Other crates write with
//!   `tracing`; sessions and messages are named by the fields `session` and `message`, either of the event or
//!   of a span around it.
//! - [`Metrics`]: the counters and gauges of the whole program, encoded for Prometheus.
//!
//! What is not here: the trace of a message's life (it lives in the store), and the HTTP service (`admin`).
//!
//! Invariants: nothing that a peer sent can begin a line of the log or end one; a label's value is a word from
//! our own source and never a peer's, so that the number of time series is bounded.

pub mod log;
mod metrics;

pub use log::rfc3339;
pub use metrics::{Door, Metrics, Outcome, Route, SessionGauge};
