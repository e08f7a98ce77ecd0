//! One client's session: reads, waits, writes, and answers the events.

use crate::Ports;
use crate::ahead::Ahead;
use crate::config::{Config, TlsMode};
use crate::limits::{
    COMMAND_TIMEOUT, FAREWELL_TIMEOUT, LOGIN_TIMEOUT, READ_AHEAD_KEPT, SEEN_TOGETHER,
};
use crate::maildrops::Lock;
use bytes::BytesMut;
use directory::{AuthFailure, Caller, Identity, Service, Verdict};
use mailbox_model::stage::{Expunging, FlagAction};
use mailbox_model::{Flag, MailboxId, Uid, UidSet};
use mailstore::{Account, MessageReader};
use observe::SessionGauge;
use pop3_proto::{
    CloseReason, Event, Fetch, LoginRefusal, Maildrop, Message, Session as Protocol, Stuffer,
    TlsState,
};
use runtime::Monotonic;
use runtime::net::Conn;
use sasl::Question;
use std::sync::Arc;

/// The session is over; whoever had to be told was told.
#[derive(Debug)]
struct Ended;

/// A session.
pub(crate) struct Session {
    conn: Conn,
    protocol: Protocol,
    input: BytesMut,
    ports: Arc<Ports>,
    config: Arc<Config>,
    /// The number that the log knows the session by.
    id: u64,
    login: Option<Login>,
    /// Who it is once the exchange is done.
    granted: Option<Identity>,
    /// When the login must have happened.
    login_until: Monotonic,
    /// When the command whose first bytes are here must be complete.
    command_until: Option<Monotonic>,
    _gauge: SessionGauge,
}

/// Who logged in, with what of the inbox.
struct Login {
    account: Arc<Account>,
    inbox: MailboxId,
    /// Fetched and not yet marked.
    seen: Vec<u32>,
    /// Retrieved and not yet noted, where mail expires.
    retrieved: Vec<u32>,
    ahead: Ahead,
    lock: Lock,
}

impl Session {
    pub(crate) fn new(conn: Conn, ports: Arc<Ports>, config: Arc<Config>) -> Self {
        let tls = match (&config.tls, conn.is_tls()) {
            (_, true) => TlsState::Active,
            (TlsMode::StartTls(_), _) => TlsState::Offered,
            _ => TlsState::Unavailable,
        };
        let offer = ports.logins.offer(conn.bindings(), conn.client_names());
        let timestamp = offer.has_digests().then(|| {
            let runtime = &ports.runtime;
            let (one, two) = (runtime.random_u64(), runtime.random_u64());
            format!("<{one:016x}{two:016x}@{}>", config.host_name)
        });
        let mut protocol = Protocol::new(pop3_proto::Config {
            hostname: config.host_name.clone(),
            tls,
            plaintext_login: config.plaintext_login,
            timestamp,
            expire_days: config.expire_days,
        });
        protocol.set_offer(offer);
        Self {
            conn,
            protocol,
            granted: None,
            input: BytesMut::new(),
            id: ports.runtime.random_u64(),
            login: None,
            login_until: ports.runtime.monotonic().after(LOGIN_TIMEOUT),
            command_until: None,
            _gauge: ports.metrics.session("pop3"),
            ports,
            config,
        }
    }

    pub(crate) async fn run(&mut self) {
        tracing::debug!(session = self.id, peer = %self.conn.peer_addr(), "pop3: session begins");
        // What there was to say has been said.
        let _ = self.converse().await;
        Box::pin(self.mark_seen()).await;
        Box::pin(self.note_retrieved()).await;
        // Free before the client can know of the end and come back.
        self.login = None;
        tracing::debug!(session = self.id, "pop3: session ends");
        // Nobody may be there any more.
        let _ = Box::pin(self.conn.shutdown()).await;
    }

    async fn converse(&mut self) -> Result<(), Ended> {
        loop {
            while let Some(event) = self.protocol.poll_event() {
                Box::pin(self.handle(event)).await?;
            }
            if !Box::pin(self.flush()).await? {
                self.wait_for_input().await?;
            }
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::StartTls => self.start_tls().await,
            Event::Login(question) => {
                self.log_in(&question).await;
                Ok(())
            }
            Event::Open => {
                if let Some(identity) = self.granted.take() {
                    self.ports.metrics.login("pop3", true);
                    self.open(identity).await;
                }
                Ok(())
            }
            Event::Fetch(fetch) => self.fetch(fetch).await,
            Event::Update(uids) => {
                // What was retrieved is on its way before any of it is removed.
                self.flush().await?;
                let removed = self.update(&uids).await;
                self.protocol.updated(removed);
                Ok(())
            }
            Event::Close(reason) => {
                if reason != CloseReason::Quit {
                    tracing::info!(session = self.id, peer = %self.conn.peer_addr(), ?reason, "pop3: session cut off");
                }
                self.flush().await?;
                Err(Ended)
            }
        }
    }

