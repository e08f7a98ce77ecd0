//! Dialogues between clients and sessions over the memory engine.

mod counting;

use crate::{Config, Maildrops, Ports, TlsMode, serve};
use blobs::Blobs;
use bytes::{Bytes, BytesMut};
use directory::{Directory, NewAccount};
use engine::{MemoryEngine, SharedEngine};
use envelope::{AccountId, Address, Domain};
use mailbox_model::stage::{Expunging, FlagAction};
use mailbox_model::{Flag, Uid, UidSet};
use mailstore::{InternalDate, Mailstore, NewEmail, QuotaLimits};
use observe::Metrics;
use runtime::net::Conn;
use runtime::{Runtime, Task};
use sasl::Secret;
use std::sync::Arc;
use std::time::Duration;

const BOB: AccountId = AccountId(1);

struct World {
    runtime: Runtime,
    mailstore: Mailstore,
    blobs: Arc<Blobs>,
    ports: Arc<Ports>,
}

impl World {
    async fn new() -> Self {
        Self::over(Arc::new(MemoryEngine::new(3))).await
    }

    async fn over(engine: SharedEngine) -> Self {
        let runtime = Runtime::for_tests();
        let blobs = Arc::new(Blobs::new(Arc::clone(&engine)));
        let options = directory::Options::for_tests();
        let directory = Directory::new(Arc::clone(&engine), runtime.clone(), options);
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
        let ports = Ports {
            mailstore: mailstore.clone(),
            logins: Arc::new(directory),
            runtime: runtime.clone(),
            metrics: Arc::new(Metrics::new()),
            maildrops: Maildrops::new(),
        };
        Self {
            runtime,
            mailstore,
            blobs,
            ports: Arc::new(ports),
        }
    }

    async fn deliver(&self, message: &[u8]) {
        self.deliver_so_many(message, 1).await;
    }

    /// A message so many times, in one change.
    async fn deliver_so_many(&self, message: &[u8], count: usize) {
        let account = self.mailstore.account(BOB).await.expect("there");
        let mut writer = self.blobs.writer(account.shard());
        writer.push(message).expect("taken");
        let blob = writer.finish().expect("finished");
        let prefix = Bytes::from_static(b"Return-Path: <a@far.test>\r\n");
        let email = NewEmail {
            blob: blob.id,
            blob_size: blob.size,
            prefix,
            digest: mime::digest(message).encode().into(),
            received_at: InternalDate::default(),
            flags: Vec::new(),
        };
        let inbox = account.view().inbox().expect("an inbox").id();
        account
            .append(inbox, vec![blob], &vec![email; count])
            .await
            .expect("appended");
    }

    fn connect(&self) -> Client {
        self.connect_with(|config| config.plaintext_login = true)
    }

    fn connect_with(&self, change: impl FnOnce(&mut Config)) -> Client {
        let (client, server) = Conn::pair();
        let mut config = Config::new("pop.demo.test", TlsMode::None);
        change(&mut config);
        let serving = serve(server, Arc::clone(&self.ports), Arc::new(config));
        Client {
            conn: client,
            input: BytesMut::new(),
            serving: self.runtime.spawn("pop3", serving),
        }
    }

    async fn logged_in(&self) -> Client {
        let mut client = self.connect();
        client.line().await;
        assert_eq!(client.ask("USER bob").await, "+OK send PASS");
        let welcome = client.ask("PASS pass word").await;
        assert!(welcome.starts_with("+OK maildrop has "), "{welcome}");
        client
    }

    async fn inbox(&self) -> Vec<(u32, bool)> {
        let account = self.mailstore.account(BOB).await.expect("there");
        let view = account.view();
        let seen = view.flag_id(&Flag::Seen).expect("a system flag");
        let inbox = view.inbox().expect("an inbox");
        inbox
            .entries()
            .iter()
            .map(|entry| (entry.uid.0, entry.has(seen)))
            .collect()
    }
}

struct Client {
    conn: Conn,
    input: BytesMut,
    serving: Task<()>,
}

impl Client {
    /// The next line; empty at the end of the connection.
    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
                let line = self.input.split_to(end + 1);
                return String::from_utf8_lossy(&line).trim_end().to_owned();
            }
            if self.conn.read(&mut self.input).await.unwrap_or(0) == 0 {
                return String::new();
            }
        }
    }

    async fn send(&mut self, text: &str) {
        self.conn
            .write_all(format!("{text}\r\n").as_bytes())
            .await
            .expect("written");
    }

    async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        self.line().await
    }

    /// The lines of an answer up to the lone dot, dots taken off.
    async fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line == "." {
                return lines;
            }
            lines.push(line.strip_prefix('.').unwrap_or(&line).to_owned());
        }
    }
}

