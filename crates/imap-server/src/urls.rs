//! URLs of messages (RFC 5092): authorizing them, and finding what they name
//! (RFC 4467 §6, §7). Nothing is fetched from anywhere else: a URL names mail of
//! this server or nothing.
//!
//! The token is a message authentication code over all of the URL in front of it,
//! under the key of the mailbox (`mailstore::AccessKey`). So a URL's host is not
//! compared with anything: what was made here carries a token that only we can
//! make, under whatever name the client knows us, and nothing else has one.
//!
//! Invariants: what cannot be had for any reason looks the same to who asks; tokens
//! are compared in constant time; `\Seen` is never set by a URL.

use bytes::Bytes;
use directory::{DirectoryError, Logins};
use envelope::AccountId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use imap_proto::{ImapUrl, Partial, Section, SectionText, UrlAccess, UrlAuth, UrlServer};
use mailbox_model::{Entry, Mailbox, MailboxId, MailboxName, Uid, View};
use mailstore::{AccessKey, Account, EmailRecord, Mailstore, MessageReader, StoreError};
use mime::{SectionSpec, StoredDigest};
use runtime::Runtime;
use sha2::Sha256;
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;

use crate::limits::HEADER_BYTES_MAX;

/// Names the algorithm in front of each token, so that another can come (RFC 4467 §9).
const ALGORITHM: u8 = 1;

/// Who wants to read what a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlReader {
    /// This user, who is logged in to IMAP.
    User(AccountId),
    /// Message submission on behalf of this user, who is logged in to it.
    Submission(AccountId),
}

