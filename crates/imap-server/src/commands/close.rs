//! CLOSE and UNSELECT (RFC 9051 §6.4.1, §6.4.2).

use crate::reply::{Executed, Reply, SyncMode, store_failed};
use crate::session::Session;
use mailbox_model::stage::Expunging;
use mailstore::Rights;

/// Expunges without telling, then ends the selection.
pub(crate) async fn close(session: &mut Session) -> Executed {
    let Some(selected) = session.selected.take() else {
        return Ok(Reply::bad("select a mailbox first"));
    };
    let newest = selected.account.view();
    let any_deleted = newest
        .mailbox(selected.id)
        .is_some_and(|mailbox| mailbox.counters().deleted > 0);
    // RFC 4314 §4: without the right nothing is expunged, and that is no failure.
    let may = !selected.read_only && selected.rights().has(Rights::EXPUNGE);
    if may
        && any_deleted
        && let Err(error) = selected
            .account
            .expunge(selected.id, Expunging::Deleted)
            .await
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
