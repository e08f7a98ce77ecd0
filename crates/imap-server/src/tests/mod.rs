//! Dialogues between clients and sessions over the memory engine.
//!
//! A check names a command and every response to it, the tagged one last and
//! without its tag; `…` stands for whatever is there.

mod acl;
mod append;
mod compress;
mod condstore;
mod context;
mod costs;
mod counting;
mod events;
mod extensions;
mod fetch;
mod limits;
mod login;
mod mailboxes;
mod message_limit;
mod messages;
mod metadata;
mod multisearch;
mod notify;
mod practice;
mod qresync;
mod quota;
mod rev2;
mod search;
mod sort;
mod storm;
mod uid_only;
mod updates;
mod url;
mod utf8;
mod waking;

use crate::{Config, Ports, Sessions, TlsMode, serve};
use ::search::Search;
use blobs::Blobs;
use bytes::BytesMut;
use directory::{Directory, NewAccount};
use engine::{MemoryEngine, ShardId, SharedEngine};
use envelope::{AccountId, Address, Domain};
use mailstore::{Mailstore, QuotaLimits};
use observe::Metrics;
use runtime::net::Conn;
use runtime::tls::ClientTls;
use runtime::{Runtime, Task};
use sasl::Secret;
use std::sync::Arc;

struct World {
    runtime: Runtime,
    ports: Arc<Ports>,
    directory: Directory,
}

impl World {
    /// A server with one account, bob, whose mailboxes are those that everyone begins with.
    async fn new() -> Self {
        Self::with(QuotaLimits::default(), Sessions::default()).await
    }

    async fn with(quota: QuotaLimits, sessions: Sessions) -> Self {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
        let blobs = Blobs::new(Arc::clone(&engine));
        Self::over(engine, blobs, quota, sessions).await
    }

    /// As new, with so much memory for reading ahead.
    async fn reading_ahead(bytes: usize) -> Self {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
        let blobs = Blobs::with_memory(Arc::clone(&engine), 1 << 20, bytes);
        Self::over(engine, blobs, QuotaLimits::default(), Sessions::default()).await
    }

    async fn over(
        engine: SharedEngine,
        blobs: Blobs,
        quota: QuotaLimits,
        sessions: Sessions,
    ) -> Self {
        let runtime = Runtime::for_tests();
        let blobs = Arc::new(blobs);
        let options = directory::Options::for_tests();
        let directory = Directory::new(Arc::clone(&engine), runtime.clone(), options);
        let search = Search::new(
            Arc::clone(&engine),
            runtime.clone(),
            ::search::Options::default(),
        );
        let mailstore = Mailstore::new(
            engine,
            Arc::clone(&blobs),
            runtime.clone(),
            Default::default(),
        );
        let domain = Domain::parse("demo.test").expect("valid");
        directory.domain_add(&domain, None).await.expect("added");
        let ports = Ports {
            mailstore,
            blobs,
            search,
            logins: Arc::new(directory.clone()),
            runtime: runtime.clone(),
            metrics: Arc::new(Metrics::new()),
            sessions,
            orders: crate::Orders::default(),
            events: crate::Events::default(),
        };
        let world = Self {
            runtime,
            ports: Arc::new(ports),
            directory,
        };
        world.account_with("bob", quota).await;
        world
    }

    /// Another account, with bob's password.
    async fn account(&self, name: &str) {
        self.account_with(name, QuotaLimits::default()).await;
    }

    async fn account_with(&self, name: &str, quota: QuotaLimits) {
        self.account_at(&format!("{name}@demo.test"), quota).await;
    }

    async fn account_at(&self, address: &str, quota: QuotaLimits) {
        let store = self.ports.mailstore.clone();
        let stage = move |batch: &mut engine::Batch, id| {
            let made = store.create_account(batch, id, quota);
            made.map_err(|error| error.to_string())
        };
        let address = Address::parse(address).expect("valid");
        let new = NewAccount::new(address, Some(Secret::from("pass word")));
        self.directory
            .account_add(new, &stage)
            .await
            .expect("added");
    }

    /// A connection that may log in without TLS, its greeting still to come.
    fn connect(&self) -> Client {
        self.connect_with(|config| config.plaintext_login = true)
    }

    fn connect_with(&self, change: impl FnOnce(&mut Config)) -> Client {
        let (client, server) = Conn::pair();
        self.attach(client, server, change)
    }

    fn attach(&self, client: Conn, server: Conn, change: impl FnOnce(&mut Config)) -> Client {
        let mut config = Config::new("imap.demo.test", TlsMode::None);
        change(&mut config);
        let serving = serve(server, Arc::clone(&self.ports), Arc::new(config));
        Client {
            conn: client,
            input: BytesMut::new(),
            tags: 0,
            serving: self.runtime.spawn("imap", serving),
        }
    }

    /// Logged in.
    async fn bob(&self) -> Client {
        self.login("bob").await
    }

    /// Logged in behind STARTTLS.
    async fn bob_under_tls(&self) -> Client {
        let mut client = self.connect_with(|config| config.tls = TlsMode::StartTls(login::tls()));
        client.hear().await;
        client.start_tls().await;
        client.ok("LOGIN bob@demo.test \"pass word\"").await;
        client
    }

