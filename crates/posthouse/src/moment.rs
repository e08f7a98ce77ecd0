//! Moments, past or to come, as people write them: `2h`, `3d`, or RFC 3339 (`2026-01-15T10:15:00Z`, `2026-01-15T18:15:00+08:00`).

/// A moment in milliseconds since 1970; what is relative counts back from `now_ms`. The text says what is wrong.
pub(crate) fn parse(text: &str, now_ms: u64) -> Result<u64, String> {
    let text = text.trim();
    let moment = match ago(text) {
        Some(ago_ms) => now_ms.checked_sub(ago_ms),
        None => Some(rfc3339(text).ok_or_else(|| {
            format!("{text:?} is no moment; write 2h, 3d, or 2026-01-15T10:15:00Z")
        })?),
    };
    match moment {
        Some(moment) if moment <= now_ms => Ok(moment),
        Some(_) => Err(format!("{text:?} is still to come")),
        None => Err(format!("{text:?} is too long ago")),
    }
}

/// A moment to come; what is relative counts from `now_ms`. The text says what is wrong.
pub(crate) fn parse_to_come(text: &str, now_ms: u64) -> Result<u64, String> {
    let text = text.trim();
    let moment = match ago(text) {
        Some(in_ms) => now_ms.checked_add(in_ms),
        None => Some(rfc3339(text).ok_or_else(|| {
            format!("{text:?} is no moment; write 90d, 2w, or 2026-01-15T10:15:00Z")
        })?),
    };
    match moment {
        Some(moment) if moment > now_ms => Ok(moment),
        Some(_) => Err(format!("{text:?} is over already")),
        None => Err(format!("{text:?} is too far away")),
    }
}

/// A number and a unit: seconds, minutes, hours, days, weeks.
fn ago(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit_ms = match unit.trim() {
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

/// RFC 3339 §5.6, with a space for the `T` as its note allows; fractions of a second are cut to milliseconds.
fn rfc3339(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range {
        return None;
    }
    let local = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let utc = local - zone_seconds(zone)?;
    u64::try_from(utc * 1000 + milliseconds(fraction)?).ok()
}

fn numbers<const N: usize>(text: &str, between: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(between);
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        let digits = part.len() == width && part.bytes().all(|b| b.is_ascii_digit());
        *number = digits.then(|| part.parse().ok()).flatten()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn milliseconds(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
    padded.parse().ok()
}

fn zone_seconds(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' | b'z' => return (zone.len() == 1).then_some(0),
        b'-' => -1,
        _ => 1,
    };
    let [hours, minutes] = numbers(&zone[1..], ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, by Howard Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn relative_moments_count_back_from_now() {
        for (text, ago_ms) in [
            ("90s", 90_000),
            ("2h", 7_200_000),
            (" 3d ", 259_200_000),
            ("1w", 604_800_000),
        ] {
            assert_eq!(parse(text, NOW_MS), Ok(NOW_MS - ago_ms), "{text}");
        }
        assert!(parse("99999999d", NOW_MS).is_err_and(|why| why.contains("too long ago")));
    }

    #[test]
    fn moments_to_come_count_from_now() {
        assert_eq!(parse_to_come("2h", NOW_MS), Ok(NOW_MS + 7_200_000));
        assert_eq!(
            parse_to_come("9999-01-01T00:00:00Z", NOW_MS),
            Ok(253_370_764_800_000)
        );
        for (text, why) in [
            ("0s", "over already"),
            ("2026-01-15T12:00:00Z", "over already"),
            ("18446744073709551615s", "no moment"),
            ("18446744073709551s", "too far away"),
            ("soon", "no moment"),
        ] {
            let refused = parse_to_come(text, NOW_MS);
            assert!(
                refused.clone().is_err_and(|text| text.contains(why)),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn moments_of_rfc_3339_are_read_and_written_alike() {
        for moment in [0, 951_782_399_999, 951_782_400_000, 1_767_225_600_123] {
            assert_eq!(parse(&observe::rfc3339(moment), NOW_MS), Ok(moment));
        }
        let noon = parse("2026-01-15T12:00:00Z", NOW_MS);
        assert_eq!(parse("2026-01-15 20:00:00+08:00", NOW_MS), noon);
        assert_eq!(parse("2026-01-15t04:30:00.0-07:30", NOW_MS), noon);
    }

    #[test]
    fn what_is_none_is_told() {
        for text in [
            "",
            "3",
            "d",
            "yesterday",
            "2026-01-15",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-15T24:00:00Z",
            "2026-01-15T10:15:00",
            "2026-01-15T10:15:00+0800",
            "2026-1-15T10:15:00Z",
            "9999-01-01T00:00:00Z",
        ] {
            assert!(parse(text, NOW_MS).is_err(), "{text}");
        }
    }
}
