//! `Date` and `UTCDate`: RFC 3339 in capitals, fractions left out where they are none. RFC 8620 §1.4

/// Writes a moment, given in Unix seconds.
#[must_use]
pub fn write_utc(unix_seconds: i64) -> String {
    let (date, clock) = civil(unix_seconds);
    format!("{date}T{clock}Z")
}

/// Writes a moment as it is shown in a zone, given in minutes east of UTC.
#[must_use]
pub fn write(unix_seconds: i64, zone_minutes: i16) -> String {
    if zone_minutes == 0 {
        return write_utc(unix_seconds);
    }
    let (date, clock) = civil(unix_seconds.saturating_add(i64::from(zone_minutes) * 60));
    let sign = if zone_minutes < 0 { '-' } else { '+' };
    let zone = zone_minutes.unsigned_abs();
    format!("{date}T{clock}{sign}{:02}:{:02}", zone / 60, zone % 60)
}

/// Reads a `UTCDate`: Unix seconds.
#[must_use]
pub fn parse_utc(text: &str) -> Option<i64> {
    let (seconds, zone) = parse(text)?;
    (text.ends_with('Z') && zone == 0).then_some(seconds)
}

/// Reads a `Date`: Unix seconds and minutes east of UTC.
#[must_use]
pub fn parse(text: &str) -> Option<(i64, i16)> {
    let octets = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = octets.get(from..to)?;
        let digit = |sum: i64, b: &u8| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0'));
        digits.iter().try_fold(0, digit)
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks
        .iter()
        .any(|&(at, mark)| octets.get(at) != Some(&mark))
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let mut rest = octets.get(19..)?;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        rest = &fraction[digits..];
    }
    let at = octets.len() - rest.len();
    let zone = match rest {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let zone = hours * 60 + minutes;
            if *sign == b'-' { -zone } else { zone }
        }
        _ => return None,
    };
    let good = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !good {
        return None;
    }
    let days = days_from_civil(year, month, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - zone * 60;
    Some((seconds, i16::try_from(zone).ok()?))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, in the Gregorian calendar of all times.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil(unix_seconds: i64) -> (String, String) {
    // The years of RFC 3339 have four digits.
    let seconds = unix_seconds.clamp(-62_167_219_200, 253_402_300_799);
    let (days, clock) = (
        seconds.div_euclid(86_400) + 719_468,
        seconds.rem_euclid(86_400),
    );
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!(
            "{:02}:{:02}:{:02}",
            clock / 3600,
            clock / 60 % 60,
            clock % 60
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_read_and_written() {
        for (seconds, zone, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (1_414_649_520, 0, "2014-10-30T06:12:00Z"),
            (1_414_649_520, 480, "2014-10-30T14:12:00+08:00"),
            (951_782_400, -210, "2000-02-28T20:30:00-03:30"),
            (-1, 0, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(write(seconds, zone), text);
            assert_eq!(parse(text), Some((seconds, zone)));
        }
        assert_eq!(parse_utc("2014-10-30T06:12:00.5Z"), Some(1_414_649_520));
        for bad in [
            "2014-10-30t06:12:00Z",
            "2014-10-30T06:12:00z",
            "2014-02-29T06:12:00Z",
            "2014-10-30T24:12:00Z",
            "2014-10-30T06:12Z",
            "2014-10-30T06:12:00",
            "2014-10-30T06:12:00.Z",
            "2014-10-30T06:12:00+8:00",
            "",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse_utc("2014-10-30T14:12:00+08:00"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in -62_167_219_200i64..253_402_300_799, zone in -1439i16..1440) {
            prop_assert_eq!(parse_utc(&write_utc(seconds)), Some(seconds));
            let local = seconds + i64::from(zone) * 60;
            if (-62_167_219_200..253_402_300_800).contains(&local) {
                prop_assert_eq!(parse(&write(seconds, zone)), Some((seconds, zone)));
            }
        }

        #[test]
        fn garbage_never_panics(text: String, near in "[0-9TZ:+. -]{18,26}") {
            let _ = (parse(&text), parse(&near));
        }
    }
}
