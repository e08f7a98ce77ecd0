//! Annotations of the account and of its mailboxes (RFC 5464).
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | annotations, how many | varint |
//! | each: mailbox, 0 for the account itself | varint |
//! | each: name, in lower case | length as varint, bytes |
//! | each: value | length as varint, bytes |
//!
//! They stand in the order of mailbox and name, each above the one before. One record
//! holds all of an account's: they are few and short ([`crate::limits`]). Those of a mailbox that is
//! gone go with the next change; its number is never another's.
//!
//! A mailbox whose annotations change counts as changed, by an entry of the account's log.

use crate::account::Account;
use crate::error::StoreError;
use crate::keys;
use crate::lane::Lane;
use crate::limits::{
    ANNOTATION_BYTES_MAX, ANNOTATIONS_BYTES_MAX, ANNOTATIONS_MAX, CONFLICT_RETRIES,
};
use bytes::Bytes;
use engine::{Batch, Engine, Expect, SubmitError, Versioned};
use envelope::AccountId;
use mailbox_model::{Change, MailboxId, UidSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// Names the script that runs at events of a mailbox, or of all of them (RFC 6785 §2.3.1).
pub const EVENT_SCRIPT: &str = "/shared/imapsieve/script";

/// What [`Account::event_scripts`] knows, in its two lowest bits: nothing, that there is none, that there are some. The
/// rest counts changes, so that what was read before one is not believed behind it.
const EVENTS_KNOWN: u64 = 3;
const NO_EVENTS: u64 = 1;
const SOME_EVENTS: u64 = 2;
const EVENTS_CHANGED: u64 = 4;

/// What an annotation is of; the account itself is none of the mailboxes.
type Place = (u32, String);

/// All annotations of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    all: BTreeMap<Place, Bytes>,
}

/// Why annotations are not as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationLimit {
    /// One value has more than so many octets.
    Size(usize),
    /// All of them are too many, or too long together.
    Count,
}

fn number(mailbox: Option<MailboxId>) -> u32 {
    mailbox.map_or(0, |id| id.0)
}

impl Annotations {
    /// The value of an annotation; its name in lower case.
    #[must_use]
    pub fn value(&self, mailbox: Option<MailboxId>, name: &str) -> Option<&Bytes> {
        self.all.get(&(number(mailbox), name.to_owned()))
    }

    /// Names and values of a mailbox's, or of the account's own, in order.
    pub fn of(&self, mailbox: Option<MailboxId>) -> impl Iterator<Item = (&str, &Bytes)> {
        let mailbox = number(mailbox);
        let from = (mailbox, String::new());
        let all = self
            .all
            .range(from..)
            .take_while(move |((of, _), _)| *of == mailbox);
        all.map(|((_, name), value)| (name.as_str(), value))
    }

    fn set(&mut self, mailbox: Option<MailboxId>, changes: &[(String, Option<Bytes>)]) {
        for (name, value) in changes {
            let place = (number(mailbox), name.clone());
            match value {
                Some(value) => self.all.insert(place, value.clone()),
                None => self.all.remove(&place),
            };
        }
    }

    fn check(&self) -> Result<(), AnnotationLimit> {
        if self
            .all
            .values()
            .any(|value| value.len() > ANNOTATION_BYTES_MAX)
        {
            return Err(AnnotationLimit::Size(ANNOTATION_BYTES_MAX));
        }
        let bytes = self
            .all
            .iter()
            .map(|((_, name), value)| name.len() + value.len());
        if self.all.len() > ANNOTATIONS_MAX || bytes.sum::<usize>() > ANNOTATIONS_BYTES_MAX {
            return Err(AnnotationLimit::Count);
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).varint(self.all.len() as u64);
        for ((mailbox, name), value) in &self.all {
            out.varint(u64::from(*mailbox));
            out.bytes(name.as_bytes()).bytes(value);
        }
        out.finish()
    }

    pub(crate) fn decode(record: &Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(record);
        match input.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let mut all: BTreeMap<Place, Bytes> = BTreeMap::new();
        for _ in 0..input.varint()? {
            let place = (input.varint32()?, input.text()?.to_owned());
            let value = record.slice_ref(input.bytes()?);
            let grows = all.last_key_value().is_none_or(|(last, _)| *last < place);
            if !grows {
                return Err(DecodeError::OutOfRange);
            }
            all.insert(place, value);
        }
        input.finish()?;
        Ok(Self { all })
    }
}

