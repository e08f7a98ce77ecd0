//! The act on TLS sessions: how they went, by day and domain.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tls_policy::reporting::{Counted, DayOfDomain, PolicyType};

use super::{ActResult, failed, optional, parse_domain};
use crate::limits::TLS_SHOWN_MAX;
use crate::store::Store;

const DAY_MS: u64 = 86_400_000;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Show {
    pub(crate) domain: Option<String>,
}

pub(super) async fn show(store: &Store, args: Show) -> ActResult {
    let domain = optional(args.domain.as_deref(), parse_domain)?;
    let domain = domain.map(|domain| domain.to_ascii().to_ascii_lowercase());
    let shown = store.tls_reports.show(domain.as_deref(), TLS_SHOWN_MAX);
    let mut rows = Vec::new();
    for day in shown.await.map_err(failed)? {
        let date = observe::rfc3339(u64::from(day.day) * DAY_MS);
        rows.extend(lines(
            date.get(..10).unwrap_or_default(),
            &day.domain,
            &day.counted,
        ));
    }
    Ok(Value::Array(rows))
}

/// A line for each policy that was applied.
fn lines(date: &str, domain: &str, day: &DayOfDomain) -> Vec<Value> {
    let line = |(applied, counted): (&tls_policy::reporting::Applied, &Counted)| {
        let policy = match applied.kind {
            PolicyType::None => "none".to_owned(),
            kind => kind.as_str().to_owned(),
        };
        json!({
            "domain": domain,
            "day": date,
            "policy": policy,
            "successful": counted.successful,
            "failed": counted.failed(),
            "failures": failures(counted),
        })
    };
    day.policies.iter().map(line).collect()
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
