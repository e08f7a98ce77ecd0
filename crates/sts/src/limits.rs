//! Every limit of this crate.

use std::time::Duration;

/// How long fetching a policy may take; mail to the domain waits for it (RFC 8461 §3.3
/// has a minute).
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a policy could not be had (RFC 8461 §3.3: five minutes).
pub const RETRY_PAUSE: Duration = Duration::from_secs(300);
/// The age at which a policy is fetched again, so that it outlives its server's bad
/// days (RFC 8461 §3.3).
pub const FRESH: Duration = Duration::from_secs(86_400);
/// Domains whose policies are in memory; beyond them those that nobody waits for go.
pub const DOMAINS_MAX: usize = 10_000;
