//! RFC 3339 date-times, as FUTURERELEASE and RRVS write them.

/// The latest year that is read and written.
const YEAR_MAX: i64 = 9999;
const DAY: i64 = 86_400;

/// Seconds since 1970 of `2026-11-26T18:00:00Z` or `…+08:00`; a fraction is cut
/// off, and a leap second counts as the second before it.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut fields = date.split('-');
    let mut next = |length| number(fields.next()?, length);
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    if fields.next().is_some() || !(1..=12).contains(&month) {
        return None;
    }
    if day == 0 || day > days_of(year, month) {
        return None;
    }
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let clock = match clock.split_once('.') {
        Some((clock, fraction)) => {
            let digits = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
            digits.then_some(clock)?
        }
        None => clock,
    };
    let mut fields = clock.split(':');
    let mut next = || number(fields.next()?, 2);
    let (hour, minute, second) = (next()?, next()?, next()?);
    if fields.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = hour * 3600 + minute * 60 + second.min(59);
    Some(days_before(year, month, day) * DAY + seconds - offset(zone)?)
}

/// The way back, in UTC.
#[must_use]
pub fn format_rfc3339(unix_seconds: i64) -> String {
    let last = days_before(YEAR_MAX, 12, 31) * DAY + DAY - 1;
    let at = unix_seconds.clamp(days_before(0, 1, 1) * DAY, last);
    let (days, second) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn number(text: &str, length: usize) -> Option<i64> {
    let digits = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to this one.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    // Leap days of the years before this one, the year 0 being one.
    let leaps = |year: i64| match year {
        0 => 0,
        year => 1 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400,
    };
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    (year - 1970) * 365 + leaps(year) - leaps(1970) + months + day - 1
}

fn date_of(days: i64) -> (i64, i64, i64) {
    // Never too late, and at most one year too early.
    let mut year = (days - days_before(0, 1, 1)) / 366;
    while days >= days_before(year + 1, 1, 1) {
        year += 1;
    }
    let mut rest = days - days_before(year, 1, 1);
    let mut month = 1;
    while rest >= days_of(year, month) {
        rest -= days_of(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_3339_section_5_8() {
        for (text, seconds) in [
            ("1985-04-12T23:20:50.52Z", 482_196_050),
            ("1996-12-19T16:39:57-08:00", 851_042_397),
            ("1990-12-31T23:59:60Z", 662_687_999),
            ("1937-01-01T12:00:27.87+00:20", -1_041_337_173),
            ("1970-01-01t00:00:00z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400),
        ] {
            assert_eq!(parse_rfc3339(text), Some(seconds), "{text}");
        }
        assert_eq!(format_rfc3339(851_042_397), "1996-12-20T00:39:57Z");
        assert_eq!(format_rfc3339(i64::MAX), "9999-12-31T23:59:59Z");
        for bad in [
            "",
            "2026-11-26",
            "2026-11-26T18:00:00",
            "2026-11-26 18:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-11-26T24:00:00Z",
            "2026-11-26T18:00Z",
            "2026-11-26T18:00:00.Z",
            "2026-11-26T18:00:00+8:00",
            "2026-11-26T18:00:00Zx",
            "+026-11-26T18:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in -62_167_219_200i64..253_402_300_800) {
            prop_assert_eq!(parse_rfc3339(&format_rfc3339(seconds)), Some(seconds));
        }

        #[test]
        fn garbage_never_panics(text: String, seconds: i64) {
            let _ = parse_rfc3339(&text);
            let _ = format_rfc3339(seconds);
        }
    }
}
