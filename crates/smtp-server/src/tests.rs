//! Dialogues with sessions over memory connections and the memory engine.

#![allow(clippy::unwrap_used)]

mod atrn;
mod burl;
mod dialogues;
mod door;
mod down;
mod relay;
mod rules;
mod submission;
mod submit;
mod threats;
mod wishes;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blobs::Blobs;
use bounces::Returns;
use bytes::BytesMut;
use directory::{Directory, NewAccount};
use engine::{MemoryEngine, SharedEngine};
use envelope::{AccountId, Address, Domain};
use intake::Intake;
use mailstore::{Mailstore, QuotaLimits};
use observe::Metrics;
use policy::Policy;
use policy::check::bans::{Banned, Bans};
use policy::check::conduct::Conduct;
use policy::check::{self, Check, Checks, Penalties, hello};
use queue::Queue;
use runtime::net::Conn;
use runtime::tls::{ClientTls, ServerTls};
use runtime::{Runtime, Task};
use sasl::Secret;
use settings::Network;

use crate::{Config, Ports, Role, Seat, TlsMode, serve};

const FAR: &str = "198.51.100.7:40000";
const NEAR: &str = "127.0.0.1:40000";
const RELAYING: &str = "192.0.2.9:40000";
const US: &str = "203.0.113.1:25";

/// alice@demo.test (1), bob@demo.test (2), carol@other.test (3), tiny@demo.test
/// (4, with room for 500 octets); mail from 192.0.2.0/24 is relayed.
struct World {
    engine: SharedEngine,
    runtime: Runtime,
    mailstore: Mailstore,
    queue: Queue,
    ports: Arc<Ports>,
    seat: Arc<Seats>,
}

/// Places for everybody but one.
#[derive(Debug, Default)]
struct Seats {
    full: Mutex<Option<IpAddr>>,
}

impl Seat for Seats {
    fn move_to(&self, client: IpAddr) -> bool {
        *self.full.lock().unwrap() != Some(client)
    }
}

impl World {
    async fn new() -> Self {
        Self::with_sending_limits(policy::SendingLimits::default()).await
    }

    async fn with_sending_limits(limits: policy::SendingLimits) -> Self {
        Self::with_policy(|policy, _| policy.with_sending_limits(limits)).await
    }

    /// With checks of strangers besides that for our own name.
    async fn with_checks(checks: Vec<Arc<dyn Check>>) -> Self {
        Self::with_policy(|policy, runtime| policy.with_checks(all_checks(runtime, checks))).await
    }

    /// With penalties, and what they work on.
    async fn with_penalties(greeting_delay: Duration) -> (Self, Arc<Bans>, Arc<Conduct>) {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(1));
        let kept = Arc::new(std::sync::OnceLock::new());
        let (giving, bans_engine) = (kept.clone(), engine);
        let bans = |runtime: &Runtime| Bans::open(bans_engine.clone(), runtime.clone());
        let world_runtime = Runtime::for_tests();
        let opened = Arc::new(bans(&world_runtime).await.unwrap());
        let opened_here = opened.clone();
        let world = Self::with_policy(move |policy, runtime| {
            let conduct = Arc::new(Conduct::new(runtime));
            let _ = giving.set(conduct.clone());
            let checks = vec![Arc::new(Banned(opened_here.clone())) as Arc<dyn Check>];
            policy.with_checks(all_checks(runtime, checks).with_penalties(Penalties {
                conduct,
                bans: opened_here,
                ban_for: Duration::from_secs(3600),
                tarpit: Duration::from_secs(20),
                greeting_delay,
            }))
        })
        .await;
        (world, opened, kept.get().unwrap().clone())
    }

    async fn with_policy(change: impl FnOnce(Policy, &Runtime) -> Policy) -> Self {
        Self::over(Arc::new(MemoryEngine::new(1)), change).await
    }

    async fn over(engine: SharedEngine, change: impl FnOnce(Policy, &Runtime) -> Policy) -> Self {
        let runtime = Runtime::for_tests();
        let blobs = Arc::new(Blobs::new(engine.clone()));
        let directory = Directory::new(
            engine.clone(),
            runtime.clone(),
            directory::Options::for_tests(),
        );
        let mailstore = Mailstore::new(
            engine.clone(),
            blobs.clone(),
            runtime.clone(),
            mailstore::Options::default(),
        );
        let queue = Queue::new(engine.clone(), blobs.clone(), runtime.clone());
        let metrics = Arc::new(Metrics::new());
        let networks = vec![Network::parse("192.0.2.0/24").unwrap()];
        let returns = Returns::new(engine.clone(), runtime.clone());
        let policy = Policy::new(
            directory.clone(),
            mailstore.clone(),
            engine.clone(),
            runtime.clone(),
            networks,
        )
        .with_returns(returns.clone())
        .with_checks(all_checks(&runtime, Vec::new()));
        let policy = change(policy, &runtime);
        let intake_ports = intake::Ports {
            engine: engine.clone(),
            runtime: runtime.clone(),
            blobs,
            mailstore: mailstore.clone(),
            queue: queue.clone(),
            directory: directory.clone(),
            returns,
            metrics: metrics.clone(),
        };
        let options = intake::Options {
            hostname: "mx.demo.test".into(),
            message_bytes_max: 100_000,
            received_max: 50,
            queued_max: u64::MAX,
            rewrite_forwards: true,
        };
        let ports = Arc::new(Ports {
            runtime: runtime.clone(),
            logins: Arc::new(directory.clone()),
            directory,
            policy: Arc::new(policy),
            intake: Intake::new(intake_ports, options),
            etrn: crate::Etrn::new(queue.clone()),
            turn: Some(Arc::new(atrn::Fetching)),
            urls: Some(Arc::new(burl::Letters)),
            metrics,
        });
        let world = Self {
            engine,
            runtime,
            mailstore,
            queue,
            ports,
            seat: Arc::default(),
        };
        world.populate().await;
        world
    }

    async fn populate(&self) {
        let directory = &self.ports.directory;
        for name in ["demo.test", "other.test"] {
            directory
                .domain_add(&Domain::parse(name).unwrap(), None)
                .await
                .unwrap();
        }
        for (name, bytes) in [
            ("alice@demo.test", None),
            ("bob@demo.test", None),
            ("carol@other.test", None),
            ("tiny@demo.test", Some(500)),
        ] {
            self.add(name, bytes).await;
        }
    }

    async fn add(&self, name: &str, bytes: Option<u64>) {
        let address = Address::parse(name).unwrap();
        let mut new = NewAccount::new(address, Some(Secret::from("demo")));
        new.admin = name.starts_with("alice");
        let store = self.mailstore.clone();
        let limits = QuotaLimits {
            bytes,
            emails: None,
        };
        let stage = move |batch: &mut engine::Batch, id| {
            let made = store.create_account(batch, id, limits);
            made.map_err(|error| error.to_string())
        };
        let added = self.ports.directory.account_add(new, &stage).await;
        added.unwrap();
    }

    fn connect(&self, config: Config, peer: &str) -> Client {
        let peer: SocketAddr = peer.parse().unwrap();
        let (near, far) = Conn::pair_between(peer, US.parse().unwrap());
        let serving = serve(far, self.seat.clone(), self.ports.clone(), Arc::new(config));
        Client {
            conn: near,
            input: BytesMut::new(),
            _session: self.runtime.spawn("session", serving),
        }
    }

    /// A stranger's server that has said hello.
    async fn stranger(&self) -> Client {
        let config = Config::new(Role::Mx, "mx.demo.test", TlsMode::None);
        let mut client = self.connect(config, FAR);
        client.hear().await;
        client.say("EHLO far.test").await;
        client
    }

    /// How many messages are in the queue.
    async fn queued(&self) -> usize {
        let page = self
            .queue
            .list(&queue::Filter::default(), None, 10)
            .await
            .unwrap();
        page.messages.len() + page.damaged.len()
    }

    /// The messages of an account's inbox, whole.
    async fn inbox(&self, account: u64) -> Vec<String> {
        read_inbox(&self.mailstore, AccountId(account)).await
    }
}

