//! RENAME (RFC 9051 §6.3.6).

use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use imap_proto::MailboxName;
use imap_proto::response::Code;

pub(crate) async fn run(session: &mut Session, from: &MailboxName, to: &MailboxName) -> Executed {
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    let names = (
        mailbox_model::MailboxName::parse(from.as_str()),
        mailbox_model::MailboxName::parse(to.as_str()),
    );
    let (Ok(from), Ok(to)) = names else {
        return Ok(Reply::no(Code::CANNOT, "a name is too long or too deep"));
    };
    match login.account.rename_mailbox(&from, &to).await {
        Ok(()) => Ok(Reply::ok("renamed")),
        Err(error) => Ok(store_failed(&error)),
    }
}
