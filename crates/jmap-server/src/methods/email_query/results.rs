//! Results that are remembered, so that a list that is looked through part by part is not made anew for each.
//!
//! What was asked is known by its hash, whatever its length. An account has few results, of its newest state
//! alone, and pushes out those of others only where all together are too many.

use super::Wanted;
use crate::limits::{RESULTS_IDS_MAX, RESULTS_MAX, RESULTS_PER_ACCOUNT_MAX};
use crate::look::Look;
use envelope::AccountId;
use jmap_proto::{Filter, Operator};
use mailbox_model::{EmailId, ModSeq};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// What results are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    account: AccountId,
    modseq: ModSeq,
    wanted: [u8; 32],
}

impl Key {
    pub(super) fn of(look: &Look, wanted: &Wanted) -> Self {
        Self {
            account: look.room.account.id(),
            modseq: look.modseq(),
            wanted: hash(wanted),
        }
    }
}

/// Two that differ have different ones: each piece says how long it is.
fn hash(wanted: &Wanted) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    if let Some(filter) = &wanted.filter {
        add(filter, &mut hasher);
    }
    hasher.update(&[0xff, wanted.collapse.into()]);
    for by in &wanted.sort {
        hasher.update(&[by.ascending.into(), by.collation.is_some().into()]);
        let more = serde_json::Value::Object(by.more.clone()).to_string();
        for text in [
            &by.property,
            by.collation.as_deref().unwrap_or_default(),
            &more,
        ] {
            add_text(text, &mut hasher);
        }
    }
    *hasher.finalize().as_bytes()
}

fn add(filter: &Filter, hasher: &mut blake3::Hasher) {
    match filter {
        Filter::Condition(members) => {
            hasher.update(&[0]);
            hasher.update(&(members.len() as u64).to_le_bytes());
            for (name, value) in members {
                add_text(name, hasher);
                add_text(&value.to_string(), hasher);
            }
        }
        Filter::Operator(operator, filters) => {
            hasher.update(&[match operator {
                Operator::And => 1,
                Operator::Or => 2,
                Operator::Not => 3,
            }]);
            hasher.update(&(filters.len() as u64).to_le_bytes());
            filters.iter().for_each(|filter| add(filter, hasher));
        }
    }
}

fn add_text(text: &str, hasher: &mut blake3::Hasher) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

/// Results that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Results(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    uses: u64,
    ids: usize,
    of: HashMap<Key, (u64, Arc<Vec<EmailId>>)>,
}

impl Kept {
    fn remove(&mut self, key: &Key) {
        if let Some((_, gone)) = self.of.remove(key) {
            self.ids -= gone.len();
        }
    }

    /// Lets go of the one of those that was not used for longest; false if there is none.
    fn push_out(&mut self, of: impl Fn(&Key) -> bool) -> bool {
        let some = self.of.iter().filter(|(key, _)| of(key));
        let oldest = some.min_by_key(|(_, (used, _))| *used);
        let oldest = oldest.map(|(key, _)| *key);
        oldest.inspect(|key| self.remove(key)).is_some()
    }
}

impl Results {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Vec<EmailId>>> {
        let mut kept = self.0.lock();
        kept.uses += 1;
        let uses = kept.uses;
        let (used, results) = kept.of.get_mut(key)?;
        *used = uses;
        Some(Arc::clone(results))
    }

