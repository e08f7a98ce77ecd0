//! Dates of message headers (RFC 5322 §3.3 and §4.3), read and written.
//!
//! Lenient: comments, missing day names, missing seconds, two-digit years,
//! obsolete and unknown zones. Not here: any clock.

/// A moment with the zone it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: i64,
    /// Minutes that the zone is east of UTC.
    pub zone_minutes: i16,
}

impl DateTime {
    /// The day as written, in its own zone: days since 1970-01-01. This is
    /// what SENTON, SENTBEFORE and SENTSINCE compare (RFC 9051 §6.4.4,
    /// "disregarding time and timezone").
    #[must_use]
    pub fn local_day(&self) -> i32 {
        let seconds = self
            .unix_seconds
            .saturating_add(i64::from(self.zone_minutes) * 60);
        i32::try_from(seconds.div_euclid(86_400)).unwrap_or(i32::MAX)
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Reads a Date field's value.
#[must_use]
pub fn parse_date(value: &[u8]) -> Option<DateTime> {
    let words = words(value);
    let mut words = words.iter().map(String::as_str).peekable();
    // An optional day of the week.
    if words.peek()?.bytes().all(|b| b.is_ascii_alphabetic()) && month(words.peek()?).is_none() {
        words.next();
    }
    let first = words.next()?;
    // `ctime` and some old writers put the month first.
    let (day, month) = match month(first) {
        Some(month) => (words.next()?.parse().ok()?, month),
        None => (first.parse().ok()?, month(words.next()?)?),
    };
    let mut year_or_time = words.next()?;
    let late_year = year_or_time.contains(':');
    let clock = if late_year {
        year_or_time
    } else {
        words.next().unwrap_or("0:0")
    };
    let (hour, minute, second) = clock_time(clock)?;
    let mut zone = words.next();
    if late_year {
        // Thu Feb 15 01:02:03 2007, or with the zone before the year.
        let is_year = |word: &str| word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit());
        if zone.is_some_and(is_year) {
            year_or_time = zone?;
            zone = words.next();
        } else {
            year_or_time = words.next()?;
        }
    }
    let year = year(year_or_time)?;
    if day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let zone_minutes = zone.map_or(0, zone_minutes);
    let local = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(DateTime {
        unix_seconds: local - i64::from(zone_minutes) * 60,
        zone_minutes,
    })
}

/// Writes a date as a message header has it: `Thu, 15 Feb 2007 01:02:03 +0200`.
#[must_use]
pub fn format_date(date: DateTime) -> String {
    let local = date
        .unix_seconds
        .saturating_add(i64::from(date.zone_minutes) * 60);
    let days = local.div_euclid(86_400);
    let clock = local.rem_euclid(86_400);
    let (year, month, day) = civil_from_days(days);
    // 1970-01-01 was a Thursday.
    let weekday = DAYS[usize::try_from((days + 3).rem_euclid(7)).unwrap_or(0)];
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
    let sign = if date.zone_minutes < 0 { '-' } else { '+' };
    let zone = date.zone_minutes.unsigned_abs();
    let (zone_hour, zone_minute) = (zone / 60, zone % 60);
    format!(
        "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} {sign}{zone_hour:02}{zone_minute:02}"
    )
}

/// Words without comments; commas and dashes between them are white space.
fn words(value: &[u8]) -> Vec<String> {
    // Longer dates do not exist; comments may be.
    const WORDS_MAX: usize = 12;
    let mut words = Vec::new();
    let mut word = String::new();
    let mut depth = 0usize;
    for &byte in value.iter().take(1_000) {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => {
                depth -= 1;
                continue;
            }
            _ => {}
        }
        // `15-Feb-2007`, but `-0800`.
        let dash = byte == b'-' && !word.is_empty();
        if depth > 0 || byte.is_ascii_whitespace() || byte == b',' || dash {
            // RFC 5322 A.6.3: white space and comments around the colons.
            if !word.is_empty() && !word.ends_with(':') {
                words.push(std::mem::take(&mut word));
            }
            if words.len() >= WORDS_MAX {
                break;
            }
        } else {
            if byte == b':' && word.is_empty() {
                word = words.pop().unwrap_or_default();
            }
            // `01:02:03+0200` lacks a space.
            if byte == b'+' && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            word.push(byte as char);
        }
        if dash && word.is_empty() && words.last().is_some_and(|w| w.contains(':')) {
            word.push('-');
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn month(word: &str) -> Option<i64> {
    let start = word.get(..3)?;
    let at = MONTHS
        .iter()
        .position(|month| month.eq_ignore_ascii_case(start))?;
    i64::try_from(at + 1).ok()
}

// RFC 5322 §4.3: two digits below 50 are 20xx, other two and three digits 19xx.
fn year(word: &str) -> Option<i64> {
    if word.len() > 4 || !word.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i64 = word.parse().ok()?;
    Some(match word.len() {
        2 if number < 50 => number + 2_000,
        2 | 3 => number + 1_900,
        _ => number,
    })
}

fn clock_time(word: &str) -> Option<(i64, i64, i64)> {
    let mut pieces = word.split([':', '.']).map(|piece| {
        let digits = piece.len() <= 2 && piece.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| piece.parse::<i64>().ok()).flatten()
    });
    let hour = pieces.next()??;
    let minute = pieces.next()??;
    // 60 is a leap second; fractions are ignored.
    let second = pieces.next().flatten().unwrap_or(0);
    (hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second))
}

fn zone_minutes(word: &str) -> i16 {
    if let Some(digits) = word.strip_prefix(['+', '-']) {
        if digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()) {
            let number: i16 = digits.parse().unwrap_or(0);
            // RFC 5322 §3.3 (MUST): the last two digits are 00 to 59.
            if number % 100 > 59 {
                return 0;
            }
            let minutes = number / 100 * 60 + number % 100;
            return if word.starts_with('-') {
                -minutes
            } else {
                minutes
            };
        }
        return 0;
    }
    match word.to_ascii_uppercase().as_str() {
        "EST" => -300,
        "EDT" => -240,
        "CST" => -360,
        "CDT" => -300,
        "MST" => -420,
        "MDT" => -360,
        "PST" => -480,
        "PDT" => -420,
        // RFC 5322 §4.3: military zones and unknown names are taken as -0000.
        _ => 0,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unix(text: &str) -> Option<(i64, i16)> {
        parse_date(text.as_bytes()).map(|date| (date.unix_seconds, date.zone_minutes))
    }

    #[test]
    fn dates_of_rfc_5322_and_of_the_wild() {
        assert_eq!(
            unix("Fri, 21 Nov 1997 09:55:06 -0600"),
            Some((880_127_706, -360))
        );
        assert_eq!(
            unix(
                "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)"
            ),
            Some((-27_723_480, -210))
        );
        assert_eq!(unix("21 Nov 97 09:55:06 GMT"), Some((880_106_106, 0)));
        assert_eq!(
            unix("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600"),
            Some((880_127_706, -360))
        );
        assert_eq!(
            unix("Thu, 15 Feb 2007 01:02:03 +0200"),
            Some((1_171_494_123, 120))
        );
        assert_eq!(
            unix("Thu, 15-Feb-2007 01:02:03+0200"),
            Some((1_171_494_123, 120))
        );
        assert_eq!(unix("15 Feb 07 01:02:03-0800"), Some((1_171_530_123, -480)));
        assert_eq!(unix("Thu Feb 15 01:02:03 2007"), Some((1_171_501_323, 0)));
        assert_eq!(
            unix("Thu Feb 15 01:02:03 PST 2007"),
            Some((1_171_530_123, -480))
        );
        assert_eq!(unix("Wed, 1 Jan 2020 00:00 Z"), Some((1_577_836_800, 0)));
        assert_eq!(
            unix("1 January 2020 00:00:60 XYZ"),
            Some((1_577_836_860, 0))
        );
    }

    #[test]
    fn a_zone_that_cannot_be_is_none_and_others_are_written_as_read() {
        assert_eq!(unix("1 Jan 2020 00:00 +9999"), Some((1_577_836_800, 0)));
        let odd = parse_date(b"1 Jan 2020 00:00 -9959").expect("a date");
        assert_eq!(parse_date(format_date(odd).as_bytes()), Some(odd));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "Mon",
            "32 Jan 2020 00:00",
            "29 Feb 2019 00:00",
            "1 Foo 2020 1:1",
            "1 Jan 20200 1:1",
            "1 Jan 2020 25:00",
            "1 Jan 2020 -5:00",
            "1 Jan 2020 +5:+1",
            "Mon, Tue, Wed",
        ] {
            assert_eq!(unix(text), None, "{text}");
        }
    }

    #[test]
    fn the_day_is_the_writers_day() {
        let date = parse_date(b"Thu, 1 Jan 1970 23:30:00 -0500").expect("a date");
        assert_eq!(date.local_day(), 0);
        assert_eq!(date.unix_seconds, 86_400 + 4 * 3_600 + 1_800);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(unix_seconds in -60_000_000_000i64..250_000_000_000, zone_minutes in -840i16..840) {
            let date = DateTime { unix_seconds, zone_minutes };
            prop_assert_eq!(parse_date(format_date(date).as_bytes()), Some(date));
        }

        #[test]
        fn garbage_never_panics(text in "[0-9A-Za-z:+,() -]{0,40}", bytes: Vec<u8>) {
            let _ = (parse_date(text.as_bytes()), parse_date(&bytes));
        }
    }
}
