//! One connection: reads, asks the machine, writes; waits no longer than allowed.
//!
//! Not here: what an event leads to (`transaction`).

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use envelope::Reply;
use runtime::net::Conn;
use smtp_proto::server::{AuthOffer, CloseReason, Session as Machine};

use crate::deadline::Deadlines;
use crate::transaction::{Client, Next};
use crate::{Config, Ports, Seat, TlsMode, Turning, limits};

pub(crate) struct Session {
    pub(crate) conn: Conn,
    pub(crate) seat: Arc<dyn Seat>,
    pub(crate) ports: Arc<Ports>,
    pub(crate) config: Arc<Config>,
    pub(crate) machine: Machine,
    pub(crate) client: Client,
    pub(crate) deadlines: Deadlines,
    input: BytesMut,
}

/// How a session ends.
enum End {
    Closed(CloseReason),
    /// The client has it.
    Turned(Box<dyn Turning>),
}

/// What a wait for octets brought.
enum Woken {
    Input,
    Gone,
    TimeOut,
    Draining,
}

impl Session {
    pub(crate) fn new(
        mut conn: Conn,
        seat: Arc<dyn Seat>,
        ports: Arc<Ports>,
        config: Arc<Config>,
    ) -> Self {
        conn.set_write_timeout(limits::WRITE_TIMEOUT);
        let mut machine = Machine::new(config.protocol.clone(), conn.is_tls());
        if config.protocol.auth != AuthOffer::Never {
            machine.set_offer(ports.logins.offer(conn.bindings(), conn.client_names()));
        }
        let peer = conn.peer_addr().ip();
        if config.xclient.iter().any(|proxy| proxy.contains(peer)) {
            machine.allow_xclient();
        }
        let deadlines = Deadlines::new(config.idle_timeout, ports.runtime.monotonic());
        let client = Client::new(&ports.runtime, &config, &conn);
        Self {
            conn,
            seat,
            ports,
            config,
            machine,
            client,
            deadlines,
            input: BytesMut::new(),
        }
    }

    pub(crate) async fn run(mut self: Box<Self>) {
        let id = self.client.facts.session_id.clone();
        tracing::debug!(session = %id, peer = %self.conn.peer_addr(), protocol = self.config.protocol(), "session begins");
        if Box::pin(self.arrive()).await && Box::pin(self.is_patient()).await {
            self.machine.greet();
        }
        match self.converse().await {
            Ok(End::Closed(reason)) => {
                tracing::debug!(session = %id, ?reason, "session ends");
                Box::pin(self.note_end(reason)).await;
            }
            Ok(End::Turned(turning)) => return self.turn(turning).await,
            Err(error) => tracing::debug!(session = %id, %error, "session breaks off"),
        }
        // How the goodbye goes is of no interest.
        let _ = self.write_output().await;
        let _ = Box::pin(self.conn.shutdown()).await;
    }

    /// The connection is the client's from here on.
    async fn turn(mut self: Box<Self>, turning: Box<dyn Turning>) {
        if self.write_output().await.is_err() {
            return;
        }
        let user = self.client.facts.session.identity.as_ref();
        let user = user.map(|identity| identity.address.to_string());
        let host = format!("{} (ATRN)", user.unwrap_or_default());
        let Self { conn, input, .. } = *self;
        turning.run(conn, input, host).await;
    }

    async fn converse(&mut self) -> io::Result<End> {
        loop {
            while let Some(event) = self.machine.next_event(&mut self.input) {
                let next = Box::pin(self.handle(event)).await;
                self.deadlines.event(self.ports.runtime.monotonic());
                match next {
                    Next::Continue => {}
                    Next::StartTls => self.start_tls().await?,
                    Next::Turn(turning) => return Ok(End::Turned(turning)),
                    Next::Close(reason) => return Ok(End::Closed(reason)),
                }
                if self.machine.output_len() > limits::OUTPUT_BYTES_MAX {
                    self.write_output().await?;
                }
            }
            self.write_output().await?;
            match self.wait().await? {
                Woken::Input => {}
                Woken::Gone => return Ok(End::Closed(CloseReason::Refused)),
                // RFC 5321 §3.8
                Woken::TimeOut => {
                    let text = format!("{} timed out", self.config.protocol.host_name);
                    self.machine.close(&Reply::enhanced(421, (4, 4, 2), &text));
                }
                Woken::Draining => {
                    let text = format!(
                        "{} is going down, come again",
                        self.config.protocol.host_name
                    );
                    self.machine.close(&Reply::enhanced(421, (4, 3, 2), &text));
                }
            }
        }
    }

    /// Waits before the greeting, where that is wished for; false when the client
    /// did not, which only programs do that listen to nobody.
    async fn is_patient(&mut self) -> bool {
        let delay = self.ports.policy.greeting_delay(&self.client.facts.session);
        if delay.is_zero() {
            return true;
        }
        let waiting = self.conn.read(&mut self.input);
        match self.ports.runtime.timeout(delay, waiting).await {
            Err(_) => true,
            Ok(Ok(count)) if count > 0 => {
                self.talked_early().await;
                false
            }
            // It is gone.
            Ok(_) => true,
        }
    }

    /// Waits for octets, the deadline, or (between transactions) the drain.
    async fn wait(&mut self) -> io::Result<Woken> {
        let runtime = &self.ports.runtime;
        let shutdown = runtime.shutdown();
        let busy = self.machine.is_in_transaction();
        if !busy && shutdown.is_draining() {
            return Ok(Woken::Draining);
        }
        let wait = self.deadlines.wait(runtime.monotonic());
        let count = tokio::select! {
            biased;
            read = runtime.timeout(wait, self.conn.read(&mut self.input)) => match read {
                Ok(count) => count?,
                Err(_) => return Ok(Woken::TimeOut),
            },
            () = shutdown.draining(), if !busy => return Ok(Woken::Draining),
        };
        Ok(if count == 0 {
            Woken::Gone
        } else {
            Woken::Input
        })
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        self.write_output().await?;
        let TlsMode::StartTls(tls) = &self.config.tls else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let handshake = Box::pin(self.conn.start_tls_after(tls, &self.input));
        crate::in_time(&self.ports.runtime, handshake).await?;
        self.machine.tls_started();
        if self.config.protocol.auth != AuthOffer::Never {
            let offer = self
                .ports
                .logins
                .offer(self.conn.bindings(), self.conn.client_names());
            self.machine.set_offer(offer);
        }
        self.client.forget();
        self.client.facts.tls = crate::transaction::tls_name(&self.conn);
        Ok(())
    }

    async fn write_output(&mut self) -> io::Result<()> {
        let output = self.machine.take_output();
        if output.is_empty() {
            return Ok(());
        }
        // A reply means that a whole command came, even one without an event.
        self.deadlines.event(self.ports.runtime.monotonic());
        self.conn.write_all(&output).await?;
        self.conn.flush().await
    }
}
