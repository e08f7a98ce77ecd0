//! When, where and how many at once: takes due entries from the queue and records outcomes.
//!
//! * [`Dispatcher::new`], [`Dispatcher::run`] – the loop, one for a process
//! * [`Transport`], [`Local`], [`Routes`] – ports: how mail leaves, how it enters a mailbox,
//!   what the operator's rules say
//! * [`Limiter`] – how many connections to whom; the port that `deliver` asks
//! * [`Turning`] – mail that its own server fetches (ATRN)
//! * [`SmtpTransport`] – the transport over `deliver`
//! * [`Options`], [`Outbound`] – what an operator sets
//!
//! Inside: `scan` (from the schedule into memory), `sites` and `list` (who is next, who
//! is down), `attempt` (lease, deliver, judge, commit), `report` (what the sender is told).
//!
//! Not here: records and leases (`queue`), the schedule's times (`queue-model`),
//! the protocol (`deliver`), the text of reports (`report-format`).
//!
//! Invariants: an outcome and the report it causes are one commit; nothing is
//! removed before that; what is unclear waits; one site that is slow or down
//! takes neither places nor memory from the others; a drained dispatcher
//! leaves no lease behind.

#![forbid(unsafe_code)]

mod attempt;
mod body;
mod clear;
mod clock;
mod detour;
mod dispatcher;
mod limiter;
pub mod limits;
mod list;
mod local;
mod ports;
mod refused;
mod report;
mod scan;
mod site;
mod sites;
mod smtp;
#[cfg(test)]
mod tests;
mod turned;
mod wishes;

pub use detour::DetourStatus;
pub use dispatcher::{Dispatcher, Options, Outbound, Ports, Watch};
pub use limiter::{LastSignal, Limiter, NodesStatus, PartyStatus, SiteLimits};
pub use ports::{
    Around, BoxFuture, Local, LocalCopy, NoRoutes, Routes, Senders, Together, Transport, Way,
};
pub use site::Site;
pub use sites::SiteStatus;
pub use smtp::{SmartHost, SmtpTransport};
pub use turned::{Fetch, NotTurned, TurnedSites, Turning};
