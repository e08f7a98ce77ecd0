//! APPEND (RFC 9051 §6.3.12; UIDPLUS: RFC 4315) with several messages (RFC 3502) and
//! messages put together (RFC 4469), and REPLACE (RFC 8508): messages stream into blobs.
//! All of them come in, or none.

use crate::Ports;
use crate::access::no_right;
use crate::commands::qresync;
use crate::commands::store::{mark_seen, untouched};
use crate::commands::uid_required;
use crate::events;
use crate::limits::{
    APPEND_PIECE_BYTES, APPEND_RECORDS_BYTES_MAX, BINARY_APPEND_BYTES_MAX, DISCARDED_BYTES_MAX,
};
use crate::reply::{Ended, Executed, Reply, SyncMode, store_failed};
use crate::selected::OwnStore;
use crate::session::Session;
use crate::urls::{Named, UrlError};
use blobs::{BlobWriter, StagedBlob};
use bytes::{Buf as _, Bytes};
use envelope::AccountId;
use imap_proto::response::{self, Code, Status};
use imap_proto::{
    AppendHead, AppendPart, DateTime, ErrorKind, Event, LiteralHead, ParseError, Replaced, Tag,
};
use mailbox_model::stage::Untouched;
use mailbox_model::{Flag, MailboxId, Uid, UidSet, Usage};
use mailstore::{Account, Appended, InternalDate, NewEmail, Rights, StoreError};
use mime::{Digest, Indexer};
use std::sync::Arc;

