//! GETMETADATA and SETMETADATA (RFC 5464). An account is its owner's alone, so that what
//! is shared and what is private differ by their names only.

use crate::access::no_right;
use crate::commands::filters;
use crate::events;
use crate::limits::OUTPUT_BYTES;
use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use bytes::Bytes;
use imap_proto::mailbox_name::write_name;
use imap_proto::response::{self, Code};
use imap_proto::{GetMetadata, MailboxName, MetadataDepth, NameForm};
use mailbox_model::MailboxId;
use mailstore::{Account, AnnotationLimit, EVENT_SCRIPT, Rights};
use std::sync::Arc;

pub(crate) async fn get(session: &mut Session, command: &GetMetadata) -> Executed {
    let (account, mailbox, own) = match place(session, command.mailbox.as_ref(), Rights::READ).await
    {
        Ok(place) => place,
        Err(reply) => return Ok(reply),
    };
    let annotations = match account.annotations().await {
        Ok(annotations) => annotations,
        Err(error) => return Ok(store_failed(&error)),
    };
    let size_max = command.size_max.unwrap_or(u64::MAX);
    let form = session.name_form();
    let mut longest = None;
    for entry in &command.entries {
        // What is private of another's is the owner's.
        let is_ours = |name: &str| own || !name.starts_with("/private");
        let wanted = |name: &str| is_wanted(name, entry, command.depth) && is_ours(name);
        let found = annotations.of(mailbox).filter(|(name, _)| wanted(name));
        let mut found: Vec<(&str, Option<&Bytes>)> =
            found.map(|(name, value)| (name, Some(value))).collect();
        if found.is_empty() && command.depth == MetadataDepth::Zero {
            found.push((entry, None));
        }
        for (name, value) in found {
            let size = value.map_or(0, |value| value.len() as u64);
            if size > size_max {
                // RFC 5464 §4.2.1: what is left out is told by its size.
                longest = longest.max(Some(size));
                continue;
            }
            let of = command.mailbox.as_ref().map_or("", MailboxName::as_str);
            write(&mut session.out, of, form, name, value);
            if session.out.len() >= OUTPUT_BYTES {
                session.flush().await?;
            }
        }
    }
    let reply = Reply::ok("that is what there is");
    Ok(match longest {
        Some(size) => reply.with_code(Code::MetadataLongEntries(size)),
        None => reply,
    })
}

/// An untagged METADATA of one entry.
pub(crate) fn write(
    out: &mut Vec<u8>,
    mailbox: &str,
    form: NameForm,
    entry: &str,
    value: Option<&Bytes>,
) {
    out.extend_from_slice(b"* METADATA ");
    write_name(out, mailbox, form);
    out.extend_from_slice(b" (");
    response::write_astring(out, entry.as_bytes());
    out.push(b' ');
    match value {
        Some(value) => response::write_string(out, value),
        None => out.extend_from_slice(b"NIL"),
    }
    out.extend_from_slice(b")\r\n");
}

/// RFC 5464 §4.2.2.
fn is_wanted(name: &str, entry: &str, depth: MetadataDepth) -> bool {
    let Some(below) = name.strip_prefix(entry) else {
        return false;
    };
    match (below.strip_prefix('/'), depth) {
        (None, _) => below.is_empty(),
        (Some(_), MetadataDepth::Zero) => false,
        (Some(rest), MetadataDepth::One) => !rest.contains('/'),
        (Some(_), MetadataDepth::Infinity) => true,
    }
}

pub(crate) async fn set(
    session: &mut Session,
    name: Option<&MailboxName>,
    values: Vec<(String, Option<Vec<u8>>)>,
) -> Executed {
    let (account, mailbox, own) = match place(session, name, Rights::WRITE).await {
        Ok(place) => place,
        Err(reply) => return Ok(reply),
    };
    if !own && values.iter().any(|(name, _)| name.starts_with("/private")) {
        return Ok(no_right());
    }
    // The script would run as the owner's.
    if !own && values.iter().any(|(name, _)| name == EVENT_SCRIPT) {
        return Ok(no_right());
    }
    // RFC 5464 §3.2.1: what is shared of the server is its administrator's. But an account's own mailboxes are all
    // that it sees of the server, and which script runs for them is its own affair (RFC 6785 §2.3.1).
    let servers = |name: &str| name.starts_with("/shared") && name != EVENT_SCRIPT;
    if mailbox.is_none() && values.iter().any(|(name, _)| servers(name)) {
        let text = "what is shared of the server is not yours to set";
        return Ok(Reply::no(Code::NO_PERM, text));
    }
    // RFC 5466 §3.1: what is stored as a search is one.
    let broken = |value: &Option<Vec<u8>>, name: &str| {
        value
            .as_ref()
            .is_some_and(|value| filters::is_broken(name, value))
    };
    if mailbox.is_none() && values.iter().any(|(name, value)| broken(value, name)) {
        return Ok(Reply::no(Code::CANNOT, "that is no search"));
    }
    // A script that can't run here is better known now than from the log.
    let scripts = values.iter().filter(|(name, _)| name == EVENT_SCRIPT);
    for name in scripts.filter_map(|(_, value)| core::str::from_utf8(value.as_deref()?).ok()) {
        if let Some(why) = events::refusal_of(session, &account, name).await {
            return Ok(Reply::no(Code::CANNOT, why));
        }
    }
    let changes: Vec<(String, Option<Bytes>)> = values
        .into_iter()
        .map(|(name, value)| (name, value.map(Bytes::from)))
        .collect();
    Ok(match account.annotate(mailbox, &changes).await {
        Ok(Ok(())) => Reply::ok("noted"),
        Ok(Err(AnnotationLimit::Size(max))) => {
            let text = format!("a value has at most {max} octets");
            Reply::no(Code::MetadataMaxSize(max as u64), text)
        }
        Ok(Err(AnnotationLimit::Count)) => {
            Reply::no(Code::METADATA_TOO_MANY, "those are too many annotations")
        }
        Err(error) => store_failed(&error),
    })
}

/// The account and the mailbox of a name, and whether they are the user's own; no name is the
/// server. RFC 5464 §3.3: `r` to read what is shared, `w` to write it.
async fn place(
    session: &Session,
    name: Option<&MailboxName>,
    wanted: Rights,
) -> Result<(Arc<Account>, Option<MailboxId>, bool), Reply> {
    let Some(login) = &session.login else {
        return Err(Reply::bad("log in first"));
    };
    let Some(name) = name else {
        return Ok((Arc::clone(&login.account), None, true));
    };
    let place = session.place(name, wanted).await?;
    let own = place.other.is_none();
    Ok((place.account, Some(place.mailbox.id()), own))
}