    /// Logged in as another.
    async fn login(&self, name: &str) -> Client {
        self.login_as(&format!("{name}@demo.test")).await
    }

    async fn login_as(&self, address: &str) -> Client {
        let mut client = self.connect();
        client.hear().await;
        client.ok(&format!("LOGIN {address} \"pass word\"")).await;
        client
    }

    /// Logged in, with the inbox selected.
    async fn bob_in_inbox(&self) -> Client {
        let mut client = self.bob().await;
        client.ok("SELECT INBOX").await;
        client
    }

    /// The account that is there, where there is one.
    async fn only_account(&self) -> AccountId {
        let mut found = Vec::new();
        for shard in 0..3 {
            let stored = self
                .ports
                .mailstore
                .stored_accounts(ShardId(shard), AccountId(0), 2);
            found.extend(stored.await.expect("read"));
        }
        assert_eq!(found.len(), 1);
        found[0]
    }

    async fn id_of(&self, name: &str) -> AccountId {
        let address = format!("{name}@demo.test");
        let found = self.ports.logins.account_of(&address).await;
        found.ok().flatten().expect("an account")
    }

    /// So many messages in the inbox, numbered from 1 in their subjects.
    async fn fill(&self, count: u32) {
        let mut client = self.bob().await;
        for n in 1..=count {
            let message = format!("Subject: message {n}\r\n\r\nbody {n}\r\n");
            client.append("INBOX", "", &message).await;
        }
    }
}

struct Client {
    conn: Conn,
    input: BytesMut,
    tags: u32,
    serving: Task<()>,
}

impl Client {
    /// The next response with its literals in place, without the last CRLF;
    /// empty when the server has closed.
    async fn hear(&mut self) -> String {
        let mut whole = Vec::new();
        loop {
            let Some(line) = self.line().await else {
                return String::new();
            };
            whole.extend_from_slice(&line);
            let size = line
                .strip_suffix(b"}\r\n")
                .and_then(|head| head.rsplit(|&b| b == b'{').next())
                .and_then(|size| std::str::from_utf8(size).ok()?.parse::<usize>().ok());
            let Some(size) = size else {
                whole.truncate(whole.len() - 2);
                return String::from_utf8_lossy(&whole).into_owned();
            };
            while self.input.len() < size {
                assert!(self.read().await, "the end in a literal");
            }
            whole.extend_from_slice(&self.input.split_to(size));
        }
    }

    async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
                return Some(self.input.split_to(end + 1).to_vec());
            }
            if !self.read().await {
                return None;
            }
        }
    }

    async fn read(&mut self) -> bool {
        self.conn.read(&mut self.input).await.unwrap_or(0) > 0
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.conn.write_all(bytes.as_ref()).await.expect("written");
    }

    /// Sends a command; gives every response to it, the tagged one last without its tag.
    async fn ask(&mut self, command: &str) -> Vec<String> {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.send(format!("{tag} {command}\r\n")).await;
        self.answer(&tag).await
    }

    async fn answer(&mut self, tag: &str) -> Vec<String> {
        let mut answer = Vec::new();
        loop {
            let response = self.hear().await;
            assert!(!response.is_empty(), "the end instead of {tag}: {answer:?}");
            if let Some(end) = response.strip_prefix(&format!("{tag} ")) {
                answer.push(end.to_owned());
                return answer;
            }
            answer.push(response);
        }
    }

    /// A command that must succeed; gives the untagged responses.
    async fn ok(&mut self, command: &str) -> Vec<String> {
        let mut answer = self.ask(command).await;
        let end = answer.pop().unwrap_or_default();
        assert!(end.starts_with("OK"), "{command}: {end}");
        answer
    }

    /// A command and all that is answered.
    async fn check(&mut self, command: &str, expected: &[&str]) {
        let answer = self.ask(command).await;
        let fits = answer.len() == expected.len()
            && answer
                .iter()
                .zip(expected)
                .all(|(got, want)| is_like(got, want));
        assert!(
            fits,
            "{command}\ngot\n  {}\nwanted\n  {}",
            answer.join("\n  "),
            expected.join("\n  ")
        );
    }

    async fn start_tls(&mut self) {
        self.check("STARTTLS", &["OK begin TLS now"]).await;
        let trusting = ClientTls::opportunistic().expect("a configuration");
        let shaken = self.conn.connect_tls(&trusting, "imap.demo.test").await;
        shaken.expect("a handshake");
    }

    /// Appends a message and gives the tagged response.
    async fn append(&mut self, mailbox: &str, flags: &str, message: &str) -> String {
        let size = message.len();
        let answer = self
            .ask(&format!("APPEND {mailbox} {flags}{{{size}+}}\r\n{message}"))
            .await;
        let end = answer.last().cloned().unwrap_or_default();
        assert!(end.starts_with("OK"), "{end}");
        end
    }

    /// Hears that the server ends the session.
    async fn hears_bye(&mut self, text: &str) {
        let bye = self.hear().await;
        assert!(is_like(&bye, text), "{bye}, not {text}");
        assert_eq!(self.hear().await, "");
    }
}

/// True when `got` is `want`, in which `…` stands for anything.
fn is_like(got: &str, want: &str) -> bool {
    let mut pieces = want.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = got.strip_prefix(first) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}
