//! NAMESPACE (RFC 2342, RFC 9051 §6.3.10): a personal namespace without a
//! prefix, and that of other users. What is shared is in its owner's.

use crate::access::OTHERS;
use crate::reply::Reply;
use crate::session::Session;
use imap_proto::response;

pub(crate) fn run(session: &mut Session) -> Reply {
    response::untagged(
        &mut session.out,
        format_args!("NAMESPACE ((\"\" \"/\")) ((\"{OTHERS}/\" \"/\")) NIL"),
    );
    Reply::ok("two namespaces")
}
