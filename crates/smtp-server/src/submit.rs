//! Messages of programs that have logged in elsewhere: a submission session in memory.
//!
//! So what holds of a client's message holds of theirs too: rules, limits, what may be sent as
//! whom, and what is written down.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use directory::Identity;
use envelope::{Address, Priority, Recipient, Reply, ReversePath};
use runtime::net::Conn;
use smtp_proto::client::{
    Client, ClientConfig, ClientEvent, Failure, OnwardWishes, StartTls, Transaction, Unsupported,
};
use tokio::sync::mpsc;

use crate::{Config, Ports, Seat, serve};

/// Takes messages that come in other ways than by SMTP. Cheap to clone.
#[derive(Clone)]
pub struct Submission {
    ports: Arc<Ports>,
    config: Config,
}

impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submission").finish_non_exhaustive()
    }
}

/// A message's way. `admin::api::Submitted` has the same fields: faces know nobody beside them, and
/// no floor below both has a use for it; who binds them sees when one has more than the other.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// Who has logged in.
    pub identity: Identity,
    /// From where.
    pub client: IpAddr,
    /// The reverse path.
    pub sender: Address,
    /// At least one.
    pub recipients: Vec<Address>,
    /// The priority that is asked for.
    pub priority: Option<Priority>,
}

/// Why nobody was asked about the recipients, or no answer came.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The message did not come to its end.
    #[error("the message broke off: {0}")]
    Octets(io::Error),
    /// Larger than is taken, or a thing that is not offered.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The session ended first.
    #[error("{0}")]
    Refused(String),
}

/// The session in memory takes no place of another.
#[derive(Debug)]
struct NoSeat;

impl Seat for NoSeat {
    fn move_to(&self, _: IpAddr) -> bool {
        true
    }
}

impl Submission {
    /// For sessions like those of `config`, a submission listener's.
    #[must_use]
    pub fn new(ports: Arc<Ports>, config: Config) -> Self {
        Self { ports, config }
    }

    /// Submits a message: what was said of each recipient, in their order. Its octets come
    /// through `octets`, which ends with the message, and not before; lone LFs become CRLF.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was accepted then.
    ///
    /// # Cancel safety
    /// When it is dropped the session ends; a message that was submitted goes on.
    pub async fn submit(
        &self,
        submitted: Submitted,
        octets: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<Vec<Reply>, SubmitError> {
        let config = self.config.clone().for_account(submitted.identity.clone());
        let (theirs, ours) = Conn::pair_between((submitted.client, 0).into(), NOWHERE);
        let serving = serve(ours, Arc::new(NoSeat), self.ports.clone(), Arc::new(config));
        let (said, ()) = tokio::join!(
            Box::pin(Speaking::new(theirs).submit(submitted, octets)),
            Box::pin(serving)
        );
        said
    }
}

const NOWHERE: std::net::SocketAddr =
    std::net::SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The client's end.
struct Speaking {
    conn: Conn,
    input: BytesMut,
    client: Client,
}

impl Speaking {
    fn new(conn: Conn) -> Self {
        let config = ClientConfig {
            starttls: StartTls::Never,
            ..ClientConfig::new("localhost")
        };
        Self {
            conn,
            input: BytesMut::new(),
            client: Client::new(config, false),
        }
    }

    async fn submit(
        mut self,
        submitted: Submitted,
        mut octets: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<Vec<Reply>, SubmitError> {
        let recipients = submitted.recipients.into_iter().map(Recipient::new);
        let mut transaction = Some(Transaction {
            reverse_path: ReversePath::Address(submitted.sender),
            recipients: recipients.collect(),
            size: None,
            eight_bit: true,
            smtputf8: false,
            ret: None,
            envid: None,
            wishes: OnwardWishes {
                priority: submitted.priority,
                ..OnwardWishes::default()
            },
            // Nobody waits here for a network.
            chunking: false,
        });
        loop {
            match self.next().await? {
                ClientEvent::Ready => match transaction.take() {
                    Some(transaction) => self.client.begin(transaction)?,
                    None => self.client.quit(),
                },
                ClientEvent::SendData => self.send(&mut octets).await?,
                ClientEvent::Finished(verdicts) => {
                    return Ok(verdicts.into_iter().map(|verdict| verdict.reply).collect());
                }
                ClientEvent::Failed(failure) => return Err(refused(&failure)),
                ClientEvent::StartTls | ClientEvent::SendStart | ClientEvent::Closed => {
                    return Err(gone());
                }
            }
        }
    }

    async fn next(&mut self) -> Result<ClientEvent, SubmitError> {
        loop {
            let event = self.client.next_event(&mut self.input);
            let output = self.client.take_output();
            self.write(&output).await?;
            if let Some(event) = event {
                return Ok(event);
            }
            let read = self.conn.read(&mut self.input).await;
            if read.unwrap_or(0) == 0 {
                return Err(gone());
            }
        }
    }

    async fn send(
        &mut self,
        octets: &mut mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<(), SubmitError> {
        while let Some(part) = octets.recv().await {
            self.client.push_data(&part.map_err(SubmitError::Octets)?);
            let output = self.client.take_output();
            self.write(&output).await?;
        }
        self.client.finish_data();
        Ok(())
    }

    async fn write(&mut self, output: &[u8]) -> Result<(), SubmitError> {
        if output.is_empty() {
            return Ok(());
        }
        let written = self.conn.write_all(output).await;
        let flushed = match written {
            Ok(()) => self.conn.flush().await,
            failed => failed,
        };
        flushed.map_err(|_| gone())
    }
}

fn refused(failure: &Failure) -> SubmitError {
    SubmitError::Refused(match failure {
        Failure::Refused(verdict) => verdict.reply.to_line(),
        other => other.to_string(),
    })
}

fn gone() -> SubmitError {
    SubmitError::Refused("the session ended before it was answered".to_owned())
}
