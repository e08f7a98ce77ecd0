//! One connection to one server: `smtp_proto`'s client on a socket.
//!
//! Every wait has a time-out (RFC 5321 §4.5.3.2), every write makes progress or
//! fails. Not here: which server, and what a failure means for recipients.

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use runtime::Monotonic;
use runtime::net::Conn;
use runtime::tls::ClientTls;
use smtp_proto::client::{
    Capabilities, Client, ClientConfig, ClientEvent, Failure, Protocol, Stage, StartTls,
    Transaction, Unsupported, Verdict,
};
use smtp_proto::limits::START_BYTES_MAX;
use thiserror::Error;

use crate::destination::is_own_connection;
use crate::gate::{Blame, Heard, Place};
use crate::limits::{CLOSES_WITHIN, HEAD_START, INPUT_BYTES_MAX, QUIT_TIMEOUT};
use crate::sources::Source;
use crate::transcript::Listener;
use crate::{Message, Ports, Target, TlsPolicy};

/// Why a connection is of no use.
#[derive(Debug, Error)]
pub(crate) enum Broken {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("it is this very server")]
    Ourselves,
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    #[error("no time left waiting for the answer to {}", .0.name())]
    Timeout(Stage),
    #[error("connection lost while waiting for the answer to {}: {error}", stage.name())]
    Lost { stage: Stage, error: io::Error },
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error("the message cannot be read: {0}")]
    Message(io::Error),
    #[error("no IPv6 address of ours has a name that leads back to it")]
    NoSource,
    #[error("there is no place for another connection")]
    NoRoom,
    #[error("certificates cannot be checked: no roots are configured")]
    NoRoots,
}

impl Broken {
    fn lost(stage: Stage, kind: io::ErrorKind) -> Self {
        Self::Lost {
            stage,
            error: kind.into(),
        }
    }

    /// What it says about how many connections the server takes; nothing where it
    /// is about something else.
    pub(crate) fn heard(&self) -> Option<Heard<'_>> {
        match self {
            Self::Failure(Failure::Refused(verdict)) => match verdict.stage {
                Stage::Greeting | Stage::Hello => Some(Heard::TurnedAway(&verdict.reply)),
                _ => None,
            },
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Some(Heard::Closed)
            }
            Self::Connect(_) | Self::Timeout(Stage::Greeting | Stage::Hello) => {
                Some(Heard::NoAnswer)
            }
            Self::Lost {
                stage: Stage::Greeting,
                ..
            } => Some(Heard::Closed),
            _ => None,
        }
    }
}

/// What a transaction brought.
pub(crate) struct Sent {
    /// By recipient; none where the connection broke before.
    pub(crate) verdicts: Vec<Option<Verdict>>,
    pub(crate) broken: Option<Broken>,
    /// The whole message was on its way when it broke: the server may have it.
    pub(crate) maybe_taken: bool,
    /// Some of the message went by BDAT.
    pub(crate) chunked: bool,
    /// BDAT is not known there; no verdict of the last stage is about the message.
    pub(crate) bdat_unknown: bool,
}

impl Sent {
    /// What it says of recipients alone.
    pub(crate) fn without_the_message(mut self) -> Self {
        for verdict in &mut self.verdicts {
            verdict.take_if(|verdict| verdict.stage == Stage::Final);
        }
        Self {
            broken: None,
            ..self
        }
    }
}

/// How far the message is sent.
#[derive(Default)]
struct Progress {
    offset: u64,
    /// What was read and not sent yet.
    rest: Bytes,
}

pub(crate) struct Connection {
    ports: Ports,
    tls: ClientTls,
    host: String,
    conn: Conn,
    client: Client,
    input: BytesMut,
    /// Commands that go out with the message's first octets.
    unsent: Vec<u8>,
    /// What came while the message was written.
    early: Option<ClientEvent>,
    /// When the line that is waited for must be there.
    line_until: Option<Monotonic>,
    /// Transactions so far.
    made: usize,
    /// Free when it is closed.
    place: Option<Place>,
    /// Somebody looks on.
    listener: Option<Listener>,
}

