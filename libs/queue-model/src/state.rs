//! What may follow what, for one recipient of a queued message.
//!
//! The table in `docs/internals/queue.md`, as code. What the table does not
//! name is illegal and changes nothing.

use core::fmt;

use thiserror::Error;

/// Where one recipient stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// To be attempted, first or again, from this time on.
    Todo {
        /// Milliseconds since 1970.
        due_ms: u64,
    },
    /// An attempt is under way in this process.
    Leased,
    /// Waits for its next attempt.
    Deferred {
        /// Milliseconds since 1970.
        until_ms: u64,
    },
    /// Waits for a person.
    Held,
    /// Handed on or delivered.
    Done,
    /// Given up; the sender was told if it wished to be.
    Failed,
    /// Taken out by an administrator; nobody was told.
    Removed,
}

/// What happens to one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// An attempt begins.
    Lease {
        /// The time now.
        now_ms: u64,
    },
    /// The attempt was accepted for good.
    Deliver,
    /// The attempt failed for now, or could not be made.
    PutOff {
        /// When to try again.
        until_ms: u64,
    },
    /// The attempt was refused for good, or time has run out.
    GiveUp,
    /// The attempt ended without a result: the process stopped.
    Interrupt {
        /// When to try again.
        due_ms: u64,
    },
    /// A person, or the server about a message that does harm, stops it.
    Hold,
    /// A person lets it go on.
    Release {
        /// The time now.
        now_ms: u64,
    },
    /// A person wants it tried now.
    Retry {
        /// The time now.
        now_ms: u64,
    },
    /// A person takes it out.
    Remove,
}

/// This event cannot happen in this state.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("a recipient that is {state} cannot be {event}")]
pub struct IllegalEvent {
    /// Where it stands.
    pub state: State,
    /// What was to happen.
    pub event: Event,
}

impl State {
    /// The state behind the event.
    ///
    /// # Errors
    /// The table has no such step.
    pub fn apply(self, event: Event) -> Result<Self, IllegalEvent> {
        let next = match (self, event) {
            (
                Self::Todo { due_ms: due } | Self::Deferred { until_ms: due },
                Event::Lease { now_ms },
            ) if due <= now_ms => Self::Leased,
            (Self::Leased, Event::Deliver) => Self::Done,
            (Self::Leased, Event::PutOff { until_ms }) => Self::Deferred { until_ms },
            (Self::Leased, Event::GiveUp) => Self::Failed,
            (Self::Leased, Event::Interrupt { due_ms }) => Self::Todo { due_ms },
            (
                Self::Leased | Self::Todo { .. } | Self::Deferred { .. } | Self::Held,
                Event::Hold,
            ) => Self::Held,
            (Self::Held, Event::Release { now_ms })
            | (Self::Todo { .. } | Self::Deferred { .. }, Event::Retry { now_ms }) => {
                Self::Todo { due_ms: now_ms }
            }
            (Self::Todo { .. } | Self::Deferred { .. } | Self::Held, Event::Remove) => {
                Self::Removed
            }
            (state, event) => return Err(IllegalEvent { state, event }),
        };
        Ok(next)
    }

    /// Nothing happens to it any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Removed)
    }

    /// When it is to be attempted; nothing for those that wait for a person or have ended.
    #[must_use]
    pub fn due_ms(self) -> Option<u64> {
        match self {
            Self::Todo { due_ms } => Some(due_ms),
            Self::Deferred { until_ms } => Some(until_ms),
            _ => None,
        }
    }

    /// One word for lists and filters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Todo { .. } => "todo",
            Self::Leased => "leased",
            Self::Deferred { .. } => "deferred",
            Self::Held => "held",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lease { .. } => "leased now",
            Self::Deliver => "delivered",
            Self::PutOff { .. } => "put off",
            Self::GiveUp => "given up",
            Self::Interrupt { .. } => "interrupted",
            Self::Hold => "held",
            Self::Release { .. } => "released",
            Self::Retry { .. } => "retried",
            Self::Remove => "removed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> impl Strategy<Value = State> {
        prop_oneof![
            (0..100u64).prop_map(|due_ms| State::Todo { due_ms }),
            Just(State::Leased),
            (0..100u64).prop_map(|until_ms| State::Deferred { until_ms }),
            Just(State::Held),
            Just(State::Done),
            Just(State::Failed),
            Just(State::Removed),
        ]
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..100u64).prop_map(|now_ms| Event::Lease { now_ms }),
            Just(Event::Deliver),
            (0..100u64).prop_map(|until_ms| Event::PutOff { until_ms }),
            Just(Event::GiveUp),
            (0..100u64).prop_map(|due_ms| Event::Interrupt { due_ms }),
            Just(Event::Hold),
            (0..100u64).prop_map(|now_ms| Event::Release { now_ms }),
            (0..100u64).prop_map(|now_ms| Event::Retry { now_ms }),
            Just(Event::Remove),
        ]
    }

    proptest! {
        #[test]
        fn an_ended_recipient_never_changes(state in state(), event in event()) {
            if state.is_final() {
                prop_assert!(state.apply(event).is_err());
            }
        }

        #[test]
        fn only_an_attempt_ends_in_done_or_failed(state in state(), event in event()) {
            if let Ok(State::Done | State::Failed) = state.apply(event) {
                prop_assert_eq!(state, State::Leased);
            }
        }

        #[test]
        fn nothing_is_attempted_before_its_time(state in state(), now_ms in 0..100u64) {
            let leased = state.apply(Event::Lease { now_ms });
            prop_assert_eq!(leased.is_ok(), state.due_ms().is_some_and(|due| due <= now_ms));
        }

        #[test]
        fn every_unfinished_recipient_waits_for_a_time_a_person_or_a_result(
            events in proptest::collection::vec(event(), 0..50),
        ) {
            let mut state = State::Todo { due_ms: 0 };
            for event in events {
                state = state.apply(event).unwrap_or(state);
                prop_assert!(
                    state.is_final()
                        || state.due_ms().is_some()
                        || matches!(state, State::Held | State::Leased)
                );
            }
        }
    }

    /// The table of docs/internals/queue.md, row by row.
    #[test]
    fn the_table() {
        let states = [
            State::Todo { due_ms: 1 },
            State::Leased,
            State::Deferred { until_ms: 1 },
            State::Held,
            State::Done,
            State::Failed,
            State::Removed,
        ];
        let rows = [
            (Event::Lease { now_ms: 1 }, "+-+----"),
            (Event::Deliver, "-+-----"),
            (Event::PutOff { until_ms: 2 }, "-+-----"),
            (Event::GiveUp, "-+-----"),
            (Event::Interrupt { due_ms: 2 }, "-+-----"),
            (Event::Hold, "++++---"),
            (Event::Release { now_ms: 2 }, "---+---"),
            (Event::Retry { now_ms: 2 }, "+-+----"),
            (Event::Remove, "+-++---"),
        ];
        for (event, row) in rows {
            for (state, mark) in states.iter().zip(row.chars()) {
                assert_eq!(state.apply(event).is_ok(), mark == '+', "{state} {event}");
            }
        }
    }
}
