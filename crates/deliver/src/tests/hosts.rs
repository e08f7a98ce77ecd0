//! From a domain to hosts: MX, fall-back, what is refused.

use super::*;

struct World {
    runtime: Runtime,
    port: u16,
    servers: Vec<Server>,
}

impl World {
    /// Servers on 127.0.0.2, 127.0.0.3 … that share a port.
    fn new(scripts: Vec<Vec<Script>>) -> Self {
        let runtime = Runtime::new();
        let mut world = Self {
            runtime,
            port: 0,
            servers: vec![],
        };
        for (index, scripts) in scripts.into_iter().enumerate() {
            let ip = format!("127.0.0.{}", index + 2);
            let address = SocketAddr::new(ip.parse().unwrap(), world.port);
            let server = Server::start(&world.runtime, address, scripts);
            world.port = server.address.port();
            world.servers.push(server);
        }
        world
    }

    async fn deliver(
        &self,
        names: Names,
        domain: &str,
        change: impl FnOnce(&mut Options),
    ) -> Report {
        let mut options = options();
        options.port = self.port;
        change(&mut options);
        let ports = ports(&self.runtime, names, options);
        let domain = Domain::parse_or_literal(domain).unwrap();
        deliver_to_domain(
            &ports,
            &domain,
            TlsPolicy::Opportunistic,
            &envelope(&["b@x.example"]),
            &message(),
        )
        .await
    }
}

fn two_hosts() -> Names {
    Names::default()
        .with_mx("x.example", &[(20, "two.example"), (10, "one.example")])
        .with_address("one.example", "127.0.0.2")
        .with_address("two.example", "127.0.0.3")
}

fn refusing(greeting: &'static str) -> Script {
    vec![("", greeting)]
}

#[tokio::test]
async fn the_best_host_is_tried_first_and_the_next_one_on_failure() {
    let world = World::new(vec![vec![willing()], vec![willing()]]);
    let report = world.deliver(two_hosts(), "x.example", |_| {}).await;
    assert_eq!(
        (codes(&report), report.host.as_deref()),
        (vec![250], Some("one.example"))
    );
    for greeting in ["421 4.3.2 not now\r\n", "554 5.7.1 not you\r\n", ""] {
        let world = World::new(vec![vec![refusing(greeting)], vec![willing()]]);
        let report = world.deliver(two_hosts(), "x.example", |_| {}).await;
        assert_eq!(
            (codes(&report), report.host.as_deref()),
            (vec![250], Some("two.example"))
        );
    }
    // 421 in the middle, before the message was sent.
    let closing = vec![HELLO, PLAIN, ("MAIL", "421 4.3.2 closing\r\n")];
    let world = World::new(vec![vec![closing], vec![willing()]]);
    let report = world.deliver(two_hosts(), "x.example", |_| {}).await;
    assert_eq!(
        (codes(&report), report.host.as_deref()),
        (vec![250], Some("two.example"))
    );
}

#[tokio::test]
async fn a_verdict_about_a_recipient_is_not_shopped_around() {
    for reply in ["550 5.1.1 no\r\n", "451 4.7.1 greylisted\r\n"] {
        let script = vec![HELLO, PLAIN, ("MAIL", "250 ok\r\n"), ("RCPT", reply), QUIT];
        let world = World::new(vec![vec![script], vec![willing()]]);
        let report = world.deliver(two_hosts(), "x.example", |_| {}).await;
        assert_eq!(report.host.as_deref(), Some("one.example"));
        assert_eq!(codes(&report), [reply[..3].parse::<i32>().unwrap()]);
    }
}

#[tokio::test]
async fn a_message_that_may_have_been_taken_is_not_sent_to_another_host() {
    let mut script = willing();
    script.truncate(5);
    script.push((".", ""));
    let world = World::new(vec![vec![script], vec![willing()]]);
    let report = world.deliver(two_hosts(), "x.example", |_| {}).await;
    assert_eq!(
        (codes(&report), report.host.as_deref()),
        (vec![-451], Some("one.example"))
    );
    assert!(world.servers[1].said().is_empty());
}