impl Connection {
    /// Connects and goes on until the server is ready for a transaction. Where another
    /// address of the host was faster, the target has that one then.
    pub(crate) async fn open(
        ports: &Ports,
        target: &mut Target,
        protocol: Protocol,
        tls_policy: TlsPolicy,
    ) -> Result<Self, Broken> {
        let options = &ports.options;
        let tls = match tls_policy {
            TlsPolicy::Verified | TlsPolicy::Implicit => {
                let demand = target.demand.as_ref();
                let by_records = demand.and_then(|demand| demand.certificates.clone());
                by_records
                    .or_else(|| ports.verified.clone())
                    .ok_or(Broken::NoRoots)?
            }
            _ => ports.opportunistic.clone(),
        };
        let listener = ports
            .transcripts
            .listener(&ports.runtime, &target.host, target.address);
        let Connected { conn, hello, .. } = connect(ports, target, listener.as_ref()).await?;
        let mut conn = conn;
        let hello = hello.as_ref().unwrap_or(&options.hello);
        if is_own_connection(options, conn.local_addr(), conn.peer_addr()) {
            return Err(Broken::Ourselves);
        }
        conn.set_write_timeout(options.timeouts.data_block);
        if tls_policy == TlsPolicy::Implicit {
            let handshake = conn.connect_tls(&tls, &target.host).await;
            tell_tls(listener.as_ref(), &handshake, &conn);
            handshake.map_err(Broken::Handshake)?;
        }
        let mut config = ClientConfig::new(hello);
        config.protocol = protocol;
        config.starttls = match tls_policy {
            TlsPolicy::Never | TlsPolicy::Implicit => StartTls::Never,
            TlsPolicy::Opportunistic => StartTls::IfOffered,
            TlsPolicy::Required | TlsPolicy::Verified => StartTls::Required,
        };
        config.credentials.clone_from(&target.credentials);
        config.auth_in_clear = target.address.ip().is_loopback();
        let client = Client::new(config, conn.is_tls());
        Self {
            ports: ports.clone(),
            tls,
            host: target.host.clone(),
            conn,
            client,
            input: BytesMut::new(),
            unsent: Vec::new(),
            early: None,
            line_until: None,
            made: 0,
            place: None,
            listener,
        }
        .until_ready()
        .await
    }

    /// Over a connection that the server has made to us (RFC 2645), with what it has
    /// said already. What it has of TLS it has from before.
    pub(crate) async fn over(
        ports: &Ports,
        mut conn: Conn,
        input: BytesMut,
        host: &str,
    ) -> Result<Self, Broken> {
        conn.set_write_timeout(ports.options.timeouts.data_block);
        let mut config = ClientConfig::new(&ports.options.hello);
        config.starttls = StartTls::Never;
        let client = Client::new(config, conn.is_tls());
        Self {
            ports: ports.clone(),
            tls: ports.opportunistic.clone(),
            host: host.to_owned(),
            conn,
            client,
            input,
            unsent: Vec::new(),
            early: None,
            line_until: None,
            made: 0,
            place: None,
            listener: None,
        }
        .until_ready()
        .await
    }

    async fn until_ready(self) -> Result<Self, Broken> {
        let mut connection = self;
        match connection.next_event().await? {
            ClientEvent::Ready => Ok(connection),
            event => Err(unexpected(event)),
        }
    }

