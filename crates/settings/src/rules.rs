//! The rules file: what may come in, where it goes, what is changed on its way.
//!
//! A short tour:
//!
//! - [`Rules`] is the whole file as plain values; [`Rules::load`] reads it and tells *all* mistakes at once, each with
//!   its line and with the name of the rule it is in.
//! - [`Rule`]: when it matches ([`When`]) and the one thing it says ([`Action`]), which answers one [`Question`].
//! - [`SiteRule`]: how much of our mail some hosts get at once.
//! - [`Subscriber`]: who hears what became of mail.
//! - [`RelayDomain`]: a domain of another server, whose backup MX we are. [`Transport`]: what mail is handed to, a server or a [`Gateway`].
//!
//! What is not here: what the rules decide about a message (`policy`), which way mail takes (`dispatch`), keys that the
//! machine must know at its start ([`crate::Settings`]). docs/policy.md describes the file for people.
//!
//! Invariants: a file that passes [`Rules::parse`] can be put in force as a whole; a word that is not known is a mistake;
//! a rule has exactly one action; every name that is used stands in the file.

mod actions;
mod fields;
mod parse;
mod patterns;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use envelope::{Address, Domain, LocalPart, Priority, Reply};
use sasl::Secret;
use toml_edit::Value;

pub use patterns::{AddressPattern, NamePattern, UserPattern, any_of};

use crate::Network;
use crate::kinds::{Kind, wrong_type};

/// Everything in the rules file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Domains whose mail we take for another server.
    pub relay_domains: BTreeMap<Domain, RelayDomain>,
    /// Hosts that mail is handed to, by their names.
    pub transports: BTreeMap<String, Transport>,
    /// In the order in which they are asked.
    pub rules: Vec<Rule>,
    /// In the order in which they are asked: for each of its values the first that has it and fits counts.
    pub sites: Vec<SiteRule>,
    /// Who hears what became of mail.
    pub subscribers: Vec<Subscriber>,
}

/// Who hears what became of mail: `[[webhook]]`, which is told, or `[[subscription]]`, which asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// What people call it: letters, digits, `-` and `_`; no two are called the same.
    pub name: String,
    /// Where it is told; none where it asks over the HTTP API.
    pub hook: Option<Webhook>,
    /// What it hears of; everything where nothing is named.
    pub events: Vec<OutcomeEvent>,
    /// Only of mail of these senders, where some are named.
    pub sender: Vec<AddressPattern>,
    /// Only of recipients in these domains, where some are named.
    pub domain: Vec<NamePattern>,
}

crate::kinds::choices! {
    /// What became of a recipient.
    OutcomeEvent, "\"delivered\", \"deferred\" or \"failed\"" {
        /// It was delivered.
        Delivered = "delivered",
        /// It is tried again.
        Deferred = "deferred",
        /// It was given up: refused for good, or its time is over.
        Failed = "failed",
    }
}

impl Kind for Vec<OutcomeEvent> {
    const EXPECTED: &'static str = "an outcome such as \"failed\", or a list of them";

    fn read(value: &Value) -> Result<Self, String> {
        if value.is_str() {
            return OutcomeEvent::read(value).map(|one| vec![one]);
        }
        let list = value.as_array().ok_or_else(|| wrong_type(value))?;
        list.iter().map(OutcomeEvent::read).collect()
    }
}

/// How much of our mail hosts get at once: `[[site]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteRule {
    /// The hosts, by the names that MX records or transports give them; without any it is everybody.
    pub hosts: Vec<NamePattern>,
    /// Connections at once.
    pub connections: Option<u64>,
    /// Messages on one connection.
    pub messages_per_connection: Option<u64>,
    /// Messages in a minute; 0 is no limit.
    pub messages_per_minute: Option<u64>,
    /// What is demanded of TLS with them, beside what they demand themselves.
    pub tls: Option<TransportTls>,
    /// Messages may go by BDAT, where they offer it.
    pub chunking: Option<bool>,
    /// The transport that takes what they refuse for our reputation.
    pub detour: Option<String>,
}

/// A domain whose mail is taken, kept, and handed to its own server: `[relay_domain."example.net"]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayDomain {
    /// How long mail for it is tried.
    pub lifetime: Duration,
    /// Who may start its queue by ETRN, besides those who may relay.
    pub etrn: Vec<Network>,
    /// Accounts that may fetch its mail by ATRN, by their own addresses.
    pub atrn: Vec<Address>,
    /// The transports to its primary, tried in this order; without one it is found by the domain's MX.
    pub via: Vec<String>,
    /// Whether its primary is asked about recipients before they are taken.
    pub verify: Option<Verify>,
}

/// How a primary is asked whether it knows a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// How long a yes is remembered.
    pub known_for: Duration,
    /// How long a no is remembered.
    pub unknown_for: Duration,
    /// What happens while it cannot be asked.
    pub unsure: Unsure,
}

