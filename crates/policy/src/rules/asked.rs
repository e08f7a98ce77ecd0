//! Whether a rule matches, and if not, why.

use std::net::IpAddr;

use envelope::{Address, Domain, ReversePath};
use settings::rules::{Question, Rule, Rules, UserPattern, When, any_of};

use crate::Session;

/// Who logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Nobody.
    Nobody,
    /// An account, by its own address.
    Account(Address),
    /// A program of this machine.
    Program,
}

/// Where a message comes from: the same for all its recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The client's address; none for mail of our own making.
    pub ip: Option<IpAddr>,
    /// What it called itself, in lower case; empty where that is not known.
    pub helo: String,
    /// MAIL FROM.
    pub sender: ReversePath,
    /// Who logged in.
    pub login: Login,
}

impl Origin {
    /// Of a session's transaction.
    #[must_use]
    pub fn new(session: &Session, helo: &str, sender: &ReversePath) -> Self {
        let login = match (&session.identity, &session.local_user) {
            (Some(identity), _) => Login::Account(identity.address.clone()),
            (None, Some(_)) => Login::Program,
            (None, None) => Login::Nobody,
        };
        Self {
            ip: Some(session.client_ip),
            helo: folded(helo),
            sender: sender.clone(),
            login,
        }
    }
}

/// A name as patterns have it.
fn folded(helo: &str) -> String {
    match Domain::parse_or_literal(helo) {
        Ok(name) => name.as_str().to_owned(),
        Err(_) => helo.to_ascii_lowercase(),
    }
}

/// What rules are asked about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Where the message comes from.
    pub origin: &'a Origin,
    /// For whom, as the client said it.
    pub recipient: &'a Address,
    /// Bytes of the message, where they are known.
    pub size: Option<u64>,
    /// Recipients so far, this one included.
    pub recipients: u64,
}

/// The first rule that matches and answers the question.
#[must_use]
pub fn first<'r>(rules: &'r Rules, question: Question, asked: &Asked<'_>) -> Option<&'r Rule> {
    rules
        .that_answer(question)
        .find(|rule| unfit(&rule.when, asked).is_none())
}

/// One rule, asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<'r> {
    /// Which one.
    pub rule: &'r Rule,
    /// Why it does not match; nothing if it does.
    pub unfit: Option<String>,
}

/// The rules that were asked a question, up to the one that answered, for people.
#[must_use]
pub fn steps<'r>(rules: &'r Rules, question: Question, asked: &Asked<'_>) -> Vec<Step<'r>> {
    let mut steps = Vec::new();
    for rule in rules.that_answer(question) {
        let unfit = unfit(&rule.when, asked).map(|unfit| unfit.explain(&rule.when, asked));
        let answers = unfit.is_none();
        steps.push(Step { rule, unfit });
        if answers {
            break;
        }
    }
    steps
}

/// The condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfit {
    Ip,
    Helo,
    Sender,
    Recipient,
    Domain,
    User,
    Size,
    Recipients,
}

fn unfit(when: &When, asked: &Asked<'_>) -> Option<Unfit> {
    let Asked {
        origin, recipient, ..
    } = asked;
    let domain = recipient.domain().as_str();
    let in_networks = |ip: IpAddr| when.ip.iter().any(|network| network.contains(ip));
    if !when.ip.is_empty() && !origin.ip.is_some_and(in_networks) {
        return Some(Unfit::Ip);
    }
    if !when.helo.is_empty() && !when.helo.iter().any(|name| name.fits(&origin.helo)) {
        return Some(Unfit::Helo);
    }
    let is_sender =
        |pattern: &_| settings::rules::AddressPattern::fits_path(pattern, &origin.sender);
    if !when.sender.is_empty() && !when.sender.iter().any(is_sender) {
        return Some(Unfit::Sender);
    }
    if !when.recipient.is_empty() && !when.recipient.iter().any(|p| p.fits(recipient)) {
        return Some(Unfit::Recipient);
    }
    if !when.domain.is_empty() && !when.domain.iter().any(|name| name.fits(domain)) {
        return Some(Unfit::Domain);
    }
    if when
        .user
        .as_ref()
        .is_some_and(|user| !is_user(user, &origin.login))
    {
        return Some(Unfit::User);
    }
    // What is not known does not match: it is asked again when it is.
    let is_larger = |limit| asked.size.is_some_and(|size| size > limit);
    if when.larger_than.is_some_and(|limit| !is_larger(limit)) {
        return Some(Unfit::Size);
    }
    if when
        .more_recipients_than
        .is_some_and(|limit| asked.recipients <= limit)
    {
        return Some(Unfit::Recipients);
    }
    None
}

fn is_user(pattern: &UserPattern, login: &Login) -> bool {
    match (pattern, login) {
        (UserPattern::Anybody, login) => *login != Login::Nobody,
        (UserPattern::Nobody, login) => *login == Login::Nobody,
        (UserPattern::Of(patterns), Login::Account(address)) => {
            patterns.iter().any(|pattern| pattern.fits(address))
        }
        (UserPattern::Of(_), Login::Nobody | Login::Program) => false,
    }
}

