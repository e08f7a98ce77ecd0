//! Compression of chunks, where it pays.
//!
//! Compressors are kept and used again: making one costs more than a message.

use crate::limits::{CHUNK_BYTES, COMPRESS_BYTES_MIN, COMPRESSORS_KEPT};
use crate::record::Encoding;
use parking_lot::Mutex;
use std::fmt;
use zstd::bulk::{Compressor, Decompressor};

/// The fastest level: the journal is written once, and CPU time is what a
/// delivery costs.
const LEVEL: i32 = 1;

#[derive(Default)]
pub(crate) struct Pool {
    compressors: Mutex<Vec<Compressor<'static>>>,
    /// What compressors write to. A long message has hundreds of chunks, and
    /// each may be compressed on another thread, whose memory would keep it.
    buffers: Mutex<Vec<Vec<u8>>>,
    decompressors: Mutex<Vec<Decompressor<'static>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    /// Gives the stored form of a chunk to `put`. Compressed only when three
    /// tenths are saved: every read pays for it. Text does so easily. Base64
    /// shrinks by a quarter and no more, and unpacking that would cost a reader
    /// as much as all else.
    pub(crate) fn compress<T>(&self, plain: &[u8], put: impl FnOnce(Encoding, &[u8]) -> T) -> T {
        if plain.len() < COMPRESS_BYTES_MIN {
            return put(Encoding::Plain, plain);
        }
        let kept = self.compressors.lock().pop();
        let Some(mut compressor) = kept.or_else(|| Compressor::new(LEVEL).ok()) else {
            return put(Encoding::Plain, plain);
        };
        let mut buffer = self.buffers.lock().pop().unwrap_or_default();
        // A buffer that is too small for a worse result makes zstd give up early.
        buffer.resize(plain.len() * 7 / 10, 0);
        let pressed = compressor.compress_to_buffer(plain, &mut buffer[..]);
        // Given back before `put`, which may wait for the disk.
        keep(&self.compressors, compressor);
        let value = match pressed {
            Ok(len) => put(Encoding::Zstd, &buffer[..len]),
            Err(_) => put(Encoding::Plain, plain),
        };
        keep(&self.buffers, buffer);
        value
    }

    /// The plain form of a compressed chunk, `len` bytes.
    pub(crate) fn decompress(&self, stored: &[u8], len: usize) -> Option<Vec<u8>> {
        let kept = self.decompressors.lock().pop();
        let mut decompressor = kept.or_else(|| Decompressor::new().ok())?;
        let result = decompressor.decompress(stored, len.min(CHUNK_BYTES));
        keep(&self.decompressors, decompressor);
        result.ok().filter(|plain| plain.len() == len)
    }
}

fn keep<T>(kept: &Mutex<Vec<T>>, one: T) {
    let mut kept = kept.lock();
    if kept.len() < COMPRESSORS_KEPT {
        kept.push(one);
    }
}
