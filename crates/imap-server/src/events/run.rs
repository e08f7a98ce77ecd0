//! One command's messages through a script, some at a time.

use super::act::{Acting, Decided};
use super::world::{Environment, EventMessage, EventWorld, Uses};
use crate::Ports;
use crate::limits::{EVENT_BODY_BYTES_MAX, EVENT_MESSAGES, EVENT_OCTETS, EVENT_TIME_MAX};
use mailbox_model::{MailboxId, Uid, View};
use mailstore::{Account, Annotations, EmailRecord, Scripts, StoreError};
use mime::StoredDigest;
use runtime::Monotonic;
use sieve::{Extension, Input, Limits, Moment, Outcome, Script, run};
use std::sync::Arc;

/// A message that something was done to.
pub(super) struct Subject {
    pub(super) uid: Uid,
    /// RFC 6785 §4.5
    pub(super) changed: String,
}

pub(super) struct Job {
    /// As the log knows it.
    pub(super) session: u64,
    pub(super) ports: Arc<Ports>,
    /// The owner's.
    pub(super) account: Arc<Account>,
    pub(super) mailbox: MailboxId,
    pub(super) script: String,
    pub(super) cause: &'static str,
    pub(super) environment: Environment,
    pub(super) subjects: Vec<Subject>,
}

/// What a script is run with.
struct Ready {
    script: Arc<Script>,
    scripts: Arc<Scripts>,
    annotations: Arc<Annotations>,
    /// The script may look at more than the header.
    reads_body: bool,
}

/// A message that was read, and what the script is told of it.
struct Read {
    uid: Uid,
    record: EmailRecord,
    message: EventMessage,
    flags: Vec<String>,
    changed: String,
}

impl Job {
    pub(super) async fn run(self) {
        let ready = match self.ready().await {
            Ok(Some(ready)) => ready,
            // RFC 6785 §2.3.1: a script that is not there is none.
            Ok(None) => {
                tracing::debug!(session = self.session, account = %self.account.id(), script = self.script, "imap: there is no such script");
                return;
            }
            Err(why) => {
                tracing::warn!(session = self.session, account = %self.account.id(), script = self.script, why, "imap: the script does not run");
                return;
            }
        };
        let begun = self.ports.runtime.monotonic();
        let mut acting = Acting::new(&self, begun);
        // RFC 6785 §2.2: each message is an event of its own.
        let mut rest = &self.subjects[..];
        while !rest.is_empty() {
            if self.ports.runtime.monotonic().since(begun) > EVENT_TIME_MAX {
                self.tell_late(rest.len());
                return;
            }
            let (read, seen) = self.read(rest, &ready).await;
            rest = &rest[seen..];
            let decided = self.decide(read, &ready, begun).await;
            acting.act(decided).await;
        }
    }

    async fn ready(&self) -> Result<Option<Ready>, String> {
        let scripts = self
            .account
            .scripts()
            .await
            .map_err(|error| error.to_string())?;
        let scripts = Arc::new(scripts);
        let compiled = Arc::clone(&self.ports.events.compiled);
        let (all, name) = (Arc::clone(&scripts), self.script.clone());
        let work = move || all.source(&name).map(|source| compiled.script(source));
        let Some(script) = self.ports.runtime.blocking(work).await else {
            return Ok(None);
        };
        let script = script.map_err(|said| said.to_string())?;
        let annotations = self
            .account
            .annotations()
            .await
            .map_err(|error| error.to_string())?;
        let bodies = [
            Extension::Body,
            Extension::Mime,
            Extension::ForEveryPart,
            Extension::ExtractText,
            Extension::Include,
        ];
        let reads_body = bodies.into_iter().any(|one| script.requires().has(one));
        Ok(Some(Ready {
            script,
            scripts,
            annotations: Arc::new(annotations),
            reads_body,
        }))
    }

    /// Those of the first messages that are still there and can be read, and how many of `subjects` that is:
    /// what is in memory at once is bounded.
    async fn read(&self, subjects: &[Subject], ready: &Ready) -> (Vec<Read>, usize) {
        let subjects = &subjects[..subjects.len().min(EVENT_MESSAGES)];
        let view = self.account.view();
        let Some(mailbox) = view.mailbox(self.mailbox) else {
            return (Vec::new(), subjects.len());
        };
        let entries = subjects
            .iter()
            .filter_map(|subject| Some((subject, mailbox.find(subject.uid)?.1)));
        let entries: Vec<_> = entries.collect();
        let ids: Vec<_> = entries.iter().map(|(_, entry)| entry.email).collect();
        let records = self.account.email_records(&ids).await;
        let mut out = Vec::new();
        let mut octets = 0;
        for ((subject, entry), record) in entries.into_iter().zip(records) {
            if octets >= EVENT_OCTETS {
                let place = subjects.iter().position(|one| one.uid == subject.uid);
                return (out, place.unwrap_or(subjects.len()));
            }
            let message = match record {
                Ok(record) => self
                    .message(&record, ready.reads_body)
                    .await
                    .map(|message| (record, message)),
                Err(error) => Err(error.to_string()),
            };
            if let Ok((_, message)) = &message {
                octets += message.bytes();
            }
            match message {
                Ok((record, message)) => out.push(Read {
                    uid: subject.uid,
                    record,
                    message,
                    flags: entry
                        .flags()
                        .map(|flag| view.flag(flag).as_str().to_owned())
                        .collect(),
                    changed: subject.changed.clone(),
                }),
                Err(why) => {
                    tracing::error!(session = self.session, account = %self.account.id(), uid = subject.uid.0, why, "imap: no script sees a message that cannot be read");
                }
            }
        }
        (out, subjects.len())
    }

