//! Two ways to the same end, of which one has a head start.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::Runtime;

impl Runtime {
    /// What succeeds first of two, of which the second begins when the first has failed or
    /// has had its head start; the first's error where both fail (RFC 8305 §5).
    ///
    /// # Errors
    /// Both have failed.
    ///
    /// # Cancel safety
    /// As that of the two, which are dropped with it.
    pub async fn race<T, E>(
        &self,
        head_start: Duration,
        first: impl Future<Output = Result<T, E>>,
        second: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let (mut first, mut second) = (pin!(first), pin!(second));
        let failed = match self.timeout(head_start, first.as_mut()).await {
            Ok(Ok(won)) => return Ok(won),
            Ok(Err(error)) => error,
            Err(_) => tokio::select! {
                one = first.as_mut() => match one {
                    Ok(won) => return Ok(won),
                    Err(error) => error,
                },
                other = second.as_mut() => match other {
                    Ok(won) => return Ok(won),
                    Err(_) => return first.await,
                },
            },
        };
        second.await.map_err(|_| failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    const AFTER: Duration = Duration::from_millis(250);

    async fn raced(
        first: impl Future<Output = Result<u8, u8>>,
        second: impl Future<Output = Result<u8, u8>>,
    ) -> Result<u8, u8> {
        let runtime = Runtime::for_tests();
        let clock = runtime.clone();
        let racing = runtime.race(AFTER, first, second);
        let passing = async {
            loop {
                clock.advance(Duration::from_millis(50));
                clock.blocking(|| ()).await;
            }
        };
        tokio::select! {
            result = racing => result,
            () = passing => unreachable!("time goes on for ever"),
        }
    }

    #[tokio::test]
    async fn rfc_8305_5_who_is_silent_does_not_keep_the_other_family_waiting() {
        let silent = || pending::<Result<u8, u8>>();
        assert_eq!(raced(ready(Ok(1)), silent()).await, Ok(1));
        assert_eq!(raced(silent(), ready(Ok(2))).await, Ok(2));
        assert_eq!(raced(ready(Err(1)), ready(Ok(2))).await, Ok(2));
        assert_eq!(raced(ready(Err(1)), ready(Err(2))).await, Err(1));
    }

    #[tokio::test]
    async fn the_second_does_not_begin_within_the_head_start() {
        let begun = std::cell::Cell::new(false);
        let second = async {
            begun.set(true);
            Ok::<u8, u8>(2)
        };
        let runtime = Runtime::for_tests();
        assert_eq!(runtime.race(AFTER, ready(Ok(1)), second).await, Ok(1));
        assert!(!begun.get());
    }

    #[tokio::test]
    async fn a_first_that_is_late_still_wins_where_the_second_fails() {
        let runtime = Runtime::for_tests();
        let (said, heard) = tokio::sync::oneshot::channel::<u8>();
        let first = async { heard.await.map_err(|_| 9) };
        let second = async {
            said.send(1).expect("heard");
            Err(2)
        };
        let racing = runtime.race(AFTER, first, second);
        let clock = runtime.clone();
        let passing = async {
            loop {
                clock.advance(AFTER);
                clock.blocking(|| ()).await;
            }
        };
        tokio::select! {
            result = racing => assert_eq!(result, Ok(1)),
            () = passing => unreachable!("time goes on for ever"),
        }
    }
}
