//! GETQUOTA and GETQUOTAROOT (RFC 9208 §4.1): an account has one root, named `""`.
//!
//! What the accounts of a domain may hold together is no root: what the others
//! hold is not for a user to know.

use crate::access::Whose;
use crate::reply::{Executed, Reply};
use crate::session::Session;
use imap_proto::MailboxName;
use imap_proto::mailbox_name::write_name;
use imap_proto::response::{self, Code};
use mailstore::Rights;

/// RFC 9208 §5.1: STORAGE counts in units of so many octets.
const UNIT: u64 = 1024;

pub(crate) fn of_root(session: &mut Session, root: &[u8]) -> Reply {
    if !root.is_empty() {
        return Reply::no(Code::NON_EXISTENT, "there is no such quota root");
    }
    write(session);
    Reply::ok("that is the quota")
}

/// RFC 9208 §4.1.1: for who may. Here that is who runs the system, and by other means.
pub(crate) fn set() -> Reply {
    Reply::no(Code::NO_PERM, "the operator says what accounts may hold")
}

/// The mailbox may be one that is not there yet (RFC 9208 §4.1.3).
pub(crate) async fn of_mailbox(session: &mut Session, mailbox: &MailboxName) -> Executed {
    let own = match session.whose(mailbox).await {
        Ok(Whose::Own(..) | Whose::Nobody) => true,
        // RFC 4314 §4: `r`. What another may hold is not for a user to know: no root.
        Ok(Whose::Other(..)) => match session.place(mailbox, Rights::READ).await {
            Ok(_) => false,
            Err(reply) => return Ok(reply),
        },
        Err(reply) => return Ok(reply),
    };
    let form = session.name_form();
    session.out.extend_from_slice(b"* QUOTAROOT ");
    write_name(&mut session.out, mailbox.as_str(), form);
    if !own {
        session.out.extend_from_slice(b"\r\n");
        return Ok(Reply::ok("its owner has the quota"));
    }
    session.out.extend_from_slice(b" \"\"\r\n");
    write(session);
    Ok(Reply::ok("that is the quota"))
}

/// Resources without a limit are left out.
fn write(session: &mut Session) {
    let Some(login) = &session.login else {
        return;
    };
    let (limits, usage) = (login.account.quota_limits(), login.account.view().usage());
    // What is begun is used; what is not whole cannot be.
    let storage = limits.bytes.map(|limit| {
        let used = usage.bytes.div_ceil(UNIT);
        format!("STORAGE {used} {}", limit / UNIT)
    });
    let messages = limits
        .emails
        .map(|limit| format!("MESSAGE {} {limit}", usage.emails));
    let resources: Vec<String> = storage.into_iter().chain(messages).collect();
    let resources = resources.join(" ");
    response::untagged(&mut session.out, format_args!("QUOTA \"\" ({resources})"));
}
