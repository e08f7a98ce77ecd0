//! Acts on the filter scripts of an account, and on a script that is nobody's yet.

use std::sync::Arc;

use admin::control::{CommandError, FailureKind};
use imap_server::EventTold;
use mailstore::{Account, ScriptChange, ScriptRefusal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sieve::{
    Input, Limits, Moment, Offer, Outcome, SieveEnvelope, WholeMessage, World, WorldError,
};
use std::collections::BTreeMap;

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

/// A script, a message to try it on, and where.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) source: String,
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) place: Place,
}

/// Where a script is tried.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// Where mail is delivered.
    Delivery {
        /// The envelope's sender; empty is the null path.
        from: String,
        /// Its recipient.
        to: String,
    },
    /// Behind an IMAP command (RFC 6785 §4).
    Event(Event),
}

/// What a script is told of an IMAP command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    /// APPEND, COPY or FLAG.
    pub(crate) cause: String,
    pub(crate) mailbox: String,
    /// Flags that the message has.
    pub(crate) flags: Vec<String>,
    /// Those that were changed.
    pub(crate) changed: Vec<String>,
    /// Who did it.
    pub(crate) user: String,
}

impl Default for Place {
    fn default() -> Self {
        Self::Delivery {
            from: String::new(),
            to: String::new(),
        }
    }
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
pub(super) async fn check(store: &Store, args: Check) -> ActResult {
    let now = Moment {
        unix_seconds: i64::try_from(store.runtime.now().unix_seconds()).unwrap_or(i64::MAX),
        zone_minutes: 0,
    };
    // What somebody tries may take as long as a script may.
    store.runtime.blocking(move || tried(args, now)).await
}

fn tried(args: Check, now: Moment) -> ActResult {
    let offer = match &args.place {
        Place::Delivery { .. } => Offer::default(),
        Place::Event(_) => Offer::behind_commands(),
    };
    let script = sieve::compile(&args.source, &offer);
    let script = script.map_err(|complaints| usage(complaints.to_string()))?;
    let requires: Vec<&str> = script.requires().names().collect();
    let requires = requires.join(" ");
    let Some(message) = args.message else {
        return Ok(json!({"requires": requires}));
    };
    let message = WholeMessage::new(message.into_bytes());
    let mut world = Nowhere::default();
    let (mut envelope, mut flags) = (None, Vec::new());
    match args.place {
        Place::Delivery { from, to } => {
            let auth = None;
            envelope = Some(SieveEnvelope { from, to, auth });
            let items = [
                ("name", "Posthouse"),
                ("version", env!("CARGO_PKG_VERSION")),
                ("location", "MDA"),
                ("phase", "during"),
            ];
            world.environment = items.map(|(item, value)| (item, value.to_owned())).into();
        }
        Place::Event(event) => {
            let told = EventTold {
                // Where it is tried there is no server, and the client is here.
                host: "localhost",
                domain: event.user.rsplit_once('@').map_or("", |(_, domain)| domain),
                remote_ip: "127.0.0.1",
                user: &event.user,
                cause: &event.cause,
                mailbox: &event.mailbox,
                changed: &event.changed.join(" "),
            };
            world.environment = told.environment();
            flags = event.flags;
        }
    }
    let input = Input {
        message: &message,
        envelope: envelope.as_ref(),
        flags: &flags,
        now,
        limits: Limits::default(),
        traced: true,
    };
    let outcome = sieve::run(&script, "script", &input, &mut world);
    Ok(told(&outcome, &requires))
}

fn told(outcome: &Outcome, requires: &str) -> Value {
    let steps = outcome
        .trace
        .iter()
        .map(|line| json!({"line": line.line, "what": line.what}));
    let action = |done: &sieve::Performed| json!({"line": done.at.map(|at| at.line), "what": done.action.to_string()});
    let failure = outcome
        .failure
        .as_ref()
        .map(|failure| json!({"line": failure.at.line, "why": failure.why.to_string()}));
    json!({
        "requires": requires,
        "steps": steps.collect::<Value>(),
        "actions": outcome.actions.iter().map(action).collect::<Value>(),
        "flags": outcome.flags,
        "failure": failure,
        "fuel": outcome.fuel_used,
    })
}

/// Who tries a script has neither mailboxes nor other scripts.
#[derive(Default)]
struct Nowhere {
    environment: BTreeMap<&'static str, String>,
}

impl World for Nowhere {
    fn mailbox_exists(&mut self, _: &str) -> Result<bool, WorldError> {
        Ok(false)
    }

    fn environment(&mut self, item: &str) -> Option<String> {
        self.environment.get(item).cloned()
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
