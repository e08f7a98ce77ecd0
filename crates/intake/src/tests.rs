//! Messages over the memory engine, with one shard and with three.

mod delivering;
mod queueing;
mod returning;
mod sent;
mod spreading;
mod success;
mod traced;
mod wishes;

use crate::{Facts, Generated, Intake, Options, Outcome, Ports, Transaction};
use blobs::Blobs;
use bounces::{Counts, Returns, Suppressed};
use directory::{Directory, NewAccount};
use engine::{MemoryEngine, SharedEngine};
use envelope::{AccountId, Address, Domain, Envelope, ForwardPath, Recipient, ReversePath};
use mailstore::{Mailstore, QuotaLimits};
use observe::Metrics;
use policy::{Decision, Policy, Role, Session};
use queue::{Listed, Queue};
use runtime::Runtime;
use sasl::Secret;
use std::sync::Arc;

pub(crate) const MESSAGE: &str =
    "From: Bob <bob@demo.test>\r\nMessage-ID: <1@far.test>\r\nSubject: hi\r\n\r\nbody\r\n";

/// With more, nothing is taken for elsewhere.
const QUEUED_MAX: u64 = 500;

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).expect("a valid address")
}

pub(crate) struct World {
    pub(crate) engine: SharedEngine,
    pub(crate) runtime: Runtime,
    pub(crate) mailstore: Mailstore,
    pub(crate) queue: Queue,
    pub(crate) directory: Directory,
    pub(crate) policy: Policy,
    pub(crate) returns: Returns,
    pub(crate) suppressed: Suppressed,
    pub(crate) intake: Intake,
}

impl World {
    /// alice (1), bob (2), carol (3), small (4, with room for 2,000 bytes).
    pub(crate) async fn new(shards: u16) -> Self {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(shards));
        let world = Self::over(engine);
        for name in ["demo.test", "other.test"] {
            let domain = Domain::parse(name).expect("valid");
            world
                .directory
                .domain_add(&domain, None)
                .await
                .expect("added");
        }
        for name in [
            "alice@demo.test",
            "bob@demo.test",
            "carol@other.test",
            "small@demo.test",
        ] {
            let bytes = name.starts_with("small").then_some(2_000);
            let limits = QuotaLimits {
                bytes,
                emails: None,
            };
            let mut new = NewAccount::new(address(name), Some(Secret::from("demo")));
            new.admin = name.starts_with("alice");
            let store = world.mailstore.clone();
            let stage = move |batch: &mut engine::Batch, id| {
                let made = store.create_account(batch, id, limits);
                made.map_err(|error| error.to_string())
            };
            world
                .directory
                .account_add(new, &stage)
                .await
                .expect("added");
        }
        world
    }

    /// Everything anew over a store, as after a restart.
    pub(crate) fn over(engine: SharedEngine) -> Self {
        let runtime = Runtime::for_tests();
        let blobs = Arc::new(Blobs::new(Arc::clone(&engine)));
        let directory = Directory::new(
            Arc::clone(&engine),
            runtime.clone(),
            directory::Options::for_tests(),
        );
        let mailstore = Mailstore::new(
            Arc::clone(&engine),
            Arc::clone(&blobs),
            runtime.clone(),
            mailstore::Options::default(),
        );
        let queue = Queue::new(Arc::clone(&engine), Arc::clone(&blobs), runtime.clone());
        let returns = Returns::new(Arc::clone(&engine), runtime.clone());
        let suppressed = Suppressed::new(Arc::clone(&engine), runtime.clone(), Counts::Operators);
        let policy = Policy::new(
            directory.clone(),
            mailstore.clone(),
            Arc::clone(&engine),
            runtime.clone(),
            Vec::new(),
        )
        .with_returns(returns.clone())
        .with_suppressed(suppressed.clone());
        let ports = Ports {
            engine: Arc::clone(&engine),
            runtime: runtime.clone(),
            blobs,
            mailstore: mailstore.clone(),
            queue: queue.clone(),
            directory: directory.clone(),
            returns: returns.clone(),
            metrics: Arc::new(Metrics::new()),
        };
        let options = Options {
            hostname: "mx.demo.test".into(),
            message_bytes_max: 1 << 20,
            received_max: 50,
            queued_max: QUEUED_MAX,
            rewrite_forwards: true,
        };
        Self {
            engine,
            runtime,
            mailstore,
            queue,
            directory,
            policy,
            returns,
            suppressed,
            intake: Intake::new(ports, options),
        }
    }

    pub(crate) async fn transaction(
        &self,
        facts: Facts,
        from: &str,
        recipients: &[&str],
    ) -> Transaction {
        let mut envelope = Envelope::new(ReversePath::parse(from).expect("a path"));
        let mut decisions = Vec::new();
        for text in recipients {
            let path = ForwardPath::Address(address(text));
            let (session, sender) = (&facts.session, &envelope.reverse_path);
            let returned = self.policy.check_returned(session, sender, &path, None);
            decisions.push(match returned.await {
                Some(decision) => decision,
                None => self.policy.check_recipient(session, &path, None).await,
            });
            envelope.recipients.push(Recipient::new(address(text)));
        }
        Transaction {
            shape: policy::rules::Shape::default(),
            each: facts.session.role == Role::Lmtp,
            hold: None,
            facts,
            envelope,
            decisions,
            size_hint: None,
        }
    }

    pub(crate) async fn send(
        &self,
        facts: Facts,
        from: &str,
        recipients: &[&str],
        message: &str,
    ) -> Outcome {
        let transaction = self.transaction(facts, from, recipients).await;
        let mut receiving = self.intake.begin(transaction).expect("taken");
        for piece in message.as_bytes().chunks(1_000) {
            receiving.push(piece).await;
        }
        receiving.finish().await
    }

    pub(crate) async fn inbox(&self, account: u64) -> Vec<String> {
        self.mailbox(account, mailbox_model::Role::Inbox).await
    }

    pub(crate) async fn mailbox(&self, account: u64, role: mailbox_model::Role) -> Vec<String> {
        let account = self
            .mailstore
            .account(AccountId(account))
            .await
            .expect("there");
        let view = account.view();
        let mailbox = view.role(role).expect("there");
        let mut messages = Vec::new();
        for entry in mailbox.entries() {
            let record = account.email_record(entry.email).await.expect("a record");
            let bytes = account
                .read_message(&record, 0..u64::MAX)
                .await
                .expect("readable");
            assert_eq!(bytes.len() as u64, record.size());
            messages.push(String::from_utf8(bytes.to_vec()).expect("text"));
        }
        messages
    }

    pub(crate) async fn queued(&self) -> Vec<Listed> {
        let page = self.queue.list(&Default::default(), None, 100).await;
        page.expect("readable").messages
    }
}

