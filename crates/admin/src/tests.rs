//! Tests of the control socket and the HTTP service over real sockets.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use blobs::Blobs;
use bytes::{Bytes, BytesMut};
use deliver::MessageBytes;
use directory::{Directory, NewAccount};
use engine::{MemoryEngine, SharedEngine};
use envelope::{Address, Domain, Envelope, Recipient, Reply, ReversePath};
use gateway::{Gateways, Workers};
use https::{Failure, Posted};
use observe::Metrics;
use parking_lot::Mutex;
use queue::Queue;
use runtime::net::{Listener, connect};
use runtime::{Runtime, Task};
use sasl::Secret;
use serde_json::{Value, json};
use settings::rules::{Gateway, Rules};
use tokio::sync::mpsc;
use webhooks::{Poster, Webhooks};

use crate::api::{Api, BoxFuture, NotSubmitted, Submissions, Submitted};
use crate::control::{
    Answer, CallError, CommandError, Commands, Control, FailureKind, Request, call,
};

struct Echo;

impl Commands for Echo {
    fn run(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            match request.command.as_str() {
                "echo" => Ok(request.args),
                other => Err(CommandError::new(
                    FailureKind::NotFound,
                    format!("there is no {other}"),
                )),
            }
        })
    }
}

fn request(command: &str, args: Value) -> Request {
    Request {
        command: command.to_owned(),
        args,
    }
}

async fn exchange_in(folder: PathBuf) {
    let runtime = Runtime::for_tests();
    let control = Control::bind(&folder).unwrap();
    let serving = runtime.spawn("control", control.serve(runtime.clone(), Arc::new(Echo)));
    let long = json!({"text": "x".repeat(300_000)});
    assert_eq!(
        call(&folder, &request("echo", long.clone())).await.unwrap(),
        long
    );
    let error = call(&folder, &request("nothing", Value::Null))
        .await
        .unwrap_err();
    let CallError::Failed(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind, FailureKind::NotFound);
    assert_eq!(error.message, "there is no nothing");
    runtime.shutdown().drain();
    serving.join().await.unwrap();
    let error = call(&folder, &request("echo", Value::Null))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::NotRunning), "{error}");
}

#[tokio::test]
async fn a_request_is_answered_until_the_drain() {
    let folder = tempfile::tempdir().unwrap();
    exchange_in(folder.path().to_owned()).await;
}

#[tokio::test]
async fn a_data_folder_with_a_long_path_has_a_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    exchange_in(deep).await;
}

#[tokio::test]
async fn a_dead_servers_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("control.sock"), "").unwrap();
    exchange_in(folder.path().to_owned()).await;
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut conn = connect(address, None, Duration::from_secs(5))
        .await
        .unwrap();
    let ask = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    conn.write_all(ask.as_bytes()).await.unwrap();
    let mut buf = BytesMut::new();
    while conn.read(&mut buf).await.unwrap() > 0 {}
    String::from_utf8(buf.to_vec()).unwrap()
}

#[tokio::test]
async fn the_http_service_tells_what_this_is_and_how_it_is() {
    let runtime = Runtime::for_tests();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr();
    let metrics = Arc::new(Metrics::new());
    metrics.login("imap", true);
    let serving = runtime.spawn(
        "http",
        crate::http::serve(listener, None, metrics, None, None, runtime.clone()),
    );
    let page = get(address, "/").await;
    assert!(page.starts_with("HTTP/1.1 200"));
    assert!(page.contains("驿站") && page.contains("content-security-policy"));
    assert!(get(address, "/healthz").await.ends_with("ok\n"));
    let metrics = get(address, "/metrics").await;
    assert!(metrics.contains("posthouse_logins_total{protocol=\"imap\",result=\"ok\"} 1"));
    assert!(get(address, "/else").await.starts_with("HTTP/1.1 404"));
    runtime.shutdown().drain();
    serving.join().await.unwrap();
}

