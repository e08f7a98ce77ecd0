//! The limits of this crate.

use std::time::Duration;

/// How often the files are looked at; a renewal tool need not tell us.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_secs(60);

/// How long a self-signed certificate lasts: nobody has to think of it, and nobody trusts it anyway.
pub(crate) const SELF_SIGNED_YEARS: i32 = 10;