crate::kinds::choices! {
    /// What happens to a recipient while its primary cannot be asked.
    Unsure, "\"accept\" or \"defer\"" {
        /// It is taken.
        Accept = "accept",
        /// It is answered 451.
        Defer = "defer",
    }
}

/// What mail is handed to: `[transport.partner]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Transport {
    /// A server.
    Server(Server),
    /// Something that is none.
    Gateway(Gateway),
    /// The domain's own servers, from addresses of ours that are not the usual ones.
    Direct(Vec<IpAddr>),
}

impl Transport {
    /// Nothing is tried before or behind it, and it is nobody's primary.
    #[must_use]
    pub fn stands_alone(&self) -> bool {
        self.server().is_none()
    }

    /// The server, if it is one.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        match self {
            Self::Server(server) => Some(server),
            Self::Gateway(_) | Self::Direct(_) => None,
        }
    }
}

/// A server that mail is handed to.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// What it speaks.
    pub kind: TransportKind,
    /// A name, or an address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whom to log in as.
    pub user: Option<String>,
    /// Where the password is.
    pub password_file: PathBuf,
    /// The password, once [`Rules::load`] has read it.
    pub password: Secret,
    /// What is demanded of TLS; what suits port and login if nothing is said.
    pub tls: Option<TransportTls>,
}

/// What takes mail and is no server. In paths and arguments `{local}` and `{domain}` are
/// the recipient's, in arguments also `{recipient}` and `{sender}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// A program reads it.
    Program {
        /// Its path and its arguments. No shell sees them.
        command: Vec<String>,
        /// How long it may take.
        timeout: Duration,
    },
    /// A folder in which each message is a file.
    Maildir(PathBuf),
    /// A file that messages are appended to, in the form called mboxrd.
    Mbox(PathBuf),
    /// A file of SMTP commands that another system reads later.
    Bsmtp(PathBuf),
    /// A server on the web that it is posted to.
    Webhook(Webhook),
    /// Programs that come for it over the HTTP API.
    Worker,
}

/// A server on the web that takes what is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// `https://…`, or `http://…` on this machine.
    pub url: String,
    /// Where the secret is that it shares with us; empty where it shares none.
    pub secret_file: PathBuf,
    /// The secret, once [`Rules::load`] has read it.
    pub secret: Secret,
    /// How long it may take.
    pub timeout: Duration,
}

impl Gateway {
    /// What it is called in the file.
    #[must_use]
    pub fn kind(&self) -> TransportKind {
        match self {
            Self::Program { .. } => TransportKind::Pipe,
            Self::Maildir(_) => TransportKind::Maildir,
            Self::Mbox(_) => TransportKind::Mbox,
            Self::Bsmtp(_) => TransportKind::Bsmtp,
            Self::Webhook(_) => TransportKind::Webhook,
            Self::Worker => TransportKind::Worker,
        }
    }
}

/// Where it leads, for people.
impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program { command, .. } => f.write_str(&command.join(" ")),
            Self::Maildir(path) | Self::Mbox(path) | Self::Bsmtp(path) => path.display().fmt(f),
            Self::Webhook(hook) => f.write_str(&hook.url),
            Self::Worker => f.write_str("workers that ask for it"),
        }
    }
}

crate::kinds::choices! {
    /// What a transport speaks.
    TransportKind, "\"smtp\", \"lmtp\", \"pipe\", \"maildir\", \"mbox\", \"bsmtp\", \"webhook\", \"worker\" or \"mx\"" {
        /// SMTP: another server, or a smart host with a login.
        Smtp = "smtp",
        /// LMTP: a server that has the mailboxes.
        Lmtp = "lmtp",
        /// A program that reads the message.
        Pipe = "pipe",
        /// A folder in which each message is a file.
        Maildir = "maildir",
        /// A file that messages are appended to.
        Mbox = "mbox",
        /// A file of SMTP commands (RFC 2442).
        Bsmtp = "bsmtp",
        /// A server on the web that it is posted to.
        Webhook = "webhook",
        /// Programs that come for it over the HTTP API.
        Worker = "worker",
        /// SMTP with the domain's own servers, from addresses that are named.
        Mx = "mx",
    }
}

crate::kinds::choices! {
    /// What a transport demands of TLS.
    TransportTls, "\"never\", \"opportunistic\", \"required\", \"verified\" or \"implicit\"" {
        /// None.
        Never = "never",
        /// STARTTLS where it is offered, with any certificate.
        Opportunistic = "opportunistic",
        /// STARTTLS, with any certificate.
        Required = "required",
        /// STARTTLS, with a good certificate.
        Verified = "verified",
        /// From the first byte, with a good certificate.
        Implicit = "implicit",
    }
}

/// One rule: `[[rule]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What people call it; no two are called the same.
    pub name: String,
    /// When it matches.
    pub when: When,
    /// What it says then.
    pub then: Action,
}

