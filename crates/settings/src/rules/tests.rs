//! The rules file's parser and its mistakes.

use std::time::Duration;

use envelope::{Address, Domain, Priority, Reply, ReversePath};

use super::{
    Action, AddressPattern, Gateway, NamePattern, OutcomeEvent, Question, Rules, Transport,
    TransportKind, TransportTls, UserPattern, Way,
};
use crate::Network;

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain")
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = Rules::parse(text).expect_err("it has mistakes");
    mistakes.0.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_has_no_rules() {
    assert_eq!(Rules::parse("# nothing\n"), Ok(Rules::default()));
}

#[test]
fn the_example_in_the_docs_is_a_good_file() {
    let page = include_str!("../../../../docs/policy.md");
    let mut blocks = page.split("```toml\n").skip(1);
    let mut count = 0;
    for block in &mut blocks {
        let (text, _) = block.split_once("```").expect("the block has an end");
        let parsed = Rules::parse(text);
        assert!(parsed.is_ok(), "{text}\n{parsed:?}");
        count += 1;
    }
    assert!(count >= 3);
}

#[test]
fn relay_domains_are_read_with_their_defaults() {
    let text = "[relay_domain.\"Example.NET\"]\n\
                [relay_domain.\"b\u{fc}cher.example\"]\nlifetime = \"2w\"\netrn = [\"192.0.2.7\"]\n";
    let rules = Rules::parse(text).expect("good rules");
    let usual = &rules.relay_domains[&domain("example.net")];
    assert_eq!(usual.lifetime, Duration::from_secs(28 * 86_400));
    assert!(usual.etrn.is_empty() && usual.via.is_empty());
    let other = &rules.relay_domains[&domain("xn--bcher-kva.example")];
    assert_eq!(other.lifetime, Duration::from_secs(14 * 86_400));
    assert_eq!(
        other.etrn,
        [Network::parse("192.0.2.7").expect("an address")]
    );
}

#[test]
fn rules_are_read_in_their_order_with_everything_that_they_say() {
    let text = r#"
        [transport.partner]
        host = "relay.partner.example:465"
        user = "us"
        password_file = "partner"
        tls = "implicit"
        [transport.dovecot]
        kind = "lmtp"
        host = "127.0.0.1:24"

        [[rule]]
        name = "one"
        when = { ip = "192.0.2.0/24", helo = [".example.org", "[192.0.2.1]"], sender = ["<>", "@.example.org"] }
        refuse = "no mail from there"
        [[rule]]
        name = "two"
        when.user = ["ann@example.org", "@other.example"]
        when.larger_than = "10 MiB"
        when.more_recipients_than = 50
        defer = "452 4.5.3 too much at once"
        [[rule]]
        name = "three"
        when = { domain = "partner.example", user = true }
        via = "partner"
        [[rule]]
        name = "four"
        rewrite_recipient = "*@new.example"
        [[rule]]
        name = "five"
        add_header = ["X-One:1", "X-Two: 2 "]
        [[rule]]
        name = "six"
        remove_header = "X-Mailer"
        [[rule]]
        name = "seven"
        bcc = ["journal@example.org"]
        [[rule]]
        name = "eight"
        when.user = false
        hold = "look at it"
        [[rule]]
        name = "nine"
        priority = -3
    "#;
    let rules = Rules::parse(text).expect("good rules");
    let partner = rules.transports["partner"].server().expect("a server");
    assert_eq!(
        (partner.host.as_str(), partner.port),
        ("relay.partner.example", 465)
    );
    assert_eq!(partner.tls, Some(TransportTls::Implicit));
    assert_eq!(
        rules.transports["dovecot"]
            .server()
            .map(|server| server.kind),
        Some(TransportKind::Lmtp)
    );
    let [one, two, three, four, five, six, seven, eight, nine] = &rules.rules[..] else {
        panic!("nine rules: {:?}", rules.rules);
    };
    assert_eq!(
        Some(&nine.then),
        Priority::new(-3).map(Action::Priority).as_ref()
    );
    assert_eq!(
        one.then,
        Action::Refuse(Reply::enhanced(550, (5, 7, 1), "no mail from there"))
    );
    let below = NamePattern::Below(".example.org".to_owned());
    let literal = NamePattern::Exact("[192.0.2.1]".to_owned());
    assert_eq!(one.when.helo, [below.clone(), literal]);
    assert_eq!(
        one.when.sender,
        [AddressPattern::Null, AddressPattern::At(below)]
    );
    assert_eq!(
        two.then,
        Action::Defer(Reply::enhanced(452, (4, 5, 3), "too much at once"))
    );
    assert_eq!(
        (two.when.larger_than, two.when.more_recipients_than),
        (Some(10 << 20), Some(50))
    );
    assert_eq!(
        three.then,
        Action::Via(Way::Transports(vec!["partner".to_owned()]))
    );
    assert_eq!(three.when.user, Some(UserPattern::Anybody));
    let Action::RewriteRecipient(rewrite) = &four.then else {
        panic!("a rewriting: {four:?}");
    };
    assert_eq!(
        rewrite.apply(&address("\"a b\"@old.example")),
        Some(address("\"a b\"@new.example"))
    );
    assert_eq!(
        five.then,
        Action::AddHeader(vec!["X-One: 1".to_owned(), "X-Two: 2".to_owned()])
    );
    assert_eq!(six.then, Action::RemoveHeader(vec!["x-mailer".to_owned()]));
    assert_eq!(
        seven.then,
        Action::Bcc(vec![address("journal@example.org")])
    );
    assert_eq!(eight.then, Action::Hold("look at it".to_owned()));
    let verdicts: Vec<&str> = rules
        .that_answer(Question::Verdict)
        .map(|rule| rule.name.as_str())
        .collect();
    assert_eq!(verdicts, ["one", "two", "eight"]);
}

