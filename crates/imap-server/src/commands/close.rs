//! CLOSE and UNSELECT (RFC 9051 §6.4.1, §6.4.2).

use crate::reply::{Executed, Reply, SyncMode, store_failed};
use crate::session::Session;
use mailbox_model::stage::Expunging;

/// Expunges without telling, then ends the selection.
pub(crate) async fn close(session: &mut Session) -> Executed {
    let (Some(selected), Some(login)) = (session.selected.take(), &session.login) else {
        return Ok(Reply::bad("select a mailbox first"));
    };
    let newest = login.account.view();
    let any_deleted = newest
        .mailbox(selected.id)
        .is_some_and(|mailbox| mailbox.counters().deleted > 0);
    if !selected.read_only
        && any_deleted
        && let Err(error) = login.account.expunge(selected.id, Expunging::Deleted).await
    {
        return Ok(store_failed(&error).with_sync(SyncMode::Nothing));
    }
    Ok(Reply::ok("closed").with_sync(SyncMode::Nothing))
}

/// Ends the selection and nothing else.
pub(crate) fn unselect(session: &mut Session) -> Reply {
    session.selected = None;
    Reply::ok("unselected").with_sync(SyncMode::Nothing)
}
