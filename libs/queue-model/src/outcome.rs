//! What a reply means for a recipient: deliver, wait, give up.
//!
//! RFC 5321 §4.2.1 for the code, RFC 3463 §2 for the enhanced one. What is not
//! known to be permanent is temporary: mail waits, it does not bounce.

use envelope::Reply;

use crate::schedule::Schedule;

/// The three things a reply can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Accepted.
    Success,
    /// Try again.
    Temporary,
    /// Do not.
    Permanent,
}

impl Class {
    /// The meaning of a reply. `5yz 4.x.x` contradicts itself and is temporary.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        match (
            reply.code / 100,
            reply.enhanced.map(|enhanced| enhanced.class),
        ) {
            (2, _) => Self::Success,
            (5, Some(4)) => Self::Temporary,
            (5, _) => Self::Permanent,
            _ => Self::Temporary,
        }
    }
}

/// How old a recipient's work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// When the message arrived, in milliseconds since 1970.
    pub arrived_ms: u64,
    /// The time now.
    pub now_ms: u64,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// The message has the null sender.
    pub is_report: bool,
}

/// What becomes of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// It is tried again.
    Retry {
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// It was refused.
    Refused,
    /// It was tried for as long as may be.
    Expired,
}

/// Decides over a recipient after an attempt; `seed` is chance.
#[must_use]
pub fn judge(class: Class, age: Age, schedule: &Schedule, seed: u64) -> Verdict {
    match class {
        Class::Success => Verdict::Done,
        Class::Permanent => Verdict::Refused,
        Class::Temporary => {
            let at_ms = age
                .now_ms
                .saturating_add(schedule.wait_ms(age.attempts, seed));
            let end_ms = age
                .arrived_ms
                .saturating_add(schedule.lifetime_ms(age.is_report));
            // The last attempt is made at the end of the lifetime, not a step before it.
            if age.now_ms >= end_ms {
                Verdict::Expired
            } else {
                Verdict::Retry {
                    at_ms: at_ms.min(end_ms),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn replies_by_code_and_enhanced_code() {
        let cases = [
            (Reply::new(250, None, "ok"), Class::Success),
            (Reply::new(451, None, "later"), Class::Temporary),
            (Reply::enhanced(421, (4, 3, 2), "closing"), Class::Temporary),
            (Reply::new(550, None, "no"), Class::Permanent),
            (
                Reply::enhanced(550, (5, 1, 1), "no such user"),
                Class::Permanent,
            ),
            (Reply::enhanced(550, (4, 2, 2), "full"), Class::Temporary),
            (Reply::enhanced(450, (5, 1, 1), "odd"), Class::Temporary),
            (Reply::new(354, None, "odd"), Class::Temporary),
            (Reply::new(0, None, "odd"), Class::Temporary),
        ];
        for (reply, class) in cases {
            assert_eq!(Class::of(&reply), class, "{}", reply.to_line());
        }
    }

    proptest! {
        /// However chance falls, retries come to an end at the lifetime.
        #[test]
        fn retries_end_with_the_lifetime(seed: u64, is_report: bool) {
            let schedule = Schedule::default();
            let mut age = Age { arrived_ms: 1000, now_ms: 1000, attempts: 0, is_report };
            let end_ms = 1000 + schedule.lifetime_ms(is_report);
            loop {
                age.attempts += 1;
                match judge(Class::Temporary, age, &schedule, seed.wrapping_mul(age.attempts.into())) {
                    Verdict::Retry { at_ms } => {
                        prop_assert!(at_ms > age.now_ms && at_ms <= end_ms);
                        age.now_ms = at_ms;
                    }
                    verdict => {
                        prop_assert_eq!(verdict, Verdict::Expired);
                        prop_assert_eq!(age.now_ms, end_ms);
                        break;
                    }
                }
                prop_assert!(age.attempts < 100);
            }
        }
    }
}
