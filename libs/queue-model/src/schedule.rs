//! When to try again and when to give up: RFC 5321 §4.5.4.1.
//!
//! Waits double from the first to the longest; up to a quarter is taken off by
//! chance, so that what failed together does not come back together.

use crate::limits::{
    DELAY_NOTICE_MS, LIFETIME_MS, REPORT_LIFETIME_MS, RETRY_FIRST_MS, RETRY_MAX_MS,
};

/// The times of a queue, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// From the first failure to the second attempt.
    pub first_ms: u64,
    /// The longest wait between two attempts.
    pub max_ms: u64,
    /// How long a message is tried.
    pub lifetime_ms: u64,
    /// How long a message with the null sender is tried.
    pub report_lifetime_ms: u64,
    /// When a delay notice is due.
    pub delay_notice_ms: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            first_ms: RETRY_FIRST_MS,
            max_ms: RETRY_MAX_MS,
            lifetime_ms: LIFETIME_MS,
            report_lifetime_ms: REPORT_LIFETIME_MS,
            delay_notice_ms: DELAY_NOTICE_MS,
        }
    }
}

impl Schedule {
    /// How long to wait after the `attempts`th attempt failed; `seed` is chance.
    /// Between three quarters of the step and the whole of it.
    #[must_use]
    pub fn wait_ms(&self, attempts: u32, seed: u64) -> u64 {
        let doublings = attempts.saturating_sub(1).min(20);
        let step = self
            .first_ms
            .saturating_mul(1 << doublings)
            .min(self.max_ms);
        step - seed % (step / 4 + 1)
    }

    /// How long to wait where no attempt was made, for a message of this age: about
    /// as long as attempts would be apart, so that looking at it costs as little.
    /// Between three quarters of that and the whole of it; `seed` is chance.
    #[must_use]
    pub fn patience_ms(&self, age_ms: u64, seed: u64) -> u64 {
        let step = (age_ms / 2).max(self.first_ms).min(self.max_ms);
        step - seed % (step / 4 + 1)
    }

    /// How long a message is tried in all.
    #[must_use]
    pub fn lifetime_ms(&self, is_report: bool) -> u64 {
        if is_report {
            self.report_lifetime_ms
        } else {
            self.lifetime_ms
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_stay_within_the_step(attempts: u32, seed: u64) {
            let schedule = Schedule::default();
            let wait = schedule.wait_ms(attempts, seed);
            prop_assert!(wait >= schedule.first_ms * 3 / 4);
            prop_assert!(wait <= schedule.max_ms);
        }

        #[test]
        fn patience_grows_with_age_and_stays_within_the_waits(age: u64, more: u32, seed: u64) {
            let schedule = Schedule::default();
            let wait = schedule.patience_ms(age, seed);
            prop_assert!(wait >= schedule.first_ms * 3 / 4 && wait <= schedule.max_ms);
            let older = age.saturating_add(more.into());
            prop_assert!(schedule.patience_ms(older, 0) >= schedule.patience_ms(age, 0));
        }

        #[test]
        fn waits_grow_until_the_longest(attempts in 1..6u32, a: u64, b: u64) {
            let schedule = Schedule::default();
            prop_assert!(schedule.wait_ms(attempts, a) < schedule.wait_ms(attempts + 1, b));
        }
    }

    #[test]
    fn chance_spreads_what_failed_together() {
        let schedule = Schedule::default();
        let waits: std::collections::BTreeSet<u64> = (0..1000u64)
            .map(|n| schedule.wait_ms(1, n * 7919))
            .collect();
        assert!(waits.len() > 900);
    }

    #[test]
    fn a_schedule_of_nothing_does_not_panic() {
        let schedule = Schedule {
            first_ms: 0,
            max_ms: 0,
            ..Schedule::default()
        };
        assert_eq!(schedule.wait_ms(9, u64::MAX), 0);
    }
}
