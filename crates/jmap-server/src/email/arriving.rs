//! Messages that are put into mailboxes: made, imported or copied.

use super::edit::{keywords_in, mailboxes_in};
use super::keywords;
use crate::Jmap;
use crate::api::Calling;
use crate::blob_id::BlobRef;
use crate::blobs_of::Opened;
use crate::intake::{Intake, Message};
use crate::limits::DIGESTS_BYTES_MAX;
use crate::look::Look;
use crate::methods::setting::{Commits, Failed, Submitted, TRIES, refused, submit};
use bytes::Bytes;
use engine::Batch;
use envelope::AccountId;
use jmap_proto::{SetError, date};
use mailbox_model::stage::StageError;
use mailbox_model::{EmailId, Flag, MailboxId, UidSet, Usage};
use mailstore::{InternalDate, Lane, NewEmail, QuotaRule, Rights, StoreError, object_id};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Where a message goes, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) mailboxes: BTreeSet<MailboxId>,
    pub(crate) flags: BTreeSet<Flag>,
    /// Unix seconds.
    pub(crate) received_at: Option<i64>,
    /// In another's account: who has read it.
    reader: Option<AccountId>,
    /// The keywords that it has, where the user may not set all that he asks for.
    told: Option<Value>,
}

impl Place {
    /// Of an object's `mailboxIds`, `keywords` and `receivedAt`.
    ///
    /// # Errors
    /// They cannot be, or the user may put nothing there.
    pub(crate) fn of(calling: &Calling<'_>, look: &Look, object: &Value) -> Result<Self, SetError> {
        let received_at = match object.get("receivedAt") {
            None | Some(Value::Null) => None,
            Some(moment) => {
                let moment = moment.as_str().and_then(date::parse_utc);
                let wrong =
                    || SetError::invalid_properties(["receivedAt"], "receivedAt is a UTC date");
                Some(moment.ok_or_else(wrong)?)
            }
        };
        let mut place = Self {
            mailboxes: mailboxes_in(calling, look, &object["mailboxIds"])?,
            flags: keywords_in(&object["keywords"])?,
            received_at,
            reader: None,
            told: None,
        };
        for mailbox in &place.mailboxes {
            look.room.check_right(*mailbox, Rights::INSERT)?;
        }
        if let Some(reader) = look.room.reader() {
            place.keep_to_rights(look, reader);
        }
        Ok(place)
    }

    /// What the user may not set in all of the mailboxes is left out, as APPEND does (RFC 4314 §4). `\Seen` is his own
    /// there.
    fn keep_to_rights(&mut self, look: &Look, reader: AccountId) {
        let asked = self.flags.clone();
        let may = |right| {
            let mut all = self.mailboxes.iter();
            all.all(|mailbox| look.room.rights(*mailbox).has(right))
        };
        let (may_read, may_write) = (may(Rights::SEEN), may(Rights::WRITE));
        let mut kept = asked.clone();
        kept.retain(|flag| match flag {
            Flag::Seen => may_read,
            _ => may_write,
        });
        if kept != asked {
            let names = kept
                .iter()
                .map(|flag| (keywords::name_of(flag), Value::Bool(true)));
            self.told = Some(Value::Object(names.collect()));
        }
        if kept.remove(&Flag::Seen) {
            self.reader = Some(reader);
        }
        self.flags = kept;
    }
}

/// A message that is in, and where it goes.
pub(crate) struct Arriving {
    pub(crate) message: Message,
    pub(crate) place: Place,
}

/// Takes octets in as a message.
///
/// # Errors
/// They are too many, or none, or cannot be read.
pub(crate) async fn take_in(
    jmap: &Jmap,
    look: &Look,
    mut opened: Opened,
) -> Result<Message, SetError> {
    check_size(jmap, look, opened.size.unwrap_or(0))?;
    // Known before anything of it is written.
    let survey = opened.survey().await.map_err(|why| why.set_error())?;
    if survey.has_nul {
        return Err(SetError::new("invalidEmail", "a message holds no NUL"));
    }
    if survey.size == 0 {
        let text = "an empty message is not kept";
        return Err(SetError::new("invalidEmail", text));
    }
    check_size(jmap, look, survey.message_size)?;
    let mut intake = Intake::new(jmap, &look.room.account);
    while let Some(piece) = opened.next_piece().await.map_err(|error| refused(&error))? {
        intake = push(jmap, look, intake, piece).await?;
    }
    intake.finish(jmap).await.map_err(|error| refused(&error))
}