    /// It holds this place while it lasts.
    pub(crate) fn takes(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Whoever counts connections hears of it.
    pub(crate) fn hear(&mut self, heard: Heard<'_>) -> Blame {
        match &mut self.place {
            Some(place) => place.hear(heard),
            None => Blame::Them,
        }
    }

    /// Whoever looks on hears of this.
    pub(crate) fn tell(&self, what: &str) {
        if let Some(listener) = &self.listener {
            listener.happened(what);
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.ports.runtime.now().unix_ms
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.conn.is_tls()
    }

    /// Transactions that were begun on it.
    pub(crate) fn made(&self) -> usize {
        self.made
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.client.is_ready()
    }

    /// Whether nothing has come while it waited: a server that has spoken or closed since
    /// does not want another message.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        self.input.is_empty() && !self.hears_at_once().await
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        self.client.capabilities()
    }

    /// One transaction with the whole message.
    pub(crate) async fn send(
        &mut self,
        transaction: Transaction,
        message: &dyn Message,
    ) -> Result<Sent, Unsupported> {
        // It may have waited since before somebody began to look.
        if self.listener.is_none() {
            let (runtime, at) = (&self.ports.runtime, self.conn.peer_addr());
            self.listener = self.ports.transcripts.listener(runtime, &self.host, at);
        }
        self.client.begin(transaction)?;
        self.made += 1;
        let mut progress = Progress::default();
        let mut maybe_taken = false;
        let broken = loop {
            let streamed = match self.next_event().await {
                Ok(ClientEvent::Finished(verdicts)) => {
                    return Ok(Sent {
                        verdicts: verdicts.into_iter().map(Some).collect(),
                        broken: None,
                        maybe_taken: false,
                        chunked: self.client.sent_chunks(),
                        bdat_unknown: self.client.bdat_unknown(),
                    });
                }
                Ok(ClientEvent::SendStart) => {
                    let start = message.size().min(START_BYTES_MAX as u64);
                    self.stream(message, &mut progress, start).await
                }
                Ok(ClientEvent::SendData) => {
                    self.stream(message, &mut progress, message.size()).await
                }
                Ok(event) => break unexpected(event),
                Err(broken) => break broken,
            };
            match streamed {
                Ok(whole) => maybe_taken = whole,
                // A server that has heard enough says so, and closes: its
                // words may be waiting.
                Err(Broken::Lost { .. }) => {}
                Err(broken) => break broken,
            }
        };
        Ok(Sent {
            chunked: self.client.sent_chunks(),
            bdat_unknown: false,
            verdicts: self.client.abandon(),
            broken: Some(broken),
            maybe_taken,
        })
    }

    /// What the server says about a recipient, without a message (from the null sender).
    pub(crate) async fn ask(
        &mut self,
        transaction: Transaction,
    ) -> Result<Option<Verdict>, Broken> {
        if self.client.ask(transaction).is_err() {
            return Ok(None);
        }
        match self.next_event().await? {
            ClientEvent::Finished(mut verdicts) => Ok(verdicts.pop()),
            event => Err(unexpected(event)),
        }
    }

    /// Says goodbye; how that goes is of no interest.
    pub(crate) async fn quit(mut self) {
        if !self.client.is_ready() {
            return;
        }
        self.client.quit();
        let runtime = self.ports.runtime.clone();
        let goodbye = Box::pin(async {
            let _ = self.next_event().await;
            let _ = self.conn.shutdown().await;
            if self.place.is_some() {
                // Some count us until they have closed: a place that is free before is refused.
                let closed =
                    async { while self.conn.read(&mut self.input).await.unwrap_or(0) > 0 {} };
                let runtime = self.ports.runtime.clone();
                let _ = runtime.timeout(CLOSES_WITHIN, closed).await;
            }
        });
        let _ = runtime.timeout(QUIT_TIMEOUT, goodbye).await;
    }

    /// Sends the message up to this octet; whether that is the end of it.
    async fn stream(
        &mut self,
        message: &dyn Message,
        progress: &mut Progress,
        end: u64,
    ) -> Result<bool, Broken> {
        self.unsent = self.client.take_output();
        if let Some(listener) = &self.listener {
            listener.we_said(&self.unsent, Stage::Mail);
        }
        let from = progress.offset;
        while progress.offset < end {
            if progress.rest.is_empty() {
                let read = message.read(progress.offset).await;
                progress.rest = read.map_err(Broken::Message)?;
            }
            if progress.rest.is_empty() {
                return Err(Broken::Message(io::ErrorKind::UnexpectedEof.into()));
            }
            if progress.offset > from {
                self.write_content().await?;
                if self.is_stopped().await {
                    return Ok(false);
                }
            }
            let left = usize::try_from(end - progress.offset).unwrap_or(usize::MAX);
            let piece = progress.rest.split_to(left.min(progress.rest.len()));
            progress.offset += piece.len() as u64;
            self.client.push_data(&piece);
        }
        let whole = progress.offset >= message.size();
        if whole {
            // The end goes out with the last piece: one packet less, and one wake-up less there.
            self.client.finish_data();
            if let Some(listener) = &self.listener {
                listener.happened(&format!("the message, {} octets", progress.offset));
            }
        } else {
            self.client.hold_data();
        }
        self.write_content().await?;
        Ok(whole)
    }

    /// A chunk was refused before the last one has gone (RFC 3030 §2: none goes behind it).
    async fn is_stopped(&mut self) -> bool {
        if self.client.sent_chunks() && (self.hears_at_once().await || !self.input.is_empty()) {
            self.early = self.client.next_event(&mut self.input);
        }
        self.early.is_some()
    }

    /// Whether something was there to be read; the end of the connection is something too.
    async fn hears_at_once(&mut self) -> bool {
        let unread = self.input.len();
        let read = {
            let mut read = pin!(self.conn.read(&mut self.input));
            poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await
        };
        if let (Some(listener), Poll::Ready(Ok(1..))) = (&self.listener, &read) {
            listener.they_said(&self.input[unread..]);
        }
        read.is_ready()
    }

    /// The next event that is not the connection's own business.
    async fn next_event(&mut self) -> Result<ClientEvent, Broken> {
        loop {
            let unread = self.input.len();
            let early = self.early.take();
            let event = early.or_else(|| self.client.next_event(&mut self.input));
            if self.input.len() < unread {
                self.line_until = None;
            }
            match event {
                Some(ClientEvent::StartTls) => {
                    let handshake = self.conn.connect_tls(&self.tls, &self.host).await;
                    tell_tls(self.listener.as_ref(), &handshake, &self.conn);
                    handshake.map_err(Broken::Handshake)?;
                    self.client.tls_started();
                }
                Some(ClientEvent::Failed(failure)) => return Err(failure.into()),
                Some(event) => return Ok(event),
                None => self.exchange().await?,
            }
        }
    }

    /// Writes what there is to say, then waits for the server.
    async fn exchange(&mut self) -> Result<(), Broken> {
        let stage = self.client.stage();
        self.write_output().await?;
        let runtime = &self.ports.runtime;
        let now = runtime.monotonic();
        let timeout = self.ports.options.timeouts.of(stage);
        // An octet now and then is no sign of life: a line has its time as a whole.
        let until = self.line_until.get_or_insert_with(|| now.after(timeout));
        let timeout = until.since(now);
        let unread = self.input.len();
        let read = self.conn.read(&mut self.input);
        let read = runtime.timeout(timeout, read).await;
        if let Some(listener) = &self.listener {
            match &read {
                Err(_) => listener.happened("no answer in time"),
                Ok(Ok(0)) => listener.happened("they have closed the connection"),
                Ok(Ok(_)) => listener.they_said(&self.input[unread..]),
                Ok(Err(error)) => listener.happened(&format!("the connection is lost: {error}")),
            }
        }
        match read {
            Err(_) => Err(Broken::Timeout(stage)),
            Ok(Err(error)) => Err(Broken::Lost { stage, error }),
            Ok(Ok(0)) => Err(Broken::lost(stage, io::ErrorKind::UnexpectedEof)),
            Ok(Ok(_)) if self.input.len() > INPUT_BYTES_MAX => {
                Err(Broken::lost(stage, io::ErrorKind::InvalidData))
            }
            Ok(Ok(_)) => Ok(()),
        }
    }

    /// Of the message only its size is told to whoever looks on, and that of its chunks.
    async fn write_content(&mut self) -> Result<(), Broken> {
        let mut output = std::mem::take(&mut self.unsent);
        let mut content = self.client.take_output();
        if let (Some(listener), true) = (&self.listener, self.client.sent_chunks()) {
            listener.we_said_chunks(&content);
        }
        if output.is_empty() {
            std::mem::swap(&mut output, &mut content);
        }
        output.append(&mut content);
        self.write(&output).await
    }

    async fn write_output(&mut self) -> Result<(), Broken> {
        let output = self.client.take_output();
        if let Some(listener) = &self.listener {
            listener.we_said(&output, self.client.stage());
        }
        self.write(&output).await
    }

    async fn write(&mut self, output: &[u8]) -> Result<(), Broken> {
        if output.is_empty() {
            return Ok(());
        }
        let stage = self.client.stage();
        let lost = |error| Broken::Lost { stage, error };
        self.conn.write_all(output).await.map_err(lost)?;
        self.conn.flush().await.map_err(lost)
    }
}

struct Connected {
    conn: Conn,
    /// What we call ourselves there, where that is not the usual name.
    hello: Option<String>,
    address: SocketAddr,
}

/// To the target's address, or to the other one where the first fails or is slow.
async fn connect(
    ports: &Ports,
    target: &mut Target,
    listener: Option<&Listener>,
) -> Result<Connected, Broken> {
    let to = |address| connect_to(ports, &target.host, address, listener);
    let first = to(target.address);
    let connected = match target.other {
        None => first.await,
        Some(other) => ports.runtime.race(HEAD_START, first, to(other)).await,
    }?;
    if target.address != connected.address {
        target.other = Some(std::mem::replace(&mut target.address, connected.address));
    }
    Ok(connected)
}

async fn connect_to(
    ports: &Ports,
    host: &str,
    address: SocketAddr,
    listener: Option<&Listener>,
) -> Result<Connected, Broken> {
    let options = &ports.options;
    let (source, hello) = match options.sources.choose(ports, host, address.ip()).await {
        Source::System => (None, None),
        Source::Address(ip, name) => (Some(ip), name),
        Source::None => return Err(Broken::NoSource),
    };
    let connected = runtime::net::connect(address, source, options.timeouts.connect).await;
    if let Some(listener) = listener {
        listener.happened(&match connected.as_ref().err() {
            None => format!("connected to {address}"),
            Some(error) => format!("cannot connect to {address}: {error}"),
        });
    }
    Ok(Connected {
        conn: connected.map_err(Broken::Connect)?,
        hello,
        address,
    })
}

/// Whoever looks on hears how a handshake went.
fn tell_tls(listener: Option<&Listener>, handshake: &io::Result<()>, conn: &Conn) {
    let Some(listener) = listener else { return };
    listener.happened(&match (handshake, conn.tls_info()) {
        (Ok(()), Some(info)) => format!("TLS: {} {}", info.version, info.cipher),
        (Ok(()), None) => "TLS".to_owned(),
        (Err(error), _) => format!("the TLS handshake failed: {error}"),
    });
}

fn unexpected(event: ClientEvent) -> Broken {
    match event {
        ClientEvent::Failed(failure) => failure.into(),
        _ => Broken::lost(Stage::Hello, io::ErrorKind::InvalidData),
    }
}
