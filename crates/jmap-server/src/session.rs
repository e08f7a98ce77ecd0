//! The Session object of a user. RFC 8620 §2, RFC 8621 §1.3.1

use crate::Jmap;
use crate::access::Room;
use crate::auth::User;
use crate::limits::{REQUESTS_PER_USER_MAX, UPLOADS_AT_ONCE_MAX};
use jmap_proto::limits::{CALLS_MAX, OBJECTS_IN_GET_MAX, OBJECTS_IN_SET_MAX, REQUEST_BYTES_MAX};
use jmap_proto::{Session, SessionAccount, Urls};
use mailbox_model::limits::{MAILBOX_DEPTH_MAX, MAILBOX_NAME_BYTES_MAX};
use serde_json::{Map, Value, json};

/// The core, RFC 8620.
pub(crate) const CORE: &str = "urn:ietf:params:jmap:core";
/// Mail, RFC 8621.
pub(crate) const MAIL: &str = "urn:ietf:params:jmap:mail";
/// What there is.
pub(crate) const CAPABILITIES: [&str; 2] = [CORE, MAIL];

/// What `Email/query` sorts by.
pub(crate) const EMAIL_SORTS: [&str; 9] = [
    "receivedAt",
    "size",
    "from",
    "to",
    "subject",
    "sentAt",
    "hasKeyword",
    "allInThreadHaveKeyword",
    "someInThreadHaveKeyword",
];

impl Jmap {
    pub(crate) async fn session(&self, user: &User, tls: bool, host: Option<&str>) -> Value {
        let mut accounts = Vec::new();
        for room in self.rooms(user).await {
            accounts.push(self.session_account(&room));
        }
        let message_max = self.shared.config.message_bytes_max;
        let core = json!({
            "maxSizeUpload": message_max,
            "maxConcurrentUpload": UPLOADS_AT_ONCE_MAX,
            "maxSizeRequest": REQUEST_BYTES_MAX,
            "maxConcurrentRequests": REQUESTS_PER_USER_MAX,
            "maxCallsInRequest": CALLS_MAX,
            "maxObjectsInGet": OBJECTS_IN_GET_MAX,
            "maxObjectsInSet": OBJECTS_IN_SET_MAX,
            "collationAlgorithms": ["i;ascii-casemap", "i;octet", "i;unicode-casemap"],
        });
        let mut capabilities = Map::new();
        capabilities.insert(CORE.into(), core);
        capabilities.insert(MAIL.into(), json!({}));
        let base = self.base(tls, host);
        let session = Session {
            capabilities,
            accounts,
            username: user.address.clone(),
            urls: Urls {
                api: format!("{base}/jmap/api"),
                download: format!(
                    "{base}/jmap/download/{{accountId}}/{{blobId}}/{{name}}?type={{type}}"
                ),
                upload: format!("{base}/jmap/upload/{{accountId}}"),
                event_source: format!(
                    "{base}/jmap/events?types={{types}}&closeafter={{closeafter}}&ping={{ping}}"
                ),
            },
        };
        let state = session_state(&session);
        session.to_value(&state)
    }

    /// What an API answer says of the session: another one means that the session is to be
    /// fetched again. Made of the accounts alone, so that it costs no URL.
    pub(crate) async fn session_state(&self, user: &User) -> String {
        let mut accounts = Vec::new();
        for room in self.rooms(user).await {
            accounts.push(self.session_account(&room));
        }
        state_of(&accounts, &user.address)
    }

    fn session_account(&self, room: &Room) -> SessionAccount {
        let mail = json!({
            "maxMailboxesPerEmail": null,
            "maxMailboxDepth": MAILBOX_DEPTH_MAX,
            "maxSizeMailboxName": MAILBOX_NAME_BYTES_MAX,
            "maxSizeAttachmentsPerEmail": self.shared.config.message_bytes_max,
            "emailQuerySortOptions": EMAIL_SORTS,
            "mayCreateTopLevelMailbox": room.is_own(),
        });
        let mut capabilities = Map::new();
        capabilities.insert(CORE.into(), json!({}));
        capabilities.insert(MAIL.into(), mail);
        SessionAccount {
            id: room.id(),
            name: room.name.clone(),
            personal: room.is_own(),
            read_only: room.is_read_only(),
            capabilities,
        }
    }

    /// Where clients reach this server. The name in a request counts only from this machine: who
    /// could set it elsewhere would lead others' passwords away.
    fn base(&self, tls: bool, host: Option<&str>) -> String {
        if let Some(url) = &self.shared.config.url {
            return url.trim_end_matches('/').to_owned();
        }
        let good = |host: &&str| {
            host.len() <= 255
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
        };
        match host.filter(good) {
            Some(host) if !tls => format!("http://{host}"),
            Some(host) if is_named(host, &self.shared.config.host_name) => {
                format!("https://{host}")
            }
            _ => format!("https://{}", self.shared.config.host_name),
        }
    }
}

/// The name itself, with a port or without.
fn is_named(host: &str, name: &str) -> bool {
    let rest = host
        .get(..name.len())
        .filter(|start| start.eq_ignore_ascii_case(name))
        .map(|_| &host[name.len()..]);
    rest.is_some_and(|rest| {
        let port = rest.strip_prefix(':').unwrap_or(rest);
        rest.is_empty() || (port.len() < rest.len() && port.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn session_state(session: &Session) -> String {
    state_of(&session.accounts, &session.username)
}

fn state_of(accounts: &[SessionAccount], username: &str) -> String {
    let mut name = Fnv::default();
    let mut take = |text: &str| name.take(text.as_bytes());
    take(env!("CARGO_PKG_VERSION"));
    take(username);
    for account in accounts {
        take(&account.id);
        take(&account.name);
        take(if account.read_only { "r" } else { "w" });
        take(&Value::Object(account.capabilities.clone()).to_string());
    }
    format!("{:016x}", name.finish())
}

/// FNV-1a: a name for a value, told apart from the one before it.
#[derive(Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// The next octets, and their end.
    pub(crate) fn take(&mut self, octets: &[u8]) {
        for byte in octets.iter().copied().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_servers_name_or_it_does_not_count() {
        for (host, named) in [
            ("mail.test", true),
            ("MAIL.test:8443", true),
            ("mail.test.evil.test", false),
            ("mail.test:80a", false),
            ("other.test", false),
            ("mail", false),
        ] {
            assert_eq!(is_named(host, "mail.test"), named, "{host}");
        }
    }
}
