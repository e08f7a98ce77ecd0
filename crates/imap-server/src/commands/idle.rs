//! IDLE (RFC 2177, RFC 9051 §6.3.13): changes are told as they come.

use crate::limits::STILL_HERE;
use crate::reply::{Ended, Executed, Reply, SyncMode};
use crate::selected::Silenced;
use crate::session::Session;
use bytes::{Buf as _, BytesMut};
use imap_proto::Event;
use imap_proto::response::{self, Status};
use runtime::Monotonic;

/// What ended a wait.
enum Woken {
    Input(usize),
    Changed,
    StillHere,
    Draining,
}

pub(crate) async fn run(session: &mut Session) -> Executed {
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    // Subscribed before the first look, so that no change falls between.
    let mut changes = login.account.subscribe();
    session.framer.expect_line();
    response::continuation(&mut session.out, "idling");
    let deadline = session
        .ports
        .runtime
        .monotonic()
        .after(session.config.idle_timeout);
    loop {
        changes.borrow_and_update();
        Box::pin(session.sync(SyncMode::Everything, Silenced::default())).await?;
        Box::pin(session.flush()).await?;
        if let Some(done) = poll_line(session) {
            return Ok(if done {
                Reply::ok("idled")
            } else {
                Reply::bad("only DONE ends IDLE")
            });
        }
        match wait(session, &mut changes, deadline).await? {
            Woken::Input(0) => return Err(Ended),
            Woken::Input(_) | Woken::Changed => {}
            Woken::StillHere => {
                let out = &mut session.out;
                response::untagged_status(out, Status::Ok, None, "Still here");
            }
            Woken::Draining => {
                Box::pin(session.bye("the server is going down")).await?;
            }
        }
    }
}

async fn wait(
    session: &mut Session,
    changes: &mut tokio::sync::watch::Receiver<mailbox_model::ModSeq>,
    deadline: Monotonic,
) -> Result<Woken, Ended> {
    if session.input.is_empty() {
        session.input = BytesMut::new();
    }
    let runtime = &session.ports.runtime;
    let left = deadline.since(runtime.monotonic());
    if left.is_zero() {
        // RFC 9051 §6.3.13: a client that idles for too long may be logged off.
        Box::pin(session.bye("you were silent for too long")).await?;
        return Err(Ended);
    }
    let shutdown = runtime.shutdown();
    Ok(tokio::select! {
        read = session.conn.read(&mut session.input) => Woken::Input(read?),
        // The account's end shows as a session without changes, not as an error.
        Ok(()) = changes.changed() => Woken::Changed,
        () = runtime.sleep(STILL_HERE.min(left)) => Woken::StillHere,
        () = shutdown.draining() => Woken::Draining,
    })
}

/// True for DONE, false for another line.
fn poll_line(session: &mut Session) -> Option<bool> {
    let step = session.framer.poll(&session.input);
    let consumed = step.consumed;
    let done = step.event.map(|event| match event {
        Event::Line(line) => line.trim_ascii().eq_ignore_ascii_case(b"DONE"),
        _ => false,
    });
    session.input.advance(consumed);
    done
}
