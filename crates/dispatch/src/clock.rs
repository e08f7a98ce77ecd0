//! A wall clock that is set back, or was ahead.
//!
//! The schedule is by the wall clock. When it is set back, what was due lies in
//! the future again; when it was far ahead for a while, mail was put off to
//! then. Neither may wait for it: at the start, and when the clock went back by
//! more than it may drift, such mail is due at once. Early is harmless, late is
//! not; but what its sender wants held stays so. A clock that goes forward makes
//! mail due, which needs nothing.

use std::collections::HashSet;

use queue::{Act, Line, Place, QueueError};
use queue_model::QueueId;
use runtime::{Monotonic, Timestamp};

use crate::dispatcher::Core;
use crate::limits::{CLOCK_LINES, CLOCK_SLACK, DEMO_WAIT_MS, HOLD_MAX_MS, PAGE};

/// The wall clock as it was last seen, against the steady one.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    seen: Option<(Monotonic, Timestamp)>,
}

impl WallClock {
    /// By how much it was set back since the last look; the first look finds
    /// nothing, and says so by zero.
    pub(crate) fn set_back_ms(&mut self, now: (Monotonic, Timestamp)) -> Option<u64> {
        let Some((steady, wall)) = self.seen.replace(now) else {
            return Some(0);
        };
        let expected = wall.after(now.0.since(steady));
        let back = expected.since(now.1);
        (back > CLOCK_SLACK).then(|| u64::try_from(back.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Makes due what only such a clock can have put where it is.
pub(crate) async fn bring_near(core: &Core, set_back_ms: u64) -> Result<(), QueueError> {
    let now_ms = core.ports.runtime.now().unix_ms;
    // No wait is longer than this.
    let longest_ms = core.options.schedule.max_ms.max(DEMO_WAIT_MS);
    let slack_ms = u64::try_from(CLOCK_SLACK.as_millis()).unwrap_or(u64::MAX);
    let far_ms = now_ms.saturating_add(longest_ms).saturating_add(slack_ms);
    let back_ms = now_ms.saturating_add(set_back_ms);
    let mut brought = 0;
    let mut after = None;
    loop {
        let queue = &core.ports.queue;
        let (lines, next) = queue.lines(after, CLOCK_LINES).await?;
        let lines: Vec<Line> = lines.into_iter().map(|(line, _)| line).collect();
        if set_back_ms > 0 {
            brought += retry(core, &lines, now_ms, back_ms.min(far_ms)).await?;
        }
        brought += retry(core, &lines, far_ms, u64::MAX).await?;
        after = next;
        if after.is_none() {
            break;
        }
    }
    if brought > 0 {
        tracing::warn!(
            messages = brought,
            set_back_ms,
            "the clock was ahead: mail that waited for it is due"
        );
    }
    Ok(())
}

async fn retry(core: &Core, lines: &[Line], from_ms: u64, to_ms: u64) -> Result<u64, QueueError> {
    let queue = &core.ports.queue;
    let mut brought = 0;
    let mut met: HashSet<QueueId> = HashSet::new();
    let from = |line: &Line| (line.clone(), Place::at(from_ms));
    let mut asked: Vec<(Line, Place)> = lines.iter().map(from).collect();
    while !asked.is_empty() {
        let pages = queue.due(asked.clone(), to_ms, PAGE).await?;
        let mut rest = Vec::new();
        for ((line, _), page) in asked.into_iter().zip(pages) {
            for due in page.entries {
                // One of several domains of a message stands for all.
                if !met.insert(due.id) || is_held(core, due.id).await? {
                    continue;
                }
                match queue.act(due.id, Act::Retry).await {
                    Ok(_) => brought += 1,
                    Err(QueueError::NotFound | QueueError::Damaged(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let next = page.next.filter(|next| next.due_ms <= to_ms);
            rest.extend(next.map(|next| (line, next)));
        }
        met.clear();
        asked = rest;
    }
    Ok(brought)
}

/// Its sender wants it to wait (RFC 4865), and no clock has made that longer than
/// it can be. Of these, early is not harmless.
async fn is_held(core: &Core, id: QueueId) -> Result<bool, QueueError> {
    let listed = match core.ports.queue.show(id).await {
        Ok(listed) => listed,
        Err(QueueError::NotFound | QueueError::Damaged(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let now_ms = core.ports.runtime.now().unix_ms;
    let until_ms = listed.message.envelope.hold_until_ms.unwrap_or(0);
    Ok(until_ms > now_ms && until_ms - now_ms <= HOLD_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_step_back_is_noticed() {
        let at = |steady: u64, wall: u64| {
            (
                Monotonic(Duration::from_secs(steady)),
                Timestamp::from_unix_seconds(wall),
            )
        };
        let mut clock = WallClock::default();
        assert_eq!(clock.set_back_ms(at(0, 10_000)), Some(0), "the first look");
        assert_eq!(clock.set_back_ms(at(10, 10_010)), None);
        assert_eq!(
            clock.set_back_ms(at(20, 10_000)),
            None,
            "within what it may drift"
        );
        assert_eq!(clock.set_back_ms(at(30, 99_000)), None, "forward");
        assert_eq!(clock.set_back_ms(at(40, 10_000)), Some(89_010_000));
        assert_eq!(clock.set_back_ms(at(50, 10_010)), None, "noticed once");
    }
}
