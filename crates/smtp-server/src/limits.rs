//! Every limit of this crate; the protocol's own are in `smtp_proto::limits`.

use std::time::Duration;

/// A TLS handshake has this long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence that ends a session, by default (RFC 5321 §4.5.3.2.7: at least 5 minutes).
/// A command must come whole within it.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Silence within a message (RFC 5321 §4.5.3.2.5: at least 3 minutes).
pub const DATA_BLOCK_TIMEOUT: Duration = Duration::from_secs(300);
/// A message may come slowly for this long; then [`DATA_RATE_MIN`] counts.
pub const DATA_GRACE: Duration = Duration::from_secs(600);
/// Octets a second that a message brings at least, all in all.
pub const DATA_RATE_MIN: u64 = 1024;
/// The longest a session may go on without an accepted message.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(3600);
/// The longest that a client may take none of our octets.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest that a message may be held before it is sent (RFC 4865).
pub const HOLD_MAX: Duration = Duration::from_secs(30 * 86_400);
/// How long a domain's queue is not started again by ETRN.
pub const ETRN_PAUSE: Duration = Duration::from_secs(60);
/// Domains whose queue is started by ETRN within that time.
pub const ETRN_DOMAINS_MAX: usize = 1000;
/// How long ETRN goes through the queue before it answers.
pub const ETRN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long ATRN looks for mail before it answers.
pub const ATRN_TIMEOUT: Duration = Duration::from_secs(30);
/// Wrong passwords in one session.
pub const AUTH_FAILURES_MAX: u32 = 5;
/// Replies that wait while more pipelined commands are worked off.
pub const OUTPUT_BYTES_MAX: usize = 16 << 10;
/// Rules about recipients that the trace of a message names.
pub const RULES_TRACED_MAX: usize = 10;
/// Addresses that EXPN lists.
pub const EXPAND_MAX: usize = 100;
