//! EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).

use crate::access::no_right;
use crate::commands::qresync;
use crate::reply::{Executed, Reply, SyncMode, store_failed};
use crate::session::Session;
use imap_proto::SequenceSet;
use imap_proto::response::Code;
use mailbox_model::Uid;
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
    let max = session.messages_max();
    let mut lowest = None;
    let mut uids = match set.map(|set| selected.ranks(set, true)) {
        Some(Ok(ranks)) => Some(selected.uids(&ranks)),
        Some(Err(_)) => return Ok(Reply::bad("no such message")),
        None => None,
    };
    if let (Some(named), Some(max)) = (&uids, max) {
        // RFC 9738 §3: the last so many of those that would go.
        let deleted = named.iter().filter(|uid| {
            let found = selected.find(*uid);
            found.is_some_and(|(_, entry)| entry.deleted)
        });
        let deleted: Vec<Uid> = deleted.collect();
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let left = deleted.len().saturating_sub(max);
        if left > 0 {
            lowest = deleted.get(left).copied();
            uids = Some(deleted.into_iter().skip(left).collect());
        }
    }
    let which = match &uids {
        Some(uids) => Expunging::DeletedAmong(uids),
        None => Expunging::Deleted,
    };
    if let Err(error) = selected.account.expunge(selected.id, which).await {
        return Ok(store_failed(&error));
    }
    let reply = Reply::ok("expunged").with_sync(SyncMode::Everything);
    let reply = qresync::with_state(session, reply).await?;
    Ok(session.limited(reply, lowest))
}
