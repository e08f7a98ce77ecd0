//! GENURLAUTH, URLFETCH and RESETKEY (RFC 4467 §8; BINARY and BODYPARTSTRUCTURE of
//! URLFETCH: RFC 5524 §3). What URLs name and for whom is `urls`'.

use crate::fetch::{self, Message, Rendered};
use crate::limits::OUTPUT_BYTES;
use crate::reply::{Ended, Executed, Reply, store_failed};
use crate::session::Session;
use crate::urls::{Named, UrlError, UrlReader, Urls, authorize, mailbox_of};
use imap_proto::response::{self, Code, Status};
use imap_proto::{FetchItem, ImapUrl, MailboxName, SectionText, UrlFetch, UrlFetchItem, UrlRump};
use mime::{StoredDigest, decoded_structure, structure_at};
use std::sync::{Arc, OnceLock};

/// RFC 4467 §7: what a URL must be is checked for all of them before anything is
/// said; it is BAD otherwise.
pub(crate) async fn generate(session: &mut Session, rumps: &[UrlRump]) -> Executed {
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    let account = Arc::clone(&login.account);
    let urls = session.urls();
    let view = account.view();
    let mut checked = Vec::with_capacity(rumps.len());
    for UrlRump { url, mechanism } in rumps {
        if mechanism != "INTERNAL" {
            return Ok(Reply::bad("INTERNAL is the only mechanism"));
        }
        let parsed = match ImapUrl::parse(url) {
            Ok(parsed) => parsed,
            Err(why) => return Ok(Reply::bad(why)),
        };
        let (Some(server), Some(auth)) = (&parsed.server, &parsed.auth) else {
            return Ok(Reply::bad(
                "the URL must name its server and, by URLAUTH, who may read",
            ));
        };
        if auth.token.is_some() {
            return Ok(Reply::bad("the URL has a token already"));
        }
        match urls.owner(server).await {
            Ok(owner) if owner == Some(account.id()) => {}
            Ok(_) => return Ok(Reply::bad("the URL's user is not you")),
            Err(error) => return Ok(unavailable(session, &error)),
        }
        let mailbox = parsed.mailbox.as_ref();
        let Some(mailbox) = mailbox.and_then(|name| mailbox_of(&view, name)) else {
            return Ok(Reply::bad("the URL's mailbox is not there"));
        };
        let validity = mailbox.uid_validity().0;
        if parsed.uid_validity.is_some_and(|wanted| wanted != validity) {
            return Ok(Reply::bad("the URL's UIDVALIDITY is another"));
        }
        checked.push((url, mailbox.id()));
    }
    session.out.extend_from_slice(b"* GENURLAUTH");
    for (url, mailbox) in checked {
        match account.make_access_key(mailbox).await {
            Ok(key) => {
                let url = authorize(&key, url);
                session.out.push(b' ');
                response::write_astring(&mut session.out, url.as_bytes());
            }
            Err(error) => return Ok(store_failed(&error)),
        }
    }
    session.out.extend_from_slice(b"\r\n");
    Ok(Reply::ok("authorized"))
}

/// What is not there, or not for who asks, is NIL (RFC 4467 §8); NO is said of our own trouble
/// alone.
pub(crate) async fn fetch(session: &mut Session, urls: &[UrlFetch]) -> Executed {
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    let reader = UrlReader::User(login.account.id());
    let port = session.urls();
    let mut is_broken = false;
    for UrlFetch { url, items } in urls {
        let named = match port.authorized(url, reader).await {
            // RFC 5524 §4: a part that is not there is no metadata either.
            Ok(named) => named.range().map(|_| named),
            Err(error) => Err(error),
        };
        let named = match named {
            Ok(named) => Some(named),
            Err(UrlError::Unavailable(error)) => {
                tracing::error!(session = session.id, %error, "imap: a URL cannot be read");
                is_broken = true;
                None
            }
            Err(UrlError::Invalid(_) | UrlError::Elsewhere | UrlError::Refused) => None,
        };
        session.out.extend_from_slice(b"* URLFETCH ");
        response::write_astring(&mut session.out, url.as_bytes());
        let rendered = match (named, items) {
            (None, _) => {
                session.out.extend_from_slice(b" NIL");
                Rendered::Whole
            }
            (Some(named), None) => {
                session.out.push(b' ');
                write_body(session, &named).await?
            }
            (Some(named), Some(items)) => write_items(session, &named, items).await?,
        };
        is_broken |= rendered == Rendered::Broken;
        session.out.extend_from_slice(b"\r\n");
        if session.out.len() >= OUTPUT_BYTES {
            session.flush().await?;
        }
    }
    if is_broken {
        let text = "some of it cannot be read at the moment";
        return Ok(Reply::no(Code::UNAVAILABLE, text));
    }
    Ok(Reply::ok("that is what there is"))
}

