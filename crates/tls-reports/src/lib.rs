//! How TLS with other servers goes, by day (UTC) and domain: what reports are made of
//! (RFC 8460).
//!
//! * [`TlsReports`] – counts, keeps, gives
//! * [`Day`] – what was counted of one domain on one day
//!
//! Not here: what a session came to (`deliver`), what a report looks like (`tls-policy`).
//!
//! Invariants: counting waits for nothing; what was counted is on the disk within a
//! minute, and a crash loses no more than that; records are bounded in size and number.

#![forbid(unsafe_code)]

pub mod limits;
mod record;
mod reports;

#[cfg(test)]
mod tests;

pub use record::{REPORTS_PREFIX, check_day};
pub use reports::{Day, TlsReports};
