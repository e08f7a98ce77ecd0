//! SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8). The name need not be a mailbox.

use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use imap_proto::MailboxName;
use imap_proto::response::Code;

pub(crate) async fn subscribe(session: &mut Session, name: &MailboxName) -> Executed {
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    let Ok(name) = mailbox_model::MailboxName::parse(name.as_str()) else {
        return Ok(Reply::no(Code::CANNOT, "the name is too long or too deep"));
    };
    match login.account.subscribe_mailbox(&name).await {
        Ok(()) => Ok(Reply::ok("subscribed")),
        Err(error) => Ok(store_failed(&error)),
    }
}

pub(crate) async fn unsubscribe(session: &mut Session, name: &MailboxName) -> Executed {
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    let Ok(name) = mailbox_model::MailboxName::parse(name.as_str()) else {
        return Ok(Reply::ok("it was not subscribed"));
    };
    match login.account.unsubscribe_mailbox(&name).await {
        Ok(()) => Ok(Reply::ok("unsubscribed")),
        Err(error) => Ok(store_failed(&error)),
    }
}
