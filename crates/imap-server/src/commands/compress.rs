//! COMPRESS (RFC 4978 §3).

use crate::reply::{Ended, Executed, Reply, SyncMode};
use crate::session::Session;
use imap_proto::Tag;
use imap_proto::response::{self, Code, Status};

pub(crate) async fn run(session: &mut Session, tag: &Tag, algorithm: &str) -> Executed {
    if algorithm != "DEFLATE" {
        let text = "DEFLATE is the only algorithm";
        return Ok(Reply::bad(text).with_sync(SyncMode::Nothing));
    }
    if session.conn.is_compressed() {
        let text = "the connection is compressed already";
        return Ok(Reply::no(Code::COMPRESSION_ACTIVE, text));
    }
    // RFC 4978 §3: the client waits for the answer. What stands behind the command is
    // neither command nor compressed.
    if !session.input.is_empty() {
        session.bye("wait for the answer to COMPRESS").await?;
        return Err(Ended);
    }
    let text = "compressed from here on";
    response::tagged(&mut session.out, Some(tag), Status::Ok, None, text);
    session.flush().await?;
    session.conn.compress();
    Ok(Reply::already_sent())
}
