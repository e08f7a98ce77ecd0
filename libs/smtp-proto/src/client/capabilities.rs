//! What a server offers in its answer to EHLO.

use envelope::Reply;

use super::OfferedLimits;

/// The extensions that matter to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 1870; `Some(0)`: no fixed limit.
    pub size: Option<u64>,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// AUTH PLAIN.
    pub auth_plain: bool,
    /// AUTH LOGIN.
    pub auth_login: bool,
    /// RFC 8689.
    pub require_tls: bool,
    /// RFC 2852; the shortest time in seconds that it takes with `R`.
    pub deliver_by: Option<u32>,
    /// RFC 4865; the longest hold in seconds.
    pub hold: Option<u64>,
    /// RFC 6710.
    pub priority: bool,
    /// RFC 7293.
    pub valid_since: bool,
    /// RFC 9422.
    pub limits: OfferedLimits,
}

impl Capabilities {
    /// Reads the reply's lines; the first one is the server's name.
    #[must_use]
    pub fn parse(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.lines.iter().skip(1) {
            // `AUTH=LOGIN` is what old servers say beside `AUTH LOGIN`.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let keyword = words.next().unwrap_or("").to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => found.pipelining = true,
                "SIZE" => found.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
                "8BITMIME" => found.eight_bit_mime = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "CHUNKING" => found.chunking = true,
                "STARTTLS" => found.starttls = true,
                "DSN" => found.dsn = true,
                "REQUIRETLS" => found.require_tls = true,
                "DELIVERBY" => {
                    let least = words.next().and_then(|seconds| seconds.parse().ok());
                    found.deliver_by = Some(least.unwrap_or(0));
                }
                "FUTURERELEASE" => found.hold = words.next().and_then(|max| max.parse().ok()),
                "MT-PRIORITY" => found.priority = true,
                "RRVS" => found.valid_since = true,
                "LIMITS" => found.limits = OfferedLimits::parse(line.split(' ').skip(1)),
                "AUTH" => {
                    for mechanism in words {
                        found.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        found.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        found
    }
}
