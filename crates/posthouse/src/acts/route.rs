//! What would become of a message, and why: the same questions to the same parts as a real one, with each answer told.
//!
//! Nothing is sent, and nobody is asked but the name servers.

use std::net::{IpAddr, Ipv4Addr};

use deliver::{Patience, Route, TlsPolicy};
use directory::{Identity, Target};
use dispatch::Watch;
use envelope::{Address, ForwardPath, ReversePath};
use policy::rules::{self, Asked, Origin};
use policy::{Decision, Policy, Role, Session};
use queue_model::Party;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settings::OutboundMode;
use settings::rules::{Action, Question, Rules, Transport, Way};

use super::queue::{server, time};
use super::{ActResult, CommandError, failed, of_directory, optional, parse_address};
use crate::bind::{route_to, site_tls};
use crate::place;
use crate::store::Store;
use crate::wire::outgoing;

/// What is asked.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) sender: String,
    pub(crate) recipient: String,
    pub(crate) from_ip: Option<IpAddr>,
    pub(crate) helo: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) size: Option<u64>,
}

pub(super) async fn route(store: &Store, ask: Ask) -> ActResult {
    let sender = match ask.sender.as_str() {
        "" | "<>" => ReversePath::Null,
        text => ReversePath::Address(parse_address(text)?),
    };
    let recipient = parse_address(&ask.recipient)?;
    let user = optional(ask.user.as_deref(), parse_address)?;
    let session = session(store, &ask, user).await?;
    let policy = Policy::new(
        store.directory.clone(),
        store.mailstore.clone(),
        store.engine.clone(),
        store.runtime.clone(),
        store.settings.relay.networks.clone(),
    )
    .with_rules(store.rules.clone())
    .with_returns(store.returns.clone())
    .with_suppressed(store.suppressed.clone());
    let helo = ask.helo.as_deref().unwrap_or_default();
    let mut origin = Origin::new(&session, helo, &sender);
    origin.ip = ask.from_ip;
    let mut told = Told {
        store,
        rules: store.rules.get(),
        steps: Vec::new(),
        ways: Vec::new(),
    };
    let decision = told
        .decide(&policy, &session, &origin, &recipient, ask.size)
        .await;
    let outcome = match &decision {
        Decision::Refuse(reply) => json!({"decision": "refused", "reply": reply.to_line()}),
        decision => {
            told.shape(&origin, &recipient, ask.size);
            told.follow(&origin, decision).await?;
            let held = told.steps.iter().any(|step| step["about"] == "held");
            json!({"decision": if held { "held" } else { "taken" }})
        }
    };
    let mut answer = json!({
        "sender": ask.sender,
        "recipient": ask.recipient,
        "steps": told.steps,
        "ways": told.ways,
    });
    for (name, value) in outcome.as_object().into_iter().flatten() {
        answer[name] = value.clone();
    }
    Ok(answer)
}

async fn session(store: &Store, ask: &Ask, user: Option<Address>) -> Result<Session, CommandError> {
    let identity = match &user {
        None => None,
        Some(user) => {
            let account = store.directory.account_show(user).await;
            let account = account.map_err(of_directory)?;
            Some(Identity {
                account: account.id,
                address: account.address,
                admin: account.admin,
                app_password: None,
            })
        }
    };
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Ok(Session {
        role: match identity {
            Some(_) => Role::Submission,
            None => Role::Mx,
        },
        client_ip: ask.from_ip.unwrap_or(unknown),
        server_ip: unknown,
        identity,
        local_user: None,
    })
}

/// The explanation as it grows.
struct Told<'a> {
    store: &'a Store,
    rules: std::sync::Arc<Rules>,
    steps: Vec<Value>,
    ways: Vec<Value>,
}