#[tokio::test]
async fn a_message_is_listed_fetched_and_deleted_at_quit() {
    let world = World::new().await;
    world.deliver(b"Subject: one\r\n\r\n.dot\r\nend\r\n").await;
    world.deliver(b"Subject: two\r\n\r\nbody").await;
    let mut client = world.logged_in().await;
    // 27 octets of prefix each.
    assert_eq!(
        client.ask("STAT").await,
        format!("+OK 2 {}", 27 + 27 + 27 + 20)
    );
    assert_eq!(client.ask("LIST 1").await, "+OK 1 54");
    assert_eq!(client.ask("RETR 1").await, "+OK 54 octets");
    let expected = [
        "Return-Path: <a@far.test>",
        "Subject: one",
        "",
        ".dot",
        "end",
    ];
    assert_eq!(client.lines().await, expected);
    assert_eq!(client.ask("TOP 2 0").await, "+OK top of message follows");
    assert_eq!(
        client.lines().await,
        ["Return-Path: <a@far.test>", "Subject: two", ""]
    );
    assert_eq!(client.ask("DELE 2").await, "+OK message 2 deleted");
    assert_eq!(world.inbox().await.len(), 2);
    assert_eq!(client.ask("QUIT").await, "+OK bye");
    assert_eq!(client.line().await, "");
    assert_eq!(world.inbox().await, [(1, true)]);
}

#[tokio::test]
async fn without_quit_nothing_is_deleted_and_unique_ids_stay() {
    let world = World::new().await;
    for n in 0..3 {
        world
            .deliver(format!("Subject: {n}\r\n\r\n").as_bytes())
            .await;
    }
    let mut client = world.logged_in().await;
    client.send("UIDL").await;
    client.line().await;
    let first = client.lines().await;
    assert_eq!(client.ask("DELE 1").await, "+OK message 1 deleted");
    drop(client);
    let mut client = loop {
        // The server notices the end of the other session in its own time.
        let mut client = world.connect();
        client.line().await;
        client.ask("USER bob").await;
        if client.ask("PASS pass word").await.starts_with("+OK") {
            break client;
        }
    };
    client.send("UIDL").await;
    client.line().await;
    assert_eq!(client.lines().await, first);
    assert_eq!(client.ask("DELE 2\r\nQUIT").await, "+OK message 2 deleted");
    assert_eq!(client.line().await, "+OK bye");
    client.line().await;
    let mut client = world.logged_in().await;
    client.send("UIDL").await;
    client.line().await;
    let left = client.lines().await;
    assert_eq!(left[0], first[0]);
    assert_eq!(left[1][2..], first[2][2..]);
}

#[tokio::test]
async fn a_second_session_is_told_in_use_and_imap_is_not_held_off() {
    let world = World::new().await;
    world.deliver(b"Subject: x\r\n\r\n").await;
    world.deliver(b"Subject: y\r\n\r\n").await;
    let mut first = world.logged_in().await;
    let mut second = world.connect();
    second.line().await;
    second.ask("USER bob").await;
    let refused = second.ask("PASS pass word").await;
    assert_eq!(
        refused,
        "-ERR [IN-USE] another POP3 session has the maildrop"
    );
    // IMAP marks one deleted and expunges it while the session goes on.
    let account = world.mailstore.account(BOB).await.expect("there");
    let inbox = account.view().inbox().expect("an inbox").id();
    let one = UidSet::one(Uid(1));
    account
        .expunge(inbox, Expunging::Exactly(&one))
        .await
        .expect("expunged");
    assert_eq!(
        first.ask("RETR 1").await,
        "-ERR the message was removed by another session"
    );
    assert_eq!(first.ask("DELE 1").await, "+OK message 1 deleted");
    assert_eq!(first.ask("QUIT").await, "+OK bye");
    first.line().await;
    assert_eq!(world.inbox().await.len(), 1);
    // What IMAP marked is not listed.
    let two = UidSet::one(Uid(2));
    let flags = [Flag::Deleted];
    let marked = account
        .store_flags(inbox, &two, FlagAction::Add, &flags, None)
        .await;
    marked.expect("marked");
    let mut third = world.logged_in().await;
    assert_eq!(third.ask("STAT").await, "+OK 0 0");
}

