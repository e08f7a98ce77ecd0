//! The limits of this crate.

use std::time::Duration;

/// The longest request line on the control socket.
pub(crate) const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest login and password together, in base64, that the API looks at.
pub(crate) const API_LOGIN_BYTES_MAX: usize = 2048;

/// What a client that is turned away for too many logins is told to wait, in seconds.
pub(crate) const API_RETRY_SECONDS: u16 = 60;

/// The longest answer that the command line takes.
pub(crate) const RESPONSE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Commands at once over the control socket.
pub(crate) const CONTROL_SESSIONS_MAX: usize = 64;

/// Longest path of a unix socket that every system takes; the kernel's own limit is 108 with the final zero.
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 100;

/// Visitors at once over HTTP. Those who wait for events (JMAP) stay.
pub(crate) const HTTP_SESSIONS_MAX: usize = 4096;

/// A visitor who neither sends nor takes anything for this long is gone.
pub(crate) const HTTP_IDLE: Duration = Duration::from_secs(30);

/// Handshaken connections that wait for the HTTP library.
pub(crate) const HTTP_WAITING_MAX: usize = 16;

/// The longest that a question waits for something to come.
pub(crate) const API_WAIT_MAX: Duration = Duration::from_secs(60);

/// The longest query of a message that is submitted: its recipients.
pub(crate) const QUERY_BYTES_MAX: usize = 256 * 1024;

/// Recipients of one.
pub(crate) const RECIPIENTS_MAX: usize = 1000;

/// Events that are asked for at once unless somebody says how many.
pub(crate) const EVENTS: usize = 100;

/// How long a worker has a message unless it says otherwise.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// How long it can have it at once: who needs longer says so in time.
pub(crate) const LEASE_MAX: Duration = Duration::from_secs(900);

/// The longest that a worker can put a message off: a week.
pub(crate) const DEFERRED_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