#[tokio::test]
async fn the_worst_failure_is_the_temporary_one() {
    let world = World::new(vec![
        vec![refusing("421 4.3.2 not now\r\n")],
        vec![refusing("554 5.7.1 not you\r\n")],
    ]);
    let report = world.deliver(two_hosts(), "x.example", |_| {}).await;
    assert_eq!(codes(&report), [421]);
}

#[tokio::test]
async fn smtputf8_missing_tries_the_other_host_then_gives_up() {
    let world = World::new(vec![
        vec![vec![HELLO, PLAIN, QUIT]],
        vec![vec![HELLO, PLAIN, QUIT]],
    ]);
    let mut options = options();
    options.port = world.port;
    let ports = ports(&world.runtime, two_hosts(), options);
    let domain = Domain::parse("x.example").unwrap();
    let to = envelope(&["é@x.example"]);
    let report =
        deliver_to_domain(&ports, &domain, TlsPolicy::Opportunistic, &to, &message()).await;
    assert!(
        report.outcomes[0]
            .reply()
            .to_line()
            .starts_with("550 5.6.7")
    );
    assert_eq!(report.host.as_deref(), Some("two.example"));
    assert!(matches!(report.outcomes[0], Outcome::Permanent(_)));
}

#[tokio::test]
async fn what_dns_says() {
    let world = World::new(vec![vec![willing()]]);
    let mut names = Names::default()
        .with_address("a-only.example", "127.0.0.2")
        .with_mx("nowhere.example", &[(0, "missing.example")]);
    names.mx.insert("null.example", MxAnswer::NullMx);
    let mut options = options();
    options.port = world.port;
    let ports = ports(&world.runtime, names, options);
    for (domain, want) in [
        ("null.example", "556 5.1.10"),
        ("gone.example", "550 5.1.2"),
        ("servfail.example", "451 4.4.3"),
        ("nowhere.example", "550 5.4.4"),
        ("a-only.example", "250"),
    ] {
        let parsed = Domain::parse(domain).unwrap();
        let report = deliver_to_domain(
            &ports,
            &parsed,
            TlsPolicy::Opportunistic,
            &envelope(&["b@x.example"]),
            &message(),
        )
        .await;
        let line = report.outcomes[0].reply().to_line();
        assert!(line.starts_with(want), "{domain}: {line}");
    }
}

#[tokio::test]
async fn threat_12_never_to_ourselves_by_address_and_port() {
    let world = World::new(vec![vec![willing()], vec![willing()]]);
    let own = world.servers[0].address;
    // The best MX are we: nobody behind us is tried.
    let report = world
        .deliver(two_hosts(), "x.example", |options| {
            options.own_listeners.push(own);
        })
        .await;
    assert!(
        report.outcomes[0]
            .reply()
            .to_line()
            .starts_with("550 5.4.6")
    );
    // Another port of the same address is another server.
    let other = SocketAddr::new(own.ip(), own.port() ^ 1);
    let report = world
        .deliver(two_hosts(), "x.example", |options| {
            options.own_listeners.push(other);
        })
        .await;
    assert_eq!(codes(&report), [250]);
    // Listening everywhere is listening there.
    let any = SocketAddr::new("0.0.0.0".parse().unwrap(), own.port());
    let report = world
        .deliver(two_hosts(), "x.example", |options| {
            options.own_listeners.push(any);
        })
        .await;
    assert!(
        report.outcomes[0]
            .reply()
            .to_line()
            .starts_with("550 5.4.6")
    );
    assert!(world.servers[1].said().is_empty());
}

#[tokio::test]
async fn we_as_a_worse_mx_are_left_out() {
    let world = World::new(vec![vec![refusing("421 4.3.2 no\r\n")], vec![willing()]]);
    let own = world.servers[1].address;
    let report = world
        .deliver(two_hosts(), "x.example", |options| {
            options.own_listeners.push(own);
        })
        .await;
    assert_eq!(codes(&report), [421]);
}

