//! EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).

use crate::access::no_right;
use crate::commands::qresync;
use crate::reply::{Executed, Reply, SyncMode, store_failed};
use crate::session::Session;
use imap_proto::SequenceSet;
use imap_proto::response::Code;
use mailbox_model::stage::Expunging;
use mailstore::Rights;

pub(crate) async fn run(session: &mut Session, set: Option<&SequenceSet>) -> Executed {
    let Some(selected) = &session.selected else {
        return Ok(Reply::bad("select a mailbox first"));
    };
    if selected.read_only {
        return Ok(Reply::no(
            Code::READ_ONLY,
            "the mailbox was opened by EXAMINE",
        ));
    }
    if !selected.rights().has(Rights::EXPUNGE) {
        return Ok(no_right());
    }
    let uids = match set.map(|set| selected.ranks(set, true)) {
        Some(Ok(ranks)) => Some(selected.uids(&ranks)),
        Some(Err(_)) => return Ok(Reply::bad("no such message")),
        None => None,
    };
    let which = match &uids {
        Some(uids) => Expunging::DeletedAmong(uids),
        None => Expunging::Deleted,
    };
    if let Err(error) = selected.account.expunge(selected.id, which).await {
        return Ok(store_failed(&error));
    }
    let reply = Reply::ok("expunged").with_sync(SyncMode::Everything);
    qresync::with_state(session, reply).await
}