#[tokio::test]
async fn a_large_message_arrives_whole() {
    let world = World::new().await;
    let line = "....5678901234567890123456789012345678901234567890123456789012\r\n";
    let body = line.repeat(30_000);
    world
        .deliver(format!("Subject: large\r\n\r\n{body}").as_bytes())
        .await;
    let mut client = world.logged_in().await;
    let size = 27 + 18 + body.len();
    assert_eq!(client.ask("RETR 1").await, format!("+OK {size} octets"));
    let lines = client.lines().await;
    assert_eq!(lines.len(), 3 + 30_000);
    assert!(lines[3..].iter().all(|got| got == line.trim_end()));
    assert_eq!(client.ask("TOP 1 2").await, "+OK top of message follows");
    assert_eq!(client.lines().await.len(), 5);
}

#[tokio::test]
async fn retr_marks_seen_only_if_set() {
    let world = World::new().await;
    world.deliver(b"Subject: x\r\n\r\n").await;
    let mut client = world.connect_with(|config| {
        config.plaintext_login = true;
        config.retrieve_marks_seen = false;
    });
    client.line().await;
    client
        .send("USER bob\r\nPASS pass word\r\nRETR 1\r\nQUIT")
        .await;
    while !client.line().await.starts_with("+OK bye") {}
    client.line().await;
    assert_eq!(world.inbox().await, [(1, false)]);
}

#[tokio::test]
async fn logins_are_refused_with_their_codes() {
    let world = World::new().await;
    let mut client = world.connect();
    client.line().await;
    client.ask("USER bob").await;
    assert_eq!(
        client.ask("PASS wrong").await,
        "-ERR [AUTH] login or password is wrong"
    );
    let plain = "AGJvYkBkZW1vLnRlc3QAcGFzcyB3b3Jk";
    assert_eq!(client.ask("AUTH PLAIN").await, "+");
    assert!(
        client
            .ask(plain)
            .await
            .starts_with("+OK maildrop has 0 messages")
    );
    let mut strict = world.connect_with(|_| ());
    strict.line().await;
    let refused = strict.ask("USER bob").await;
    assert_eq!(refused, "-ERR a login needs TLS: say STLS first");
    assert_eq!(strict.ask("STLS").await, "-ERR TLS is not available");
}

#[tokio::test]
async fn silence_ends_the_session_and_frees_the_maildrop() {
    let world = World::new().await;
    let mut before = world.connect();
    before.line().await;
    let mut client = world.logged_in().await;
    assert_eq!(client.ask("NOOP").await, "+OK");
    // A command that never ends.
    client.conn.write_all(b"NO").await.expect("written");
    for _ in 0..60 {
        tokio::task::yield_now().await;
        world.runtime.advance(Duration::from_secs(30));
    }
    assert_eq!(before.line().await, "");
    assert_eq!(client.line().await, "");
    world.logged_in().await;
}

/// A client whose connection is dead comes back before its first session's time is over.
#[tokio::test]
async fn a_session_that_hangs_loses_the_maildrop_to_the_next() {
    let world = World::new().await;
    world.deliver(b"Subject: x\r\n\r\n").await;
    let mut first = world.logged_in().await;
    assert_eq!(first.ask("DELE 1").await, "+OK message 1 deleted");
    world.runtime.advance(Duration::from_secs(59));
    let mut second = world.connect();
    second.line().await;
    second.ask("USER bob").await;
    let refused = second.ask("PASS pass word").await;
    assert!(refused.starts_with("-ERR [IN-USE] "), "{refused}");
    // A sign of life begins the minute anew.
    assert_eq!(first.ask("NOOP").await, "+OK");
    world.runtime.advance(Duration::from_secs(59));
    second.ask("USER bob").await;
    let refused = second.ask("PASS pass word").await;
    assert!(refused.starts_with("-ERR [IN-USE] "), "{refused}");
    world.runtime.advance(Duration::from_secs(1));
    let mut third = world.logged_in().await;
    assert_eq!(
        first.line().await,
        "-ERR [SYS/TEMP] another session took the maildrop over; nothing was removed"
    );
    assert_eq!(first.line().await, "");
    assert_eq!(world.inbox().await.len(), 1);
    // The end of the first does not free what is the third's.
    let refused = {
        second.ask("USER bob").await;
        second.ask("PASS pass word").await
    };
    assert!(refused.starts_with("-ERR [IN-USE] "), "{refused}");
    assert_eq!(third.ask("STAT").await, "+OK 1 41");
    assert_eq!(third.ask("QUIT").await, "+OK bye");
    third.line().await;
    world.logged_in().await;
}

