//! `date` and `date-time` of RFC 9051 §9: 24-Mar-2007 and its longer form.
//! Dates of message headers are `mime`'s business.

use std::io::Write as _;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A day of the Gregorian calendar, as the days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Days since 1970-01-01; negative before it.
    pub days: i64,
}

/// A moment with the offset it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_s: i64,
    /// Minutes that the writer's clock was ahead of UTC.
    pub offset_min: i16,
}

impl Date {
    /// The day of a year, month (1-12) and day of month, if there is one.
    #[must_use]
    pub fn from_civil(year: i64, month: u32, day: u32) -> Option<Self> {
        if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        // Howard Hinnant, "chrono-compatible low-level date algorithms", days_from_civil.
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let yoe = y.rem_euclid(400);
        let mp = i64::from((month + 9) % 12);
        let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
        let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
        Some(Self {
            days: era * 146_097 + doe - 719_468,
        })
    }

    /// Year, month (1-12) and day of month.
    #[must_use]
    pub fn civil(self) -> (i64, u32, u32) {
        let z = self.days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
        let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
        let year = yoe + era * 400 + i64::from(month <= 2);
        (year, month, day)
    }

    /// `date-text = date-day "-" date-month "-" date-year`
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut fields = text.split(|&b| b == b'-');
        let (day, month, year) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next().is_some() || day.is_empty() || day.len() > 2 || year.len() != 4 {
            return None;
        }
        Self::from_civil(number(year)?, month_number(month)?, number(day)? as u32)
    }
}

impl DateTime {
    /// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`,
    /// without the quotes.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (date, rest) = text.split_at_checked(11)?;
        // The day of month is right-aligned in two columns; some clients leave the blank out.
        let (date, rest) = match date.last() {
            Some(b' ') => text.split_at_checked(10)?,
            _ => (date, rest),
        };
        let date = Date::parse(date.strip_prefix(b" ").unwrap_or(date))?;
        let rest = rest.strip_prefix(b" ")?;
        let (time, zone) = rest.split_at_checked(8)?;
        let zone = zone.strip_prefix(b" ")?;
        if time[2] != b':' || time[5] != b':' || zone.len() != 5 {
            return None;
        }
        let (h, m, s) = (
            number(&time[..2])?,
            number(&time[3..5])?,
            number(&time[6..])?,
        );
        if h > 23 || m > 59 || s > 60 {
            return None;
        }
        let minutes = number(&zone[1..3])? * 60 + number(&zone[3..])?;
        let offset = match zone[0] {
            b'+' => minutes,
            b'-' => -minutes,
            _ => return None,
        };
        if minutes >= 24 * 60 {
            return None;
        }
        Some(Self {
            unix_s: date.days * 86_400 + h * 3600 + m * 60 + s - offset * 60,
            offset_min: offset as i16,
        })
    }

    /// Writes the moment in quotes, in the offset it carries.
    pub fn write(self, out: &mut Vec<u8>) {
        let local = self.unix_s.saturating_add(i64::from(self.offset_min) * 60);
        let (year, month, day) = self.local_date().civil();
        let month = MONTHS[(month as usize).saturating_sub(1).min(11)];
        let s = local.rem_euclid(86_400);
        let offset = self.offset_min.unsigned_abs();
        let sign = if self.offset_min < 0 { '-' } else { '+' };
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            "\"{day:2}-{}-{:04} {:02}:{:02}:{:02} {sign}{:02}{:02}\"",
            String::from_utf8_lossy(month),
            year.clamp(0, 9999),
            s / 3600,
            s / 60 % 60,
            s % 60,
            offset / 60,
            offset % 60
        );
    }

    /// The day of this moment on the writer's calendar, "disregarding time and
    /// timezone" (RFC 9051 §6.4.4).
    #[must_use]
    pub fn local_date(self) -> Date {
        Date {
            days: (self.unix_s.saturating_add(i64::from(self.offset_min) * 60)).div_euclid(86_400),
        }
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |n, d| {
        d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0'))
    })
}

fn month_number(name: &[u8]) -> Option<u32> {
    let at = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(name))?;
    Some(at as u32 + 1)
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> Option<String> {
        let mut out = Vec::new();
        DateTime::parse(text.as_bytes())?.write(&mut out);
        String::from_utf8(out).ok()
    }

    #[test]
    fn the_example_of_rfc_9051_reads_and_writes() {
        let parsed = DateTime::parse(b"17-Jul-1996 02:44:25 -0700").expect("a date");
        assert_eq!(parsed.unix_s, 837_596_665);
        assert_eq!(
            written("17-Jul-1996 02:44:25 -0700").as_deref(),
            Some("\"17-Jul-1996 02:44:25 -0700\"")
        );
        assert_eq!(
            written(" 1-Feb-2026 00:00:00 +0530").as_deref(),
            Some("\" 1-Feb-2026 00:00:00 +0530\"")
        );
        assert!(written("1-Feb-2026 00:00:00 +0530").is_some());
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        for text in [
            "30-Feb-2024",
            "0-Jan-2024",
            "29-Feb-2023",
            "1-Foo-2024",
            "1-Jan-24",
            "1-Jan-2024-1",
        ] {
            assert_eq!(Date::parse(text.as_bytes()), None, "{text}");
        }
        assert!(Date::parse(b"29-feb-2024").is_some());
    }

    // Found by the fuzzer `imap_write`.
    #[test]
    fn a_damaged_moment_is_written_somehow() {
        for (unix_s, offset_min) in [(i64::MAX, 1), (i64::MIN, -1)] {
            let mut out = Vec::new();
            DateTime { unix_s, offset_min }.write(&mut out);
            assert_eq!(out.len(), 28);
        }
    }

    proptest! {
        #[test]
        fn days_and_civil_dates_agree(days in -800_000i64..3_000_000) {
            let (y, m, d) = Date { days }.civil();
            prop_assert_eq!(Date::from_civil(y, m, d), Some(Date { days }));
        }

        #[test]
        fn garbage_is_no_date(text: Vec<u8>) {
            let _ = DateTime::parse(&text);
            let _ = Date::parse(&text);
        }

        #[test]
        fn what_is_written_is_read(unix_s in 0i64..200_000_000_000, offset_min in -1439i16..1440) {
            let moment = DateTime { unix_s, offset_min };
            let mut out = Vec::new();
            moment.write(&mut out);
            prop_assert_eq!(DateTime::parse(&out[1..out.len() - 1]), Some(moment));
        }
    }
}
