//! Every limit of this crate.

use std::time::Duration;

/// How long one attempt to connect may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Addresses of a host that are tried.
pub(crate) const ADDRESSES_MAX: usize = 4;

/// The longest wait that an answer may ask for; longer ones count as this.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 86_400);
