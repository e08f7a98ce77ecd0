//! What no key can know alone: keys that need each other or exclude each other.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Mistake, Settings};

/// The least that all caches and buffers work with.
const MEMORY_BYTES_MIN: u64 = 128 << 20;

/// The longest name of a node.
const NODE_BYTES_MAX: usize = 100;

/// The least limit of messages for a command.
const IMAP_LIMIT_MIN: u64 = 1000;

/// Adds the mistakes between keys.
pub(crate) fn whole(
    settings: &Settings,
    lines: &BTreeMap<&'static str, usize>,
    mistakes: &mut Vec<Mistake>,
) {
    let mut tell = |key: &'static str, problem: String, hint: &str| {
        mistakes.push(Mistake {
            line: lines.get(key).copied(),
            key: key.to_owned(),
            problem,
            hint: hint.to_owned(),
        });
    };
    pairs(settings, &mut tell);
    values(settings, &mut tell);
    ports(settings, &mut tell);
}

/// Takes a key, what is wrong with it, and what to do.
type Tell<'a> = &'a mut dyn FnMut(&'static str, String, &str);

/// Keys that need each other.
fn pairs(settings: &Settings, tell: Tell<'_>) {
    let empty = |path: &Path| path.as_os_str().is_empty();
    let tls = &settings.tls;
    if empty(&tls.certificate) != empty(&tls.key) {
        let (set, missing) = if empty(&tls.key) {
            ("tls.certificate", "tls.key")
        } else {
            ("tls.key", "tls.certificate")
        };
        tell(
            set,
            format!("{missing} is missing"),
            "set both, or neither for a self-signed certificate",
        );
    }
    let auth = &settings.auth;
    if auth.certificate_services.is_empty() != empty(&auth.certificate_authorities) {
        let (set, missing) = if auth.certificate_services.is_empty() {
            ("auth.certificate_authorities", "auth.certificate_services")
        } else {
            ("auth.certificate_services", "auth.certificate_authorities")
        };
        tell(
            set,
            format!("{missing} is missing"),
            "a login by certificate needs both",
        );
    }
    let oauth = &settings.oauth;
    if oauth.issuer.is_empty() != oauth.audiences.is_empty() {
        let (set, missing) = if oauth.issuer.is_empty() {
            ("oauth.audiences", "oauth.issuer")
        } else {
            ("oauth.issuer", "oauth.audiences")
        };
        tell(
            set,
            format!("{missing} is missing"),
            "a login by token needs both",
        );
    }
    let imap = &settings.imap;
    if imap.message_limit > 0 && imap.save_limit > 0 {
        tell(
            "imap.save_limit",
            "imap.message_limit is set".to_owned(),
            "imap.message_limit is for COPY and APPEND too: set one of the two",
        );
    }
    let outbound = &settings.outbound;
    if settings.door.require_tags && !outbound.batv {
        tell(
            "door.require_tags",
            "outbound.batv is off".to_owned(),
            "without tags on what leaves every notification would be refused: set outbound.batv = true, and this a week later",
        );
    }
    let cluster = &settings.cluster;
    for (key, is_set) in [
        ("cluster.password_file", !empty(&cluster.password_file)),
        ("cluster.node", !cluster.node.is_empty()),
    ] {
        if is_set && cluster.database.is_empty() {
            tell(
                key,
                "cluster.database is missing".to_owned(),
                "a node without a database is alone: set cluster.database, or take this away",
            );
        }
    }
    if !cluster.database.is_empty() && cluster.node.is_empty() {
        tell(
            "cluster.database",
            "cluster.node is missing".to_owned(),
            "each node needs a name of its own: cluster.node = \"mx1\"",
        );
    }
    if cluster.node.len() > NODE_BYTES_MAX {
        tell(
            "cluster.node",
            format!("it has more than {NODE_BYTES_MAX} bytes"),
            "a short name will do",
        );
    }
    if !outbound.smart_host_user.is_empty() && empty(&outbound.smart_host_password_file) {
        tell(
            "outbound.smart_host_user",
            "outbound.smart_host_password_file is missing".to_owned(),
            "a login needs both",
        );
    }
}

/// Values that do not fit, or not to each other.
fn values(settings: &Settings, tell: Tell<'_>) {
    let oauth = &settings.oauth;
    let host = oauth.issuer.strip_prefix("https://");
    let is_issuer = |host: &str| !host.is_empty() && !host.contains(['?', '#', ' ', '@']);
    if !oauth.issuer.is_empty() && !host.is_some_and(is_issuer) {
        tell(
            "oauth.issuer",
            format!("{:?} is no issuer", oauth.issuer),
            "an address that begins with https://, without ? and #",
        );
    }
    let url = &settings.jmap.url;
    let is_base = |rest: &str| {
        let host = rest.split('/').next().unwrap_or_default();
        let plain = rest
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"?#@\"\\<>".contains(&b));
        plain && !host.is_empty()
    };
    if !url.is_empty() && !url.strip_prefix("https://").is_some_and(is_base) {
        tell(
            "jmap.url",
            format!("{url:?} is no place that clients can be told"),
            "an address that begins with https://, such as \"https://mail.example.org\"",
        );
    }
    if oauth.claim.is_empty() {
        tell(
            "oauth.claim",
            "it is empty".to_owned(),
            "the name of a claim such as \"email\"",
        );
    }
    if settings.queue.retry_max < settings.queue.retry_first {
        tell(
            "queue.retry_max",
            "it is shorter than queue.retry_first".to_owned(),
            "waits grow from the first to the longest",
        );
    }
    let memory = settings.memory.total.0;
    if memory != 0 && memory < MEMORY_BYTES_MIN {
        tell(
            "memory.total",
            "it is less than 128 MiB".to_owned(),
            "128 MiB or more, or 0 for a quarter of the machine's memory",
        );
    }
    let imap = &settings.imap;
    for (key, limit) in [
        ("imap.message_limit", imap.message_limit),
        ("imap.save_limit", imap.save_limit),
    ] {
        // RFC 9738 §3
        if (1..IMAP_LIMIT_MIN).contains(&limit) {
            tell(
                key,
                format!("{limit} is too few"),
                "1000 or more, or 0 for no limit",
            );
        }
    }
    let backup = &settings.backup;
    if !backup.to.is_empty() && !backup.to.starts_with('/') && !backup.to.starts_with("s3://") {
        tell(
            "backup.to",
            format!("{:?} is no place", backup.to),
            "a folder that begins with /, or s3://bucket/prefix",
        );
    }
    let hostname = &settings.general.hostname;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if !hostname.chars().all(fits) || hostname.len() > 253 {
        tell(
            "hostname",
            format!("{hostname:?} is no host name"),
            "letters, digits, hyphens and dots",
        );
    }
    if settings.delivery.subaddress_separator.chars().count() > 1 {
        tell(
            "delivery.subaddress_separator",
            "it is longer than one character".to_owned(),
            "one character such as \"+\", or \"\"",
        );
    }
}

/// No two services listen in one place.
fn ports(settings: &Settings, tell: Tell<'_>) {
    let mut taken = BTreeMap::new();
    for (key, addresses) in settings.listen.all() {
        for address in addresses {
            if address.port() == 0 {
                continue;
            }
            if let Some(other) = taken.insert(*address, key) {
                tell(
                    key,
                    format!("{address} is in {other} too"),
                    "each address and port serves one protocol",
                );
            }
        }
    }
}

impl crate::Listen {
    /// Every list with its key's name.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &[std::net::SocketAddr]); 11] {
        [
            ("listen.smtp", &self.smtp),
            ("listen.lmtp", &self.lmtp),
            ("listen.submission", &self.submission),
            ("listen.submissions", &self.submissions),
            ("listen.atrn", &self.atrn),
            ("listen.imap", &self.imap),
            ("listen.imaps", &self.imaps),
            ("listen.pop3", &self.pop3),
            ("listen.pop3s", &self.pop3s),
            ("listen.http", &self.http),
            ("listen.https", &self.https),
        ]
    }
}
