//! Which emails belong together, and the rule by which they do.
//!
//! A thread is named by the first of its emails, whether that is still there or not. An email joins one when
//! it comes and never leaves it, so that neither an email nor its thread ever has another name (RFC 8474 §5.2,
//! RFC 8621 §3). The rule is the one that RFC 8621 §3 suggests: a Message-ID in common, by Message-ID, References or
//! In-Reply-To, and the same base subject.
//!
//! - [`Threads`]: what is known of an account's threads. Cheap to clone.
//! - [`join`]: finds an email's thread, and what later ones are found by.
//!
//! Invariants: a thread's name is the id of the first of its emails, which is below all others; emails that are
//! alone take no room.

use crate::ids::EmailId;
use imbl::{OrdMap, OrdSet};

/// What emails of a thread have in common: one for each message that they are or refer to, with their subject.
pub type ThreadKey = [u8; 16];

/// The threads of an account's emails below a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Threads {
    behind: EmailId,
    /// Those that are not the first of theirs.
    first_of: OrdMap<EmailId, EmailId>,
    /// The same the other way round.
    others: OrdSet<(EmailId, EmailId)>,
}

impl Threads {
    /// Behind the last email that is known.
    #[must_use]
    pub fn behind(&self) -> EmailId {
        self.behind
    }

    /// Now all below `behind` are known.
    pub fn known_below(&mut self, behind: EmailId) {
        self.behind = self.behind.max(behind);
    }

    /// Says what an email's thread is.
    pub fn note(&mut self, email: EmailId, first: EmailId) {
        if first < email {
            self.first_of.insert(email, first);
            self.others.insert((first, email));
        }
    }

    /// The thread that an email is in.
    #[must_use]
    pub fn of(&self, email: EmailId) -> EmailId {
        self.first_of.get(&email).copied().unwrap_or(email)
    }

    /// The emails of a thread that ever came, in order; none if no thread has that name.
    pub fn emails(&self, first: EmailId) -> impl Iterator<Item = EmailId> {
        let is_first = !self.first_of.contains_key(&first);
        let others = self
            .others
            .range((first, first)..=(first, EmailId(u64::MAX)));
        let others = others.map(|(_, email)| *email);
        is_first
            .then_some(first)
            .into_iter()
            .chain(others.filter(move |_| is_first))
    }

    /// What it takes in memory, about: nodes of both trees are two thirds full.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.first_of.len() as u64 * (16 + 16) * 3 / 2
    }
}

/// What an email is and refers to.
#[derive(Debug, Clone, Copy)]
pub struct Joining<'a> {
    /// The email.
    pub email: EmailId,
    /// By its Message-ID; none if it has none.
    pub own: Option<ThreadKey>,
    /// What it refers to, the oldest first.
    pub references: &'a [ThreadKey],
}

/// The thread of an email that comes behind all of those that are found by `known`; `learn` is told each key that
/// is found by it from now on.
///
/// A message of which another spoke before it came is in that other's thread. Else the message nearest to it
/// that is known decides.
///
/// # Errors
/// Those of `known`.
pub fn join<E>(
    joining: Joining<'_>,
    mut known: impl FnMut(&ThreadKey) -> Result<Option<EmailId>, E>,
    mut learn: impl FnMut(ThreadKey, EmailId),
) -> Result<EmailId, E> {
    let mut unknown = Vec::new();
    let mut first = None;
    for key in joining.own.iter().chain(joining.references.iter().rev()) {
        match known(key)? {
            Some(found) => first = first.or(Some(found)),
            None => unknown.push(*key),
        }
    }
    let first = first.unwrap_or(joining.email);
    for key in unknown {
        learn(key, first);
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::convert::Infallible;

    fn threads(emails: &[(Option<u8>, &[u8])]) -> Vec<u64> {
        let key = |id: u8| [id; 16];
        let mut table: HashMap<ThreadKey, EmailId> = HashMap::new();
        let mut threads = Threads::default();
        for (at, (own, references)) in (1..).zip(emails) {
            let references: Vec<_> = references.iter().map(|id| key(*id)).collect();
            let joining = Joining {
                email: EmailId(at),
                own: own.map(key),
                references: &references,
            };
            let mut learned = Vec::new();
            let known = |key: &ThreadKey| Ok::<_, Infallible>(table.get(key).copied());
            let Ok(first) = join(joining, known, |key, first| learned.push((key, first)));
            for (key, first) in learned {
                // Never what is known already; one that is named twice is learned twice, alike.
                let before = table.insert(key, first);
                assert!(before.is_none_or(|before| before == first));
            }
            threads.note(EmailId(at), first);
        }
        threads.known_below(EmailId(emails.len() as u64 + 1));
        let all: Vec<_> = (1..threads.behind().0)
            .map(|email| threads.of(EmailId(email)).0)
            .collect();
        for email in 1..=all.len() as u64 {
            let of = |first| all.iter().zip(1..).filter(move |(of, _)| **of == first);
            let members: Vec<_> = of(email).map(|(_, email)| EmailId(email)).collect();
            assert_eq!(threads.emails(EmailId(email)).collect::<Vec<_>>(), members);
        }
        all
    }

    #[test]
    fn an_answer_is_in_the_thread_of_what_it_answers() {
        let emails: [(Option<u8>, &[u8]); 5] = [
            (Some(1), &[]),
            (Some(2), &[1]),
            (Some(9), &[]),
            (Some(3), &[1, 2]),
            (None, &[7, 3]),
        ];
        assert_eq!(threads(&emails), [1, 1, 3, 1, 1]);
    }

    #[test]
    fn what_comes_late_joins_those_that_spoke_of_it() {
        // Two answers of a message that comes last, and one of something that never comes.
        let emails: [(Option<u8>, &[u8]); 5] = [
            (Some(2), &[1]),
            (Some(3), &[1]),
            (Some(1), &[]),
            (Some(5), &[4]),
            (Some(6), &[4, 5]),
        ];
        assert_eq!(threads(&emails), [1, 1, 1, 4, 4]);
    }

    #[test]
    fn what_joins_two_threads_is_in_one_and_both_stay() {
        let emails: [(Option<u8>, &[u8]); 6] = [
            (Some(1), &[]),
            (Some(2), &[]),
            (Some(3), &[1, 2]),
            (Some(4), &[1]),
            (Some(5), &[3]),
            // The same message again is in its thread.
            (Some(2), &[3, 9]),
        ];
        assert_eq!(threads(&emails), [1, 2, 2, 1, 2, 2]);
    }

    #[test]
    fn emails_without_ids_are_alone() {
        assert_eq!(
            threads(&[(None, &[]), (None, &[]), (None, &[8]), (Some(1), &[1])]),
            [1, 2, 3, 4]
        );
    }
}
