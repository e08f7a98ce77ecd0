//! Dates (RFC 5260 §4 and §5).

use super::{Run, RunError};
use crate::limits::READ_WEIGHT;
use crate::script::{DateTest, ZoneChoice};
use mime::DateTime;
use std::borrow::Cow;

/// What writing a part of a date costs, in octets that are looked at.
const DATE_OCTETS: usize = 256;

impl Run<'_, '_> {
    pub(super) fn date_test(&mut self, test: &DateTest) -> Result<bool, RunError> {
        let now = self.state.now;
        let part = self.state.expand(&test.part)?.to_ascii_lowercase();
        let mut moments = Vec::new();
        match &test.field {
            None => moments.push(DateTime {
                unix_seconds: now.unix_seconds,
                zone_minutes: now.zone_minutes,
            }),
            Some(field) => {
                let field = self.state.expand(field)?;
                for number in self.state.numbers(&field, test.index, test.last)? {
                    let value = self.state.fields.value(number);
                    // RFC 5260 §4: of Received and the like it is what stands behind the last semicolon.
                    let from = memchr::memrchr(b';', value).map_or(0, |at| at + 1);
                    let (skipped, date) = value.split_at(from);
                    let work = skipped.len() + date.len() * READ_WEIGHT + DATE_OCTETS;
                    let date = mime::parse_date(date);
                    self.state.burn(work)?;
                    moments.extend(date);
                }
            }
        }
        let values = moments.into_iter().filter_map(|mut moment| {
            match test.zone {
                ZoneChoice::Local => moment.zone_minutes = now.zone_minutes,
                ZoneChoice::Minutes(minutes) => moment.zone_minutes = minutes,
                ZoneChoice::Original => {}
            }
            date_part(&part, moment)
        });
        let values: Vec<Cow<'_, str>> = values.map(Cow::Owned).collect();
        self.keys(&test.of, &values, true)
    }
}

/// RFC 5260 §4.2.
fn date_part(part: &str, moment: DateTime) -> Option<String> {
    let local = moment
        .unix_seconds
        .checked_add(i64::from(moment.zone_minutes) * 60)?;
    let days = local.div_euclid(86_400);
    let clock = local.rem_euclid(86_400);
    let (year, month, day) = civil(days)?;
    let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
    let sign = if moment.zone_minutes < 0 { '-' } else { '+' };
    let zone = moment.zone_minutes.unsigned_abs();
    let (zone_hour, zone_minute) = (zone / 60, zone % 60);
    Some(match part {
        "year" => format!("{year:04}"),
        "month" => format!("{month:02}"),
        "day" => format!("{day:02}"),
        "date" => format!("{year:04}-{month:02}-{day:02}"),
        // The Modified Julian Day; 1970-01-01 was 40,587.
        "julian" => (days + 40_587).to_string(),
        "hour" => format!("{hour:02}"),
        "minute" => format!("{minute:02}"),
        "second" => format!("{second:02}"),
        "time" => format!("{hour:02}:{minute:02}:{second:02}"),
        "iso8601" => {
            // A zone of nothing is written as it is, too: `Z` is another string.
            format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{zone_hour:02}:{zone_minute:02}"
            )
        }
        "std11" => mime::format_date(moment),
        "zone" => format!("{sign}{zone_hour:02}{zone_minute:02}"),
        // 0 is Sunday; 1970-01-01 was a Thursday.
        "weekday" => (days + 4).rem_euclid(7).to_string(),
        _ => return None,
    })
}

/// Year, month and day of a day counted from 1970-01-01, by the Gregorian calendar's 400-year cycle.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    // Counted from 0000-03-01, so that a leap day is a year's last.
    let days = days.checked_add(719_468)?;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some((year, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_date_are_of_its_zone() {
        // RFC 5260 §4.2's forms; 2009-07-20 21:44:43 +0300.
        let moment = DateTime {
            unix_seconds: 1_248_115_483,
            zone_minutes: 180,
        };
        let cases = [
            ("year", "2009"),
            ("month", "07"),
            ("day", "20"),
            ("date", "2009-07-20"),
            ("julian", "55032"),
            ("hour", "21"),
            ("minute", "44"),
            ("second", "43"),
            ("time", "21:44:43"),
            ("iso8601", "2009-07-20T21:44:43+03:00"),
            ("std11", "Mon, 20 Jul 2009 21:44:43 +0300"),
            ("zone", "+0300"),
            ("weekday", "1"),
        ];
        for (part, value) in cases {
            assert_eq!(date_part(part, moment).as_deref(), Some(value), "{part}");
        }
        assert_eq!(date_part("epoch", moment), None);
        let before = DateTime {
            unix_seconds: -1,
            zone_minutes: -30,
        };
        assert_eq!(
            date_part("iso8601", before).as_deref(),
            Some("1969-12-31T23:29:59-00:30")
        );
        assert_eq!(
            date_part(
                "date",
                DateTime {
                    unix_seconds: i64::MAX,
                    zone_minutes: 60
                }
            ),
            None
        );
        assert_eq!(civil(11_016), Some((2000, 2, 29)));
    }
}
