//! What is said to a destination, while somebody looks on.

use deliver::{Patience, Said, Speaker};
use envelope::Domain;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settings::rules::Transport;

use super::{ActResult, failed};
use crate::place;
use crate::store::Store;
use crate::wire::outgoing;

/// Whom, and from where on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Look {
    /// A domain, a host, an address, a transport of the rules file, or `smart-host`.
    pub(crate) of: String,
    /// The number of the last line that is known; none for the first question.
    pub(crate) after: Option<u64>,
}

/// The lines behind the one that is known. Asked again and again, as long as somebody looks.
pub(super) async fn read(store: &Store, look: Look) -> ActResult {
    if store.outgoing.get().is_none() {
        return Err(failed(
            "nothing is sent while the server does not run".to_owned(),
        ));
    }
    let names = match look.after {
        None => names(store, &look.of).await,
        Some(_) => vec![look.of.clone()],
    };
    let after = look.after.unwrap_or(0);
    let transcripts = &store.transcripts;
    let said = transcripts.read(&store.runtime, &look.of, &names, after);
    let Some(said) = said else {
        return Err(failed("too many look at transcripts already".to_owned()));
    };
    let last = said.last().map_or(after, |said| said.number);
    let lines: Vec<Value> = said.iter().map(line).collect();
    Ok(json!({"lines": lines, "last": last, "hosts": names}))
}

/// The hosts that stand behind a name, as far as they can be found now.
async fn names(store: &Store, of: &str) -> Vec<String> {
    let mut names = vec![of.to_owned()];
    let settings = &store.settings;
    if of == "smart-host"
        && let Some((host, _)) = settings.outbound.smart_host.get()
    {
        return vec![host.to_string()];
    }
    if let Some(Transport::Server(server)) = store.rules.get().transports.get(of) {
        return vec![server.host.clone()];
    }
    let Ok(domain) = Domain::parse(of) else {
        return names;
    };
    let Ok(dns) = outgoing::resolver(settings, &store.runtime) else {
        return names;
    };
    let hostname = place::hostname(settings);
    if let Ok(ports) = outgoing::deliver_ports(settings, &hostname, store, dns)
        && let Ok(hops) = deliver::preview(&ports, &domain, Patience::Usual).await
    {
        names.extend(hops.into_iter().map(|hop| hop.host));
    }
    names
}

fn line(said: &Said) -> Value {
    let by = match said.by {
        Speaker::Us => "us",
        Speaker::Them => "them",
        Speaker::Neither => "neither",
    };
    json!({
        "at": observe::rfc3339(said.at_ms),
        "connection": said.connection,
        "host": &*said.host,
        "by": by,
        "text": said.text,
    })
}