#[tokio::test]
async fn threat_12_private_destinations_are_refused_unless_allowed() {
    let world = World::new(vec![vec![willing()]]);
    for domain in ["x.example", "[127.0.0.2]"] {
        let report = world
            .deliver(two_hosts(), domain, |options| {
                options.allow_networks.clear();
            })
            .await;
        let line = report.outcomes[0].reply().to_line();
        assert!(line.starts_with("550 5.4.4"), "{line}");
        assert!(world.servers[0].said().is_empty());
    }
    let report = world.deliver(two_hosts(), "[127.0.0.2]", |_| {}).await;
    assert_eq!(codes(&report), [250]);
}

#[test]
fn which_addresses_are_public() {
    let options = Options::new("us.example");
    let check =
        |ip: &str| destination::check_public(&options, SocketAddr::new(ip.parse().unwrap(), 25));
    for ip in [
        "8.8.8.8",
        "100.128.0.1",
        "172.32.0.1",
        "2a00:1450::1",
        "64:ff9b::8.8.8.8",
        "::ffff:8.8.8.8",
    ] {
        assert_eq!(check(ip), Ok(()), "{ip}");
    }
    for ip in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::",
        "::127.0.0.1",
    ] {
        assert_eq!(check(ip), Err(Refusal::Private), "{ip}");
    }
}

#[tokio::test]
async fn a_named_host_may_be_private_but_not_ourselves() {
    let world = World::new(vec![vec![willing()]]);
    let server = &world.servers[0];
    let to = envelope(&["b@x.example"]);
    for (own, want) in [(false, vec![250]), (true, vec![-451])] {
        let mut options = options();
        options.allow_networks.clear();
        if own {
            options.own_listeners.push(server.address);
        }
        let ports = ports(&world.runtime, Names::default(), options);
        let route = Route {
            host: "127.0.0.2".into(),
            port: world.port,
            protocol: Protocol::Smtp,
            tls: TlsPolicy::Opportunistic,
            credentials: None,
        };
        let report = deliver_to_hosts(&ports, &[route], Patience::Usual, &to, &message()).await;
        assert_eq!(codes(&report), want);
    }
}

#[tokio::test]
async fn named_hosts_are_tried_in_their_order() {
    let to = envelope(&["b@x.example"]);
    let unknown = vec![
        HELLO,
        PLAIN,
        ("MAIL", "250 ok\r\n"),
        ("RCPT", "451 4.7.1 later\r\n"),
        QUIT,
    ];
    let mut maybe = willing();
    maybe.truncate(5);
    maybe.push((".", ""));
    for (first, want, host) in [
        (willing(), 250, "127.0.0.2"),
        (refusing("421 4.3.2 not now\r\n"), 250, "127.0.0.3"),
        (refusing("554 5.7.1 not you\r\n"), 250, "127.0.0.3"),
        (refusing(""), 250, "127.0.0.3"),
        // What it says of the recipient counts, and what it may have is not sent again.
        (unknown, 451, "127.0.0.2"),
        (maybe, -451, "127.0.0.2"),
    ] {
        let world = World::new(vec![vec![first], vec![willing()]]);
        let ports = ports(&world.runtime, Names::default(), options());
        let route = |host: &str| Route {
            host: host.into(),
            port: world.port,
            protocol: Protocol::Smtp,
            tls: TlsPolicy::Never,
            credentials: None,
        };
        // Nobody listens at the very first, and the second is not there at all.
        let routes = ["127.0.0.9", "gone.example", "127.0.0.2", "127.0.0.3"].map(route);
        let report = deliver_to_hosts(&ports, &routes, Patience::Usual, &to, &message()).await;
        assert_eq!(codes(&report), [want]);
        assert_eq!(report.host.as_deref(), Some(host));
    }
}

