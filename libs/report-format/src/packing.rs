//! Reports travel compressed (RFC 8460 §5.2: gzip, RFC 1952).
//!
//! Not here: what is inside (`reading`; ours: `tls-policy`).

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use thiserror::Error;

use crate::limits::TLS_REPORT_BYTES_MAX;

/// How a compressed file begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why nothing was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnpackError {
    /// It is no gzip, or its end is missing.
    #[error("it is damaged: what was compressed cannot be restored")]
    Damaged,
    /// There is more in it than is taken.
    #[error("it holds more than {TLS_REPORT_BYTES_MAX} bytes")]
    TooLarge,
}

/// Compresses a report. The same text gives the same octets.
#[must_use]
pub fn pack(report: &str) -> Vec<u8> {
    let mut packing = GzEncoder::new(Vec::new(), Compression::best());
    let packed = packing
        .write_all(report.as_bytes())
        .and_then(|()| packing.finish());
    packed.expect("memory takes what is written to it")
}

/// What was compressed; what never was stays as it is. [`TLS_REPORT_BYTES_MAX`] at most, and
/// no more than that is ever in memory.
///
/// # Errors
/// See [`UnpackError`].
pub fn unpack(octets: &[u8]) -> Result<Vec<u8>, UnpackError> {
    if !octets.starts_with(&MAGIC) {
        return match octets.len() <= TLS_REPORT_BYTES_MAX {
            true => Ok(octets.to_vec()),
            false => Err(UnpackError::TooLarge),
        };
    }
    let mut unpacked = Vec::new();
    let read = GzDecoder::new(octets)
        .take(TLS_REPORT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut unpacked);
    match read {
        Ok(bytes) if bytes > TLS_REPORT_BYTES_MAX => Err(UnpackError::TooLarge),
        Ok(_) => Ok(unpacked),
        Err(_) => Err(UnpackError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_unpacked_and_nothing_cut_off() {
        let text = "{\"policies\":[]}".repeat(500);
        let packed = pack(&text);
        assert!(packed.len() < text.len() / 10);
        assert_eq!(pack(&text), packed);
        assert_eq!(unpack(&packed), Ok(text.clone().into_bytes()));
        assert_eq!(unpack(text.as_bytes()), Ok(text.into_bytes()));
        for end in MAGIC.len()..packed.len() {
            assert_eq!(unpack(&packed[..end]), Err(UnpackError::Damaged), "{end}");
        }
        let mut wrong = packed.clone();
        let last = wrong.len() - 6;
        wrong[last] ^= 1;
        assert_eq!(unpack(&wrong), Err(UnpackError::Damaged));
    }

    #[test]
    fn threat_16_a_bomb_is_not_inflated() {
        let blanks = " ".repeat(TLS_REPORT_BYTES_MAX);
        assert_eq!(
            unpack(&pack(&blanks)).map(|b| b.len()),
            Ok(TLS_REPORT_BYTES_MAX)
        );
        let bomb = pack(&format!("{blanks}{blanks}{blanks}"));
        assert!(bomb.len() < TLS_REPORT_BYTES_MAX / 100);
        assert_eq!(unpack(&bomb), Err(UnpackError::TooLarge));
        let plain = vec![b' '; TLS_REPORT_BYTES_MAX + 1];
        assert_eq!(unpack(&plain), Err(UnpackError::TooLarge));
    }
}
