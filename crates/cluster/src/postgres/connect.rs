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
use crate::limits::{ADDRESSES_MAX, HOST_TIMEOUT};

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
    /// It has a password in it, where everybody sees it.
    #[error("a password stands in it: it belongs into a file of its own")]
    Password,
    /// It says something that is not understood here.
    #[error("hostaddr and connect_timeout are not for here")]
    TooMuch,
}

impl Config {
    /// Reads `postgresql://user@host:port/database`, of several hosts too, or the form with
    /// `key=value`. The connection to another machine is encrypted and its certificate
    /// checked, unless `sslmode=disable` stands there; the one to 127.0.0.1, `::1` or `localhost`
    /// is so only with `sslmode=require`.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn parse(address: &str, password: Option<&str>) -> Result<Self, SetupError> {
        let mut parsed = tokio_postgres::Config::from_str(address)
            .map_err(|error| SetupError::Address(words(&error)))?;
        if parsed.get_password().is_some() {
            return Err(SetupError::Password);
        }
        if !parsed.get_hostaddrs().is_empty() || parsed.get_connect_timeout().is_some() {
            return Err(SetupError::TooMuch);
        }
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
pub(super) struct Connection {
    pub(super) client: tokio_postgres::Client,
    _task: Task<()>,
}

/// How hosts are found and known.
type Network<'n> = (&'n Resolver, Option<&'n ClientTls>);

impl Connection {
    /// Of several hosts the first that can be written to, from one on; and which one that is.
    pub(super) async fn open(
        runtime: &Runtime,
        config: &Config,
        from: usize,
        network: Network<'_>,
    ) -> Result<(Self, usize), BoardError> {
        let mut last = String::new();
        let count = config.hosts.len();
        for n in (0..count).map(|n| (from + n) % count) {
            let host = &config.hosts[n];
            let opened = runtime.timeout(HOST_TIMEOUT, Self::at(runtime, config, host, network));
            let why = match opened.await {
                Ok(Ok(connection)) => return Ok((connection, n)),
                Ok(Err(error)) => error,
                Err(_) => format!("{:?} does not answer", host.0),
            };
            let separator = if last.is_empty() { "" } else { "; " };
            let _ = write!(last, "{separator}{why}");
        }
        Err(BoardError::Away(last))
    }

    async fn at(
        runtime: &Runtime,
        config: &Config,
        (host, port): &(Host, u16),
        (resolver, tls): Network<'_>,
    ) -> Result<Self, String> {
        let mut parsed = config.parsed.clone();
        let host = match host {
            Host::Unix(folder) => {
                let conn = unix(&folder.join(format!(".s.PGSQL.{port}"))).await?;
                return Self::begin(runtime, &parsed, conn, NoTls).await;
            }
            Host::Tcp(host) => host,
        };
        let conn = tcp(resolver, host, *port).await?;
        let wanted = match parsed.get_ssl_mode() {
            SslMode::Require => true,
            SslMode::Disable => false,
            // As the operator wrote it, not as a name server says.
            _ => !is_here(host),
        };
        if !wanted {
            parsed.ssl_mode(SslMode::Disable);
            return Self::begin(runtime, &parsed, conn, NoTls).await;
        }
        let Some(tls) = tls else {
            return Err("this machine trusts no certificate authorities".to_owned());
        };
        parsed.ssl_mode(SslMode::Require);
        let tls = Encrypting {
            tls: tls.clone(),
            name: host.clone(),
        };
        Self::begin(runtime, &parsed, conn, tls).await
    }

    async fn begin<T>(
        runtime: &Runtime,
        config: &tokio_postgres::Config,
        conn: Conn,
        tls: T,
    ) -> Result<Self, String>
    where
        T: TlsConnect<Conn>,
        T::Stream: Send + 'static,
    {
        let where_to = conn.peer_addr();
        let wrong = |error| format!("{where_to}: {}", words(&error));
        let (client, connection) = config.connect_raw(conn, tls).await.map_err(wrong)?;
        let task = runtime.spawn("postgres", async move {
            // Whoever asks next is told.
            if let Err(error) = connection.await {
                tracing::debug!(error = %words(&error), "the connection to the database has ended");
            }
        });
        let query = "SELECT pg_is_in_recovery()";
        let row = client.query_one(query, &[]).await.map_err(wrong)?;
        if row.get(0) {
            return Err(format!(
                "{where_to} is a standby, which cannot be written to"
            ));
        }
        Ok(Self {
            client,
            _task: task,
        })
    }
}

/// This machine, by what the operator wrote.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
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
        match runtime::net::connect(address, None, HOST_TIMEOUT).await {
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
