//! No user can use up memory, disk, time or threads: what is read, written and kept, by count.

use super::*;
use crate::budget::Budget;
use crate::limits::{
    DOWNLOADS_PER_USER_MAX, FILTER_WORDS_MAX, HEADER_PROPERTIES_MAX, SNIPPET_TEXT_BYTES_MAX,
    SNIPPETS_TEXT_BYTES_MAX, TURNS_PER_USER_MAX, UPLOAD_BYTES_SHARE, UPLOAD_KEPT,
    UPLOADS_BYTES_SHARE,
};
use envelope::AccountId;
use jmap_proto::limits::FILTER_PARTS_MAX;
use std::time::Duration;

#[tokio::test]
async fn the_words_and_conditions_of_a_filter_are_bounded() {
    let world = World::new().await;
    let id = world.append(&[], "Subject: w1 w2\n\nw3\n").await;
    let words = |n: usize| {
        let words: Vec<String> = (0..n).map(|n| format!("w{n}")).collect();
        words.join(" ")
    };
    for (name, arguments) in [
        ("Email/query", json!({})),
        ("SearchSnippet/get", json!({"emailIds": [id]})),
    ] {
        let asked = |filter: Value| {
            let mut arguments = arguments.clone();
            arguments["filter"] = filter;
            arguments
        };
        for good in [
            json!({"text": words(FILTER_WORDS_MAX)}),
            // The same ones again and again cost nothing more.
            json!({"text": "w1 w2 ".repeat(500)}),
            json!({"operator": "OR", "conditions": vec![json!({"text": "w1"}); FILTER_PARTS_MAX - 1]}),
        ] {
            world.call(name, asked(good)).await;
        }
        for bad in [
            json!({"text": words(FILTER_WORDS_MAX + 1)}),
            json!({"from": "x".repeat(9000)}),
            json!({"operator": "OR", "conditions": [{"subject": words(20)}, {"operator": "NOT", "conditions": [{"header": ["x", "y"], "body": words(40)}]}]}),
            json!({"operator": "OR", "conditions": vec![json!({"text": "w1"}); FILTER_PARTS_MAX]}),
            // Each member is a condition.
            json!({"operator": "OR", "conditions": vec![json!({"text": "w1", "body": "w1", "minSize": 1}); FILTER_PARTS_MAX / 2]}),
        ] {
            assert_eq!(world.error(name, asked(bad)).await, "unsupportedFilter");
        }
    }
    let found = world
        .call(
            "Email/query",
            json!({"filter": {"text": "w1 w2 ".repeat(500)}}),
        )
        .await;
    assert_eq!(found["ids"], json!([id]));
    // What threads are asked for is counted for each keyword.
    for n in 0..9 {
        let update = json!({ &id: { format!("keywords/k{n}"): true } });
        world.call("Email/set", json!({ "update": update })).await;
    }
    let in_threads = |n: usize| {
        let conditions: Vec<Value> = (0..n)
            .map(|n| json!({"someInThreadHaveKeyword": format!("k{n}"), "allInThreadHaveKeyword": format!("k{n}")}))
            .collect();
        json!({"filter": {"operator": "AND", "conditions": conditions}})
    };
    let found = world.call("Email/query", in_threads(8)).await;
    assert_eq!(found["ids"], json!([id]));
    let error = world.error("Email/query", in_threads(9)).await;
    assert_eq!(error, "unsupportedFilter");
}

/// RFC 8621 §5: what cannot be told is null.
#[tokio::test]
async fn snippets_are_looked_for_in_so_much_of_a_request() {
    let world = World::new().await;
    let line = format!("{}\n", "straw ".repeat(12));
    let long = line.repeat(2 * SNIPPET_TEXT_BYTES_MAX as usize / line.len());
    let message = format!("Subject: x\n\n{long}");
    let mut ids = Vec::new();
    for _ in 0..SNIPPETS_TEXT_BYTES_MAX / SNIPPET_TEXT_BYTES_MAX {
        ids.push(world.append(&[], &message).await);
    }
    let last = world.append(&[], "Subject: x\n\na needle\n").await;
    let own = world.account_id("bob").await;
    let call = |ids: &[String]| {
        let filter = json!({"text": "needle"});
        json!(["SearchSnippet/get", {"accountId": own, "filter": filter, "emailIds": ids}, "c"])
    };
    let found = |answers: &[(String, Value)]| answers.last().expect("one").1["list"][0].clone();
    let one = std::slice::from_ref(&last);
    world.engine.reads();
    let answers = world.calls("bob", json!([call(&ids), call(one)])).await;
    assert_eq!(
        answers[0].1["list"].as_array().map(Vec::len),
        Some(ids.len())
    );
    assert_eq!(found(&answers)["preview"], Value::Null);
    // Of each a piece of its body, or two where it does not begin with one.
    let reads = world.engine.reads();
    assert!(reads.bodies <= 2 * ids.len() as u64, "{reads:?}");
    let answers = world.calls("bob", json!([call(one)])).await;
    assert_eq!(found(&answers)["preview"], "a <mark>needle</mark>");
}

