//! STARTTLS (RFC 9051 §6.2.1).

use crate::config::TlsMode;
use crate::reply::{Ended, Executed, Reply};
use crate::session::Session;
use imap_proto::response::{self, Status};
use imap_proto::{Framer, Tag};

pub(crate) async fn run(session: &mut Session, tag: &Tag) -> Executed {
    let TlsMode::StartTls(tls) = session.config.tls.clone() else {
        return Ok(Reply::bad("TLS is not offered here"));
    };
    if session.conn.is_tls() {
        return Ok(Reply::bad("TLS is on already"));
    }
    response::tagged(
        &mut session.out,
        Some(tag),
        Status::Ok,
        None,
        "begin TLS now",
    );
    session.flush().await?;
    // THREATS 2: what was pipelined behind STARTTLS is never taken for commands
    // under TLS; there is no honest reason to send it, so the session ends.
    if let Err(error) = session.conn.start_tls_after(&tls, &session.input).await {
        tracing::debug!(session = session.id, %error, "imap: STARTTLS failed");
        return Err(Ended);
    }
    // RFC 9051 §6.2.1 (MUST): what was known before is forgotten; there is no
    // second tagged response.
    session.framer = Framer::new();
    Ok(Reply::already_sent())
}
