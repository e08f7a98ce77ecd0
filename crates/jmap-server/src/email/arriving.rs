//! Messages that are put into mailboxes: made, imported or copied.

use super::edit::{keywords_in, mailboxes_in};
use crate::Jmap;
use crate::api::Calling;
use crate::blob_id::BlobRef;
use crate::blobs_of::Opened;
use crate::intake::{Intake, Message};
use crate::limits::DIGESTS_BYTES_MAX;
use crate::look::Look;
use crate::methods::setting::{Submitted, TRIES, refused, submit};
use crate::methods::store_failed;
use bytes::Bytes;
use jmap_proto::{MethodError, SetError, date};
use mailbox_model::{EmailId, Flag, MailboxId, UidSet, Usage};
use mailstore::{InternalDate, NewEmail, QuotaRule, object_id};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Where a message goes, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) mailboxes: BTreeSet<MailboxId>,
    pub(crate) flags: BTreeSet<Flag>,
    /// Unix seconds.
    pub(crate) received_at: Option<i64>,
}

impl Place {
    /// Of an object's `mailboxIds`, `keywords` and `receivedAt`.
    ///
    /// # Errors
    /// They cannot be.
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
        Ok(Self {
            mailboxes: mailboxes_in(calling, look, &object["mailboxIds"])?,
            flags: keywords_in(&object["keywords"])?,
            received_at,
        })
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
    let max = jmap.shared.config.message_bytes_max;
    let account = &look.room.account;
    check_room(look, opened.size.unwrap_or(0))?;
    let mut intake = Intake::new(jmap, account);
    while let Some(piece) = opened.next_piece().await.map_err(|error| refused(&error))? {
        if piece.contains(&0) {
            return Err(SetError::new("invalidEmail", "a message holds no NUL"));
        }
        intake = intake
            .push(jmap, piece)
            .await
            .map_err(|error| refused(&error))?;
        if intake.size() > max {
            return Err(SetError::new("tooLarge", "the message is too large"));
        }
    }
    if intake.size() == 0 {
        return Err(SetError::new(
            "invalidEmail",
            "an empty message is not kept",
        ));
    }
    intake.finish(jmap).await.map_err(|error| refused(&error))
}

/// # Errors
/// The account has no room for so much more.
pub(crate) fn check_room(look: &Look, bytes: u64) -> Result<(), SetError> {
    let more = Usage { bytes, emails: 1 };
    let room = look.room.account.check_room(more);
    room.map_err(|over| SetError::new("overQuota", over.to_string()))
}

/// Puts messages into their mailboxes, each in a commit of its own with all its copies. Gives the
/// emails, or why there is none.
///
/// # Errors
/// The store takes nothing.
pub(crate) async fn deliver(
    calling: &mut Calling<'_>,
    look: &Look,
    arriving: Arriving,
) -> Result<Result<(EmailId, Value), SetError>, MethodError> {
    let jmap = calling.jmap;
    let account = &look.room.account;
    let Arriving { message, place } = arriving;
    if message.digest.len() > DIGESTS_BYTES_MAX {
        return Ok(Err(SetError::new(
            "tooLarge",
            "the message has too many parts",
        )));
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
        flags: place.flags.into_iter().collect(),
    };
    let mut blobs = vec![message.blob];
    for _ in 0..TRIES {
        let staged = account.stage_blobs(blobs).await;
        let (mut batch, kept) = staged.map_err(|error| store_failed(&error))?;
        blobs = kept;
        let mut lane = account.lane().await.map_err(|error| store_failed(&error))?;
        let mut mailboxes = place.mailboxes.iter();
        let Some(first) = mailboxes.next() else {
            return Ok(Err(SetError::invalid_properties(
                ["mailboxIds"],
                "there is none",
            )));
        };
        let emails = std::slice::from_ref(&email);
        let delivered = lane.stage_deliver(&mut batch, *first, emails, QuotaRule::Enforce);
        let (id, uid) = match delivered {
            Ok(delivered) => match delivered.first() {
                Some(one) => *one,
                None => return Err(MethodError::ServerFail("nothing was delivered".into())),
            },
            Err(error) => return Ok(Err(refused(&error))),
        };
        for other in mailboxes {
            let copied = lane
                .stage_copy(&mut batch, *first, *other, &UidSet::one(uid))
                .await;
            if let Err(error) = copied {
                return Ok(Err(refused(&error)));
            }
        }
        if let Submitted::Done = submit(lane, batch).await? {
            let now = jmap.look(&look.room).await?;
            let told = json!({
                "id": now.email_id(id),
                "blobId": BlobRef::email(id).to_string(),
                "threadId": object_id::of_thread(now.thread_of(id), look.room.owner()),
                "size": size,
            });
            return Ok(Ok((id, told)));
        }
    }
    Err(MethodError::ServerUnavailable)
}
