//! The acts on TLS sessions: how they went, by day and domain, and the reports on them.

use std::collections::HashMap;

use admin::control::{CommandError, FailureKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tls_policy::reporting::{Applied, Counted, PolicyType};
use tls_reports::{Day, Sent, Stage};

use super::{ActResult, failed, optional, parse_domain, usage};
use crate::limits::{TLS_SENT_MAX, TLS_SHOWN_MAX};
use crate::store::Store;

const DAY_MS: u64 = 86_400_000;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Show {
    pub(crate) domain: Option<String>,
}

/// What is sent now.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Send {
    /// A date such as 2026-01-15 (UTC).
    pub(crate) day: String,
    pub(crate) domain: Option<String>,
}

pub(super) async fn show(store: &Store, args: Show) -> ActResult {
    let domain = name(args.domain.as_deref())?;
    let shown = store.tls_reports.show(domain.as_deref(), TLS_SHOWN_MAX);
    let days = shown.await.map_err(failed)?;
    let sent = store.tls_reports.sent(domain.as_deref(), TLS_SHOWN_MAX);
    let sent = sent.await.map_err(failed)?;
    Ok(days.iter().flat_map(|day| lines(day, &sent)).collect())
}

pub(super) async fn send(store: &Store, args: Send) -> ActResult {
    let domain = name(args.domain.as_deref())?;
    let now_ms = store.runtime.now().unix_ms;
    let midnight = crate::moment::parse(&format!("{}T00:00:00Z", args.day), now_ms);
    let day = midnight.ok().and_then(|ms| u32::try_from(ms / DAY_MS).ok());
    let wrong = || {
        usage(format!(
            "{:?} is no date until today such as 2026-01-15",
            args.day
        ))
    };
    let day = day.ok_or_else(wrong)?;
    let Some(sender) = store.tls_sender.get() else {
        let why = "reports are sent by a running server, and only with reports.contact set and reports.tls on";
        return Err(CommandError::new(FailureKind::Conflict, why.to_owned()));
    };
    let became = sender.send_now(day, domain.as_deref(), TLS_SENT_MAX);
    let became = became.await.map_err(failed)?;
    let line = |(domain, sent): &(String, Sent)| json!({"domain": domain, "report": report(sent)});
    if became.is_empty() {
        let why = format!("nothing was counted on {}", args.day);
        return Err(CommandError::new(FailureKind::NotFound, why));
    }
    Ok(became.iter().map(line).collect())
}

fn name(domain: Option<&str>) -> Result<Option<String>, CommandError> {
    let domain = optional(domain, parse_domain)?;
    Ok(domain.map(|domain| domain.to_ascii().to_ascii_lowercase()))
}

/// A line for each policy that was applied.
fn lines(day: &Day, sent: &HashMap<(u32, String), Sent>) -> Vec<Value> {
    let date = observe::rfc3339(u64::from(day.day) * DAY_MS);
    let sent = sent.get(&(day.day, day.domain.clone()));
    let line = |(applied, counted): (&Applied, &Counted)| {
        let policy = match applied.kind {
            PolicyType::None => "none".to_owned(),
            kind => kind.as_str().to_owned(),
        };
        json!({
            "domain": day.domain,
            "day": date.get(..10),
            "policy": policy,
            "successful": counted.successful,
            "failed": counted.failed(),
            "failures": failures(counted),
            "report": sent.map_or_else(|| "not sent".to_owned(), report),
        })
    };
    day.counted.policies.iter().map(line).collect()
}

/// What became of a report, in words.
fn report(sent: &Sent) -> String {
    let at = observe::rfc3339(sent.at_ms);
    let at = at.get(..19).unwrap_or_default();
    let (to, why) = (&sent.to, &sent.reason);
    let to = if to.is_empty() { "nobody yet" } else { to };
    match sent.stage {
        Stage::Sent => format!("sent to {to} at {at}Z"),
        Stage::Waits => format!("not taken by {to} ({why}); again at {at}Z"),
        Stage::GivenUp => format!("given up at {at}Z: not taken by {to} ({why})"),
        Stage::NotWanted => "the domain asks for none".to_owned(),
        Stage::ByMail => format!(
            "the domain wants it by mail ({to}), which is not sent: it would have to be signed"
        ),
    }
}

fn failures(counted: &Counted) -> String {
    let each = counted.failures.iter().map(|(failed, count)| {
        let mut text = format!("{count}x {}", failed.result.as_str());
        for (before, word) in [(" at ", &failed.host), (": ", &failed.reason)] {
            if !word.is_empty() {
                text.push_str(before);
                text.push_str(word);
            }
        }
        text
    });
    each.collect::<Vec<_>>().join("; ")
}
