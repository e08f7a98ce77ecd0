//! A wall clock that is set back, or was ahead.
//!
//! The schedule is by the wall clock. When it is set back, what was due lies in
//! the future again; when it was far ahead for a while, mail was put off to
//! then. Neither may wait for it: at the start, and when the clock went back by
//! more than it may drift, such mail is due at once. Early is harmless, late is
//! not; but what its sender wants held stays so. A clock that goes forward makes
//! mail due, which needs nothing.

use std::collections::VecDeque;

use queue::{Forward, Line, Place, QueueError};
use runtime::{Monotonic, Timestamp};

use crate::dispatcher::Core;
use crate::limits::{CLOCK_LINES, CLOCK_SLACK, DEMO_WAIT_MS, FORWARD_PAGE, HOLD_MAX_MS};

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

/// Makes due what only such a clock can have put where it is, a little at a time:
/// it may be everything.
#[derive(Debug, Default)]
pub(crate) struct Nearing {
    looks: VecDeque<Look>,
    /// Parts of lines that have such mail.
    found: VecDeque<(Line, Forward)>,
}

/// Lines are looked through, from behind this one on.
#[derive(Debug)]
struct Look {
    after: Option<Line>,
    parts: Vec<Forward>,
}

impl Nearing {
    /// The clock was set back by so much; by nothing, as far as is known, at the start.
    pub(crate) fn begin(&mut self, core: &Core, set_back_ms: u64) {
        let now_ms = core.ports.runtime.now().unix_ms;
        // No wait is longer than this.
        let longest_ms = core.options.schedule.max_ms.max(DEMO_WAIT_MS);
        let slack_ms = u64::try_from(CLOCK_SLACK.as_millis()).unwrap_or(u64::MAX);
        let far_ms = now_ms.saturating_add(longest_ms).saturating_add(slack_ms);
        // The two clocks are read in whole milliseconds: one more or less is known to neither.
        let back_ms = now_ms.saturating_add(set_back_ms).saturating_add(slack_ms);
        let part = |from_ms, to_ms| Forward {
            from: Place::at(from_ms),
            to_ms,
            since_ms: u64::MAX,
            // What its sender wants is no clock's doing, if anybody can want it. Of
            // this, early is not harmless.
            held_ms_max: HOLD_MAX_MS,
        };
        let mut parts = vec![part(far_ms, u64::MAX)];
        if set_back_ms > 0 {
            parts.push(part(now_ms, back_ms.min(far_ms)));
        }
        self.looks.push_back(Look { after: None, parts });
    }

    /// There is more to do.
    pub(crate) fn is_active(&self) -> bool {
        !self.looks.is_empty() || !self.found.is_empty()
    }

    /// Goes a step.
    ///
    /// # Errors
    /// The queue cannot be read or written.
    pub(crate) async fn step(&mut self, core: &Core) -> Result<(), QueueError> {
        let queue = &core.ports.queue;
        if let Some((line, part)) = self.found.pop_front() {
            let next = queue.bring_forward(&line, part, FORWARD_PAGE).await?;
            if let Some(from) = next {
                self.found.push_back((line, Forward { from, ..part }));
            }
            return Ok(());
        }
        let Some(look) = self.looks.front_mut() else {
            return Ok(());
        };
        let (lines, next) = queue.lines(look.after.take(), CLOCK_LINES).await?;
        for part in &look.parts {
            let asked = lines.iter().map(|(line, _)| (line.clone(), part.from));
            let to_ms = part.to_ms.min(u64::MAX - 1);
            let pages = queue.due(asked.collect(), to_ms, 1).await?;
            let with_some = lines
                .iter()
                .zip(pages)
                .filter(|(_, page)| !page.entries.is_empty());
            let with_some = with_some.map(|((line, _), _)| (line.clone(), *part));
            self.found.extend(with_some);
        }
        if !self.found.is_empty() {
            let lines = self.found.len();
            tracing::warn!(lines, "the clock was ahead: mail that waited for it is due");
        }
        match next {
            Some(_) => look.after = next,
            None => drop(self.looks.pop_front()),
        }
        Ok(())
    }
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