#[tokio::test]
async fn fields_of_a_header_are_asked_for_so_often() {
    let world = World::new().await;
    let id = world.append(&[], "Subject: x\nX-A: 1\nX-A: 2\n\ny\n").await;
    // One field, in many spellings.
    let spelled = |n: usize| {
        let name: Vec<String> = (0..n)
            .map(|n| {
                let letters = "x-abcdefg".chars().enumerate();
                let name: String = letters
                    .map(|(at, c)| match n >> at & 1 {
                        1 => c.to_ascii_uppercase(),
                        _ => c,
                    })
                    .collect();
                format!("header:{name}")
            })
            .collect();
        let mut names = name;
        names.sort();
        names.dedup();
        names
    };
    let names = spelled(400);
    assert!(names.len() > HEADER_PROPERTIES_MAX);
    let few = &names[..HEADER_PROPERTIES_MAX];
    let mut twice = few.to_vec();
    twice.extend_from_slice(few);
    let asked = json!({"ids": [id], "properties": twice});
    let got = world.call("Email/get", asked).await;
    let list = got["list"][0].as_object().expect("one");
    assert_eq!(list.len(), HEADER_PROPERTIES_MAX + 1);
    let many = &names[..=HEADER_PROPERTIES_MAX];
    for asked in [
        json!({"ids": [id], "properties": many}),
        json!({"ids": [id], "bodyProperties": many}),
        json!({"ids": [id], "properties": few, "bodyProperties": few}),
    ] {
        assert_eq!(world.error("Email/get", asked).await, "requestTooLarge");
    }
    let asked = json!({"ids": [id], "properties": ["textBody"],
        "bodyProperties": ["size", "size", "header:x-A:asText:all", "header:X-a:asText:all"]});
    let got = world.call("Email/get", asked).await;
    let part = &got["list"][0]["textBody"][0];
    assert_eq!(part["header:x-A:asText:all"], json!(["1", "2"]));
    assert_eq!(part["header:X-a:asText:all"], json!(["1", "2"]));
}

/// Parts of parts are found through encodings, and nothing is in memory but a piece.
#[tokio::test]
async fn parts_of_encoded_messages_are_octets_too() {
    let world = World::new().await;
    let own = world.account_id("bob").await;
    let wrap = |octets: &[u8]| {
        let octets = mime::transfer::base64_lines(octets);
        format!(
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhere\r\n--b\r\n\
             Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{octets}\r\n--b--\r\n"
        )
    };
    let data: Vec<u8> = (0..700_000u32).map(|n| (n % 253) as u8).collect();
    let (inner, middle) = (wrap(&data), wrap(wrap(&data).as_bytes()));
    let id = world
        .append(&[], &wrap(middle.as_bytes()).replace("\r\n", "\n"))
        .await;
    let email = world
        .call("Email/get", json!({"ids": [id], "properties": ["blobId"]}))
        .await;
    let email = email["list"][0]["blobId"]
        .as_str()
        .expect("an id")
        .to_owned();
    let upload = world.upload(wrap(&data)).await;
    for (blob, octets) in [
        (format!("{email}-2"), middle.as_bytes()),
        (format!("{email}-2-2"), inner.as_bytes()),
        (format!("{email}-2-2-2"), &data),
        (format!("{email}-2-2-1"), b"here"),
        (format!("{upload}-2"), &data),
        (format!("{upload}-1"), b"here"),
    ] {
        let answer = world.get(&format!("/jmap/download/{own}/{blob}/x")).await;
        assert!(answer.octets == octets, "{blob} {}", answer.octets.len());
        let bob = world.bob().await;
        let room = Arc::new(crate::access::Room::own(&crate::auth::User {
            id: bob.id(),
            address: String::new(),
            domain: "demo.test".into(),
            account: bob,
        }));
        // What is read to find it counts.
        let look = world.jmap.look(&room).await.expect("a look");
        let levels = blob.matches('-').count() as u64 - u64::from(blob.starts_with('B'));
        let budget = Arc::new(Budget::of(10 << 20));
        let mut opened = world
            .jmap
            .open_blob(&look, &blob, &budget)
            .await
            .expect("read")
            .expect("there");
        let read = (10 << 20) - budget.left();
        assert!(
            read >= levels * data.len() as u64 && read <= levels * 3 * data.len() as u64,
            "{blob} {read}"
        );
        while let Some(piece) = opened.next_piece().await.expect("read") {
            assert!(!piece.is_empty() && piece.len() as u64 <= crate::limits::PIECE_BYTES);
        }
        let spent = world
            .jmap
            .open_blob(&look, &blob, &Arc::new(Budget::of(1000)))
            .await;
        assert_eq!(spent.is_err(), levels > 0, "{blob}");
    }
    for bad in ["-2-2-2-1", "-2-0", "-2-9"] {
        let answer = world
            .get(&format!("/jmap/download/{own}/{email}{bad}/x"))
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{bad}");
    }
}

