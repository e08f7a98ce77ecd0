//! From the file's text to [`Rules`], or to the list of all its mistakes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use envelope::Domain;
use sasl::Secret;
use toml_edit::{Item, TableLike};

use super::actions::{Deferral, FieldNames, Fields as HeaderFields, Rank, Refusal};
use super::fields::{Fields, Reading, offset_of, table_of};
use super::patterns::Networks;
use super::{
    Action, Gateway, RelayDomain, Rule, Rules, Server, SiteRule, Subscriber, Transport,
    TransportKind, TransportTls, Unsure, Verify, Way, Webhook, When,
};
use crate::kinds::Word;
use crate::parse::parse_toml;
use crate::{HostPort, LoadError, Mistake, Mistakes, Size};

/// How long mail for a relay domain is tried unless its table says so: four weeks.
const RELAY_LIFETIME: Duration = Duration::from_secs(28 * 86_400);
/// The shortest and the longest of these times.
const LIFETIMES: std::ops::RangeInclusive<u64> = 3_600..=365 * 86_400;
/// How long a primary's word about a recipient is remembered unless the table says so.
const KNOWN_FOR: Duration = Duration::from_secs(86_400);
const UNKNOWN_FOR: Duration = Duration::from_secs(900);
/// How long a program may take unless its table says so, and at most: an attempt ends behind that.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(300);
const PROGRAM_TIMEOUT_MAX: Duration = Duration::from_secs(1200);
/// The same of a server on the web.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(60);
/// Rules in a file: each is looked at for each recipient.
const RULES_MAX: usize = 1000;

/// Webhooks in a file: what each hears is written down with every outcome.
const SUBSCRIBERS_MAX: usize = 4;
/// Sites in a file.
const SITES_MAX: usize = 1000;
/// What a site's numbers may be.
const SITE_CONNECTIONS: std::ops::RangeInclusive<u64> = 1..=1000;
const SITE_MESSAGES: std::ops::RangeInclusive<u64> = 1..=10_000;
const SITE_PACE: std::ops::RangeInclusive<u64> = 0..=1_000_000;

const TABLES: &str = "there are [[rule]], [[site]], [[webhook]], [[subscription]], [transport.name] and [relay_domain.\"example.net\"]";