/// An account's annotations while they are changed beside other things on a lane.
#[derive(Debug)]
pub struct StagedAnnotations {
    expect: Expect,
    now: Annotations,
    /// Those whose annotations are others now.
    mailboxes: BTreeSet<MailboxId>,
}

impl StagedAnnotations {
    /// Something was set that was not so before.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        !self.mailboxes.is_empty()
    }

    /// Sets annotations of a mailbox, or of the account itself; none is a value that goes.
    ///
    /// # Errors
    /// A limit stands against it; then nothing is set.
    pub fn set(
        &mut self,
        mailbox: Option<MailboxId>,
        changes: &[(String, Option<Bytes>)],
    ) -> Result<(), AnnotationLimit> {
        let was = self.now.clone();
        self.now.set(mailbox, changes);
        if let Err(limit) = self.now.check() {
            self.now = was;
            return Err(limit);
        }
        if self.now != was {
            self.mailboxes.extend(mailbox);
        }
        Ok(())
    }
}

impl Lane {
    /// The annotations, to be changed on this lane: nobody here changes them meanwhile.
    ///
    /// # Errors
    /// The record can't be read.
    pub async fn read_annotations(&mut self) -> Result<StagedAnnotations, StoreError> {
        let account = Arc::clone(self.account());
        let (expect, mut now) = match account.stored_annotations().await? {
            Some((stored, annotations)) => (Expect::Version(stored.version), annotations),
            None => (Expect::Absent, Annotations::default()),
        };
        let view = self.view();
        let lives =
            |(mailbox, _): &Place| *mailbox == 0 || view.mailbox(MailboxId(*mailbox)).is_some();
        now.all.retain(|place, _| lives(place));
        let mailboxes = BTreeSet::new();
        Ok(StagedAnnotations {
            expect,
            now,
            mailboxes,
        })
    }

    /// Stages annotations that were read on this lane. Mailboxes that are gone by now are passed over.
    ///
    /// # Errors
    /// None of the caller's making.
    pub fn stage_annotations(
        &mut self,
        batch: &mut Batch,
        mut staged: StagedAnnotations,
    ) -> Result<(), StoreError> {
        let view = self.view();
        let lives = |id: MailboxId| view.mailbox(id).is_some();
        staged.mailboxes.retain(|id| lives(*id));
        staged
            .now
            .all
            .retain(|(id, _), _| *id == 0 || lives(MailboxId(*id)));
        let key = keys::annotations(self.account().id());
        batch.expect(key.clone(), staged.expect);
        batch.put(key, staged.now.encode());
        // RFC 7162 §3.2: "MUST increment the per-mailbox mod-sequence when SETMETADATA
        // successfully changes an annotation".
        for mailbox in staged.mailboxes {
            let uids = UidSet::new();
            self.stage_touched(batch, Change::Touched { mailbox, uids }.into())?;
        }
        let account = Arc::clone(self.account());
        batch.on_visible(move |_| {
            account.forget_event_scripts();
            // That of a mailbox has rung with the change.
            account.wake();
        });
        Ok(())
    }
}

impl Account {
    /// All annotations.
    ///
    /// # Errors
    /// The record can't be read.
    pub async fn annotations(&self) -> Result<Annotations, StoreError> {
        let stored = self.stored_annotations().await?;
        Ok(stored.map_or(Annotations::default(), |(_, annotations)| annotations))
    }

