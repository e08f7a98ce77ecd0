//! What is sent: octets that are read as the connection takes them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// A future of a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is sent, read from its beginning to its end once.
pub trait Content: Send + Sync {
    /// Octets in all.
    fn size(&self) -> u64;

    /// Some octets from `offset` on; none at the end.
    fn read(&self, offset: u64) -> BoxFuture<'_, io::Result<Bytes>>;
}

impl Content for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64) -> BoxFuture<'_, io::Result<Bytes>> {
        let start = usize::try_from(offset).map_or(self.len(), |at| at.min(self.len()));
        let rest = self.slice(start..);
        Box::pin(std::future::ready(Ok(rest)))
    }
}

/// The connection's end of it: it outlives whoever reads the content.
pub(crate) struct Stream {
    left: u64,
    parts: mpsc::Receiver<io::Result<Bytes>>,
}

/// The reader's end.
pub(crate) type Feed = mpsc::Sender<io::Result<Bytes>>;

/// A body of so many octets, and where they are put in.
pub(crate) fn stream(size: u64) -> (Feed, Stream) {
    let (feed, parts) = mpsc::channel(1);
    (feed, Stream { left: size, parts })
}

/// Puts all of it in; returns early when nobody takes any more.
pub(crate) async fn feed(content: &dyn Content, feed: Feed) {
    let mut offset = 0;
    while offset < content.size() {
        let part = match content.read(offset).await {
            Ok(part) if part.is_empty() => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            part => part,
        };
        offset += part.as_ref().map_or(0, |part| part.len() as u64);
        let failed = part.is_err();
        if feed.send(part).await.is_err() || failed {
            return;
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.parts.poll_recv(context).map(|part| {
            // Whoever asked has gone away.
            let part = part.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
            Some(part.map(|part| {
                self.left = self.left.saturating_sub(part.len() as u64);
                Frame::data(part)
            }))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