#[test]
fn patterns_fit_what_they_name_and_nothing_else() {
    let text = "[[rule]]\nname = \"x\"\nallow = true\n[rule.when]\n\
                sender = [\"Ann@Example.ORG\", \"@b\u{fc}cher.example\", \"@.below.example\", \"<>\"]\n";
    let rules = Rules::parse(text).expect("good rules");
    let fits = |sender: &str| {
        let path = ReversePath::parse(sender).expect("a path");
        rules.rules[0]
            .when
            .sender
            .iter()
            .any(|pattern| pattern.fits_path(&path))
    };
    for sender in [
        "ANN@example.org",
        "x@xn--bcher-kva.example",
        "x@a.below.example",
        "",
    ] {
        assert!(fits(sender), "{sender}");
    }
    for sender in [
        "bob@example.org",
        "ann@a.example.org",
        "x@below.example",
        "x@xbelow.example",
    ] {
        assert!(!fits(sender), "{sender}");
    }
}

#[test]
fn every_mistake_is_told_with_its_line_and_its_place() {
    let text = "[relay_domian.\"a.example\"]\n\
                [relay_domain.\"a..example\"]\n\
                [relay_domain.\"b.example\"]\nlifetme = \"4w\"\netrn = \"here\"\nvia = \"nowhere\"\n\
                [relay_domain.\"c.example\"]\nlifetime = \"5m\"\n\
                [relay_domain.\"C.example\"]\n\
                [transport.mx]\nhost = \"a.example:25\"\n\
                [transport.x]\nkind = \"lmtp\"\nuser = \"me\"\n";
    assert_eq!(
        mistakes(text),
        [
            "line 1: relay_domian: there is no such table; there are [[rule]], [[site]], [[webhook]], [[subscription]], [transport.name] and [relay_domain.\"example.net\"]",
            "line 2: relay domain \"a..example\": the domain has an empty label; a domain in quotes, such as [relay_domain.\"example.net\"]",
            "line 4: relay domain \"b.example\", lifetme: there is no such key; did you mean lifetime?",
            "line 5: relay domain \"b.example\", etrn: \"here\" is no network; expected an address or a network such as \"192.0.2.0/24\", or a list",
            "line 6: relay domain \"b.example\", via: there is no [transport.nowhere] in this file; \"mx\", or the name of a transport",
            "line 8: relay domain \"c.example\", lifetime: it is not between an hour and a year; such as \"4w\"",
            "line 9: relay domain \"C.example\": the same domain stands in another table",
            "line 10: transport \"mx\": the house has a way of that name; call it otherwise",
            "line 13: transport \"x\": its host is missing; such as host = \"relay.example.net:587\"",
            "line 14: transport \"x\", user: user and password_file need each other; set both, or neither",
            "line 14: transport \"x\", user: there is no login over LMTP; leave it out, or say kind = \"smtp\"",
        ]
    );
}

