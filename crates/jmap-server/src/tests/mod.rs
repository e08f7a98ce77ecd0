//! Requests of clients over the memory engine.

#![allow(clippy::needless_pass_by_value)]

mod bounds;
mod changes;
mod counting;
mod emails;
mod http;
mod large;
mod mailboxes;
mod making;
mod searching;
mod sharing;
mod states;
mod threads;

use crate::intake::Intake;
use crate::{Config, Jmap, Ports};
use ::search::Search;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use blobs::Blobs;
use bytes::Bytes;
use counting::Counting;
use directory::{Directory, NewAccount};
use engine::{MemoryEngine, SharedEngine};
use envelope::{Address, Domain};
use mailbox_model::{EmailId, Flag, MailboxId, MailboxName, Uid};
use mailstore::{Account, InternalDate, Mailstore, NewEmail, QuotaLimits};
use observe::Metrics;
use runtime::Runtime;
use runtime::net::Visitor;
use sasl::Secret;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tower_service::Service as _;

const CORE: &str = crate::session::CORE;
const MAIL: &str = crate::session::MAIL;

struct World {
    runtime: Runtime,
    jmap: Jmap,
    directory: Directory,
    engine: Arc<Counting>,
}

/// An answer over HTTP.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    octets: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.octets).expect("JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }
}

fn basic(login: &str, password: &str) -> String {
    format!(
        "Basic {}",
        wire::base64::encode(format!("{login}:{password}").as_bytes())
    )
}

