//! Every limit of the sessions, by name. Those of the grammar are `pop3_proto::limits`.

use std::time::Duration;

/// The whole time before the login.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(120);

/// Silence that ends a session after the login, unless configured; the maildrop
/// is free then.
pub const IDLE_AFTER_LOGIN: Duration = Duration::from_secs(600);

/// Silence after which a session loses the maildrop to the next login, unless configured:
/// a client that changed networks comes back at once, and its first connection hangs.
pub const TAKE_OVER_AFTER: Duration = Duration::from_secs(60);

/// What a session that lost its maildrop is told must be written in this time.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(10);

/// A command line must be complete this long after its first byte.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// The client must take some byte of the output this often.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// Fetched messages that are marked seen together.
pub const SEEN_TOGETHER: usize = 64;

/// Bytes of messages that are read together.
pub const READ_AHEAD_BYTES: u64 = 256 * 1024;

/// So many of them at most.
pub const READ_AHEAD_MESSAGES: usize = 128;

/// How long they are kept for a client that says nothing.
pub const READ_AHEAD_KEPT: Duration = Duration::from_secs(1);