impl Rules {
    /// Reads the file, and the passwords that it names; their paths count from its folder.
    ///
    /// # Errors
    /// When one of them cannot be read, or the file has mistakes.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path).map_err(|error| LoadError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        let mistaken = |mistakes| LoadError::Mistaken {
            path: path.to_owned(),
            mistakes,
        };
        let mut rules = Self::parse(&text).map_err(mistaken)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for (name, transport) in &mut rules.transports {
            let (key, file, secret) = match transport {
                Transport::Server(server) if server.user.is_some() => {
                    ("password_file", &server.password_file, &mut server.password)
                }
                Transport::Gateway(Gateway::Webhook(hook))
                    if !hook.secret_file.as_os_str().is_empty() =>
                {
                    ("secret_file", &hook.secret_file, &mut hook.secret)
                }
                _ => continue,
            };
            let key = format!("transport {name:?}, {key}");
            *secret = first_line(&key, &folder.join(file), &mistaken)?;
        }
        for Subscriber { name, hook, .. } in &mut rules.subscribers {
            let Some(hook) = hook else {
                continue;
            };
            if !hook.secret_file.as_os_str().is_empty() {
                let key = format!("webhook {name:?}, secret_file");
                hook.secret = first_line(&key, &folder.join(&hook.secret_file), &mistaken)?;
            }
        }
        Ok(rules)
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        let mut reading = Reading {
            text,
            mistakes: Vec::new(),
        };
        let mut rules = Self::default();
        if let Some(document) = parse_toml(text, &mut reading.mistakes) {
            let table = document.as_table();
            for (name, item) in table {
                let at = offset_of(table, name);
                match name {
                    "relay_domain" => rules.read_relay_domains(at, item, &mut reading),
                    "transport" => rules.read_transports(at, item, &mut reading),
                    "rule" => rules.read_rules(at, item, &mut reading),
                    "site" => rules.read_sites(at, item, &mut reading),
                    "webhook" | "subscription" => {
                        rules.read_subscribers((name, at), item, &mut reading);
                    }
                    _ => {
                        let problem = "there is no such table".to_owned();
                        reading.mistake(at, name, problem, TABLES);
                    }
                }
            }
            rules.check_names(table, &mut reading);
        }
        let mut mistakes = reading.mistakes;
        if mistakes.is_empty() {
            return Ok(rules);
        }
        mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        Err(Mistakes(mistakes))
    }

    fn read_relay_domains(&mut self, at: Option<usize>, item: &Item, reading: &mut Reading<'_>) {
        let Some(tables) = table_of("relay_domain", at, item, reading) else {
            return;
        };
        for (name, item) in tables.iter() {
            let place = format!("relay domain {name:?}");
            let at = offset_of(tables, name);
            let domain = match Domain::parse(name) {
                Ok(domain) => domain,
                Err(error) => {
                    let hint = "a domain in quotes, such as [relay_domain.\"example.net\"]";
                    reading.mistake(at, &place, error.to_string(), hint);
                    continue;
                }
            };
            let Some(table) = table_of(&place, at, item, reading) else {
                continue;
            };
            let relay = relay_domain(Fields::new(place.clone(), table, reading));
            if self.relay_domains.insert(domain, relay).is_some() {
                let problem = "the same domain stands in another table".to_owned();
                reading.mistake(at, &place, problem, "");
            }
        }
    }

    fn read_transports(&mut self, at: Option<usize>, item: &Item, reading: &mut Reading<'_>) {
        let Some(tables) = table_of("transport", at, item, reading) else {
            return;
        };
        for (name, item) in tables.iter() {
            let place = format!("transport {name:?}");
            let at = offset_of(tables, name);
            if matches!(name, "mx" | "local") {
                let problem = "the house has a way of that name".to_owned();
                reading.mistake(at, &place, problem, "call it otherwise");
            }
            let Some(table) = table_of(&place, at, item, reading) else {
                continue;
            };
            if let Some(transport) = transport(Fields::new(place, table, reading)) {
                self.transports.insert(name.to_owned(), transport);
            }
        }
    }

    fn read_rules(&mut self, at: Option<usize>, item: &Item, reading: &mut Reading<'_>) {
        let tables: Vec<&dyn TableLike> = match item.as_array_of_tables() {
            Some(tables) => tables.iter().map(|table| table as &dyn TableLike).collect(),
            None => {
                let problem = "this is no list of tables".to_owned();
                reading.mistake(at, "rule", problem, "each rule begins with [[rule]]");
                return;
            }
        };
        if tables.len() > RULES_MAX {
            let problem = format!("there are more than {RULES_MAX} rules");
            reading.mistake(
                at,
                "rule",
                problem,
                "name many addresses in one rule's list",
            );
            return;
        }
        let mut names = BTreeSet::new();
        for (index, table) in tables.into_iter().enumerate() {
            let place = format!("rule {}", index + 1);
            let Some(rule) = rule(Fields::new(place.clone(), table, reading)) else {
                continue;
            };
            if !names.insert(rule.name.clone()) {
                let problem = format!("another rule is called {:?} too", rule.name);
                let hint = "the log and `posthouse route` tell rules by their names";
                reading.mistake(offset_of(table, "name"), &place, problem, hint);
            }
            self.rules.push(rule);
        }
    }

    fn read_sites(&mut self, at: Option<usize>, item: &Item, reading: &mut Reading<'_>) {
        let Some(tables) = item.as_array_of_tables() else {
            let problem = "this is no list of tables".to_owned();
            reading.mistake(at, "site", problem, "each site begins with [[site]]");
            return;
        };
        if tables.len() > SITES_MAX {
            let problem = format!("there are more than {SITES_MAX} sites");
            reading.mistake(at, "site", problem, "name many hosts in one site's list");
            return;
        }
        for (index, table) in tables.iter().enumerate() {
            let place = format!("site {}", index + 1);
            let site = site(Fields::new(place, table, reading));
            self.sites.push(site);
        }
    }

    /// `[[webhook]]` and `[[subscription]]`.
    fn read_subscribers(
        &mut self,
        (kind, at): (&str, Option<usize>),
        item: &Item,
        reading: &mut Reading<'_>,
    ) {
        let Some(tables) = item.as_array_of_tables() else {
            let problem = "this is no list of tables".to_owned();
            let hint = format!("each begins with [[{kind}]]");
            reading.mistake(at, kind, problem, &hint);
            return;
        };
        if self.subscribers.len() + tables.len() > SUBSCRIBERS_MAX {
            let problem =
                format!("there are more than {SUBSCRIBERS_MAX} webhooks and subscriptions");
            let hint = "what each hears is written down with every outcome";
            reading.mistake(at, kind, problem, hint);
            return;
        }
        for (index, table) in tables.iter().enumerate() {
            let place = format!("{kind} {}", index + 1);
            let is_told = kind == "webhook";
            let fields = Fields::new(place.clone(), table, reading);
            let Some(new) = subscriber(fields, is_told) else {
                continue;
            };
            if self.subscribers.iter().any(|known| known.name == new.name) {
                let problem = format!("another one is called {:?} too", new.name);
                let hint = "what waits for a webhook or a subscription is kept under its name";
                reading.mistake(offset_of(table, "name"), &place, problem, hint);
            }
            self.subscribers.push(new);
        }
    }

    /// Names of transports that are used stand in the file.
    fn check_names(&self, table: &dyn TableLike, reading: &mut Reading<'_>) {
        let mut check = |place: String, at: Option<usize>, name: &str, alone: bool| {
            let stands_alone = self
                .transports
                .get(name)
                .is_some_and(Transport::stands_alone);
            if !alone && stands_alone {
                let problem = format!("{name:?} is no server");
                let hint = "only servers can be tried one after the other, or be a primary";
                reading.mistake(at, &place, problem, hint);
            }
            if !self.transports.contains_key(name) && !has(table, "transport", name) {
                let problem = format!("there is no [transport.{name}] in this file");
                reading.mistake(at, &place, problem, "\"mx\", or the name of a transport");
            }
        };
        for rule in &self.rules {
            if let Action::Via(Way::Transports(names)) = &rule.then {
                let tables = table.get("rule").and_then(Item::as_array_of_tables);
                let named = tables.and_then(|tables| {
                    let called = |table: &&toml_edit::Table| {
                        table.get("name").and_then(Item::as_str) == Some(&rule.name)
                    };
                    tables.iter().find(called)
                });
                let at = named.and_then(|table| offset_of(table, "via"));
                let alone = names.len() == 1;
                for name in names {
                    check(format!("rule {:?}, via", rule.name), at, name, alone);
                }
            }
        }
        for (index, site) in self.sites.iter().enumerate() {
            if let Some(name) = &site.detour {
                let tables = table.get("site").and_then(Item::as_array_of_tables);
                let own = tables.and_then(|tables| tables.get(index));
                let at = own.and_then(|table| offset_of(table, "detour"));
                let is_direct = matches!(self.transports.get(name), Some(Transport::Direct(_)));
                check(format!("site {}, detour", index + 1), at, name, is_direct);
            }
        }
        for (domain, relay) in &self.relay_domains {
            for name in &relay.via {
                let tables = table.get("relay_domain").and_then(Item::as_table_like);
                let own = tables.and_then(|tables| tables.get(domain.as_str())?.as_table_like());
                let at = own.and_then(|table| offset_of(table, "via"));
                check(format!("relay domain \"{domain}\", via"), at, name, false);
            }
        }
    }
}

