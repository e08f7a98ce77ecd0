//! Email/query and Email/queryChanges (RFC 8621 §4.4, §4.5).
//!
//! A filter becomes a [`search::Test`] as SEARCH's keys do, so that both find the same. Emails are looked
//! through on the blocking pool, unless they are few, and few at a time for each user. Results are
//! remembered for a while: a list is looked through part by part.

mod filter;
mod results;
mod sort;
mod threads;

pub(crate) use filter::{check, terms};
pub(crate) use results::Results;

use super::changes::QueryChanged;
use super::{Done, look_of};
use crate::Jmap;
use crate::api::Calling;
use crate::changes::of_emails;
use crate::limits::{INDEX_WORTH, INLINE_EMAILS, QUERY_IDS_MAX, RECORDS_PER_READ};
use crate::look::Look;
use crate::turns::Turn;
use ::search::{Candidate, Comparator as Collation, Facts, Query as Search, Texts};
use ::search::{batch, look_inside};
use filter::Compiling;
use jmap_proto::arguments::{Query, QueryChanges};
use jmap_proto::{Arguments, Comparator, Filter, MethodError};
use mailbox_model::{EmailId, Entry, MailboxId};
use mailstore::{EmailReader, object_id};
use results::Key;
use serde_json::Map;
use sort::Sort;
use std::collections::HashSet;
use std::sync::Arc;
use threads::Threads;

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
    let results = results(calling, &look, &wanted).await?;
    let anchor = asked.anchor.as_deref();
    let anchor = anchor.and_then(|id| object_id::email_of(id, look.room.owner()));
    let is_anchor = |email: &EmailId, _: &str| Some(*email) == anchor;
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
    let mut asked = QueryChanges::take(&mut arguments)?;
    let collapse = arguments.flag("collapseThreads", false)?;
    arguments.finish()?;
    let look = look_of(calling, &asked.account_id).await?;
    let changed = of_emails(&look, look.room.since(&asked.since)?, None).await?;
    if changed.more {
        return Err(MethodError::CannotCalculateChanges);
    }
    let wanted = Wanted {
        filter: asked.filter.take(),
        sort: std::mem::take(&mut asked.sort),
        collapse,
    };
    let lists = [changed.created, changed.updated, changed.destroyed];
    let mut touched: HashSet<EmailId> = lists.into_iter().flatten().collect();
    // One email's change can move or hide others of its thread.
    if wanted.is_of_threads() {
        let threads = look.threads().await?;
        let work = move |_: &EmailReader| {
            let around = threads.around(touched.iter().copied());
            touched.extend(around);
            touched
        };
        touched = look.room.account.reading(work).await;
    }
    let results = results(calling, &look, &wanted).await?;
    let changed = QueryChanged {
        asked,
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
    calling: &Calling<'_>,
    look: &Look,
    wanted: &Wanted,
) -> Result<Arc<Vec<EmailId>>, MethodError> {
    sort::check(&wanted.sort)?;
    if let Some(filter) = &wanted.filter {
        check(filter)?;
    }
    let kept = &calling.jmap.shared.results;
    // Another reader has rights that no number tells; his results are not kept.
    let key = look.room.is_own().then(|| Key::of(look, wanted));
    if let Some(results) = key.as_ref().and_then(|key| kept.get(key)) {
        return Ok(results);
    }
    let turn = calling.jmap.turn(calling.user).await?;
    // Somebody may have asked the same meanwhile.
    if let Some(results) = key.as_ref().and_then(|key| kept.get(key)) {
        return Ok(results);
    }
    let shown = match wanted.is_of_threads() {
        true => Some(look.threads().await?),
        false => None,
    };
    let mut threads = Threads::of(look, shown.clone());
    let sort = Sort::of(look, &wanted.sort, &mut threads)?;
    let found = find(calling.jmap, look, wanted, &mut threads, &turn).await?;
    sort.check_size(found.len())?;
    let collapsing = shown.filter(|_| wanted.collapse);
    let work = move |emails: &EmailReader| {
        let _turn = turn;
        let mut sorted = sort.sorted(emails, found);
        if let Some(threads) = collapsing {
            let mut seen = HashSet::new();
            sorted.retain(|email| seen.insert(threads.of(*email)));
        }
        sorted
    };
    let results = Arc::new(look.room.account.reading(work).await);
    if let Some(key) = key {
        kept.keep(key, &results);
    }
    Ok(results)
}

/// The emails that a filter lets through.
async fn find(
    jmap: &Jmap,
    look: &Look,
    wanted: &Wanted,
    threads: &mut Threads,
    turn: &Turn,
) -> Result<Vec<Candidate>, MethodError> {
    let ports = &jmap.shared.ports;
    let mut texts = Texts::new(Collation::default());
    let filter = wanted.filter.as_ref();
    let base = filter.and_then(|filter| base_of(look, filter));
    let mut with = Compiling {
        look,
        base,
        texts: &mut texts,
        threads,
    };
    let test = filter::compile(filter, &mut with)?;
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
    let (looked, asked, held) = (look.clone(), Arc::clone(&query), turn.clone());
    let work = move || {
        let _held = held;
        sift(&looked, base, narrowed.as_ref(), &asked)
    };
    let conditions = filter.map_or(0, filter::count);
    let steps = look.places.len().saturating_mul(conditions + 1);
    let (mut found, undecided) = match steps > INLINE_EMAILS {
        true => ports.runtime.blocking(work).await,
        false => work(),
    };
    let mut rest = undecided.as_slice();
    let mut most = 1;
    while !rest.is_empty() {
        let (some, behind) = rest.split_at(batch(rest, most));
        let (query, some, held) = (Arc::clone(&query), some.to_vec(), turn.clone());
        let looking = move |emails: &_| {
            let _held = held;
            look_inside(emails, &query, false, some)
        };
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

/// Looks at the shown emails of a mailbox or of all, as far as the index does not rule them out.
/// Gives those that are found, and those that their entries do not decide.
fn sift(
    look: &Look,
    base: Option<MailboxId>,
    narrowed: Option<&(Vec<EmailId>, EmailId)>,
    query: &Search,
) -> (Vec<Candidate>, Vec<Candidate>) {
    let may = |email: EmailId| {
        narrowed.is_none_or(|(emails, covered)| {
            email >= *covered || emails.binary_search(&email).is_ok()
        })
    };
    let (mut found, mut undecided) = (Vec::new(), Vec::new());
    let mut look_at = |entry: Entry| {
        let facts = Facts {
            number: 0,
            entry: &entry,
            record: None,
            content: None,
        };
        match query.eval(facts) {
            Some(true) => found.push((0, entry)),
            Some(false) => {}
            None => undecided.push((0, entry)),
        }
    };
    match base.and_then(|id| look.view().mailbox(id)) {
        Some(mailbox) => {
            let shown = mailbox.entries().iter().filter(|entry| !entry.deleted);
            for entry in shown.filter(|entry| may(entry.email)) {
                look_at(look.entry(entry));
            }
        }
        None => {
            for (_, entry) in look.emails().filter(|(email, _)| may(*email)) {
                look_at(entry);
            }
        }
    }
    (found, undecided)
}
