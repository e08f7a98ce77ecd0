//! GETJMAPACCESS (RFC 9698): where the same mail is by JMAP, under the same ids.

use crate::reply::{Executed, Reply};
use crate::session::Session;
use imap_proto::response;

pub(crate) fn run(session: &mut Session) -> Executed {
    // Where there is none the command is not there either.
    let Some(url) = session.config.jmap_session.clone() else {
        return Ok(Reply::bad("unknown command"));
    };
    session.out.extend_from_slice(b"* JMAPACCESS ");
    response::write_string(&mut session.out, url.as_bytes());
    session.out.extend_from_slice(b"\r\n");
    Ok(Reply::ok("that is where it is"))
}