/// When a rule matches: everything that is set must fit. A list fits with any of its members; an empty one is not set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// The client's address.
    pub ip: Vec<Network>,
    /// What the client called itself.
    pub helo: Vec<NamePattern>,
    /// The reverse path.
    pub sender: Vec<AddressPattern>,
    /// The recipient.
    pub recipient: Vec<AddressPattern>,
    /// The recipient's domain.
    pub domain: Vec<NamePattern>,
    /// Who logged in.
    pub user: Option<UserPattern>,
    /// The message has more bytes than this.
    pub larger_than: Option<u64>,
    /// The message has more recipients than this, the one that is asked about included.
    pub more_recipients_than: Option<u64>,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// No later rule refuses, defers or holds it. It gives no right to relay.
    Allow,
    /// A reply of 5yz.
    Refuse(Reply),
    /// A reply of 4yz.
    Defer(Reply),
    /// It is taken and waits for a person, for this reason.
    Hold(String),
    /// Which way mail for elsewhere goes.
    Via(Way),
    /// The reverse path becomes another.
    RewriteSender(Rewrite),
    /// The recipient becomes another.
    RewriteRecipient(Rewrite),
    /// Fields for the header, each `Name: value`.
    AddHeader(Vec<String>),
    /// Names of fields that are taken out of the header, in lower case.
    RemoveHeader(Vec<String>),
    /// Who else gets it, unseen.
    Bcc(Vec<Address>),
    /// How far ahead of others it goes, or behind.
    Priority(Priority),
}

/// What is asked about a message. For each question the first rule that matches and answers it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// May it? [`Action::Allow`], [`Action::Refuse`], [`Action::Defer`], [`Action::Hold`].
    Verdict,
    /// Which way? [`Action::Via`].
    Way,
    /// From whom? [`Action::RewriteSender`].
    Sender,
    /// To whom? [`Action::RewriteRecipient`].
    Recipient,
    /// What is put into the header? [`Action::AddHeader`].
    AddHeader,
    /// What is taken out of it? [`Action::RemoveHeader`].
    RemoveHeader,
    /// Who else? [`Action::Bcc`].
    Bcc,
    /// How soon? [`Action::Priority`].
    Priority,
}

impl Action {
    /// The question that it answers.
    #[must_use]
    pub const fn question(&self) -> Question {
        match self {
            Self::Allow | Self::Refuse(_) | Self::Defer(_) | Self::Hold(_) => Question::Verdict,
            Self::Via(_) => Question::Way,
            Self::RewriteSender(_) => Question::Sender,
            Self::RewriteRecipient(_) => Question::Recipient,
            Self::AddHeader(_) => Question::AddHeader,
            Self::RemoveHeader(_) => Question::RemoveHeader,
            Self::Bcc(_) => Question::Bcc,
            Self::Priority(_) => Question::Priority,
        }
    }
}

impl Action {
    /// The way, if that is what it says.
    #[must_use]
    pub const fn way(&self) -> Option<&Way> {
        match self {
            Self::Via(way) => Some(way),
            _ => None,
        }
    }
}

impl Question {
    /// All of them, in the order in which they come up.
    pub const ALL: [Self; 8] = [
        Self::Verdict,
        Self::Recipient,
        Self::Sender,
        Self::AddHeader,
        Self::RemoveHeader,
        Self::Bcc,
        Self::Priority,
        Self::Way,
    ];

    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Way => "way",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Priority => "priority",
            Self::AddHeader => "add_header",
            Self::RemoveHeader => "remove_header",
            Self::Bcc => "bcc",
        }
    }
}

/// A way for mail for elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// The domain's own servers, even where a smart host is set.
    Mx,
    /// Transports: the first, where it is not reached the next.
    Transports(Vec<String>),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mx => f.write_str("mx"),
            Self::Transports(names) => f.write_str(&names.join(", then ")),
        }
    }
}

/// An address in place of another: `new@example.org`, or `*@example.org`, which keeps what stands before the `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// None keeps it.
    pub local: Option<LocalPart>,
    /// The new domain.
    pub domain: Domain,
}

impl Rewrite {
    /// What an address becomes; none when the result is too long to be one.
    #[must_use]
    pub fn apply(&self, address: &Address) -> Option<Address> {
        let local = self.local.as_ref().unwrap_or_else(|| address.local());
        Address::new(local.clone(), self.domain.clone()).ok()
    }
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.local {
            Some(local) => write!(f, "{local}@{}", self.domain),
            None => write!(f, "*@{}", self.domain),
        }
    }
}

impl Rules {
    /// The rules that answer a question, in their order.
    pub fn that_answer(&self, question: Question) -> impl Iterator<Item = &Rule> {
        let answers = move |rule: &&Rule| rule.then.question() == question;
        self.rules.iter().filter(answers)
    }
}