/// What comes just as the maildrop is taken over is not obeyed.
#[tokio::test]
async fn a_quit_after_the_takeover_removes_nothing() {
    let world = World::new().await;
    world.deliver(b"Subject: x\r\n\r\n").await;
    let mut first = world.logged_in().await;
    assert_eq!(first.ask("DELE 1").await, "+OK message 1 deleted");
    world.runtime.advance(Duration::from_secs(60));
    // Both are there before the first session wakes.
    let account = world.mailstore.account(BOB).await.expect("there").id();
    let now = world.runtime.monotonic();
    let lock = world
        .ports
        .maildrops
        .lock(account, now, Duration::from_secs(60));
    assert!(lock.is_some());
    first.send("QUIT").await;
    assert!(first.line().await.starts_with("-ERR [SYS/TEMP] "));
    assert_eq!(first.line().await, "");
    assert_eq!(world.inbox().await.len(), 1);
}

/// RFC 2449 §6.7.
#[tokio::test]
async fn retrieved_mail_expires_with_a_later_quit() {
    const DAY: Duration = Duration::from_secs(86_400);
    let world = World::new().await;
    for subject in ["one", "two", "three"] {
        let message = format!("Subject: {subject}\r\n\r\n");
        world.deliver(message.as_bytes()).await;
    }
    let session = async |commands: &[&str]| {
        let mut client = world.connect_with(|config| {
            config.plaintext_login = true;
            config.expire_days = Some(2);
        });
        client.line().await;
        client.send("USER bob\r\nPASS pass word").await;
        for command in commands {
            client.send(command).await;
        }
        let mut said = Vec::new();
        loop {
            let line = client.line().await;
            if line.is_empty() && said.last().is_some_and(|last| last == "+OK bye") {
                return said;
            }
            said.push(line);
            assert!(said.len() < 100, "{said:?}");
        }
    };
    let said = session(&["CAPA", "RETR 1", "TOP 2 0", "QUIT"]).await;
    assert!(said.contains(&"EXPIRE 2".to_owned()), "{said:?}");
    let there = async || {
        let inbox = world.inbox().await;
        inbox.into_iter().map(|(uid, _)| uid).collect::<Vec<_>>()
    };
    assert_eq!(there().await, [1, 2, 3]);
    // Retrieved again it keeps its day; the third begins one.
    world.runtime.advance(DAY);
    session(&["RETR 1", "RETR 3", "QUIT"]).await;
    world.runtime.advance(DAY);
    session(&["QUIT"]).await;
    assert_eq!(there().await, [1, 2, 3]);
    world.runtime.advance(DAY);
    session(&["QUIT"]).await;
    assert_eq!(there().await, [2, 3]);
    world.runtime.advance(DAY);
    session(&["DELE 1", "QUIT"]).await;
    assert_eq!(there().await, Vec::<u32>::new());
}

/// RFC 1939 §6, RFC 2449 §6.7: a client that asks for everything at once, and is gone before
/// it has read it, finds it again.
#[tokio::test]
async fn what_did_not_reach_the_client_is_neither_removed_nor_counted_as_retrieved() {
    const DAY: Duration = Duration::from_secs(86_400);
    let world = World::new().await;
    // Short enough to be answered from what is gathered, and more than the connection holds.
    let message = format!("Subject: x\r\n\r\n{}", "line\r\n".repeat(20_000));
    world.deliver(message.as_bytes()).await;
    for expire_days in [None, Some(2)] {
        let mut client = world.connect_with(|config| {
            config.plaintext_login = true;
            config.expire_days = expire_days;
        });
        client
            .send("USER bob\r\nPASS pass word\r\nRETR 1\r\nDELE 1\r\nQUIT")
            .await;
        while !client.line().await.starts_with("+OK maildrop has ") {}
        let Client { conn, serving, .. } = client;
        drop(conn);
        serving.join().await.expect("it ends");
        assert_eq!(world.inbox().await.len(), 1, "{expire_days:?}");
        // Where it had been retrieved it would go now.
        world.runtime.advance(DAY * 3);
        let mut client = world.connect_with(|config| {
            config.plaintext_login = true;
            config.expire_days = expire_days;
        });
        client.send("USER bob\r\nPASS pass word\r\nQUIT").await;
        while client.line().await != "+OK bye" {}
        assert_eq!(world.inbox().await.len(), 1, "{expire_days:?}");
    }
}

#[tokio::test]
async fn another_protocol_gets_no_answer() {
    let world = World::new().await;
    let mut client = world.connect();
    client.line().await;
    assert_eq!(client.ask("GET / HTTP/1.1").await, "");
}

