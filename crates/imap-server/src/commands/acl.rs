//! SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314 §3).
//!
//! Identifiers are login names of accounts, shown as their primary addresses, aliases of the owner's
//! domain, which stand for the accounts of the domain to which they lead, and `anyone`: all accounts of
//! the owner's domain. With `-` in front an entry takes rights away. The owner has all
//! rights, always.

use crate::access::Place;
use crate::limits::OUTPUT_BYTES;
use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use envelope::AccountId;
use imap_proto::mailbox_name::write_name;
use imap_proto::response::{self, Code};
use imap_proto::{AclChange, MailboxName};
use mailstore::{AclName, Rights, Who};

const ANYONE: &str = "anyone";

/// Whom an identifier means.
enum Named {
    Owner,
    Entry(AclName),
}

pub(crate) async fn set(
    session: &mut Session,
    (name, identifier): (&MailboxName, &str),
    change: AclChange,
    letters: &[u8],
) -> Executed {
    // RFC 4314 §3.1: what is no right is BAD.
    let Some(rights) = Rights::parse(letters) else {
        return Ok(Reply::bad("that is no right"));
    };
    let entry = match found(session, name, identifier).await {
        Ok((place, Named::Entry(entry))) => (place, entry),
        Ok((_, Named::Owner)) => {
            let text = "the owner has all rights, always";
            return Ok(Reply::no(Code::CANNOT, text));
        }
        Err(reply) => return Ok(reply),
    };
    let (place, entry) = entry;
    let changed = place.account.change_acl(place.mailbox.id(), |acl| {
        let rights = match change {
            AclChange::Replace => rights,
            AclChange::Add => acl.entry(&entry) | rights,
            AclChange::Remove => acl.entry(&entry) - rights,
        };
        acl.set(entry.clone(), rights);
    });
    Ok(match changed.await {
        Ok(Ok(())) => Reply::ok("so it is"),
        Ok(Err(_)) => Reply::no(Code::LIMIT, "too many rights are given already"),
        Err(error) => store_failed(&error),
    })
}

pub(crate) async fn delete(
    session: &mut Session,
    name: &MailboxName,
    identifier: &str,
) -> Executed {
    set(session, (name, identifier), AclChange::Replace, b"").await
}

pub(crate) async fn get(session: &mut Session, name: &MailboxName) -> Executed {
    let place = match session.place(name, Rights::ADMINISTER).await {
        Ok(place) => place,
        Err(reply) => return Ok(reply),
    };
    let acls = match place.account.acls().await {
        Ok(acls) => acls,
        Err(error) => return Ok(store_failed(&error)),
    };
    let mut entries = Vec::new();
    if let Some(owner) = address(session, place.account.id()).await {
        entries.push((owner, Rights::ALL));
    }
    for (entry, rights) in acls
        .of(place.mailbox.id())
        .into_iter()
        .flat_map(|acl| acl.entries())
    {
        let who = match &entry.who {
            Who::Account(account) => address(session, *account).await,
            Who::Domain(_) => Some(ANYONE.to_owned()),
            Who::Group(group) => Some(group.clone()),
        };
        // Of an account that is gone or disabled nothing is told.
        if let Some(who) = who {
            let sign = if entry.negative { "-" } else { "" };
            entries.push((format!("{sign}{who}"), rights));
        }
    }
    let form = session.name_form();
    session.out.extend_from_slice(b"* ACL ");
    write_name(&mut session.out, name.as_str(), form);
    for (who, rights) in entries {
        let out = &mut session.out;
        out.push(b' ');
        response::write_astring(out, who.as_bytes());
        out.push(b' ');
        out.extend_from_slice(rights.to_string().as_bytes());
        if out.len() >= OUTPUT_BYTES {
            session.flush().await?;
        }
    }
    session.out.extend_from_slice(b"\r\n");
    Ok(Reply::ok("that is who may do what"))
}

pub(crate) async fn list_rights(
    session: &mut Session,
    name: &MailboxName,
    identifier: &str,
) -> Executed {
    let named = match found(session, name, identifier).await {
        Ok((_, named)) => named,
        Err(reply) => return Ok(reply),
    };
    let form = session.name_form();
    let out = &mut session.out;
    out.extend_from_slice(b"* LISTRIGHTS ");
    write_name(out, name.as_str(), form);
    out.push(b' ');
    response::write_astring(out, identifier.as_bytes());
    // RFC 4314 §3.4: what one has always, then what can be given, each by itself.
    match named {
        Named::Owner => out.extend_from_slice(format!(" {}", Rights::ALL).as_bytes()),
        Named::Entry(_) => {
            out.extend_from_slice(b" \"\"");
            for letter in Rights::ALL.to_string().chars() {
                out.extend_from_slice(format!(" {letter}").as_bytes());
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(Reply::ok("those can be given"))
}

pub(crate) async fn my_rights(session: &mut Session, name: &MailboxName) -> Executed {
    // RFC 4314 §4, table 1.
    let any = Rights::ALL - Rights::SEEN - Rights::WRITE - Rights::POST;
    let place = match session.place(name, any).await {
        Ok(place) => place,
        Err(reply) => return Ok(reply),
    };
    let form = session.name_form();
    write_mine(&mut session.out, name.as_str(), form, place.rights);
    Ok(Reply::ok("that is what you may do"))
}

/// `* MYRIGHTS INBOX lrs`
pub(crate) fn write_mine(
    out: &mut Vec<u8>,
    name: &str,
    form: imap_proto::NameForm,
    rights: Rights,
) {
    out.extend_from_slice(b"* MYRIGHTS ");
    write_name(out, name, form);
    let rights = rights.to_string();
    out.push(b' ');
    response::write_astring(out, rights.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A mailbox whose rights the user may give, and whom an identifier means there.
async fn found(
    session: &Session,
    name: &MailboxName,
    identifier: &str,
) -> Result<(Place, Named), Reply> {
    let place = session.place(name, Rights::ADMINISTER).await?;
    let owner = place.account.id();
    let (who, negative) = match identifier.strip_prefix('-') {
        Some(who) => (who, true),
        None => (identifier, false),
    };
    let unknown = || Reply::no(Code::NON_EXISTENT, "there is nobody of that name");
    let logins = &session.ports.logins;
    let said = |_| Reply::no(Code::UNAVAILABLE, "that is not possible at the moment");
    let domain = async || {
        let address = logins.address_of(owner).await.map_err(said)?;
        let domain = address.ok_or_else(unknown)?.domain().to_string();
        Ok::<_, Reply>(domain.to_lowercase())
    };
    let who = if who == ANYONE {
        Who::Domain(domain().await?)
    } else if let Some(account) = logins.account_of(who).await.map_err(said)? {
        Who::Account(account)
    } else {
        let group = logins
            .group_of(who)
            .await
            .map_err(said)?
            .ok_or_else(unknown)?;
        let of = group.rsplit_once('@').map(|(_, domain)| domain.to_owned());
        match of == Some(domain().await?) {
            true => Who::Group(group),
            false => return Err(unknown()),
        }
    };
    let named = match who {
        Who::Account(account) if account == owner => Named::Owner,
        who => Named::Entry(AclName { who, negative }),
    };
    Ok((place, named))
}

async fn address(session: &Session, account: AccountId) -> Option<String> {
    match session.ports.logins.address_of(account).await {
        Ok(address) => address.map(|address| address.to_string()),
        Err(error) => {
            tracing::error!(session = session.id, %error, "imap: an identifier cannot be named");
            None
        }
    }
}
