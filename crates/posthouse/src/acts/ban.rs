//! Acts on bans: who is turned away, by whom, why, and how it ends.

use std::net::IpAddr;

use admin::control::{CommandError, FailureKind};
use policy::check::bans::{Ban, BanError, By};
use runtime::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settings::Network;

use super::{ActResult, Named, failed, usage};
use crate::moment;
use crate::store::Store;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) network: String,
    pub(crate) until: String,
    pub(crate) reason: String,
}

/// Bans a network on every port, but not addresses from which somebody logged in well.
pub(super) async fn add(store: &Store, args: Add) -> ActResult {
    let network = parse(&args.network)?;
    if let Some(exempt) = store
        .door
        .exempt
        .iter()
        .find(|e| e.contains(network.address))
    {
        return Err(CommandError::new(
            FailureKind::Conflict,
            format!(
                "{network} is in {exempt} of door.exempt, where nobody is ever turned away; take that out first"
            ),
        ));
    }
    let from = store.runtime.now();
    let until = moment::parse_to_come(&args.until, from.unix_ms).map_err(usage)?;
    let ban = Ban {
        network,
        from,
        until: Timestamp { unix_ms: until },
        by: By::Operator,
        reason: args.reason,
    };
    let answer = shown(&ban);
    match store.door.bans.add(ban).await {
        Ok(()) => Ok(answer),
        Err(error @ BanError::TooMany) => {
            Err(CommandError::new(FailureKind::Conflict, error.to_string()))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Those of operators and of the door, and who may not try passwords.
pub(super) fn list(store: &Store) -> Value {
    let now = store.runtime.now();
    let bans = store.door.bans.list();
    let logins = store.directory.login_bans();
    let logins = logins.into_iter().map(|(address, left)| {
        json!({
            "network": Network { address, prefix: prefix(address) }.to_string(),
            "by": "login",
            "from": Value::Null,
            "until": observe::rfc3339(now.after(left).unix_ms),
            "reason": "too many wrong passwords",
        })
    });
    bans.iter().map(shown).chain(logins).collect()
}

/// Ends a ban, whoever made it.
pub(super) async fn lift(store: &Store, args: Named) -> ActResult {
    let network = parse(&args.name)?;
    let lifted = store.door.bans.lift(network).await.map_err(failed)?;
    store.door.conduct.forgive(network.address);
    let mut lifted: Vec<Value> = lifted.iter().map(shown).collect();
    let logins = store.directory.login_bans();
    for (address, _) in logins
        .into_iter()
        .filter(|(of, _)| network.contains(*of) || login_holds(*of, network))
    {
        store.directory.lift_ban(address);
        lifted.push(json!({"network": address.to_string(), "by": "login"}));
    }
    if lifted.is_empty() {
        return Err(CommandError::new(
            FailureKind::NotFound,
            format!("{network} is not banned; `posthouse ban list` shows who is"),
        ));
    }
    Ok(Value::Array(lifted))
}

/// Logins are counted by /64 in IPv6.
fn login_holds(counted: IpAddr, network: Network) -> bool {
    let counted = Network {
        address: counted,
        prefix: prefix(counted),
    };
    counted.contains(network.address)
}

fn prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 64 }
}

fn parse(text: &str) -> Result<Network, CommandError> {
    Network::parse(text).ok_or_else(|| {
        usage(format!(
            "{text:?} is neither an address nor a network such as 192.0.2.0/24"
        ))
    })
}

fn shown(ban: &Ban) -> Value {
    json!({
        "network": ban.network.to_string(),
        "by": ban.by.as_str(),
        "from": observe::rfc3339(ban.from.unix_ms),
        "until": observe::rfc3339(ban.until.unix_ms),
        "reason": ban.reason,
    })
}