/// The secret in the first line of a file.
fn first_line(
    key: &str,
    file: &Path,
    mistaken: &dyn Fn(Mistakes) -> LoadError,
) -> Result<Secret, LoadError> {
    let text = std::fs::read_to_string(file).map_err(|error| LoadError::Unreadable {
        path: file.to_owned(),
        error,
    })?;
    if let Some(line) = text.lines().next().filter(|line| !line.is_empty()) {
        return Ok(Secret::from(line));
    }
    let mistake = Mistake {
        line: None,
        key: key.to_owned(),
        problem: format!("{} holds no secret", file.display()),
        hint: "its first line is the password, or the secret".to_owned(),
    };
    Err(mistaken(Mistakes(vec![mistake])))
}

fn has(table: &dyn TableLike, section: &str, name: &str) -> bool {
    let section = table.get(section).and_then(Item::as_table_like);
    section.is_some_and(|section| section.contains_key(name))
}

fn relay_domain(mut fields: Fields<'_, '_, '_>) -> RelayDomain {
    let lifetime = fields.take("lifetime").unwrap_or(RELAY_LIFETIME);
    if !LIFETIMES.contains(&lifetime.as_secs()) {
        let problem = "it is not between an hour and a year".to_owned();
        fields.mistake("lifetime", problem, "such as \"4w\"");
    }
    let via = match fields.take("via") {
        Some(Way::Transports(names)) => names,
        Some(Way::Mx) | None => Vec::new(),
    };
    let asks = fields.take("verify").unwrap_or(false);
    let verify = Verify {
        known_for: fields.take("known_for").unwrap_or(KNOWN_FOR),
        unknown_for: fields.take("unknown_for").unwrap_or(UNKNOWN_FOR),
        unsure: fields.take("unsure").unwrap_or(Unsure::Accept),
    };
    let relay = RelayDomain {
        verify: asks.then_some(verify),
        lifetime,
        etrn: fields
            .take("etrn")
            .map_or_else(Vec::new, |Networks(all)| all),
        atrn: fields.take("atrn").unwrap_or_default(),
        via,
    };
    fields.done();
    relay
}

