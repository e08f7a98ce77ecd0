//! A wall clock that is set back, or was ahead.
//!
//! The schedule is by the wall clock. When it is set back, what was due lies in
//! the future again; when it was far ahead for a while, mail was put off to
//! then. Neither may wait for it: at the start, and when the clock went back by
//! more than it may drift, such mail is due at once. Early is harmless, late is
//! not; but what its sender wants held stays so. A clock that goes forward makes
//! mail due, which needs nothing.

use engine::ShardId;
use queue::{Act, Queue, QueueError};
use queue_model::QueueId;
use runtime::{Monotonic, Timestamp};

use crate::dispatcher::Core;
use crate::limits::{CLOCK_SLACK, DEMO_WAIT_MS, HOLD_MAX_MS, PAGE};

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
    for shard in core.ports.queue.shards() {
        let mut brought = 0;
        if set_back_ms > 0 {
            brought += retry(core, shard, now_ms, back_ms.min(far_ms)).await?;
        }
        brought += retry(core, shard, far_ms, u64::MAX).await?;
        if brought > 0 {
            tracing::warn!(
                messages = brought,
                set_back_ms,
                "the clock was ahead: mail that waited for it is due"
            );
        }
    }
    Ok(())
}

async fn retry(core: &Core, shard: ShardId, from_ms: u64, to_ms: u64) -> Result<u64, QueueError> {
    let queue = &core.ports.queue;
    let mut from = Queue::mark(shard, from_ms);
    let mut brought = 0;
    let mut last: Option<QueueId> = None;
    loop {
        let page = queue.due(shard, Some(from), to_ms, PAGE).await?;
        for due in page.entries {
            // A message's domains mostly lie together.
            if last.replace(due.id) == Some(due.id) {
                continue;
            }
            if is_held(core, due.id).await? {
                continue;
            }
            match queue.act(due.id, Act::Retry).await {
                Ok(_) => brought += 1,
                Err(QueueError::NotFound | QueueError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        match page.more {
            Some(more) => from = more,
            None => return Ok(brought),
        }
    }
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
