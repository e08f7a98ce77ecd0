//! Every limit of this crate.

use std::time::Duration;

/// Who says nothing for so long has lost what it held.
pub const LEASE: Duration = Duration::from_secs(20);
/// Parties in one exchange.
pub const PARTIES_PER_EXCHANGE: usize = 500;
/// The whole of a node's part of a pace.
pub const PART_WHOLE: u32 = 1000;
/// How long a node keeps the turn for what does not divide.
pub(crate) const TURN: Duration = Duration::from_secs(10);
/// The longest rest that others are told of.
pub(crate) const REST_MAX: Duration = Duration::from_secs(3600);
/// Connecting to the database.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One exchange, connecting included.
pub(crate) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of one host that are tried.
pub(crate) const ADDRESSES_MAX: usize = 8;
/// Bytes of a node's name.
pub const NAME_BYTES_MAX: usize = 255;