#[test]
fn mistakes_in_rules_name_the_rule() {
    let rule = |body: &str| format!("[[rule]]\nname = \"a rule\"\n{body}\n");
    for (text, want) in [
        (
            "[[rule]]\nallow = true\n".to_owned(),
            "line 2: rule 1: it has no name; name = \"what it is for\"",
        ),
        (
            rule(""),
            "line 2: rule 1 \"a rule\", name: it has no action; say one of allow, refuse, defer, hold, via, rewrite_sender, rewrite_recipient, add_header, remove_header, bcc or priority",
        ),
        (
            rule("allow = true\nhold = \"x\""),
            "line 2: rule 1 \"a rule\", name: it has more than one action; say one of allow, refuse, defer, hold, via, rewrite_sender, rewrite_recipient, add_header, remove_header, bcc or priority",
        ),
        (
            rule("allow = false"),
            "line 3: rule 1 \"a rule\", allow: it allows or says nothing; say refuse or defer to keep it out",
        ),
        (
            rule("refuse = \"450 4.7.1 later\""),
            "line 3: rule 1 \"a rule\", refuse: 450 is no code of 5yz; expected a text, or with codes before it: \"550 5.7.1 not from there\"",
        ),
        (
            rule("defer = \"451 5.7.1 later\""),
            "line 3: rule 1 \"a rule\", defer: 5.7.1 does not begin with 4; expected a text, or with codes before it: \"451 4.7.1 not now\"",
        ),
        (
            rule("refuse = \"no\"\nwhen = { ip = [] }"),
            "line 4: rule 1 \"a rule\", when, ip: it is empty; expected an address or a network such as \"192.0.2.0/24\", or a list",
        ),
        (
            rule("refuse = \"no\"\nwhen = { senders = \"a@b.example\" }"),
            "line 4: rule 1 \"a rule\", when, senders: there is no such key; did you mean sender?",
        ),
        (
            rule("refuse = \"no\"\nwhen = { sender = \"b.example\" }"),
            "line 4: rule 1 \"a rule\", when, sender: \"b.example\": the address has no @; expected an address such as \"ann@example.org\", \"@example.org\", \"@.example.org\" or \"<>\", or a list",
        ),
        (
            rule("via = \"mx\"\nwhen.helo = \"a.example\""),
            "line 3: rule 1 \"a rule\", via: a way is not chosen by helo; by domain, sender, user or ip; a single recipient is led away by rewrite_recipient",
        ),
        (
            rule("via = [\"a\", \"mx\"]"),
            "line 3: rule 1 \"a rule\", via: \"mx\" is a way of its own, and in no list; expected \"mx\", the name of a [transport] in this file, or a list of such names",
        ),
        (
            rule("via = [\"a\", \"a\"]"),
            "line 3: rule 1 \"a rule\", via: \"a\" is named twice; expected \"mx\", the name of a [transport] in this file, or a list of such names",
        ),
        (
            rule("via = []"),
            "line 3: rule 1 \"a rule\", via: it is empty; expected \"mx\", the name of a [transport] in this file, or a list of such names",
        ),
        (
            rule("via = \"nowhere\""),
            "line 3: rule \"a rule\", via: there is no [transport.nowhere] in this file; \"mx\", or the name of a transport",
        ),
        (
            rule("add_header = \"Received: x\""),
            "line 3: rule 1 \"a rule\", add_header: Received is how loops are found, and stays as it is; expected a header field such as \"X-Archived: yes\", or a list",
        ),
        (
            rule("add_header = \"X: a\\r\\nBcc: b\""),
            "line 3: rule 1 \"a rule\", add_header: X: its value is not 900 ASCII characters at most; expected a header field such as \"X-Archived: yes\", or a list",
        ),
        (
            rule("refuse = \"a\\r\\n250 ok\""),
            "line 3: rule 1 \"a rule\", refuse: its text is not 400 ASCII characters at most; expected a text, or with codes before it: \"550 5.7.1 not from there\"",
        ),
        (
            rule("hold = \"x\"") + &rule("hold = \"y\""),
            "line 5: rule 2: another rule is called \"a rule\" too; the log and `posthouse route` tell rules by their names",
        ),
        (
            "rule = 5\n".to_owned(),
            "line 1: rule: this is no list of tables; each rule begins with [[rule]]",
        ),
    ] {
        assert_eq!(mistakes(&text), [want], "{text}");
    }
}

