//! APPEND (RFC 9051 §6.3.12; UIDPLUS: RFC 4315): the message streams into a blob.

use crate::commands::select::find;
use crate::limits::{APPEND_PIECE_BYTES, BINARY_APPEND_BYTES_MAX, DISCARDED_BYTES_MAX};
use crate::reply::{Ended, Reply, store_failed};
use crate::session::Session;
use blobs::{BlobWriter, StagedBlob};
use bytes::{Buf as _, Bytes};
use imap_proto::response::{self, Code};
use imap_proto::{AppendHead, DateTime, ErrorKind, Event, LiteralHead, ParseError};
use mailbox_model::{Flag, MailboxId, Usage};
use mailstore::{Account, InternalDate, NewEmail, StoreError};
use mime::{Digest, Indexer};
use std::sync::Arc;

/// Receives the message that the framer announced, or refuses it before it is sent.
pub(crate) async fn handle(
    session: &mut Session,
    head: Result<AppendHead, ParseError>,
    literal: LiteralHead,
) -> Result<(), Ended> {
    let head = match head {
        Ok(head) => head,
        Err(error) => {
            let reply = match error.kind {
                ErrorKind::Mailbox(why) => Reply::no(Code::CANNOT, why.to_string()),
                other => Reply::bad(other.to_string()),
            };
            return match error.tag {
                Some(tag) => refuse(session, &tag, reply).await,
                None => Err(Ended),
            };
        }
    };
    match check(session, &head, literal) {
        Ok((account, mailbox)) => {
            if session.framer.accept_append() {
                response::continuation(&mut session.out, "OK");
                session.flush().await?;
            }
            let reply = match receive(session, &account, literal).await? {
                Ok(message) => store(&account, mailbox, &head, message, session).await,
                Err(reply) => reply,
            };
            session.finish(&head.tag, reply).await
        }
        Err(reply) => refuse(session, &head.tag, reply).await,
    }
}

async fn refuse(session: &mut Session, tag: &imap_proto::Tag, reply: Reply) -> Result<(), Ended> {
    let in_step = session.framer.refuse_append(DISCARDED_BYTES_MAX);
    session.finish(tag, reply).await?;
    if in_step {
        return Ok(());
    }
    session.bye("more is coming than will be thrown away").await
}

/// May the message come in? Asked before it is sent.
fn check(
    session: &Session,
    head: &AppendHead,
    literal: LiteralHead,
) -> Result<(Arc<Account>, MailboxId), Reply> {
    let Some(login) = &session.login else {
        return Err(Reply::bad("log in first"));
    };
    let view = login.account.view();
    let Some(mailbox) = find(&view, &head.mailbox) else {
        return Err(Reply::no(
            Code::TRY_CREATE,
            "there is no such mailbox; create it first",
        ));
    };
    if literal.size > session.config.append_bytes_max {
        let max = session.config.append_bytes_max;
        return Err(Reply::no(
            Code::TOO_BIG,
            format!("a message has at most {max} bytes"),
        ));
    }
    if literal.size == 0 {
        // RFC 3502 §6.3.11: an empty literal cancels.
        return Err(Reply::no(Code::CANNOT, "an empty message is not kept"));
    }
    let more = Usage {
        bytes: literal.size,
        emails: 1,
    };
    if let Err(over) = login.account.check_room(more) {
        return Err(Reply::no(Code::OVER_QUOTA, over.to_string()));
    }
    Ok((Arc::clone(&login.account), mailbox.id()))
}

/// A message on its way into the store.
struct Intake {
    writer: BlobWriter,
    indexer: Indexer,
    /// A CR ended the last piece, so that an LF at the next one's start is no bare one.
    after_cr: bool,
}

/// A message that came in whole.
struct Message {
    blob: StagedBlob,
    digest: Digest,
}

impl Intake {
    /// Takes a piece, with bare LFs made into CRLFs: what every reader of the
    /// message relies on.
    fn push(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        let mut rest = piece;
        if self.after_cr && rest.first() == Some(&b'\n') {
            self.put(b"\n")?;
            rest = &rest[1..];
        }
        self.after_cr = piece.last() == Some(&b'\r');
        let normal = mime::normalise_line_ends(rest);
        self.put(&normal)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.writer.push(bytes)?;
        self.indexer.push(bytes);
        Ok(())
    }

    fn finish(self) -> Result<Message, StoreError> {
        Ok(Message {
            blob: self.writer.finish()?,
            digest: self.indexer.finish(),
        })
    }
}