/// Why a URL gives nothing.
#[derive(Debug, Error)]
pub enum UrlError {
    /// It is none, or not one of a message.
    #[error("{0}")]
    Invalid(&'static str),
    /// Nobody here is called what its user is.
    #[error("the URL is not of this server")]
    Elsewhere,
    /// There is no such message or part, or it is not for who asks.
    #[error("the URL names nothing that you may read")]
    Refused,
    /// Our own trouble.
    #[error("what the URL names cannot be read at the moment")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for UrlError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoAccount(_) => Self::Refused,
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

impl From<DirectoryError> for UrlError {
    fn from(error: DirectoryError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

/// The mail of this server by URL.
#[derive(Debug, Clone)]
pub struct Urls {
    mailstore: Mailstore,
    logins: Arc<dyn Logins>,
    runtime: Runtime,
}

/// A message that a URL names.
pub(crate) struct Named {
    pub(crate) account: Arc<Account>,
    pub(crate) view: Arc<View>,
    pub(crate) entry: Entry,
    pub(crate) record: EmailRecord,
    pub(crate) section: Section,
    pub(crate) partial: Option<Partial>,
}

impl Urls {
    /// Over this server's mail and logins.
    #[must_use]
    pub fn new(mailstore: Mailstore, logins: Arc<dyn Logins>, runtime: Runtime) -> Self {
        Self {
            mailstore,
            logins,
            runtime,
        }
    }

    /// The octets that an authorized URL names, for who may read them.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub async fn open(&self, url: &str, reader: UrlReader) -> Result<UrlBody, UrlError> {
        self.authorized(url, reader).await?.open().await
    }

    /// The message that an authorized URL names, for who may read it.
    pub(crate) async fn authorized(
        &self,
        text: &str,
        reader: UrlReader,
    ) -> Result<Named, UrlError> {
        let url = ImapUrl::parse(text).map_err(UrlError::Invalid)?;
        // RFC 4467 §6: whose access keys they are is a part of the URL.
        let (Some(server), Some(auth), Some(name)) = (&url.server, &url.auth, &url.mailbox) else {
            return Err(UrlError::Invalid("the URL is not authorized"));
        };
        let owner = self.owner(server).await?.ok_or(UrlError::Elsewhere)?;
        let now = i64::try_from(self.runtime.now().unix_seconds()).unwrap_or(i64::MAX);
        // RFC 4467 §3: the latest time at which it is valid.
        if auth.expire.is_some_and(|expire| expire < now) {
            return Err(UrlError::Refused);
        }
        if !self.is_for(auth, server, reader).await? {
            return Err(UrlError::Refused);
        }
        let account = self.mailstore.account(owner).await?;
        let view = account.view();
        let mailbox = mailbox_of(&view, name).cloned();
        // RFC 4467 §6, §10: what is not there takes as long as a token that is wrong.
        let id = mailbox.as_ref().map(|mailbox| mailbox.id());
        let key = account.access_key(id.unwrap_or(MailboxId(0))).await?;
        let is_right = is_right(key.as_ref().unwrap_or(&AccessKey::nobodys()), text, auth);
        match mailbox {
            Some(mailbox) if is_right && key.is_some() => {
                Named::find(account, view, &mailbox, url).await
            }
            _ => Err(UrlError::Refused),
        }
    }

    /// The account that a user's name in a URL means. A bare name is looked for in the
    /// URL's host first: `imap://joe@example.org/` may mean `joe@example.org`.
    async fn account_of(
        &self,
        user: &str,
        server: &UrlServer,
    ) -> Result<Option<AccountId>, UrlError> {
        if !user.contains('@') {
            let address = format!("{user}@{}", server.host);
            if let Some(account) = self.logins.account_of(&address).await? {
                return Ok(Some(account));
            }
        }
        Ok(self.logins.account_of(user).await?)
    }

    /// Whose mailbox a URL names.
    pub(crate) async fn owner(&self, server: &UrlServer) -> Result<Option<AccountId>, UrlError> {
        match &server.user {
            Some(user) => self.account_of(user, server).await,
            None => Ok(None),
        }
    }

    /// RFC 4467 §4.
    async fn is_for(
        &self,
        auth: &UrlAuth,
        server: &UrlServer,
        reader: UrlReader,
    ) -> Result<bool, UrlError> {
        let (user, who) = match (&auth.access, reader) {
            // Nobody gets here without a login.
            (UrlAccess::Anonymous | UrlAccess::AuthUser, _) => return Ok(true),
            (UrlAccess::User(user), UrlReader::User(who))
            | (UrlAccess::Submit(user), UrlReader::Submission(who)) => (user, who),
            (UrlAccess::User(_), UrlReader::Submission(_))
            | (UrlAccess::Submit(_), UrlReader::User(_)) => return Ok(false),
        };
        Ok(self.account_of(user, server).await? == Some(who))
    }
}

/// The mailbox of a name in a URL.
pub(crate) fn mailbox_of<'a>(
    view: &'a View,
    name: &imap_proto::MailboxName,
) -> Option<&'a Arc<Mailbox>> {
    view.mailbox_named(&MailboxName::parse(name.as_str()).ok()?)
}

/// A URL with its token: `rump` is all in front of the mechanism.
pub(crate) fn authorize(key: &AccessKey, rump: &str) -> String {
    let token = mac(key, rump).finalize().into_bytes();
    let mut url = format!("{rump}:internal:{ALGORITHM:02x}");
    for octet in token {
        url.push_str(&format!("{octet:02x}"));
    }
    url
}

fn mac(key: &AccessKey, rump: &str) -> Hmac<Sha256> {
    let keyed = Hmac::<Sha256>::new_from_slice(key.bytes());
    let mut mac = keyed.expect("HMAC takes keys of any length");
    mac.update(&[ALGORITHM]);
    mac.update(rump.as_bytes());
    mac
}

fn is_right(key: &AccessKey, url: &str, auth: &UrlAuth) -> bool {
    let Some(token) = &auth.token else {
        return false;
    };
    let (Some(rump), Some((&ALGORITHM, code))) =
        (url.get(..auth.rump_len), token.token.split_first())
    else {
        return false;
    };
    token.mechanism == "INTERNAL" && mac(key, rump).verify_slice(code).is_ok()
}

impl Named {
    /// The message of a URL whose mailbox is known.
    pub(crate) async fn find(
        account: Arc<Account>,
        view: Arc<View>,
        mailbox: &Mailbox,
        url: ImapUrl,
    ) -> Result<Self, UrlError> {
        let validity = mailbox.uid_validity().0;
        if url.uid_validity.is_some_and(|wanted| wanted != validity) {
            return Err(UrlError::Refused);
        }
        let rank = mailbox.rank(Uid(url.uid)).map_err(|_| UrlError::Refused)?;
        let entry = mailbox.entries().get(rank).ok_or(UrlError::Refused)?;
        let entry = entry.clone();
        let record = account.email_record(entry.email).await;
        let record = record.map_err(|error| match error {
            mailstore::RecordError::Missing(_) => UrlError::Refused,
            other => UrlError::Unavailable(Box::new(other)),
        })?;
        Ok(Self {
            account,
            view,
            entry,
            record,
            section: url.section,
            partial: url.partial,
        })
    }

