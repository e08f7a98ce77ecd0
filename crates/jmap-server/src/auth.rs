//! Who asks: Basic (RFC 7617) with a password, Bearer (RFC 6750) with a token. Each request says so
//! again; the directory remembers what it checked lately.
//!
//! A login here is one for reading mail, as by IMAP: the same passwords, the same bans (RFC 9698
//! wants the same credentials to work).

use crate::limits::{
    DOWNLOADS_MAX, DOWNLOADS_PER_USER_MAX, LOGIN_BYTES_MAX, REQUESTS_PER_USER_MAX,
    UPLOADS_AT_ONCE_MAX,
};
use crate::{Jmap, Shared};
use axum::http::{HeaderMap, header};
use directory::{AuthFailure, Caller, Identity, Service, Verdict};
use envelope::AccountId;
use mailstore::{Account, StoreError};
use parking_lot::Mutex;
use runtime::net::Visitor;
use sasl::bearer::Bearer;
use sasl::{Credentials, Question, Secret};
use std::collections::HashMap;
use std::sync::Arc;

/// Who has logged in.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: AccountId,
    pub(crate) address: String,
    pub(crate) domain: Arc<str>,
    pub(crate) account: Arc<Account>,
}

/// Why nobody is let in.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Not over this connection.
    Plain,
    /// A page of somebody else asks in the user's browser.
    Foreign,
    /// No login, or a wrong one.
    Challenge(String),
    /// Too many.
    Wait(String),
    /// Our own trouble.
    Unavailable,
}

impl Jmap {
    pub(crate) async fn user(
        &self,
        visitor: &Visitor,
        headers: &HeaderMap,
    ) -> Result<User, Refused> {
        let ports = &self.shared.ports;
        if !visitor.is_tls() && !visitor.ip().is_loopback() {
            return Err(Refused::Plain);
        }
        // Browsers keep a login by Basic, and send it along with what other pages ask for.
        let site = headers.get("sec-fetch-site");
        if site.is_some_and(|site| site == "cross-site") {
            return Err(Refused::Foreign);
        }
        let Some(question) = question(headers) else {
            return Err(Refused::Challenge("log in".into()));
        };
        let caller = Caller {
            service: Service::Imap,
            peer: visitor.ip(),
        };
        let failure = match ports.logins.answer(&question, caller).await {
            Ok(Verdict::Granted(who, _)) => return self.enter(who).await,
            Ok(Verdict::Refused(failure, _)) | Err(failure) => failure,
            Ok(Verdict::GoOn(_)) => AuthFailure::Invalid,
        };
        ports.metrics.login("jmap", false);
        tracing::info!(login = question.login(), client = %visitor.ip(), reason = %failure, "jmap: login refused");
        Err(match failure {
            AuthFailure::Banned { .. } | AuthFailure::Busy => Refused::Wait(failure.to_string()),
            AuthFailure::Temporary(_) => Refused::Unavailable,
            _ => Refused::Challenge(failure.to_string()),
        })
    }

    async fn enter(&self, who: Identity) -> Result<User, Refused> {
        self.shared.ports.metrics.login("jmap", true);
        let account = self.shared.ports.mailstore.account(who.account).await;
        let account = account.map_err(|error| match error {
            StoreError::NoAccount(_) => Refused::Challenge("the account is gone".into()),
            error => {
                tracing::error!(account = %who.account, %error, "jmap: an account cannot be opened");
                Refused::Unavailable
            }
        })?;
        Ok(User {
            id: who.account,
            domain: who.address.domain().to_string().into(),
            address: who.address.to_string(),
            account,
        })
    }
}

fn question(headers: &HeaderMap) -> Option<Question> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, proof) = value.split_once(' ')?;
    let proof = proof.trim();
    if proof.len() > LOGIN_BYTES_MAX {
        return None;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Question::Token(Bearer {
            authorization: None,
            token: Secret::from(proof),
        }));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(wire::base64::decode(proof.as_bytes())?).ok()?;
    // RFC 7617 §2: the password begins behind the first colon.
    let (login, password) = text.split_once(':')?;
    Some(Question::Password(Credentials {
        authorization: None,
        login: login.to_owned(),
        password: Secret::from(password),
    }))
}

/// How much each user does at the same time.
#[derive(Debug, Default)]
pub(crate) struct Doors(Mutex<Within>);

#[derive(Debug, Default)]
struct Within {
    by: HashMap<(AccountId, Door), usize>,
    /// Of all users.
    downloads: usize,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    Requests,
    Uploads,
    /// Bounded in all too: who takes one slowly keeps it open.
    Downloads,
}

/// A place at a door.
#[derive(Debug)]
pub(crate) struct Inside {
    shared: Arc<Shared>,
    key: (AccountId, Door),
}

impl Jmap {
    /// A place for one more; the name of the limit if there is none.
    pub(crate) fn pass(&self, user: &User, door: Door) -> Result<Inside, &'static str> {
        let (max, limit) = match door {
            Door::Requests => (REQUESTS_PER_USER_MAX, "maxConcurrentRequests"),
            Door::Uploads => (UPLOADS_AT_ONCE_MAX, "maxConcurrentUpload"),
            Door::Downloads => (DOWNLOADS_PER_USER_MAX, "downloads"),
        };
        let key = (user.id, door);
        let mut doors = self.shared.doors.0.lock();
        let is_download = door == Door::Downloads;
        let inside = doors.by.get(&key).copied().unwrap_or(0);
        if inside >= max || (is_download && doors.downloads >= DOWNLOADS_MAX) {
            return Err(limit);
        }
        doors.by.insert(key, inside + 1);
        doors.downloads += usize::from(is_download);
        drop(doors);
        Ok(Inside {
            shared: Arc::clone(&self.shared),
            key,
        })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut doors = self.shared.doors.0.lock();
        if let Some(inside) = doors.by.get_mut(&self.key) {
            *inside -= 1;
            if *inside == 0 {
                doors.by.remove(&self.key);
            }
        }
        doors.downloads -= usize::from(self.key.1 == Door::Downloads);
    }
}
