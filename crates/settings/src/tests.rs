//! Tests of the table, the parser's mistakes and the editor.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::keys::KEYS;
use crate::parse::check_value;
use crate::*;

#[test]
fn every_default_and_example_fits_its_key() {
    for key in KEYS {
        for (what, text) in [("default", key.default), ("example", key.example)] {
            let value: toml_edit::Value = text.parse().unwrap();
            check_value(key, &value)
                .unwrap_or_else(|wrong| panic!("{what} of {}: {wrong}", key.name));
        }
        assert!(
            key.doc
                .iter()
                .all(|line| line.ends_with(['.', 'r', 'd', ',', ';']) || !line.is_empty())
        );
    }
    assert!(KEYS.len() <= 150);
}

#[test]
fn an_empty_file_is_all_defaults() {
    let settings = Settings::parse("").unwrap();
    assert_eq!(settings.limits.message_bytes, Size(100 << 20));
    assert_eq!(settings.queue.lifetime, Duration::from_secs(5 * 86400));
    assert_eq!(settings.outbound.port, 25);
    assert_eq!(settings.outbound.mode, OutboundMode::Direct);
    assert_eq!(settings.outbound.smart_host.get(), None);
    assert!(settings.relay.networks.is_empty());
}

#[test]
fn practice_1_greylisting_is_off_unless_said() {
    assert!(!Settings::parse("").unwrap().door.greylist);
    assert!(
        Settings::parse("[door]\ngreylist = true")
            .unwrap()
            .door
            .greylist
    );
}

#[test]
fn values_are_read() {
    let settings = Settings::parse(
        "hostname = \"mx.example.org\"\n\
         [listen]\nsmtp = [\"0.0.0.0:25\", \"[::]:25\"]\n\
         [outbound]\nsmart_host = \"[::1]:2525\"\nallow_networks = [\"127.0.0.0/8\"]\n\
         [queue]\nlifetime = \"36h\"\n\
         [limits]\nmessage_bytes = 70000\n",
    )
    .unwrap();
    assert_eq!(settings.general.hostname, "mx.example.org");
    assert_eq!(settings.listen.smtp.len(), 2);
    assert_eq!(settings.outbound.smart_host.get(), Some(("::1", 2525)));
    assert!(settings.outbound.allow_networks[0].contains("127.0.0.2".parse().unwrap()));
    assert!(!settings.outbound.allow_networks[0].contains("128.0.0.2".parse().unwrap()));
    assert_eq!(settings.queue.lifetime, Duration::from_secs(36 * 3600));
    assert_eq!(settings.limits.message_bytes, Size(70000));
}

#[test]
fn all_mistakes_are_told_with_line_and_hint() {
    let text = "hostname = \"mx.example.org\"\n\
                this is not toml\n\
                [listen]\n\
                smpt = [\"0.0.0.0:25\"]\n\
                imap = \"0.0.0.0:143\"\n\
                [limits]\n\
                recipients = 5\n\
                [tls]\n\
                key = \"key.pem\"\n\
                [qeue]\n\
                lifetime = \"5 fortnights\"\n";
    let mistakes = Settings::parse(text).unwrap_err().0;
    let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!(
        lines,
        [Some(2), Some(4), Some(5), Some(7), Some(9), Some(10)],
        "{mistakes:#?}"
    );
    assert_eq!(mistakes[1].hint, "did you mean listen.smtp?");
    assert!(mistakes[2].hint.starts_with("expected a list of addresses"));
    assert!(mistakes[3].problem.contains("not between 100 and"));
    assert!(mistakes[4].problem.contains("tls.certificate is missing"));
    assert!(
        mistakes[1]
            .to_string()
            .starts_with("line 4: listen.smpt: there is no such key")
    );
}

#[test]
fn two_services_cannot_share_a_port() {
    let text = "[listen]\nsmtp = [\"127.0.0.1:25\"]\nimap = [\"127.0.0.1:25\"]\n";
    let mistakes = Settings::parse(text).unwrap_err().0;
    assert_eq!(mistakes[0].line, Some(3));
}

#[test]
fn networks_are_matched_by_prefix() {
    let network = |text| Network::parse(text).unwrap();
    assert!(network("0.0.0.0/0").contains("203.0.113.9".parse().unwrap()));
    assert!(network("192.0.2.1").contains("::ffff:192.0.2.1".parse().unwrap()));
    assert!(network("2001:db8::/32").contains("2001:db8:1::1".parse().unwrap()));
    assert!(!network("2001:db8::/32").contains("192.0.2.1".parse().unwrap()));
    assert_eq!(Network::parse("10.0.0.0/33"), None);
}

#[test]
fn editing_keeps_comments_and_refuses_what_is_wrong() {
    let text = "# mine\nhostname = \"a.example\" # the name\n\n[outbound]\n# far away\nport = 25\n";
    let edited = edit(text, &[("hostname", "b.example")]).unwrap();
    assert_eq!(
        edited,
        "# mine\nhostname = \"b.example\" # the name\n\n[outbound]\n# far away\nport = 25\n"
    );
    let edited = edit(&edited, &[("outbound.allow_networks", "127.0.0.0/8, ::1")]).unwrap();
    assert!(
        edited.contains("allow_networks = [\"127.0.0.0/8\", \"::1\"]"),
        "{edited}"
    );
    let edited = edit(&edited, &[("queue.lifetime", "3d")]).unwrap();
    assert!(edited.contains("[queue]\nlifetime = \"3d\""), "{edited}");
    assert_eq!(shown(&edited, "queue.lifetime").unwrap(), "\"3d\"");
    assert_eq!(shown(&edited, "limits.recipients").unwrap(), "1000");
    assert!(edit(text, &[("outbound.port", "0")]).is_err());
    assert!(
        edit(text, &[("outbound.prot", "26")])
            .unwrap_err()
            .to_string()
            .contains("outbound.port")
    );
    assert!(
        edit(text, &[("tls.key", "x.pem")]).is_err(),
        "the certificate is missing then"
    );
}

