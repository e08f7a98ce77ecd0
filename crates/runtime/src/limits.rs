//! The limits of this crate, each with its reason.

use std::time::Duration;

/// Connections that may wait to be accepted: a burst of a thousand clients is not turned away.
pub(crate) const LISTEN_BACKLOG: i32 = 1024;

/// First read of a connection: a command line fits.
pub(crate) const READ_BYTES_MIN: usize = 2 * 1024;

/// First read of a body: that of most messages is a few of these.
pub(crate) const READ_BYTES_BODY: usize = 16 * 1024;

/// Largest read: bodies arrive in as few system calls as pays.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1024;

/// How much plain text TLS may hold for a peer that reads slowly.
pub(crate) const TLS_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// A handshake has this long, in either direction.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// A peer that takes no byte for this long is gone, unless the owner of the connection says otherwise.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(300);

/// Saying goodbye must not hold up a session.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// After the machine ran out of descriptors, accepting pauses this long.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Threads that may wait for the disk or compute passwords at once.
pub(crate) const BLOCKING_THREADS_MAX: usize = 128;

/// TLS sessions remembered for clients that use TLS 1.2 session ids.
pub(crate) const TLS_SESSIONS_MAX: usize = 1024;
