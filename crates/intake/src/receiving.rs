//! A message as it comes in: filtered, hashed, indexed while it streams.
//!
//! Up to one chunk (256 KiB) nothing waits. What is longer is handed to the
//! blocking pool in large pieces, because the journal may make its writer wait.
//! A fault does not end the stream: the rest is taken and thrown away, and the
//! outcome says why.

use crate::facts::Transaction;
use crate::header::{HeaderFilter, Missing};
use crate::limits::{PUSH_BYTES, RECIPIENTS_LOGGED_MAX, WORK_TIME};
use crate::outcome::Outcome;
use crate::plan::{Body, Known, Plan};
use crate::senders::Senders;
use crate::store::{Inner, internal_date};
use crate::traced::Accepted;
use crate::{prefix, reply, resend};
use blobs::{BlobError, BlobWriter};
use bytes::Bytes;
use directory::{Account, Target};
use engine::ShardId;
use envelope::{Recipient, Reply, ReversePath};
use mime::{DateTime, Indexer, Limits, format_date};
use observe::{Door, Outcome as Counted, Route};
use policy::{Decision, Role};
use queue_model::QueueId;
use report_format::limits::RETURNED_HEADER_BYTES_MAX;
use std::sync::Arc;

/// A message that is being received.
pub struct Receiving {
    inner: Arc<Inner>,
    transaction: Transaction,
    id: QueueId,
    at: DateTime,
    shard: ShardId,
    filter: HeaderFilter,
    /// The account that submits this, if it has its copy filed here.
    keeper: Option<Account>,
    has_begun: bool,
    /// Gone while they are on the blocking pool, and after a fault.
    sinks: Option<Sinks>,
    /// Bytes for the sinks that wait for company.
    pending: Vec<u8>,
    scratch: Vec<u8>,
    /// The header's beginning, when somebody may be told of a success.
    kept: Option<Vec<u8>>,
    size: u64,
    fault: Option<Reply>,
}

struct Sinks {
    writer: BlobWriter,
    /// For mailboxes; what only leaves needs none.
    indexer: Option<Box<Indexer>>,
}

impl Sinks {
    fn push(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        if let Some(indexer) = &mut self.indexer {
            indexer.push(bytes);
        }
        self.writer.push(bytes)
    }
}