pub(crate) fn stranger() -> Facts {
    Facts {
        session: Session {
            role: Role::Mx,
            client_ip: "203.0.113.9".parse().expect("an address"),
            server_ip: "198.51.100.25".parse().expect("an address"),
            identity: None,
            local_user: None,
        },
        session_id: "s1".into(),
        helo: "mail.far.test".into(),
        extended: true,
        tls: None,
        evidence: Default::default(),
    }
}

pub(crate) fn lmtp() -> Facts {
    let mut facts = stranger();
    facts.session.role = Role::Lmtp;
    facts
}

pub(crate) fn user() -> Facts {
    let mut facts = stranger();
    facts.session.role = Role::Submission;
    facts.session.identity = Some(directory::Identity {
        account: AccountId(2),
        address: address("bob@demo.test"),
        admin: false,
        app_password: None,
    });
    facts
}

pub(crate) fn codes(outcome: &Outcome) -> Vec<u16> {
    outcome.replies.iter().map(|reply| reply.code).collect()
}

pub(crate) fn recipients(listed: &Listed) -> Vec<String> {
    let recipients = &listed.message.envelope.recipients;
    recipients
        .iter()
        .map(|recipient| recipient.address.to_string())
        .collect()
}

pub(crate) fn report(to: &str) -> Generated {
    let mut envelope = Envelope::new(ReversePath::Null);
    envelope.recipients.push(Recipient::new(address(to)));
    Generated {
        envelope,
        message: "Subject: report\r\n\r\nno\r\n".into(),
    }
}

#[allow(dead_code)]
fn is_send<T: Send>(value: T) -> T {
    value
}

/// The futures cross threads in the faces.
#[tokio::test]
async fn futures_are_send() {
    let world = World::new(1).await;
    let transaction = world
        .transaction(stranger(), "a@far.test", &["bob@demo.test"])
        .await;
    let mut receiving = world.intake.begin(transaction).expect("taken");
    is_send(receiving.push(b"x")).await;
    assert!(is_send(receiving.finish()).await.is_accepted());
    assert!(matches!(
        is_send(
            world
                .policy
                .check_recipient(&stranger().session, &ForwardPath::Postmaster, None)
        )
        .await,
        Decision::Local(_)
    ));
}
