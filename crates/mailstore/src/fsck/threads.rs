//! What is kept of threads, against itself: what emails that are gone had in common is nowhere else.

use super::{Finding, Findings};
use crate::error::StoreError;
use crate::load::for_each;
use crate::threads::Head;
use crate::{keys, threads};
use engine::Snapshot;
use envelope::AccountId;
use mailbox_model::{EmailId, Threads};

/// Every record decodes, names only emails that have joined, and no thread is in another.
pub(super) fn check(
    snapshot: &dyn Snapshot,
    account: AccountId,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let head = keys::threads_head(account);
    let behind = match snapshot.get(&head)? {
        None => Ok(EmailId(0)),
        Some(stored) => Head::decode(&head, &stored.value).map(|head| head.next),
    };
    let behind = match behind {
        Ok(behind) => behind,
        Err(error) => {
            findings.push(Finding::Threads(head, error.to_string()));
            return Ok(());
        }
    };
    let mut known = Threads::default();
    let mut named = Vec::new();
    let (start, end) = keys::threads(account);
    for_each(snapshot, start, &end, |key, stored| {
        let mut last = EmailId(0);
        let read = if keys::page_of_threads(&key).is_some() {
            threads::read_page(&key, &stored.value, |email, first| {
                known.note(email, first);
                last = email;
            })
        } else if keys::is_thread_key(&key) {
            threads::first_of(&key, &stored.value).map(|first| last = first)
        } else if key == head {
            return Ok(());
        } else {
            findings.push(Finding::StrangeKey(key));
            return Ok(());
        };
        match read {
            Err(error) => findings.push(Finding::Threads(key, error.to_string())),
            Ok(()) if last >= behind => {
                let why = format!("email {last} has not joined");
                findings.push(Finding::Threads(key, why));
            }
            Ok(()) => named.push((key, last)),
        }
        Ok(())
    })?;
    for (key, email) in named {
        let is_key = keys::is_thread_key(&key);
        let first = known.of(email);
        let outer = known.of(first);
        if outer != first || (is_key && first != email) {
            let why = format!("thread {first} is in another");
            findings.push(Finding::Threads(key, why));
        }
    }
    Ok(())
}