/// The contract of `directory::Logins`: the client keeps its password and comes again.
#[tokio::test]
async fn a_directory_that_is_down_is_sys_temp_and_never_auth() {
    let mut world = World::new().await;
    let ports = Arc::get_mut(&mut world.ports).expect("no session yet");
    ports.logins = Arc::new(directory::Unreachable);
    let mut client = world.connect();
    client.line().await;
    // More often than wrong passwords may come.
    for _ in 0..8 {
        client.ask("USER bob").await;
        for command in [
            "PASS x",
            "AUTH PLAIN AGJvYgB4",
            "AUTH SCRAM-SHA-1 biwsbj1ib2Iscj14",
        ] {
            let answer = client.ask(command).await;
            assert!(answer.starts_with("-ERR [SYS/TEMP] "), "{answer}");
        }
    }
}

/// A client that leaves all on the server looks through it each time: from what is in memory.
#[tokio::test]
async fn lists_of_very_many_messages_read_none_of_them() {
    const MESSAGES: usize = 100_000;
    let counting = Arc::new(counting::Counting::new());
    let world = World::over(counting.clone()).await;
    for _ in 0..MESSAGES / 2000 {
        world
            .deliver_so_many(b"Subject: one\r\n\r\nx\r\n", 2000)
            .await;
    }
    let count = world.inbox().await.len();
    counting.take();
    let mut client = world.logged_in().await;
    assert!(
        client
            .ask("STAT")
            .await
            .starts_with(&format!("+OK {count} "))
    );
    for command in ["UIDL", "LIST"] {
        client.send(command).await;
        client.line().await;
        assert_eq!(client.lines().await.len(), count, "{command}");
    }
    assert_eq!(counting.take(), 0);
    // What is read is counted.
    client.ask("RETR 1").await;
    client.lines().await;
    assert!(counting.take() > 0);
}

#[tokio::test]
async fn what_is_asked_for_together_is_read_once_and_answered_in_order() {
    const MESSAGES: usize = 40;
    let counting = Arc::new(counting::Counting::new());
    let world = World::over(counting.clone()).await;
    for n in 0..MESSAGES {
        let message = format!("Subject: {n}\r\n\r\n.{n}\r\n");
        world.deliver(message.as_bytes()).await;
    }
    let mut client = world.logged_in().await;
    counting.take();
    let commands: Vec<_> = (1..=MESSAGES).map(|n| format!("RETR {n}")).collect();
    // A number twice, and one that is none.
    let more = "RETR 7\r\nRETR 99\r\nNOOP\r\nRETR 8";
    client
        .send(&format!("{}\r\n{more}", commands.join("\r\n")))
        .await;
    for n in (0..MESSAGES).chain([6]) {
        assert!(client.line().await.starts_with("+OK "), "{n}");
        let lines = client.lines().await;
        assert_eq!(
            lines[1..],
            [format!("Subject: {n}"), String::new(), format!(".{n}")]
        );
    }
    assert_eq!(client.line().await, "-ERR no such message");
    assert_eq!(client.line().await, "+OK");
    assert!(client.line().await.starts_with("+OK "));
    assert_eq!(client.lines().await[1], "Subject: 7");
    // The record and the body of each.
    assert_eq!(counting.take(), 2 * MESSAGES);
    assert_eq!(client.ask("QUIT").await, "+OK bye");
    client.line().await;
    assert!(world.inbox().await.iter().all(|&(_, seen)| seen));
}

#[tokio::test]
async fn who_takes_one_behind_the_other_finds_them_read_and_a_pause_gives_the_memory_back() {
    let counting = Arc::new(counting::Counting::new());
    let world = World::over(counting.clone()).await;
    for n in 0..10 {
        let message = format!("Subject: {n}\r\n\r\n{n}\r\n");
        world.deliver(message.as_bytes()).await;
    }
    let mut client = world.logged_in().await;
    let mut retrieve = async |n: usize| {
        counting.take();
        assert!(client.ask(&format!("RETR {n}")).await.starts_with("+OK "));
        assert_eq!(client.lines().await[1], format!("Subject: {}", n - 1));
        counting.take()
    };
    assert_eq!(retrieve(1).await, 2);
    assert_eq!(retrieve(2).await, 2 * 9);
    assert_eq!(retrieve(3).await, 0);
    assert_eq!(retrieve(9).await, 0);
    assert!(world.blobs.read_ahead_bytes() > 0);
    // Not one behind the other.
    assert_eq!(retrieve(1).await, 2);
    assert_eq!(retrieve(2).await, 2 * 9);
    while world.blobs.read_ahead_bytes() > 0 {
        tokio::task::yield_now().await;
        world.runtime.advance(Duration::from_secs(1));
    }
    assert_eq!(retrieve(3).await, 2 * 8);
}
