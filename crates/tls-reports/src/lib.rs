//! How TLS with other servers goes, by day (UTC) and domain, and the reports on it
//! (RFC 8460).
//!
//! * [`TlsReports`] – counts, keeps, gives
//! * [`Day`] – what was counted of one domain on one day
//! * [`Sender`] – sends the reports on days that are over to who asks for them by HTTPS
//! * [`Sent`] – what became of one
//! * [`Receivers`] – the port: who asks, and who takes
//!
//! Not here: what a session came to (`deliver`), what a report looks like (`tls-policy`).
//!
//! Invariants: counting waits for nothing; what was counted is on the disk within a
//! minute, and a crash loses no more than that; records are bounded in size and number; a
//! report that was taken and written down so is never sent again.

#![forbid(unsafe_code)]

pub mod limits;
mod receivers;
mod record;
mod reports;
mod sending;
mod sent;

#[cfg(test)]
mod tests;

pub use receivers::{BoxFuture, Internet, Packed, Receivers};
pub use record::{REPORTS_PREFIX, check_day};
pub use reports::{Day, TlsReports};
pub use sending::{Identity, Sender};
pub use sent::{SENT_PREFIX, Sent, Stage, check_sent};