/// Takes the message's octets to the end, even when they turn out to be refused.
async fn receive(
    session: &mut Session,
    account: &Account,
    literal: LiteralHead,
) -> Result<Result<Message, Reply>, Ended> {
    let mut intake = Some(Intake {
        writer: session.ports.blobs.writer(account.shard()),
        indexer: Indexer::new(mime::Limits::default()),
        after_cr: false,
    });
    let mut refusal = None;
    // RFC 3516 §4.4: only a literal8 may hold NUL. It is gathered, because its parts decide.
    let gathers = literal.binary && literal.size <= BINARY_APPEND_BYTES_MAX;
    let room = usize::try_from(literal.size)
        .map_or(APPEND_PIECE_BYTES, |size| size.min(APPEND_PIECE_BYTES));
    let mut piece: Vec<u8> = Vec::with_capacity(room);
    loop {
        let step = session.framer.poll(&session.input);
        let consumed = step.consumed;
        let mut ended = None;
        let mut lost = None;
        let mut waits = false;
        match step.event {
            Some(Event::AppendData(data)) if refusal.is_none() => piece.extend_from_slice(data),
            Some(Event::AppendEnd(result)) => ended = Some(result),
            Some(Event::Fatal(text)) => lost = Some(text),
            Some(_) => {}
            None => waits = true,
        }
        session.input.advance(consumed);
        if let Some(text) = lost {
            session.bye(text).await?;
        }
        if !gathers && piece.contains(&0) {
            refusal = Some(stray_nul());
            intake = None;
            piece = Vec::new();
        }
        let full = piece.len() >= APPEND_PIECE_BYTES && !gathers;
        if full || (ended.is_some() && !piece.is_empty()) {
            let full = std::mem::take(&mut piece);
            if let Some(taken) = intake.take() {
                let pushed = match gathers {
                    true => push_binary(session, taken, full).await,
                    false => push(session, taken, full).await,
                };
                match pushed {
                    Ok(taken) => intake = Some(taken),
                    Err(reply) => refusal = Some(reply),
                }
            }
        }
        if let Some(result) = ended {
            if let Err(text) = result {
                return Ok(Err(Reply::bad(text)));
            }
            return Ok(match (refusal, intake) {
                (None, Some(intake)) => finish(session, intake).await,
                (Some(refusal), _) => Err(refusal),
                (None, None) => Err(unreceived()),
            });
        }
        if waits {
            session.wait_for_input().await?;
        }
    }
}

/// RFC 9051 §9: `literal` holds no NUL; and headers and encoded parts cannot be given another encoding.
fn stray_nul() -> Reply {
    Reply::no(
        Code::UNKNOWN_CTE,
        "NUL is taken only in parts without transfer encoding, in a binary literal",
    )
}

fn unreceived() -> Reply {
    Reply::no(Code::UNAVAILABLE, "the message was not taken")
}

/// Compressing and writing a long message takes a while: not on an async worker.
async fn push(session: &Session, mut intake: Intake, piece: Vec<u8>) -> Result<Intake, Reply> {
    let short = piece.len() < APPEND_PIECE_BYTES && intake.writer.size() == 0;
    let work = move || intake.push(&piece).map(|()| intake);
    let pushed = if short {
        work()
    } else {
        session.ports.runtime.blocking(work).await
    };
    pushed.map_err(|error| store_failed(&error))
}

/// A whole message with binary parts: they become base64, so that every client can have them.
async fn push_binary(
    session: &Session,
    mut intake: Intake,
    message: Vec<u8>,
) -> Result<Intake, Reply> {
    let work = move || {
        let encoded = mime::encode_binary_parts(&message).map_err(|_| stray_nul())?;
        match intake.push(&encoded) {
            Ok(()) => Ok(intake),
            Err(error) => Err(store_failed(&error)),
        }
    };
    session.ports.runtime.blocking(work).await
}

async fn finish(session: &Session, intake: Intake) -> Result<Message, Reply> {
    let done = session
        .ports
        .runtime
        .blocking(move || intake.finish())
        .await;
    done.map_err(|error| store_failed(&error))
}

async fn store(
    account: &Arc<Account>,
    mailbox: MailboxId,
    head: &AppendHead,
    message: Message,
    session: &Session,
) -> Reply {
    let now = DateTime {
        unix_s: i64::try_from(session.ports.runtime.now().unix_seconds()).unwrap_or_default(),
        offset_min: 0,
    };
    let date = head.date.unwrap_or(now);
    let email = NewEmail {
        blob: message.blob.id,
        blob_size: message.blob.size,
        prefix: Bytes::new(),
        digest: message.digest.encode().into(),
        received_at: InternalDate {
            unix_seconds: date.unix_s,
            zone_minutes: date.offset_min,
        },
        flags: head
            .flags
            .iter()
            .filter_map(|flag| Flag::parse(flag.as_str()))
            .collect(),
    };
    match account.append(mailbox, vec![message.blob], &[email]).await {
        Ok(done) => {
            let uid = done.emails.first().map_or(0, |(_, uid)| uid.0);
            Reply::ok("appended").with_code(Code::AppendUid(done.uid_validity.0, uid))
        }
        Err(error) => store_failed(&error),
    }
}
