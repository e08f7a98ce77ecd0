//! The message's octets as delivery reads them.

use std::io;

use bytes::Bytes;

use crate::BoxFuture;

/// A message: its final octets, with CRLF lines, header first. Read from the
/// start as often as hosts are tried.
pub trait Message: Send + Sync {
    /// Octets in all.
    fn size(&self) -> u64;

    /// Some octets from `offset` on; none at the end.
    fn read(&self, offset: u64) -> BoxFuture<'_, io::Result<Bytes>>;

    /// Its name in the queue, the same at each attempt; none of what is not in one.
    fn queue_id(&self) -> Option<String> {
        None
    }
}

/// A message in memory: reports, tests.
#[derive(Debug, Clone)]
pub struct MessageBytes(pub Bytes);

impl Message for MessageBytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64) -> BoxFuture<'_, io::Result<Bytes>> {
        let start = usize::try_from(offset).map_or(self.0.len(), |at| at.min(self.0.len()));
        let rest = self.0.slice(start..);
        Box::pin(std::future::ready(Ok(rest)))
    }
}

/// What the first octets say about the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Letters {
    /// The header has octets over 127.
    pub(crate) header: bool,
    /// Header or body do.
    pub(crate) any: bool,
}

impl Letters {
    pub(crate) fn of(start: &[u8]) -> Self {
        let header_end = start
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or(start.len());
        Self {
            header: !start[..header_end].is_ascii(),
            any: !start.is_ascii(),
        }
    }
}