/// RFC 5321 §5.1: equal ones share the load.
#[test]
fn equal_preferences_come_in_any_order_and_worse_ones_behind() {
    let order = |seed: u64| {
        let mx = |(preference, host): (u16, &str)| Mx {
            preference,
            host: host.to_owned(),
        };
        let records = [(20, "last"), (10, "a"), (10, "b"), (10, "c"), (5, "first")];
        let records = records.map(mx).to_vec();
        let sorted = transport::sorted(&Runtime::seeded(seed), records);
        let hosts: Vec<String> = sorted.into_iter().map(|mx| mx.host).collect();
        hosts.join(" ")
    };
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let hosts = order(seed);
        assert!(
            hosts.starts_with("first ") && hosts.ends_with(" last"),
            "{hosts}"
        );
        assert_eq!(hosts, order(seed), "chance comes from the runtime alone");
        seen.insert(hosts);
    }
    assert_eq!(seen.len(), 6, "every order of three: {seen:?}");
}

#[test]
fn of_many_records_the_best_are_looked_at() {
    let records = (0..5_000u16).rev().map(|preference| Mx {
        preference,
        host: format!("mx{preference}"),
    });
    let sorted = transport::sorted(&Runtime::seeded(1), records.collect());
    assert_eq!(sorted.len(), limits::MX_MAX);
    assert_eq!(sorted[0].host, "mx0");
}

#[tokio::test]
async fn rfc_7504_a_host_that_takes_no_mail_is_passed_over() {
    let no_mail = || vec![refusing("521 one.example takes no mail\r\n")];
    let world = World::new(vec![no_mail(), vec![willing()]]);
    let report = world.deliver(two_hosts(), "x.example", |_| {}).await;
    assert_eq!(codes(&report), [250]);
    assert_eq!(report.host.as_deref(), Some("two.example"));

    // When nobody takes any, it is final.
    let world = World::new(vec![no_mail(), no_mail()]);
    let report = world.deliver(two_hosts(), "x.example", |_| {}).await;
    assert_eq!(codes(&report), [521]);
    assert!(matches!(report.outcomes[0], Outcome::Permanent(_)));
}

#[tokio::test]
async fn rfc_7504_3_a_relay_that_says_556_is_believed() {
    let script = vec![
        HELLO,
        PLAIN,
        ("MAIL", "250 ok\r\n"),
        ("RCPT", "556 x.example takes no mail\r\n"),
        QUIT,
    ];
    let world = World::new(vec![vec![script], vec![willing()]]);
    let report = world.deliver(two_hosts(), "x.example", |_| {}).await;
    assert_eq!(codes(&report), [556]);
    assert!(matches!(report.outcomes[0], Outcome::Permanent(_)));
    assert!(world.servers[1].said().is_empty());
}

mod primary {
    //! Backup MX: RFC 5321 §5.1.

    use super::*;

    async fn deliver(world: &World, names: Names) -> Report {
        let mut options = options();
        options.port = world.port;
        // Relay domains may be private.
        options.allow_networks.clear();
        let ports = ports(&world.runtime, names, options);
        let domain = Domain::parse("x.example").unwrap();
        let envelope = envelope(&["b@x.example"]);
        let tls = TlsPolicy::Opportunistic;
        deliver_to_primary(&ports, &domain, tls, &envelope, &message()).await
    }

    #[tokio::test]
    async fn only_hosts_better_than_ourselves_are_tried() {
        let world = World::new(vec![vec![willing()], vec![willing()], vec![willing()]]);
        let names = Names::default()
            .with_mx(
                "x.example",
                &[
                    (5, "gone.example"),
                    (10, "one.example"),
                    (20, "Us.Example."),
                ],
            )
            .with_address("one.example", "127.0.0.2")
            .with_address("Us.Example.", "127.0.0.3");
        let report = deliver(&world, names).await;
        assert_eq!(
            (codes(&report), report.host.as_deref()),
            (vec![250], Some("one.example"))
        );

        // As good as ourselves, or worse: each would hand it to us again.
        let names = Names::default()
            .with_mx(
                "x.example",
                &[(20, "one.example"), (20, "us.example"), (30, "two.example")],
            )
            .with_address("one.example", "127.0.0.2")
            .with_address("us.example", "127.0.0.4")
            .with_address("two.example", "127.0.0.3");
        let report = deliver(&world, names).await;
        assert_eq!(codes(&report), [-451]);
        assert!(matches!(report.outcomes[0], Outcome::Temporary(_)));
        assert_eq!(world.servers[0].said().len(), 6, "the first time alone");
        assert!(world.servers[1].said().is_empty());
    }