impl Unfit {
    fn explain(self, when: &When, asked: &Asked<'_>) -> String {
        let Asked {
            origin, recipient, ..
        } = asked;
        match self {
            Self::Ip => match origin.ip {
                Some(ip) => format!("the client is {ip}, not in {}", any_of(&when.ip)),
                None => "the client's address is not known".to_owned(),
            },
            Self::Helo if origin.helo.is_empty() => "HELO is not known".to_owned(),
            Self::Helo => format!("HELO is {}, not {}", origin.helo, any_of(&when.helo)),
            Self::Sender => {
                let sender = match &origin.sender {
                    ReversePath::Null => "<>".to_owned(),
                    ReversePath::Address(address) => address.to_string(),
                };
                format!("the sender is {sender}, not {}", any_of(&when.sender))
            }
            Self::Recipient => {
                format!(
                    "the recipient is {recipient}, not {}",
                    any_of(&when.recipient)
                )
            }
            Self::Domain => {
                let domain = recipient.domain();
                format!("the domain is {domain}, not {}", any_of(&when.domain))
            }
            Self::User => {
                let who = match &origin.login {
                    Login::Nobody => "nobody logged in".to_owned(),
                    Login::Account(address) => format!("{address} logged in"),
                    Login::Program => "it is a program of this machine".to_owned(),
                };
                match &when.user {
                    Some(wanted) => format!("{who}, not {wanted}"),
                    None => who,
                }
            }
            Self::Size => {
                let limit = when.larger_than.unwrap_or_default();
                match asked.size {
                    Some(size) => format!("it has {size} bytes, not more than {limit}"),
                    None => format!("it is not known to have more than {limit} bytes"),
                }
            }
            Self::Recipients => {
                let limit = when.more_recipients_than.unwrap_or_default();
                format!(
                    "recipients so far: {}, not more than {limit}",
                    asked.recipients
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    /// Each condition, in a rule of its own: why it does not match.
    #[test]
    fn every_condition_says_why_it_does_not_hold() {
        let rule = |when: &str| {
            format!("[[rule]]\nname = '''{when}'''\nallow = true\n[rule.when]\n{when}\n")
        };
        let cases = [
            (
                "ip = '192.0.2.0/24'",
                "the client is 198.51.100.7, not in 192.0.2.0/24",
            ),
            (
                "helo = ['a.test', '.b.test']",
                "HELO is mx.far.test, not a.test or .b.test",
            ),
            (
                "sender = ['<>', '@near.test', 'x@y.test']",
                "the sender is ann@far.test, not <>, @near.test or x@y.test",
            ),
            (
                "recipient = '@.demo.test'",
                "the recipient is bob@demo.test, not @.demo.test",
            ),
            (
                "domain = '.demo.test'",
                "the domain is demo.test, not .demo.test",
            ),
            ("user = true", "nobody logged in, not anybody"),
            (
                "user = 'ann@far.test'",
                "nobody logged in, not ann@far.test",
            ),
            (
                "larger_than = 10",
                "it is not known to have more than 10 bytes",
            ),
            (
                "more_recipients_than = 2",
                "recipients so far: 2, not more than 2",
            ),
        ];
        let text: String = cases.iter().map(|(when, _)| rule(when)).collect();
        let rules =
            Rules::parse(&(text + "[[rule]]\nname = 'last'\nallow = true\n")).expect("good rules");
        let origin = Origin {
            ip: "198.51.100.7".parse().ok(),
            helo: folded("MX.far.test"),
            sender: ReversePath::parse("ann@far.test").expect("a path"),
            login: Login::Nobody,
        };
        let recipient = address("bob@demo.test");
        let asked = Asked {
            origin: &origin,
            recipient: &recipient,
            size: None,
            recipients: 2,
        };
        let steps = steps(&rules, Question::Verdict, &asked);
        let why: Vec<_> = steps.iter().map(|step| step.unfit.as_deref()).collect();
        let mut want: Vec<_> = cases.iter().map(|(_, why)| Some(*why)).collect();
        want.push(None);
        assert_eq!(why, want);
        let answer = first(&rules, Question::Verdict, &asked).expect("the last");
        assert_eq!(answer.name, "last");

        // And each of them when it does.
        let origin = Origin {
            ip: "192.0.2.9".parse().ok(),
            helo: "x.b.test".into(),
            sender: ReversePath::Null,
            login: Login::Account(address("Ann@far.test")),
        };
        let recipient = address("bob@x.demo.test");
        let asked = Asked {
            origin: &origin,
            recipient: &recipient,
            size: Some(11),
            recipients: 3,
        };
        for rule in &rules.rules {
            assert_eq!(unfit(&rule.when, &asked), None, "{}", rule.name);
        }
    }
}
