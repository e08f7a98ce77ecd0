//! Every limit of the sessions, by name. Those of the grammar are
//! `smtp_proto::limits`; RFC 5321 §4.5.3.2 says how patient a server must be.

use std::time::Duration;

/// Silence between commands. RFC 5321 §4.5.3.2.7: at least 5 minutes.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

/// A command line must be complete this long after its first byte.
pub const LINE_TIMEOUT: Duration = Duration::from_secs(120);

/// Silence inside a message.
pub const DATA_TIMEOUT: Duration = Duration::from_secs(180);

/// One message, from DATA to its end: a client that sends a byte now and then
/// is not let on for ever.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(3600);

/// A session that sends no message for this long ends.
pub const USELESS_TIMEOUT: Duration = Duration::from_secs(1800);

/// The client must take some byte of the output this often.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// Replies to pipelined commands are gathered up to this many bytes.
pub const OUTPUT_BYTES: usize = 16 << 10;

/// Addresses that EXPN lists.
pub const EXPAND_MAX: usize = 100;
