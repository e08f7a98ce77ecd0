//! A queued message as the transport reads it.

use std::io;

use bytes::Bytes;
use queue::Lease;

use crate::limits::READ_BYTES;
use crate::ports::BoxFuture;

/// Prefix and body of a queued message.
pub(crate) struct Body<'a>(pub(crate) &'a Lease);

impl deliver::Message for Body<'_> {
    fn size(&self) -> u64 {
        self.0.message().size()
    }

    fn read(&self, offset: u64) -> BoxFuture<'_, io::Result<Bytes>> {
        let end = end_of_read(self.0.message().prefix.len() as u64, offset);
        Box::pin(async move {
            let read = self.0.read(offset..end);
            read.await.map_err(io::Error::other)
        })
    }

    fn queue_id(&self) -> Option<String> {
        Some(self.0.id().to_string())
    }
}

/// To the end of a stored chunk, so that none is opened twice.
fn end_of_read(prefix: u64, offset: u64) -> u64 {
    let chunk = offset.saturating_sub(prefix) / READ_BYTES;
    prefix + (chunk + 1) * READ_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_end_where_chunks_do() {
        assert_eq!(end_of_read(100, 0), 100 + READ_BYTES);
        assert_eq!(end_of_read(100, 100), 100 + READ_BYTES);
        assert_eq!(end_of_read(100, 100 + READ_BYTES), 100 + 2 * READ_BYTES);
        assert_eq!(end_of_read(0, READ_BYTES - 1), READ_BYTES);
    }
}
