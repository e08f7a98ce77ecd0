//! COPY and MOVE with their UID forms (RFC 9051 §6.4.7, §6.4.8; UIDPLUS: RFC 4315).

use crate::commands::qresync;
use crate::commands::select::find;
use crate::reply::{Executed, Reply, SyncMode, store_failed};
use crate::selected::OwnStore;
use crate::session::Session;
use imap_proto::response::{self, Code, Status};
use imap_proto::{MailboxName, SequenceSet};
use mailbox_model::{MailboxId, UidSet};
use mailstore::Transferred;

pub(crate) async fn copy(
    session: &mut Session,
    uid: bool,
    set: &SequenceSet,
    name: &MailboxName,
) -> Executed {
    let (from, to, uids) = match resolve(session, uid, set, name) {
        Ok(found) => found,
        Err(reply) => return Ok(reply),
    };
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    match login.account.copy(from, to, &uids).await {
        Ok(done) => Ok(match code(&done) {
            Some(code) => Reply::ok("copied").with_code(code),
            None => Reply::ok("there was nothing to copy"),
        }),
        Err(error) => Ok(store_failed(&error)),
    }
}

pub(crate) async fn move_(
    session: &mut Session,
    uid: bool,
    set: &SequenceSet,
    name: &MailboxName,
) -> Executed {
    if session.selected.as_ref().is_some_and(|s| s.read_only) {
        return Ok(Reply::no(
            Code::READ_ONLY,
            "the mailbox was opened by EXAMINE",
        ));
    }
    let (from, to, uids) = match resolve(session, uid, set, name) {
        Ok(found) => found,
        Err(reply) => return Ok(reply),
    };
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    let done = match login.account.move_(from, to, &uids).await {
        Ok(done) => done,
        Err(error) => return Ok(store_failed(&error)),
    };
    // RFC 6851 §4.3: COPYUID goes out before the expunges, untagged.
    if let Some(code) = code(&done) {
        response::untagged_status(&mut session.out, Status::Ok, Some(&code), "moved");
    }
    session.sync(SyncMode::Everything, OwnStore::None).await?;
    qresync::with_state(session, Reply::ok("moved")).await
}

fn resolve(
    session: &Session,
    uid: bool,
    set: &SequenceSet,
    name: &MailboxName,
) -> Result<(MailboxId, MailboxId, UidSet), Reply> {
    let Some(selected) = &session.selected else {
        return Err(Reply::bad("select a mailbox first"));
    };
    let Ok(ranks) = selected.ranks(set, uid) else {
        return Err(Reply::bad("there is no message of that number"));
    };
    let view = session.view();
    let target = view.as_ref().and_then(|view| find(view, name));
    let Some(target) = target else {
        return Err(Reply::no(
            Code::TRY_CREATE,
            "there is no such mailbox; create it first",
        ));
    };
    Ok((selected.id, target.id(), selected.uids(&ranks)))
}

fn code(done: &Transferred) -> Option<Code> {
    if done.uids.is_empty() {
        return None;
    }
    let (from, to) = done.uids.iter().map(|(from, to)| (from.0, to.0)).unzip();
    Some(Code::CopyUid(done.uid_validity.0, from, to))
}
