//! The Session object. RFC 8620 §2

use serde_json::{Map, Value, json};

/// An account as a session names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionAccount {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// It is the user's own.
    pub personal: bool,
    /// Nothing of it may be changed.
    pub read_only: bool,
    /// What it supports, and how.
    pub capabilities: Map<String, Value>,
}

/// Where things are; the last three are templates (RFC 6570, level 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    /// Where requests go.
    pub api: String,
    /// With `accountId`, `blobId`, `type` and `name`.
    pub download: String,
    /// With `accountId`.
    pub upload: String,
    /// With `types`, `closeafter` and `ping`.
    pub event_source: String,
}

/// What a client begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The server's capabilities.
    pub capabilities: Map<String, Value>,
    /// All accounts that the user sees, his own first.
    pub accounts: Vec<SessionAccount>,
    /// His login.
    pub username: String,
    /// Where things are.
    pub urls: Urls,
}

impl Session {
    /// The object; `state` is made of all the rest by the caller.
    #[must_use]
    pub fn to_value(&self, state: &str) -> Value {
        let account = |account: &SessionAccount| {
            let value = json!({
                "name": account.name,
                "isPersonal": account.personal,
                "isReadOnly": account.read_only,
                "accountCapabilities": account.capabilities,
            });
            (account.id.clone(), value)
        };
        let accounts: Map<String, Value> = self.accounts.iter().map(account).collect();
        let mut primary = Map::new();
        if let Some(own) = self.accounts.iter().find(|account| account.personal) {
            for capability in own.capabilities.keys() {
                primary.insert(capability.clone(), own.id.as_str().into());
            }
        }
        json!({
            "capabilities": self.capabilities,
            "accounts": accounts,
            "primaryAccounts": primary,
            "username": self.username,
            "apiUrl": self.urls.api,
            "downloadUrl": self.urls.download,
            "uploadUrl": self.urls.upload,
            "eventSourceUrl": self.urls.event_source,
            "state": state,
        })
    }
}