    /// Writes what is to be written; true if there was anything.
    async fn flush(&mut self) -> Result<bool, Ended> {
        let output = self.protocol.take_output();
        if output.is_empty() {
            return Ok(false);
        }
        self.write(&output).await?;
        Ok(true)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.conn.write_all(bytes).await.map_err(|_| Ended)?;
        self.conn.flush().await.map_err(|_| Ended)
    }

    async fn wait_for_input(&mut self) -> Result<(), Ended> {
        let runtime = &self.ports.runtime;
        let now = runtime.monotonic();
        let patience = if self.login.is_none() {
            self.login_until.since(now)
        } else if self.protocol.is_idle() {
            self.command_until = None;
            self.config.idle_timeout
        } else {
            let until = self
                .command_until
                .get_or_insert_with(|| now.after(COMMAND_TIMEOUT));
            until.since(now)
        };
        let shutdown = runtime.shutdown();
        let lock = self.login.as_ref().map(|login| &login.lock);
        if let Some(lock) = lock {
            lock.rest(now);
        }
        let lost = async {
            match lock {
                Some(lock) => lock.lost().await,
                None => std::future::pending().await,
            }
        };
        // Who takes its time lets the memory go first.
        let keeps = self
            .login
            .as_ref()
            .is_some_and(|login| !login.ahead.is_empty());
        let (patience, timed_out) = match keeps {
            true => (READ_AHEAD_KEPT.min(patience), None),
            false => (patience, Some(0)),
        };
        let read = tokio::select! {
            read = self.conn.read(&mut self.input) => Some(read.unwrap_or(0)),
            // RFC 1939 §3: the autologout removes nothing and says nothing.
            () = runtime.sleep(patience) => timed_out,
            () = shutdown.draining() => Some(0),
            () = lost => Some(0),
        };
        if lock.is_some_and(|lock| !lock.resume()) {
            return self.say_farewell().await;
        }
        let Some(read) = read else {
            if let Some(login) = &mut self.login {
                login.ahead.forget();
            }
            return Ok(());
        };
        if read == 0 {
            return Err(Ended);
        }
        self.protocol.handle_input(&self.input);
        self.input.clear();
        Ok(())
    }

    /// Another session of the account has the maildrop: this one does nothing more.
    async fn say_farewell(&mut self) -> Result<(), Ended> {
        tracing::info!(session = self.id, peer = %self.conn.peer_addr(), "pop3: another session took the maildrop over");
        const TEXT: &[u8] =
            b"-ERR [SYS/TEMP] another session took the maildrop over; nothing was removed\r\n";
        let runtime = self.ports.runtime.clone();
        tokio::select! {
            // Nobody may be there any more.
            _ = self.write(TEXT) => {}
            () = runtime.sleep(FAREWELL_TIMEOUT) => {}
        }
        Err(Ended)
    }

    async fn start_tls(&mut self) -> Result<(), Ended> {
        self.flush().await?;
        let TlsMode::StartTls(tls) = &self.config.tls else {
            return Err(Ended);
        };
        let tls = tls.clone();
        self.conn
            .start_tls_after(&tls, &self.input)
            .await
            .map_err(|_| Ended)?;
        self.protocol.tls_started();
        let offer = self
            .ports
            .logins
            .offer(self.conn.bindings(), self.conn.client_names());
        self.protocol.set_offer(offer);
        Ok(())
    }

    async fn log_in(&mut self, question: &Question) {
        let peer = self.conn.peer_addr().ip();
        let caller = Caller {
            service: Service::Pop3,
            peer,
        };
        match self.ports.logins.answer(question, caller).await {
            Ok(Verdict::GoOn(answer)) => self.protocol.answer_login(answer),
            Ok(Verdict::Granted(identity, answer)) => {
                self.granted = Some(identity);
                self.protocol.answer_login(answer);
            }
            Ok(Verdict::Refused(failure, answer)) => {
                self.note_refused(&failure);
                self.protocol.answer_login(answer);
            }
            Err(failure) => {
                self.note_refused(&failure);
                let refusal = match failure {
                    AuthFailure::Invalid | AuthFailure::Token { .. } => LoginRefusal::Credentials,
                    AuthFailure::Disabled => LoginRefusal::Permanent,
                    AuthFailure::Banned { .. } | AuthFailure::Busy | AuthFailure::Temporary(_) => {
                        LoginRefusal::Temporary
                    }
                };
                self.protocol.refuse_login(refusal, &failure.to_string());
            }
        }
    }

