//! What is due for one site: senders take turns, and each one's mail goes in order of time.
//!
//! A sender with very much of it cannot fill the list against the others: whoever
//! has less gets a place of whoever has most, which goes back to the schedule.

use std::collections::{HashMap, VecDeque};

use queue::Due;

#[derive(Debug, Default)]
pub(crate) struct List {
    senders: HashMap<u32, VecDeque<Due>>,
    /// Senders with something, in the order of their turns.
    turns: VecDeque<u32>,
    len: usize,
}

impl List {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, due: Due) {
        let queue = self.senders.entry(due.sender).or_default();
        if queue.is_empty() && !self.turns.contains(&due.sender) {
            self.turns.push_back(due.sender);
        }
        // What was added last may be due first: RFC 6710's priorities, retries.
        let at = queue.partition_point(|other| other.place() <= due.place());
        queue.insert(at, due);
        self.len += 1;
    }

    /// True if the sender has something in it.
    pub(crate) fn has(&self, sender: u32) -> bool {
        self.senders.contains_key(&sender)
    }

    /// The next, with all of the same message: they share a transaction.
    pub(crate) fn pop(&mut self) -> Vec<Due> {
        while let Some(sender) = self.turns.pop_front() {
            let dues = self.pop_of(sender);
            if self.has(sender) {
                self.turns.push_back(sender);
            }
            if !dues.is_empty() {
                return dues;
            }
        }
        Vec::new()
    }

    /// The next of this sender, whose turn comes no later for it.
    pub(crate) fn pop_of(&mut self, sender: u32) -> Vec<Due> {
        let mut dues: Vec<Due> = Vec::new();
        let Some(queue) = self.senders.get_mut(&sender) else {
            return dues;
        };
        while queue.front().is_some_and(|next| {
            dues.first()
                .is_none_or(|first| (next.line.shard, next.id) == (first.line.shard, first.id))
        }) {
            dues.extend(queue.pop_front());
        }
        if queue.is_empty() {
            self.senders.remove(&sender);
        }
        self.len -= dues.len();
        dues
    }

    /// Takes the last of the sender who has most, if `sender` has less even then.
    pub(crate) fn make_room_for(&mut self, sender: u32) -> Option<Due> {
        let has = self.senders.get(&sender).map_or(0, VecDeque::len);
        let (_, most) = self
            .senders
            .iter_mut()
            .max_by_key(|(_, queue)| queue.len())?;
        if most.len() < has + 2 {
            return None;
        }
        self.len -= 1;
        most.pop_back()
    }

    /// Takes out what is of this kind.
    pub(crate) fn take(&mut self, of_kind: impl Fn(&Due) -> bool) -> Vec<Due> {
        let mut taken = Vec::new();
        for queue in self.senders.values_mut() {
            let (gone, stays): (VecDeque<Due>, VecDeque<Due>) =
                std::mem::take(queue).into_iter().partition(&of_kind);
            *queue = stays;
            taken.extend(gone);
        }
        self.senders.retain(|_, queue| !queue.is_empty());
        self.len -= taken.len();
        taken
    }

    pub(crate) fn drain(&mut self) -> Vec<Due> {
        self.turns.clear();
        self.len = 0;
        self.senders.drain().flat_map(|(_, queue)| queue).collect()
    }
}
