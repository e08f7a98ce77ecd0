//! NAMESPACE (RFC 2342, RFC 9051 §6.3.10): a personal namespace without a
//! prefix, and that of other users. What is shared is in its owner's.

use crate::access::OTHERS;
use crate::reply::Reply;
use crate::session::Session;
use imap_proto::mailbox_name::write_name;
use lang::Lang;

pub(crate) fn run(session: &mut Session) -> Reply {
    write(session);
    Reply::ok("two namespaces")
}

/// The response; with what other users are called in the session's language (RFC 5255 §3.4).
pub(super) fn write(session: &mut Session) {
    let form = session.name_form();
    let out = &mut session.out;
    out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) ((");
    write_name(out, &format!("{OTHERS}/"), form);
    out.extend_from_slice(b" \"/\"");
    if session.language != Lang::En {
        let translated = lang::imap::other_users(session.language);
        out.extend_from_slice(b" \"TRANSLATION\" (");
        write_name(out, &format!("{translated}/"), form);
        out.push(b')');
    }
    out.extend_from_slice(b")) NIL\r\n");
}
