//! Bounds of what an issuer may send and of how often it is asked.

use std::time::Duration;

/// Bytes of a document of the issuer's: its description, its keys, a file of keys.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// Keys that are looked at; issuers have two or three.
pub const KEYS_MAX: usize = 64;

/// Bytes of an RSA modulus: 8,192 bits.
pub const MODULUS_BYTES_MAX: usize = 1_024;

/// How long asking the issuer for one of its two documents may take.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(6);

/// The pause after keys were fetched before a token with an unknown key makes us ask again.
pub const REFRESH_PAUSE: Duration = Duration::from_secs(60);

/// The pause after a try that failed.
pub const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// The age at which keys are fetched anew.
pub const KEYS_FRESH: Duration = Duration::from_secs(3_600);

/// The age up to which keys are used while the issuer cannot be asked.
pub const KEYS_STALE_MAX: Duration = Duration::from_secs(86_400);

/// How far the issuer's clock and ours may be apart.
pub const SKEW: Duration = Duration::from_secs(60);
