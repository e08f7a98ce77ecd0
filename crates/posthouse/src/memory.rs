//! `memory.total`, divided: the one place that says what each part of the program may take.
//!
//! | share | of the whole | holds |
//! |---|---|---|
//! | searching | a sixteenth, from 8 to 32 MiB | the texts of one segment of a search index that is being built |
//! | views | half, without that | the views of accounts that nobody holds at the moment, for the next session |
//! | index | a quarter | blocks of the index that were read, and its memtables: one that fills, three that wait for their tables, two that the library still holds |
//! | receiving | an eighth | buffers of messages that are coming in |
//! | journal | at most a sixteenth and 32 MiB | frames on their way to the disk |
//! | reading ahead | what is left of the eighth with the journal | bodies that FETCH has read and not sent yet |
//!
//! The search index lies in the index, as everything does: what is read of it are blocks of that share.
//! Not divided: what a session, a running command and the accounts in use take by themselves (`limits.connections` bounds
//! these), and the program.

use std::sync::Arc;

use engine::Engine as _;
use observe::Metrics;
use settings::Settings;

use crate::limits::{
    JOURNAL_BYTES_MAX, JOURNAL_BYTES_MIN, MEMORY_MAX, MEMORY_MIN, MEMORY_PART, MEMTABLE_BYTES_MAX,
    MEMTABLE_BYTES_MIN, MEMTABLES, SEARCHING_BYTES_MAX, SEARCHING_BYTES_MIN,
};
use crate::store::Store;

/// What each part may take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// All of it.
    pub(crate) total: u64,
    /// A segment of a search index that is being built.
    pub(crate) searching: u64,
    /// Views of accounts.
    pub(crate) views: u64,
    /// Blocks of the index.
    pub(crate) index_blocks: u64,
    /// One memtable of the index; there may be [`MEMTABLES`].
    pub(crate) memtable: u64,
    /// Messages that are coming in.
    pub(crate) receiving: u64,
    /// Frames on their way to the disk.
    pub(crate) journal: u64,
    /// Bodies read and not sent yet.
    pub(crate) reading: u64,
}

impl Shares {
    /// As the settings say, or else by the machine.
    pub(crate) fn of(settings: &Settings) -> Self {
        match settings.memory.total.0 {
            0 => Self::of_machine(runtime::process::memory_bytes()),
            total => Self::divide(total),
        }
    }

    /// A quarter of the machine's memory, within bounds; where nobody knows how much that is, the least.
    fn of_machine(memory: Option<u64>) -> Self {
        let part = memory.unwrap_or(0) / MEMORY_PART;
        Self::divide(part.clamp(MEMORY_MIN, MEMORY_MAX))
    }

    fn divide(total: u64) -> Self {
        let memtable = (total / 32).clamp(MEMTABLE_BYTES_MIN, MEMTABLE_BYTES_MAX);
        let index = total / 4;
        let searching = (total / 16).clamp(SEARCHING_BYTES_MIN, SEARCHING_BYTES_MAX);
        let journal = (total / 16).clamp(JOURNAL_BYTES_MIN, JOURNAL_BYTES_MAX);
        Self {
            total,
            searching,
            views: total / 2 - searching,
            index_blocks: index.saturating_sub(MEMTABLES * memtable),
            memtable,
            receiving: total / 8,
            journal,
            reading: (total / 8).saturating_sub(journal),
        }
    }
}

/// What each share holds now, for the metrics.
pub(crate) fn watch(metrics: &Metrics, store: &Arc<Store>) {
    let total = store.shares.total;
    metrics.watch_gauge(
        "memory_total_bytes",
        "What memory.total comes to",
        move || total,
    );
    let gauge = |name, help, read: fn(&Store) -> u64| {
        let store = Arc::downgrade(store);
        metrics.watch_gauge(name, help, move || {
            store.upgrade().map_or(0, |store| read(&store))
        });
    };
    gauge(
        "memory_views_bytes",
        "Views of accounts in memory, those in use too",
        |store| store.mailstore.cached_bytes(),
    );
    gauge(
        "memory_index_bytes",
        "Blocks and memtables of the index in memory",
        |store| {
            let stats = store.engine.stats();
            stats.index_block_bytes + stats.index_memtable_bytes
        },
    );
    gauge(
        "memory_receiving_bytes",
        "Buffers of messages that are coming in",
        |store| store.blobs.receive_bytes(),
    );
    gauge(
        "memory_journal_bytes",
        "Frames on their way to the disk",
        |store| store.engine.stats().pending_bytes,
    );
    gauge(
        "memory_reading_bytes",
        "Bodies that were read ahead and not sent yet",
        |store| store.blobs.read_ahead_bytes(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_not_more_than_the_whole() {
        let mut total = MEMORY_MIN;
        while total <= 1 << 40 {
            let shares = Shares::divide(total);
            let index = shares.index_blocks + MEMTABLES * shares.memtable;
            let buffers = shares.receiving + shares.journal + shares.reading;
            let accounts = shares.views + shares.searching;
            assert!(accounts + index + buffers <= total, "{shares:?}");
            assert!(accounts >= total / 2 && shares.reading > 0, "{shares:?}");
            assert!(shares.views >= total / 8 * 3, "{shares:?}");
            total = total / 2 * 3;
        }
    }

    #[test]
    fn the_machine_decides_where_nobody_else_does() {
        let gib = 1 << 30;
        assert_eq!(Shares::of_machine(None).total, MEMORY_MIN);
        assert_eq!(Shares::of_machine(Some(gib)).total, gib / 4);
        assert_eq!(Shares::of_machine(Some(1000 * gib)).total, MEMORY_MAX);
        let asked = Settings::parse("[memory]\ntotal = \"768 MiB\"\n").expect("valid");
        assert_eq!(Shares::of(&asked).total, 768 << 20);
        let asked = Settings::parse("[memory]\ntotal = \"1 MiB\"\n");
        assert!(asked.is_err(), "less than the least");
    }
}