#[tokio::test]
async fn downloads_are_bounded_and_let_go() {
    let world = World::new().await;
    let own = world.account_id("bob").await;
    let blob = world.upload(vec![7u8; 1 << 20]).await;
    let path = format!("/jmap/download/{own}/{blob}/x");
    let open = async || {
        let mut request = World::request("bob", "GET", &path)
            .body(Body::empty())
            .expect("a request");
        let visitor = Visitor::new("127.0.0.1:1".parse().expect("one"), false);
        request.extensions_mut().insert(visitor.clone());
        let response = world.jmap.router().call(request).await.expect("answered");
        (response, visitor)
    };
    let mut held = Vec::new();
    for _ in 0..DOWNLOADS_PER_USER_MAX {
        let (response, visitor) = open().await;
        assert_eq!(response.status(), StatusCode::OK);
        // Who does not take what is there is silent.
        assert!(!visitor.is_busy());
        held.push(response);
    }
    let (response, _) = open().await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"));
    held.pop();
    assert_eq!(open().await.0.status(), StatusCode::OK);
}

async fn soon(mut holds: impl FnMut() -> bool, runtime: &Runtime) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        runtime.blocking(|| ()).await;
    }
    panic!("it does not come");
}

#[tokio::test]
async fn uploads_are_let_go_by_a_timer_and_bounded_in_all() {
    let world = World::new().await;
    let kept = || world.jmap.shared.uploads.kept();
    world.upload("first").await;
    world.runtime.advance(UPLOAD_KEPT / 2);
    world.upload("second").await;
    assert_eq!(kept(), (2, 11));
    // Nobody asks for anything meanwhile.
    world.runtime.advance(UPLOAD_KEPT / 2);
    soon(|| kept() == (1, 6), &world.runtime).await;
    world.runtime.advance(UPLOAD_KEPT / 2);
    soon(|| kept() == (0, 0), &world.runtime).await;
    world.upload("again").await;
    assert_eq!(kept(), (1, 5));
    world.runtime.advance(UPLOAD_KEPT);
    soon(|| kept() == (0, 0), &world.runtime).await;
    let ports = world.jmap.shared.ports.clone();
    let bob = world.bob().await;
    let blobs = Arc::clone(&ports.blobs);
    let config = Config {
        url: None,
        host_name: "x.test".into(),
        message_bytes_max: 1000,
    };
    let small = Jmap::new(ports, config);
    let keep = |account: u64, bytes: usize| {
        let mut writer = blobs.writer(bob.shard());
        writer.push(&vec![0; bytes]).expect("taken");
        let blob = writer.finish().expect("whole");
        world.runtime.advance(Duration::from_secs(1));
        (
            AccountId(account),
            small.keep_upload(AccountId(account), blob),
        )
    };
    let first = keep(7, 1000);
    let fill = |accounts: std::ops::Range<u64>| {
        for account in accounts {
            for _ in 0..UPLOAD_BYTES_SHARE + 2 {
                keep(account, 1000);
            }
            let (_, bytes) = small.shared.uploads.kept();
            assert!(bytes <= UPLOADS_BYTES_SHARE * 1000, "{bytes}");
        }
    };
    // Who keeps little is not pushed out by those who keep much.
    fill(100..140);
    assert!(small.upload(first.0, first.1).is_some());
    fill(140..300);
    assert!(small.upload(first.0, first.1).is_none());
    // What runs for it ends with it.
    let uploads = Arc::downgrade(&small.shared);
    drop(small);
    assert!(uploads.upgrade().is_none());
}

