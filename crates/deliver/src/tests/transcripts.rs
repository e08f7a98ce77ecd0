//! People who look on.

use super::*;

fn texts(said: &[Said]) -> Vec<String> {
    let mark = |by| match by {
        Speaker::Us => ">",
        Speaker::Them => "<",
        Speaker::Neither => "*",
    };
    said.iter()
        .map(|said| format!("{} {}", mark(said.by), said.text))
        .collect()
}

#[tokio::test]
async fn who_looks_on_sees_all_but_messages_and_passwords() {
    let runtime = Runtime::new();
    let with_login = vec![
        HELLO,
        ("EHLO us.example", "250-mx\r\n250 AUTH PLAIN\r\n"),
        ("AUTH PLAIN AG1lAHNlY3JldA==", "235 2.7.0 ok\r\n"),
        ("MAIL FROM:<a@us.example>", "250 ok\r\n"),
        ("RCPT TO:<b@x.example>", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        TAKEN,
        QUIT,
    ];
    let server = Server::start(&runtime, local("127.0.0.1"), vec![willing(), with_login]);
    let ports = ports(&runtime, Names::default(), options());
    let mut target = target(&server);
    let to = envelope(&["b@x.example"]);
    let names = ["mx.example".to_owned()];
    let read = |after| {
        let said = ports.transcripts.read(&runtime, "x", &names, after);
        said.expect("few look")
    };
    // Nobody looks yet.
    deliver_smtp(&ports, &target, &to, &message()).await;
    assert_eq!(read(0), []);
    target.credentials = Some(Credentials {
        authorization: None,
        login: "me".into(),
        password: "secret".into(),
    });
    let report = deliver_smtp(&ports, &target, &to, &message()).await;
    assert_eq!(codes(&report), [250]);
    let said = read(0);
    let expected = [
        &format!("* connected to {}", server.address)[..],
        "< 220 mx ESMTP",
        "> EHLO us.example",
        "< 250-mx",
        "< 250 AUTH PLAIN",
        "> AUTH PLAIN (not shown)",
        "< 235 2.7.0 ok",
        "> MAIL FROM:<a@us.example> AUTH=<>",
        "< 250 ok",
        "> RCPT TO:<b@x.example>",
        "< 250 ok",
        "> DATA",
        "< 354 go",
        "* the message, 20 octets",
        "< 250 2.0.0 queued",
        "> QUIT",
        "< 221 bye",
    ];
    let texts = texts(&said);
    assert_eq!(texts[..expected.len()], expected);
    assert!(
        said.iter()
            .all(|said| &*said.host == "mx.example" && said.connection == 1)
    );
    let last = said.last().map_or(0, |said| said.number);
    assert_eq!(read(last), []);
}

#[tokio::test]
async fn who_does_not_ask_looks_no_more_and_many_do_not_look() {
    let runtime = Runtime::for_tests();
    let transcripts = Transcripts::default();
    let names = ["example.net".to_owned()];
    let at = local("192.0.2.1");
    let hears = |host| transcripts.listener(&runtime, host, at).is_some();
    assert!(!hears("mx.example.net"));
    for n in 0..limits::LOOKS_MAX {
        assert!(
            transcripts
                .read(&runtime, &n.to_string(), &names, 0)
                .is_some()
        );
    }
    assert!(transcripts.read(&runtime, "one more", &names, 0).is_none());
    assert!(hears("MX.example.net.") && hears("example.net"));
    assert!(!hears("myexample.net") && !hears("mx.example.org"));
    runtime.advance(limits::LOOK_PATIENCE);
    assert!(!hears("mx.example.net"));
    let by_address = ["192.0.2.1".to_owned()];
    assert!(
        transcripts
            .read(&runtime, "one more", &by_address, 0)
            .is_some()
    );
    assert!(hears("whoever.test"));
    // What waits is bounded.
    let listener = transcripts.listener(&runtime, "whoever.test", at);
    let listener = listener.expect("somebody looks");
    for _ in 0..=limits::LOOK_LINES_MAX {
        listener.happened(&"é".repeat(1000));
    }
    let said = transcripts.read(&runtime, "one more", &by_address, 0);
    let said = said.expect("there");
    assert_eq!((said.len(), said[0].number), (limits::LOOK_LINES_MAX, 2));
    assert!(said[0].text.len() <= limits::SAID_BYTES_MAX);
}
