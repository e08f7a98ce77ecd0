//! MAIL's parameters about a message's way: FUTURERELEASE, DELIVERBY, MT-PRIORITY.
//!
//! What is said in seconds stays so: the shell has the clock. Not here: REQUIRETLS
//! (a word), RRVS (`envelope`).

use core::fmt::Write;

use envelope::{ByMode, timestamp};

/// HOLDFOR= or HOLDUNTIL= (RFC 4865 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// For so many seconds.
    For(u64),
    /// Until then, in seconds since 1970.
    Until(i64),
}

/// BY= (RFC 2852 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// Seconds from now; more than 0 for [`ByMode::Return`].
    pub seconds: i64,
    /// What then.
    pub mode: ByMode,
    /// `T`.
    pub trace: bool,
}

/// What a listener offers of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WishOffers {
    /// FUTURERELEASE, and the longest hold in seconds.
    pub hold_seconds_max: Option<u64>,
    /// DELIVERBY.
    pub deliver_by: bool,
    /// MT-PRIORITY.
    pub priority: bool,
    /// RRVS.
    pub valid_since: bool,
}

impl WishOffers {
    /// The lines for the answer to a hello at this time.
    pub(super) fn write(&self, now: i64, text: &mut String) {
        // Writing to a String cannot fail.
        if let Some(max) = self.hold_seconds_max {
            let until = now.saturating_add(i64::try_from(max).unwrap_or(i64::MAX));
            let until = timestamp::format_rfc3339(until);
            let _ = write!(text, "\nFUTURERELEASE {max} {until}");
        }
        if self.deliver_by {
            text.push_str("\nDELIVERBY");
        }
        if self.priority {
            text.push_str("\nMT-PRIORITY");
        }
        if self.valid_since {
            text.push_str("\nRRVS");
        }
    }
}

/// RFC 4865 §5.2: 1 to 9 digits.
pub(super) fn parse_hold_for(text: &str) -> Option<Hold> {
    seconds(text).map(Hold::For)
}

pub(super) fn parse_hold_until(text: &str) -> Option<Hold> {
    timestamp::parse_rfc3339(text).map(Hold::Until)
}

/// RFC 2852 §4: `by-time ";" ("N" / "R") ["T"]`.
pub(super) fn parse_by(text: &str) -> Option<By> {
    let (time, mode) = text.split_once(';')?;
    let (sign, digits) = match time.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, time.strip_prefix('+').unwrap_or(time)),
    };
    let seconds = sign * i64::try_from(seconds(digits)?).ok()?;
    let (mode, trace) = match mode.to_ascii_uppercase().as_str() {
        "N" => (ByMode::Notify, false),
        "NT" => (ByMode::Notify, true),
        "R" => (ByMode::Return, false),
        "RT" => (ByMode::Return, true),
        _ => return None,
    };
    // §4: a time that is over is not allowed with R.
    (mode == ByMode::Notify || seconds > 0).then_some(By {
        seconds,
        mode,
        trace,
    })
}

fn seconds(text: &str) -> Option<u64> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_2852_4_and_rfc_4865_5_values() {
        let by = |seconds, mode, trace| {
            Some(By {
                seconds,
                mode,
                trace,
            })
        };
        assert_eq!(parse_by("120;R"), by(120, ByMode::Return, false));
        assert_eq!(parse_by("+98765;nt"), by(98_765, ByMode::Notify, true));
        assert_eq!(parse_by("-5;N"), by(-5, ByMode::Notify, false));
        for bad in [
            "120",
            "120;",
            "0;R",
            "-1;R",
            "1;X",
            "1;RN",
            "1234567890;N",
            ";N",
            "+-1;N",
        ] {
            assert_eq!(parse_by(bad), None, "{bad}");
        }
        assert_eq!(parse_hold_for("86400"), Some(Hold::For(86_400)));
        assert_eq!(
            parse_hold_until("1970-01-02T00:00:00Z"),
            Some(Hold::Until(86_400))
        );
        for bad in ["", "-1", "1234567890", "1h"] {
            assert_eq!(parse_hold_for(bad), None, "{bad}");
        }
        let mut text = String::new();
        let offers = WishOffers {
            hold_seconds_max: Some(86_400),
            deliver_by: true,
            priority: true,
            valid_since: true,
        };
        offers.write(0, &mut text);
        assert_eq!(
            text,
            "\nFUTURERELEASE 86400 1970-01-02T00:00:00Z\nDELIVERBY\nMT-PRIORITY\nRRVS"
        );
    }
}
