//! How long a client may take: a command, a message, a session.
//!
//! RFC 5321 §4.5.3.2.7 for the silence. A trickle of octets is no life sign: a
//! command's time runs from the last one, a message must keep a least rate, and a
//! session that brings no message ends.

use std::time::Duration;

use runtime::Monotonic;

use crate::limits::{DATA_BLOCK_TIMEOUT, DATA_GRACE, DATA_RATE_MIN, STALL_TIMEOUT};

#[derive(Debug)]
pub(crate) struct Deadlines {
    idle_timeout: Duration,
    /// The last event.
    event_at: Monotonic,
    /// The last accepted message, or the beginning.
    message_at: Monotonic,
    /// Since when a message comes in, and its octets so far.
    data: Option<(Monotonic, u64)>,
}

impl Deadlines {
    pub(crate) fn new(idle_timeout: Duration, now: Monotonic) -> Self {
        Self {
            idle_timeout,
            event_at: now,
            message_at: now,
            data: None,
        }
    }

    pub(crate) fn event(&mut self, now: Monotonic) {
        self.event_at = now;
    }

    pub(crate) fn data_begins(&mut self, now: Monotonic) {
        self.data = Some((now, 0));
    }

    pub(crate) fn data_grows(&mut self, octets: usize) {
        if let Some((_, size)) = &mut self.data {
            *size += octets as u64;
        }
    }

    pub(crate) fn data_ends(&mut self, accepted: bool, now: Monotonic) {
        self.data = None;
        if accepted {
            self.message_at = now;
        }
    }

    /// How long to wait for the next octets; zero when the time is up.
    pub(crate) fn wait(&self, now: Monotonic) -> Duration {
        match self.data {
            None => {
                let command = self.event_at.after(self.idle_timeout).since(now);
                command.min(self.message_at.after(STALL_TIMEOUT).since(now))
            }
            Some((begun, size)) => {
                let earned = Duration::from_secs(size / DATA_RATE_MIN);
                let whole = begun.after(DATA_GRACE).after(earned).since(now);
                whole.min(DATA_BLOCK_TIMEOUT)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(Duration::from_secs(seconds))
    }

    #[test]
    fn threat_06_a_command_has_its_time_from_the_last_one() {
        let mut deadlines = Deadlines::new(Duration::from_secs(300), at(0));
        assert_eq!(deadlines.wait(at(100)), Duration::from_secs(200));
        assert_eq!(deadlines.wait(at(400)), Duration::ZERO);
        deadlines.event(at(400));
        assert_eq!(deadlines.wait(at(400)), Duration::from_secs(300));
    }

    #[test]
    fn a_session_without_messages_ends() {
        let mut deadlines = Deadlines::new(Duration::from_secs(300), at(0));
        deadlines.event(at(3500));
        assert_eq!(deadlines.wait(at(3500)), Duration::from_secs(100));
        deadlines.data_begins(at(3500));
        deadlines.data_ends(true, at(3550));
        assert_eq!(deadlines.wait(at(3550)), Duration::from_secs(250));
    }

    #[test]
    fn threat_06_a_trickle_of_data_runs_out_of_time() {
        let mut deadlines = Deadlines::new(Duration::from_secs(300), at(0));
        deadlines.data_begins(at(0));
        assert_eq!(deadlines.wait(at(0)), DATA_BLOCK_TIMEOUT);
        assert_eq!(deadlines.wait(at(599)), Duration::from_secs(1));
        deadlines.data_grows(100 * 1024);
        assert_eq!(deadlines.wait(at(650)), Duration::from_secs(50));
        assert_eq!(deadlines.wait(at(701)), Duration::ZERO);
    }
}