impl World {
    /// A server with one account, bob.
    async fn new() -> Self {
        let counting = Arc::new(Counting::new(MemoryEngine::new(3)));
        let engine: SharedEngine = counting.clone();
        let runtime = Runtime::for_tests();
        let blobs = Arc::new(Blobs::new(Arc::clone(&engine)));
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
        };
        let config = Config {
            url: None,
            host_name: "mail.demo.test".into(),
            message_bytes_max: 2 << 20,
        };
        let world = Self {
            runtime,
            jmap: Jmap::new(ports, config),
            directory,
            engine: counting,
        };
        world.add("bob").await;
        world
    }

    async fn add(&self, name: &str) {
        let store = self.jmap.shared.ports.mailstore.clone();
        let stage = move |batch: &mut engine::Batch, id| {
            let made = store.create_account(batch, id, QuotaLimits::default());
            made.map_err(|error| error.to_string())
        };
        let address = Address::parse(&format!("{name}@demo.test")).expect("valid");
        let new = NewAccount::new(address, Some(Secret::from("pass word")));
        self.directory
            .account_add(new, &stage)
            .await
            .expect("added");
    }

    async fn account_of(&self, name: &str) -> Arc<Account> {
        let login = format!("{name}@demo.test");
        let id = self
            .directory
            .account_of(&login)
            .await
            .expect("read")
            .expect("there");
        self.jmap
            .shared
            .ports
            .mailstore
            .account(id)
            .await
            .expect("opened")
    }

    async fn bob(&self) -> Arc<Account> {
        self.account_of("bob").await
    }

    async fn http(&self, request: Request<Body>, from: &str, tls: bool) -> Answer {
        let mut request = request;
        let visitor = Visitor::new(from.parse().expect("an address"), tls);
        request.extensions_mut().insert(visitor);
        let response = self.jmap.router().call(request).await.expect("answered");
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            octets: to_bytes(body, usize::MAX).await.expect("a body"),
        }
    }

    fn request(who: &str, method: &str, path: &str) -> axum::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost:8080")
            .header(
                "authorization",
                basic(&format!("{who}@demo.test"), "pass word"),
            )
    }

    async fn get(&self, path: &str) -> Answer {
        let request = Self::request("bob", "GET", path)
            .body(Body::empty())
            .expect("a request");
        self.http(request, "127.0.0.1:1", false).await
    }

    async fn post(&self, who: &str, body: impl Into<Body>) -> Answer {
        let request =
            Self::request(who, "POST", "/jmap/api").header("content-type", "application/json");
        let request = request.body(body.into()).expect("a request");
        self.http(request, "127.0.0.1:1", false).await
    }

    /// Uploads octets; gives their id.
    async fn upload(&self, octets: impl Into<Body>) -> String {
        let path = format!("/jmap/upload/{}", self.account_id("bob").await);
        let request = Self::request("bob", "POST", &path)
            .body(octets.into())
            .expect("a request");
        let answer = self.http(request, "127.0.0.1:1", false).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.octets);
        answer.json()["blobId"].as_str().expect("an id").to_owned()
    }

    async fn account_id(&self, name: &str) -> String {
        mailstore::object_id::of_account(self.account_of(name).await.id())
    }

    /// Calls of a user; gives what they are answered with.
    async fn calls(&self, who: &str, calls: Value) -> Vec<(String, Value)> {
        let request = json!({ "using": [CORE, MAIL], "methodCalls": calls });
        let answer = self.post(who, request.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.octets);
        let mut answer = answer.json();
        let Value::Array(list) = answer["methodResponses"].take() else {
            panic!("{answer}");
        };
        let list = list
            .into_iter()
            .map(|mut one| (one[0].as_str().expect("a name").to_owned(), one[1].take()));
        list.collect()
    }

    /// One call of bob's for his own account.
    async fn call(&self, name: &str, arguments: Value) -> Value {
        let (answered, value) = self.try_call(name, arguments).await;
        assert_eq!(answered, name, "{value}");
        value
    }

    async fn try_call(&self, name: &str, arguments: Value) -> (String, Value) {
        let mut arguments: Map<String, Value> =
            serde_json::from_value(arguments).expect("an object");
        let own = self.account_id("bob").await;
        arguments.entry("accountId").or_insert(own.into());
        let mut answers = self.calls("bob", json!([[name, arguments, "c"]])).await;
        assert_eq!(answers.len(), 1);
        answers.pop().expect("one")
    }

    /// The error that a call of bob's is answered with.
    async fn error(&self, name: &str, arguments: Value) -> String {
        let (answered, value) = self.try_call(name, arguments).await;
        assert_eq!(answered, "error", "{name} {value}");
        value["type"].as_str().expect("a type").to_owned()
    }

    /// Puts a message into a mailbox of an account.
    async fn append_to(
        &self,
        account: &Arc<Account>,
        mailbox: &str,
        flags: &[&str],
        message: &str,
    ) -> (EmailId, Uid) {
        let message = message.replace('\n', "\r\n");
        let intake = Intake::new(&self.jmap, account);
        let intake = intake
            .push(&self.jmap, message.into())
            .await
            .expect("taken");
        let taken = intake.finish(&self.jmap).await.expect("taken");
        self.runtime.advance(std::time::Duration::from_secs(1));
        let seconds = i64::try_from(self.runtime.now().unix_seconds()).expect("soon");
        let email = NewEmail {
            blob: taken.blob.id,
            blob_size: taken.blob.size,
            prefix: Bytes::new(),
            digest: taken.digest,
            received_at: InternalDate {
                unix_seconds: seconds,
                zone_minutes: 0,
            },
            flags: flags
                .iter()
                .map(|flag| Flag::parse(flag).expect("a flag"))
                .collect(),
        };
        let mailbox = mailbox_of(account, mailbox);
        let done = account
            .append(mailbox, vec![taken.blob], &[email])
            .await
            .expect("appended");
        done.emails[0]
    }

    /// Puts a message into bob's inbox; gives its id.
    async fn append(&self, flags: &[&str], message: &str) -> String {
        let bob = self.bob().await;
        let (email, _) = self.append_to(&bob, "INBOX", flags, message).await;
        mailstore::object_id::of_email(email, None)
    }

    async fn inbox(&self) -> String {
        let bob = self.bob().await;
        mailstore::object_id::of_mailbox(mailbox_of(&bob, "INBOX"), None)
    }
}

fn mailbox_of(account: &Account, name: &str) -> MailboxId {
    let name = MailboxName::parse(name).expect("a name");
    account.view().mailbox_named(&name).expect("there").id()
}

/// An object with the members of another as well.
fn with(mut object: Value, more: &Value) -> Value {
    let members = object.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    object
}

/// The texts of a list.
fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one.as_str().expect("a text"))
        .collect()
}