#[test]
fn a_transport_may_be_no_more_than_addresses_to_send_from() {
    let text = "[transport.bulk]\nkind = \"mx\"\nsource_addresses = [\"192.0.2.8\", \"2001:db8::8\"]\n\
                [[site]]\ndetour = \"bulk\"\ntls = \"required\"\n\
                [[rule]]\nname = \"news\"\nwhen = { sender = \"@news.test\" }\nvia = \"bulk\"\n";
    let rules = Rules::parse(text).expect("good rules");
    let Transport::Direct(sources) = &rules.transports["bulk"] else {
        panic!("{rules:?}");
    };
    assert_eq!(sources.len(), 2);
    assert_eq!(rules.sites[0].tls, Some(TransportTls::Required));
    for (text, want) in [
        (
            "[transport.x]\nkind = \"mx\"\n",
            "it names no address to send from",
        ),
        (
            "[transport.x]\nkind = \"mx\"\nsource_addresses = [\"0.0.0.0\"]\n",
            "\"0.0.0.0\" is no address of one machine",
        ),
        ("[[site]]\ntls = \"implicit\"\n", "port 25 has no TLS"),
        (
            "[transport.x]\nkind = \"mx\"\nsource_addresses = [\"192.0.2.8\"]\n[transport.y]\nhost = \"y.test:25\"\n\
             [[rule]]\nname = \"r\"\nvia = [\"y\", \"x\"]\n",
            "\"x\" is no server",
        ),
    ] {
        let mistakes = mistakes(text);
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(want),
            "{mistakes:?}"
        );
    }
}

#[test]
fn sites_are_read_and_their_mistakes_told() {
    let text = "[[site]]\nhosts = [\"mx.example.net\", \".big.example\"]\nconnections = 3\n\
                [[site]]\nhosts = \".big.example\"\nmessages_per_connection = 5\nmessages_per_minute = 0\nchunking = false\n";
    let rules = Rules::parse(text).expect("good rules");
    let [first, second] = rules.sites.as_slice() else {
        panic!("{rules:?}");
    };
    assert!(first.hosts.iter().any(|host| host.fits("a.big.example")));
    assert_eq!(
        (first.connections, first.messages_per_minute),
        (Some(3), None)
    );
    assert_eq!(second.messages_per_connection, Some(5));
    assert_eq!(second.messages_per_minute, Some(0));
    assert_eq!((first.chunking, second.chunking), (None, Some(false)));
    let wrong = "[[site]]\nconnections = 0\ndetour = \"nowhere\"\n[[site]]\nhosts = \"x.test\"\nspeed = 1\n";
    let mistakes = mistakes(wrong);
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    assert!(
        mistakes
            .iter()
            .any(|mistake| mistake.starts_with("line 3: site 1, detour"))
    );
    assert!(
        mistakes
            .iter()
            .any(|mistake| mistake.contains("between 1 and 1000"))
    );
    assert!(
        mistakes
            .iter()
            .any(|mistake| mistake.contains("no such key"))
    );
}

