//! Mailbox/query and Mailbox/queryChanges (RFC 8621 §2.3, §2.4).

use super::changes::{QueryChanged, of_mailboxes};
use super::mailbox_get::{is_subscribed, place, role, sort_order};
use super::{Done, look_of, store_failed};
use crate::api::Calling;
use crate::look::Look;
use ::search::Comparator as Collation;
use jmap_proto::arguments::{Query, QueryChanges};
use jmap_proto::{Arguments, Comparator, Filter, MethodError, Operator};
use mailbox_model::{Mailbox, MailboxId};
use mailstore::{Annotations, EmailReader};
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

/// More than an account can have.
const IDS_MAX: usize = mailbox_model::limits::MAILBOXES_MAX;

/// Trees instead of lists.
#[derive(Debug, Clone, Copy)]
struct Trees {
    sort: bool,
    filter: bool,
}

impl Trees {
    fn take(arguments: &mut Arguments) -> Result<Self, MethodError> {
        Ok(Self {
            sort: arguments.flag("sortAsTree", false)?,
            filter: arguments.flag("filterAsTree", false)?,
        })
    }
}

pub(super) async fn query(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let asked = Query::take(&mut arguments)?;
    let trees = Trees::take(&mut arguments)?;
    arguments.finish()?;
    let look = look_of(calling, &asked.account_id).await?;
    let results = results(&look, asked.filter.as_ref(), &asked.sort, trees).await?;
    let is_anchor = |id: &MailboxId, anchor: &str| look.mailbox_id(*id) == anchor;
    let part = asked.part(&results, IDS_MAX, is_anchor)?;
    let ids: Vec<_> = results[part.clone()]
        .iter()
        .map(|id| look.mailbox_id(*id))
        .collect();
    let mut answer = Map::new();
    answer.insert("accountId".into(), asked.account_id.into());
    answer.insert("queryState".into(), look.state().into());
    answer.insert("canCalculateChanges".into(), true.into());
    answer.insert("position".into(), part.start.into());
    answer.insert("ids".into(), ids.into());
    if asked.calculate_total {
        answer.insert("total".into(), results.len().into());
    }
    Ok(vec![("Mailbox/query", answer)])
}

pub(super) async fn query_changes(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let asked = QueryChanges::take(&mut arguments)?;
    let trees = Trees::take(&mut arguments)?;
    arguments.finish()?;
    let look = look_of(calling, &asked.account_id).await?;
    let since = look.room.since(&asked.since)?;
    let (changed, counts_only) = of_mailboxes(&look, None, since, None).await?;
    if changed.more {
        return Err(MethodError::CannotCalculateChanges);
    }
    let results = results(&look, asked.filter.as_ref(), &asked.sort, trees).await?;
    let quiet = counts_only && changed.created.is_empty() && changed.destroyed.is_empty();
    let touched: HashSet<MailboxId> = match quiet {
        // Nothing is filtered or sorted by counts.
        true => HashSet::new(),
        // A tree's branches move and go with what stands above them.
        false if trees.sort || trees.filter => {
            results.iter().copied().chain(changed.destroyed).collect()
        }
        false => {
            let lists = [changed.created, changed.updated, changed.destroyed];
            lists.into_iter().flatten().collect()
        }
    };
    let changed = QueryChanged {
        asked,
        state: look.state(),
        results: &results,
        touched: &touched,
    };
    let answer = changed.answer(|one| look.mailbox_id(one))?;
    Ok(vec![("Mailbox/queryChanges", answer)])
}

async fn results(
    look: &Look,
    filter: Option<&Filter>,
    sort: &[Comparator],
    trees: Trees,
) -> Result<Vec<MailboxId>, MethodError> {
    let orders = look.room.account.annotations().await;
    let orders = orders.map_err(|error| store_failed(&error))?;
    let (looked, filter, sort) = (look.clone(), filter.cloned(), sort.to_vec());
    let work = move |_: &EmailReader| arrange(&looked, &orders, filter.as_ref(), &sort, trees);
    look.room.account.reading(work).await
}