    /// The message of a URL of one's own mailboxes, relative to the selected one or
    /// absolute, without authorization.
    pub(crate) async fn own(
        urls: &Urls,
        account: &Arc<Account>,
        selected: Option<MailboxId>,
        text: &str,
    ) -> Result<Self, UrlError> {
        let url = ImapUrl::parse(text).map_err(UrlError::Invalid)?;
        if let Some(server) = &url.server {
            let owner = urls.owner(server).await?;
            if owner != Some(account.id()) {
                return Err(UrlError::Refused);
            }
        }
        let view = account.view();
        let mailbox = match &url.mailbox {
            Some(name) => mailbox_of(&view, name),
            None => selected.and_then(|id| view.mailbox(id)),
        };
        let mailbox = Arc::clone(mailbox.ok_or(UrlError::Refused)?);
        Self::find(Arc::clone(account), view, &mailbox, url).await
    }

    /// Where the message has what the URL names.
    pub(crate) fn range(&self) -> Result<Range<u64>, UrlError> {
        let damaged = |error| UrlError::Unavailable(Box::new(error));
        let digest = StoredDigest::read(&self.record.digest).map_err(damaged)?;
        let text = match &self.section.text {
            SectionText::Whole => mime::SectionText::Whole,
            SectionText::Text => mime::SectionText::Text,
            SectionText::Mime => mime::SectionText::Mime,
            SectionText::Header
            | SectionText::HeaderFields(_)
            | SectionText::HeaderFieldsNot(_) => mime::SectionText::Header,
        };
        let spec = SectionSpec {
            path: self.section.part.clone(),
            text,
        };
        let range = digest.section(&spec, self.record.prefix.len() as u64);
        let range = range.map_err(damaged)?.ok_or(UrlError::Refused)?;
        Ok(range.start..range.end.min(self.record.size()))
    }

    /// The octets.
    pub(crate) async fn open(self) -> Result<UrlBody, UrlError> {
        let range = self.range()?;
        let names = match &self.section.text {
            SectionText::HeaderFields(names) => Some((names, false)),
            SectionText::HeaderFieldsNot(names) => Some((names, true)),
            _ => None,
        };
        let Some((names, not)) = names else {
            let range = clip(range, self.partial);
            let size = range.end - range.start;
            let reader = self.account.open_message(&self.record, range);
            let octets = Octets::Stored(reader);
            return Ok(UrlBody { size, octets });
        };
        let range = range.start..range.end.min(range.start + HEADER_BYTES_MAX);
        let header = self.account.read_message(&self.record, range).await?;
        let fields = Bytes::from(mime::header_fields(&header, names, not));
        let range = clip(0..fields.len() as u64, self.partial);
        let fields = fields.slice(range.start as usize..range.end as usize);
        Ok(UrlBody {
            size: fields.len() as u64,
            octets: Octets::Fields(Some(fields)),
        })
    }
}

/// The part of a range that a URL names; nothing behind its end.
fn clip(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else {
        return range;
    };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    start..start.saturating_add(partial.length).min(range.end)
}

/// The octets that a URL names.
#[derive(Debug)]
pub struct UrlBody {
    size: u64,
    octets: Octets,
}

#[derive(Debug)]
enum Octets {
    Stored(MessageReader),
    Fields(Option<Bytes>),
}

impl UrlBody {
    /// How many there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next of them, at most 256 KiB of a message's body; none at the end.
    ///
    /// # Errors
    /// The message cannot be read to its end.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        match &mut self.octets {
            Octets::Stored(reader) => reader.next_piece().await,
            Octets::Fields(fields) => Ok(fields.take().filter(|fields| !fields.is_empty())),
        }
    }
}
