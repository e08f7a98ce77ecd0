//! Tests of the control socket and the HTTP service over real sockets.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use directory::{Directory, NewAccount};
use engine::{MemoryEngine, SharedEngine};
use envelope::{Address, Domain};
use observe::Metrics;
use runtime::net::{Listener, connect};
use runtime::{Runtime, Task};
use sasl::Secret;
use serde_json::{Value, json};

use crate::api::Api;
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
        crate::http::serve(listener, None, metrics, None, runtime.clone()),
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

struct Asking {
    address: std::net::SocketAddr,
    runtime: Runtime,
    _serving: Option<Task<()>>,
}

impl Asking {
    async fn start() -> Self {
        let runtime = Runtime::new();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr();
        let api = Api {
            logins: Arc::new(people(&runtime).await),
            commands: Arc::new(Echo),
        };
        let metrics = Arc::new(Metrics::new());
        let serving = crate::http::serve(listener, None, metrics, Some(api), runtime.clone());
        let _serving = Some(runtime.spawn("http", serving));
        Self {
            address,
            runtime,
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
    let serving = crate::http::serve(listener, None, metrics, None, runtime.clone());
    let serving = runtime.spawn("http", serving);
    let asking = Asking {
        address,
        runtime: runtime.clone(),
        _serving: None,
    };
    let root = basic("root@demo.test", "demo");
    assert_eq!(asking.post("/api/v1/acts/echo", &root, "").await.0, 404);
    drop(asking);
    serving.join().await.unwrap();
}
