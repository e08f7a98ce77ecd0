//! Bounds of the directory.

use std::time::Duration;

/// Aliases that may lead from one to the next before the address is a loop.
pub const ALIAS_HOPS_MAX: usize = 20;

/// Targets that one address may lead to, after all aliases.
pub const ALIAS_TARGETS_MAX: usize = 1_000;

/// Records kept in memory for look-ups, known and unknown addresses alike.
pub const RECORD_CACHE_ENTRIES: usize = 32_768;

/// Passwords found right that are remembered (as keyed hashes).
pub const LOGIN_CACHE_ENTRIES: usize = 16_384;

/// How long a password found right is remembered.
pub const LOGIN_CACHE_TIME: Duration = Duration::from_secs(600);

/// Logins that may wait for a core to hash on; the next one is told to come back.
pub const HASH_WAITING_MAX: usize = 64;

/// Blocks of 1 KiB that one hash reserves at least: above the 32 MiB to which glibc lets its threshold for memory
/// straight from the system grow.
pub(crate) const ARGON2_RESERVED_BLOCKS: usize = 33 * 1024;

/// Memory that a stored password may ask for when it is checked, in KiB.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;

/// Passes that a stored password may ask for.
pub const ARGON2_PASSES_MAX: u32 = 16;

/// Bytes of salt of a password's hash and of each SCRAM verifier.
pub const SALT_BYTES: usize = 16;

/// Bytes of a password's hash.
pub const HASH_BYTES: usize = 32;

/// Domains among which a bare name that does not exist is given a place. Where
/// there are more, bare names are no logins for SCRAM.
pub const SCRAM_DOMAINS_MAX: usize = 64;

/// Application passwords of one account.
pub const APP_PASSWORDS_MAX: usize = 32;

/// Bytes of an application password's label.
pub const APP_PASSWORD_LABEL_BYTES_MAX: usize = 64;

/// Bytes of a sealed application password.
pub const SEALED_BYTES_MAX: usize = 256;

/// Names that one account may be granted to send in besides its own.
pub const SEND_AS_MAX: usize = 128;

/// Groups of four letters that an application password has; five bits each.
pub const APP_PASSWORD_GROUPS: usize = 5;

/// How often a change is staged anew when another change came first.
pub const CONFLICTS_MAX: usize = 16;

/// Records read by one step of a listing.
pub const SCAN_PAGE: usize = 512;

/// Addresses and accounts whose wrong passwords are counted, each.
pub const THROTTLE_ENTRIES: usize = 65_536;

/// Pairs of account and address that are remembered to have logged in well.
pub const KNOWN_ENTRIES: usize = 65_536;

/// Wrong passwords told apart per address or account.
pub const THROTTLE_SEEN_MAX: usize = 64;

/// Entries of one listing; an installation with more is listed domain by domain.
pub const LISTED_MAX: usize = 1_000_000;

/// Times that a repair looks again: what was mended may show what else is to be.
pub(crate) const REPAIR_ROUNDS: u32 = 4;

/// Ids that are passed over when the directory's head was lost: accounts that
/// had them may have been removed.
pub(crate) const IDS_SKIPPED: u64 = 1024;

/// Passwords of an account that are remembered to have been right.
pub const RIGHT_PASSWORDS_MAX: usize = 8;

/// How long a password that was right until it was changed is not counted as a wrong one.
pub const FORMER_PASSWORD_TIME: Duration = Duration::from_secs(86_400);