    #[tokio::test]
    async fn nothing_but_the_primarys_word_about_the_message_is_final() {
        let world = World::new(vec![vec![refusing("554 5.7.1 not you\r\n")]]);
        let null = |mut names: Names| {
            names.mx.insert("x.example", MxAnswer::NullMx);
            names
        };
        let refusing = Names::default()
            .with_mx("x.example", &[(10, "one.example")])
            .with_address("one.example", "127.0.0.2");
        let nowhere = Names::default().with_mx("x.example", &[(10, "gone.example")]);
        for (names, code) in [
            (Names::default(), -451),
            (null(Names::default()), -451),
            (nowhere, -451),
            (refusing, 554),
        ] {
            let report = deliver(&world, names).await;
            let outcome = &report.outcomes[0];
            assert!(matches!(outcome, Outcome::Temporary(_)), "{outcome:?}");
            assert_eq!(codes(&report), [code]);
        }
    }

    #[tokio::test]
    async fn its_word_about_a_recipient_is_final() {
        let script = vec![
            HELLO,
            PLAIN,
            ("MAIL", "250 ok\r\n"),
            ("RCPT", "550 5.1.1 no such user\r\n"),
            QUIT,
        ];
        let world = World::new(vec![vec![script]]);
        let names = Names::default()
            .with_mx("x.example", &[(10, "one.example")])
            .with_address("one.example", "127.0.0.2");
        let report = deliver(&world, names).await;
        assert!(matches!(report.outcomes[0], Outcome::Permanent(_)));
    }
}

#[tokio::test]
async fn a_preview_shows_the_hosts_in_their_order_and_why_some_are_not_used() {
    let runtime = Runtime::new();
    let names = Names::default()
        .with_mx(
            "x.example",
            &[
                (20, "us.example"),
                (10, "one.example"),
                (30, "two.example"),
                (10, "gone.example"),
            ],
        )
        .with_address("one.example", "10.0.0.1")
        .with_address("us.example", "198.51.100.9")
        .with_address("two.example", "192.0.2.1");
    let ports = ports(&runtime, names, options());
    let domain = Domain::parse("x.example").unwrap();
    let shown = |hops: Vec<Hop>| -> Vec<String> {
        let line = |hop: Hop| {
            let unused = hop.unused.unwrap_or_default();
            let notes = hop.addresses.into_iter().filter_map(|(_, why)| why);
            let notes: Vec<String> = notes
                .chain([unused])
                .filter(|note| !note.is_empty())
                .collect();
            format!("{} {} {}", hop.preference, hop.host, notes.join("; "))
        };
        hops.into_iter().map(line).collect()
    };
    let hops = preview(&ports, &domain, Patience::Primary).await.unwrap();
    assert_eq!(
        shown(hops),
        [
            "10 gone.example it has no address",
            "10 one.example ",
            "20 us.example it is this server, or as good as it in the list, or worse",
            "30 two.example it is this server, or as good as it in the list, or worse",
        ]
    );
    let hops = preview(&ports, &domain, Patience::Usual).await.unwrap();
    assert_eq!(shown(hops)[1], "10 one.example its address is private");
    let nowhere = Domain::parse("nowhere.example").unwrap();
    let outcome = preview(&ports, &nowhere, Patience::Usual)
        .await
        .unwrap_err();
    assert_eq!(outcome.reply().code, 550);
}

