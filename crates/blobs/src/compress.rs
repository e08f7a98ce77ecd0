//! Compression of chunks, where it pays.
//!
//! Compressors are kept and used again: making one costs more than a message.

use crate::limits::{CHUNK_BYTES, COMPRESS_BYTES_MIN, COMPRESSORS_KEPT};
use crate::record::Encoding;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::fmt;
use zstd::bulk::{Compressor, Decompressor};

/// The fastest level: the journal is written once, and CPU time is what a
/// delivery costs.
const LEVEL: i32 = 1;

#[derive(Default)]
pub(crate) struct Pool {
    compressors: Mutex<Vec<Compressor<'static>>>,
    decompressors: Mutex<Vec<Decompressor<'static>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    /// The stored form of a chunk. Compressed only when three tenths are saved:
    /// every read pays for it. Text does so easily. Base64 shrinks by a quarter
    /// and no more, and unpacking that would cost a reader as much as all else.
    pub(crate) fn compress<'a>(&self, plain: &'a [u8]) -> (Encoding, Cow<'a, [u8]>) {
        let as_it_is = (Encoding::Plain, Cow::Borrowed(plain));
        if plain.len() < COMPRESS_BYTES_MIN {
            return as_it_is;
        }
        let kept = self.compressors.lock().pop();
        let Some(mut compressor) = kept.or_else(|| Compressor::new(LEVEL).ok()) else {
            return as_it_is;
        };
        // A buffer that is too small for a worse result makes zstd give up early.
        let mut out = Vec::with_capacity(plain.len() * 7 / 10);
        let result = compressor.compress_to_buffer(plain, &mut out);
        let mut kept = self.compressors.lock();
        if kept.len() < COMPRESSORS_KEPT {
            kept.push(compressor);
        }
        drop(kept);
        match result {
            Ok(_) => (Encoding::Zstd, Cow::Owned(out)),
            Err(_) => as_it_is,
        }
    }

    /// The plain form of a compressed chunk, `len` bytes.
    pub(crate) fn decompress(&self, stored: &[u8], len: usize) -> Option<Vec<u8>> {
        let kept = self.decompressors.lock().pop();
        let mut decompressor = kept.or_else(|| Decompressor::new().ok())?;
        let result = decompressor.decompress(stored, len.min(CHUNK_BYTES));
        let mut kept = self.decompressors.lock();
        if kept.len() < COMPRESSORS_KEPT {
            kept.push(decompressor);
        }
        result.ok().filter(|plain| plain.len() == len)
    }
}
