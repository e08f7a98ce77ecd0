//! Marks blobs without links, and deletes the marked ones after the grace time.

use crate::id::BlobId;
use crate::limits::UNLINKED_PAGE;
use crate::link;
use crate::record::Record;
use crate::store::{BlobError, Blobs};
use crate::unlinked::{self, Candidate};
use engine::{Batch, Expect, Order, ShardId, Snapshot, SubmitError, Versioned};

/// What a step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unlinked {
    /// Blobs that had lost a link.
    pub examined: u64,
    /// Marked dying.
    pub marked: u64,
    /// Turned out to be in use, or gone already.
    pub kept: u64,
    /// Deleted.
    pub deleted: u64,
    /// Stored bytes of those deleted.
    pub deleted_bytes: u64,
}

/// A walk over the blobs of a shard that lost a link.
#[derive(Debug, Clone)]
pub struct UnlinkedWalk {
    shard: ShardId,
    start: Vec<u8>,
    end: Vec<u8>,
}

impl UnlinkedWalk {
    /// Begins at the first of them.
    #[must_use]
    pub fn new(shard: ShardId) -> Self {
        let (start, end) = unlinked::all(shard);
        Self { shard, start, end }
    }
}

/// One blob's change, all or nothing.
struct Change {
    conditions: Vec<(Vec<u8>, Expect)>,
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    counts: Unlinked,
}

impl Blobs {
    /// Looks at a page of the blobs that lost a link; `None` when all were
    /// looked at. Waits (blocking) until what it changed is durable.
    ///
    /// # Errors
    /// The engine cannot read, or takes no commits.
    pub fn collect_unlinked(
        &self,
        walk: &mut UnlinkedWalk,
        now_ms: u64,
        grace_ms: u64,
    ) -> Result<Option<Unlinked>, BlobError> {
        let snapshot = self.engine().snapshot(walk.shard);
        let page = snapshot.scan(&walk.start, &walk.end, Order::Ascending, UNLINKED_PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(None);
        };
        walk.start.clone_from(last);
        walk.start.push(0);
        let mut total = Unlinked::default();
        let mut changes = Vec::new();
        for (key, stored) in page {
            total.examined += 1;
            // `fsck` tells of keys that are none; they stay for it.
            if let Some(id) = unlinked::parse(&key) {
                let look = Look {
                    shard: walk.shard,
                    id,
                    candidate: stored,
                    now_ms,
                    grace_ms,
                };
                changes.extend(look.decide(&*snapshot)?);
            }
        }
        drop(snapshot);
        self.submit_changes(changes, &mut total)?;
        Ok(Some(total))
    }

    /// Submits the changes in one commit; leaves out those that lost to another commit.
    fn submit_changes(
        &self,
        mut changes: Vec<Change>,
        total: &mut Unlinked,
    ) -> Result<(), BlobError> {
        while !changes.is_empty() {
            let mut batch = Batch::new();
            for change in &changes {
                for (key, expect) in &change.conditions {
                    batch.expect(key.clone(), *expect);
                }
                for (key, value) in &change.writes {
                    match value {
                        Some(value) => batch.put(key.clone(), value.clone()),
                        None => batch.delete(key.clone()),
                    }
                }
            }
            match self.engine().submit(batch) {
                Ok(ticket) => {
                    ticket.done_blocking();
                    for change in &changes {
                        total.marked += change.counts.marked;
                        total.kept += change.counts.kept;
                        total.deleted += change.counts.deleted;
                        total.deleted_bytes += change.counts.deleted_bytes;
                    }
                    return Ok(());
                }
                Err(SubmitError::Conflict { key, .. }) => {
                    let before = changes.len();
                    changes.retain(|change| change.conditions.iter().all(|(of, _)| *of != key));
                    assert!(changes.len() < before, "a conflict names a condition's key");
                }
                // Records of very long blobs: in two halves.
                Err(SubmitError::TooLarge { .. }) if changes.len() > 1 => {
                    let rest = changes.split_off(changes.len() / 2);
                    self.submit_changes(rest, total)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What is known of one blob that lost a link.
struct Look {
    shard: ShardId,
    id: BlobId,
    candidate: Versioned,
    now_ms: u64,
    grace_ms: u64,
}

impl Look {
    /// What is to be done now; `None` when it is to wait.
    fn decide(&self, snapshot: &dyn Snapshot) -> Result<Option<Change>, BlobError> {
        let key = link::record_key(self.shard, self.id);
        let Some(stored) = snapshot.get(&key)? else {
            return Ok(Some(self.forget()));
        };
        let Ok(record) = Record::decode(&stored.value) else {
            // Damaged: `fsck` tells of it, and nothing of it is thrown away.
            return Ok(None);
        };
        let (start, end) = link::links(self.shard, self.id);
        let in_use = !snapshot.scan(&start, &end, Order::Ascending, 1)?.is_empty();
        let condition = (key.clone(), Expect::Version(stored.version));
        if in_use {
            let mut change = self.forget();
            if record.dying {
                // Linked just before it was marked.
                let alive = Record {
                    dying: false,
                    ..record
                };
                change.conditions.push(condition);
                change.writes.push((key, Some(alive.encode())));
            }
            return Ok(Some(change));
        }
        if !record.dying {
            let dying = Record {
                dying: true,
                ..record
            };
            let mut change = self.mark();
            change.conditions.push(condition);
            change.writes.push((key, Some(dying.encode())));
            return Ok(Some(change));
        }
        match Candidate::decode(&self.candidate.value) {
            // From here on no commit can add a link: a delivery refuses a dying
            // record, and there is no owner whose link could be copied. One that
            // writes the blob again changes the record.
            Ok(Candidate::Dying { since_ms })
                if since_ms <= self.now_ms && self.now_ms - since_ms >= self.grace_ms =>
            {
                let bytes = |chunk: &crate::record::Chunk| u64::from(chunk.extent.stored_len());
                let mut change = self.change(Unlinked {
                    deleted: 1,
                    deleted_bytes: record.chunks.iter().map(bytes).sum(),
                    ..Unlinked::default()
                });
                change.conditions.push(condition);
                change.writes.push((key, None));
                change.writes.push((self.key(), None));
                Ok(Some(change))
            }
            Ok(Candidate::Dying { since_ms }) if since_ms <= self.now_ms => Ok(None),
            // Its last link went after the mark, or the clock was set back: the
            // grace time begins now.
            _ => Ok(Some(self.mark())),
        }
    }

    fn key(&self) -> Vec<u8> {
        unlinked::key(self.shard, self.id)
    }

    /// A change that is refused when the blob lost another link meanwhile.
    fn change(&self, counts: Unlinked) -> Change {
        Change {
            conditions: vec![(self.key(), Expect::Version(self.candidate.version))],
            writes: Vec::new(),
            counts,
        }
    }

    fn forget(&self) -> Change {
        let mut change = self.change(Unlinked {
            kept: 1,
            ..Unlinked::default()
        });
        change.writes.push((self.key(), None));
        change
    }

    fn mark(&self) -> Change {
        let mut change = self.change(Unlinked {
            marked: 1,
            ..Unlinked::default()
        });
        let dying = Candidate::Dying {
            since_ms: self.now_ms,
        };
        change.writes.push((self.key(), Some(dying.encode())));
        change
    }
}