#[test]
fn gateways_have_whole_paths_and_stand_alone() {
    let text = r#"
        [transport.tickets]
        kind = "pipe"
        command = ["/usr/bin/tickets", "{recipient}"]
        timeout = "1m"
        [transport.archive]
        kind = "maildir"
        path = "/srv/{domain}"
        [transport.build]
        kind = "worker"
        [[rule]]
        name = "tickets"
        when = { domain = "tickets.test" }
        via = "tickets"
    "#;
    let rules = Rules::parse(text).expect("good");
    let kinds = ["tickets", "archive", "build"].map(|name| match &rules.transports[name] {
        Transport::Gateway(gateway) => (gateway.kind(), gateway.to_string()),
        other => panic!("{other:?}"),
    });
    assert_eq!(
        kinds[0],
        (TransportKind::Pipe, "/usr/bin/tickets {recipient}".into())
    );
    assert_eq!(kinds[1], (TransportKind::Maildir, "/srv/{domain}".into()));
    assert_eq!(kinds[2].0, TransportKind::Worker);
    for (more, problem) in [
        ("[transport.x]\nkind = \"mbox\"", "it has no whole path"),
        (
            "[transport.x]\nkind = \"worker\"\npath = \"/x\"",
            "there is no such key",
        ),
        (
            "[transport.x]\nkind = \"bsmtp\"\npath = \"out\"",
            "it has no whole path",
        ),
        (
            "[transport.x]\nkind = \"pipe\"",
            "it names no program by its whole path",
        ),
        (
            "[transport.x]\nkind = \"pipe\"\ncommand = [\"/bin/{local}\"]",
            "it names no program by its whole path",
        ),
        (
            "[transport.x]\nkind = \"pipe\"\ncommand = [\"/bin/x\"]\ntimeout = \"1h\"",
            "it is not between a second and 20 minutes",
        ),
        (
            "[transport.x]\nkind = \"webhook\"",
            "it has no address that begins with https://",
        ),
        (
            "[transport.x]\nkind = \"webhook\"\nurl = \"http://app.test/\"",
            "it has no address that begins with https://",
        ),
        (
            "[transport.x]\nkind = \"webhook\"\nurl = \"https://u:p@app.test/\"",
            "it has no address that begins with https://",
        ),
        (
            "[transport.x]\nkind = \"webhook\"\nurl = \"http://127.0.0.1.app.test/\"",
            "it has no address that begins with https://",
        ),
        (
            "[transport.x]\nkind = \"webhook\"\nurl = \"https://app.test/\"\ntimeout = \"1h\"",
            "it is not between a second and 20 minutes",
        ),
        (
            "[[rule]]\nname = \"x\"\nvia = [\"archive\", \"tickets\"]",
            "\"archive\" is no server",
        ),
        (
            "[relay_domain.\"x.test\"]\nvia = \"archive\"",
            "\"archive\" is no server",
        ),
        (
            "[transport.x]\nkind = \"maildir\"\npath = \"/x\"\nhost = \"h\"",
            "there is no such key",
        ),
    ] {
        let mistakes = Rules::parse(&format!("{text}\n{more}")).expect_err(more);
        let problems: Vec<&str> = mistakes.0.iter().map(|m| m.problem.as_str()).collect();
        assert!(problems.contains(&problem), "{more}: {problems:?}");
    }
}

