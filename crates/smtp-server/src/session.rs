//! One client's session: reads, waits, writes, and hands the events on.

use crate::Ports;
use crate::config::{Config, TlsMode};
use crate::limits::{
    COMMAND_TIMEOUT, DATA_TIMEOUT, LINE_TIMEOUT, MESSAGE_TIMEOUT, OUTPUT_BYTES, USELESS_TIMEOUT,
};
use crate::transaction::Transaction;
use bytes::BytesMut;
use directory::AuthFailure;
use envelope::Reply;
use intake::Receiving;
use observe::SessionGauge;
use policy::Role;
use runtime::Monotonic;
use runtime::net::Conn;
use sasl::Credentials;
use smtp_proto::server::{CloseReason, Event, Hello, Session as Protocol};
use std::sync::Arc;
use std::time::Duration;

/// The session is over; whoever had to be told was told.
#[derive(Debug)]
pub(crate) struct Ended;

/// A session.
pub(crate) struct Session {
    conn: Conn,
    pub(crate) protocol: Protocol,
    input: BytesMut,
    pub(crate) ports: Arc<Ports>,
    pub(crate) config: Arc<Config>,
    /// Its name in the log and in traces.
    pub(crate) id: String,
    pub(crate) policy: policy::Session,
    pub(crate) hello: Option<Hello>,
    pub(crate) transaction: Option<Box<Transaction>>,
    pub(crate) receiving: Option<Box<Receiving>>,
    deadlines: Deadlines,
    _gauge: SessionGauge,
}

/// When patience ends, besides mere silence.
struct Deadlines {
    /// The command whose first bytes are here.
    line: Option<Monotonic>,
    /// The message that is being received.
    message: Option<Monotonic>,
    /// The next message.
    useful: Monotonic,
}

impl Session {
    pub(crate) fn new(conn: Conn, ports: Arc<Ports>, config: Arc<Config>) -> Self {
        let protocol = Protocol::new(config.protocol.clone(), conn.is_tls());
        let policy = policy::Session {
            role: config.role,
            client_ip: conn.peer_addr().ip(),
            server_ip: conn.local_addr().ip(),
            identity: None,
        };
        Self {
            conn,
            protocol,
            input: BytesMut::new(),
            id: format!("{:016x}", ports.runtime.random_u64()),
            policy,
            hello: None,
            transaction: None,
            receiving: None,
            deadlines: Deadlines {
                line: None,
                message: None,
                useful: ports.runtime.monotonic().after(USELESS_TIMEOUT),
            },
            _gauge: ports.metrics.session(name_of(config.role)),
            ports,
            config,
        }
    }

    pub(crate) async fn run(&mut self) {
        tracing::debug!(session = %self.id, peer = %self.conn.peer_addr(), "smtp: session begins");
        self.protocol.greet();
        // What there was to say has been said.
        let _ = self.converse().await;
        tracing::debug!(session = %self.id, "smtp: session ends");
        // Nobody may be there any more.
        let _ = Box::pin(self.conn.shutdown()).await;
    }

    async fn converse(&mut self) -> Result<(), Ended> {
        loop {
            while let Some(event) = self.protocol.next_event(&mut self.input) {
                Box::pin(self.handle(event)).await?;
                if self.protocol.output_len() > OUTPUT_BYTES {
                    self.flush().await?;
                }
            }
            self.flush().await?;
            self.wait_for_input().await?;
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Hello(hello) => {
                self.forget_transaction();
                self.hello = Some(hello);
                self.protocol.accept();
            }
            Event::Auth(credentials) => self.log_in(&credentials).await,
            Event::StartTls => return self.start_tls().await,
            Event::Mail(mail) => self.begin_transaction(mail).await,
            Event::Rcpt(rcpt) => self.add_recipient(rcpt).await,
            Event::DataStart => self.begin_message(),
            Event::DataChunk(piece) => {
                if let Some(receiving) = &mut self.receiving {
                    receiving.push(&piece).await;
                }
            }
            Event::DataEnd { .. } => self.end_message().await,
            Event::DataAborted(fault) => {
                tracing::info!(session = %self.id, ?fault, "smtp: message refused");
                self.forget_transaction();
            }
            Event::Reset => self.forget_transaction(),
            Event::Verify(argument) => self.verify(&argument).await,
            Event::Expand(argument) => self.expand(&argument).await,
            Event::Close(reason) => {
                if reason != CloseReason::Quit {
                    tracing::info!(session = %self.id, peer = %self.conn.peer_addr(), ?reason, "smtp: session cut off");
                }
                self.flush().await?;
                return Err(Ended);
            }
        }
        Ok(())
    }

