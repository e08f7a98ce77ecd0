//! One server: transactions, TLS, time-outs, lost connections.

use super::*;

async fn deliver_by(script: Script, recipients: &[&str]) -> (Report, Vec<String>) {
    let runtime = Runtime::new();
    let server = Server::start(&runtime, local("127.0.0.1"), vec![script]);
    let ports = ports(&runtime, Names::default(), options());
    let report = deliver_smtp(&ports, &target(&server), &envelope(recipients), &message()).await;
    (report, server.said())
}

#[tokio::test]
async fn a_message_is_delivered_dot_stuffed() {
    let (report, said) = deliver_by(willing(), &["b@x.example"]).await;
    assert_eq!(codes(&report), [250]);
    assert!(report.outcomes[0].is_delivered() && !report.tls);
    assert_eq!(said[4], "Subject: x\r\n\r\n..dot\r\n.");
    assert_eq!(said[5], "QUIT");
}

#[tokio::test]
async fn every_recipient_has_an_outcome_of_its_own() {
    let script = vec![
        HELLO,
        PIPELINING,
        ("MAIL", "250 ok\r\n"),
        ("RCPT TO:<b@x.example>", "550 5.1.1 no such user\r\n"),
        ("RCPT TO:<c@x.example>", "250 ok\r\n"),
        ("RCPT TO:<d@x.example>", "450 4.2.1 later\r\n"),
        ("RCPT TO:<e@x.example>", "550 4.2.2 odd\r\n"),
        ("DATA", "354 go\r\n"),
        TAKEN,
        QUIT,
    ];
    let all = ["b@x.example", "c@x.example", "d@x.example", "e@x.example"];
    let (report, _) = deliver_by(script, &all).await;
    assert_eq!(codes(&report), [550, 250, 450, 550]);
    assert!(matches!(report.outcomes[0], Outcome::Permanent(_)));
    assert!(matches!(report.outcomes[2], Outcome::Temporary(_)));
    assert!(matches!(report.outcomes[3], Outcome::Temporary(_)));
}