async fn write_items(
    session: &mut Session,
    named: &Named,
    items: &[UrlFetchItem],
) -> Result<Rendered, Ended> {
    // Only a part has a structure (RFC 5524 §5: `body` is never NIL).
    let has_structure = named.section.text == SectionText::Whole;
    if !has_structure && items == [UrlFetchItem::BodyPartStructure] {
        session.out.extend_from_slice(b" NIL");
        return Ok(Rendered::Whole);
    }
    let mut rendered = Rendered::Whole;
    // RFC 5524 §3.2: the structure is that of the octets that come with it.
    if has_structure && items.contains(&UrlFetchItem::BodyPartStructure) {
        let decodes = items.contains(&UrlFetchItem::Binary);
        session.out.extend_from_slice(b" (BODYPARTSTRUCTURE ");
        match structure(named, decodes).await {
            Some(structure) => session.out.extend_from_slice(&structure),
            None => session.out.extend_from_slice(b"NIL"),
        }
        session.out.push(b')');
    }
    if items.contains(&UrlFetchItem::Body) {
        session.out.extend_from_slice(b" (BODY ");
        rendered = rendered.max(write_body(session, named).await?);
        session.out.push(b')');
    }
    if items.contains(&UrlFetchItem::Binary) {
        session.out.extend_from_slice(b" (BINARY ");
        // A header has no transfer encoding to undo.
        let binary = if named.section.text == SectionText::Whole {
            let item = FetchItem::Binary {
                peek: true,
                part: named.section.part.clone(),
                partial: named.partial,
            };
            write_item(session, named, &item).await?
        } else {
            write_body(session, named).await?
        };
        rendered = rendered.max(binary);
        session.out.push(b')');
    }
    Ok(rendered)
}

async fn structure(named: &Named, decodes: bool) -> Option<Vec<u8>> {
    let digest = StoredDigest::read(&named.record.digest).ok()?;
    let part = &named.section.part;
    let structure = structure_at(digest.body_structure().ok()?, part)?;
    let message = message(named, digest);
    let decoded = match decodes {
        true => fetch::decoded(&message, part).await,
        false => None,
    };
    let decoded = decoded.and_then(|(size, encoding)| decoded_structure(structure, encoding, size));
    Some(decoded.unwrap_or_else(|| structure.to_vec()))
}

fn message<'a>(named: &'a Named, digest: StoredDigest<'a>) -> Message<'a> {
    Message {
        account: &named.account,
        view: &named.view,
        number: 0,
        entry: &named.entry,
        record: Some((&named.record, digest)),
        listing: None,
        thread: None,
        body: None,
        header: OnceLock::new(),
    }
}

async fn write_body(session: &mut Session, named: &Named) -> Result<Rendered, Ended> {
    let item = FetchItem::BodySection {
        peek: true,
        section: named.section.clone(),
        partial: named.partial,
    };
    write_item(session, named, &item).await
}

/// As FETCH writes it: what is broken is in the log, and blanks or NIL stand for it.
async fn write_item(
    session: &mut Session,
    named: &Named,
    item: &FetchItem,
) -> Result<Rendered, Ended> {
    let Ok(digest) = StoredDigest::read(&named.record.digest) else {
        session.out.extend_from_slice(b"NIL");
        return Ok(Rendered::Broken);
    };
    let message = message(named, digest);
    fetch::write_item(session, &message, item).await
}

/// RFC 4467 §8: of one mailbox, or of all.
pub(crate) async fn reset(
    session: &mut Session,
    name: Option<&MailboxName>,
    mechanisms: &[String],
) -> Executed {
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    if mechanisms.iter().any(|mechanism| mechanism != "INTERNAL") {
        return Ok(Reply::bad("INTERNAL is the only mechanism"));
    }
    let account = Arc::clone(&login.account);
    let mailbox = match name {
        Some(name) => match mailbox_of(&account.view(), name) {
            Some(mailbox) => Some(mailbox.id()),
            None => return Ok(Reply::no(Code::NON_EXISTENT, "there is no such mailbox")),
        },
        None => None,
    };
    if let Err(error) = account.reset_access_keys(mailbox).await {
        return Ok(store_failed(&error));
    }
    // What the answer says need not be said again; that to RESETKEY of all says nothing.
    if let Some(selected) = &mut session.selected
        && mailbox == Some(selected.id)
    {
        selected.take_reset();
    }
    let reply = Reply::ok("what was authorized is not any more");
    Ok(match mailbox {
        Some(_) if session.tells_mechanisms() => reply.with_code(Code::URL_MECH),
        _ => reply,
    })
}

fn unavailable(session: &Session, error: &UrlError) -> Reply {
    tracing::error!(session = session.id, %error, "imap: a URL's user is not known");
    Reply::no(Code::UNAVAILABLE, "that is not possible at the moment")
}

impl Session {
    /// RFC 4467 §10: URLMECH is for sessions that nobody can listen to.
    pub(crate) fn tells_mechanisms(&self) -> bool {
        self.conn.is_tls()
    }

    /// Tells that the selected mailbox's URLs are not authorized any more (RFC 4467 §7).
    pub(crate) fn tell_reset(&mut self) {
        let was_reset = self.selected.as_mut().is_some_and(|one| one.take_reset());
        if was_reset && self.tells_mechanisms() {
            let (code, text) = (Code::URL_MECH, "URLs that were authorized are not any more");
            response::untagged_status(&mut self.out, Status::Ok, Some(&code), text);
        }
    }

    /// The mail of this server by URL.
    pub(crate) fn urls(&self) -> Urls {
        let ports = &self.ports;
        let (mailstore, logins) = (ports.mailstore.clone(), Arc::clone(&ports.logins));
        Urls::new(mailstore, logins, ports.runtime.clone())
    }
}
