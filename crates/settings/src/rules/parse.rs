//! From the file's text to [`Rules`], or to the list of all its mistakes.

use std::path::Path;
use std::time::Duration;

use envelope::Domain;
use toml_edit::Item;

use super::fields::{Fields, Reading, table_of};
use super::{RelayDomain, Rules};
use crate::parse::parse_toml;
use crate::{LoadError, Mistakes};

/// How long mail for a relay domain is tried unless its table says so: four weeks.
const RELAY_LIFETIME: Duration = Duration::from_secs(28 * 86_400);
/// The shortest and the longest of these times.
const LIFETIMES: std::ops::RangeInclusive<u64> = 3_600..=365 * 86_400;

impl Rules {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or has mistakes.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path).map_err(|error| LoadError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        Self::parse(&text).map_err(|mistakes| LoadError::Mistaken {
            path: path.to_owned(),
            mistakes,
        })
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        let mut reading = Reading {
            text,
            mistakes: Vec::new(),
        };
        let mut rules = Self::default();
        if let Some(document) = parse_toml(text, &mut reading.mistakes) {
            let table = document.as_table();
            for (name, item) in table {
                let at = table.key(name).and_then(toml_edit::Key::span);
                let at = at.map(|span| span.start);
                match name {
                    "relay_domain" => rules.read_relay_domains(at, item, &mut reading),
                    _ => {
                        let hint = "there is [relay_domain.\"example.net\"]";
                        let problem = "there is no such table".to_owned();
                        reading.mistake(at, name, problem, hint);
                    }
                }
            }
        }
        let mut mistakes = reading.mistakes;
        if mistakes.is_empty() {
            return Ok(rules);
        }
        mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        Err(Mistakes(mistakes))
    }

    fn read_relay_domains(&mut self, at: Option<usize>, item: &Item, reading: &mut Reading<'_>) {
        let Some(tables) = table_of("relay_domain", at, item, reading) else {
            return;
        };
        for (name, item) in tables.iter() {
            let place = format!("relay domain {name:?}");
            let at = tables.key(name).and_then(toml_edit::Key::span);
            let at = at.map(|span| span.start);
            let domain = match Domain::parse(name) {
                Ok(domain) => domain,
                Err(error) => {
                    let hint = "a domain in quotes, such as [relay_domain.\"example.net\"]";
                    reading.mistake(at, &place, error.to_string(), hint);
                    continue;
                }
            };
            let Some(table) = table_of(&place, at, item, reading) else {
                continue;
            };
            let relay = read_relay_domain(Fields::new(place.clone(), table, reading));
            if self.relay_domains.insert(domain, relay).is_some() {
                let problem = "the same domain stands in another table".to_owned();
                reading.mistake(at, &place, problem, "");
            }
        }
    }
}

fn read_relay_domain(mut fields: Fields<'_, '_, '_>) -> RelayDomain {
    let lifetime = fields.take("lifetime").unwrap_or(RELAY_LIFETIME);
    if !LIFETIMES.contains(&lifetime.as_secs()) {
        let problem = "it is not between an hour and a year".to_owned();
        fields.mistake("lifetime", problem, "such as \"4w\"");
    }
    let relay = RelayDomain {
        lifetime,
        etrn: fields.take("etrn").unwrap_or_default(),
    };
    fields.done();
    relay
}
