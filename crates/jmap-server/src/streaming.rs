//! Bodies of answers that are made as the client takes them.

use axum::body::Bytes;
use directory::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What gives pieces, one behind the other.
pub(crate) trait Pieces: Send + Sized + 'static {
    /// The next piece, and what gives the one after it; none at the end.
    fn next(self) -> BoxFuture<'static, (Self, Option<io::Result<Bytes>>)>;
}

enum State<P: Pieces> {
    Resting(P),
    Working(BoxFuture<'static, (P, Option<io::Result<Bytes>>)>),
    Done,
}

/// A body that is asked for its pieces.
pub(crate) struct Streamed<P: Pieces> {
    state: State<P>,
    size: Option<u64>,
}

impl<P: Pieces> Streamed<P> {
    /// `size` is how many octets there are, where that is known.
    pub(crate) fn new(pieces: P, size: Option<u64>) -> Self {
        Self {
            state: State::Resting(pieces),
            size,
        }
    }
}

// Nothing in it is pinned but the boxed future.
impl<P: Pieces> Unpin for Streamed<P> {}

impl<P: Pieces> Body for Streamed<P> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let State::Resting(_) = this.state
            && let State::Resting(pieces) = std::mem::replace(&mut this.state, State::Done)
        {
            this.state = State::Working(pieces.next());
        }
        let State::Working(work) = &mut this.state else {
            return Poll::Ready(None);
        };
        let (pieces, piece) = ready!(work.as_mut().poll(cx));
        match piece {
            Some(Ok(piece)) => {
                this.state = State::Resting(pieces);
                this.size = this
                    .size
                    .map(|size| size.saturating_sub(piece.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Some(Err(error)) => {
                this.state = State::Done;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                this.state = State::Done;
                Poll::Ready(None)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.size
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
