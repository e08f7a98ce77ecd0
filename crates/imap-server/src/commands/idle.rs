//! IDLE (RFC 2177, RFC 9051 §6.3.13): changes are told as they come.

use crate::limits::STILL_HERE;
use crate::notify::{self, Idling, Watch};
use crate::reply::{Ended, Executed, Reply};
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
    session.framer.expect_line();
    response::continuation(&mut session.out, "idling");
    let deadline = session
        .ports
        .runtime
        .monotonic()
        .after(session.config.idle_timeout);
    loop {
        // Before the look, so that no change falls between.
        let mut changes = Watch::of(session, Idling::Yes);
        if let Err(reply) = session.look_again().await {
            let text = format!("the selected mailbox cannot be used: {}", reply.text);
            Box::pin(session.bye(&text)).await?;
        }
        Box::pin(notify::tell(session, Idling::Yes)).await?;
        Box::pin(session.flush()).await?;
        match poll_line(session) {
            Some(Said::Done) => return Ok(Reply::ok("idled")),
            Some(Said::Other) => return Ok(Reply::bad("only DONE ends IDLE")),
            Some(Said::Fatal(text)) => {
                Box::pin(session.bye(text)).await?;
                return Err(Ended);
            }
            None => {}
        }
        match wait(session, &mut changes, deadline).await? {
            Woken::Input(0) => return Err(Ended),
            Woken::Input(_) | Woken::Changed => {}
            Woken::StillHere => {
                let text = lang::imap::reply("Still here", session.language);
                response::untagged_status(&mut session.out, Status::Ok, None, &text);
            }
            Woken::Draining => {
                Box::pin(session.bye("the server is going down")).await?;
            }
        }
    }
}

async fn wait(
    session: &mut Session,
    changes: &mut Watch,
    deadline: Monotonic,
) -> Result<Woken, Ended> {
    if session.input.is_empty() {
        session.input = BytesMut::new();
    }
    session.conn.rest();
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
        () = changes.changed() => Woken::Changed,
        () = runtime.sleep(STILL_HERE.min(left)) => Woken::StillHere,
        () = shutdown.draining() => Woken::Draining,
    })
}

/// What the client's line was.
enum Said {
    Done,
    Other,
    /// The stream is lost.
    Fatal(&'static str),
}

fn poll_line(session: &mut Session) -> Option<Said> {
    let step = session.framer.poll(&session.input);
    let consumed = step.consumed;
    let done = step.event.map(|event| match event {
        Event::Line(line) if line.trim_ascii().eq_ignore_ascii_case(b"DONE") => Said::Done,
        Event::Fatal(text) => Said::Fatal(text),
        _ => Said::Other,
    });
    session.input.advance(consumed);
    done
}