fn transport(mut fields: Fields<'_, '_, '_>) -> Option<Transport> {
    let kind = fields.take("kind").unwrap_or(TransportKind::Smtp);
    match kind {
        TransportKind::Smtp | TransportKind::Lmtp => server(kind, fields).map(Transport::Server),
        TransportKind::Mx => addresses(fields).map(Transport::Direct),
        TransportKind::Pipe => program(fields).map(Transport::Gateway),
        TransportKind::Maildir => path(fields).map(Gateway::Maildir).map(Transport::Gateway),
        TransportKind::Mbox => path(fields).map(Gateway::Mbox).map(Transport::Gateway),
        TransportKind::Bsmtp => path(fields).map(Gateway::Bsmtp).map(Transport::Gateway),
        TransportKind::Webhook => webhook(fields)
            .map(Gateway::Webhook)
            .map(Transport::Gateway),
        TransportKind::Worker => {
            fields.done();
            Some(Transport::Gateway(Gateway::Worker))
        }
    }
}

fn program(mut fields: Fields<'_, '_, '_>) -> Option<Gateway> {
    let command: Option<Vec<Word>> = fields.take("command");
    let command: Vec<String> = (command.into_iter().flatten().map(|word| word.0)).collect();
    let timeout = fields.take("timeout").unwrap_or(PROGRAM_TIMEOUT);
    let is_named = command.first().is_some_and(|program| {
        // What a stranger writes never names what is run.
        program.starts_with('/') && !program.contains('{')
    });
    if !is_named && !fields.has_failed("command") {
        let problem = "it names no program by its whole path".to_owned();
        let hint = "such as command = [\"/usr/local/bin/tickets\", \"{recipient}\"]";
        fields.mistake("command", problem, hint);
    }
    if timeout.is_zero() || timeout > PROGRAM_TIMEOUT_MAX {
        let problem = "it is not between a second and 20 minutes".to_owned();
        fields.mistake("timeout", problem, "such as \"5m\"");
    }
    fields.done();
    Some(Gateway::Program { command, timeout })
}

fn subscriber(mut fields: Fields<'_, '_, '_>, is_told: bool) -> Option<Subscriber> {
    let name: Option<String> = fields.take("name");
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let fits = |name: &String| (1..=64).contains(&name.len()) && name.chars().all(letter);
    let name = name.filter(fits);
    if name.is_none() && !fields.has_failed("name") {
        let problem = "it has no name of letters, digits, - and _".to_owned();
        fields.mistake("name", problem, "such as name = \"crm\"");
    }
    let events = fields.take("events").unwrap_or_default();
    let sender = fields.take("sender").unwrap_or_default();
    let domain = fields.take("domain").unwrap_or_default();
    let hook = if is_told {
        Some(webhook(fields)?)
    } else {
        fields.done();
        None
    };
    Some(Subscriber {
        name: name?,
        hook,
        events,
        sender,
        domain,
    })
}

fn webhook(mut fields: Fields<'_, '_, '_>) -> Option<Webhook> {
    let url = web_address(&mut fields);
    let secret_file: Option<PathBuf> = fields.take("secret_file");
    let timeout = fields.take("timeout").unwrap_or(WEBHOOK_TIMEOUT);
    if timeout.is_zero() || timeout > PROGRAM_TIMEOUT_MAX {
        let problem = "it is not between a second and 20 minutes".to_owned();
        fields.mistake("timeout", problem, "such as \"1m\"");
    }
    fields.done();
    Some(Webhook {
        url: url?,
        secret_file: secret_file.unwrap_or_default(),
        secret: Secret::default(),
        timeout,
    })
}