fn arrange(
    look: &Look,
    orders: &Annotations,
    filter: Option<&Filter>,
    sort: &[Comparator],
    trees: Trees,
) -> Result<Vec<MailboxId>, MethodError> {
    for by in sort {
        let known = ["name", "sortOrder", "parentId"].contains(&by.property.as_str());
        if !known || !by.more.is_empty() {
            return Err(MethodError::UnsupportedSort(by.property.clone()));
        }
    }
    let mut all: Vec<&Arc<Mailbox>> = look.mailboxes().collect();
    all.sort_by(|a, b| compare(look, orders, sort, a, b));
    if trees.sort {
        all = as_tree(look, &all);
    }
    let mut found = HashSet::new();
    for mailbox in &all {
        if fits(look, filter, mailbox)? {
            found.insert(mailbox.id());
        }
    }
    if trees.filter {
        // RFC 8621 §2.3: only where everything above is found too.
        let cut: HashSet<MailboxId> = all
            .iter()
            .filter(|mailbox| {
                let mut above = place(look, mailbox).0;
                while let Some(id) = above {
                    if !found.contains(&id) {
                        return true;
                    }
                    above = look
                        .view()
                        .mailbox(id)
                        .and_then(|mailbox| place(look, mailbox).0);
                }
                false
            })
            .map(|mailbox| mailbox.id())
            .collect();
        found.retain(|id| !cut.contains(id));
    }
    let ids = all.into_iter().map(|mailbox| mailbox.id());
    Ok(ids.filter(|id| found.contains(id)).collect())
}

fn compare(
    look: &Look,
    orders: &Annotations,
    sort: &[Comparator],
    a: &Mailbox,
    b: &Mailbox,
) -> Ordering {
    for by in sort {
        let order = match by.property.as_str() {
            "sortOrder" => sort_order(orders, a.id()).cmp(&sort_order(orders, b.id())),
            "parentId" => place(look, a).0.cmp(&place(look, b).0),
            _ => {
                let asked = by.collation.as_deref().unwrap_or("default");
                let collation = Collation::meant_by(asked)
                    .first()
                    .copied()
                    .unwrap_or_default();
                collation
                    .fold(place(look, a).1)
                    .cmp(&collation.fold(place(look, b).1))
            }
        };
        let order = if by.ascending { order } else { order.reverse() };
        if order.is_ne() {
            return order;
        }
    }
    a.id().cmp(&b.id())
}

/// Each mailbox behind the one above it, in the order given. Depth is bounded by names.
fn as_tree<'a>(look: &Look, sorted: &[&'a Arc<Mailbox>]) -> Vec<&'a Arc<Mailbox>> {
    let mut below: std::collections::HashMap<Option<MailboxId>, Vec<&'a Arc<Mailbox>>> =
        Default::default();
    for mailbox in sorted {
        below
            .entry(place(look, mailbox).0)
            .or_default()
            .push(mailbox);
    }
    let mut tree = Vec::with_capacity(sorted.len());
    let mut waiting: Vec<&'a Arc<Mailbox>> = below.remove(&None).unwrap_or_default();
    waiting.reverse();
    while let Some(mailbox) = waiting.pop() {
        tree.push(mailbox);
        let mut children = below.remove(&Some(mailbox.id())).unwrap_or_default();
        children.reverse();
        waiting.extend(children);
    }
    tree
}

fn fits(look: &Look, filter: Option<&Filter>, mailbox: &Mailbox) -> Result<bool, MethodError> {
    match filter {
        None => Ok(true),
        Some(Filter::Condition(members)) => {
            for (name, value) in members {
                if !holds(look, name, value, mailbox)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Some(Filter::Operator(operator, filters)) => {
            let mut found = 0;
            for filter in filters {
                found += usize::from(fits(look, Some(filter), mailbox)?);
            }
            Ok(match operator {
                Operator::And => found == filters.len(),
                Operator::Or => found > 0,
                Operator::Not => found == 0,
            })
        }
    }
}

fn holds(look: &Look, name: &str, value: &Value, mailbox: &Mailbox) -> Result<bool, MethodError> {
    let wrong = |expected| MethodError::InvalidArguments(format!("{name} is not {expected}"));
    let (above, own) = place(look, mailbox);
    Ok(match name {
        "parentId" => match value {
            Value::Null => above.is_none(),
            Value::String(id) => above.is_some_and(|above| look.mailbox_id(above) == *id),
            _ => return Err(wrong("an id")),
        },
        "name" => {
            let text = value.as_str().ok_or_else(|| wrong("a text"))?;
            let collation = Collation::default();
            collation.fold(own).contains(&collation.fold(text))
        }
        "role" => match value {
            Value::Null => role(mailbox).is_none(),
            Value::String(name) => role(mailbox) == Some(name),
            _ => return Err(wrong("a role")),
        },
        "hasAnyRole" => {
            let any = value.as_bool().ok_or_else(|| wrong("true or false"))?;
            role(mailbox).is_some() == any
        }
        "isSubscribed" => {
            let subscribed = value.as_bool().ok_or_else(|| wrong("true or false"))?;
            is_subscribed(look, mailbox) == subscribed
        }
        _ => return Err(MethodError::UnsupportedFilter(name.to_owned())),
    })
}