impl std::fmt::Debug for Receiving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiving")
            .field("id", &self.id)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Receiving {
    pub(crate) fn new(inner: Arc<Inner>, transaction: Transaction) -> Self {
        let id = inner.next_id();
        let at = inner.now();
        let shard = inner.home_shard(&transaction.decisions);
        let submission = transaction.facts.session.role == Role::Submission;
        let writer = transaction.facts.session.identity.as_ref();
        let missing = submission.then(|| Missing {
            from: writer.map(|who| format!("From: <{}>\r\n", who.address.to_wire())),
            date: format!("Date: {}\r\n", format_date(at)),
            message_id: format!("Message-ID: <{id}@{}>\r\n", inner.options.hostname),
        });
        let filter = HeaderFilter::new(missing).without(&transaction.shape.remove);
        let recipients = &transaction.envelope.recipients;
        let kept = recipients.iter().any(|r| r.notify.on_success());
        let sinks = Sinks {
            writer: inner.ports.blobs.writer(shard),
            indexer: Some(Box::new(Indexer::new(Limits::default()))),
        };
        Self {
            inner,
            transaction,
            id,
            at,
            shard,
            filter,
            keeper: None,
            has_begun: false,
            sinks: Some(sinks),
            pending: Vec::new(),
            scratch: Vec::new(),
            kept: kept.then(Vec::new),
            size: 0,
            fault: None,
        }
    }

    /// The message's name in the log and in the reply.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// Whose message it is.
    #[must_use]
    pub fn sender(&self) -> &ReversePath {
        &self.transaction.envelope.reverse_path
    }

    /// Takes a piece of the message, with CRLF line ends and dots unstuffed.
    ///
    /// # Cancel safety
    /// A dropped call leaves the message unfinished; drop it as well.
    pub async fn push(&mut self, piece: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        if !self.has_begun {
            self.begin().await;
        }
        self.size += piece.len() as u64;
        if self.size > self.inner.options.message_bytes_max {
            return self.fail(reply::too_large(self.inner.options.message_bytes_max));
        }
        let mut header = std::mem::take(&mut self.scratch);
        let body = self.filter.push(piece, &mut header);
        if self.filter.is_too_large() {
            return self.fail(reply::header_too_large());
        }
        self.keep(&header);
        self.write(&header).await;
        header.clear();
        self.scratch = header;
        self.write(body).await;
    }

    /// Finds out, before its first octets, whether any of it stays here.
    async fn begin(&mut self) {
        self.has_begun = true;
        self.keeper = self.find_keeper().await;
        if self.keeper.is_some() || stays_here(&self.transaction.decisions) {
            return;
        }
        if let Some(sinks) = self.sinks.take() {
            self.sinks = Some(Sinks {
                writer: sinks.writer.in_passing(),
                indexer: None,
            });
        }
    }

    /// Ends the message: makes it durable and says what became of it.
    ///
    /// # Cancel safety
    /// A commit that was submitted goes on even when this is dropped.
    pub async fn finish(mut self) -> Outcome {
        let outcome = self.conclude().await;
        self.count(&outcome);
        outcome
    }

    async fn conclude(&mut self) -> Outcome {
        let recipients = self.transaction.envelope.recipients.len();
        let until = self.inner.ports.runtime.monotonic().after(WORK_TIME);
        if !self.has_begun {
            self.begin().await;
        }
        let body = match self.end_body().await {
            Ok(body) => body,
            Err(reply) => return Outcome::all(self.id(), recipients, reply),
        };
        let received = self.filter.received();
        if received >= self.inner.options.received_max {
            return Outcome::all(self.id(), recipients, reply::hop_loop(received));
        }
        if let Err(reply) = self.check_authors().await {
            return Outcome::all(self.id(), recipients, reply);
        }
        self.ask_about_size();
        let facts = &self.transaction.facts;
        let envelope = &self.transaction.envelope;
        // A message without a Message-ID of its own is never taken for a resend.
        let is_named = self.filter.has_message_id();
        let fingerprint = is_named.then(|| resend::fingerprint(facts, envelope, body.blob.id));
        if let Some(first) = fingerprint.and_then(|print| self.inner.resends.find(&print)) {
            tracing::info!(session = %facts.session_id, id = %first, "the same message again");
            let mut outcome = Outcome::all(first.clone(), recipients, reply::accepted(&first));
            outcome.again = true;
            return outcome;
        }
        let only = match envelope.recipients.as_slice() {
            [only] => Some(&only.address),
            _ => None,
        };
        let hostname = &self.inner.options.hostname;
        let id = self.id.to_string();
        let mut trace = prefix::received(hostname, facts, envelope.smtputf8, &id, only, self.at);
        for field in &self.transaction.shape.add {
            trace.push_str(field);
            trace.push_str("\r\n");
        }
        let known = match self.senders().await {
            Ok(senders) => Known {
                keeper: self.keeper.take(),
                senders,
            },
            Err(reply) => return Outcome::all(id, recipients, reply),
        };
        let plan = Plan::new(
            &self.inner,
            &self.transaction,
            self.id,
            &trace,
            &self.filter,
            &body,
            &known,
        );
        let replies = self.inner.execute(plan, body, until).await;
        let outcome = Outcome::of(id.clone(), replies);
        if outcome.replies.iter().all(Reply::is_positive)
            && let Some(print) = fingerprint
        {
            self.inner.resends.remember(print, id);
        }
        outcome
    }

    /// A user's From is checked like its MAIL FROM.
    async fn check_authors(&self) -> Result<(), Reply> {
        let session = &self.transaction.facts.session;
        match &session.identity {
            Some(who) if session.role == Role::Submission => {
                let directory = &self.inner.ports.directory;
                self.filter.authors().check(directory, who.account).await
            }
            _ => Ok(()),
        }
    }

    /// How the sender is rewritten, if anything is sent on.
    async fn senders(&self) -> Result<Senders, Reply> {
        let transaction = &self.transaction;
        let decided = || {
            let recipients = transaction.envelope.recipients.iter();
            recipients.zip(&transaction.decisions).enumerate()
        };
        let goes_on =
            |(place, (recipient, decision)): (usize, (&Recipient, &Decision))| match decision {
                Decision::Local(targets) => targets.iter().any(|t| matches!(t, Target::Forward(_))),
                Decision::Relay(to) => transaction.is_by_rule(place, recipient, to),
                Decision::Refuse(_) => false,
            };
        if !decided().any(goes_on) {
            return Ok(Senders::kept());
        }
        let senders = self
            .inner
            .senders(&transaction.envelope.reverse_path)
            .await?;
        if transaction.shape.sender.is_some() {
            // A rule has said what it leaves with.
            return Ok(senders);
        }
        for (_, (recipient, _)) in decided() {
            let domain = recipient.address.domain();
            if let Ok(true) = self.inner.ports.directory.is_local_domain(domain).await {
                return Ok(senders.at_home(Some(domain.clone())));
            }
        }
        Ok(senders)
    }

    async fn find_keeper(&self) -> Option<Account> {
        let session = &self.transaction.facts.session;
        let who = session.identity.as_ref()?;
        if session.role != Role::Submission {
            return None;
        }
        match self.inner.ports.directory.account(who.account).await {
            Ok(account) => account.filter(|account| account.saves_sent),
            Err(error) => {
                tracing::warn!(id = %self.id, %error, "nobody knows whether the sender wants a copy");
                None
            }
        }
    }

    /// Rules about the size are asked again, now that it is known.
    fn ask_about_size(&mut self) {
        let Some(sized) = self.transaction.shape.sized.take() else {
            return;
        };
        let (refused, hold) = sized.refusals(self.size);
        for (place, reply) in refused {
            if let Some(decision) = self.transaction.decisions.get_mut(place) {
                *decision = Decision::Refuse(reply);
            }
        }
        self.transaction.hold = self.transaction.hold.take().or(hold);
    }

    async fn end_body(&mut self) -> Result<Body, Reply> {
        let mut header = std::mem::take(&mut self.scratch);
        if self.fault.is_none() {
            self.filter.finish(&mut header);
            self.keep(&header);
            self.write(&header).await;
            self.flush().await;
        }
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let Some(sinks) = self.sinks.take() else {
            return Err(reply::local_trouble());
        };
        let finish = move || {
            let digest = sinks.indexer.map(|indexer| indexer.finish().encode());
            let blob = sinks.writer.finish()?;
            Ok((blob, Bytes::from(digest.unwrap_or_default())))
        };
        let finished = if self.size < PUSH_BYTES as u64 {
            finish()
        } else {
            self.inner.ports.runtime.blocking(finish).await
        };
        let (blob, digest) = finished.map_err(|error: BlobError| of_blob(&error))?;
        Ok(Body {
            blob,
            digest,
            received_at: internal_date(self.at),
            header: self.kept.take().unwrap_or_default().into(),
            traced: Some(Box::new(self.traced())),
        })
    }

    /// What is remembered of the message when it is accepted.
    fn traced(&self) -> Accepted {
        let Transaction {
            facts,
            envelope,
            hold,
            shape,
            ..
        } = &self.transaction;
        let session = &facts.session;
        let mut notes = facts.evidence.summary();
        let mut note = |text: &str| {
            if !notes.is_empty() {
                notes.push_str("; ");
            }
            notes.push_str(text);
        };
        for rule in &shape.rules {
            note(&format!("rule {rule:?}"));
        }
        if let Some(reason) = hold {
            note(&format!("held: {reason}"));
        }
        let user = session.identity.as_ref().map(|who| who.address.to_string());
        Accepted {
            id: self.id.0,
            at_ms: self.inner.ports.runtime.now().unix_ms,
            session: facts.session_id.clone(),
            door: match session.role {
                Role::Mx => "mx",
                Role::Submission => "submission",
                Role::Lmtp => "lmtp",
            }
            .into(),
            client: session.client_ip.to_canonical().to_string(),
            helo: facts.helo.clone(),
            tls: facts.tls.clone().unwrap_or_default(),
            user: user
                .or_else(|| session.local_user.clone())
                .unwrap_or_default(),
            sender: envelope.reverse_path.to_string(),
            notes,
            size: self.size,
            recipients: envelope.recipients.len() as u64,
            went: Vec::new(),
        }
    }

    fn keep(&mut self, header: &[u8]) {
        if let Some(kept) = &mut self.kept {
            let room = RETURNED_HEADER_BYTES_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(&header[..header.len().min(room)]);
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        let Some(sinks) = &mut self.sinks else {
            return;
        };
        let small = sinks.writer.size() + bytes.len() as u64 <= PUSH_BYTES as u64;
        if small && self.pending.is_empty() {
            if let Err(error) = sinks.push(bytes) {
                self.fail(of_blob(&error));
            }
            return;
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PUSH_BYTES {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let Some(mut sinks) = self.sinks.take() else {
            return;
        };
        let pending = std::mem::take(&mut self.pending);
        let work = move || {
            let pushed = sinks.push(&pending);
            (sinks, pending, pushed)
        };
        let (sinks, mut pending, pushed) = self.inner.ports.runtime.blocking(work).await;
        pending.clear();
        self.pending = pending;
        self.sinks = Some(sinks);
        if let Err(error) = pushed {
            self.fail(of_blob(&error));
        }
    }

    fn fail(&mut self, reply: Reply) {
        self.fault = Some(reply);
        self.sinks = None;
        self.pending = Vec::new();
        self.scratch = Vec::new();
    }

    fn count(&self, outcome: &Outcome) {
        let facts = &self.transaction.facts;
        let door = match facts.session.role {
            Role::Mx => Door::Mx,
            Role::Submission => Door::Submission,
            Role::Lmtp => Door::Lmtp,
        };
        let metrics = &self.inner.ports.metrics;
        if outcome.is_accepted() {
            metrics.message_accepted(door, self.size);
        } else {
            metrics.message_refused(door, "data");
        }
        for (decision, reply) in self.transaction.decisions.iter().zip(&outcome.replies) {
            if matches!(decision, Decision::Local(_)) && reply.is_positive() {
                metrics.delivery(Route::Local, Counted::Delivered);
            }
        }
        tracing::info!(
            session = %facts.session_id,
            id = %outcome.id,
            sender = %self.transaction.envelope.reverse_path,
            client = %facts.session.client_ip,
            recipients = %named(&self.transaction.envelope.recipients),
            bytes = self.size,
            shard = self.shard.0,
            reply = %outcome.reply.to_line(),
            "{}",
            if outcome.is_accepted() { "message accepted" } else { "message refused" }
        );
    }
}

/// Some of it may get into a mailbox here.
fn stays_here(decisions: &[Decision]) -> bool {
    let is_account = |target: &Target| matches!(target, Target::Account { .. });
    let stays = |decision: &Decision| match decision {
        Decision::Local(targets) => targets.iter().any(is_account),
        Decision::Relay(_) | Decision::Refuse(_) => false,
    };
    decisions.iter().any(stays)
}

/// The recipients as the log names them.
fn named(recipients: &[Recipient]) -> String {
    let first = recipients.iter().take(RECIPIENTS_LOGGED_MAX);
    let mut text = first
        .map(|recipient| recipient.address.to_string())
        .collect::<Vec<_>>()
        .join(" ");
    if let Some(more) = recipients.len().checked_sub(RECIPIENTS_LOGGED_MAX + 1) {
        text.push_str(&format!(" and {} more", more + 1));
    }
    text
}

/// What a body that could not be stored means for the client.
pub(crate) fn of_blob(error: &BlobError) -> Reply {
    match error {
        BlobError::Submit(error) => reply::of_submit(error),
        BlobError::TooLarge => reply::too_large(0),
        other => {
            tracing::error!(error = %other, "a message body could not be stored");
            reply::local_trouble()
        }
    }
}