/// Takes a piece of a message, unless that is too much: nothing is written that there is no room for.
///
/// # Errors
/// There is no room, or the store takes nothing.
pub(crate) async fn push(
    jmap: &Jmap,
    look: &Look,
    intake: Intake,
    piece: Bytes,
) -> Result<Intake, SetError> {
    check_size(jmap, look, intake.size() + piece.len() as u64)?;
    let pushed = intake.push(jmap, piece).await;
    pushed.map_err(|error| refused(&error))
}

/// # Errors
/// A message has less octets, or the account no room for so many more.
pub(crate) fn check_size(jmap: &Jmap, look: &Look, bytes: u64) -> Result<(), SetError> {
    if bytes > jmap.shared.config.message_bytes_max {
        return Err(SetError::new("tooLarge", "the message is too large"));
    }
    let more = Usage { bytes, emails: 1 };
    let room = look.room.account.check_room(more);
    room.map_err(|over| SetError::new("overQuota", over.to_string()))
}

/// Puts a message into its mailboxes, in a commit of its own with all its copies.
///
/// # Errors
/// Why it is not there.
pub(crate) async fn deliver(
    jmap: &Jmap,
    look: &Look,
    commits: &mut Commits,
    arriving: Arriving,
) -> Result<Value, Failed> {
    let account = &look.room.account;
    let Arriving { message, place } = arriving;
    if message.digest.len() > DIGESTS_BYTES_MAX {
        let text = "the message has too many parts";
        return Err(SetError::new("tooLarge", text).into());
    }
    let now = i64::try_from(jmap.shared.ports.runtime.now().unix_seconds()).unwrap_or(i64::MAX);
    let size = message.blob.size;
    let email = NewEmail {
        blob: message.blob.id,
        blob_size: size,
        prefix: Bytes::new(),
        digest: message.digest,
        received_at: InternalDate {
            unix_seconds: place.received_at.unwrap_or(now),
            zone_minutes: 0,
        },
        flags: place.flags.iter().cloned().collect(),
    };
    let store = |error| Failed::Object(refused(&error));
    let mut blobs = vec![message.blob];
    for _ in 0..TRIES {
        let (mut batch, kept) = account.stage_blobs(blobs).await.map_err(store)?;
        blobs = kept;
        let mut lane = account.lane().await.map_err(store)?;
        let checked = commits.check(&look.room, &lane);
        checked.map_err(|error| Failed::of(error, commits))?;
        let before = lane.view().modseq();
        let staged = stage(&mut lane, &mut batch, &place, &email);
        let id = staged.await.map_err(store)?;
        let after = lane.view().modseq();
        match submit(lane, batch).await {
            Ok(Submitted::Done) => commits.note(before, after),
            Ok(Submitted::Again) => continue,
            Err(error) => return Err(Failed::of(error, commits)),
        }
        let mut told = json!({
            "id": look.email_id(id),
            "blobId": BlobRef::email(id).to_string(),
            "size": size,
        });
        match account.threads().await {
            Ok(threads) => {
                let first = threads.of(id);
                told["threadId"] = object_id::of_thread(first, look.room.owner()).into();
            }
            // It never changes: nothing is told where it is not known. The email is in all the same.
            Err(error) => {
                tracing::error!(account = %account.id(), %error, "jmap: the thread of an email is not known");
            }
        }
        if let Some(keywords) = place.told {
            told["keywords"] = keywords;
        }
        return Ok(told);
    }
    Err(refused(&StoreError::Contended).into())
}

/// A message with all its copies.
async fn stage(
    lane: &mut Lane,
    batch: &mut Batch,
    place: &Place,
    email: &NewEmail,
) -> Result<EmailId, StoreError> {
    let mut mailboxes = place.mailboxes.iter().copied();
    let first = mailboxes.next().ok_or(StageError::NoMailbox)?;
    let emails = std::slice::from_ref(email);
    let delivered = lane.stage_deliver(batch, first, emails, QuotaRule::Enforce)?;
    let (id, uid) = *delivered.first().ok_or(StageError::NumbersUsedUp)?;
    let uids = UidSet::one(uid);
    let mut copies = vec![(first, uids.clone())];
    for other in mailboxes {
        let copied = lane.stage_copy(batch, first, other, &uids).await?;
        copies.push((other, copied.iter().map(|(_, uid)| *uid).collect()));
    }
    if let Some(reader) = place.reader {
        for (mailbox, uids) in copies {
            let unread = UidSet::new();
            lane.stage_seen_by(batch, mailbox, reader, &uids, &unread)
                .await?;
        }
    }
    Ok(id)
}
