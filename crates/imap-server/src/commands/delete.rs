//! DELETE (RFC 9051 §6.3.5).

use crate::access::{Whose, no_mailbox};
use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use imap_proto::MailboxName;
use imap_proto::response::{self, Code, Status};
use mailstore::Rights;

pub(crate) async fn run(session: &mut Session, name: &MailboxName) -> Executed {
    let (account, name) = match session.whose(name).await {
        Ok(Whose::Own(account, name)) => (account, name),
        Ok(Whose::Other(other, own_name)) => {
            // RFC 4314 §4
            if let Err(reply) = session.place(name, Rights::DELETE_MAILBOX).await {
                return Ok(reply);
            }
            (other.account, own_name)
        }
        Ok(Whose::Nobody) => return Ok(no_mailbox()),
        Err(reply) => return Ok(reply),
    };
    let id = account.view().mailbox_named(&name).map(|m| m.id());
    if let Err(error) = account.delete_mailbox(&name).await {
        return Ok(store_failed(&error));
    }
    // Deleting what one has selected is permitted, and ends the selection.
    let selected = session.selected_of(&account);
    if selected.is_some_and(|selected| Some(selected.id) == id) {
        session.selected = None;
        let out = &mut session.out;
        response::untagged_status(out, Status::Ok, Some(&Code::CLOSED), "it was selected");
    }
    Ok(Reply::ok("deleted"))
}
