//! The threads of THREAD (RFC 5256 §3, draft-ietf-morg-inthread): by subject, and by what
//! messages refer to.
//! Pure: what a message's date, subject and ids are is the caller's business.
//!
//! Nothing here is deeper than the stack: a chain of replies may be as long as a
//! mailbox has messages, so trees are walked with a list of what is still to do.

use crate::limits::{MISSING_PER_MESSAGE, THREAD_STEPS_PER_MESSAGE};
use crate::response::write_number;
use std::collections::HashMap;

/// A Message-ID, or what stands for it: equal for ids that are.
pub type IdKey = [u8; 16];

/// A message that is to be threaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Threaded<'a> {
    /// Its number or UID, in ascending order over all.
    pub number: u32,
    /// When it was sent, in Unix seconds.
    pub date: i64,
    /// When it came, in Unix seconds.
    pub arrival: i64,
    /// Its base subject, as it is compared; empty if there is none.
    pub subject: &'a [u8],
    /// The subject was one of a reply or a forward.
    pub is_reply: bool,
    /// Its Message-ID.
    pub id: Option<IdKey>,
    /// What it refers to, the oldest first.
    pub references: &'a [IdKey],
}

/// A message, or the place of one that is missing, and the answers to it.
#[derive(Debug, Clone, Default)]
struct Node {
    /// None where the message is missing.
    message: Option<usize>,
    parent: Option<usize>,
    children: Vec<usize>,
}

/// Threads, each one a tree.
#[derive(Debug, Clone, Default)]
pub struct Threads {
    nodes: Vec<Node>,
    numbers: Vec<u32>,
    roots: Vec<usize>,
}

