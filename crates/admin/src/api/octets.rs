//! A message as an answer: read as the client takes it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use gateway::{WorkError, Workers};
use http_body::{Body, Frame, SizeHint};

use runtime::net::Busy;

type Reading = Pin<Box<dyn Future<Output = Result<Bytes, WorkError>> + Send>>;

/// The octets of a claimed message.
pub(super) struct Octets {
    workers: Workers,
    claim: String,
    offset: u64,
    size: u64,
    reading: Option<Reading>,
    _busy: Busy,
}

impl Octets {
    /// From the first of `size` octets on.
    pub(super) fn new(workers: Workers, claim: String, size: u64, busy: Busy) -> Self {
        Self {
            workers,
            claim,
            offset: 0,
            size,
            reading: None,
            _busy: busy,
        }
    }
}

impl Body for Octets {
    type Data = Bytes;
    type Error = WorkError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WorkError>>> {
        let this = self.get_mut();
        if this.offset >= this.size {
            return Poll::Ready(None);
        }
        let reading = this.reading.get_or_insert_with(|| {
            let (workers, claim, offset) = (this.workers.clone(), this.claim.clone(), this.offset);
            Box::pin(async move { workers.read(&claim, offset).await })
        });
        let part = ready!(reading.as_mut().poll(cx));
        this.reading = None;
        Poll::Ready(Some(match part {
            Ok(part) if part.is_empty() => Err(WorkError::Unreadable("it is too short".into())),
            Ok(part) => {
                this.offset += part.len() as u64;
                Ok(Frame::data(part))
            }
            Err(error) => Err(error),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.offset >= self.size
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size - self.offset.min(self.size))
    }
}