fn all_checks(runtime: &Runtime, mut checks: Vec<Arc<dyn Check>>) -> Checks {
    let host = Domain::parse("mx.demo.test").ok();
    let mode = settings::CheckMode::Refuse;
    checks.insert(0, Arc::new(hello::OwnName { mode, host }));
    let options = check::Options {
        refuse_at: 10,
        ..check::Options::default()
    };
    Checks::new(runtime, options, checks)
}

async fn read_inbox(mailstore: &Mailstore, account: AccountId) -> Vec<String> {
    let account = mailstore.account(account).await.unwrap();
    let view = account.view();
    let inbox = view.inbox().unwrap();
    let ids: Vec<_> = inbox.entries().iter().map(|entry| entry.email).collect();
    let mut messages = Vec::new();
    for record in account.email_records(&ids).await {
        let record = record.unwrap();
        let whole = account.read_message(&record, 0..u64::MAX).await.unwrap();
        messages.push(String::from_utf8_lossy(&whole).into_owned());
    }
    messages
}

struct Client {
    conn: Conn,
    input: BytesMut,
    _session: Task<()>,
}

impl Client {
    /// One reply, with all its lines; empty when the server closes.
    async fn hear(&mut self) -> String {
        let mut reply = String::new();
        loop {
            while let Some(at) = self.input.iter().position(|&b| b == b'\n') {
                let line = String::from_utf8(self.input.split_to(at + 1).to_vec()).unwrap();
                assert!(line.ends_with("\r\n"), "{line:?}");
                reply.push_str(&line);
                if line.as_bytes()[3] == b' ' {
                    return reply;
                }
            }
            if self.conn.read(&mut self.input).await.unwrap_or(0) == 0 {
                return reply;
            }
        }
    }

    async fn send(&mut self, text: &str) {
        self.conn.write_all(text.as_bytes()).await.unwrap();
    }

    async fn say(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r\n")).await;
        self.hear().await
    }

    /// Each line with the beginning of its reply.
    async fn dialogue(&mut self, lines: &[(&str, &str)]) {
        for (line, want) in lines {
            let reply = self.say(line).await;
            assert!(reply.starts_with(want), "{line}: {reply:?}, not {want}");
        }
    }
}

fn tls() -> ServerTls {
    #[derive(Debug)]
    struct Always(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Always {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let made = rcgen::generate_simple_self_signed(vec!["mx.demo.test".into()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = runtime::tls::provider();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![made.cert.der().clone()], key);
    ServerTls::new(Arc::new(Always(Arc::new(certified)))).unwrap()
}

fn plain_auth(login: &str, password: &str) -> String {
    let message = format!("\0{login}\0{password}");
    format!("AUTH PLAIN {}", wire::base64::encode(message.as_bytes()))
}