/// THREAD=ORDEREDSUBJECT: the first message of a subject, and the others as answers to it.
#[must_use]
pub fn by_subject(messages: &[Threaded<'_>]) -> Threads {
    let mut order: Vec<usize> = (0..messages.len()).collect();
    let key = |at: usize| (messages[at].date, messages[at].number);
    order.sort_unstable_by(|&a, &b| {
        let subjects = messages[a].subject.cmp(messages[b].subject);
        subjects.then_with(|| key(a).cmp(&key(b)))
    });
    let mut threads = Threads::of(messages);
    let mut root: Option<usize> = None;
    for at in order {
        let same = root.filter(|&root| messages[root].subject == messages[at].subject);
        match same {
            Some(root) => threads.link(root, at),
            None => {
                threads.roots.push(at);
                root = Some(at);
            }
        }
    }
    threads.roots.sort_by_key(|&at| key(at));
    threads
}

/// THREAD=REFERENCES.
#[must_use]
pub fn by_references(messages: &[Threaded<'_>]) -> Threads {
    let mut threads = Threads::linked(messages);
    threads.sort_roots(messages);
    threads.gather(messages);
    threads.sort(messages);
    threads
}

/// THREAD=REFS: subjects count for nothing, and the thread to which a message came last is the last.
#[must_use]
pub fn by_refs(messages: &[Threaded<'_>]) -> Threads {
    let mut threads = Threads::linked(messages);
    threads.sort(messages);
    let mut roots = std::mem::take(&mut threads.roots);
    roots.sort_by_cached_key(|&at| threads.latest(messages, at));
    threads.roots = roots;
    threads
}

impl Threads {
    /// A node for each message, in order, and nothing linked.
    fn of(messages: &[Threaded<'_>]) -> Self {
        let node = |at| Node {
            message: Some(at),
            ..Node::default()
        };
        Self {
            nodes: (0..messages.len()).map(node).collect(),
            numbers: messages.iter().map(|message| message.number).collect(),
            roots: Vec::new(),
        }
    }

    /// By what they refer to, without the places of missing messages that hold nothing together.
    fn linked(messages: &[Threaded<'_>]) -> Self {
        let mut threads = Self::of(messages);
        threads.link_references(messages);
        threads.roots = (0..threads.nodes.len())
            .filter(|&at| threads.nodes[at].parent.is_none())
            .collect();
        threads.prune();
        threads
    }

    fn link(&mut self, parent: usize, child: usize) {
        self.nodes[child].parent = Some(parent);
        self.nodes[parent].children.push(child);
    }

    fn unlink(&mut self, child: usize) {
        if let Some(parent) = self.nodes[child].parent.take() {
            self.nodes[parent].children.retain(|&other| other != child);
        }
    }

    /// True if `above` is `at` or an ancestor of it, or if there are no steps left to see that.
    fn is_above(&self, above: usize, at: usize, steps: &mut usize) -> bool {
        if self.nodes[above].children.is_empty() {
            return above == at;
        }
        let mut next = Some(at);
        // Nothing is ever linked into a loop, so this ends.
        while let Some(at) = next {
            if at == above || *steps == 0 {
                return true;
            }
            *steps -= 1;
            next = self.nodes[at].parent;
        }
        false
    }

    /// Step 1 of RFC 5256 §3.
    fn link_references(&mut self, messages: &[Threaded<'_>]) {
        let mut ids: HashMap<IdKey, usize> = HashMap::with_capacity(messages.len());
        for (at, message) in messages.iter().enumerate() {
            // A message without an id, or with another's, has one of its own.
            if let Some(id) = message.id {
                ids.entry(id).or_insert(at);
            }
        }
        let mut steps = messages.len() * THREAD_STEPS_PER_MESSAGE;
        let most = messages.len() * (1 + MISSING_PER_MESSAGE);
        for (at, message) in messages.iter().enumerate() {
            let mut before: Option<usize> = None;
            for reference in message.references {
                let node = match ids.get(reference) {
                    Some(node) => *node,
                    None if self.nodes.len() >= most => continue,
                    None => {
                        self.nodes.push(Node::default());
                        ids.insert(*reference, self.nodes.len() - 1);
                        self.nodes.len() - 1
                    }
                };
                // (A): links that are there stay, and none makes a loop.
                if let Some(parent) = before
                    && self.nodes[node].parent.is_none()
                    && !self.is_above(node, parent, &mut steps)
                {
                    self.link(parent, node);
                }
                before = Some(node);
            }
            // (B): the last reference is the parent, whatever was guessed before, and
            // where there is none, or it would make a loop, there is no parent.
            if before.is_none() || self.nodes[at].parent != before {
                self.unlink(at);
            }
            if let Some(parent) = before
                && self.nodes[at].parent.is_none()
                && !self.is_above(at, parent, &mut steps)
            {
                self.link(parent, at);
            }
        }
    }

    /// Step 3: places of missing messages go; what hangs on them moves up, but not
    /// several to the top.
    fn prune(&mut self) {
        // Children before their parents.
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut to_do = self.roots.clone();
        while let Some(at) = to_do.pop() {
            order.push(at);
            to_do.extend(&self.nodes[at].children);
        }
        for &at in order.iter().rev() {
            let is_there = |&child: &usize| self.nodes[child].message.is_some();
            if self.nodes[at].children.iter().all(is_there) {
                continue;
            }
            let children = std::mem::take(&mut self.nodes[at].children);
            let mut kept = Vec::with_capacity(children.len());
            for child in children {
                if self.nodes[child].message.is_some() {
                    kept.push(child);
                } else {
                    kept.append(&mut self.nodes[child].children);
                }
            }
            for &child in &kept {
                self.nodes[child].parent = Some(at);
            }
            self.nodes[at].children = kept;
        }
        let mut roots = Vec::with_capacity(self.roots.len());
        for at in std::mem::take(&mut self.roots) {
            match (self.nodes[at].message, self.nodes[at].children.as_slice()) {
                (None, []) => {}
                (None, &[only]) => {
                    self.nodes[only].parent = None;
                    roots.push(only);
                }
                _ => roots.push(at),
            }
        }
        self.roots = roots;
    }

    /// What a node is sorted by: its message's date and number, or its first child's.
    fn key(&self, messages: &[Threaded<'_>], at: usize) -> (i64, u32) {
        let node = &self.nodes[at];
        let message = node.message.or_else(|| {
            let first = node.children.first()?;
            self.nodes[*first].message
        });
        message.map_or((i64::MAX, u32::MAX), |at| {
            (messages[at].date, messages[at].number)
        })
    }

    fn sort_children(&mut self, messages: &[Threaded<'_>], at: usize) {
        let mut children = std::mem::take(&mut self.nodes[at].children);
        children.sort_by_key(|&child| self.key(messages, child));
        self.nodes[at].children = children;
    }

    /// Step 4.
    fn sort_roots(&mut self, messages: &[Threaded<'_>]) {
        for at in self.roots.clone() {
            if self.nodes[at].message.is_none() {
                self.sort_children(messages, at);
            }
        }
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_key(|&at| self.key(messages, at));
        self.roots = roots;
    }

    /// The message whose subject counts for a root.
    fn subject_of(&self, at: usize) -> Option<usize> {
        let node = &self.nodes[at];
        node.message
            .or_else(|| self.nodes[*node.children.first()?].message)
    }

    /// Step 5: roots of one subject are one thread.
    fn gather(&mut self, messages: &[Threaded<'_>]) {
        let is_reply = |threads: &Self, at: usize| {
            threads
                .subject_of(at)
                .is_some_and(|message| messages[message].is_reply)
        };
        let mut table: HashMap<&[u8], usize> = HashMap::with_capacity(self.roots.len());
        for &at in &self.roots {
            let Some(message) = self.subject_of(at) else {
                continue;
            };
            let subject = messages[message].subject;
            if subject.is_empty() {
                continue;
            }
            // (B): places of missing messages before messages, originals before replies.
            match table.get(subject).copied() {
                None => {
                    table.insert(subject, at);
                }
                Some(old) => {
                    let better = match (self.is_dummy(old), self.is_dummy(at)) {
                        (false, true) => true,
                        (true, false) => false,
                        _ => is_reply(self, old) && !is_reply(self, at),
                    };
                    if better {
                        table.insert(subject, at);
                    }
                }
            }
        }
        let mut gone = vec![false; self.nodes.len()];
        let mut made: Vec<(usize, usize)> = Vec::new();
        for at in self.roots.clone() {
            let Some(message) = self.subject_of(at) else {
                continue;
            };
            let subject = messages[message].subject;
            let Some(&first) = table.get(subject) else {
                continue;
            };
            if first == at {
                continue;
            }
            // (C)
            gone[at] = true;
            match (self.is_dummy(first), self.is_dummy(at)) {
                (true, true) => {
                    for child in std::mem::take(&mut self.nodes[at].children) {
                        self.link(first, child);
                    }
                }
                (true, false) => self.link(first, at),
                (false, _) if is_reply(self, at) && !is_reply(self, first) => self.link(first, at),
                (false, _) => {
                    self.nodes.push(Node::default());
                    let both = self.nodes.len() - 1;
                    gone.push(false);
                    self.link(both, first);
                    self.link(both, at);
                    gone[first] = true;
                    table.insert(subject, both);
                    made.push((first, both));
                }
            }
        }
        let instead: HashMap<usize, usize> = made.into_iter().collect();
        let roots = std::mem::take(&mut self.roots);
        for at in roots {
            if let Some(&both) = instead.get(&at) {
                self.roots.push(both);
            } else if !gone[at] {
                self.roots.push(at);
            }
        }
    }

    fn is_dummy(&self, at: usize) -> bool {
        self.nodes[at].message.is_none()
    }

    /// Step 6.
    fn sort(&mut self, messages: &[Threaded<'_>]) {
        let mut to_do = self.roots.clone();
        while let Some(at) = to_do.pop() {
            self.sort_children(messages, at);
            to_do.extend(&self.nodes[at].children);
        }
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_key(|&at| self.key(messages, at));
        self.roots = roots;
    }

    /// When the last message of a thread came, and its number.
    fn latest(&self, messages: &[Threaded<'_>], root: usize) -> (i64, u32) {
        let mut latest = (i64::MIN, 0);
        let mut to_do = vec![root];
        while let Some(at) = to_do.pop() {
            let message = self.nodes[at].message.map(|at| &messages[at]);
            let came = message.map(|message| (message.arrival, message.number));
            latest = latest.max(came.unwrap_or(latest));
            to_do.extend(&self.nodes[at].children);
        }
        latest
    }

    /// ```abnf
    /// thread-data    = "THREAD" [SP 1*thread-list]
    /// thread-list    = "(" (thread-members / thread-nested) ")"
    /// thread-members = nz-number *(SP nz-number) [SP thread-nested]
    /// thread-nested  = 2*thread-list
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"* THREAD");
        if !self.roots.is_empty() {
            out.push(b' ');
        }
        let mut to_do: Vec<Step> = self.roots.iter().rev().map(|&at| Step::List(at)).collect();
        while let Some(step) = to_do.pop() {
            let at = match step {
                Step::Close => {
                    out.push(b')');
                    continue;
                }
                Step::List(at) => {
                    out.push(b'(');
                    to_do.push(Step::Close);
                    at
                }
                Step::Next(at) => {
                    out.push(b' ');
                    at
                }
            };
            let node = &self.nodes[at];
            if let Some(message) = node.message {
                write_number(out, u64::from(self.numbers[message]));
            }
            match node.children.as_slice() {
                [] => {}
                &[only] if node.message.is_some() => to_do.push(Step::Next(only)),
                several => {
                    if node.message.is_some() {
                        out.push(b' ');
                    }
                    to_do.extend(several.iter().rev().map(|&at| Step::List(at)));
                }
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// What is still to be written.
enum Step {
    /// A list that begins with this node.
    List(usize),
    /// The only answer to what stands before.
    Next(usize),
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(id: &str) -> IdKey {
        let mut key = [0; 16];
        key[..id.len()].copy_from_slice(id.as_bytes());
        key
    }

    fn message<'a>(number: u32, subject: &'a str, id: &str, references: &[&str]) -> Threaded<'a> {
        let references: Vec<IdKey> = references.iter().map(|id| key(id)).collect();
        Threaded {
            number,
            date: i64::from(number),
            arrival: i64::from(number),
            subject: subject.trim_start_matches("re ").as_bytes(),
            is_reply: subject.starts_with("re "),
            id: Some(key(id)).filter(|_| !id.is_empty()),
            references: references.leak(),
        }
    }

    fn written(threads: &Threads) -> String {
        let mut out = Vec::new();
        threads.write(&mut out);
        let text = String::from_utf8(out).expect("ASCII");
        let text = text.strip_prefix("* THREAD").expect("a response");
        text.trim().to_owned()
    }

    fn referring(messages: &[Threaded<'_>]) -> String {
        written(&by_references(messages))
    }

    #[test]
    fn answers_hang_on_what_they_answer() {
        assert_eq!(referring(&[]), "");
        let chain = [
            message(1, "a", "1", &[]),
            message(2, "b", "2", &["1"]),
            message(3, "c", "3", &["1", "2"]),
            message(4, "d", "4", &["1", "2"]),
            message(5, "e", "5", &[]),
        ];
        assert_eq!(referring(&chain), "(1 2 (3)(4))(5)");
    }

    #[test]
    fn places_of_missing_messages_hold_threads_together() {
        // Of one missing message.
        let both = [message(1, "a", "1", &["x"]), message(2, "b", "2", &["x"])];
        assert_eq!(referring(&both), "((1)(2))");
        let one = [
            message(1, "a", "1", &["x", "y"]),
            message(2, "b", "2", &["1"]),
        ];
        assert_eq!(referring(&one), "(1 2)");
        // In the middle.
        let gap = [
            message(1, "a", "1", &[]),
            message(2, "b", "2", &["1", "x"]),
            message(3, "c", "3", &["1", "x"]),
        ];
        assert_eq!(referring(&gap), "(1 (2)(3))");
    }

    #[test]
    fn one_subject_is_one_thread() {
        let replies = [
            message(1, "re a", "1", &[]),
            message(2, "a", "2", &[]),
            message(3, "re a", "3", &[]),
        ];
        assert_eq!(referring(&replies), "(2 (1)(3))");
        let equals = [
            message(1, "a", "1", &[]),
            message(2, "a", "2", &[]),
            message(3, "b", "3", &[]),
        ];
        assert_eq!(referring(&equals), "((1)(2))(3)");
        let empty = [message(1, "", "1", &[]), message(2, "", "2", &[])];
        assert_eq!(referring(&empty), "(1)(2)");
        assert_eq!(written(&by_subject(&replies)), "(1 (2)(3))");
        assert_eq!(written(&by_subject(&equals)), "(1 2)(3)");
    }

    #[test]
    fn the_thread_that_lives_is_the_last() {
        let mut messages = [
            message(1, "a", "1", &[]),
            message(2, "a", "2", &[]),
            message(3, "b", "3", &["1"]),
            message(4, "c", "4", &["x"]),
            message(5, "d", "5", &["x"]),
        ];
        assert_eq!(written(&by_refs(&messages)), "(2)(1 3)((4)(5))");
        messages[1].arrival = 9;
        assert_eq!(written(&by_refs(&messages)), "(1 3)((4)(5))(2)");
        // Answers stand as they were sent.
        messages[3].date = 6;
        assert_eq!(written(&by_refs(&messages)), "(1 3)((5)(4))(2)");
    }

    #[test]
    fn ids_that_are_missing_or_used_twice_and_loops_do_no_harm() {
        let twice = [
            message(1, "a", "1", &[]),
            message(2, "b", "1", &[]),
            message(3, "c", "3", &["1"]),
        ];
        assert_eq!(referring(&twice), "(1 3)(2)");
        let none = [message(1, "a", "", &[]), message(2, "b", "", &[])];
        assert_eq!(referring(&none), "(1)(2)");
        let round = [
            message(1, "a", "1", &["2"]),
            message(2, "b", "2", &["1"]),
            message(3, "c", "3", &["3"]),
        ];
        assert_eq!(referring(&round), "(2 1)(3)");
        // RFC 5256 §3 (1) (B): what was guessed of 3 goes, although its own would make a loop.
        let guessed = [
            message(1, "a", "1", &[]),
            message(2, "b", "2", &["1", "3"]),
            message(3, "c", "3", &["2"]),
        ];
        assert_eq!(referring(&guessed), "(1)(3 2)");
    }

    /// Many that refer to both ends of a chain, and to what nobody has.
    #[test]
    fn threads_take_a_bounded_time_and_room() {
        let names: Vec<String> = (0..3000).map(|n| format!("c{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (first, last) = (names[0], names[names.len() - 1]);
        let ends = [first, last].repeat(500);
        let messages: Vec<Threaded> = (1..=100)
            .map(|n| message(n, "a", "", if n == 1 { &names } else { &ends }))
            .collect();
        let threads = by_refs(&messages);
        assert!(threads.nodes.len() <= 100 * (1 + MISSING_PER_MESSAGE));
        assert_eq!(written(&threads).matches('(').count(), 101);
    }

    #[test]
    fn a_long_chain_is_no_deep_stack() {
        let messages: Vec<Threaded> = (1..=50_000u32)
            .map(|n| {
                let before = (n - 1).to_string();
                let references: &[&str] = if n > 1 { &[&before] } else { &[] };
                let subject = n.to_string().leak();
                message(n, subject, &n.to_string(), references)
            })
            .collect();
        let text = referring(&messages);
        assert!(text.starts_with("(1 2 3 ") && text.ends_with(" 50000)"));
    }

    proptest! {
        #[test]
        fn every_message_is_in_one_thread_once(
            raw in prop::collection::vec((0u8..8, prop::collection::vec((0u8..8).prop_map(|id| [id; 16]), 0..4), 0u8..3, any::<bool>(), 0i64..5), 0..12)
        ) {
            let messages: Vec<Threaded> = raw.iter().enumerate().map(|(at, (id, references, subject, is_reply, date))| Threaded {
                number: at as u32 + 1,
                date: *date,
                arrival: 4 - *date,
                subject: core::slice::from_ref(subject).strip_prefix(&[0]).unwrap_or(core::slice::from_ref(subject)),
                is_reply: *is_reply,
                id: Some([*id; 16]).filter(|_| *id != 0),
                references,
            }).collect();
            for threads in [by_references(&messages), by_refs(&messages), by_subject(&messages)] {
                let text = written(&threads);
                let mut numbers: Vec<u32> = text
                    .split(|c: char| !c.is_ascii_digit())
                    .filter_map(|n| n.parse().ok())
                    .collect();
                numbers.sort_unstable();
                prop_assert_eq!(numbers, (1..=messages.len() as u32).collect::<Vec<_>>());
                prop_assert_eq!(text.matches('(').count(), text.matches(')').count());
                prop_assert!(!text.contains("()") && !text.contains("( ") && !text.contains("  "), "{}", text);
            }
        }
    }
}
