//! Every limit of this crate.

use std::time::Duration;

/// Recipients of one transaction (RFC 5321 §4.5.3.1.8: servers take at least 100).
pub const RECIPIENTS_PER_TRANSACTION_MAX: usize = 100;
/// Transactions on one connection for one message: `452 too many recipients`
/// from a server that takes one at a time ends here.
pub const TRANSACTIONS_MAX: usize = 100;
/// Connections to one address for one message: a server that says by LIMITS how
/// little it takes in a session (RFC 9422) gets the rest in another, up to this.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 20;
/// Messages on one connection.
pub const MESSAGES_PER_CONNECTION_MAX: usize = 100;
/// How long a connection waits for another message.
pub const KEPT_FOR: Duration = Duration::from_secs(2);
/// How often it is looked which have waited long enough.
pub const KEPT_LOOKED_AT: Duration = Duration::from_millis(500);
/// Connections that wait.
pub const KEPT_MAX: usize = 256;
/// How often a place for a connection is asked for.
pub const ROOM_ASKED_MAX: usize = 3;
/// How long a server that has said goodbye may take to close.
pub const CLOSES_WITHIN: Duration = Duration::from_millis(500);
/// How long an address may keep silent before one of the other family is tried beside it
/// (RFC 8305 §8).
pub const HEAD_START: Duration = Duration::from_millis(250);
/// How long the name of an address of ours is believed.
pub const SOURCE_NAME_KEPT: Duration = Duration::from_secs(24 * 3600);
/// When it could not be asked for, how long until it is again.
pub const SOURCE_ASKED_AGAIN: Duration = Duration::from_secs(600);
/// MX records of a domain that are looked at, best ones first.
pub const MX_MAX: usize = 20;
/// Addresses of one host that are tried.
pub const ADDRESSES_PER_HOST_MAX: usize = 4;
/// Addresses of a primary that are asked about a recipient.
pub const ASKED_ADDRESSES_MAX: usize = 2;
/// Addresses that are tried in one attempt.
pub const ADDRESSES_MAX: usize = 8;
/// Unread input that a server may have waiting.
pub const INPUT_BYTES_MAX: usize = 256 << 10;
/// How long the reply to QUIT is waited for.
pub const QUIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Octets that are looked at for the header's letters and 8-bit octets.
pub const PROBE_BYTES: usize = 256 << 10;

/// People who look at transcripts at once.
pub(crate) const LOOKS_MAX: usize = 8;
/// Lines that wait for one of them; then the oldest go.
pub(crate) const LOOK_LINES_MAX: usize = 2000;
/// Of a line so much is shown.
pub(crate) const SAID_BYTES_MAX: usize = 500;
/// Who has not asked for this long looks no more.
pub(crate) const LOOK_PATIENCE: Duration = Duration::from_secs(10);