#[tokio::test]
async fn a_primary_is_asked_by_rcpt_without_a_message() {
    let ask = |reply: &'static str| {
        vec![
            HELLO,
            PIPELINING,
            ("MAIL FROM:<>", "250 ok\r\n"),
            ("RCPT TO:<b@x.example>", reply),
            QUIT,
        ]
    };
    let names = || {
        Names::default()
            .with_mx("x.example", &[(10, "one.example"), (20, "us.example")])
            .with_address("one.example", "127.0.0.2")
            .with_address("us.example", "127.0.0.3")
    };
    let address = Address::parse("b@x.example").unwrap();
    let known = async |script: Script| {
        let world = World::new(vec![vec![script]]);
        let mut options = options();
        options.port = world.port;
        let ports = ports(&world.runtime, names(), options);
        ask_primary(&ports, None, &address).await
    };
    assert_eq!(known(ask("250 2.1.5 ok\r\n")).await, Known::Yes);
    for no in ["550 5.1.1 who?\r\n", "550 who?\r\n", "550 5.2.1 off\r\n"] {
        assert!(matches!(known(ask(no)).await, Known::No(_)), "{no}");
    }
    // What is about us, or passes, says nothing about the recipient.
    for unsure in [
        "550 5.7.1 not you\r\n",
        "451 4.7.1 greylisted\r\n",
        "554 5.3.2 no\r\n",
        "",
    ] {
        assert!(
            matches!(known(ask(unsure)).await, Known::Unsure(_)),
            "{unsure}"
        );
    }
    let greeting = known(vec![("", "554 5.7.1 not you\r\n")]).await;
    assert!(matches!(greeting, Known::Unsure(_)));
    let sender = vec![
        HELLO,
        PLAIN,
        ("MAIL FROM:<>", "550 5.1.1 no null sender\r\n"),
        QUIT,
    ];
    assert!(matches!(known(sender).await, Known::Unsure(_)));
}

/// A domain with one host of both families, each with its script; the codes in the end, and
/// whether IPv4 was asked.
async fn by_both_families(over_v6: Script, over_v4: Option<Script>) -> (Vec<i32>, bool) {
    let runtime = Runtime::new();
    let v6 = Server::start(&runtime, local("::1"), vec![over_v6]);
    let mut names = Names::default()
        .with_mx("x.example", &[(10, "mx.example")])
        .with_address("mx.example", "::1");
    let mut options = options();
    options.port = v6.address.port();
    options
        .allow_networks
        .push(Network::parse("::1/128").unwrap());
    let mut v4 = None;
    if let Some(script) = over_v4 {
        names = names.with_address("mx.example", "127.0.0.1");
        let address = SocketAddr::new("127.0.0.1".parse().unwrap(), options.port);
        v4 = Some(Server::start(&runtime, address, vec![script]));
    }
    let ports = ports(&runtime, names, options);
    let domain = Domain::parse("x.example").unwrap();
    let tls = TlsPolicy::Opportunistic;
    let to = envelope(&["b@x.example"]);
    let report = deliver_to_domain(&ports, &domain, tls, &to, &message()).await;
    let asked = v4.is_some_and(|server| !server.said().is_empty());
    (codes(&report), asked)
}

fn refusing_at(at: &'static str, reply: &'static str) -> Script {
    let mut script = willing();
    let place = script
        .iter()
        .position(|(said, _)| said.starts_with(at))
        .unwrap();
    script[place].1 = reply;
    script.truncate(place + 1);
    script.push(QUIT);
    script
}

#[tokio::test]
async fn practice_5_a_refusal_of_us_over_ipv6_counts_only_when_ipv4_has_been_asked() {
    let not_us = "550 5.7.1 your address has no good name\r\n";
    for at in ["MAIL", "RCPT", "."] {
        let taken = by_both_families(refusing_at(at, not_us), Some(willing())).await;
        assert_eq!(taken, (vec![250], true), "{at}");
    }
    let refused = refusing_at("MAIL", "554 5.7.1 nor here\r\n");
    let neither = by_both_families(refusing_at("MAIL", not_us), Some(refused)).await;
    assert_eq!(neither, (vec![554], true));
    // There is nobody else to ask.
    let alone = by_both_families(refusing_at("MAIL", not_us), None).await;
    assert_eq!(alone, (vec![550], false));
    // What is about the recipient is the same over any family.
    let unknown = refusing_at("RCPT", "550 5.1.1 nobody\r\n");
    let unknown = by_both_families(unknown, Some(willing())).await;
    assert_eq!(unknown, (vec![550], false));
}
