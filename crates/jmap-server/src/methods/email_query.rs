//! Email/query and Email/queryChanges (RFC 8621 §4.4, §4.5).
//!
//! A filter becomes a [`Test`] as SEARCH's keys do, so that both find the same. Results are
//! remembered for a while: a list is looked through part by part.

mod filter;
mod sort;

pub(crate) use filter::terms;

use super::changes::QueryChanged;
use super::{Done, look_of};
use crate::Jmap;
use crate::api::Calling;
use crate::changes::of_emails;
use crate::limits::{INDEX_WORTH, QUERY_IDS_MAX, RECORDS_PER_READ, RESULTS_IDS_MAX, RESULTS_MAX};
use crate::look::Look;
use ::search::{
    Candidate, Comparator as Collation, Query as Search, Texts, batch, decide, look_inside,
};
use envelope::AccountId;
use jmap_proto::arguments::{Query, QueryChanges};
use jmap_proto::{Arguments, Comparator, Filter, MethodError};
use mailbox_model::{EmailId, MailboxId};
use parking_lot::Mutex;
use serde_json::Map;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(super) async fn query(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let asked = Query::take(&mut arguments)?;
    let collapse = arguments.flag("collapseThreads", false)?;
    arguments.finish()?;
    let look = look_of(calling, &asked.account_id).await?;
    let wanted = Wanted {
        filter: asked.filter.clone(),
        sort: asked.sort.clone(),
        collapse,
    };
    let results = results(calling.jmap, &look, &wanted).await?;
    let is_anchor = |email: &EmailId, anchor: &str| look.email_id(*email) == anchor;
    let part = asked.part(&results, QUERY_IDS_MAX, is_anchor)?;
    let ids: Vec<_> = results[part.clone()]
        .iter()
        .map(|email| look.email_id(*email))
        .collect();
    let mut answer = Map::new();
    answer.insert("accountId".into(), asked.account_id.into());
    answer.insert("queryState".into(), look.state().into());
    answer.insert("canCalculateChanges".into(), true.into());
    answer.insert("collapseThreads".into(), collapse.into());
    answer.insert("position".into(), part.start.into());
    answer.insert("ids".into(), ids.into());
    if asked.calculate_total {
        answer.insert("total".into(), results.len().into());
    }
    // RFC 8620 §5.5: told where it is the server's.
    if asked.limit.is_none_or(|limit| limit > QUERY_IDS_MAX as u64) {
        answer.insert("limit".into(), QUERY_IDS_MAX.into());
    }
    Ok(vec![("Email/query", answer)])
}

/// RFC 8620 §5.6: what may have moved is taken out and put in again where it is now.
pub(super) async fn query_changes(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let asked = QueryChanges::take(&mut arguments)?;
    let collapse = arguments.flag("collapseThreads", false)?;
    arguments.finish()?;
    let look = look_of(calling, &asked.account_id).await?;
    let changed = of_emails(&look, look.room.since(&asked.since)?, None).await?;
    if changed.more {
        return Err(MethodError::CannotCalculateChanges);
    }
    let wanted = Wanted {
        filter: asked.filter,
        sort: asked.sort,
        collapse,
    };
    let mut touched: HashSet<EmailId> = HashSet::new();
    for email in changed
        .created
        .iter()
        .chain(&changed.updated)
        .chain(&changed.destroyed)
    {
        touched.insert(*email);
        // One email's change can move or hide others of its thread.
        if wanted.is_of_threads() {
            touched.extend(look.thread(look.thread_of(*email)));
        }
    }
    let results = results(calling.jmap, &look, &wanted).await?;
    let changed = QueryChanged {
        account_id: asked.account_id,
        since: asked.since,
        max: asked.max,
        calculate_total: asked.calculate_total,
        state: look.state(),
        results: &results,
        touched: &touched,
    };
    let answer = changed.answer(|one| look.email_id(one))?;
    Ok(vec![("Email/queryChanges", answer)])
}

/// What is looked for, and how it is shown.
#[derive(Debug, Clone)]
struct Wanted {
    filter: Option<Filter>,
    sort: Vec<Comparator>,
    collapse: bool,
}

impl Wanted {
    fn is_of_threads(&self) -> bool {
        let mut threads = self.collapse;
        threads |= self.sort.iter().any(|by| by.property.contains("InThread"));
        if let Some(filter) = &self.filter {
            filter.visit(&mut |members| threads |= members.keys().any(|k| k.contains("InThread")));
        }
        threads
    }
}

/// The emails, sorted.
async fn results(
    jmap: &Jmap,
    look: &Look,
    wanted: &Wanted,
) -> Result<Arc<Vec<EmailId>>, MethodError> {
    sort::check(&wanted.sort)?;
    let key = Key {
        account: look.room.account.id(),
        reader: look.room.reader(),
        modseq: look.modseq().0,
        wanted: format!("{wanted:?}"),
    };
    if let Some(results) = jmap.shared.results.get(&key) {
        return Ok(results);
    }
    let found = find(jmap, look, wanted.filter.as_ref()).await?;
    let mut sorted = sort::sorted(jmap, look, found, &wanted.sort).await?;
    if wanted.collapse {
        let mut seen = HashSet::new();
        sorted.retain(|email| seen.insert(look.thread_of(*email)));
    }
    let results = Arc::new(sorted);
    jmap.shared.results.keep(key, &results);
    Ok(results)
}

