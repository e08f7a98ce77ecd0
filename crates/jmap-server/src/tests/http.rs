//! Logins, the session, requests that are none, octets, events.

use super::*;
use jmap_proto::limits::REQUEST_BYTES_MAX;
use std::future::poll_fn;
use std::pin::Pin;

/// A body that never comes.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// What a stranger sends is not even read.
#[tokio::test]
async fn nothing_is_read_of_who_is_nobody_and_nothing_is_done_for_other_peoples_pages() {
    let world = World::new().await;
    let request = Request::builder().method("POST").uri("/jmap/api");
    let request = request.header("content-type", "application/json");
    let answer = world
        .http(
            request.body(Body::new(Endless)).expect("a request"),
            "127.0.0.1:1",
            false,
        )
        .await;
    assert_eq!(answer.status.as_u16(), 401);
    for (site, status) in [("cross-site", 403), ("same-origin", 200), ("none", 200)] {
        let request = World::request("bob", "GET", "/jmap/session").header("sec-fetch-site", site);
        let request = request.body(Body::empty()).expect("a request");
        let answer = world.http(request, "127.0.0.1:1", false).await;
        assert_eq!(answer.status.as_u16(), status, "{site}");
    }
}

#[tokio::test]
async fn nobody_is_told_anything_without_a_login() {
    let world = World::new().await;
    let ask = |path: &str, authorization: &str| {
        let request = Request::builder()
            .uri(path)
            .header("authorization", authorization);
        request.body(Body::empty()).expect("a request")
    };
    let good = basic("bob@demo.test", "pass word");
    for (authorization, from, tls, status) in [
        ("", "127.0.0.1:1", false, 401),
        ("Basic %%%", "127.0.0.1:1", false, 401),
        (&basic("bob@demo.test", "wrong"), "127.0.0.1:1", false, 401),
        (
            &basic("nobody@demo.test", "pass word"),
            "127.0.0.1:1",
            false,
            401,
        ),
        ("Bearer abc", "127.0.0.1:1", false, 401),
        (&good, "192.0.2.1:1", false, 403),
        (&good, "192.0.2.1:1", true, 200),
        (&good, "127.0.0.1:1", false, 200),
    ] {
        for path in ["/jmap/session", "/jmap/events?types=*&closeafter=no&ping=0"] {
            if path.contains("events") && status == 200 {
                continue;
            }
            let answer = world.http(ask(path, authorization), from, tls).await;
            assert_eq!(
                answer.status.as_u16(),
                status,
                "{path} {authorization} {from} {tls}"
            );
            assert_eq!(
                answer.headers.contains_key("www-authenticate"),
                status == 401
            );
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
        }
    }
    let answer = world
        .http(ask("/.well-known/jmap", ""), "192.0.2.1:1", false)
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (307, "/jmap/session")
    );
}