#[test]
fn one_limit_on_messages_is_set() {
    let one = Settings::parse("[imap]\nmessage_limit = 1000\n").expect("good");
    assert_eq!((one.imap.message_limit, one.imap.save_limit), (1000, 0));
    let both = Settings::parse("[imap]\nmessage_limit = 1000\nsave_limit = 1500\n");
    let mistakes = both.unwrap_err().0;
    assert_eq!(mistakes.len(), 1);
    assert_eq!(mistakes[0].key, "imap.save_limit");
    assert_eq!(mistakes[0].line, Some(3));
    // RFC 9738 §3
    for key in ["message_limit", "save_limit"] {
        let few = Settings::parse(&format!("[imap]\n{key} = 999\n"));
        assert_eq!(few.unwrap_err().0[0].key, format!("imap.{key}"));
    }
}

#[test]
fn sessions_are_left_alone_as_long_as_the_rfcs_say() {
    // RFC 9051 §5.4, RFC 1939 §3
    for (section, least, less) in [("imap", "30m", "29m"), ("pop3", "10m", "9m")] {
        let parse =
            |time: &str| Settings::parse(&format!("[{section}]\nidle_timeout = \"{time}\"\n"));
        assert!(parse(least).is_ok(), "{section}");
        let mistakes = parse(less).unwrap_err().0;
        assert_eq!(mistakes[0].key, format!("{section}.idle_timeout"));
    }
}

#[test]
fn tokens_need_an_issuer_and_an_audience() {
    let wrong = |text: &str| {
        let mistakes = Settings::parse(&format!("[oauth]\n{text}\n"))
            .unwrap_err()
            .0;
        mistakes
            .into_iter()
            .map(|mistake| mistake.problem)
            .collect::<Vec<_>>()
    };
    let with_audience = |issuer: &str| format!("issuer = \"{issuer}\"\naudiences = [\"mail\"]");
    assert_eq!(
        wrong("issuer = \"https://id.test\""),
        ["oauth.audiences is missing"]
    );
    assert_eq!(wrong("audiences = [\"mail\"]"), ["oauth.issuer is missing"]);
    for no_issuer in [
        "http://id.test",
        "https://",
        "https://id.test/?x",
        "https://a@id.test",
        "id.test",
    ] {
        let told = wrong(&with_audience(no_issuer));
        assert_eq!(told, [format!("{no_issuer:?} is no issuer")]);
    }
    assert_eq!(wrong("claim = \"\""), ["it is empty"]);
    assert!(wrong("audiences = [\"\"]")[0].contains("is empty"));
    let settings =
        Settings::parse(&format!("[oauth]\n{}", with_audience("https://id.test/a"))).unwrap();
    assert_eq!(settings.oauth.audiences, [Word("mail".to_owned())]);
    assert!(settings.oauth.verified_only && settings.oauth.claim == "email");
}

#[test]
fn a_fresh_file_is_readable_and_right() {
    let text = render(&[
        ("listen.smtp", "[\"127.0.0.1:2025\"]".to_owned()),
        ("hostname", "\"mx.example.org\"".to_owned()),
        ("data_dir", "\"data\"".to_owned()),
    ]);
    assert!(text.contains("\nhostname = \"mx.example.org\"\n"));
    assert!(text.contains("\n[listen]\n# SMTP for strangers' servers (MX).\nsmtp = "));
    Settings::parse(&text).unwrap();
}

#[test]
fn the_reference_names_every_key() {
    let page = reference();
    for name in names() {
        assert!(page.contains(&format!("### `{name}`")), "{name}");
        assert!(explain(name).unwrap().contains("default:"));
    }
    assert!(explain("listen.smpt").unwrap_err().contains("listen.smtp"));
}

#[test]
fn the_page_in_the_docs_is_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        page,
        reference(),
        "run `posthouse config reference > docs/config.md`"
    );
}

#[test]
fn lists_in_the_dns_with_codes_and_points() {
    let list = NameList::parse("Bl.Example.net.=127.0.0.2-127.0.0.4|127.0.1.1*-6").unwrap();
    assert_eq!((list.zone.as_str(), list.points), ("bl.example.net", -6));
    let counted = |code: [u8; 4]| list.counts(code.into());
    assert!(counted([127, 0, 0, 2]) && counted([127, 0, 0, 4]) && counted([127, 0, 1, 1]));
    assert!(!counted([127, 0, 0, 5]) && !counted([127, 0, 1, 2]));
    let plain = NameList::parse("zen.spamhaus.org").unwrap();
    assert!(plain.points == 10 && plain.counts([127, 0, 0, 11].into()));
    for wrong in [
        "",
        "zen",
        "a..b",
        "zen.test*x",
        "zen.test*5000",
        "zen.test=1.2.3.4",
        "zen.test=127.0.0.9-127.0.0.2",
        "zen test.org",
    ] {
        assert_eq!(NameList::parse(wrong), None, "{wrong}");
    }
}