/// The emails that a filter lets through, in order of their ids.
async fn find(
    jmap: &Jmap,
    look: &Look,
    filter: Option<&Filter>,
) -> Result<Vec<Candidate>, MethodError> {
    let ports = &jmap.shared.ports;
    let mut texts = Texts::new(Collation::default());
    let base = filter.and_then(|filter| base_of(look, filter));
    let test = filter::compile(look, filter, base, &mut texts)?;
    let mut query = Search::new(test, texts);
    let account = Arc::clone(&look.room.account);
    let mut narrowed = None;
    if !query.lookups.is_empty() && look.places.len() > INDEX_WORTH {
        query.candidates = ports
            .search
            .candidates(&account, query.lookups.clone())
            .await;
        ports.search.want(&account, query.candidates.covered);
        narrowed = query.narrowed();
    }
    let query = Arc::new(query);
    let (looked, asked) = (look.clone(), Arc::clone(&query));
    let work = move || {
        let entries = entries(&looked, base, narrowed.as_ref());
        decide(entries.iter().enumerate(), &asked)
    };
    let (mut found, undecided) = match look.places.len() > crate::limits::INLINE_EMAILS {
        true => ports.runtime.blocking(work).await,
        false => work(),
    };
    let mut rest = undecided.as_slice();
    let mut most = 1;
    while !rest.is_empty() {
        let (some, behind) = rest.split_at(batch(rest, most));
        let (query, some) = (Arc::clone(&query), some.to_vec());
        let looking = move |emails: &_| look_inside(emails, &query, false, some);
        let looked = account.reading(looking).await;
        found.extend(looked.found);
        for (email, why) in looked.broken {
            tracing::error!(account = %account.id(), %email, why, "jmap: a search leaves an email out");
        }
        rest = behind;
        most = (most * 2).min(RECORDS_PER_READ);
    }
    Ok(found)
}

/// The mailbox that every email found is in, where a filter says that at its top.
fn base_of(look: &Look, filter: &Filter) -> Option<MailboxId> {
    match filter {
        Filter::Condition(members) => {
            let id = members.get("inMailbox")?.as_str()?;
            look.mailbox(id).map(|mailbox| mailbox.id())
        }
        Filter::Operator(jmap_proto::Operator::And, filters) => {
            filters.iter().find_map(|filter| base_of(look, filter))
        }
        Filter::Operator(..) => None,
    }
}

/// What is looked at: the shown emails of a mailbox or of all, as far as the index does not rule
/// them out.
fn entries(
    look: &Look,
    base: Option<MailboxId>,
    narrowed: Option<&(Vec<EmailId>, EmailId)>,
) -> Vec<mailbox_model::Entry> {
    let may = |email: EmailId| {
        narrowed.is_none_or(|(emails, covered)| {
            email >= *covered || emails.binary_search(&email).is_ok()
        })
    };
    match base.and_then(|id| look.view().mailbox(id)) {
        Some(mailbox) => {
            let shown = mailbox.entries().iter().filter(|entry| !entry.deleted);
            let shown = shown.filter(|entry| may(entry.email));
            shown.map(|entry| look.entry(mailbox.id(), entry)).collect()
        }
        None => {
            let shown = look.emails().filter(|(email, _)| may(*email));
            shown.map(|(_, entry)| entry).collect()
        }
    }
}

/// What results are of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    account: AccountId,
    reader: Option<AccountId>,
    modseq: u64,
    wanted: String,
}

/// Results that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Results(Mutex<KeptResults>);

#[derive(Debug, Default)]
struct KeptResults {
    uses: u64,
    ids: usize,
    of: HashMap<Key, (u64, Arc<Vec<EmailId>>)>,
}

impl Results {
    fn get(&self, key: &Key) -> Option<Arc<Vec<EmailId>>> {
        let mut kept = self.0.lock();
        kept.uses += 1;
        let uses = kept.uses;
        let (used, results) = kept.of.get_mut(key)?;
        *used = uses;
        Some(Arc::clone(results))
    }

    fn keep(&self, key: Key, results: &Arc<Vec<EmailId>>) {
        let mut kept = self.0.lock();
        // Another reader has rights that no number tells; his results are not kept.
        if key.reader.is_some() || results.len() > RESULTS_IDS_MAX / 2 {
            return;
        }
        kept.uses += 1;
        let uses = kept.uses;
        kept.ids += results.len();
        if let Some((_, before)) = kept.of.insert(key, (uses, Arc::clone(results))) {
            kept.ids -= before.len();
        }
        while kept.of.len() > RESULTS_MAX || kept.ids > RESULTS_IDS_MAX {
            let oldest = kept.of.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            if let Some((_, gone)) = kept.of.remove(&oldest) {
                kept.ids -= gone.len();
            }
        }
    }
}
