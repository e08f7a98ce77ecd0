//! NAMESPACE (RFC 2342, RFC 9051 §6.3.10): one personal namespace without a prefix.

use crate::reply::Reply;
use crate::session::Session;
use imap_proto::response;

pub(crate) fn run(session: &mut Session) -> Reply {
    response::untagged(
        &mut session.out,
        format_args!("NAMESPACE ((\"\" \"/\")) NIL NIL"),
    );
    Reply::ok("one namespace")
}