    pub(super) fn keep(&self, key: Key, results: &Arc<Vec<EmailId>>) {
        let own_max = RESULTS_IDS_MAX / 2;
        if results.len() > own_max {
            return;
        }
        let mut kept = self.0.lock();
        kept.remove(&key);
        // Nobody asks for what was so before.
        let own = |other: &Key| other.account == key.account;
        while kept.push_out(|other| own(other) && other.modseq < key.modseq) {}
        loop {
            let all = kept.of.iter().filter(|(other, _)| own(other));
            let (count, ids) = all.fold((1, results.len()), |(count, ids), (_, (_, results))| {
                (count + 1, ids + results.len())
            });
            let fits = count <= RESULTS_PER_ACCOUNT_MAX && ids <= own_max;
            if fits || !kept.push_out(own) {
                break;
            }
        }
        let fits = |kept: &Kept| {
            kept.of.len() < RESULTS_MAX && kept.ids + results.len() <= RESULTS_IDS_MAX
        };
        while !fits(&kept) && kept.push_out(|_| true) {}
        kept.uses += 1;
        let uses = kept.uses;
        kept.ids += results.len();
        kept.of.insert(key, (uses, Arc::clone(results)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jmap_proto::Comparator;
    use serde_json::{Value, json};

    fn wanted(filter: Value, sort: Value, collapse: bool) -> Wanted {
        Wanted {
            filter: Filter::parse(filter).expect("a filter"),
            sort: Comparator::parse_all(sort).expect("a sort"),
            collapse,
        }
    }

    #[test]
    fn what_differs_has_another_hash() {
        let all = [
            wanted(json!(null), json!(null), false),
            wanted(json!(null), json!(null), true),
            wanted(json!({}), json!(null), false),
            wanted(json!({"text": "ab"}), json!(null), false),
            wanted(json!({"text": "a", "body": "b"}), json!(null), false),
            wanted(
                json!({"operator": "AND", "conditions": [{"text": "ab"}]}),
                json!(null),
                false,
            ),
            wanted(
                json!({"operator": "OR", "conditions": [{"text": "ab"}]}),
                json!(null),
                false,
            ),
            wanted(
                json!({"operator": "OR", "conditions": [{"text": "ab"}, {}]}),
                json!(null),
                false,
            ),
            wanted(json!(null), json!([{"property": "size"}]), false),
            wanted(
                json!(null),
                json!([{"property": "size", "isAscending": false}]),
                false,
            ),
            wanted(
                json!(null),
                json!([{"property": "size", "collation": "{}"}]),
                false,
            ),
            wanted(
                json!(null),
                json!([{"property": "hasKeyword", "keyword": "a"}]),
                false,
            ),
        ];
        let hashes: std::collections::HashSet<_> = all.iter().map(hash).collect();
        assert_eq!(hashes.len(), all.len());
        let again = wanted(json!({"body": "b", "text": "a"}), json!(null), false);
        assert_eq!(hash(&again), hash(&all[4]));
    }

    fn key(account: u64, modseq: u64, wanted: u8) -> Key {
        Key {
            account: AccountId(account),
            modseq: ModSeq(modseq),
            wanted: [wanted; 32],
        }
    }

    #[test]
    fn an_account_keeps_few_results_and_leaves_others_alone() {
        let results = Results::default();
        let list = |len: usize| Arc::new(vec![EmailId(1); len]);
        results.keep(key(1, 1, 0), &list(3));
        for n in 0..200 {
            results.keep(key(2, 1, n), &list(1000));
        }
        let kept = |results: &Results| results.0.lock().of.len();
        assert_eq!(kept(&results), 1 + RESULTS_PER_ACCOUNT_MAX);
        assert!(results.get(&key(1, 1, 0)).is_some() && results.get(&key(2, 1, 199)).is_some());
        // A new state lets go of all before it.
        results.keep(key(2, 2, 7), &list(10));
        assert_eq!(kept(&results), 2);
        assert_eq!(results.0.lock().ids, 13);
        // One account has half of what there is.
        results.keep(key(2, 2, 8), &list(RESULTS_IDS_MAX / 2));
        assert_eq!(kept(&results), 2);
        results.keep(key(2, 2, 9), &list(RESULTS_IDS_MAX / 2 + 1));
        assert!(results.get(&key(2, 2, 9)).is_none());
        for account in 3..300 {
            results.keep(key(account, 1, 0), &list(1));
        }
        assert!(kept(&results) <= RESULTS_MAX);
        assert!(results.0.lock().ids <= RESULTS_IDS_MAX);
    }
}