    fn note_refused(&self, failure: &AuthFailure) {
        self.ports.metrics.login("pop3", false);
        tracing::info!(session = self.id, peer = %self.conn.peer_addr(), %failure, "pop3: login refused");
    }

    /// Takes the maildrop's lock and what the inbox holds now.
    async fn open(&mut self, identity: Identity) {
        let now = self.ports.runtime.monotonic();
        let patience = self.config.take_over_after;
        let Some(lock) = self.ports.maildrops.lock(identity.account, now, patience) else {
            let text = "another POP3 session has the maildrop";
            return self.protocol.refuse_login(LoginRefusal::InUse, text);
        };
        let account = match self.ports.mailstore.account(identity.account).await {
            Ok(account) => account,
            Err(error) => {
                tracing::error!(account = %identity.account, %error, "pop3: an account cannot be opened");
                let text = "the mailbox cannot be opened at the moment";
                return self.protocol.refuse_login(LoginRefusal::Temporary, text);
            }
        };
        let view = account.view();
        let Some(inbox) = view.inbox() else {
            let text = "the account has no inbox";
            return self.protocol.refuse_login(LoginRefusal::Permanent, text);
        };
        let kept = inbox.entries().iter().filter(|entry| !entry.deleted);
        let messages = kept.map(|entry| Message {
            uid: entry.uid.0,
            size: entry.size(),
        });
        let maildrop = Maildrop::new(inbox.uid_validity().0, messages);
        let app_password = identity.app_password.as_deref();
        tracing::info!(session = self.id, peer = %self.conn.peer_addr(), account = %identity.account, app_password, tls = self.conn.is_tls(), "pop3: login");
        self.login = Some(Login {
            inbox: inbox.id(),
            account,
            seen: Vec::new(),
            retrieved: Vec::new(),
            ahead: Ahead::default(),
            lock,
        });
        self.protocol.accept_login(maildrop);
    }

    async fn fetch(&mut self, fetch: Fetch) -> Result<(), Ended> {
        if fetch.lines.is_none() && self.fetch_short(fetch).await? {
            return Ok(());
        }
        let mut reader = match self.find(fetch).await {
            Ok(reader) => reader,
            Err(text) => {
                self.protocol.message_refused(&text);
                return Ok(());
            }
        };
        // The first piece before the answer: what cannot be read is refused.
        let mut piece = match reader.next_piece().await {
            Ok(piece) => piece,
            Err(error) => {
                tracing::error!(session = self.id, %error, "pop3: a message cannot be read");
                self.protocol
                    .message_refused("[SYS/TEMP] the message cannot be read");
                return Ok(());
            }
        };
        self.protocol.message_begins(fetch);
        let mut out = self.protocol.take_output();
        let mut stuffer = Stuffer::new(fetch.lines);
        while let Some(bytes) = piece {
            stuffer.push(&bytes, &mut out);
            if stuffer.is_full() {
                break;
            }
            if reader.remaining() > 0 {
                self.write(&out).await?;
                out.clear();
            }
            piece = reader.next_piece().await.map_err(|error| {
                // Half a message was sent: the client must not take it for whole.
                tracing::error!(session = self.id, %error, "pop3: a message cannot be read on");
                Ended
            })?;
        }
        stuffer.finish(&mut out);
        self.write(&out).await?;
        self.protocol.message_ended();
        if fetch.lines.is_none() {
            self.retrieved(fetch.uid).await;
        }
        Ok(())
    }

    async fn retrieved(&mut self, uid: u32) {
        if let Some(login) = self
            .login
            .as_mut()
            .filter(|_| self.config.expire_days.is_some())
        {
            login.retrieved.push(uid);
        }
        if self.config.retrieve_marks_seen {
            self.note_seen(uid).await;
        }
    }

