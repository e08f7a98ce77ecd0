//! Tests of time, tasks and plain connections. TLS is tested in `certs`, which has certificates.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;

use crate::net::{Conn, Listener, connect};
use crate::{Elapsed, Runtime, TaskError, Tasks};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_tests_clock_starts_at_a_fixed_time_and_jumps() {
    let runtime = Runtime::for_tests();
    let begun = runtime.now();
    assert_eq!(begun.unix_seconds(), 1_767_225_600);
    runtime.advance(HOUR);
    assert!(runtime.now().since(begun) >= HOUR);
    assert!(runtime.monotonic().0 >= HOUR);
}

#[tokio::test]
async fn advancing_wakes_sleepers_and_time_outs() {
    let runtime = Runtime::for_tests();
    let sleeper = runtime.spawn("sleeper", runtime.sleep(HOUR));
    let limited = runtime.spawn(
        "limited",
        runtime.timeout(HOUR, std::future::pending::<()>()),
    );
    runtime.advance(HOUR);
    sleeper.join().await.unwrap();
    assert_eq!(limited.join().await.unwrap(), Err(Elapsed));
    assert_eq!(runtime.timeout(HOUR, async { 7 }).await, Ok(7));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_numbers() {
    let (one, two) = (Runtime::seeded(5), Runtime::seeded(5));
    assert_eq!(one.random_u64(), two.random_u64());
    assert_ne!(Runtime::new().random_u64(), Runtime::new().random_u64());
}

#[tokio::test]
async fn a_dropped_task_is_aborted_and_a_panic_is_reported() {
    let runtime = Runtime::for_tests();
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let task = runtime.spawn("holder", async move {
        let _held = sender;
        std::future::pending::<()>().await;
    });
    drop(task);
    assert!(receiver.await.is_err(), "the task let go of what it held");
    let panicking = runtime.spawn("panicking", async { panic!("as the test wants") });
    let result: Result<(), TaskError> = panicking.join().await;
    assert!(matches!(result, Err(TaskError::Panicked("panicking"))));
}

#[tokio::test]
async fn a_crowd_is_waited_for() {
    let runtime = Runtime::for_tests();
    let tasks = Tasks::new();
    let shutdown = runtime.shutdown();
    for _ in 0..10 {
        let shutdown = shutdown.clone();
        tasks.spawn(&runtime, async move { shutdown.draining().await });
    }
    assert_eq!(tasks.len(), 10);
    assert!(!shutdown.is_draining());
    shutdown.drain();
    tasks.wait().await;
    assert!(tasks.is_empty());
    assert!(shutdown.is_draining());
}

#[tokio::test]
async fn blocking_work_gives_its_result() {
    assert_eq!(Runtime::for_tests().blocking(|| 6 * 7).await, 42);
}

async fn tcp_pair() -> (Conn, Conn) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address: SocketAddr = listener.local_addr();
    let client = connect(address, None, HOUR).await.unwrap();
    let server = listener.accept().await.unwrap();
    assert_eq!(server.peer_addr(), client.local_addr());
    assert_eq!(server.local_addr(), client.peer_addr());
    (client, server)
}

#[tokio::test]
async fn bytes_travel_and_an_idle_reader_holds_no_buffer() {
    let (mut client, mut server) = tcp_pair().await;
    let mut buf = BytesMut::with_capacity(4096);
    {
        let read = server.read(&mut buf);
        tokio::pin!(read);
        let pending =
            std::future::poll_fn(|cx| std::task::Poll::Ready(read.as_mut().poll(cx).is_pending()));
        assert!(pending.await);
    }
    assert_eq!(buf.capacity(), 0, "nothing is held while nothing comes");
    client.write_all(b"HELO there\r\n").await.unwrap();
    assert_eq!(server.read(&mut buf).await.unwrap(), 12);
    assert_eq!(&buf[..], b"HELO there\r\n");
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut buf).await.unwrap(), 0);
}

#[tokio::test]
async fn reads_grow_with_the_flow() {
    let (mut client, mut server) = Conn::pair();
    client.write_all(&[b'x'; 60_000]).await.unwrap();
    let (mut buf, mut largest) = (BytesMut::new(), 0);
    while buf.len() < 60_000 {
        largest = largest.max(server.read(&mut buf).await.unwrap());
    }
    assert!(largest >= 16_000, "{largest}");
}

#[tokio::test]
async fn threat_06_a_peer_that_takes_nothing_is_given_up() {
    let (mut client, _server) = Conn::pair();
    client.set_write_timeout(Duration::from_millis(10));
    let error = client.write_all(&vec![0; 200_000]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn an_ipv6_listener_leaves_ipv4_alone() {
    let Ok(six) = Listener::bind("[::]:0".parse().unwrap()) else {
        return; // a machine without IPv6
    };
    let port = six.local_addr().port();
    Listener::bind(SocketAddr::new("127.0.0.1".parse().unwrap(), port)).unwrap();
}