/// Receives the messages of a command, or refuses them before they are sent.
pub(crate) async fn handle(
    session: &mut Session,
    head: Result<AppendHead, ParseError>,
    mut literal: Option<LiteralHead>,
) -> Result<(), Ended> {
    let head = match head {
        Ok(head) => head,
        Err(error) if literal.is_none() => return session.refuse_command(&error).await,
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
    let tag = head.tag.clone();
    let mut work = match Appending::begin(session, &head).await {
        Ok(work) => work,
        Err(reply) => return refuse(session, &tag, reply).await,
    };
    let mut parts = head.parts;
    loop {
        let mut taken = work.take(session, parts).await;
        if let (Ok(()), Some(literal)) = (&taken, literal) {
            taken = work.check(session, literal);
        }
        if let Err(reply) = taken {
            return refuse(session, &tag, reply).await;
        }
        let Some(announced) = literal else {
            let reply = work.store(session).await?;
            return session.finish(&tag, reply).await;
        };
        if session.framer.accept_append() {
            response::continuation(&mut session.out, "OK");
            session.flush().await?;
        }
        let (received, then) = receive(session, &mut work, announced).await?;
        match (received, then) {
            // Behind what is refused the rest of the command is thrown away.
            (Err(reply), Then::Next(..)) => return refuse(session, &tag, reply).await,
            (_, Then::End(Err(text))) => return session.finish(&tag, Reply::bad(text)).await,
            (Err(reply), Then::End(Ok(_))) => return session.finish(&tag, reply).await,
            (Ok(()), Then::Next(more, next)) => (parts, literal) = (more, Some(next)),
            (Ok(()), Then::End(Ok(more))) => (parts, literal) = (more, None),
        }
    }
}

/// Answers a command whose next literal, if there is one, does not come in.
async fn refuse(session: &mut Session, tag: &Tag, reply: Reply) -> Result<(), Ended> {
    let in_step = session.framer.refuse_append(DISCARDED_BYTES_MAX);
    session.finish(tag, reply).await?;
    if in_step {
        return Ok(());
    }
    session.bye("more is coming than will be thrown away").await
}

/// A command with what it has brought so far.
struct Appending {
    account: Arc<Account>,
    mailbox: MailboxId,
    /// Into another's: whose `\Seen` it is, and the flags that he may not set.
    reader: Option<(AccountId, Untouched)>,
    /// REPLACE: what goes in the same change.
    replaced: Option<(MailboxId, Uid)>,
    /// The user may not read the mailbox: its UIDs are not told.
    hidden: bool,
    whole: Vec<(Message, Asked)>,
    /// Octets of the whole ones.
    bytes: u64,
    /// Octets of the whole ones' digests.
    digests: usize,
    current: Option<(Intake, Asked)>,
    /// Octets of the current one.
    size: u64,
    /// The literal that follows is all of the current one.
    is_message: bool,
}

/// What was asked for a message.
struct Asked {
    flags: Vec<Flag>,
    date: Option<DateTime>,
}

impl Appending {
    /// May messages come in? Asked before they are sent.
    async fn begin(session: &Session, head: &AppendHead) -> Result<Self, Reply> {
        if session.login.is_none() {
            return Err(Reply::bad("log in first"));
        }
        let replaced = match head.replaced {
            Some(replaced) => Some(find_replaced(session, replaced)?),
            None => None,
        };
        let place = session.place(&head.mailbox, Rights::INSERT).await;
        let place = place.map_err(|reply| match reply.code {
            Some(Code::Plain("NONEXISTENT")) => try_create(),
            _ => reply,
        })?;
        if replaced.is_some() && session.selected_of(&place.account).is_none() {
            let text = "REPLACE works among the mailboxes of one owner";
            return Err(Reply::no(Code::CANNOT, text));
        }
        let reader = place
            .other
            .as_ref()
            .map(|other| (other.reader(), untouched(place.rights)));
        Ok(Self {
            account: place.account,
            mailbox: place.mailbox.id(),
            reader,
            replaced,
            hidden: !place.rights.has(Rights::READ),
            whole: Vec::new(),
            bytes: 0,
            digests: 0,
            current: None,
            size: 0,
            is_message: false,
        })
    }

    /// Takes what stands between two literals.
    async fn take(&mut self, session: &Session, parts: Vec<AppendPart>) -> Result<(), Reply> {
        for part in parts {
            match part {
                AppendPart::Begin { flags, date } => {
                    if self.replaced.is_some() && !self.whole.is_empty() {
                        return Err(Reply::bad("REPLACE takes one message"));
                    }
                    session.check_saves(self.whole.len() + 1)?;
                    let flags = flags.iter().filter_map(|flag| Flag::parse(flag.as_str()));
                    // RFC 4314 §4: what may not be set is left out.
                    let may = |flag: &Flag| self.reader.is_none_or(|(_, no)| !no.names(flag));
                    let flags = flags.filter(may).collect();
                    let intake = Intake::new(session, &self.account);
                    self.current = Some((intake, Asked { flags, date }));
                    self.size = 0;
                }
                AppendPart::Url(url) => self.take_url(session, &url).await?,
                AppendPart::Message => self.is_message = true,
                AppendPart::Utf8Message if !session.enabled.utf8 => {
                    return Err(Reply::bad("enable UTF8=ACCEPT first"));
                }
                AppendPart::Utf8Message => self.is_message = true,
                AppendPart::Text => self.is_message = false,
                AppendPart::End => self.end(session).await?,
            }
        }
        Ok(())
    }

    /// May so many octets more come in?
    fn check_size(&self, session: &Session, more: u64) -> Result<(), Reply> {
        let size = self.size.saturating_add(more);
        let max = session.config.append_bytes_max;
        if size > max {
            let text = format!("a message has at most {max} bytes");
            return Err(Reply::no(Code::TOO_BIG, text));
        }
        let more = Usage {
            bytes: self.bytes.saturating_add(size),
            emails: self.whole.len() as u64 + 1,
        };
        // What REPLACE takes away counts no more then; the store decides in the end.
        if self.replaced.is_none()
            && let Err(over) = self.account.check_room(more)
        {
            return Err(Reply::no(Code::OVER_QUOTA, over.to_string()));
        }
        Ok(())
    }

    /// May the literal come in?
    fn check(&self, session: &Session, literal: LiteralHead) -> Result<(), Reply> {
        if literal.size == 0 && self.is_message {
            // RFC 3502 §6.3.11: an empty literal cancels.
            return Err(empty());
        }
        self.check_size(session, literal.size)
    }

    /// RFC 4469 §3: URLs of one's own mail, relative to the selected mailbox.
    async fn take_url(&mut self, session: &Session, url: &str) -> Result<(), Reply> {
        let Some(login) = &session.login else {
            return Err(Reply::bad("log in first"));
        };
        let selected = session
            .selected_of(&login.account)
            .map(|selected| selected.id);
        let named = Named::own(&session.urls(), &login.account, selected, url).await;
        let opened = match named {
            Ok(named) => named.open().await,
            Err(error) => Err(error),
        };
        let mut body = opened.map_err(|error| match error {
            UrlError::Unavailable(error) => {
                tracing::error!(session = session.id, %error, "imap: a URL cannot be read");
                Reply::no(Code::UNAVAILABLE, "that is not possible at the moment")
            }
            other => Reply::no(Code::BadUrl(url.to_owned()), other.to_string()),
        })?;
        self.check_size(session, body.size())?;
        while let Some(piece) = body
            .next_piece()
            .await
            .map_err(|error| store_failed(&error))?
        {
            if let Some((intake, asked)) = self.current.take() {
                self.size += piece.len() as u64;
                let intake = push(session, intake, piece.to_vec()).await?;
                self.current = Some((intake, asked));
            }
        }
        Ok(())
    }

    /// The current message is whole.
    async fn end(&mut self, session: &Session) -> Result<(), Reply> {
        let Some((intake, asked)) = self.current.take() else {
            return Ok(());
        };
        if self.size == 0 {
            return Err(empty());
        }
        let message = finish(session, intake).await?;
        self.digests += message.digest.len();
        if !self.whole.is_empty() && self.digests > APPEND_RECORDS_BYTES_MAX {
            let text = "that is too much for one change; append the messages one by one";
            return Err(Reply::no(Code::LIMIT, text));
        }
        self.bytes = self.bytes.saturating_add(self.size);
        self.whole.push((message, asked));
        Ok(())
    }

    /// Keeps what came in.
    async fn store(mut self, session: &mut Session) -> Executed {
        let read = self.take_seen();
        let (account, mailbox, reader) = (Arc::clone(&self.account), self.mailbox, self.reader);
        let now = DateTime {
            unix_s: i64::try_from(session.ports.runtime.now().unix_seconds()).unwrap_or_default(),
            offset_min: 0,
        };
        let mut blobs = Vec::with_capacity(self.whole.len());
        let mut emails = Vec::with_capacity(self.whole.len());
        for (message, asked) in self.whole {
            let date = asked.date.unwrap_or(now);
            emails.push(NewEmail {
                blob: message.blob.id,
                blob_size: message.blob.size,
                prefix: Bytes::new(),
                digest: message.digest,
                received_at: InternalDate {
                    unix_seconds: date.unix_s,
                    zone_minutes: date.offset_min,
                },
                flags: asked.flags,
            });
            blobs.push(message.blob);
        }
        let Some(old) = self.replaced else {
            let done = self.account.append(self.mailbox, blobs, &emails).await;
            return Ok(match done {
                Ok(done) => {
                    note_read(session, (&account, mailbox, reader), &done, &read).await;
                    events::appended(session, &account, mailbox, &done).await;
                    let reply = Reply::ok("appended");
                    match self.hidden {
                        true => reply,
                        false => reply.with_code(append_uid(&done)),
                    }
                }
                Err(error) => store_failed(&error),
            });
        };
        let (Some(blob), Some(email)) = (blobs.pop(), emails.pop()) else {
            return Ok(Reply::bad("REPLACE takes one message"));
        };
        match self.account.replace(old, self.mailbox, blob, email).await {
            Ok(Some(done)) => {
                note_read(session, (&account, mailbox, reader), &done, &read).await;
                events::appended(session, &account, mailbox, &done).await;
                // RFC 8508 §3.4: told before the EXPUNGE.
                let code = Some(append_uid(&done)).filter(|_| !self.hidden);
                let out = &mut session.out;
                response::untagged_status(out, Status::Ok, code.as_ref(), "it is there");
                session.sync(SyncMode::Everything, OwnStore::None).await?;
                qresync::with_state(session, Reply::ok("replaced")).await
            }
            Ok(None) => {
                let text = "the message that was to be replaced is gone";
                Ok(Reply::no(Code::EXPUNGE_ISSUED, text))
            }
            Err(error) => Ok(store_failed(&error)),
        }
    }
}

impl Appending {
    /// Which messages are read already, by the one who puts them into another's mailbox.
    fn take_seen(&mut self) -> Vec<bool> {
        let reader = self.reader.is_some();
        let whole = self.whole.iter_mut();
        let seen = whole.map(|(_, asked)| {
            let seen = reader && asked.flags.contains(&Flag::Seen);
            asked.flags.retain(|flag| !reader || *flag != Flag::Seen);
            seen
        });
        seen.collect()
    }
}

/// `\Seen` of the one who put messages into another's mailbox. That it is not kept is no failure.
async fn note_read(
    session: &Session,
    (account, mailbox, reader): (&Arc<Account>, MailboxId, Option<(AccountId, Untouched)>),
    done: &Appended,
    read: &[bool],
) {
    let uids = done.emails.iter().zip(read).filter(|(_, read)| **read);
    let uids: UidSet = uids.map(|((_, uid), _)| *uid).collect();
    let Some((reader, _)) = reader.filter(|_| !uids.is_empty()) else {
        return;
    };
    if let Err(error) = mark_seen(account, mailbox, Some(reader), &uids).await {
        tracing::warn!(session = session.id, %error, "imap: \\Seen is not kept");
    }
}

/// RFC 9051 §6.3.12: for who may read the mailbox.
fn append_uid(done: &Appended) -> Code {
    let uids = done.emails.iter().map(|(_, uid)| uid.0).collect();
    Code::AppendUid(done.uid_validity.0, uids)
}

pub(crate) fn try_create() -> Reply {
    let text = "there is no such mailbox; create it first";
    Reply::no(Code::TRY_CREATE, text)
}

fn empty() -> Reply {
    Reply::no(Code::CANNOT, "an empty message is not kept")
}

/// The message that REPLACE names.
fn find_replaced(session: &Session, replaced: Replaced) -> Result<(MailboxId, Uid), Reply> {
    let Some(selected) = &session.selected else {
        return Err(Reply::bad("select a mailbox first"));
    };
    if session.enabled.uid_only && !replaced.uid {
        return Err(uid_required());
    }
    if selected.read_only {
        let text = "the mailbox was opened by EXAMINE";
        return Err(Reply::no(Code::READ_ONLY, text));
    }
    if !selected.rights().has(Rights::DELETE | Rights::EXPUNGE) {
        return Err(no_right());
    }
    let entry = match (replaced.number, replaced.uid) {
        (None, _) => selected.entries().last(),
        (Some(uid), true) => selected.find(Uid(uid.get())).map(|(_, entry)| entry),
        (Some(number), false) => selected.entries().get(number.get() as usize - 1),
    };
    match entry {
        Some(entry) => Ok((selected.id, entry.uid)),
        None if replaced.uid => Err(Reply::no(
            Code::NON_EXISTENT,
            "there is no message of that UID",
        )),
        None => Err(Reply::bad("there is no message of that number")),
    }
}

/// A message on its way into the store.
pub(crate) struct Intake {
    writer: BlobWriter,
    indexer: Indexer,
    /// A CR ended the last piece, so that an LF at the next one's start is no bare one.
    after_cr: bool,
}

/// A message that came in whole.
pub(crate) struct Message {
    pub(crate) blob: StagedBlob,
    /// As it is stored.
    pub(crate) digest: Bytes,
}

/// What follows a literal.
enum Then {
    Next(Vec<AppendPart>, LiteralHead),
    End(Result<Vec<AppendPart>, &'static str>),
}

impl Intake {
    pub(crate) fn new(session: &Session, account: &Account) -> Self {
        Self::with(&session.ports, account)
    }

    pub(crate) fn with(ports: &Ports, account: &Account) -> Self {
        Self {
            writer: ports.blobs.writer(account.shard()),
            indexer: Indexer::new(mime::Limits::default()),
            after_cr: false,
        }
    }

    /// Takes a piece, with bare LFs made into CRLFs: what every reader of the
    /// message relies on.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), StoreError> {
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

    pub(crate) fn finish(self) -> Result<Message, StoreError> {
        Ok(Message {
            blob: self.writer.finish()?,
            digest: Digest::encode(&self.indexer.finish()).into(),
        })
    }
}

/// Takes a literal's octets to the end, even when they turn out to be refused.
async fn receive(
    session: &mut Session,
    work: &mut Appending,
    literal: LiteralHead,
) -> Result<(Result<(), Reply>, Then), Ended> {
    let mut refusal = None;
    // RFC 3516 §4.4: only a literal8 may hold NUL. It is gathered, because its parts decide.
    let gathers = literal.binary && literal.size <= BINARY_APPEND_BYTES_MAX;
    let room = usize::try_from(literal.size)
        .map_or(APPEND_PIECE_BYTES, |size| size.min(APPEND_PIECE_BYTES));
    let mut piece: Vec<u8> = Vec::with_capacity(room);
    loop {
        let step = session.framer.poll(&session.input);
        let consumed = step.consumed;
        let mut then = None;
        let mut lost = None;
        let mut waits = false;
        match step.event {
            Some(Event::AppendData(data)) if refusal.is_none() => piece.extend_from_slice(data),
            Some(Event::AppendNext { parts, literal }) => then = Some(Then::Next(parts, literal)),
            Some(Event::AppendEnd(result)) => then = Some(Then::End(result)),
            Some(Event::Fatal(text)) => lost = Some(text),
            Some(Event::Continue) => {
                // A string of what follows.
                response::continuation(&mut session.out, "OK");
                waits = true;
            }
            Some(_) => {}
            None => waits = true,
        }
        session.input.advance(consumed);
        if let Some(text) = lost {
            session.bye(text).await?;
        }
        if !gathers && piece.contains(&0) {
            refusal = Some(stray_nul());
            piece = Vec::new();
        }
        let full = piece.len() >= APPEND_PIECE_BYTES && !gathers;
        if full || (then.is_some() && !piece.is_empty()) {
            let full = std::mem::take(&mut piece);
            work.size = work.size.saturating_add(full.len() as u64);
            if let Some((taken, asked)) = work.current.take() {
                let pushed = match gathers {
                    true => push_binary(session, taken, full).await,
                    false => push(session, taken, full).await,
                };
                match pushed {
                    Ok(taken) => work.current = Some((taken, asked)),
                    Err(reply) => refusal = Some(reply),
                }
            }
        }
        if let Some(then) = then {
            return Ok((refusal.map_or(Ok(()), Err), then));
        }
        if waits {
            session.flush().await?;
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

/// Compressing and writing a long message takes a while: not on an async worker.
pub(crate) async fn push(
    session: &Session,
    mut intake: Intake,
    piece: Vec<u8>,
) -> Result<Intake, Reply> {
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

pub(crate) async fn finish(session: &Session, intake: Intake) -> Result<Message, Reply> {
    let done = session
        .ports
        .runtime
        .blocking(move || intake.finish())
        .await;
    done.map_err(|error| store_failed(&error))
}
