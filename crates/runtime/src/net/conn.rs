//! One connection: plain, TLS (either side), unix socket or memory, with one face.
//!
//! Invariants: a plain connection that waits for input holds no buffer of ours; a write makes progress
//! within the write time-out or fails; TLS is begun only on a connection without pending plain text
//! (RFC 3207 §4.2, RFC 9051 §6.2.1: what a man in the middle put before the handshake must not survive it).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

use super::base::{Base, poll_read_into};
use crate::limits;
use crate::tls::{ClientTls, EndPoints, ServerTls, TlsInfo};

/// A connection to a peer.
#[derive(Debug)]
pub struct Conn {
    stream: Stream,
    peer: SocketAddr,
    local: SocketAddr,
    read_bytes: usize,
    write_timeout: Duration,
    end_points: Option<Arc<dyn EndPoints>>,
}

#[derive(Debug)]
enum Stream {
    Plain(Base),
    Tls(Box<TlsStream<Base>>),
    /// During a handshake, and after one that failed.
    Gone,
}

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Conn {
    pub(crate) fn from_tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
        Ok(Self::new(Base::Tcp(stream), peer, local))
    }

    pub(crate) fn from_unix(stream: UnixStream) -> Self {
        Self::new(Base::Unix(stream), NOWHERE, NOWHERE)
    }

    fn new(base: Base, peer: SocketAddr, local: SocketAddr) -> Self {
        Self {
            stream: Stream::Plain(base),
            peer: unmapped(peer),
            local: unmapped(local),
            read_bytes: limits::READ_BYTES_MIN,
            write_timeout: limits::WRITE_TIMEOUT,
            end_points: None,
        }
    }

    /// Two ends of one connection in memory: what one writes the other reads.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        Self::pair_between(NOWHERE, NOWHERE)
    }

    /// [`Conn::pair`] whose first end says that its peer is `second` and the other way round.
    #[must_use]
    pub fn pair_between(first: SocketAddr, second: SocketAddr) -> (Self, Self) {
        let (one, two) = tokio::io::duplex(limits::READ_BYTES_MAX);
        (
            Self::new(Base::Memory(one), second, first),
            Self::new(Base::Memory(two), first, second),
        )
    }

    /// Who is at the other end. IPv4 addresses are always in IPv4 form; a unix socket or memory has 127.0.0.1:0.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Our end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The user of this machine at the other end of a unix socket, as the system knows it.
    #[must_use]
    pub fn peer_user(&self) -> Option<u32> {
        match &self.stream {
            Stream::Plain(Base::Unix(stream)) => stream.peer_cred().ok().map(|who| who.uid()),
            _ => None,
        }
    }

    /// Says who is really at both ends: a proxy that is believed has told.
    pub fn set_addresses(&mut self, peer: SocketAddr, local: SocketAddr) {
        self.peer = unmapped(peer);
        self.local = unmapped(local);
    }

    /// How long the peer may take no byte before a write fails. Five minutes unless set.
    pub fn set_write_timeout(&mut self, timeout: Duration) {
        self.write_timeout = timeout;
    }

    /// More than lines is coming: the next reads are large ones.
    pub fn expect_much(&mut self) {
        self.read_bytes = self.read_bytes.max(limits::READ_BYTES_BODY);
    }

    /// Waits for bytes and appends them to `buf`; 0 means that the peer has closed its side.
    /// How much is read at once grows while the peer keeps it full, from 2 KiB to 64 KiB.
    /// An empty `buf` loses its memory while this waits.
    ///
    /// # Errors
    /// What the system says; TLS errors as [`io::ErrorKind::InvalidData`], and a TLS peer that goes
    /// without saying so as [`io::ErrorKind::UnexpectedEof`].
    ///
    /// # Cancel safety
    /// Nothing is lost when this future is dropped.
    pub async fn read(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        let asked = self.read_bytes;
        let count = std::future::poll_fn(|cx| match &mut self.stream {
            Stream::Plain(base) => base.poll_read_buf(cx, buf, asked),
            Stream::Tls(stream) => poll_read_into(stream.as_mut(), cx, buf, asked),
            Stream::Gone => Poll::Ready(Err(gone())),
        })
        .await?;
        self.read_bytes = next_read_bytes(asked, count);
        Ok(count)
    }

    /// Writes all of it. With TLS, [`Conn::flush`] afterwards.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::TimedOut`] when the peer took no byte for the write time-out.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped midway, some of the bytes are gone and some are not.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let timeout = self.write_timeout;
            let count = patiently(timeout, |cx| Pin::new(&mut *self).poll_write(cx, bytes)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Sends what is buffered.
    ///
    /// # Errors
    /// As [`Conn::write_all`].
    pub async fn flush(&mut self) -> io::Result<()> {
        let timeout = self.write_timeout;
        patiently(timeout, |cx| Pin::new(&mut *self).poll_flush(cx)).await
    }

    /// Says goodbye (TLS close_notify, FIN) and gives the peer five seconds to take it.
    ///
    /// # Errors
    /// As [`Conn::write_all`]. Most callers do not care.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        let close = async {
            match &mut self.stream {
                Stream::Plain(base) => base.shutdown().await,
                Stream::Tls(stream) => stream.shutdown().await,
                Stream::Gone => Ok(()),
            }
        };
        tokio::time::timeout(limits::CLOSE_TIMEOUT, close)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether the connection is under TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// What was agreed, when the connection is under TLS.
    #[must_use]
    pub fn tls_info(&self) -> Option<TlsInfo> {
        match &self.stream {
            Stream::Tls(stream) => Some(TlsInfo::of(stream)),
            _ => None,
        }
    }

    /// What a client may bind its login to: nothing without TLS.
    #[must_use]
    pub fn bindings(&self) -> Vec<sasl::Binding> {
        match &self.stream {
            Stream::Tls(stream) => crate::tls::bindings(stream, self.end_points.as_deref()),
            _ => Vec::new(),
        }
    }

    /// The mail addresses that the peer's certificate names, where it was asked for
    /// one and showed a good one.
    #[must_use]
    pub fn client_names(&self) -> Vec<String> {
        match &self.stream {
            Stream::Tls(stream) => crate::tls::client_names(stream),
            _ => Vec::new(),
        }
    }

    /// The server's side of a handshake. `pending` is the caller's read buffer: bytes that came in clear
    /// text behind the command that asked for TLS are an attack or a broken peer, and end the connection.
    ///
    /// # Errors
    /// When `pending` is not empty, the handshake fails, or takes longer than 30 s. The connection is unusable then.
    pub async fn start_tls_after(&mut self, tls: &ServerTls, pending: &BytesMut) -> io::Result<()> {
        if !pending.is_empty() {
            self.stream = Stream::Gone;
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "plain text was sent before the TLS handshake",
            ));
        }
        self.start_tls(tls).await
    }

    /// The server's side of a handshake. The caller's read buffer must be empty: see [`Conn::start_tls_after`].
    ///
    /// # Errors
    /// When the connection is under TLS already, the handshake fails, or takes longer than 30 s. The connection is unusable then.
    pub async fn start_tls(&mut self, tls: &ServerTls) -> io::Result<()> {
        let base = self.take_plain()?;
        let acceptor = tokio_rustls::TlsAcceptor::from(tls.config());
        let handshake = Box::pin(acceptor.accept_with(base, |session| {
            session.set_buffer_limit(Some(limits::TLS_BUFFER_BYTES_MAX));
        }));
        let stream = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.stream = Stream::Tls(Box::new(stream.into()));
        self.end_points = tls.end_points();
        Ok(())
    }

    /// The client's side of a handshake with a server that is called `name` (a host name or an address).
    ///
    /// # Errors
    /// When the connection is under TLS already, the name is none, the handshake fails, the certificate does
    /// not satisfy `tls`, or it takes longer than 30 s. The connection is unusable then.
    pub async fn connect_tls(&mut self, tls: &ClientTls, name: &str) -> io::Result<()> {
        let name = ClientTls::server_name(name)?;
        let base = self.take_plain()?;
        let connector = tokio_rustls::TlsConnector::from(tls.config());
        let handshake = Box::pin(connector.connect_with(name, base, |session| {
            session.set_buffer_limit(Some(limits::TLS_BUFFER_BYTES_MAX));
        }));
        let stream = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.stream = Stream::Tls(Box::new(stream.into()));
        Ok(())
    }

    fn take_plain(&mut self) -> io::Result<Base> {
        match std::mem::replace(&mut self.stream, Stream::Gone) {
            Stream::Plain(base) => Ok(base),
            other => {
                self.stream = other;
                Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the connection is under TLS already",
                ))
            }
        }
    }
}

/// Runs a write that must make progress in time. The timer is made only when the peer lets us wait.
async fn patiently<T>(
    timeout: Duration,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> io::Result<T> {
    let mut sleep: Option<Pin<Box<tokio::time::Sleep>>> = None;
    std::future::poll_fn(move |cx| {
        if let Poll::Ready(result) = poll(cx) {
            return Poll::Ready(result);
        }
        let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        sleep
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

fn next_read_bytes(asked: usize, count: usize) -> usize {
    if count >= asked {
        (asked * 2).min(limits::READ_BYTES_MAX)
    } else if count < asked / 4 {
        (asked / 2).max(limits::READ_BYTES_MIN)
    } else {
        asked
    }
}

fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the connection ended with a failed handshake",
    )
}

impl AsyncRead for Conn {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(base) => Pin::new(base).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Stream::Gone => Poll::Ready(Err(gone())),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(base) => Pin::new(base).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
            Stream::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(base) => Pin::new(base).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Stream::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(base) => Pin::new(base).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }
}
