//! Who is told what: RFC 3461 §5 and §6, RFC 5321 §6.1.
//!
//! Not here: the text and form of a report (`report-format`).

use envelope::{Notify, ReversePath};

/// What happened to a recipient that its sender may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// It was given up.
    Failed,
    /// It is in its mailbox.
    Delivered,
    /// It leads to several others, and went there without the wish to hear of
    /// successes.
    Expanded,
    /// Another server took it.
    Relayed {
        /// That server promised to report by itself.
        reports: bool,
    },
    /// It still waits.
    Waiting {
        /// Since its arrival, in milliseconds.
        age_ms: u64,
        /// When a notice is due.
        notice_ms: u64,
        /// The sender was told already.
        told: bool,
        /// The sender is our own user.
        own_user: bool,
    },
}

/// The `Action` field of the report (RFC 3464 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// `failed`.
    Failed,
    /// `delayed`.
    Delayed,
    /// `delivered`.
    Delivered,
    /// `relayed`.
    Relayed,
    /// `expanded`.
    Expanded,
}

/// The report that is due to the sender for one recipient, if any.
#[must_use]
pub fn report_for(sender: &ReversePath, notify: Notify, happening: Happening) -> Option<Action> {
    // RFC 5321 §6.1 (MUST): the null sender never gets a report.
    if *sender == ReversePath::Null {
        return None;
    }
    match happening {
        Happening::Failed => notify.on_failure().then_some(Action::Failed),
        Happening::Delivered => notify.on_success().then_some(Action::Delivered),
        // RFC 3461 §5.2.7.3
        Happening::Expanded => notify.on_success().then_some(Action::Expanded),
        // RFC 3461 §5.2.2 c: "relayed" is said only when the next hop will not report itself.
        Happening::Relayed { reports } => {
            (notify.on_success() && !reports).then_some(Action::Relayed)
        }
        Happening::Waiting {
            age_ms,
            notice_ms,
            told,
            own_user,
        } => {
            // RFC 3461 §4.1 leaves it to us when NOTIFY is absent: strangers are not written to.
            let wanted = notify.on_delay() || notify == Notify::Default && own_user;
            (wanted && !told && age_ms >= notice_ms).then_some(Action::Delayed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envelope::Address;
    use proptest::prelude::*;

    fn sender() -> ReversePath {
        ReversePath::Address(Address::parse("ann@example.org").expect("an address"))
    }

    fn on(success: bool, failure: bool, delay: bool) -> Notify {
        Notify::On {
            success,
            failure,
            delay,
        }
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            Just(Happening::Failed),
            Just(Happening::Delivered),
            Just(Happening::Expanded),
            any::<bool>().prop_map(|reports| Happening::Relayed { reports }),
            (any::<u32>(), any::<bool>(), any::<bool>()).prop_map(|(age, told, own_user)| {
                Happening::Waiting {
                    age_ms: age.into(),
                    notice_ms: 1000,
                    told,
                    own_user,
                }
            }),
        ]
    }

    proptest! {
        #[test]
        fn the_null_sender_and_never_are_told_nothing(happening in happening(), s: bool, f: bool, d: bool) {
            prop_assert_eq!(report_for(&ReversePath::Null, on(s, f, d), happening), None);
            prop_assert_eq!(report_for(&ReversePath::Null, Notify::Default, happening), None);
            prop_assert_eq!(report_for(&sender(), Notify::Never, happening), None);
        }
    }

    #[test]
    fn failures_unless_only_other_things_were_asked_for() {
        let told = |notify| report_for(&sender(), notify, Happening::Failed);
        assert_eq!(told(Notify::Default), Some(Action::Failed));
        assert_eq!(told(on(true, true, false)), Some(Action::Failed));
        assert_eq!(told(on(true, false, true)), None);
    }

    #[test]
    fn successes_only_on_request_and_from_the_last_that_can_say() {
        let told = |notify, happening| report_for(&sender(), notify, happening);
        assert_eq!(told(Notify::Default, Happening::Delivered), None);
        let wish = on(true, false, false);
        assert_eq!(told(wish, Happening::Delivered), Some(Action::Delivered));
        assert_eq!(told(wish, Happening::Expanded), Some(Action::Expanded));
        assert_eq!(told(on(false, true, true), Happening::Expanded), None);
        assert_eq!(
            told(wish, Happening::Relayed { reports: false }),
            Some(Action::Relayed)
        );
        assert_eq!(told(wish, Happening::Relayed { reports: true }), None);
    }

    #[test]
    fn delays_once_after_four_hours_to_our_own_or_on_request() {
        let waiting = |age_ms, told, own_user| Happening::Waiting {
            age_ms,
            notice_ms: crate::limits::DELAY_NOTICE_MS,
            told,
            own_user,
        };
        let hours = |n: u64| n * 3_600_000;
        let say = |notify, happening| report_for(&sender(), notify, happening);
        assert_eq!(
            say(Notify::Default, waiting(hours(4), false, true)),
            Some(Action::Delayed)
        );
        assert_eq!(say(Notify::Default, waiting(hours(3), false, true)), None);
        assert_eq!(say(Notify::Default, waiting(hours(9), true, true)), None);
        assert_eq!(say(Notify::Default, waiting(hours(9), false, false)), None);
        assert_eq!(
            say(on(false, false, true), waiting(hours(9), false, false)),
            Some(Action::Delayed)
        );
        assert_eq!(
            say(on(false, true, false), waiting(hours(9), false, true)),
            None
        );
    }
}
