//! The rules file's parser and its mistakes.

use std::time::Duration;

use envelope::Domain;

use super::Rules;
use crate::Network;

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain")
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
fn relay_domains_are_read_with_their_defaults() {
    let text = "[relay_domain.\"Example.NET\"]\n\
                [relay_domain.\"b\u{fc}cher.example\"]\nlifetime = \"2w\"\netrn = [\"192.0.2.7\"]\n";
    let rules = Rules::parse(text).expect("good rules");
    let usual = &rules.relay_domains[&domain("example.net")];
    assert_eq!(usual.lifetime, Duration::from_secs(28 * 86_400));
    assert!(usual.etrn.is_empty());
    let other = &rules.relay_domains[&domain("xn--bcher-kva.example")];
    assert_eq!(other.lifetime, Duration::from_secs(14 * 86_400));
    assert_eq!(
        other.etrn,
        [Network::parse("192.0.2.7").expect("an address")]
    );
}

#[test]
fn every_mistake_is_told_with_its_line_and_its_place() {
    let text = "[relay_domian.\"a.example\"]\n\
                [relay_domain.\"a..example\"]\n\
                [relay_domain.\"b.example\"]\nlifetme = \"4w\"\netrn = [\"here\"]\n\
                [relay_domain.\"c.example\"]\nlifetime = \"5m\"\n\
                [relay_domain.\"C.example\"]\n";
    assert_eq!(
        mistakes(text),
        [
            "line 1: relay_domian: there is no such table; there is [relay_domain.\"example.net\"]",
            "line 2: relay domain \"a..example\": the domain has an empty label; a domain in quotes, such as [relay_domain.\"example.net\"]",
            "line 4: relay domain \"b.example\", lifetme: there is no such key; did you mean lifetime?",
            "line 5: relay domain \"b.example\", etrn: \"here\" is no network; expected a list of networks such as [\"10.0.0.0/8\", \"192.0.2.1\"]",
            "line 7: relay domain \"c.example\", lifetime: it is not between an hour and a year; such as \"4w\"",
            "line 8: relay domain \"C.example\": the same domain stands in another table",
        ]
    );
}
