//! A connection to the database: where it is, TLS, and which of several hosts can be written to.

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use resolver::{AddressAnswer, Resolver};
use runtime::net::Conn;
use runtime::tls::ClientTls;
use runtime::{Runtime, Task};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, NoTls, TlsConnect, TlsStream};

use crate::board::BoardError;
use crate::limits::{ADDRESSES_MAX, CONNECT_TIMEOUT};

/// Where a database is, and as whom to enter.
#[derive(Clone)]
pub struct Config {
    parsed: tokio_postgres::Config,
    hosts: Vec<(Host, u16)>,
}

/// What is wrong with an address of a database.
#[derive(Debug, Error)]
pub enum SetupError {
    /// It is none.
    #[error("this is no address of a PostgreSQL database: {0}")]
    Address(String),
    /// It does not say where.
    #[error("it names no host: postgresql://user@host/database")]
    NoHost,
}

impl Config {
    /// Reads `postgresql://user@host:port/database`, of several hosts too, or the form with
    /// `key=value`. The connection to another machine is encrypted and its certificate
    /// checked, unless `sslmode=disable` stands there.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn parse(address: &str, password: Option<&str>) -> Result<Self, SetupError> {
        let mut parsed = tokio_postgres::Config::from_str(address)
            .map_err(|error| SetupError::Address(words(&error)))?;
        if let Some(password) = password {
            parsed.password(password);
        }
        let ports = parsed.get_ports();
        let hosts = parsed.get_hosts().iter().enumerate().map(|(n, host)| {
            let port = ports.get(n).or_else(|| ports.first());
            (host.clone(), port.copied().unwrap_or(5432))
        });
        let hosts: Vec<_> = hosts.collect();
        if hosts.is_empty() {
            return Err(SetupError::NoHost);
        }
        Ok(Self { parsed, hosts })
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the password.
        f.debug_struct("Config")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// One connection; its task ends with it.
pub(super) struct Session {
    pub(super) client: tokio_postgres::Client,
    pub(super) exchanges: u64,
    _task: Task<()>,
}

impl Session {
    /// Of several hosts the first that can be written to.
    pub(super) async fn open(
        runtime: &Runtime,
        config: &Config,
        resolver: &Resolver,
        tls: Option<&ClientTls>,
    ) -> Result<Self, BoardError> {
        let mut last = String::new();
        for (host, port) in &config.hosts {
            match Self::at(runtime, config, (host, *port), (resolver, tls)).await {
                Ok(session) => return Ok(session),
                Err(error) => {
                    let separator = if last.is_empty() { "" } else { "; " };
                    let _ = write!(last, "{separator}{error}");
                }
            }
        }
        Err(BoardError::Away(last))
    }

    async fn at(
        runtime: &Runtime,
        config: &Config,
        (host, port): (&Host, u16),
        (resolver, tls): (&Resolver, Option<&ClientTls>),
    ) -> Result<Self, String> {
        let (conn, name) = match host {
            Host::Unix(folder) => {
                let path = folder.join(format!(".s.PGSQL.{port}"));
                (unix(&path).await?, None)
            }
            Host::Tcp(host) => {
                let conn = tcp(resolver, host, port).await?;
                let is_near = conn.peer_addr().ip().is_loopback();
                let asked = config.parsed.get_ssl_mode() == SslMode::Require;
                (conn, (asked || !is_near).then_some(host))
            }
        };
        let mut parsed = config.parsed.clone();
        let asked = parsed.get_ssl_mode();
        let where_to = conn.peer_addr();
        let session = match name {
            Some(name) if asked != SslMode::Disable => {
                let Some(tls) = tls else {
                    return Err("this machine trusts no certificate authorities".to_owned());
                };
                parsed.ssl_mode(SslMode::Require);
                let tls = Encrypting {
                    tls: tls.clone(),
                    name: name.clone(),
                };
                Self::begin(runtime, &parsed, conn, tls).await
            }
            _ => {
                parsed.ssl_mode(SslMode::Disable);
                Self::begin(runtime, &parsed, conn, NoTls).await
            }
        };
        let wrong = |error: String| format!("{where_to}: {error}");
        let session = session.map_err(|error| wrong(words(&error)))?;
        session.can_write().await.map_err(wrong)?;
        Ok(session)
    }

    async fn begin<T>(
        runtime: &Runtime,
        config: &tokio_postgres::Config,
        conn: Conn,
        tls: T,
    ) -> Result<Self, tokio_postgres::Error>
    where
        T: TlsConnect<Conn>,
        T::Stream: Send + 'static,
    {
        let (client, connection) = config.connect_raw(conn, tls).await?;
        let task = runtime.spawn("postgres", async move {
            // Whoever asks next is told.
            if let Err(error) = connection.await {
                tracing::debug!(error = %words(&error), "the connection to the database has ended");
            }
        });
        let session = Self {
            client,
            exchanges: 0,
            _task: task,
        };
        Ok(session)
    }

    /// A standby takes no shares: of several hosts another one is the primary.
    async fn can_write(&self) -> Result<(), String> {
        let query = "SELECT pg_is_in_recovery()";
        let row = self.client.query_one(query, &[]).await;
        match row.map_err(|error| words(&error))?.get(0) {
            true => Err("it is a standby, which cannot be written to".to_owned()),
            false => Ok(()),
        }
    }
}

async fn unix(path: &Path) -> Result<Conn, String> {
    let conn = runtime::net::connect_unix(path).await;
    conn.map_err(|error| format!("{}: {error}", path.display()))
}

async fn tcp(resolver: &Resolver, host: &str, port: u16) -> Result<Conn, String> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) if host == "localhost" => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        Err(_) => match resolver.addresses(host).await {
            Ok(AddressAnswer::Addresses(addresses)) => addresses,
            Ok(_) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        },
    };
    let mut last = format!("{host} has no address");
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        let address = SocketAddr::new(address, port);
        match runtime::net::connect(address, None, CONNECT_TIMEOUT).await {
            Ok(conn) => return Ok(conn),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

/// What the database or the network says, with its reason.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    let reason = std::error::Error::source(error);
    match reason {
        Some(reason) => format!("{error}: {reason}"),
        None => error.to_string(),
    }
}

/// TLS of the runtime, as the library wants it.
struct Encrypting {
    tls: ClientTls,
    name: String,
}

struct Encrypted(Conn);

type Handshake = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

impl TlsConnect<Conn> for Encrypting {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Handshake;

    fn connect(self, mut conn: Conn) -> Handshake {
        Box::pin(async move {
            conn.connect_tls(&self.tls, &self.name).await?;
            Ok(Encrypted(conn))
        })
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