#[tokio::test]
async fn nothing_is_written_that_there_is_no_room_for() {
    let world = World::new().await;
    let (inbox, own) = (world.inbox().await, world.account_id("bob").await);
    let upload = world.upload(vec![b'x'; 900 << 10]).await;
    let smaller = world.upload(vec![b'x'; 300 << 10]).await;
    let id = world
        .append(
            &[],
            &format!("Subject: x\n\n{}", "a line\n".repeat(100_000)),
        )
        .await;
    let email = world
        .call("Email/get", json!({"ids": [id], "properties": ["blobId"]}))
        .await;
    let email = email["list"][0]["blobId"].clone();
    let bob = world.bob().await;
    let limits = QuotaLimits {
        bytes: Some(bob.view().usage().bytes + (500 << 10)),
        emails: None,
    };
    bob.set_quota_limits(limits).await.expect("set");
    let written = world.engine.written();
    let with = |attachments: Value| json!({"create": {"k": {"mailboxIds": {&inbox: true}, "attachments": attachments}}});
    for (attachments, error) in [
        (json!([{"blobId": upload}]), "overQuota"),
        (
            json!([{"blobId": email, "type": "message/rfc822"}]),
            "overQuota",
        ),
        // Nor for what is not there in the end.
        (
            json!([{"blobId": smaller}, {"blobId": "B99"}]),
            "blobNotFound",
        ),
    ] {
        let done = world.call("Email/set", with(attachments)).await;
        assert_eq!(done["notCreated"]["k"]["type"], error, "{done}");
    }
    assert_eq!(world.engine.written(), written);
    // Nor for a NUL at the end, nor for line ends that grow.
    let mut nul = vec![b'x'; 300 << 10];
    nul.push(0);
    let nul = world.upload(nul).await;
    let lines = world.upload("\n".repeat(300 << 10)).await;
    let written = world.engine.written();
    let attached = with(json!([{"blobId": nul, "type": "message/rfc822"}]));
    let done = world.call("Email/set", attached).await;
    assert_eq!(done["notCreated"]["k"]["type"], "invalidEmail", "{done}");
    let import =
        |blob: &Value| json!({"emails": {"k": {"blobId": blob, "mailboxIds": {&inbox: true}}}});
    let done = world.call("Email/import", import(&nul.into())).await;
    let error = &done["notCreated"]["k"]["type"];
    assert_eq!(error, "invalidEmail", "{done}");
    for blob in [&upload.clone().into(), &email, &lines.into()] {
        let done = world.call("Email/import", import(blob)).await;
        assert_eq!(done["notCreated"]["k"]["type"], "overQuota", "{done}");
    }
    let request = World::request("bob", "POST", &format!("/jmap/upload/{own}"))
        .body(Body::new(Endless(Some(vec![0; 600 << 10].into()))))
        .expect("a request");
    let answer = world.http(request, "127.0.0.1:1", false).await;
    assert_eq!(answer.status, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(world.engine.written(), written);
    // What is there already is copied by its name.
    let copied = world
        .call(
            "Blob/copy",
            json!({"fromAccountId": own, "blobIds": [upload, email, upload, "B99"]}),
        )
        .await;
    assert_eq!(
        copied["copied"],
        json!({ &upload: upload, email.as_str().expect("an id"): email })
    );
    assert_eq!(copied["notCopied"]["B99"]["type"], "notFound");
    assert_eq!(world.engine.written(), written);
}

/// One piece, and its size is not told before.
struct Endless(Option<Bytes>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let piece = self.0.take();
        std::task::Poll::Ready(piece.map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

#[tokio::test]
async fn what_takes_long_has_its_turn() {
    let world = World::new().await;
    let bob = world.bob().await;
    let user = |id: u64| crate::auth::User {
        id: AccountId(id),
        address: String::new(),
        domain: "demo.test".into(),
        account: Arc::clone(&bob),
    };
    let (one, other) = (user(1), user(2));
    let mut turns = Vec::new();
    for _ in 0..TURNS_PER_USER_MAX {
        turns.push(world.jmap.turn(&one).await.expect("a turn"));
    }
    let wait = Duration::from_secs(1);
    let next = world.runtime.timeout(wait, world.jmap.turn(&one));
    let (next, ()) = tokio::join!(next, async {
        // Others do not wait for him.
        let _ = world.jmap.turn(&other).await.expect("a turn");
        world.runtime.advance(wait);
    });
    assert!(next.is_err());
    // Work that goes on keeps it.
    let works = turns[0].clone();
    turns.remove(0);
    let next = world.runtime.timeout(wait, world.jmap.turn(&one));
    let (next, ()) = tokio::join!(next, async { world.runtime.advance(wait) });
    assert!(next.is_err());
    drop(works);
    assert!(world.jmap.turn(&one).await.is_ok());
}

#[tokio::test]
async fn a_field_is_written_once_whoever_names_it() {
    let world = World::new().await;
    let inbox = world.inbox().await;
    let values = json!({"t": {"value": "x"}});
    for (more, property) in [
        (
            json!({"subject": "a", "bodyStructure": {"partId": "t", "header:Subject:asText": "b"}}),
            "header:subject",
        ),
        (
            json!({"header:X-A": " 1", "textBody": [{"partId": "t", "header:x-a": " 2"}]}),
            "header:x-a",
        ),
        (
            json!({"bodyStructure": {"type": "multipart/mixed", "subParts": [{"partId": "t"}], "header:Content-Type": " x/y"}}),
            "header:Content-Type",
        ),
        (
            json!({"bodyStructure": {"partId": "t", "header:MIME-Version": " 1.0"}}),
            "header:MIME-Version",
        ),
    ] {
        let object = json!({"mailboxIds": { &inbox: true }, "bodyValues": values});
        let object = with(object, &more);
        let done = world
            .call("Email/set", json!({"create": {"k": object}}))
            .await;
        let error = &done["notCreated"]["k"];
        assert_eq!(error["properties"], json!([property]), "{more} {done}");
    }
    // What the outermost part has is not added.
    let create = json!({"k": {"mailboxIds": { &inbox: true }, "bodyValues": values,
        "bodyStructure": {"partId": "t", "header:Message-ID:asMessageIds": ["a@b.test"], "header:Date:asDate": "2014-10-30T14:12:00+08:00"}}});
    let done = world.call("Email/set", json!({ "create": create })).await;
    let id = &done["created"]["k"]["id"];
    let asked = json!({"ids": [id], "properties": ["header:Message-ID:asMessageIds:all", "header:Date:asDate:all"]});
    let got = world.call("Email/get", asked).await;
    let email = &got["list"][0];
    assert_eq!(
        email["header:Message-ID:asMessageIds:all"],
        json!([["a@b.test"]])
    );
    assert_eq!(
        email["header:Date:asDate:all"],
        json!(["2014-10-30T14:12:00+08:00"])
    );
    // A message inside holds no NUL, as one that is imported does not.
    let nul = world.upload(b"Subject: x\r\n\r\na\0b".to_vec()).await;
    let create = json!({"k": {"mailboxIds": { &inbox: true }, "attachments": [{"blobId": nul, "type": "message/rfc822"}]}});
    let done = world.call("Email/set", json!({ "create": create })).await;
    assert_eq!(done["notCreated"]["k"]["type"], "invalidEmail", "{done}");
}

/// RFC 8621 §4.9
#[tokio::test]
async fn what_is_parsed_has_nothing_of_an_account() {
    let world = World::new().await;
    let blob = world.upload("Subject: x\r\n\r\ny").await;
    let asked = json!({"blobIds": [blob], "properties": ["id", "mailboxIds", "keywords", "receivedAt", "subject"]});
    let parsed = world.call("Email/parse", asked).await;
    let wanted = json!({"id": null, "mailboxIds": null, "keywords": null, "receivedAt": null, "subject": "x"});
    assert_eq!(parsed["parsed"][&blob], wanted);
    let usual = world.call("Email/parse", json!({"blobIds": [blob]})).await;
    let usual = usual["parsed"][&blob].as_object().expect("one");
    assert_eq!(usual.len(), 17);
    assert!(usual.contains_key("messageId") && !usual.contains_key("receivedAt"));
}
