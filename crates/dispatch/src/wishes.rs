//! DELIVERBY: a message's own deadline (RFC 2852).
//!
//! Beside the schedule: no wait goes past the deadline, with `R` nothing is
//! attempted behind it, with `N` its sender is told when it passes.

use deliver::Outcome;
use envelope::{ByMode, DeliverBy};
use queue::{Lease, Message};
use queue_model::Verdict;

use crate::attempt::{Became, How};

/// What becomes of all recipients of a message that was to be returned by now.
pub(crate) fn overdue(lease: &Lease, now_ms: u64) -> Option<(Vec<Became>, How)> {
    let by = lease.message().envelope.deliver_by?;
    if by.mode == ByMode::Notify || now_ms < by.by_ms {
        return None;
    }
    let became = lease
        .recipients()
        .map(|(place, ..)| Became::here(place, too_late()))
        .collect();
    Some((became, How::without_attempt(false)))
}

/// The outcome, unless it is a delay past the deadline.
pub(crate) fn in_time(message: &Message, outcome: Outcome, now_ms: u64) -> Outcome {
    match (message.envelope.deliver_by, &outcome) {
        (Some(by), Outcome::Temporary(_)) if by.mode == ByMode::Return && now_ms >= by.by_ms => {
            too_late()
        }
        _ => outcome,
    }
}

/// No wait goes past a deadline that is still to come.
pub(crate) fn clip(message: &Message, verdict: Verdict, now_ms: u64) -> Verdict {
    match (message.envelope.deliver_by, verdict) {
        (Some(by), Verdict::Retry { at_ms }) if by.by_ms > now_ms => Verdict::Retry {
            at_ms: at_ms.min(by.by_ms),
        },
        _ => verdict,
    }
}

/// How old a message is when its sender is told that it waits.
pub(crate) fn notice_ms(message: &Message, usual_ms: u64) -> u64 {
    match message.envelope.deliver_by {
        Some(DeliverBy {
            by_ms,
            mode: ByMode::Notify,
            ..
        }) => usual_ms.min(by_ms.saturating_sub(message.counts_from_ms())),
        _ => usual_ms,
    }
}

/// RFC 3463 §3.5: X.4.7.
fn too_late() -> Outcome {
    let text = "it could not be delivered by the time that its sender asked for";
    Outcome::permanent(554, (5, 4, 7), text)
}