/// `url`: https, or http on this machine.
fn web_address(fields: &mut Fields<'_, '_, '_>) -> Option<String> {
    let url: Option<String> = fields.take("url");
    let url = url.unwrap_or_default();
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains('#');
    let host = |rest: &str| {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(literal) => literal.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        // A name and a password would stand in logs.
        (!host.is_empty() && !authority.contains('@')).then(|| host.to_owned())
    };
    let is_here = |host: &str| {
        let address = host.parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    let good = match url.split_once("://") {
        Some(("https", rest)) => host(rest).is_some(),
        Some(("http", rest)) => host(rest).is_some_and(|host| is_here(&host)),
        _ => false,
    };
    if good && plain {
        return Some(url);
    }
    if !fields.has_failed("url") {
        let problem = "it has no address that begins with https://".to_owned();
        let hint = "such as url = \"https://app.example.org/mail\"; http:// only on this machine, without a password in it";
        fields.mistake("url", problem, hint);
    }
    None
}

fn path(mut fields: Fields<'_, '_, '_>) -> Option<PathBuf> {
    let path: Option<PathBuf> = fields.take("path");
    let is_whole = path.as_ref().is_some_and(|path| path.is_absolute());
    if !is_whole && !fields.has_failed("path") {
        let problem = "it has no whole path".to_owned();
        fields.mistake("path", problem, "such as path = \"/srv/archive/{domain}\"");
    }
    fields.done();
    path
}

/// Addresses of this machine.
fn addresses(mut fields: Fields<'_, '_, '_>) -> Option<Vec<IpAddr>> {
    let given: Option<Vec<Word>> = fields.take("source_addresses");
    let mut addresses = Vec::new();
    for Word(text) in given.iter().flatten() {
        match text.parse::<IpAddr>() {
            Ok(ip) if !ip.is_unspecified() && !ip.is_multicast() => addresses.push(ip),
            _ => {
                let problem = format!("{text:?} is no address of one machine");
                fields.mistake("source_addresses", problem, "such as \"192.0.2.8\"");
            }
        }
    }
    if given.is_none_or(|given| given.is_empty()) && !fields.has_failed("source_addresses") {
        let problem = "it names no address to send from".to_owned();
        let hint = "such as source_addresses = [\"192.0.2.8\", \"2001:db8::8\"]";
        fields.mistake("source_addresses", problem, hint);
    }
    fields.done();
    Some(addresses)
}

fn server(kind: TransportKind, mut fields: Fields<'_, '_, '_>) -> Option<Server> {
    let host: Option<HostPort> = fields.take("host");
    let host = host.and_then(|HostPort(host)| host);
    if host.is_none() && !fields.has_failed("host") {
        let problem = "its host is missing".to_owned();
        fields.mistake("host", problem, "such as host = \"relay.example.net:587\"");
    }
    let user: Option<String> = fields.take("user");
    let password_file: Option<PathBuf> = fields.take("password_file");
    if user.is_some() != password_file.is_some() {
        let problem = "user and password_file need each other".to_owned();
        fields.mistake("user", problem, "set both, or neither");
    }
    let tls = fields.take("tls");
    if kind == TransportKind::Lmtp && user.is_some() {
        let problem = "there is no login over LMTP".to_owned();
        fields.mistake("user", problem, "leave it out, or say kind = \"smtp\"");
    }
    fields.done();
    let (host, port) = host?;
    Some(Server {
        kind,
        host,
        port,
        user,
        password_file: password_file.unwrap_or_default(),
        password: Secret::default(),
        tls,
    })
}

fn site(mut fields: Fields<'_, '_, '_>) -> SiteRule {
    let hosts: Vec<_> = fields.take("hosts").unwrap_or_default();
    let mut number = |name: &'static str, range: std::ops::RangeInclusive<u64>| {
        let given: Option<u64> = fields.take(name);
        if let Some(given) = given
            && !range.contains(&given)
        {
            let problem = format!(
                "{given} is not between {} and {}",
                range.start(),
                range.end()
            );
            fields.mistake(name, problem, "");
        }
        given
    };
    let connections = number("connections", SITE_CONNECTIONS);
    let messages_per_connection = number("messages_per_connection", SITE_MESSAGES);
    let messages_per_minute = number("messages_per_minute", SITE_PACE);
    let tls = fields.take("tls");
    if tls == Some(TransportTls::Implicit) {
        let problem = "port 25 has no TLS from the first octet".to_owned();
        fields.mistake("tls", problem, "opportunistic, required, verified or never");
    }
    let chunking = fields.take("chunking");
    let detour = fields.take("detour");
    fields.done();
    SiteRule {
        hosts,
        connections,
        messages_per_connection,
        messages_per_minute,
        tls,
        chunking,
        detour,
    }
}

