//! What an operator may set about the directory.

use crate::record::credentials::Cost;
use crate::sealing::SealingKey;
use crate::tokens::Tokens;
use std::sync::Arc;
use std::time::Duration;

/// How the directory behaves; [`Default`] is what the configuration's defaults say.
#[derive(Debug, Clone)]
pub struct Options {
    /// What divides a user from a detail in `user+detail@`; `None` for no
    /// sub-addresses.
    pub subaddress_separator: Option<char>,
    /// Keep SCRAM verifiers when a password is set.
    pub scram: bool,
    /// Iterations of those verifiers.
    pub scram_iterations: u32,
    /// What a password's hash costs.
    pub cost: Cost,
    /// Passwords that may be hashed at the same time; 0 for one per core.
    pub hashes_at_once: usize,
    /// Aliases of one account may be used as a login name.
    pub login_by_alias: bool,
    /// Who checks bearer tokens; without one they are not offered.
    pub tokens: Option<Arc<dyn Tokens>>,
    /// The key for passwords that CRAM-MD5 and APOP make digests of; without one
    /// neither is offered.
    pub sealing: Option<SealingKey>,
    /// What wrong passwords lead to.
    pub login: LoginOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            subaddress_separator: Some('+'),
            scram: true,
            scram_iterations: sasl::limits::SCRAM_ITERATIONS_MIN,
            cost: Cost::default(),
            hashes_at_once: 0,
            login_by_alias: true,
            tokens: None,
            sealing: None,
            login: LoginOptions::default(),
        }
    }
}

impl Options {
    /// For tests: passwords that cost next to nothing, answers without delay.
    #[must_use]
    pub fn for_tests() -> Self {
        Self {
            scram_iterations: 1,
            cost: Cost {
                memory_kib: 8,
                passes: 1,
                lanes: 1,
            },
            login: LoginOptions {
                delay: Duration::ZERO,
                ..LoginOptions::default()
            },
            ..Self::default()
        }
    }
}

/// What wrong passwords lead to.
#[derive(Debug, Clone)]
pub struct LoginOptions {
    /// The wait before the first wrong password is answered; doubled with each
    /// further one, up to eight times as long.
    pub delay: Duration,
    /// How long wrong passwords are counted, and how long a ban lasts.
    pub window: Duration,
    /// Different wrong passwords from one address that ban it.
    pub per_address_max: u32,
    /// Different wrong passwords for one account that hold off addresses which
    /// never logged in to it.
    pub per_account_max: u32,
    /// How long an address that logged in well is known.
    pub known_for: Duration,
    /// Loopback is never banned.
    pub loopback_exempt: bool,
}

impl Default for LoginOptions {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(1),
            window: Duration::from_secs(900),
            per_address_max: 20,
            per_account_max: 20,
            known_for: Duration::from_secs(30 * 86_400),
            loopback_exempt: true,
        }
    }
}