    /// Sets annotations of a mailbox, or of the account itself; none is a value that
    /// goes. All of them, or none where a limit stands against it. Names are in lower case.
    ///
    /// # Errors
    /// The record can't be read or written.
    pub async fn annotate(
        self: &Arc<Self>,
        mailbox: Option<MailboxId>,
        changes: &[(String, Option<Bytes>)],
    ) -> Result<Result<(), AnnotationLimit>, StoreError> {
        for _ in 0..CONFLICT_RETRIES {
            let mut lane = self.lane().await?;
            let mut staged = lane.read_annotations().await?;
            if let Err(limit) = staged.set(mailbox, changes) {
                return Ok(Err(limit));
            }
            let mut batch = Batch::new();
            lane.stage_annotations(&mut batch, staged)?;
            let submitted = match lane.is_clean() {
                true => lane.submit_beside(batch),
                false => lane.submit(batch),
            };
            match submitted {
                Ok(ticket) => {
                    ticket.done().await;
                    return Ok(Ok(()));
                }
                Err(SubmitError::Conflict { winner, .. }) => winner.visible().await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended)
    }

    /// The name of the script that runs at events of a mailbox. Costs nothing where no annotation names one.
    ///
    /// RFC 6785 §2.3.1: the mailbox's own entry holds, even if it is empty or of no use; else the account's.
    ///
    /// # Errors
    /// The record can't be read.
    pub async fn event_script(&self, mailbox: MailboxId) -> Result<Option<String>, StoreError> {
        let seen = self.event_scripts.load(Ordering::Acquire);
        if seen & EVENTS_KNOWN == NO_EVENTS {
            return Ok(None);
        }
        let annotations = self.annotations().await?;
        let any = annotations.all.keys().any(|(_, name)| name == EVENT_SCRIPT);
        let known = if any { SOME_EVENTS } else { NO_EVENTS };
        let now = (seen & !EVENTS_KNOWN) | known;
        // A change that came between leaves it unknown.
        let _ = self
            .event_scripts
            .compare_exchange(seen, now, Ordering::AcqRel, Ordering::Relaxed);
        let value = annotations.value(Some(mailbox), EVENT_SCRIPT);
        let value = value.or_else(|| annotations.value(None, EVENT_SCRIPT));
        let name = value.and_then(|value| core::str::from_utf8(value).ok());
        Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
    }

    fn forget_event_scripts(&self) {
        let unknown = |seen: u64| Some((seen & !EVENTS_KNOWN).wrapping_add(EVENTS_CHANGED));
        let events = &self.event_scripts;
        // It never refuses.
        let _ = events.fetch_update(Ordering::AcqRel, Ordering::Acquire, unknown);
    }

    async fn stored_annotations(&self) -> Result<Option<(Versioned, Annotations)>, StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let account = self.id();
        let work = move || read(&*engine, account);
        let Some(stored) = self.shared.runtime.blocking(work).await? else {
            return Ok(None);
        };
        let annotations =
            Annotations::decode(&stored.value).map_err(|error| StoreError::Damaged {
                account,
                what: format!("its annotations: {error}"),
            })?;
        Ok(Some((stored, annotations)))
    }
}

fn read(engine: &dyn Engine, account: AccountId) -> Result<Option<Versioned>, StoreError> {
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    Ok(snapshot.get(&keys::annotations(account))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Annotations {
        let mut sample = Annotations::default();
        let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        sample.set(None, &[("/private/a".into(), value("x"))]);
        sample.set(Some(MailboxId(300)), &[("/shared/b".into(), value(""))]);
        sample
    }

    #[test]
    fn the_record_is_these_bytes_and_reads_back() {
        let mut golden = vec![1, 2, 0, 10];
        golden.extend(b"/private/a\x01x");
        golden.extend([0xac, 2, 9]);
        golden.extend(b"/shared/b\x00");
        assert_eq!(sample().encode(), golden);
        let golden = Bytes::from(golden);
        assert_eq!(Annotations::decode(&golden), Ok(sample()));
        for len in 0..golden.len() {
            assert!(Annotations::decode(&golden.slice(..len)).is_err());
        }
        let mut twice = vec![1, 2];
        twice.extend([0, 1, b'a', 0, 0, 1, b'a', 0]);
        assert!(Annotations::decode(&twice.into()).is_err());
    }

    #[test]
    fn limits_hold_for_one_and_for_all() {
        let mut annotations = sample();
        let long = Some(Bytes::from(vec![b'x'; ANNOTATION_BYTES_MAX + 1]));
        annotations.set(None, &[("/private/long".into(), long)]);
        assert_eq!(
            annotations.check(),
            Err(AnnotationLimit::Size(ANNOTATION_BYTES_MAX))
        );
        annotations.set(None, &[("/private/long".into(), None)]);
        assert_eq!(annotations.check(), Ok(()));
        for n in 0..ANNOTATIONS_MAX {
            annotations.set(None, &[(format!("/private/{n}"), Some(Bytes::new()))]);
        }
        assert_eq!(annotations.check(), Err(AnnotationLimit::Count));
    }
}