#[test]
fn webhooks_are_read_with_their_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.toml");
    let text = "[transport.app]\nkind = \"webhook\"\nurl = \"https://app.test/in?x=y\"\nsecret_file = \"secret\"\n\
                [transport.here]\nkind = \"webhook\"\nurl = \"http://[::1]:8080\"\ntimeout = \"5s\"\n";
    std::fs::write(&file, text).expect("written");
    assert!(Rules::load(&file).is_err());
    std::fs::write(folder.path().join("secret"), "\n").expect("written");
    let error = Rules::load(&file).expect_err("empty").to_string();
    assert!(error.contains("transport \"app\", secret_file"), "{error}");
    std::fs::write(folder.path().join("secret"), "whsec_AAAA\nmore").expect("written");
    let rules = Rules::load(&file).expect("good");
    let hooks = ["app", "here"].map(|name| match &rules.transports[name] {
        Transport::Gateway(Gateway::Webhook(hook)) => hook,
        other => panic!("{other:?}"),
    });
    assert_eq!(hooks[0].secret.expose(), "whsec_AAAA");
    assert_eq!(hooks[0].timeout, Duration::from_secs(60));
    assert_eq!(hooks[1].secret.expose(), "");
    assert_eq!(
        (hooks[1].url.as_str(), hooks[1].timeout),
        ("http://[::1]:8080", Duration::from_secs(5))
    );
}

#[test]
fn who_hears_of_outcomes_is_read_and_mistakes_told() {
    let text = "[[webhook]]\nname = \"crm\"\nurl = \"https://app.test/out\"\nevents = [\"delivered\", \"failed\"]\n\
                sender = \"@here.test\"\ndomain = [\"far.test\", \".far.test\"]\n\
                [[webhook]]\nname = \"all\"\nurl = \"http://localhost:1/\"\n\
                [[subscription]]\nname = \"mine\"\nevents = \"failed\"\n";
    let rules = Rules::parse(text).expect("good");
    let [crm, all, mine] = rules.subscribers.as_slice() else {
        panic!("{rules:?}");
    };
    assert_eq!(crm.events, [OutcomeEvent::Delivered, OutcomeEvent::Failed]);
    assert!(crm.sender[0].fits(&address("ann@here.test")) && crm.domain[1].fits("a.far.test"));
    assert!(all.hook.is_some() && mine.hook.is_none());
    assert_eq!((mine.name.as_str(), mine.events.len()), ("mine", 1));
    assert!(all.events.is_empty() && all.sender.is_empty() && all.domain.is_empty());
    for (more, want) in [
        (
            "[[webhook]]\nname = \"all\"\nurl = \"https://x.test/\"",
            "another one is called \"all\" too",
        ),
        (
            "[[webhook]]\nname = \"a b\"\nurl = \"https://x.test/\"",
            "it has no name of letters",
        ),
        (
            "[[subscription]]\nname = \"all\"",
            "another one is called \"all\" too",
        ),
        (
            "[[subscription]]\nname = \"x\"\nurl = \"https://x.test/\"",
            "there is no such key",
        ),
        (
            "[[webhook]]\nname = \"x\"",
            "it has no address that begins with https://",
        ),
        (
            "[[webhook]]\nname = \"x\"\nurl = \"https://x.test/\"\nevents = [\"opened\"]",
            "is none of them",
        ),
        (
            "[[webhook]]\nname = \"x\"\nurl = \"https://x.test/\"\nhost = \"x\"",
            "there is no such key",
        ),
    ] {
        let mistakes = mistakes(&format!("{text}{more}\n"));
        assert!(
            mistakes.iter().any(|mistake| mistake.contains(want)),
            "{more}: {mistakes:?}"
        );
    }
    let many: String = (0..5)
        .map(|at| format!("[[webhook]]\nname = \"n{at}\"\nurl = \"https://x.test/\"\n"))
        .collect();
    assert!(mistakes(&many)[0].contains("more than 4 webhooks and subscriptions"));
}