/// Two accounts: `root@demo.test` administers, `bob@demo.test` does not.
async fn people(runtime: &Runtime) -> Directory {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(1));
    let mut options = directory::Options::for_tests();
    options.login.loopback_exempt = false;
    let directory = Directory::new(engine, runtime.clone(), options);
    let domain = Domain::parse("demo.test").unwrap();
    directory.domain_add(&domain, None).await.unwrap();
    for name in ["root@demo.test", "bob@demo.test"] {
        let address = Address::parse(name).unwrap();
        let mut new = NewAccount::new(address, Some(Secret::from("demo")));
        new.admin = name.starts_with("root");
        directory.account_add(new, &|_, _| Ok(())).await.unwrap();
    }
    directory
}

/// One transport that workers come to.
struct Transports;

impl gateway::Transports for Transports {
    fn has(&self, name: &str) -> bool {
        name == "tickets"
    }

    fn knock(&self, _: &str) {}
}

/// Nobody is posted to.
struct NoWeb;

impl Poster for NoWeb {
    fn post<'a>(
        &'a self,
        _: &'a Posted<'a>,
        _: &'a Bytes,
    ) -> webhooks::BoxFuture<'a, Result<https::Answer, Failure>> {
        Box::pin(std::future::ready(Err(Failure::Other("no".into()))))
    }
}

/// One subscription, and a queue in which nothing is.
async fn one_that_asks(runtime: &Runtime) -> Webhooks {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(1));
    let blobs = Arc::new(Blobs::new(engine.clone()));
    let queue = Queue::new(engine, blobs, runtime.clone());
    let webhooks = Webhooks::new(queue, Arc::new(NoWeb), runtime.clone());
    let rules = Rules::parse("[[subscription]]\nname = \"mine\"\n").unwrap();
    webhooks.set(&rules.subscribers).await.unwrap();
    webhooks
}

/// Takes what is for `demo.test`, and keeps it.
#[derive(Default)]
struct Taken(Mutex<Vec<(Submitted, Vec<u8>)>>);

impl Submissions for Taken {
    fn submit(
        &self,
        submitted: Submitted,
        mut octets: mpsc::Receiver<std::io::Result<Bytes>>,
    ) -> BoxFuture<'_, Result<Vec<Reply>, NotSubmitted>> {
        Box::pin(async move {
            let mut message = Vec::new();
            while let Some(part) = octets.recv().await {
                let part = part.map_err(|error| NotSubmitted::Later(error.to_string()))?;
                message.extend_from_slice(&part);
            }
            let reply = |to: &Address| match to.domain().as_str() {
                "demo.test" => Reply::enhanced(250, (2, 0, 0), "Ok, 3kq7"),
                "busy.test" => Reply::enhanced(451, (4, 3, 0), "later"),
                _ => Reply::enhanced(550, (5, 7, 1), "no relaying"),
            };
            let replies = submitted.recipients.iter().map(reply).collect();
            self.0.lock().push((submitted, message));
            Ok(replies)
        })
    }
}

struct Asking {
    address: std::net::SocketAddr,
    runtime: Runtime,
    workers: Option<Workers>,
    submissions: Arc<Taken>,
    _serving: Option<Task<()>>,
}

impl Asking {
    async fn start() -> Self {
        let runtime = Runtime::new();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr();
        let transports = Arc::new(Transports);
        let workers = Workers::new(runtime.clone(), transports);
        let webhooks = one_that_asks(&runtime).await;
        let submissions = Arc::new(Taken::default());
        let api = Api {
            logins: Arc::new(people(&runtime).await),
            commands: Arc::new(Echo),
            workers: workers.clone(),
            webhooks,
            submissions: submissions.clone(),
        };
        let metrics = Arc::new(Metrics::new());
        let serving = crate::http::serve(listener, None, metrics, Some(api), None, runtime.clone());
        let _serving = Some(runtime.spawn("http", serving));
        Self {
            address,
            runtime,
            workers: Some(workers),
            submissions,
            _serving,
        }
    }

