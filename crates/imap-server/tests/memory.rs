//! What a session takes while it waits, counted by the allocator. A binary of its own, because the allocator is
//! the whole process's.

use blobs::Blobs;
use bytes::BytesMut;
use directory::{Directory, NewAccount};
use engine::{MemoryEngine, SharedEngine};
use envelope::{Address, Domain};
use imap_server::{Config, Orders, Ports, Sessions, TlsMode, serve};
use mailstore::{Mailstore, QuotaLimits};
use observe::Metrics;
use runtime::net::{Conn, Listener};
use runtime::{Runtime, Task, Tasks};
use sasl::Secret;
use search::Search;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What one test allocates is not the other's.
static ALONE: Mutex<()> = Mutex::const_new(());

const SESSIONS: usize = 100;

/// Connections of strangers.
const STRANGERS: usize = 2_000;

/// A server's world with bob in it.
async fn ports(sessions: usize) -> Arc<Ports> {
    let runtime = Runtime::for_tests();
    let engine: SharedEngine = Arc::new(MemoryEngine::new(1));
    let blobs = Arc::new(Blobs::new(Arc::clone(&engine)));
    let directory = Directory::new(
        Arc::clone(&engine),
        runtime.clone(),
        directory::Options::for_tests(),
    );
    let search = Search::new(Arc::clone(&engine), runtime.clone(), Default::default());
    let mailstore = Mailstore::new(
        engine,
        Arc::clone(&blobs),
        runtime.clone(),
        Default::default(),
    );
    let domain = Domain::parse("demo.test").expect("valid");
    directory.domain_add(&domain, None).await.expect("added");
    let store = mailstore.clone();
    let stage = move |batch: &mut engine::Batch, id| {
        let made = store.create_account(batch, id, QuotaLimits::default());
        made.map_err(|error| error.to_string())
    };
    let address = Address::parse("bob@demo.test").expect("valid");
    let new = NewAccount::new(address, Some(Secret::from("pass word")));
    directory.account_add(new, &stage).await.expect("added");
    Arc::new(Ports {
        mailstore,
        blobs,
        search,
        logins: Arc::new(directory),
        runtime: runtime.clone(),
        metrics: Arc::new(Metrics::new()),
        sessions: Sessions::new(sessions, sessions),
        orders: Orders::default(),
        events: imap_server::Events::default(),
    })
}

fn config() -> Arc<Config> {
    let mut config = Config::new("imap.demo.test", TlsMode::None);
    config.plaintext_login = true;
    Arc::new(config)
}

/// Where it listens, who accepts, and the sessions.
async fn listening() -> (SocketAddr, Task<()>, Tasks) {
    let ports = ports(2 * SESSIONS).await;
    let runtime = ports.runtime.clone();
    let config = config();
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let address = listener.local_addr();
    let sessions = Tasks::new();
    let served = sessions.clone();
    let task = runtime.clone().spawn("accept", async move {
        while let Ok(conn) = listener.accept().await {
            let session = serve(conn, Arc::clone(&ports), Arc::clone(&config));
            served.spawn(&runtime, Box::pin(session));
        }
    });
    (address, task, sessions)
}

/// A session of bob's in his inbox, in IDLE or between two commands. Nothing of ours stays allocated.
fn waiting(address: SocketAddr, idle: bool) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    let mut input = BufReader::new(stream.try_clone().expect("a socket"));
    let mut hear_until = |start: &str| {
        let mut line = String::new();
        while !line.starts_with(start) {
            line.clear();
            assert!(input.read_line(&mut line).expect("a line") > 0, "{start}");
        }
    };
    hear_until("* OK");
    let say = |line: &str| (&stream).write_all(line.as_bytes()).expect("it reads");
    say("a LOGIN bob@demo.test \"pass word\"\r\n");
    hear_until("a OK");
    say("b SELECT INBOX\r\n");
    hear_until("b OK");
    if idle {
        say("c IDLE\r\n");
        hear_until("+ ");
    }
    drop(input);
    stream
}

/// Bytes of each of many sessions.
fn bytes_each(address: SocketAddr, idle: bool) -> usize {
    // What all share is there before.
    let first = waiting(address, idle);
    let region = Region::new(ALLOCATOR);
    let mut sessions = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        sessions.push(waiting(address, idle));
    }
    let room = size_of_val(&*sessions);
    // Who was answered may not wait yet: the last few are in what is left over.
    let cost = region.change();
    drop((first, sessions));
    (cost.bytes_allocated - cost.bytes_deallocated - room) / SESSIONS
}

/// What each of many strangers' connections takes, who sent this behind the greeting. The ends lie in memory, so
/// that no limit of the system's ends it.
async fn strangers(ports: &Arc<Ports>, config: &Arc<Config>, said: &[u8]) -> usize {
    let tasks = Tasks::new();
    let mut clients = Vec::with_capacity(STRANGERS);
    let region = Region::new(ALLOCATOR);
    for _ in 0..STRANGERS {
        let (mut client, server) = Conn::pair();
        let session = serve(server, Arc::clone(ports), Arc::clone(config));
        tasks.spawn(&ports.runtime, Box::pin(session));
        let mut input = BytesMut::new();
        assert!(client.read(&mut input).await.expect("a greeting") > 0);
        drop(input);
        for piece in said.split_inclusive(|&byte| byte == b'\n') {
            client.write_all(piece).await.expect("it reads");
            if piece.ends_with(b"}\r\n") {
                let mut input = BytesMut::new();
                assert!(client.read(&mut input).await.expect("a word") > 0);
                assert!(input.starts_with(b"+ "), "{input:?}");
            }
        }
        clients.push(client);
    }
    // Until all that was sent is taken.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let cost = region.change();
    drop(clients);
    let ended = tokio::time::timeout(Duration::from_secs(30), tasks.wait());
    ended.await.expect("the clients have gone");
    (cost.bytes_allocated - cost.bytes_deallocated) / STRANGERS
}

#[tokio::test]
async fn threat_23_thousands_of_open_literals_before_the_login_hold_little() {
    let _alone = ALONE.lock().await;
    let ports = ports(2 * STRANGERS).await;
    let config = config();
    let literal = imap_proto::limits::LITERAL_BYTES_BEFORE_LOGIN_MAX as usize;
    let line = imap_proto::limits::LINE_BYTES_BEFORE_LOGIN_MAX;
    let empty = strangers(&ports, &config, b"").await;
    for (what, said, most) in [
        (
            "nothing of it",
            format!("a LOGIN {{{literal}}}\r\n"),
            literal,
        ),
        (
            "all but its end",
            format!("a LOGIN {{{literal}}}\r\n{}", "x".repeat(literal - 1)),
            4 * literal,
        ),
        (
            "half of a line",
            format!("a LOGIN {}", "x".repeat(line - 100)),
            3 * line,
        ),
    ] {
        let bytes = strangers(&ports, &config, said.as_bytes()).await;
        let more = bytes.saturating_sub(empty);
        println!("{what}: {bytes} bytes, {more} more than silence");
        assert!(more <= most, "{what}: {more} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_waits_is_small() {
    let _alone = ALONE.lock().await;
    let (address, _listening, sessions) = listening().await;
    for (what, idle, most) in [("in IDLE", true, 4500), ("between commands", false, 2750)] {
        let bytes = bytes_each(address, idle);
        println!("{what}: {bytes} bytes");
        // What they free must not be counted with the next ones.
        let ended = tokio::time::timeout(Duration::from_secs(30), sessions.wait());
        ended.await.expect("the clients have gone");
        assert!(bytes <= most, "{what}: {bytes} bytes");
    }
}
