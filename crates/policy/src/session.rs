//! What is known about a client when it names a sender or a recipient.

use directory::Identity;
use runtime::Timestamp;
use std::net::IpAddr;

/// Which door a session came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// From other servers (port 25).
    Mx,
    /// From users (RFC 6409).
    Submission,
    /// From trusted servers (RFC 2033): local recipients only.
    Lmtp,
}

/// The id of a session that begins now. It grows with time; `chance` tells apart
/// those of one millisecond.
#[must_use]
pub fn session_id(now: Timestamp, chance: u64) -> u64 {
    now.unix_ms << 20 | (chance & 0xf_ffff)
}

/// A client, as far as decisions need to know it.
#[derive(Debug, Clone)]
pub struct Session {
    /// The door.
    pub role: Role,
    /// The client's address.
    pub client_ip: IpAddr,
    /// Our own address on this connection.
    pub server_ip: IpAddr,
    /// Who logged in.
    pub identity: Option<Identity>,
    /// The user of this machine whose program hands mail over by the local socket
    /// for that; the system has told who it is.
    pub local_user: Option<String>,
}