    async fn message(
        &self,
        record: &EmailRecord,
        reads_body: bool,
    ) -> Result<EventMessage, String> {
        let failed = |error: StoreError| error.to_string();
        let digest = StoredDigest::read(&record.digest).map_err(|error| error.to_string())?;
        let prefix = record.prefix.len() as u64;
        let header_len = digest.header_len.min(mime::limits::HEADER_BYTES_MAX as u64);
        let (header_end, whole_header) = (prefix + header_len, header_len == digest.header_len);
        if !reads_body {
            return Ok(EventMessage {
                header: self
                    .account
                    .read_message(record, 0..header_end)
                    .await
                    .map_err(failed)?,
                whole_header,
                size: record.size(),
                parts: None,
                octets: bytes::Bytes::new(),
            });
        }
        let end = record
            .size()
            .min(prefix + EVENT_BODY_BYTES_MAX)
            .max(header_end);
        let whole = self
            .account
            .read_message(record, 0..end)
            .await
            .map_err(failed)?;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(whole.len());
        Ok(EventMessage {
            header: whole.slice(..place(header_end)),
            whole_header,
            size: record.size(),
            parts: Some(digest.parts().map_err(|error| error.to_string())?),
            octets: whole.slice(place(prefix)..),
        })
    }

    /// Runs the script, which may compute for long. Who has run out of time sees no more messages.
    async fn decide(&self, read: Vec<Read>, ready: &Ready, begun: Monotonic) -> Vec<Decided> {
        let now = Moment {
            unix_seconds: i64::try_from(self.ports.runtime.now().unix_seconds())
                .unwrap_or(i64::MAX),
            zone_minutes: 0,
        };
        let script = Arc::clone(&ready.script);
        let name = self.script.clone();
        let count = read.len();
        let mut world = EventWorld {
            view: self.account.view(),
            annotations: Arc::clone(&ready.annotations),
            scripts: Arc::clone(&ready.scripts),
            environment: self.environment.clone(),
            compiled: Arc::clone(&self.ports.events.compiled),
            uses: Uses::default(),
        };
        let runtime = self.ports.runtime.clone();
        let in_time = move |_: &Read| runtime.monotonic().since(begun) <= EVENT_TIME_MAX;
        let work = move || {
            let decide = |read: Read| {
                world
                    .environment
                    .insert("imap.changedflags", read.changed.clone());
                let input = Input {
                    message: &read.message,
                    // RFC 6785 §4.6
                    envelope: None,
                    // RFC 6785 §2.2.3: the flags after the change.
                    flags: &read.flags,
                    now,
                    limits: Limits::default(),
                    traced: false,
                };
                let outcome = run(&script, &name, &input, &mut world);
                Decided {
                    uid: read.uid,
                    record: read.record,
                    header: read.message.header,
                    flags: read.flags,
                    outcome,
                }
            };
            read.into_iter().take_while(in_time).map(decide).collect()
        };
        let decided: Vec<Decided> = self.ports.runtime.blocking(work).await;
        if decided.len() < count {
            self.tell_late(count - decided.len());
        }
        decided
    }

    fn tell_late(&self, left: usize) {
        tracing::warn!(session = self.session, account = %self.account.id(), script = self.script, left, "imap: a script has taken too long, it does not see the rest of the messages");
    }

    /// What a script did, for whoever asks the log.
    pub(super) fn tell(&self, uid: Uid, outcome: &Outcome) {
        let (session, account, mailbox) = (self.session, self.account.id(), self.mailbox.0);
        let (uid, script, cause) = (uid.0, &self.script, self.cause);
        if let Some(failure) = &outcome.failure {
            tracing::warn!(session, %account, mailbox, uid, cause, %failure, "imap: a script failed, the message stays as it is");
            return;
        }
        let actions: Vec<String> = outcome
            .actions
            .iter()
            .map(|done| done.action.to_string())
            .collect();
        tracing::info!(session, %account, mailbox, uid, script, cause, actions = actions.join(", "), "imap: a script ran");
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.account.view()
    }
}