impl Told<'_> {
    fn say(&mut self, about: &str, text: impl Into<String>) {
        self.steps
            .push(json!({"about": about, "text": text.into()}));
    }

    /// Asks a question of the rules and tells about each of them; what the one that answers says.
    fn ask(&mut self, question: Question, asked: &Asked<'_>) -> Option<Action> {
        let rules = std::sync::Arc::clone(&self.rules);
        let mut answer = None;
        for step in rules::steps(&rules, question, asked) {
            let name = &step.rule.name;
            let text = match &step.unfit {
                Some(why) => format!("rule {name:?} does not match: {why}"),
                None => format!("rule {name:?} matches: {}", said(&step.rule.then)),
            };
            self.steps.push(json!({
                "about": question.as_str(),
                "text": text,
                "rule": name,
                "matches": step.unfit.is_none(),
            }));
            if step.unfit.is_none() {
                answer = Some(step.rule.then.clone());
            }
        }
        answer
    }

    async fn decide(
        &mut self,
        policy: &Policy,
        session: &Session,
        origin: &Origin,
        recipient: &Address,
        size: Option<u64>,
    ) -> Decision {
        if let Err(reply) = policy.check_sender(session, &origin.sender).await {
            self.say("refused", reply.to_line());
            return Decision::Refuse(reply);
        }
        let asked = Asked {
            origin,
            recipient,
            size,
            recipients: 1,
        };
        match self.ask(Question::Verdict, &asked) {
            Some(Action::Refuse(reply) | Action::Defer(reply)) => {
                self.say("refused", reply.to_line());
                return Decision::Refuse(reply);
            }
            Some(Action::Hold(reason)) => {
                self.say("held", format!("until `posthouse queue release`: {reason}"));
            }
            _ => {}
        }
        let instead = match self.ask(Question::Recipient, &asked) {
            Some(Action::RewriteRecipient(rewrite)) => rewrite.apply(recipient),
            _ => None,
        };
        let decision = match &instead {
            Some(instead) => {
                self.say("recipient", format!("{recipient} becomes {instead}"));
                policy
                    .check_rewritten(session, recipient, instead, size)
                    .await
            }
            None => {
                let path = ForwardPath::Address(recipient.clone());
                let returned = policy.check_returned(session, &origin.sender, &path, size);
                match returned.await {
                    Some(decision) => decision,
                    None => policy.check_recipient(session, &path, size).await,
                }
            }
        };
        match &decision {
            Decision::Refuse(reply) => self.say("refused", reply.to_line()),
            Decision::Local(targets) => {
                for target in targets {
                    self.say(
                        "leads to",
                        leads(instead.as_ref().unwrap_or(recipient), target),
                    );
                }
            }
            Decision::Relay(address) => {
                let why = if self.rules.relay_domains.contains_key(address.domain()) {
                    "is a relay domain: we are its backup MX"
                } else {
                    "is elsewhere, and this client may send there"
                };
                self.say("leads to", format!("{address}: {} {why}", address.domain()));
            }
        }
        decision
    }

    fn shape(&mut self, origin: &Origin, recipient: &Address, size: Option<u64>) {
        let asked = Asked {
            origin,
            recipient,
            size,
            recipients: 1,
        };
        for question in [
            Question::Sender,
            Question::AddHeader,
            Question::RemoveHeader,
            Question::Bcc,
        ] {
            self.ask(question, &asked);
        }
    }

    /// The way of everything that leaves, or where it stays.
    async fn follow(&mut self, origin: &Origin, decision: &Decision) -> Result<(), CommandError> {
        let targets = match decision {
            Decision::Relay(address) => vec![Target::Forward(address.clone())],
            Decision::Local(targets) => targets.clone(),
            Decision::Refuse(_) => Vec::new(),
        };
        for target in targets {
            match target {
                Target::Account { address, .. } => {
                    let text = format!("{address}: local, into the mailbox, within the session");
                    self.say("way", text);
                    let way = json!({"recipient": address.to_string(), "transport": "local"});
                    self.ways.push(way);
                }
                Target::Forward(address) => self.outward(origin, &address).await?,
            }
        }
        Ok(())
    }

    async fn outward(&mut self, origin: &Origin, address: &Address) -> Result<(), CommandError> {
        let store = self.store;
        let outbound = &store.settings.outbound;
        let rules = std::sync::Arc::clone(&self.rules);
        if let Some(relay) = rules.relay_domains.get(address.domain()) {
            let days = relay.lifetime.as_secs() / 86_400;
            self.say(
                "way",
                format!("{address}: to its primary, tried for {days} days"),
            );
            if relay.verify.is_some() {
                let text =
                    "its primary is asked whether it knows the recipient (not by this command)";
                self.say("verify", text);
            }
            return match relay.via.as_slice() {
                [] => self.by_mx(address, Patience::Primary, &[]).await,
                names => self.by_transports(address, names).await,
            };
        }
        let asked = Asked {
            origin,
            recipient: address,
            size: None,
            recipients: 1,
        };
        let way = self.ask(Question::Way, &asked);
        let smart_host =
            outgoing::smart_host(outbound).map_err(|error| failed(format!("{error:#}")))?;
        match (way, smart_host) {
            _ if outbound.mode == OutboundMode::Hold => {
                let text = "held: mail for elsewhere waits for a person (outbound.mode)";
                self.say("way", format!("{address}: {text}"));
                self.ways
                    .push(json!({"recipient": address.to_string(), "transport": "hold"}));
                Ok(())
            }
            (Some(Action::Via(Way::Transports(names))), _) => {
                self.by_transports(address, &names).await
            }
            (Some(Action::Via(Way::Mx)), _) | (None, None) => {
                self.by_mx(address, Patience::Usual, &[]).await
            }
            (_, Some(host)) => {
                self.by_host(address, 0, "smart host", &host.into());
                Ok(())
            }
            (Some(_), None) => Ok(()),
        }
    }

    async fn by_transports(
        &mut self,
        address: &Address,
        names: &[String],
    ) -> Result<(), CommandError> {
        for (at, name) in names.iter().enumerate() {
            self.by_transport(address, name, at).await?;
        }
        Ok(())
    }

    async fn by_transport(
        &mut self,
        address: &Address,
        name: &str,
        place: usize,
    ) -> Result<(), CommandError> {
        let rules = std::sync::Arc::clone(&self.rules);
        let Some(transport) = rules.transports.get(name) else {
            return Err(failed(format!("there is no transport {name:?}")));
        };
        let server = match transport {
            Transport::Server(server) => server,
            Transport::Direct(sources) => {
                return self.by_mx(address, Patience::Usual, sources).await;
            }
            Transport::Gateway(gateway) => {
                let what = format!("transport {name} ({})", gateway.kind().as_str());
                let leads_to = gateway.to_string();
                self.say("way", format!("{address}: {what}, {leads_to}"));
                self.ways.push(json!({
                    "recipient": address.to_string(),
                    "transport": what,
                    "leads_to": leads_to,
                }));
                return Ok(());
            }
        };
        let kind = server.kind.as_str();
        let route = route_to(server);
        let what = format!("transport {name} ({kind})");
        self.by_host(address, place, &what, &route);
        Ok(())
    }

    /// The `place`th host that is tried, from 0.
    fn by_host(&mut self, address: &Address, place: usize, what: &str, route: &Route) {
        let tls = tls_said(route.tls);
        let (host, port) = (&route.host, route.port);
        let when = if place == 0 {
            ""
        } else {
            "where that is not reached or turns us away, "
        };
        self.say(
            "way",
            format!("{address}: {when}{what}, {host} port {port}; TLS {tls}"),
        );
        let servers = self.servers(&deliver::party_of_route(route));
        self.ways.push(json!({
            "recipient": address.to_string(),
            "transport": what,
            "place": place + 1,
            "hosts": [{"host": host, "port": port}],
            "tls": tls,
            "servers": servers,
        }));
    }

    /// How much the servers take, as far as is known: nothing goes there now, or it has
    /// been learned.
    fn servers(&mut self, party: &Party) -> Value {
        let parties = self.store.outgoing.get().map(Watch::parties);
        let status = parties.into_iter().flatten();
        let Some(status) = status.into_iter().find(|status| status.party == *party) else {
            return Value::Null;
        };
        let mut text = format!(
            "{party}: {} of {} connections",
            status.connections, status.allowed
        );
        if let Some((level, until)) = status.refused {
            let until = time(until.unix_ms);
            text.push_str(&format!(
                "; {level} were refused, tried again after {until}"
            ));
        }
        if let Some(until) = status.rests_until {
            text.push_str(&format!("; rests until {}", time(until.unix_ms)));
        }
        if let Some(last) = &status.last {
            let at = time(last.at.unix_ms);
            text.push_str(&format!("; {at} {}: {}", last.signal.name(), last.text));
        }
        self.say("site", text);
        server(&status)
    }

    /// By the domain's own servers, from these addresses or the usual ones.
    async fn by_mx(
        &mut self,
        address: &Address,
        patience: Patience,
        sources: &[IpAddr],
    ) -> Result<(), CommandError> {
        let (store, domain) = (self.store, address.domain());
        let settings = &store.settings;
        let wrong = |error: anyhow::Error| failed(format!("{error:#}"));
        let dns = outgoing::resolver(settings, &store.runtime).map_err(wrong)?;
        let hostname = place::hostname(settings);
        let ports = outgoing::deliver_ports(settings, &hostname, store, dns);
        let ports = ports.map_err(wrong)?;
        let party = deliver::party_of(&ports, domain).await;
        let demanded = party
            .as_ref()
            .and_then(|party| site_tls(&self.rules, party));
        let tls = tls_said(demanded.unwrap_or(TlsPolicy::Opportunistic));
        let sources: Vec<String> = sources.iter().map(IpAddr::to_string).collect();
        let from = match sources.as_slice() {
            [] => String::new(),
            some => format!(", from {}", some.join(" or ")),
        };
        self.say(
            "way",
            format!("{address}: by the MX of {domain}{from}; TLS {tls}"),
        );
        let mut hosts = Vec::new();
        match deliver::preview(&ports, domain, patience).await {
            Ok(hops) => {
                for hop in hops {
                    let addresses = hop.addresses.iter().map(|(ip, unused)| match unused {
                        Some(why) => format!("{ip} (not used: {why})"),
                        None => ip.to_string(),
                    });
                    let addresses: Vec<String> = addresses.collect();
                    let note = hop.unused.as_ref().map(|why| format!("; left out: {why}"));
                    let demand = hop.demanded_by.as_ref();
                    let demand = demand.map(|by| format!("; good TLS or nothing, by {by}"));
                    let text = format!(
                        "{} {} {}{}{}",
                        hop.preference,
                        hop.host,
                        addresses.join(" "),
                        demand.unwrap_or_default(),
                        note.unwrap_or_default()
                    );
                    self.say("mx", text);
                    hosts.push(json!({
                        "preference": hop.preference,
                        "host": hop.host,
                        "addresses": addresses,
                        "tls_demanded_by": hop.demanded_by,
                        "left_out": hop.unused,
                    }));
                }
            }
            Err(outcome) => self.say("mx", outcome.reply().to_line()),
        }
        let servers = party.map(|party| self.servers(&party));
        self.ways.push(json!({
            "recipient": address.to_string(),
            "transport": "mx",
            "hosts": hosts,
            "tls": tls,
            "source_addresses": sources,
            "servers": servers,
        }));
        Ok(())
    }
}

