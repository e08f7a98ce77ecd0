//! What a batch knows of itself.

use crate::contract::{Batch, ShardId};
use bytes::Bytes;
use proptest::prelude::*;

/// A key of one account, of a few, so that some come twice.
fn key(n: u8) -> Vec<u8> {
    let mut key = crate::keys::account(1);
    key.extend(std::iter::repeat_n(b'k', usize::from(n)));
    key
}

/// The sum over all writes, which [`Batch::size_bytes`] keeps as they come.
fn counted(batch: &Batch) -> usize {
    let of_value = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
    let writes = batch.writes.iter();
    writes
        .map(|(key, value)| 8 + key.len() + of_value(value))
        .sum()
}

proptest! {
    #[test]
    fn its_size_is_the_sum_of_its_writes_and_the_last_of_each_key_stays(
        writes in prop::collection::vec((0u8..12, prop::option::of(0usize..50)), 0..60),
    ) {
        let mut batch = Batch::new();
        let mut last = std::collections::BTreeMap::new();
        for (n, len) in writes {
            let value = len.map(|len| Bytes::from(vec![n; len]));
            match value.clone() {
                Some(value) => batch.put(key(n), value),
                None => batch.delete(key(n)),
            }
            last.insert(key(n), value);
            prop_assert_eq!(batch.size_bytes(), counted(&batch));
        }
        prop_assert_eq!(batch.check(1).ok(), Some(ShardId(0)));
        prop_assert_eq!(batch.size_bytes(), counted(&batch));
        prop_assert_eq!(batch.writes.len(), last.len());
        prop_assert!(batch.writes.iter().all(|(key, value)| last[key] == *value));
    }
}