#[tokio::test]
async fn the_session_tells_accounts_limits_and_urls() {
    let world = World::new().await;
    let answer = world.get("/jmap/session").await;
    assert_eq!(
        answer.header("cache-control"),
        "no-cache, no-store, must-revalidate"
    );
    let session = answer.json();
    let own = world.account_id("bob").await;
    assert_eq!(session["username"], "bob@demo.test");
    assert_eq!(session["primaryAccounts"], json!({ CORE: own, MAIL: own }));
    let account = &session["accounts"][&own];
    assert_eq!(account["name"], "bob@demo.test");
    assert_eq!(
        (&account["isPersonal"], &account["isReadOnly"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(account["accountCapabilities"][MAIL]["maxMailboxDepth"], 50);
    let core = &session["capabilities"][CORE];
    for (limit, least) in [
        ("maxSizeRequest", 10_000_000),
        ("maxCallsInRequest", 16),
        ("maxObjectsInGet", 500),
    ] {
        assert!(core[limit].as_u64().expect("a number") >= least, "{limit}");
    }
    assert_eq!(session["apiUrl"], "http://localhost:8080/jmap/api");
    let download = session["downloadUrl"].as_str().expect("a template");
    for variable in ["{accountId}", "{blobId}", "{type}", "{name}"] {
        assert!(download.contains(variable), "{download}");
    }
    // A name that a stranger chose is not told to others.
    let request = World::request("bob", "GET", "/jmap/session").header("host", "evil.test");
    let request = request.body(Body::empty()).expect("a request");
    let (mut parts, body) = request.into_parts();
    parts
        .headers
        .insert("host", "evil.test".parse().expect("a value"));
    let answer = world
        .http(Request::from_parts(parts, body), "192.0.2.1:1", true)
        .await;
    assert_eq!(answer.json()["apiUrl"], "https://mail.demo.test/jmap/api");
}

#[tokio::test]
async fn what_is_no_request_is_refused_as_a_whole() {
    let world = World::new().await;
    let kind = |answer: &Answer| {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let kind = answer.json()["type"].as_str().expect("a type").to_owned();
        kind.rsplit(':').next().expect("a name").to_owned()
    };
    let calls = json!([["Core/echo", {}, "c"]]);
    for (body, why) in [
        ("{".to_owned(), "notJSON"),
        ("{\"using\":[],\"using\":[]}".to_owned(), "notJSON"),
        ("[]".to_owned(), "notRequest"),
        (
            json!({"using": ["urn:x"], "methodCalls": calls}).to_string(),
            "unknownCapability",
        ),
        (
            json!({"using": [CORE], "methodCalls": vec![calls[0].clone(); 65]}).to_string(),
            "limit",
        ),
        (" ".repeat(REQUEST_BYTES_MAX + 1), "limit"),
    ] {
        assert_eq!(kind(&world.post("bob", body).await), why);
    }
    assert_eq!(
        kind(&world.post("bob", vec![b'"', 0xff, b'"']).await),
        "notJSON"
    );
    let request = World::request("bob", "POST", "/jmap/api").header("content-type", "text/plain");
    let request = request.body(Body::from("{}")).expect("a request");
    assert_eq!(
        kind(&world.http(request, "127.0.0.1:1", false).await),
        "notJSON"
    );
}

#[tokio::test]
async fn calls_are_carried_out_in_order_and_use_each_others_results() {
    let world = World::new().await;
    let own = world.account_id("bob").await;
    let id = world.append(&[], "Subject: a\n\nb\n").await;
    let answers = world
        .calls(
            "bob",
            json!([
                ["Core/echo", {"hello": [1, null]}, "e"],
                ["Email/query", {"accountId": own}, "q"],
                ["Email/get", {"accountId": own, "properties": ["subject"],
                    "#ids": {"resultOf": "q", "name": "Email/query", "path": "/ids"}}, "g"],
                ["Nothing/get", {}, "n"],
                ["Email/get", {"accountId": "A999", "ids": []}, "n"],
                ["Email/get", {"accountId": own, "#ids": {"resultOf": "x", "name": "y", "path": "/z"}}, "r"],
                ["Email/get", {"accountId": own, "ids": [], "x": 1}, "a"],
            ]),
        )
        .await;
    assert_eq!(
        answers[0],
        ("Core/echo".into(), json!({"hello": [1, null]}))
    );
    assert_eq!(answers[1].1["ids"], json!([id]));
    assert_eq!(answers[2].1["list"], json!([{"id": id, "subject": "a"}]));
    let kinds: Vec<_> = answers[3..]
        .iter()
        .map(|(_, error)| error["type"].as_str().expect("one"))
        .collect();
    assert_eq!(
        kinds,
        [
            "unknownMethod",
            "accountNotFound",
            "invalidResultReference",
            "invalidArguments"
        ]
    );
    // What `using` does not name is not there; createdIds come back where some were given.
    let request = json!({"using": [CORE], "createdIds": {"k": "E1"},
        "methodCalls": [["Email/get", {"accountId": own, "ids": []}, "c"]]});
    let answer = world.post("bob", request.to_string()).await.json();
    assert_eq!(answer["methodResponses"][0][1]["type"], "unknownMethod");
    assert_eq!(answer["createdIds"], json!({"k": "E1"}));
    let session = world.get("/jmap/session").await.json();
    assert_eq!(answer["sessionState"], session["state"]);
}

#[tokio::test]
async fn octets_go_up_and_come_down_and_are_nobody_elses() {
    let world = World::new().await;
    world.add("eve").await;
    let own = world.account_id("bob").await;
    let large: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    for octets in [vec![1, 2, 3], large] {
        let blob = world.upload(octets.clone()).await;
        let path = format!("/jmap/download/{own}/{blob}/a%20%E4%BD%A0.bin?type=text/html");
        let answer = world.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.octets == octets);
        assert_eq!(answer.header("content-type"), "text/html");
        assert_eq!(
            answer.header("content-disposition"),
            "attachment; filename*=UTF-8''a%20%E4%BD%A0.bin"
        );
        assert!(answer.header("content-security-policy").contains("sandbox"));
        assert_eq!(answer.header("content-length"), octets.len().to_string());
        // THREATS 27: by its own account alone, and by nobody else.
        let eves = world.account_id("eve").await;
        for (who, account) in [("eve", &own), ("eve", &eves), ("bob", &eves)] {
            let path = format!("/jmap/download/{account}/{blob}/x");
            let request = World::request(who, "GET", &path)
                .body(Body::empty())
                .expect("a request");
            let answer = world.http(request, "127.0.0.1:1", false).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{who} {account}");
        }
    }
    let path = format!("/jmap/upload/{own}");
    let request = World::request("bob", "POST", &path)
        .body(vec![0u8; (2 << 20) + 1].into())
        .expect("a request");
    let answer = world.http(request, "127.0.0.1:1", false).await;
    assert_eq!(answer.json()["limit"], "maxSizeUpload");
    let eves = format!("/jmap/upload/{}", world.account_id("eve").await);
    let request = World::request("bob", "POST", &eves)
        .body(Body::from("x"))
        .expect("a request");
    assert_eq!(
        world.http(request, "127.0.0.1:1", false).await.status,
        StatusCode::NOT_FOUND
    );
    // What is too old is gone.
    let blob = world.upload("x").await;
    world.runtime.advance(crate::limits::UPLOAD_KEPT);
    let answer = world.get(&format!("/jmap/download/{own}/{blob}/x")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn uploads_that_are_too_many_push_out_the_oldest() {
    let world = World::new().await;
    let own = world.account_id("bob").await;
    let first = world.upload(vec![1u8; 1 << 20]).await;
    for _ in 0..8 {
        world.runtime.advance(std::time::Duration::from_secs(1));
        world.upload(vec![2u8; 1 << 20]).await;
    }
    let answer = world.get(&format!("/jmap/download/{own}/{first}/x")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(world.jmap.shared.ports.blobs.receive_bytes(), 0);
}

pub(super) struct Stream(Body);

impl Stream {
    pub(super) async fn open(world: &World, query: &str, last: Option<&str>) -> Self {
        let mut request = World::request("bob", "GET", &format!("/jmap/events?{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let mut request = request.body(Body::empty()).expect("a request");
        request
            .extensions_mut()
            .insert(Visitor::new("127.0.0.1:1".parse().expect("one"), false));
        let response = world.jmap.router().call(request).await.expect("answered");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()["content-type"],
            "text/event-stream; charset=utf-8"
        );
        let mut stream = Self(response.into_body());
        assert_eq!(stream.next().await.as_deref(), Some(": watching\n\n"));
        stream
    }

    pub(super) async fn next(&mut self) -> Option<String> {
        let frame = poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut self.0), cx)).await?;
        let data = frame.expect("no error").into_data().expect("data");
        Some(String::from_utf8(data.to_vec()).expect("text"))
    }
}

#[tokio::test]
async fn changes_are_pushed_as_they_come() {
    let world = World::new().await;
    let own = world.account_id("bob").await;
    let mut all = Stream::open(&world, "types=*&closeafter=no&ping=0", None).await;
    let mut once = Stream::open(&world, "types=Email&closeafter=state&ping=0", None).await;
    let id = world.append(&[], "Subject: a\n\nb\n").await;
    let state = world.call("Email/get", json!({"ids": []})).await["state"].clone();
    let event = all.next().await.expect("an event");
    let data = event
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .expect("data");
    let data: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(data["@type"], "StateChange");
    let changed = &data["changed"][&own];
    for kind in ["Email", "Mailbox", "Thread"] {
        assert_eq!(changed[kind], state, "{kind}");
    }
    assert!(changed["EmailDelivery"].is_string() && event.starts_with("event: state\nid: "));
    let event = once.next().await.expect("an event");
    assert!(
        event.contains("\"Email\"") && !event.contains("\"Mailbox\""),
        "{event}"
    );
    assert_eq!(once.next().await, None);
    let update = json!({"update": {&id: {"keywords/$seen": true}}});
    world.call("Email/set", update).await;
    world.runtime.advance(crate::limits::STREAM_PAUSE);
    let event = all.next().await.expect("an event");
    assert!(
        event.contains("\"Email\"") && !event.contains("EmailDelivery"),
        "{event}"
    );
    // Who was away is told at once.
    let last = event
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .expect("an id")
        .to_owned();
    world.append(&[], "Subject: c\n\nd\n").await;
    let mut again = Stream::open(&world, "types=*&closeafter=state&ping=0", Some(&last)).await;
    assert!(
        again
            .next()
            .await
            .expect("an event")
            .contains("EmailDelivery")
    );
    world.runtime.shutdown().drain();
    assert!(
        all.next()
            .await
            .is_some_and(|event| event.starts_with("event: state"))
            || all.next().await.is_none()
    );
}

#[tokio::test]
async fn many_changes_at_once_are_few_events() {
    let world = World::new().await;
    let bob = world.bob().await;
    world.append(&[], "Subject: a\n\nb\n").await;
    let mut stream = Stream::open(&world, "types=*&closeafter=no&ping=0", None).await;
    let inbox = mailbox_of(&bob, "INBOX");
    let uids = mailbox_model::UidSet::all();
    let mut events = Vec::new();
    for n in 0..50 {
        let action = match n % 2 {
            0 => mailbox_model::stage::FlagAction::Add,
            _ => mailbox_model::stage::FlagAction::Remove,
        };
        let stored = bob.store_flags(inbox, &uids, action, &[Flag::Seen], None);
        stored.await.expect("stored");
        for _ in 0..4 {
            tokio::select! {
                biased;
                event = stream.next() => events.push(event.expect("an event")),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    assert_eq!(events.len(), 1, "{events:?}");
    world.runtime.advance(crate::limits::STREAM_PAUSE);
    let last = stream.next().await.expect("an event");
    let state = world.call("Email/get", json!({"ids": []})).await["state"].clone();
    let state = state.as_str().expect("a state");
    assert!(last.contains(&format!("\"Email\":\"{state}\"")), "{last}");
}

#[tokio::test]
async fn streams_are_bounded_and_let_go() {
    let world = World::new().await;
    let mut streams = Vec::new();
    for _ in 0..crate::limits::STREAMS_PER_USER_MAX {
        streams.push(Stream::open(&world, "types=*&closeafter=no&ping=0", None).await);
    }
    let answer = world.get("/jmap/events?types=*&closeafter=no&ping=0").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    streams.pop();
    streams.push(Stream::open(&world, "types=*&closeafter=no&ping=0", None).await);
}

#[tokio::test]
async fn a_stream_ends_with_the_password_it_was_opened_by() {
    let world = World::new().await;
    let mut stream = Stream::open(&world, "types=Email&closeafter=no&ping=0", None).await;
    let address = Address::parse("bob@demo.test").expect("valid");
    let change = directory::AccountChange::Password(Secret::from("another word"));
    world
        .directory
        .account_change(&address, change)
        .await
        .expect("changed");
    // Nothing wakes it: it looks by itself.
    let (ended, ()) = tokio::join!(stream.next(), async {
        for _ in 0..4 {
            tokio::task::yield_now().await;
            world.runtime.advance(crate::limits::STREAM_LOOKS);
        }
    });
    assert_eq!(ended, None);
}

#[tokio::test]
async fn pings_come_whatever_goes_on() {
    let world = World::new().await;
    let bob = world.bob().await;
    let mut stream = Stream::open(&world, "types=EmailDelivery&closeafter=no&ping=5", None).await;
    let email = world.append(&[], "Subject: a\n\nb\n").await;
    assert!(
        stream
            .next()
            .await
            .is_some_and(|event| event.contains("EmailDelivery"))
    );
    let inbox = mailbox_of(&bob, "INBOX");
    let uids = mailbox_model::UidSet::all();
    let mut events = Vec::new();
    for second in 0..30 {
        let action = match second % 2 {
            0 => mailbox_model::stage::FlagAction::Add,
            _ => mailbox_model::stage::FlagAction::Remove,
        };
        bob.store_flags(inbox, &uids, action, &[Flag::Seen], None)
            .await
            .expect("stored");
        world.runtime.advance(std::time::Duration::from_secs(1));
        tokio::select! {
            biased;
            event = stream.next() => events.push((second, event.expect("an event"))),
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(
        events
            .iter()
            .all(|(_, event)| event.starts_with("event: ping")),
        "{email} {events:?}"
    );
    assert!((5..=6).contains(&events.len()), "{events:?}");
}
