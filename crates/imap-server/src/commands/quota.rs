//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §4.1).
//!
//! An account has one root. Its owner knows it as `""`; for administrators every
//! account's root has its primary address for a name, and they alone may set one:
//! the same limits in the same place as `account quota` of the command line.
//!
//! What the accounts of a domain may hold together is no root: what the others
//! hold is not for a user to know.

use crate::access::{Whose, directory_failed};
use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use imap_proto::MailboxName;
use imap_proto::mailbox_name::write_name;
use imap_proto::response::{self, Code};
use mailstore::{Account, QuotaLimits, Rights};
use std::sync::Arc;

/// RFC 9208 §5.1: STORAGE counts in units of so many octets.
const UNIT: u64 = 1024;

/// An account's root, as it is named in this session.
struct Root {
    name: String,
    account: Arc<Account>,
}

pub(crate) async fn of_root(session: &mut Session, root: &[u8]) -> Executed {
    match find(session, root).await {
        Ok(root) => {
            write(session, &root);
            Ok(Reply::ok("that is the quota"))
        }
        Err(reply) => Ok(reply),
    }
}

/// RFC 9208 §4.1.1: what is not named has no limit any more.
pub(crate) async fn set(session: &mut Session, root: &[u8], wanted: &[(String, u64)]) -> Executed {
    match is_admin(session).await {
        Ok(true) => {}
        Ok(false) => return Ok(Reply::no(Code::NO_PERM, "administrators set quotas")),
        Err(reply) => return Ok(reply),
    }
    let root = match find(session, root).await {
        Ok(root) => root,
        Err(reply) => return Ok(reply),
    };
    let mut limits = QuotaLimits::default();
    for (resource, limit) in wanted {
        match resource.as_str() {
            "STORAGE" => match limit.checked_mul(UNIT) {
                // Above it there is no number for "how many octets at most".
                Some(bytes) => limits.bytes = Some(bytes),
                None => return Ok(Reply::no(Code::CANNOT, "no quota can be that large")),
            },
            "MESSAGE" => limits.emails = Some(*limit),
            _ => {
                return Ok(Reply::no(
                    Code::CANNOT,
                    "there is no quota of that resource",
                ));
            }
        }
    }
    if let Err(error) = root.account.set_quota_limits(limits).await {
        return Ok(store_failed(&error));
    }
    let by = session.login.as_ref().map(|login| login.account.id().0);
    tracing::info!(session = session.id, by, account = %root.account.id(), bytes = limits.bytes, messages = limits.emails, "imap: quota set");
    write(session, &root);
    Ok(Reply::ok("that is the quota"))
}

/// The mailbox may be one that is not there yet (RFC 9208 §4.1.3).
pub(crate) async fn of_mailbox(session: &mut Session, mailbox: &MailboxName) -> Executed {
    let owner = match session.whose(mailbox).await {
        Ok(Whose::Own(..) | Whose::Nobody) => None,
        // RFC 4314 §4: `r`.
        Ok(Whose::Other(..)) => match session.place(mailbox, Rights::READ).await {
            Ok(place) => Some(place.account),
            Err(reply) => return Ok(reply),
        },
        Err(reply) => return Ok(reply),
    };
    let root = match owner {
        None => find(session, b"").await.map(Some),
        Some(owner) => root_of_other(session, owner).await,
    };
    let root = match root {
        Ok(root) => root,
        Err(reply) => return Ok(reply),
    };
    let form = session.name_form();
    session.out.extend_from_slice(b"* QUOTAROOT ");
    write_name(&mut session.out, mailbox.as_str(), form);
    let Some(root) = root else {
        session.out.extend_from_slice(b"\r\n");
        return Ok(Reply::ok("its owner has the quota"));
    };
    session.out.push(b' ');
    response::write_string(&mut session.out, root.name.as_bytes());
    session.out.extend_from_slice(b"\r\n");
    write(session, &root);
    Ok(Reply::ok("that is the quota"))
}

/// What another may hold is for administrators to know alone: no root for all others.
async fn root_of_other(session: &Session, account: Arc<Account>) -> Result<Option<Root>, Reply> {
    if !is_admin(session).await? {
        return Ok(None);
    }
    let address = session.ports.logins.address_of(account.id()).await;
    let address = address.map_err(|error| directory_failed(&error))?;
    Ok(address.map(|address| Root {
        name: address.to_string(),
        account,
    }))
}

/// It may administer, now as at the login.
async fn is_admin(session: &Session) -> Result<bool, Reply> {
    let Some(login) = session.login.as_ref().filter(|login| login.admin) else {
        return Ok(false);
    };
    let admin = session.ports.logins.is_admin(login.account.id()).await;
    admin.map_err(|error| directory_failed(&error))
}

/// A root that this user may know of.
async fn find(session: &Session, name: &[u8]) -> Result<Root, Reply> {
    let no_root = || Reply::no(Code::NON_EXISTENT, "there is no such quota root");
    let Some(login) = &session.login else {
        return Err(no_root());
    };
    if name.is_empty() {
        return Ok(Root {
            name: String::new(),
            account: Arc::clone(&login.account),
        });
    }
    if !is_admin(session).await? {
        return Err(no_root());
    }
    let address = std::str::from_utf8(name).map_err(|_| no_root())?;
    let found = session.ports.logins.account_of(address).await;
    let id = found.map_err(|error| directory_failed(&error))?;
    let id = id.ok_or_else(no_root)?;
    let account = session.ports.mailstore.account(id).await;
    let account = account.map_err(|error| store_failed(&error))?;
    root_of_other(session, account).await?.ok_or_else(no_root)
}

/// Resources without a limit are left out.
fn write(session: &mut Session, root: &Root) {
    let (limits, usage) = (root.account.quota_limits(), root.account.view().usage());
    // What is begun is used; what is not whole cannot be.
    let storage = limits.bytes.map(|limit| {
        let used = usage.bytes.div_ceil(UNIT);
        format!("STORAGE {used} {}", limit / UNIT)
    });
    let messages = limits
        .emails
        .map(|limit| format!("MESSAGE {} {limit}", usage.emails));
    let resources: Vec<String> = storage.into_iter().chain(messages).collect();
    let resources = resources.join(" ");
    session.out.extend_from_slice(b"* QUOTA ");
    response::write_string(&mut session.out, root.name.as_bytes());
    session
        .out
        .extend_from_slice(format!(" ({resources})\r\n").as_bytes());
}