fn leads(named: &Address, target: &Target) -> String {
    match target {
        Target::Account {
            address, detail, ..
        } => match detail {
            _ if address.to_key() == named.to_key() => format!("{named}: an account here"),
            Some(detail) => format!("{named}: {address}, with the detail {detail:?}"),
            None => format!("{named}: {address}, by an alias, a role or the catch-all"),
        },
        Target::Forward(address) => format!(
            "{named}: on to {address}, by an alias, or as the sender before it was rewritten"
        ),
    }
}

fn said(action: &Action) -> String {
    match action {
        Action::Allow => "allow".to_owned(),
        Action::Refuse(reply) => format!("refuse, {}", reply.to_line()),
        Action::Defer(reply) => format!("defer, {}", reply.to_line()),
        Action::Hold(reason) => format!("hold, {reason}"),
        Action::Via(way) => format!("via {way}"),
        Action::RewriteSender(rewrite) => format!("the sender becomes {rewrite}"),
        Action::RewriteRecipient(rewrite) => format!("the recipient becomes {rewrite}"),
        Action::AddHeader(fields) => format!("adds {}", fields.join(", ")),
        Action::RemoveHeader(names) => format!("removes {}", names.join(", ")),
        Action::Bcc(addresses) => {
            let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("also to {}", all.join(", "))
        }
        Action::Priority(priority) => format!("priority {priority}"),
    }
}

fn tls_said(tls: TlsPolicy) -> &'static str {
    match tls {
        TlsPolicy::Never => "never",
        TlsPolicy::Opportunistic => "where it is offered, with any certificate",
        TlsPolicy::Required => "required, with any certificate",
        TlsPolicy::Verified => "required, with a good certificate",
        TlsPolicy::Implicit => "from the first byte, with a good certificate",
    }
}

#[cfg(test)]
mod tests;
