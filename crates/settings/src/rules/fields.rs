//! One table of the rules file, key by key: what is taken is read as its type, what is left over is a mistake.

use toml_edit::{Item, TableLike};

use crate::Mistake;
use crate::kinds::Kind;
use crate::parse::{distance, line_of};

/// The text and what was wrong in it so far.
pub(super) struct Reading<'a> {
    pub(super) text: &'a str,
    pub(super) mistakes: Vec<Mistake>,
}

impl Reading<'_> {
    pub(super) fn mistake(&mut self, at: Option<usize>, key: &str, problem: String, hint: &str) {
        self.mistakes.push(Mistake {
            line: at.map(|offset| line_of(self.text, offset)),
            key: key.to_owned(),
            problem,
            hint: hint.to_owned(),
        });
    }
}

/// A table that is being read.
pub(super) struct Fields<'t, 'r, 'a> {
    /// How mistakes name the table: `rule 2 "no lists"`.
    pub(super) place: String,
    table: &'t dyn TableLike,
    pub(super) reading: &'r mut Reading<'a>,
    known: Vec<&'static str>,
    failed: Vec<&'static str>,
}

impl<'t, 'r, 'a> Fields<'t, 'r, 'a> {
    pub(super) fn new(
        place: String,
        table: &'t dyn TableLike,
        reading: &'r mut Reading<'a>,
    ) -> Self {
        Self {
            place,
            table,
            reading,
            known: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Adds a mistake about one of the keys; where it is missing, about the table.
    pub(super) fn mistake(&mut self, name: &str, problem: String, hint: &str) {
        let at = offset_of(self.table, name);
        let key = match at {
            Some(_) => format!("{}, {name}", self.place),
            None => self.place.clone(),
        };
        let at = at.or_else(|| {
            let (first, _) = self.table.iter().next()?;
            offset_of(self.table, first)
        });
        self.reading.mistake(at, &key, problem, hint);
    }

    /// The value of a key, if it is there and good.
    pub(super) fn take<T: Kind>(&mut self, name: &'static str) -> Option<T> {
        self.known.push(name);
        let item = self.table.get(name)?;
        let read = match item.as_value() {
            Some(value) => T::read(value),
            None => Err("this is a table".to_owned()),
        };
        match read {
            Ok(value) => Some(value),
            Err(problem) => {
                self.failed.push(name);
                let hint = format!("expected {}", T::EXPECTED);
                self.mistake(name, problem, &hint);
                None
            }
        }
    }

    /// The table of a key, if it is there and one.
    pub(super) fn table(&mut self, name: &'static str) -> Option<&'t dyn TableLike> {
        self.known.push(name);
        let item = self.table.get(name)?;
        let table = item.as_table_like();
        if table.is_none() {
            let hint = format!("such as {name} = {{ domain = \"example.org\" }}");
            self.mistake(name, "this is no table".to_owned(), &hint);
        }
        table
    }

    /// The key was there, and its value was no good.
    pub(super) fn has_failed(&self, name: &str) -> bool {
        self.failed.contains(&name)
    }

    /// Some value was no good.
    pub(super) fn any_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Ends the table: what nobody has taken is a mistake.
    pub(super) fn done(mut self) {
        let unknown: Vec<String> = self
            .table
            .iter()
            .map(|(name, _)| name.to_owned())
            .filter(|name| !self.known.contains(&name.as_str()))
            .collect();
        for name in unknown {
            let nearest = self.known.iter().min_by_key(|known| distance(&name, known));
            let hint = match nearest {
                Some(known) if distance(&name, known) <= 1 + name.len() / 3 => {
                    format!("did you mean {known}?")
                }
                _ => format!("there are {}", self.known.join(", ")),
            };
            self.mistake(&name, "there is no such key".to_owned(), &hint);
        }
    }
}

/// Where a key stands in the text.
pub(super) fn offset_of(table: &dyn TableLike, name: &str) -> Option<usize> {
    let span = table.key(name).and_then(toml_edit::Key::span);
    span.map(|span| span.start)
}

/// The table of an item, or a mistake.
pub(super) fn table_of<'t>(
    place: &str,
    at: Option<usize>,
    item: &'t Item,
    reading: &mut Reading<'_>,
) -> Option<&'t dyn TableLike> {
    let table = item.as_table_like();
    if table.is_none() {
        reading.mistake(at, place, "this is no table".to_owned(), "");
    }
    table
}