    /// The status and the body.
    async fn post(&self, path: &str, headers: &str, body: &str) -> (u16, Value) {
        let patience = Duration::from_secs(5);
        let mut conn = connect(self.address, None, patience).await.unwrap();
        let ask = format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        conn.write_all(ask.as_bytes()).await.unwrap();
        let mut buf = BytesMut::new();
        while conn.read(&mut buf).await.unwrap() > 0 {}
        let text = String::from_utf8(buf.to_vec()).unwrap();
        let status = text[9..12].parse().unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        if status == 401 {
            assert!(text.contains("www-authenticate: Basic realm"), "{text}");
        }
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.runtime.shutdown().drain();
    }
}

fn basic(login: &str, password: &str) -> String {
    let encoded = wire::base64::encode(format!("{login}:{password}").as_bytes());
    format!("authorization: Basic {encoded}\r\n")
}

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn administrators_ask_over_http_as_over_the_socket() {
    let asking = Asking::start().await;
    let root = basic("root@demo.test", "demo");
    let headers = format!("{root}{JSON}");
    let answer = asking
        .post("/api/v1/acts/echo", &headers, r#"{"a": 1}"#)
        .await;
    assert_eq!(answer, (200, json!({"ok": {"a": 1}})));
    // Without arguments there is nothing to say about their kind.
    let answer = asking.post("/api/v1/acts/echo", &root, "").await;
    assert_eq!(answer, (200, json!({"ok": {}})));
    let (status, body) = asking.post("/api/v1/acts/nothing", &root, "").await;
    assert_eq!((status, &body["error"]["kind"]), (404, &json!("not-found")));
    assert_eq!(body["error"]["message"], "there is no nothing");
    for (kind, body, want) in [
        ("", "{}", 415),
        ("content-type: text/plain\r\n", "{}", 415),
        (JSON, "[1]", 400),
        (JSON, "{", 400),
    ] {
        let headers = format!("{root}{kind}");
        let (status, body) = asking.post("/api/v1/acts/echo", &headers, body).await;
        assert_eq!((status, &body["error"]["kind"]), (want, &json!("usage")));
    }
}

#[tokio::test]
async fn nobody_else_asks_over_http() {
    let asking = Asking::start().await;
    let root = basic("root@demo.test", "demo");
    for (headers, want) in [
        (String::new(), 401),
        (basic("root@demo.test", "wrong"), 401),
        (basic("nobody@demo.test", "demo"), 401),
        ("authorization: Basic !!!\r\n".to_owned(), 401),
        ("authorization: Bearer x\r\n".to_owned(), 401),
        (
            format!("authorization: Basic {}\r\n", "A".repeat(4000)),
            401,
        ),
        (basic("bob@demo.test", "demo"), 403),
        // A page in the administrator's browser.
        (format!("{root}origin: https://evil.test\r\n"), 403),
    ] {
        let (status, body) = asking.post("/api/v1/acts/echo", &headers, "").await;
        assert_eq!(status, want, "{headers} {body}");
        assert!(body.get("ok").is_none());
    }
}

#[tokio::test]
async fn too_many_wrong_passwords_close_the_door_for_an_address() {
    let asking = Asking::start().await;
    let mut last = 0;
    for n in 0..200 {
        let headers = basic("root@demo.test", &format!("guess{n}"));
        last = asking.post("/api/v1/acts/echo", &headers, "").await.0;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    // The right one is not tried any more.
    let root = basic("root@demo.test", "demo");
    assert_eq!(asking.post("/api/v1/acts/echo", &root, "").await.0, 429);
}

#[tokio::test]
async fn without_the_setting_there_is_no_api() {
    let runtime = Runtime::for_tests();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr();
    let metrics = Arc::new(Metrics::new());
    let serving = crate::http::serve(listener, None, metrics, None, None, runtime.clone());
    let serving = runtime.spawn("http", serving);
    let asking = Asking {
        address,
        runtime: runtime.clone(),
        workers: None,
        submissions: Arc::default(),
        _serving: None,
    };
    let root = basic("root@demo.test", "demo");
    assert_eq!(asking.post("/api/v1/acts/echo", &root, "").await.0, 404);
    drop(asking);
    serving.join().await.unwrap();
}

/// What a worker asks.
impl Asking {
    async fn root(&self, path: &str, body: &Value) -> (u16, Value) {
        let headers = format!("{}{JSON}", basic("root@demo.test", "demo"));
        self.post(path, &headers, &body.to_string()).await
    }

    /// The head of an answer and what follows.
    async fn get(&self, path: &str) -> (String, String) {
        let patience = Duration::from_secs(5);
        let mut conn = connect(self.address, None, patience).await.unwrap();
        let root = basic("root@demo.test", "demo");
        let ask = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{root}\r\n");
        conn.write_all(ask.as_bytes()).await.unwrap();
        let mut buf = BytesMut::new();
        while conn.read(&mut buf).await.unwrap() > 0 {}
        let text = String::from_utf8(buf.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

#[tokio::test]
async fn a_worker_gets_a_message_and_says_what_became_of_it() {
    let asking = Asking::start().await;
    let none = asking
        .root("/api/v1/claims", &json!({"transport": "tickets"}))
        .await;
    assert_eq!(none, (200, json!({"ok": null})));
    let gateways = Gateways::new(asking.runtime.clone(), "mail.demo.test");
    let gateways = gateways.with_workers(asking.workers.clone().unwrap());
    let text = format!("Subject: x\r\n\r\n{}", "long line\r\n".repeat(20_000));
    let message = MessageBytes(Bytes::from(text.clone()));
    let sender = Address::parse("ann@demo.test").unwrap();
    let mut envelope = Envelope::new(ReversePath::Address(sender));
    for to in ["a@x.test", "b@x.test"] {
        let to = Address::parse(to).unwrap();
        envelope.recipients.push(Recipient::new(to));
    }
    let working = async {
        let ask =
            json!({"transport": "tickets", "wait_seconds": 5, "lease_seconds": 30, "worker": "w1"});
        let (status, work) = asking.root("/api/v1/claims", &ask).await;
        assert_eq!(
            (status, &work["ok"]["sender"]),
            (200, &json!("ann@demo.test"))
        );
        assert_eq!(work["ok"]["recipients"], json!(["a@x.test", "b@x.test"]));
        let claim = work["ok"]["claim"].as_str().unwrap().to_owned();
        let (head, body) = asking.get(&format!("/api/v1/claims/{claim}/message")).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: message/rfc822"), "{head}");
        assert!(
            head.contains(&format!("content-length: {}", text.len())),
            "{head}"
        );
        assert!(body == text);
        let at = |what| format!("/api/v1/claims/{claim}/{what}");
        let longer = asking
            .root(&at("extend"), &json!({"lease_seconds": 90}))
            .await;
        assert_eq!(longer, (200, json!({"ok": {"lease_seconds": 90}})));
        for (wrong, status) in [
            (json!({"outcome": "opened"}), 400),
            (json!({"outcome": "failed", "status": "4.1.1"}), 400),
            (json!({"outcome": "delivered", "retry_seconds": 1}), 400),
            (
                json!({"recipients": {"a@x.test": {"outcome": "delivered"}}}),
                400,
            ),
            (
                json!({"outcome": "delivered", "recipients": {"c@x.test": {"outcome": "failed"}}}),
                400,
            ),
        ] {
            let (said, error) = asking.root(&at("settle"), &wrong).await;
            assert_eq!(said, status, "{wrong}: {error}");
        }
        let said = json!({"outcome": "delivered", "text": "ticket 17", "recipients":
            {"b@x.test": {"outcome": "failed", "status": "5.1.1", "text": "nobody"}}});
        let settled = asking.root(&at("settle"), &said).await;
        assert_eq!(settled, (200, json!({"ok": {}})));
        at("settle")
    };
    let offering = gateways.deliver("tickets", &Gateway::Worker, &envelope, &message);
    let (report, settle) = tokio::join!(offering, working);
    let said: Vec<String> = report
        .outcomes
        .iter()
        .map(|one| one.reply().to_line())
        .collect();
    assert_eq!(
        said,
        [
            "250 2.0.0 worker w1: ticket 17",
            "550 5.1.1 worker w1: nobody"
        ]
    );
    let again = asking.root(&settle, &json!({"outcome": "delivered"})).await;
    assert_eq!(
        (again.0, &again.1["error"]["kind"]),
        (404, &json!("not-found"))
    );
    let nowhere = asking
        .root("/api/v1/claims", &json!({"transport": "nowhere"}))
        .await;
    assert_eq!(nowhere.0, 404);
    for wrong in [
        json!({"transport": "tickets", "lease_seconds": 0}),
        json!({"transport": "tickets", "lease_seconds": 901}),
        json!({"transport": "tickets", "x": 1}),
        json!({}),
    ] {
        assert_eq!(asking.root("/api/v1/claims", &wrong).await.0, 400);
    }
    let bob = format!("{}{JSON}", basic("bob@demo.test", "demo"));
    assert_eq!(asking.post("/api/v1/claims", &bob, "{}").await.0, 403);
}

#[tokio::test]
async fn a_subscription_is_asked_for_over_http() {
    let asking = Asking::start().await;
    let none = asking
        .root("/api/v1/events/mine", &json!({"max": 10}))
        .await;
    assert_eq!(none, (200, json!({"ok": {"page": null, "events": []}})));
    let (status, body) = asking
        .root("/api/v1/events/mine", &json!({"heard": "x"}))
        .await;
    assert_eq!((status, &body["error"]["kind"]), (409, &json!("conflict")));
    assert_eq!(asking.root("/api/v1/events/other", &json!({})).await.0, 404);
    let bob = format!("{}{JSON}", basic("bob@demo.test", "demo"));
    assert_eq!(asking.post("/api/v1/events/mine", &bob, "{}").await.0, 403);
}

#[tokio::test]
async fn a_message_is_put_in_by_who_has_an_account() {
    const MESSAGE: &str = "Subject: x\r\n\r\nhello\r\n";
    let asking = Asking::start().await;
    let bob = format!(
        "{}content-type: message/rfc822\r\n",
        basic("bob@demo.test", "demo")
    );
    let put = |query: &'static str| asking.post(query, &bob, MESSAGE);
    let (status, body) =
        put("/api/v1/messages?recipient=a%2Bb@demo.test&recipient=x@far.test&priority=-3").await;
    assert_eq!(
        (status, &body["ok"]["message"]),
        (200, &json!("3kq7")),
        "{body}"
    );
    let each = &body["ok"]["recipients"];
    assert_eq!(
        (&each[0]["accepted"], &each[1]["accepted"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(each[1]["reply"], "550 5.7.1 no relaying");
    {
        let taken = asking.submissions.0.lock();
        let (submitted, octets) = &taken[0];
        assert_eq!(submitted.sender.to_string(), "bob@demo.test");
        assert_eq!(submitted.recipients[0].to_string(), "a+b@demo.test");
        assert_eq!(submitted.priority.map(envelope::Priority::get), Some(-3));
        assert_eq!(octets, MESSAGE.as_bytes());
    }
    for (query, want) in [
        ("/api/v1/messages?recipient=x@far.test", 422),
        (
            "/api/v1/messages?recipient=x@busy.test&recipient=x@far.test",
            503,
        ),
        ("/api/v1/messages", 400),
        ("/api/v1/messages?recipient=nobody", 400),
        ("/api/v1/messages?recipient=x@demo.test&sender=", 400),
        ("/api/v1/messages?recipient=x@demo.test&priority=x", 400),
        ("/api/v1/messages?recipient=x@demo.test&cc=y@demo.test", 400),
    ] {
        let (status, body) = put(query).await;
        assert_eq!(status, want, "{query}: {body}");
        assert!(body["error"]["message"].is_string(), "{body}");
    }
    let path = "/api/v1/messages?recipient=x@demo.test";
    let json = format!("{}{JSON}", basic("bob@demo.test", "demo"));
    assert_eq!(asking.post(path, &json, "{}").await.0, 415);
    let nobody = format!(
        "{}content-type: message/rfc822\r\n",
        basic("bob@demo.test", "x")
    );
    assert_eq!(asking.post(path, &nobody, MESSAGE).await.0, 401);
}
