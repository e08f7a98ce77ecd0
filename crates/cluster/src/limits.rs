//! Every limit of this crate.

use std::time::Duration;

/// Who says nothing for so long has lost what it held.
pub const LEASE: Duration = Duration::from_secs(20);
/// Parties in one exchange.
pub const PARTIES_PER_EXCHANGE: usize = 500;
/// The whole of a pace.
pub const PART_WHOLE: u32 = 1000;
/// One exchange, connecting included.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a node keeps the turn for what does not divide.
pub(crate) const TURN: Duration = Duration::from_secs(10);
/// How long a number of connections that was refused counts.
pub(crate) const LEVEL_TIME: Duration = Duration::from_secs(60);
/// The longest rest that others are told of.
pub(crate) const REST_MAX: Duration = Duration::from_secs(3600);
/// All that is done with one of several hosts of a database before it is asked something.
pub(crate) const HOST_TIMEOUT: Duration = Duration::from_secs(2);
/// Addresses of one host that are tried.
pub(crate) const ADDRESSES_MAX: usize = 8;
/// Names of parties that are known to be in the database.
pub(crate) const PARTIES_KNOWN_MAX: usize = 10_000;
