//! What becomes of a message, in replies.
//!
//! PRACTICE of the field for one reply and many recipients: all refuse → that
//! refusal, a temporary one if any is; at least one accepts → 250.

use envelope::Reply;

/// What the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The message's name in the log and in the reply.
    pub id: String,
    /// The answer per recipient, in the envelope's order (LMTP).
    pub replies: Vec<Reply>,
    /// The one answer (SMTP).
    pub reply: Reply,
    /// It had been accepted before, under this id; the client lost the reply.
    pub again: bool,
}

impl Outcome {
    /// The same answer for all.
    pub(crate) fn all(id: String, recipients: usize, reply: Reply) -> Self {
        Self {
            id,
            replies: vec![reply.clone(); recipients],
            reply,
            again: false,
        }
    }

    /// One answer from many.
    pub(crate) fn of(id: String, replies: Vec<Reply>) -> Self {
        let pick = |wanted: fn(&Reply) -> bool| replies.iter().find(|reply| wanted(reply));
        let reply = pick(Reply::is_positive)
            .or_else(|| pick(Reply::is_temporary))
            .or_else(|| replies.first())
            .cloned()
            .unwrap_or_else(crate::reply::local_trouble);
        Self {
            id,
            replies,
            reply,
            again: false,
        }
    }

    /// True when at least one recipient was accepted.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.reply.is_positive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply;
    use envelope::Address;
    use mailstore::{OverQuota, QuotaOwner, QuotaUnit};

    #[test]
    fn one_reply_for_many() {
        let bob = Address::parse("bob@demo.test").expect("valid");
        let over = OverQuota {
            owner: QuotaOwner::Account,
            unit: QuotaUnit::Bytes,
        };
        let (yes, later, never) = (
            reply::accepted("x"),
            reply::full(&bob, over),
            reply::not_storable(&bob),
        );
        let one = |replies: &[&Reply]| {
            Outcome::of(
                "x".into(),
                replies.iter().map(|&reply| reply.clone()).collect(),
            )
            .reply
        };
        assert_eq!(one(&[&never, &later, &yes]), yes);
        assert_eq!(one(&[&never, &later]), later);
        assert_eq!(one(&[&never]), never);
    }
}