/// What a rule can say, as it is written; one of them in each.
const ACTIONS: &str = "allow, refuse, defer, hold, via, rewrite_sender, rewrite_recipient, add_header, remove_header, bcc or priority";

fn rule(mut fields: Fields<'_, '_, '_>) -> Option<Rule> {
    let name: Option<String> = fields.take("name");
    match &name {
        Some(name) if !name.trim().is_empty() => fields.place.push_str(&format!(" {name:?}")),
        _ => {
            let problem = "it has no name".to_owned();
            fields.mistake("name", problem, "name = \"what it is for\"");
        }
    }
    let when = match fields.table("when") {
        Some(table) => {
            let place = format!("{}, when", fields.place);
            when(Fields::new(place, table, fields.reading))
        }
        None => When::default(),
    };
    let mut actions = Vec::new();
    actions.extend(fields.take("allow").map(|allow: bool| match allow {
        true => Ok(Action::Allow),
        false => Err((
            "allow",
            "it allows or says nothing",
            "say refuse or defer to keep it out",
        )),
    }));
    let mut add = |action: Option<Action>| actions.extend(action.map(Ok));
    add(fields
        .take("refuse")
        .map(|Refusal(reply)| Action::Refuse(reply)));
    add(fields
        .take("defer")
        .map(|Deferral(reply)| Action::Defer(reply)));
    add(fields.take("hold").map(Action::Hold));
    add(fields.take("via").map(Action::Via));
    add(fields.take("rewrite_sender").map(Action::RewriteSender));
    add(fields
        .take("rewrite_recipient")
        .map(Action::RewriteRecipient));
    add(fields
        .take("add_header")
        .map(|HeaderFields(all)| Action::AddHeader(all)));
    add(fields
        .take("remove_header")
        .map(|FieldNames(all)| Action::RemoveHeader(all)));
    add(fields.take("bcc").map(Action::Bcc));
    add(fields
        .take("priority")
        .map(|Rank(priority)| Action::Priority(priority)));
    let action = match actions.as_slice() {
        [Ok(action)] => Some(action.clone()),
        [Err((key, problem, hint))] => {
            fields.mistake(key, (*problem).to_owned(), hint);
            None
        }
        [] if fields.any_failed() => None,
        all => {
            let count = if all.is_empty() {
                "no"
            } else {
                "more than one"
            };
            let problem = format!("it has {count} action");
            let hint = format!("say one of {ACTIONS}");
            fields.mistake("name", problem, &hint);
            None
        }
    };
    if matches!(action, Some(Action::Via(_))) {
        // Mail that waits is asked about again at each attempt, by what is kept of it.
        let late = [
            ("helo", !when.helo.is_empty()),
            ("recipient", !when.recipient.is_empty()),
            ("larger_than", when.larger_than.is_some()),
            ("more_recipients_than", when.more_recipients_than.is_some()),
        ];
        for (key, _) in late.into_iter().filter(|(_, set)| *set) {
            let problem = format!("a way is not chosen by {key}");
            let hint = "by domain, sender, user or ip; a single recipient is led away by rewrite_recipient";
            fields.mistake("via", problem, hint);
        }
    }
    fields.done();
    Some(Rule {
        name: name?,
        when,
        then: action?,
    })
}

fn when(mut fields: Fields<'_, '_, '_>) -> When {
    let size: Option<Size> = fields.take("larger_than");
    let when = When {
        ip: fields.take("ip").map_or_else(Vec::new, |Networks(all)| all),
        helo: fields.take("helo").unwrap_or_default(),
        sender: fields.take("sender").unwrap_or_default(),
        recipient: fields.take("recipient").unwrap_or_default(),
        domain: fields.take("domain").unwrap_or_default(),
        user: fields.take("user"),
        larger_than: size.map(|Size(bytes)| bytes),
        more_recipients_than: fields.take("more_recipients_than"),
    };
    fields.done();
    when
}
