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

/// What ends a block at an octet: an empty stored one (RFC 1951 §3.2.4), without the bits
/// before it.
const FLUSHED: u32 = 0x0000_ffff;
/// Octets of such an end that may be missing when the text before it has been read: the
/// block's end (15 bits at most), three bits of the empty one, and those four.
const FLUSH_OCTETS_MAX: usize = 3 + 4;

/// A connection, and what compresses it.
pub(crate) struct Wire {
    conn: Conn,
    layer: Option<Box<Layer>>,
}

enum Layer {
    Deflate(Deflate),
    Ending(Ending),
}

/// Nothing is compressed any more, but the end of the client's last block was not there yet.
struct Ending {
    /// As long as what has come may be of its stream.
    inflate: Option<Decompress>,
    last: u32,
    /// What has come since, as long as it may be that end.
    held: BytesMut,
    looked_at: usize,
}

struct Deflate {
    inflate: Decompress,
    /// Compressed octets that are not read yet.
    unread: BytesMut,
    /// The last four octets that were read.
    last: u32,
    /// The client ended its stream: what is unread is not compressed.
    ended: bool,
    /// None while there is nothing to say.
    compress: Option<Compress>,
    /// Something is in the compressor that was not sent.
    pending: bool,
}

impl Wire {
    pub(crate) fn new(conn: Conn) -> Self {
        let layer = None;
        Self { conn, layer }
    }

    /// From here on everything is compressed, both ways.
    pub(crate) fn compress(&mut self) {
        self.layer = Some(Box::new(Layer::Deflate(Deflate {
            inflate: Decompress::new(false),
            unread: BytesMut::new(),
            last: 0,
            ended: false,
            compress: None,
            pending: false,
        })));
    }

    /// Appends text that came and was not read yet, some of it at least, of the client's
    /// block; what is behind the block's end is left.
    ///
    /// # Errors
    /// What came is no deflate.
    pub(crate) fn drain(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        let Some(deflate) = self.deflate_mut().filter(|deflate| !deflate.ended) else {
            return Ok(0);
        };
        // It may be in the inflater though all its octets are read.
        let count = deflate.inflate_to(0, buf)?;
        if count > 0 || deflate.has_ended() {
            return Ok(count);
        }
        deflate.inflate(buf)
    }

    /// From here on nothing is (RFC 8437 §4.1); gives what came and is not compressed.
    /// Nothing must be left to [`Wire::drain`].
    pub(crate) fn uncompress(&mut self) -> BytesMut {
        let Some(Layer::Deflate(mut deflate)) = self.layer.take().map(|layer| *layer) else {
            return BytesMut::new();
        };
        if !deflate.has_ended() {
            self.layer = Some(Box::new(Layer::Ending(Ending {
                inflate: Some(deflate.inflate),
                last: deflate.last,
                held: std::mem::take(&mut deflate.unread),
                looked_at: 0,
            })));
        }
        deflate.unread
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.deflate().is_some()
    }

    fn deflate(&self) -> Option<&Deflate> {
        match self.layer.as_deref()? {
            Layer::Deflate(deflate) => Some(deflate),
            Layer::Ending(_) => None,
        }
    }

    fn deflate_mut(&mut self) -> Option<&mut Deflate> {
        match self.layer.as_deref_mut()? {
            Layer::Deflate(deflate) => Some(deflate),
            Layer::Ending(_) => None,
        }
    }

    /// As [`Conn::read`]; of compressed octets at most [`INFLATED_BYTES`] at once,
    /// whatever they stand for.
    ///
    /// # Cancel safety
    /// Nothing is lost when this future is dropped.
    pub(crate) async fn read(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        let deflate = match self.layer.as_deref_mut() {
            None => return self.conn.read(buf).await,
            Some(Layer::Ending(_)) => return self.read_the_end(buf).await,
            Some(Layer::Deflate(deflate)) => deflate,
        };
        loop {
            // Once at least: text may be in the inflater though all its octets are read.
            while !deflate.ended {
                let left = deflate.unread.len();
                let count = deflate.inflate(buf)?;
                if count > 0 {
                    return Ok(count);
                }
                if deflate.unread.len() == left {
                    break;
                }
            }
            // RFC 4978 §4: the stream ends with the connection only, or with UNAUTHENTICATE.
            if deflate.ended && !deflate.unread.is_empty() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if deflate.unread.is_empty() {
                deflate.unread = BytesMut::new();
            }
            if self.conn.read(&mut deflate.unread).await? == 0 {
                return Ok(0);
            }
        }
    }