    /// The transaction is over, whatever became of it.
    pub(crate) fn forget_transaction(&mut self) {
        self.transaction = None;
        self.receiving = None;
        self.deadlines.message = None;
    }

    /// A message begins or is done: the clocks that belong to it.
    pub(crate) fn message_begins(&mut self) {
        let now = self.ports.runtime.monotonic();
        self.deadlines.message = Some(now.after(MESSAGE_TIMEOUT));
    }

    pub(crate) fn message_was_useful(&mut self) {
        let now = self.ports.runtime.monotonic();
        self.deadlines.useful = now.after(USELESS_TIMEOUT);
    }

    /// What was agreed on encryption, for the trace field.
    pub(crate) fn tls_text(&self) -> Option<String> {
        let info = self.conn.tls_info()?;
        Some(format!("{} {}", info.version, info.cipher))
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        let output = self.protocol.take_output();
        if output.is_empty() {
            return Ok(());
        }
        self.conn.write_all(&output).await.map_err(|_| Ended)?;
        self.conn.flush().await.map_err(|_| Ended)
    }

    async fn wait_for_input(&mut self) -> Result<(), Ended> {
        let patience = self.patience();
        let runtime = &self.ports.runtime;
        let shutdown = runtime.shutdown();
        let receiving = self.receiving.is_some();
        let read = tokio::select! {
            read = self.conn.read(&mut self.input) => match read {
                Ok(0) | Err(_) => return Err(Ended),
                Ok(_) => Ok(()),
            },
            () = runtime.sleep(patience) => Err(Reply::enhanced(421, (4, 4, 2), "time-out, closing the connection")),
            // A message that is on its way is taken to its end.
            () = shutdown.draining(), if !receiving => Err(Reply::enhanced(421, (4, 3, 2), "the server is going down, please try again")),
        };
        let Err(goodbye) = read else { return Ok(()) };
        self.protocol.close(&goodbye);
        self.flush().await?;
        Err(Ended)
    }

    fn patience(&mut self) -> Duration {
        let now = self.ports.runtime.monotonic();
        if self.receiving.is_some() {
            self.deadlines.line = None;
            let left = self
                .deadlines
                .message
                .map_or(DATA_TIMEOUT, |until| until.since(now));
            return left.min(DATA_TIMEOUT);
        }
        let useful = self.deadlines.useful.since(now);
        if self.input.is_empty() {
            self.deadlines.line = None;
            // Nothing is kept while nobody speaks.
            self.input = BytesMut::new();
            return useful.min(COMMAND_TIMEOUT);
        }
        let line = self
            .deadlines
            .line
            .get_or_insert_with(|| now.after(LINE_TIMEOUT));
        line.since(now).min(useful)
    }

    async fn start_tls(&mut self) -> Result<(), Ended> {
        self.flush().await?;
        let TlsMode::StartTls(tls) = &self.config.tls else {
            return Err(Ended);
        };
        let tls = tls.clone();
        let started = Box::pin(self.conn.start_tls_after(&tls, &self.input)).await;
        if let Err(error) = started {
            tracing::debug!(session = %self.id, %error, "smtp: no TLS");
            return Err(Ended);
        }
        self.protocol.tls_started();
        self.hello = None;
        self.policy.identity = None;
        self.forget_transaction();
        Ok(())
    }

    async fn log_in(&mut self, credentials: &Credentials) {
        let peer = self.policy.client_ip;
        let checked = self
            .ports
            .directory
            .authenticate_sasl(credentials, peer)
            .await;
        self.ports
            .metrics
            .login(name_of(self.config.role), checked.is_ok());
        match checked {
            Ok(identity) => {
                tracing::info!(session = %self.id, %peer, account = %identity.account, "smtp: login");
                self.policy.identity = Some(identity);
                self.protocol.accept();
            }
            Err(failure) => {
                tracing::info!(session = %self.id, %peer, %failure, "smtp: login refused");
                self.protocol.reply(&refused_login(&failure));
            }
        }
    }
}

/// RFC 4954 §6
fn refused_login(failure: &AuthFailure) -> Reply {
    let text = failure.to_string();
    match failure {
        AuthFailure::Invalid => Reply::enhanced(535, (5, 7, 8), &text),
        AuthFailure::Disabled => Reply::enhanced(535, (5, 7, 13), &text),
        AuthFailure::Banned { .. } | AuthFailure::Busy | AuthFailure::Temporary(_) => {
            Reply::enhanced(454, (4, 7, 0), &text)
        }
    }
}

fn name_of(role: Role) -> &'static str {
    match role {
        Role::Mx => "smtp",
        Role::Submission => "submission",
        Role::Lmtp => "lmtp",
    }
}
