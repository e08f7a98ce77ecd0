//! NAMESPACE (RFC 2342, RFC 9051 §6.3.10): a personal namespace without a
//! prefix, that of other users, and that of shared accounts for those who see one of them.

use crate::access::{OTHERS, SHARED};
use crate::reply::{Executed, Reply};
use crate::session::Session;
use imap_proto::mailbox_name::write_name;
use lang::Lang;

pub(crate) async fn run(session: &mut Session) -> Executed {
    Ok(match write(session).await {
        Ok(()) => Reply::ok("those are the namespaces"),
        Err(reply) => reply,
    })
}

/// The response; with what namespaces are called in the session's language (RFC 5255 §3.4).
pub(super) async fn write(session: &mut Session) -> Result<(), Reply> {
    let others = session.others().await?;
    let is_shared = others.iter().any(|other| other.is_shared());
    session
        .out
        .extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) ");
    write_one(session, OTHERS, lang::imap::other_users(session.language));
    session.out.push(b' ');
    match is_shared {
        true => write_one(session, SHARED, lang::imap::shared(session.language)),
        false => session.out.extend_from_slice(b"NIL"),
    }
    session.out.extend_from_slice(b"\r\n");
    Ok(())
}

fn write_one(session: &mut Session, name: &str, translated: &str) {
    let form = session.name_form();
    let out = &mut session.out;
    out.extend_from_slice(b"((");
    write_name(out, &format!("{name}/"), form);
    out.extend_from_slice(b" \"/\"");
    if session.language != Lang::En {
        out.extend_from_slice(b" \"TRANSLATION\" (");
        write_name(out, &format!("{translated}/"), form);
        out.push(b')');
    }
    out.extend_from_slice(b"))");
}
