//! Tests of the control socket and the HTTP service over real sockets.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use observe::Metrics;
use runtime::Runtime;
use runtime::net::{Listener, connect};
use serde_json::{Value, json};

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
        crate::http::serve(listener, None, metrics, runtime.clone()),
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
