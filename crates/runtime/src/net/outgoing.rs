//! Outgoing connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpSocket, UnixStream};

use super::Conn;

/// Connects to `address`, from `source` when given, within `timeout`.
///
/// # Errors
/// What the system says; [`io::ErrorKind::TimedOut`] when it took too long; an address family that
/// does not match `source` is refused by the system.
pub async fn connect(
    address: SocketAddr,
    source: Option<IpAddr>,
    timeout: Duration,
) -> io::Result<Conn> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = tokio::time::timeout(timeout, socket.connect(address))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Conn::from_tcp(stream)
}

/// Connects to a unix socket.
///
/// # Errors
/// What the system says.
pub async fn connect_unix(path: &Path) -> io::Result<Conn> {
    Ok(Conn::from_unix(UnixStream::connect(path).await?))
}
