//! Bounds of the policy.

use std::time::Duration;

use crate::check::{Otherwise, Patience};

/// The highest MT-PRIORITY that a user gets who is no administrator.
pub const PRIORITY_USER_MAX: i8 = 4;

/// How long a full mailbox is a temporary matter.
pub const FULL_TEMPORARY: Duration = Duration::from_secs(3 * 86_400);

/// Accounts that are remembered as not full.
pub const ROOMY_ENTRIES: usize = 16_384;

/// Time within which a user's mail is counted.
pub const HOUR: Duration = Duration::from_secs(3600);
/// The longer one.
pub const DAY: Duration = Duration::from_secs(86_400);
/// Steps in which the two slide.
pub const COUNT_STEP: Duration = Duration::from_secs(300);
/// Accounts that are counted at once; then those that were quiet for an hour are forgotten.
pub const COUNTED_ACCOUNTS_MAX: usize = 100_000;

/// Recipients of relay domains whose primary's word is remembered.
pub const VERIFIED_ENTRIES: usize = 65_536;
/// A primary has this long to say whether it knows a recipient.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(20);
/// Questions that are put to one primary at once.
pub const ASKED_AT_ONCE_MAX: usize = 4;
/// How long a primary that did not answer is not asked.
pub const PRIMARY_REST: Duration = Duration::from_secs(60);
/// Domains whose primaries are counted; then those that nobody asks are forgotten.
pub const ASKED_DOMAINS_MAX: usize = 1000;

/// How a check waits for the DNS: no mail is held up because it is silent.
pub const DNS_PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(10),
    at_once_max: 1000,
    otherwise: Otherwise::Pass,
};
/// What one mark says against a client. All that HELO and reverse DNS can find together stays below
/// what is refused by default.
pub const MARK_POINTS: i32 = 2;
/// Reverse names of one address that are followed.
pub const IPREV_NAMES_MAX: usize = 4;
/// Addresses whose reverse name is kept.
pub const IPREV_ENTRIES: usize = 65_536;
/// For how long.
pub const IPREV_KEPT: Duration = Duration::from_secs(1800);

/// How a check waits for a list.
pub const LIST_PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(5),
    at_once_max: 1000,
    otherwise: Otherwise::Pass,
};
/// Addresses whose answer is kept, for each list.
pub const LIST_ENTRIES: usize = 65_536;
/// For how long.
pub const LIST_KEPT: Duration = Duration::from_secs(600);
/// Questions in a row without an answer after which a list does not count.
pub const LIST_SILENCES_MAX: u32 = 5;

/// Bans at once.
pub const BANS_MAX: usize = 100_000;
/// Characters of a ban's reason that are kept.
pub const BAN_REASON_CHARS_MAX: usize = 200;
/// What a client may do wrong in an hour, by weight, until the door bans it.
pub const OFFENCES_MAX: u32 = 50;

/// Time within which connections are counted.
pub const MINUTE: Duration = Duration::from_secs(60);
/// Bits of an address that are its network's: of IPv4 and of IPv6.
pub const NETWORK_BITS: (u32, u32) = (24, 48);
/// Addresses and networks that are counted, for each kind of count.
pub const RATE_ENTRIES: usize = 131_072;
/// What part of its rate a stranger has in a crowd.
pub const CROWDED_DIVISOR: u64 = 4;

/// Addresses whose conduct is known.
pub const CONDUCT_ENTRIES: usize = 131_072;
/// How long good mail is remembered after the last of it.
pub const GOOD_FOR: Duration = Duration::from_secs(30 * 86_400);
/// Messages that make a sender good.
pub const GOOD_MESSAGES_MIN: u32 = 3;
/// What a client may do wrong in an hour, by weight, before its answers are delayed: any address book has a few old entries.
pub const TARPIT_GRACE: u32 = 3;
/// The first wait in the tarpit; it doubles.
pub const TARPIT_FIRST: Duration = Duration::from_secs(1);
/// So often at most.
pub const TARPIT_DOUBLINGS_MAX: u32 = 10;
/// Sessions in the tarpit at once.
pub const TARPITTED_MAX: usize = 2000;

/// How a check waits for greylisting's records.
pub const GREYLIST_PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(5),
    at_once_max: 1000,
    otherwise: Otherwise::Pass,
};
/// A second try later than this is a first one.
pub const GREYLIST_WINDOW: Duration = Duration::from_secs(2 * 86_400);
/// How long a network that passed is known after its last message.
pub const GREYLIST_LEARNED_FOR: Duration = Duration::from_secs(36 * 86_400);
/// That it passed is written again after this.
pub const GREYLIST_REFRESH: Duration = DAY;
/// Networks that passed in memory.
pub const GREYLIST_LEARNED_ENTRIES: usize = 65_536;
/// Records in the store; with more nobody new is put off.
pub const GREYLIST_RECORDS_MAX: usize = 1_000_000;
/// Records that are looked at together.
pub const GREYLIST_PAGE: usize = 1000;

/// Refusals of one session that are traced.
pub const TRACED_OF_SESSION_MAX: u32 = 50;
/// Refusals that wait to be written; more are left out.
pub const TRACE_WAITING_MAX: usize = 5000;
/// Refusals in the store; with more the oldest go.
pub const TRACE_RECORDS_MAX: usize = 1_000_000;
/// Refusals that are looked through for a text.
pub const TRACE_SCANNED_MAX: usize = 1_000_000;
/// Refusals that are read or removed together.
pub const TRACE_PAGE: usize = 1000;
/// Octets that are kept of each text of a refusal.
pub const TRACE_FIELD_BYTES_MAX: usize = 512;