    /// Behind the end of the client's last block, or at once where none comes: a command is
    /// at least as long as what may be missing, but for one that ends before.
    async fn read_the_end(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        loop {
            let Some(Layer::Ending(ending)) = self.layer.as_deref_mut() else {
                return self.conn.read(buf).await;
            };
            if let Some(of_block) = ending.look() {
                let rest = ending.held.split_off(of_block);
                self.layer = None;
                if !rest.is_empty() {
                    buf.extend_from_slice(&rest);
                    return Ok(rest.len());
                }
            } else if self.conn.read(&mut ending.held).await? == 0 {
                return Ok(0);
            }
        }
    }

    /// As [`Conn::write_all`].
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.deflate_mut() {
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
        if let Some(deflate) = self.deflate_mut() {
            let out = deflate.deflate(&[], FlushCompress::Sync)?;
            deflate.pending = false;
            self.conn.write_all(&out).await?;
        }
        self.conn.flush().await
    }

    /// Something was written that only [`Wire::flush`] sends.
    pub(crate) fn is_pending(&self) -> bool {
        self.deflate().is_some_and(|deflate| deflate.pending)
    }

    /// The session waits: what it can do without goes.
    pub(crate) fn rest(&mut self) {
        if let Some(deflate) = self.deflate_mut().filter(|deflate| !deflate.pending) {
            deflate.compress = None;
        }
    }
}

impl Ending {
    /// How many of the octets that came end the block; none while more have to come before
    /// that can be said.
    fn look(&mut self) -> Option<usize> {
        while self.looked_at < self.held.len().min(FLUSH_OCTETS_MAX) {
            let octet = self.held[self.looked_at];
            self.looked_at += 1;
            self.last = self.last << 8 | u32::from(octet);
            if self.last == FLUSHED || self.ends_stream(octet) {
                return Some(self.looked_at);
            }
            // No end of a block has it so far behind.
            if octet == b'\n' && self.looked_at > FLUSH_OCTETS_MAX - 4 {
                return Some(0);
            }
        }
        (self.looked_at == FLUSH_OCTETS_MAX).then_some(0)
    }

    fn ends_stream(&mut self, octet: u8) -> bool {
        let Some(inflate) = &mut self.inflate else {
            return false;
        };
        let mut out = [0];
        let before = inflate.total_out();
        let status = inflate.decompress(&[octet], &mut out, FlushDecompress::None);
        if inflate.total_out() > before || status.is_err() {
            // It is text of the next command, or nothing.
            self.inflate = None;
            return false;
        }
        status.is_ok_and(|status| status == Status::StreamEnd)
    }
}

impl Deflate {
    /// The client has ended its stream, or a block of it at an octet.
    fn has_ended(&self) -> bool {
        self.ended || self.last == FLUSHED
    }

    /// Appends what the next compressed octets stand for, to the end of a block at most: what
    /// is behind it may not be compressed.
    fn inflate(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        // Nothing goes in behind the end of a block of which not all is out.
        if self.unread.is_empty() || self.last == FLUSHED {
            let count = self.inflate_to(0, buf)?;
            if count > 0 || self.unread.is_empty() || self.ended {
                return Ok(count);
            }
        }
        let mut last = self.last;
        let end = self.unread.iter().position(|octet| {
            last = last << 8 | u32::from(*octet);
            last == FLUSHED
        });
        self.inflate_to(end.map_or(self.unread.len(), |at| at + 1), buf)
    }

    /// Appends what is in the inflater, and what the octets to `end` stand for; not all at
    /// once. Nothing means that there is no more.
    fn inflate_to(&mut self, end: usize, buf: &mut BytesMut) -> io::Result<usize> {
        let mut out = Vec::with_capacity(INFLATED_BYTES);
        let before = self.inflate.total_in();
        let status = self
            .inflate
            .decompress_vec(&self.unread[..end], &mut out, FlushDecompress::None)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let taken = usize::try_from(self.inflate.total_in() - before).unwrap_or(end);
        for octet in &self.unread[taken.saturating_sub(4)..taken] {
            self.last = self.last << 8 | u32::from(*octet);
        }
        self.unread.advance(taken);
        self.ended = status == Status::StreamEnd;
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
