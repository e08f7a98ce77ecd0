//! CREATE (RFC 9051 §6.3.4; USE: RFC 6154 §3).

use crate::object_id;
use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use imap_proto::response::Code;
use imap_proto::{MailboxName, SpecialUse};
use mailbox_model::Role;

pub(crate) async fn run(
    session: &mut Session,
    name: &MailboxName,
    special_use: &[SpecialUse],
) -> Executed {
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    let mut role = None;
    match special_use {
        [] => {}
        [one] => {
            role = Role::from_attribute(one.as_str());
            if role.is_none() {
                return Ok(Reply::no(
                    Code::USE_ATTR,
                    "this special use is not supported",
                ));
            }
        }
        _ => {
            return Ok(Reply::no(
                Code::USE_ATTR,
                "a mailbox has at most one special use",
            ));
        }
    }
    let name = match mailbox_model::MailboxName::parse(name.as_str()) {
        Ok(name) => name,
        Err(error) => return Ok(Reply::no(Code::CANNOT, error.to_string())),
    };
    match login.account.create_mailbox(&name, role).await {
        // RFC 8474 §4.1
        Ok(id) => Ok(Reply::ok("created").with_code(Code::MailboxId(object_id::of_mailbox(id)))),
        Err(error) => Ok(store_failed(&error)),
    }
}