#[tokio::test]
async fn rfc_5321_4_5_3_1_10_too_many_recipients_makes_another_transaction() {
    let script = vec![
        HELLO,
        PIPELINING,
        ("MAIL", "250 ok\r\n"),
        ("RCPT TO:<b@x.example>", "250 ok\r\n"),
        ("RCPT TO:<c@x.example>", "452 4.5.3 too many recipients\r\n"),
        ("RCPT TO:<d@x.example>", "452 4.2.2 mailbox full\r\n"),
        ("DATA", "354 go\r\n"),
        TAKEN,
        ("MAIL", "250 ok\r\n"),
        ("RCPT TO:<c@x.example>", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        (".", "250 2.0.0 second\r\n"),
        QUIT,
    ];
    let (report, _) = deliver_by(script, &["b@x.example", "c@x.example", "d@x.example"]).await;
    assert_eq!(codes(&report), [250, 250, 452]);
    assert_eq!(report.outcomes[1].reply().text(), "second");
}

#[tokio::test]
async fn a_failed_handshake_is_followed_by_clear_text_on_a_new_connection() {
    let runtime = Runtime::new();
    let bad_tls = vec![
        HELLO,
        ("EHLO", "250-mx\r\n250 STARTTLS\r\n"),
        ("STARTTLS", "220 go\r\n<tls>"),
    ];
    let server = Server::start(
        &runtime,
        local("127.0.0.1"),
        vec![bad_tls.clone(), willing()],
    );
    let ports = ports(&runtime, Names::default(), options());
    let to = envelope(&["b@x.example"]);
    let report = deliver_smtp(&ports, &target(&server), &to, &message()).await;
    assert_eq!(codes(&report), [250]);
    assert!(report.tls_failed && !report.tls);

    // Never where TLS is demanded.
    let server = Server::start(&runtime, local("127.0.0.1"), vec![bad_tls, willing()]);
    let required = Target {
        tls: TlsPolicy::Required,
        ..target(&server)
    };
    let report = deliver_smtp(&ports, &required, &to, &message()).await;
    assert_eq!(codes(&report), [-451]);
    assert!(!report.tls_failed);
}

#[tokio::test]
async fn opportunistic_tls_takes_any_certificate() {
    let runtime = Runtime::new();
    let script = vec![
        HELLO,
        ("EHLO", "250-mx\r\n250 STARTTLS\r\n"),
        ("STARTTLS", "220 go\r\n<tls>"),
        ("EHLO", "250 mx\r\n"),
        ("MAIL", "250 ok\r\n"),
        ("RCPT", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        TAKEN,
    ];
    let tls = Some(self_signed());
    let server = Server::start_with(&runtime, local("127.0.0.1"), vec![script], tls);
    let ports = ports(&runtime, Names::default(), options());
    let to = envelope(&["b@x.example"]);
    let report = deliver_smtp(&ports, &target(&server), &to, &message()).await;
    assert_eq!(codes(&report), [250]);
    assert!(report.tls && !report.tls_failed);
}

fn self_signed() -> ServerTls {
    self_signed_for("elsewhere.example").0
}

/// A server's TLS that shows this chain.
pub(super) fn serving(
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: &rcgen::KeyPair,
) -> ServerTls {
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
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = runtime::tls::provider()
        .key_provider
        .load_private_key(key)
        .unwrap();
    let certified = rustls::sign::CertifiedKey::new(chain, key);
    ServerTls::new(Arc::new(Always(Arc::new(certified)))).unwrap()
}

/// A server's TLS by a certificate for a name that nobody has signed but itself, and it.
pub(super) fn self_signed_for(
    name: &str,
) -> (ServerTls, rustls::pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    (
        serving(vec![certificate.clone()], &made.signing_key),
        certificate,
    )
}

#[tokio::test]
async fn a_lost_connection_is_temporary_and_keeps_what_is_known() {
    let script = vec![
        HELLO,
        PLAIN,
        ("MAIL", "250 ok\r\n"),
        ("RCPT TO:<b@x.example>", "550 5.1.1 no\r\n"),
        ("RCPT TO:<c@x.example>", ""),
    ];
    let (report, _) = deliver_by(script, &["b@x.example", "c@x.example"]).await;
    assert_eq!(codes(&report), [550, -451]);
}

#[tokio::test]
async fn threat_06_silence_runs_into_the_time_out() {
    let runtime = Runtime::for_tests();
    let server = Server::start(&runtime, local("127.0.0.1"), vec![vec![]]);
    let mut options = options();
    options.timeouts.greeting = Duration::from_millis(30);
    let ports = ports(&runtime, Names::default(), options);
    let to = envelope(&["b@x.example"]);
    let report = deliver_smtp(&ports, &target(&server), &to, &message()).await;
    assert_eq!(codes(&report), [-451]);
    let text = report.outcomes[0].reply().to_line();
    assert!(
        text.contains("4.4.2") && text.contains("the greeting"),
        "{text}"
    );
}

/// A server that says one octet of its greeting now and then has said nothing.
#[tokio::test]
async fn threat_06_a_reply_that_drips_runs_into_the_time_out() {
    let runtime = Runtime::for_tests();
    let listener = Listener::bind(local("127.0.0.1")).unwrap();
    let address = listener.local_addr();
    let clock = runtime.clone();
    let dripping = async move {
        let mut conn = listener.accept().await.unwrap();
        for (sent, octet) in b"220-".iter().chain(&[b'x'; 400]).enumerate() {
            if conn.write_all(&[*octet]).await.is_err() {
                return sent;
            }
            clock.advance(Duration::from_secs(20));
            // The other side has its turn.
            clock.blocking(|| ()).await;
        }
        usize::MAX
    };
    let mut options = options();
    options.timeouts = Timeouts::default();
    let ports = ports(&runtime, Names::default(), options);
    let to = envelope(&["b@x.example"]);
    let target = Target {
        demand: None,
        counted: None,
        other: None,
        host: "mx.example".into(),
        address,
        tls: TlsPolicy::Never,
        credentials: None,
    };
    let text = message();
    let delivering = deliver_smtp(&ports, &target, &to, &text);
    let (sent, report) = tokio::join!(dripping, delivering);
    assert!((14..100).contains(&sent), "{sent}");
    assert_eq!(codes(&report), [-451]);
    let text = report.outcomes[0].reply().to_line();
    assert!(text.contains("4.4.2"), "{text}");
}

/// Whoever sits between takes the offer away, or what follows it: what demands TLS
/// waits, and nothing of it is said in the clear.
#[tokio::test]
async fn threat_03_what_demands_tls_says_nothing_in_the_clear() {
    let stripped = vec![HELLO, PLAIN, QUIT];
    let refused = vec![
        HELLO,
        ("EHLO", "250-mx\r\n250 STARTTLS\r\n"),
        ("STARTTLS", "454 4.7.0 not now\r\n"),
        QUIT,
    ];
    let broken = vec![
        HELLO,
        ("EHLO", "250-mx\r\n250 STARTTLS\r\n"),
        ("STARTTLS", "220 go\r\n<tls>"),
    ];
    let roots = rustls::RootCertStore::empty();
    for policy in [TlsPolicy::Required, TlsPolicy::Verified] {
        for script in [&stripped, &refused, &broken] {
            let runtime = Runtime::new();
            let scripts = vec![script.clone(), willing()];
            let server = Server::start(&runtime, local("127.0.0.1"), scripts);
            let mut ports = ports(&runtime, Names::default(), options());
            ports.verified = Some(ClientTls::verifying(roots.clone()).unwrap());
            let demanding = Target {
                tls: policy,
                ..target(&server)
            };
            let to = envelope(&["b@x.example"]);
            let report = deliver_smtp(&ports, &demanding, &to, &message()).await;
            assert_eq!(codes(&report), [-451], "{policy:?}");
            let said = server.said();
            let words = said.iter().map(|line| line.split(' ').next().unwrap());
            let words: Vec<&str> = words.collect();
            assert!(
                words
                    .iter()
                    .all(|w| ["EHLO", "STARTTLS", "QUIT"].contains(w)),
                "{policy:?}: {said:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_whole_is_never_ended() {
    struct Short;
    impl Message for Short {
        fn size(&self) -> u64 {
            100
        }
        fn read(&self, offset: u64) -> BoxFuture<'_, std::io::Result<Bytes>> {
            let piece = if offset == 0 { "Subject: x\r\n" } else { "" };
            Box::pin(std::future::ready(Ok(Bytes::from(piece))))
        }
    }
    let runtime = Runtime::new();
    let server = Server::start(&runtime, local("127.0.0.1"), vec![willing()]);
    let ports = ports(&runtime, Names::default(), options());
    let report = deliver_smtp(
        &ports,
        &target(&server),
        &envelope(&["b@x.example"]),
        &Short,
    )
    .await;
    assert_eq!(codes(&report), [-451]);
    assert!(server.said().iter().all(|line| !line.ends_with("\r\n.")));
}

#[tokio::test]
async fn lmtp_has_an_answer_for_each_recipient() {
    let runtime = Runtime::new();
    let script = vec![
        HELLO,
        ("LHLO us.example", "250-mx\r\n250 PIPELINING\r\n"),
        ("MAIL", "250 ok\r\n"),
        ("RCPT", "250 ok\r\n"),
        ("RCPT", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        (".", "250 2.0.0 ok\r\n452 4.2.2 full\r\n"),
        QUIT,
    ];
    let server = Server::start(&runtime, local("127.0.0.1"), vec![script]);
    let ports = ports(&runtime, Names::default(), options());
    let to = envelope(&["b@x.example", "c@x.example"]);
    let report = deliver_lmtp(&ports, &target(&server), &to, &message()).await;
    assert_eq!(codes(&report), [250, 452]);
}

#[tokio::test]
async fn smtputf8_is_used_where_letters_need_it_and_not_else() {
    let hello = ("EHLO", "250-mx\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n");
    for (header, declared, mail) in [
        (
            "Subject: é\r\n\r\nx\r\n",
            true,
            "MAIL FROM:<a@us.example> BODY=8BITMIME SMTPUTF8",
        ),
        (
            "Subject: e\r\n\r\né\r\n",
            true,
            "MAIL FROM:<a@us.example> BODY=8BITMIME\r",
        ),
        (
            "Subject: e\r\n\r\nx\r\n",
            true,
            "MAIL FROM:<a@us.example>\r",
        ),
        // Undeclared 8-bit headers go as they came.
        (
            "Subject: é\r\n\r\nx\r\n",
            false,
            "MAIL FROM:<a@us.example> BODY=8BITMIME\r",
        ),
    ] {
        let runtime = Runtime::new();
        let script = vec![
            HELLO,
            hello,
            (mail, "250 ok\r\n"),
            ("RCPT", "250 ok\r\n"),
            ("DATA", "354 go\r\n"),
            TAKEN,
        ];
        let server = Server::start(&runtime, local("127.0.0.1"), vec![script]);
        let ports = ports(&runtime, Names::default(), options());
        let mut to = envelope(&["b@x.example"]);
        to.smtputf8 = declared;
        let message = MessageBytes(Bytes::from(header));
        let report = deliver_smtp(&ports, &target(&server), &to, &message).await;
        assert_eq!(codes(&report), [250], "{header}");
    }
}

#[tokio::test]
async fn a_server_with_dsn_is_told_the_senders_wishes_and_tells_it() {
    for (offer, rcpt, reported_there) in [
        (
            "250-mx\r\n250 DSN\r\n",
            "RCPT TO:<b@x.example> NOTIFY=SUCCESS ORCPT=rfc822;o@us.example",
            true,
        ),
        ("250 mx\r\n", "RCPT TO:<b@x.example>\r", false),
    ] {
        let runtime = Runtime::new();
        let script = vec![
            HELLO,
            ("EHLO", offer),
            ("MAIL FROM:<a@us.example>", "250 ok\r\n"),
            (rcpt, "250 ok\r\n"),
            ("RCPT TO:<c@x.example>", "550 no\r\n"),
            ("DATA", "354 go\r\n"),
            TAKEN,
        ];
        let server = Server::start(&runtime, local("127.0.0.1"), vec![script]);
        let ports = ports(&runtime, Names::default(), options());
        let mut to = envelope(&["b@x.example", "c@x.example"]);
        to.recipients[0].notify = envelope::Notify::On {
            success: true,
            failure: false,
            delay: false,
        };
        to.recipients[0].orcpt = envelope::OriginalRecipient::parse("rfc822;o@us.example");
        let report = deliver_smtp(&ports, &target(&server), &to, &message()).await;
        assert_eq!(codes(&report), [250, 550]);
        assert_eq!(report.reported_there, [reported_there, false]);
    }
}

#[tokio::test]
async fn rfc_9422_limits_are_kept_and_another_session_goes_on() {
    let runtime = Runtime::new();
    let first = vec![
        HELLO,
        (
            "EHLO",
            "250-mx\r\n250-PIPELINING\r\n250 LIMITS MAILMAX=2 RCPTMAX=1\r\n",
        ),
        ("MAIL", "250 ok\r\n"),
        ("RCPT TO:<b@x.example>", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        TAKEN,
        ("MAIL", "250 ok\r\n"),
        ("RCPT TO:<c@x.example>", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        TAKEN,
        QUIT,
    ];
    let second = vec![
        HELLO,
        PIPELINING,
        ("MAIL", "250 ok\r\n"),
        ("RCPT TO:<d@x.example>", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        TAKEN,
        QUIT,
    ];
    let server = Server::start(&runtime, local("127.0.0.1"), vec![first, second]);
    let ports = ports(&runtime, Names::default(), options());
    let to = envelope(&["b@x.example", "c@x.example", "d@x.example"]);
    let report = deliver_smtp(&ports, &target(&server), &to, &message()).await;
    assert_eq!(codes(&report), [250, 250, 250]);
}

#[tokio::test]
async fn rfc_9422_4_3_a_session_names_no_more_domains_than_are_taken() {
    let runtime = Runtime::new();
    let one_domain = |recipients: [&'static str; 2]| {
        vec![
            HELLO,
            (
                "EHLO",
                "250-mx\r\n250-PIPELINING\r\n250 LIMITS RCPTDOMAINMAX=1\r\n",
            ),
            ("MAIL", "250 ok\r\n"),
            (recipients[0], "250 ok\r\n"),
            (recipients[1], "250 ok\r\n"),
            ("DATA", "354 go\r\n"),
            TAKEN,
            QUIT,
        ]
    };
    let scripts = vec![
        one_domain(["RCPT TO:<b@x.example>", "RCPT TO:<d@x.example>"]),
        one_domain(["RCPT TO:<c@y.example>", "RCPT TO:<e@y.example>"]),
    ];
    let server = Server::start(&runtime, local("127.0.0.1"), scripts);
    let ports = ports(&runtime, Names::default(), options());
    let to = envelope(&["b@x.example", "c@y.example", "d@x.example", "e@y.example"]);
    let report = deliver_smtp(&ports, &target(&server), &to, &message()).await;
    assert_eq!(codes(&report), [250, 250, 250, 250]);
}

#[tokio::test]
async fn practice_5_eight_bit_bodies_go_as_they_are_to_hosts_without_8bitmime() {
    let runtime = Runtime::new();
    let server = Server::start(&runtime, local("127.0.0.1"), vec![willing()]);
    let ports = ports(&runtime, Names::default(), options());
    let eight_bit = MessageBytes(Bytes::from("Subject: x\r\n\r\ngr\u{fc}n\r\n"));
    let mut to = envelope(&["b@x.example"]);
    to.body = envelope::BodyType::EightBitMime;
    let report = deliver_smtp(&ports, &target(&server), &to, &eight_bit).await;
    assert_eq!(codes(&report), [250]);
    let said = server.said();
    assert_eq!(said[1], "MAIL FROM:<a@us.example>");
    assert!(said[4].contains("gr\u{fc}n"), "{said:?}");
}

/// The script of a server that takes `count` messages on one connection.
fn taking(count: usize, last: &'static str) -> Script {
    let mut script = vec![HELLO, PLAIN];
    for _ in 0..count {
        script.extend([
            ("MAIL", "250 ok\r\n"),
            ("RCPT", "250 ok\r\n"),
            ("DATA", "354 go\r\n"),
            TAKEN,
        ]);
    }
    script.push(("", last));
    script
}

fn keeping(runtime: &Runtime) -> Ports {
    let mut ports = ports(runtime, Names::default(), options());
    ports.kept = Some(Kept::new(runtime));
    ports
}

async fn one(ports: &Ports, server: &Server) -> Report {
    let to = envelope(&["b@x.example"]);
    deliver_smtp(ports, &target(server), &to, &message()).await
}

#[tokio::test]
async fn the_next_message_goes_over_the_connection_of_the_one_before() {
    let runtime = Runtime::new();
    let scripts = vec![taking(3, "221 bye\r\n")];
    let server = Server::start(&runtime, local("127.0.0.1"), scripts);
    let ports = keeping(&runtime);
    for _ in 0..3 {
        assert_eq!(codes(&one(&ports, &server).await), [250]);
    }
    let said = server.said();
    let count = |what: &str| said.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("EHLO"), count("MAIL"), count("QUIT")), (1, 3, 0));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_another_and_no_message() {
    for goodbye in ["", "421 4.4.2 idle\r\n"] {
        let runtime = Runtime::new();
        let scripts = vec![taking(1, goodbye), taking(1, "221 bye\r\n")];
        let server = Server::start(&runtime, local("127.0.0.1"), scripts);
        let ports = keeping(&runtime);
        for _ in 0..2 {
            assert_eq!(codes(&one(&ports, &server).await), [250], "{goodbye:?}");
        }
        let said = server.said();
        let count = |what: &str| said.iter().filter(|line| line.starts_with(what)).count();
        // Of the second message the first connection heard MAIL, and took nothing.
        assert_eq!((count("EHLO"), count("DATA")), (2, 2), "{said:?}");
    }
}

#[tokio::test]
async fn a_connection_that_took_nothing_does_not_wait() {
    let runtime = Runtime::new();
    let refusing = vec![HELLO, PLAIN, ("MAIL", "550 5.7.1 no\r\n"), QUIT];
    let scripts = vec![refusing, taking(1, "221 bye\r\n")];
    let server = Server::start(&runtime, local("127.0.0.1"), scripts);
    let ports = keeping(&runtime);
    assert_eq!(codes(&one(&ports, &server).await), [550]);
    assert_eq!(codes(&one(&ports, &server).await), [250]);
    let said = server.said();
    assert!(said.iter().any(|line| line == "QUIT"), "{said:?}");
}

#[tokio::test]
async fn rfc_9422_a_session_that_is_limited_is_not_used_beyond_that() {
    for limit in ["LIMITS MAILMAX=1", "LIMITS RCPTDOMAINMAX=1"] {
        let runtime = Runtime::new();
        let hello: &'static str = format!("250-mx\r\n250 {limit}\r\n").leak();
        let script = || {
            let mut script = willing();
            script[1].1 = hello;
            script
        };
        let scripts = vec![script(), script()];
        let server = Server::start(&runtime, local("127.0.0.1"), scripts);
        let ports = keeping(&runtime);
        for _ in 0..2 {
            assert_eq!(codes(&one(&ports, &server).await), [250]);
        }
        let said = server.said();
        let goodbyes = said.iter().filter(|line| *line == "QUIT").count();
        assert_eq!(goodbyes, 2, "{said:?}");
    }
}

#[tokio::test]
async fn nobody_takes_the_connection_of_another_demand_or_login() {
    let runtime = Runtime::new();
    let server = Server::start(&runtime, local("127.0.0.1"), vec![]);
    let key = |change: fn(&mut Target)| {
        let mut target = target(&server);
        change(&mut target);
        let sources = Arc::from([]);
        kept::Key::of(&target, Protocol::Smtp, target.tls, None, &sources)
    };
    let usual = key(|_| {});
    assert_eq!(usual, key(|_| {}));
    let others: [fn(&mut Target); 4] = [
        |target| target.tls = TlsPolicy::Required,
        |target| target.host = "other.example".into(),
        |target| {
            target.demand = Some(Demand {
                certificates: None,
                by: "the TLSA records of mx.example".into(),
            });
        },
        |target| {
            target.credentials = Some(Credentials {
                authorization: None,
                login: "us".into(),
                password: sasl::Secret::from("x"),
            });
        },
    ];
    for other in others {
        assert_ne!(usual, key(other));
    }
}