    /// Answers with a message that is short and can be read; false if it is neither.
    async fn fetch_short(&mut self, fetch: Fetch) -> Result<bool, Ended> {
        let Some(login) = &mut self.login else {
            return Ok(false);
        };
        let (account, inbox) = (&login.account, login.inbox);
        let ahead = &mut login.ahead;
        ahead.fetch(account, inbox, fetch, &self.protocol).await;
        let view = login.account.view();
        let inbox = view.mailbox(login.inbox);
        let is_there = inbox.is_some_and(|inbox| inbox.find(Uid(fetch.uid)).is_some());
        let Some((record, body)) = login.ahead.message(fetch.uid).filter(|_| is_there) else {
            return Ok(false);
        };
        self.protocol.message_whole(fetch, &[&record.prefix, body]);
        if self.config.expire_days.is_some() {
            // What never left is not to expire.
            self.flush().await?;
        }
        self.retrieved(fetch.uid).await;
        Ok(true)
    }

    async fn find(&self, fetch: Fetch) -> Result<MessageReader, String> {
        let gone = || "the message was removed by another session".to_owned();
        let login = self.login.as_ref().ok_or_else(gone)?;
        let view = login.account.view();
        let inbox = view.mailbox(login.inbox).ok_or_else(gone)?;
        let (_, entry) = inbox.find(Uid(fetch.uid)).ok_or_else(gone)?;
        let record = login
            .account
            .email_record(entry.email)
            .await
            .map_err(|error| {
                tracing::error!(session = self.id, %error, "pop3: a record cannot be read");
                "[SYS/TEMP] the message cannot be read".to_owned()
            })?;
        Ok(login.account.open_message(&record, 0..u64::MAX))
    }

    async fn note_seen(&mut self, uid: u32) {
        let Some(login) = &mut self.login else {
            return;
        };
        login.seen.push(uid);
        if login.seen.len() >= SEEN_TOGETHER {
            self.mark_seen().await;
        }
    }

    /// Marks what was fetched; a failure loses only the marks.
    async fn mark_seen(&mut self) {
        let Some(login) = &mut self.login else {
            return;
        };
        if login.seen.is_empty() {
            return;
        }
        let seen = uid_set(&std::mem::take(&mut login.seen));
        let (inbox, flags) = (login.inbox, [Flag::Seen]);
        let marked = login
            .account
            .store_flags(inbox, &seen, FlagAction::Add, &flags, None)
            .await;
        if let Err(error) = marked {
            tracing::warn!(session = self.id, %error, "pop3: fetched messages were not marked seen");
        }
    }

    /// Notes what was retrieved today; a failure makes it stay longer.
    async fn note_retrieved(&mut self) {
        let Some(login) = &mut self.login else {
            return;
        };
        if login.retrieved.is_empty() {
            return;
        }
        let retrieved = uid_set(&std::mem::take(&mut login.retrieved));
        let today = days(self.ports.runtime.now().unix_seconds());
        if let Err(error) = login.account.note_retrieved(&retrieved, today).await {
            tracing::warn!(session = self.id, %error, "pop3: what was retrieved is not noted");
        }
    }

    /// RFC 2449 §6.7: what was retrieved long enough ago.
    async fn expired(&self) -> UidSet {
        let (Some(login), Some(kept)) = (&self.login, self.config.expire_days) else {
            return UidSet::new();
        };
        // A whole day more, so that no hour of the last one is missing.
        let today = days(self.ports.runtime.now().unix_seconds());
        let Some(until) = today.checked_sub(kept.saturating_add(1)) else {
            return UidSet::new();
        };
        match login.account.retrieved_until(until).await {
            Ok(expired) => expired,
            Err(error) => {
                tracing::warn!(session = self.id, %error, "pop3: it is not known what is to expire");
                UidSet::new()
            }
        }
    }

    /// QUIT: removes what was marked, and what is to expire; true when what was marked is
    /// gone for good.
    async fn update(&mut self, uids: &[u32]) -> bool {
        self.mark_seen().await;
        self.note_retrieved().await;
        let expired = self.expired().await;
        let Some(login) = self.login.take() else {
            return uids.is_empty();
        };
        if uids.is_empty() && expired.is_empty() {
            return true;
        }
        let marked = uids.iter().map(|&uid| (Uid(uid), Uid(uid)));
        let set = UidSet::from_ranges(marked.chain(expired.ranges()));
        let expunged = login
            .account
            .expunge(login.inbox, Expunging::Exactly(&set))
            .await;
        match expunged {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(session = self.id, %error, "pop3: deleted messages were not removed");
                false
            }
        }
    }
}

/// Whole days of Unix time.
fn days(unix_seconds: u64) -> u32 {
    u32::try_from(unix_seconds / 86_400).unwrap_or(u32::MAX)
}

fn uid_set(uids: &[u32]) -> UidSet {
    UidSet::from_ranges(uids.iter().map(|&uid| (Uid(uid), Uid(uid))))
}
