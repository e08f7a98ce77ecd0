//! The session's connection, compressed where the client asked for it (RFC 4978).
//!
//! Each response leaves whole: [`Wire::flush`] ends a deflate block, so that a client
//! never waits for bytes that sit in the compressor. Nothing that went before the
//! command is in it.
//!
//! Memory: without compression nothing. With it the window of what comes in (some
//! 45 KiB) stays with the session; the compressor, which is larger, goes when the session
//! waits for its client ([`Wire::rest`]) and begins anew with the next response: blocks
//! end at octets, and a new one refers to nothing before it.

use bytes::{Buf as _, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use runtime::net::Conn;
use std::io;
use std::ops::{Deref, DerefMut};

use crate::limits::INFLATED_BYTES;

/// A connection, and what compresses it.
pub(crate) struct Wire {
    conn: Conn,
    deflate: Option<Box<Deflate>>,
}

struct Deflate {
    inflate: Decompress,
    /// Compressed octets that are not read yet.
    unread: BytesMut,
    /// The client ended its stream: what is unread is not compressed.
    ended: bool,
    /// None while there is nothing to say.
    compress: Option<Compress>,
    /// Something is in the compressor that was not sent.
    pending: bool,
}

impl Wire {
    pub(crate) fn new(conn: Conn) -> Self {
        let deflate = None;
        Self { conn, deflate }
    }

    /// From here on everything is compressed, both ways.
    pub(crate) fn compress(&mut self) {
        self.deflate = Some(Box::new(Deflate {
            inflate: Decompress::new(false),
            unread: BytesMut::new(),
            ended: false,
            compress: None,
            pending: false,
        }));
    }

    /// From here on nothing is (RFC 8437 §4.1); gives what was read and is not compressed.
    ///
    /// # Errors
    /// There are more compressed octets.
    pub(crate) fn uncompress(&mut self) -> io::Result<BytesMut> {
        match self.deflate.take() {
            Some(deflate) if deflate.ended || deflate.unread.is_empty() => Ok(deflate.unread),
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
            None => Ok(BytesMut::new()),
        }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    /// As [`Conn::read`]; of compressed octets at most [`INFLATED_BYTES`] at once,
    /// whatever they stand for.
    ///
    /// # Cancel safety
    /// Nothing is lost when this future is dropped.
    pub(crate) async fn read(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        let Some(deflate) = &mut self.deflate else {
            return self.conn.read(buf).await;
        };
        loop {
            let count = deflate.inflate(buf)?;
            if count > 0 {
                return Ok(count);
            }
            if deflate.unread.is_empty() {
                deflate.unread = BytesMut::new();
            }
            if self.conn.read(&mut deflate.unread).await? == 0 {
                return Ok(0);
            }
        }
    }

    /// As [`Conn::write_all`].
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.deflate {
            None => self.conn.write_all(bytes).await,
            Some(deflate) => {
                let out = deflate.deflate(bytes, FlushCompress::None)?;
                deflate.pending = true;
                self.conn.write_all(&out).await
            }
        }
    }

    /// Sends what is buffered, in the compressor too.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if let Some(deflate) = &mut self.deflate {
            let out = deflate.deflate(&[], FlushCompress::Sync)?;
            deflate.pending = false;
            self.conn.write_all(&out).await?;
        }
        self.conn.flush().await
    }

    /// Something was written that only [`Wire::flush`] sends.
    pub(crate) fn is_pending(&self) -> bool {
        self.deflate.as_ref().is_some_and(|deflate| deflate.pending)
    }

    /// The session waits: what it can do without goes.
    pub(crate) fn rest(&mut self) {
        if let Some(deflate) = self.deflate.as_mut().filter(|deflate| !deflate.pending) {
            deflate.compress = None;
        }
    }
}

impl Deflate {
    /// Appends what the next compressed octets stand for.
    fn inflate(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        // RFC 4978 §4: the stream ends with the connection only, or with UNAUTHENTICATE.
        if self.ended {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut out = Vec::with_capacity(INFLATED_BYTES);
        let before = self.inflate.total_in();
        let status = self
            .inflate
            .decompress_vec(&self.unread, &mut out, FlushDecompress::None)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let taken = self.inflate.total_in() - before;
        self.unread
            .advance(usize::try_from(taken).unwrap_or(usize::MAX));
        self.ended = status == Status::StreamEnd;
        if self.ended && out.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        buf.extend_from_slice(&out);
        Ok(out.len())
    }

    fn deflate(&mut self, bytes: &[u8], flush: FlushCompress) -> io::Result<Vec<u8>> {
        let compress = match (&mut self.compress, bytes.is_empty()) {
            (None, true) => return Ok(Vec::new()),
            (compress, _) => {
                compress.get_or_insert_with(|| Compress::new(Compression::fast(), false))
            }
        };
        let mut rest = bytes;
        let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
        loop {
            if out.len() == out.capacity() {
                out.reserve(out.len().max(64));
            }
            let before = compress.total_in();
            compress
                .compress_vec(rest, &mut out, flush)
                .map_err(io::Error::other)?;
            let taken = compress.total_in() - before;
            rest = &rest[usize::try_from(taken).unwrap_or(rest.len())..];
            // Room that is left means that nothing is held back.
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(out);
            }
        }
    }
}

impl Deref for Wire {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Wire {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}
