//! What this crate's records in the system's space have in common: one that says
//! when something was, and how many go at once.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | when | 8 bytes, high byte first: milliseconds since 1970 |

use engine::{Batch, SharedEngine, SubmitError};
use runtime::Timestamp;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// The record of a moment.
pub(crate) fn record(at: Timestamp) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(VERSION).u64_be(at.unix_ms);
    writer.finish()
}

/// The moment that a record says.
pub(crate) fn moment(record: &[u8]) -> Result<Timestamp, DecodeError> {
    let mut reader = Reader::new(record);
    match reader.u8()? {
        VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let unix_ms = reader.u64_be()?;
    reader.finish()?;
    Ok(Timestamp { unix_ms })
}

/// Removes records, `at_once` in a commit; ends at the first commit that is refused.
pub(crate) async fn remove(
    engine: &SharedEngine,
    gone: &[Vec<u8>],
    at_once: usize,
) -> Result<(), SubmitError> {
    for some in gone.chunks(at_once) {
        let mut batch = Batch::new();
        for key in some {
            batch.delete(key.clone());
        }
        engine.submit(batch)?.done().await;
    }
    Ok(())
}
