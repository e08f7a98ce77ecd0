//! The names of runs and files.
//!
//! A run is named by the second in which it began, `20260115T101500Z`; two runs
//! of a target never share one. Files of a run begin with its name:
//!
//! | file | holds |
//! |---|---|
//! | `posthouse-backup` | the marker |
//! | `key.age` | the target's key, sealed with the passphrase |
//! | `packs/RUN-NNNNN.bodies`, `….records` | objects |
//! | `catalogues/RUN-NNNNN` | what is in some packs |
//! | `tables/RUN` | the run's accounts |
//! | `runs/RUN` | the manifest, written last |

use std::fmt;

/// One run of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// When it began, in Unix seconds.
    pub unix_seconds: u64,
}

/// What a pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Message bodies.
    Bodies = 1,
    /// Stretches of records.
    Records = 2,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Bodies, Self::Records];

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == code)
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Bodies => "bodies",
            Self::Records => "records",
        }
    }
}

/// One pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId {
    /// The run that wrote it.
    pub run: RunId,
    /// Its number in the run.
    pub number: u32,
    /// What it holds.
    pub kind: Kind,
}

pub(crate) const MARKER: &str = "posthouse-backup";
pub(crate) const KEY: &str = "key.age";
pub(crate) const PACKS: &str = "packs/";
pub(crate) const CATALOGUES: &str = "catalogues/";
pub(crate) const TABLES: &str = "tables/";
pub(crate) const RUNS: &str = "runs/";

impl PackId {
    /// The file's name.
    #[must_use]
    pub fn file(self) -> String {
        let Self { run, number, kind } = self;
        format!("{PACKS}{run}-{number:05}.{}", kind.ending())
    }

    pub(crate) fn parse(file: &str) -> Option<Self> {
        let (name, ending) = file.strip_prefix(PACKS)?.rsplit_once('.')?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.ending() == ending)?;
        let (run, number) = numbered(name)?;
        let id = Self { run, number, kind };
        (id.file() == file).then_some(id)
    }
}

/// The file of a run's catalogue.
pub(crate) fn catalogue_file(run: RunId, number: u32) -> String {
    format!("{CATALOGUES}{run}-{number:05}")
}

/// The run and number of a catalogue's file.
pub(crate) fn parse_catalogue(file: &str) -> Option<(RunId, u32)> {
    let (run, number) = numbered(file.strip_prefix(CATALOGUES)?)?;
    (catalogue_file(run, number) == file).then_some((run, number))
}

fn numbered(name: &str) -> Option<(RunId, u32)> {
    let (run, number) = name.split_once('-')?;
    Some((RunId::parse(run)?, number.parse().ok()?))
}

impl RunId {
    /// The manifest's file.
    #[must_use]
    pub fn file(self) -> String {
        format!("{RUNS}{self}")
    }

    pub(crate) fn table(self) -> String {
        format!("{TABLES}{self}")
    }

    pub(crate) fn of_file(file: &str, folder: &str) -> Option<Self> {
        Self::parse(file.strip_prefix(folder)?)
    }

    /// Reads `20260115T101500Z`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if date.len() < 8 || time.len() != 6 || !all_digits(date) || !all_digits(time) {
            return None;
        }
        let (year, month_day) = date.split_at(date.len() - 4);
        let number = |text: &str| text.parse::<u64>().ok();
        let seconds = seconds_of(
            number(year)?,
            (number(&month_day[..2])?, number(&month_day[2..])?),
            (
                number(&time[..2])?,
                number(&time[2..4])?,
                number(&time[4..])?,
            ),
        )?;
        Some(Self {
            unix_seconds: seconds,
        })
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.unix_seconds / 86_400);
        let time = self.unix_seconds % 86_400;
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(
            f,
            "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"
        )
    }
}

/// The Unix seconds of a moment that a person wrote, in UTC: a run's name, or
/// `2026-01-15T10:15:00Z` of which seconds, time, `T` and `Z` may be left out. A
/// day alone means its end.
#[must_use]
pub fn parse_moment(text: &str) -> Option<u64> {
    if let Some(run) = RunId::parse(text) {
        return Some(run.unix_seconds);
    }
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let (date, time) = text
        .split_once(['T', 't', ' '])
        .unwrap_or((text, "23:59:59"));
    let numbers = |text: &str, between: char| -> Option<Vec<u64>> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let parts = text.split(between);
        parts
            .map(|part| part.parse().ok().filter(|_| digits(part)))
            .collect()
    };
    let [year, month, day] = numbers(date, '-')?.try_into().ok()?;
    let (hour, minute, second) = match numbers(time, ':')?.as_slice() {
        [hour, minute] => (*hour, *minute, 59),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return None,
    };
    seconds_of(year, (month, day), (hour, minute, second))
}

/// The date of a day since 1970. Howard Hinnant's `civil_from_days`.
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The Unix seconds of a moment in UTC from 1970 on; none when there is no such moment.
fn seconds_of(
    year: u64,
    (month, day): (u64, u64),
    (hour, minute, second): (u64, u64, u64),
) -> Option<u64> {
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !fits {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let days = era * 146_097 + of_era - 719_468;
    // The 31st of a short month is a day of the next one: there is no such day.
    (date_of(days) == (year, month, day))
        .then_some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (seconds, name) in [
            (0, "19700101T000000Z"),
            (951_827_696, "20000229T123456Z"),
            (1_767_225_600, "20260101T000000Z"),
            (4_102_444_799, "20991231T235959Z"),
        ] {
            let run = RunId {
                unix_seconds: seconds,
            };
            assert_eq!(run.to_string(), name);
            assert_eq!(RunId::parse(name), Some(run));
            assert_eq!(RunId::of_file(&run.file(), RUNS), Some(run));
            for kind in Kind::ALL {
                let pack = PackId {
                    run,
                    number: 7,
                    kind,
                };
                assert_eq!(PackId::parse(&pack.file()), Some(pack));
            }
            let catalogue = catalogue_file(run, 123_456);
            assert_eq!(parse_catalogue(&catalogue), Some((run, 123_456)));
        }
        for none in [
            "",
            "20260230T000000Z",
            "20260101T240000Z",
            "20260101T000000",
            "2026-1-1T000000Z",
        ] {
            assert_eq!(RunId::parse(none), None, "{none}");
        }
        assert_eq!(PackId::parse("packs/20260101T000000Z-1.bodies"), None);
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        for (text, name) in [
            ("20260115T101500Z", "20260115T101500Z"),
            ("2026-01-15T10:15:00Z", "20260115T101500Z"),
            ("2026-01-15 10:15", "20260115T101559Z"),
            ("2026-01-15", "20260115T235959Z"),
        ] {
            let seconds = parse_moment(text).expect(text);
            let run = RunId {
                unix_seconds: seconds,
            };
            assert_eq!(run.to_string(), name);
        }
        for none in ["", "yesterday", "2026-02-30", "2026-01-15T10", "2026-1-+5"] {
            assert_eq!(parse_moment(none), None, "{none}");
        }
    }
}
