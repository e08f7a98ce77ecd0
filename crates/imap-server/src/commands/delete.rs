//! DELETE (RFC 9051 §6.3.5).

use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use imap_proto::MailboxName;
use imap_proto::response::{self, Code, Status};

pub(crate) async fn run(session: &mut Session, name: &MailboxName) -> Executed {
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    let Ok(name) = mailbox_model::MailboxName::parse(name.as_str()) else {
        return Ok(Reply::no(Code::NON_EXISTENT, "there is no such mailbox"));
    };
    let id = login.account.view().mailbox_named(&name).map(|m| m.id());
    if let Err(error) = login.account.delete_mailbox(&name).await {
        return Ok(store_failed(&error));
    }
    // Deleting what one has selected is permitted, and ends the selection.
    if session.selected.as_ref().is_some_and(|s| Some(s.id) == id) {
        session.selected = None;
        let out = &mut session.out;
        response::untagged_status(out, Status::Ok, Some(&Code::CLOSED), "it was selected");
    }
    Ok(Reply::ok("deleted"))
}
