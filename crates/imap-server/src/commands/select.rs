//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3; CONDSTORE: RFC 7162 §3.1.8).

use crate::access::Place;
use crate::commands::qresync;
use crate::commands::store::untouched;
use crate::limits::KEYWORDS_LISTED_MAX;
use crate::list::{self, write_list_line};
use crate::reply::{Executed, Reply, SyncMode};
use crate::selected::Selected;
use crate::session::Session;
use imap_proto::response::{self, Code, Status};
use imap_proto::{Flag, SelectCommand, SystemFlag};
use mailbox_model::View;
use mailstore::Rights;
use mailstore::object_id;
use std::sync::Arc;

/// What the client may do with the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
}

pub(crate) async fn run(
    session: &mut Session,
    command: &SelectCommand,
    access: Access,
) -> Executed {
    // RFC 7162 §3.2.5
    if command.qresync.is_some() && !session.enabled.qresync {
        return Ok(Reply::bad("enable QRESYNC first"));
    }

    // RFC 9051 §6.3.2: the selection ends even when the new one fails.
    if session.selected.take().is_some() {
        response::untagged_status(
            &mut session.out,
            Status::Ok,
            Some(&Code::CLOSED),
            "the previous mailbox is closed",
        );
    }
    if command.condstore {
        session.enabled.condstore = true;
    }
    let place = match session.place(&command.mailbox, Rights::READ).await {
        Ok(place) => place,
        Err(reply) => return Ok(reply.with_sync(SyncMode::Nothing)),
    };
    // RFC 4314 §5.2: READ-WRITE where there is any right to change something.
    let access = match place.rights.has_any(CHANGING) {
        true => access,
        false => Access::ReadOnly,
    };
    let mut selected = Selected::new(
        Arc::clone(&place.account),
        &place.mailbox,
        access == Access::ReadOnly,
    );
    match place.readership().await {
        Ok(Some(readership)) => selected = selected.read_by(readership),
        Ok(None) => {}
        Err(reply) => return Ok(reply.with_sync(SyncMode::Nothing)),
    }
    selected.keywords_told = place.view.keywords().len();
    describe(session, &place, &selected, access);
    session.selected = Some(Box::new(selected));
    if let Some(remembered) = &command.qresync {
        qresync::resynchronise(session, &place.view, &place.mailbox, remembered).await?;
    }
    let code = match access {
        Access::ReadWrite => Code::READ_WRITE,
        Access::ReadOnly => Code::READ_ONLY,
    };
    let reply = Reply::ok("selected").with_code(code);
    Ok(reply.with_sync(SyncMode::Nothing))
}

/// Rights that change something of the mailbox's content.
const CHANGING: Rights = Rights::SEEN
    .and(Rights::WRITE)
    .and(Rights::INSERT)
    .and(Rights::DELETE)
    .and(Rights::EXPUNGE);

fn describe(session: &mut Session, place: &Place, selected: &Selected, access: Access) {
    let (view, mailbox) = (&place.view, &place.mailbox);
    let (rev2, uid_only) = (session.enabled.rev2, session.enabled.uid_only);
    let form = session.name_form();
    let is_private = session.tells_mechanisms();
    let out = &mut session.out;
    write_flags(out, view);
    let count = mailbox.entries().len();
    response::untagged(out, format_args!("{count} EXISTS"));
    if !rev2 {
        // No message is ever recent: RFC 9051 Appendix E dropped the flag.
        response::untagged(out, format_args!("0 RECENT"));
        let first_unseen = match place.other.is_some() {
            true => {
                let mut entries = selected.entries().iter();
                entries.position(|entry| !entry.keywords.is_seen())
            }
            false => mailbox.first_unseen(),
        };
        let first_unseen = first_unseen.filter(|_| !uid_only);
        if let Some(rank) = first_unseen {
            let code = Code::Unseen(u32::try_from(rank + 1).unwrap_or(u32::MAX));
            response::untagged_status(out, Status::Ok, Some(&code), "first unseen message");
        }
    }
    let permanent = match access {
        Access::ReadWrite => permanent_flags(view, place.rights),
        Access::ReadOnly => Code::PermanentFlags(Vec::new(), false),
    };
    response::untagged_status(out, Status::Ok, Some(&permanent), "flags that are kept");
    let validity = Code::UidValidity(mailbox.uid_validity().0);
    response::untagged_status(out, Status::Ok, Some(&validity), "UIDs are valid");
    let next = Code::UidNext(u64::from(mailbox.uid_next().0));
    response::untagged_status(out, Status::Ok, Some(&next), "the next UID");
    // RFC 7162 §3.1.2.1: told whether or not CONDSTORE is on; never zero.
    let modseq = Code::HighestModSeq(mailbox.highest_modseq().0.max(1));
    response::untagged_status(out, Status::Ok, Some(&modseq), "the newest change");
    // RFC 8474 §4.2
    let id = Code::MailboxId(object_id::of_mailbox(mailbox.id(), place.owner()));
    response::untagged_status(out, Status::Ok, Some(&id), "the mailbox's id");
    // RFC 4467 §8; others' mailboxes have no URLs of ours.
    if is_private && place.other.is_none() {
        let text = "how URLs are authorized";
        response::untagged_status(out, Status::Ok, Some(&Code::URL_MECH), text);
    }
    if rev2 {
        // RFC 9051 §6.3.2: LIST is a required response, and its attributes are accurate.
        let listed = match &place.other {
            None => list::of_mailbox(view, mailbox),
            Some(other) => {
                let subscriptions = session.login.as_ref().map(|login| login.account.view());
                list::of_others_mailbox(other, mailbox, subscriptions.as_deref())
            }
        };
        let attributes = listed.attributes(true, true);
        write_list_line(out, "LIST", &attributes, &place.shown_name(), form);
    }
}

/// The flags there are: the system's and the account's keywords.
fn flags(view: &View) -> Vec<Flag> {
    let keywords = view.keywords().iter().take(KEYWORDS_LISTED_MAX);
    SystemFlag::ALL
        .into_iter()
        .map(Flag::System)
        .chain(keywords.map(|name| Flag::Keyword(name.to_string())))
        .collect()
}

/// RFC 4314 §4: the flags that the user may change.
fn permanent_flags(view: &View, rights: Rights) -> Code {
    let untouched = untouched(rights);
    let all = flags(view).into_iter();
    let permitted = all.filter(|flag| {
        let flag = mailbox_model::Flag::parse(flag.as_str());
        flag.is_some_and(|flag| !untouched.names(&flag))
    });
    Code::PermanentFlags(permitted.collect(), !untouched.others)
}

/// The untagged FLAGS response.
pub(crate) fn write_flags(out: &mut Vec<u8>, view: &View) {
    out.extend_from_slice(b"* FLAGS ");
    let flags = flags(view);
    response::write_flags(out, flags.iter().map(Flag::as_str));
    out.extend_from_slice(b"\r\n");
}
