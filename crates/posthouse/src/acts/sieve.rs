//! Acts on the filter scripts of an account, and on a script that is nobody's yet.

use std::sync::Arc;

use admin::control::{CommandError, FailureKind};
use mailstore::{Account, ScriptChange, ScriptRefusal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sieve::{
    Input, Limits, Moment, Offer, Outcome, SieveEnvelope, WholeMessage, World, WorldError,
};

use super::{ActResult, failed, of_directory, parse_address, usage};
use crate::store::Store;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Put {
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) source: String,
}

/// One script of an account.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Script {
    pub(crate) account: String,
    pub(crate) name: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OfAccount {
    pub(crate) account: String,
}

/// A script, and a message to try it on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) source: String,
    pub(crate) message: Option<String>,
}

pub(super) async fn put(store: &Store, args: Put) -> ActResult {
    let account = mail_of(store, &args.account).await?;
    let octets = args.source.len();
    let change = ScriptChange::Put {
        name: args.name.clone(),
        source: args.source,
    };
    changed(&account, change).await?;
    Ok(json!({"account": args.account, "name": args.name, "octets": octets}))
}

pub(super) async fn get(store: &Store, args: Script) -> ActResult {
    let account = mail_of(store, &args.account).await?;
    let scripts = account.scripts().await.map_err(failed)?;
    let Some(source) = scripts.source(&args.name) else {
        return Err(of_script(ScriptRefusal::NotThere(args.name)));
    };
    Ok(json!({"name": args.name, "source": source}))
}

pub(super) async fn list(store: &Store, args: OfAccount) -> ActResult {
    let account = mail_of(store, &args.account).await?;
    let scripts = account.scripts().await.map_err(failed)?;
    let active = scripts.active();
    let row = |(name, octets): (&str, usize)| json!({"name": name, "octets": octets, "active": active == Some(name)});
    Ok(scripts.names().map(row).collect())
}

pub(super) async fn remove(store: &Store, args: Script) -> ActResult {
    let account = mail_of(store, &args.account).await?;
    let change = ScriptChange::Remove {
        name: args.name.clone(),
    };
    changed(&account, change).await?;
    Ok(json!({"account": args.account, "name": args.name}))
}

/// Compiles a script; with a message it says what would come of it, and which line does what. Nothing is done.
pub(super) fn check(args: Check) -> ActResult {
    let script = sieve::compile(&args.source, &Offer::default());
    let script = script.map_err(|complaints| usage(complaints.to_string()))?;
    let requires: Vec<&str> = script.requires().names().collect();
    let Some(message) = args.message else {
        return Ok(json!({"requires": requires.join(" ")}));
    };
    let message = WholeMessage::new(message.into_bytes());
    let envelope = SieveEnvelope::default();
    let input = Input {
        message: &message,
        envelope: Some(&envelope),
        flags: &[],
        now: Moment::default(),
        limits: Limits::default(),
        traced: true,
    };
    let outcome = sieve::run(&script, "script", &input, &mut Nowhere);
    Ok(tried(&outcome))
}

fn tried(outcome: &Outcome) -> Value {
    let steps = outcome
        .trace
        .iter()
        .map(|line| json!({"line": line.line, "what": line.what}));
    let mut rows: Vec<Value> = steps.collect();
    for performed in &outcome.actions {
        let line = performed.at.map(|at| at.line);
        rows.push(json!({"line": line, "what": format!("comes of it: {}", performed.action)}));
    }
    Value::Array(rows)
}

/// Who tries a script has neither mailboxes nor other scripts.
struct Nowhere;

impl World for Nowhere {
    fn mailbox_exists(&mut self, _: &str) -> Result<bool, WorldError> {
        Ok(false)
    }
}

async fn mail_of(store: &Store, address: &str) -> Result<Arc<Account>, CommandError> {
    let address = parse_address(address)?;
    let entry = store.directory.account_show(&address).await;
    let entry = entry.map_err(of_directory)?;
    store.mailstore.account(entry.id).await.map_err(failed)
}

async fn changed(account: &Arc<Account>, change: ScriptChange) -> Result<(), CommandError> {
    let done = account.change_scripts(&change, &Offer::default()).await;
    done.map_err(failed)?.map_err(of_script)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "given to `map_err` everywhere"
)]
fn of_script(refusal: ScriptRefusal) -> CommandError {
    let kind = match &refusal {
        ScriptRefusal::Name(_) | ScriptRefusal::Invalid(_) => FailureKind::Usage,
        ScriptRefusal::NotThere(_) => FailureKind::NotFound,
        ScriptRefusal::There(_)
        | ScriptRefusal::Active(_)
        | ScriptRefusal::Count
        | ScriptRefusal::Size => FailureKind::Conflict,
    };
    CommandError::new(kind, refusal.to_string())
}
