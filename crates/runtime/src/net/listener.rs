//! Listening sockets.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};

use super::Conn;
use crate::limits;

/// A listening TCP socket.
#[derive(Debug)]
pub struct Listener {
    inner: tokio::net::TcpListener,
    local: SocketAddr,
}

impl Listener {
    /// Listens on `address`. An IPv6 address serves IPv6 alone, so that `[::]:25` and `0.0.0.0:25` go together.
    ///
    /// # Errors
    /// What the system says, such as a port that is taken.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(limits::LISTEN_BACKLOG)?;
        let inner = tokio::net::TcpListener::from_std(socket.into())?;
        let local = inner.local_addr()?;
        Ok(Self { inner, local })
    }

    /// Where it listens; the port is the real one when 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The next connection. Peers that are gone before we come to them are passed over; when the
    /// machine is out of descriptors or memory this waits and goes on.
    ///
    /// # Errors
    /// Only when the socket itself is broken.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn accept(&self) -> io::Result<Conn> {
        loop {
            match self.inner.accept().await {
                Ok((stream, _)) => {
                    // A peer that is gone already has no address.
                    if let Ok(conn) = Conn::from_tcp(stream) {
                        return Ok(conn);
                    }
                }
                Err(error) => after_accept_error(error).await?,
            }
        }
    }
}

/// Decides whether accepting can go on (accept(2): errors of the peer's connection are not ours).
async fn after_accept_error(error: io::Error) -> io::Result<()> {
    const BROKEN: [rustix::io::Errno; 4] = [
        rustix::io::Errno::BADF,
        rustix::io::Errno::INVAL,
        rustix::io::Errno::NOTSOCK,
        rustix::io::Errno::OPNOTSUPP,
    ];
    const SCARCE: [rustix::io::Errno; 4] = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOBUFS,
        rustix::io::Errno::NOMEM,
    ];
    match rustix::io::Errno::from_io_error(&error) {
        Some(errno) if BROKEN.contains(&errno) => Err(error),
        Some(errno) if SCARCE.contains(&errno) => {
            tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A listening unix socket that takes its file away when dropped.
#[derive(Debug)]
pub struct UnixListener {
    inner: tokio::net::UnixListener,
    path: PathBuf,
}

impl UnixListener {
    /// Listens on `path`, for the owner alone (0600). A file left by a dead server is replaced: the caller
    /// holds the lock that says that no other server lives here.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(path: &Path) -> io::Result<Self> {
        Self::bind_with_mode(path, 0o600)
    }

    /// Listens on `path`, for every user of this machine: who asks is told by [`Conn::peer_user`].
    ///
    /// # Errors
    /// What the system says.
    pub fn bind_for_all(path: &Path) -> io::Result<Self> {
        Self::bind_with_mode(path, 0o666)
    }

    fn bind_with_mode(path: &Path, mode: u32) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let inner = tokio::net::UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        Ok(Self {
            inner,
            path: path.to_owned(),
        })
    }

    /// The next connection, as [`Listener::accept`].
    ///
    /// # Errors
    /// Only when the socket itself is broken.
    pub async fn accept(&self) -> io::Result<Conn> {
        loop {
            match self.inner.accept().await {
                Ok((stream, _)) => return Ok(Conn::from_unix(stream)),
                Err(error) => after_accept_error(error).await?,
            }
        }
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        // A file that stays is replaced by the next server.
        let _ = std::fs::remove_file(&self.path);
    }
}
