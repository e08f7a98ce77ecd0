//! From the file's text to [`Settings`], or to the list of all its mistakes.
//!
//! TOML's own parser stops at its first error; the line it stops at is blanked and the rest read again, so that
//! a reader mends the file once and not once per mistake.

use std::collections::BTreeMap;
use std::path::Path;

use toml_edit::{Document, Item, Value};

use crate::keys::{KEYS, Key, SECTIONS};
use crate::{LoadError, Mistake, Mistakes, Settings, check};

/// Lines that are blanked at most before the reader is told to start with those.
const SYNTAX_MISTAKES_MAX: usize = 20;

impl Settings {
    /// Reads the file. Relative paths in it count from its folder.
    ///
    /// # Errors
    /// When it cannot be read, or has mistakes.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path).map_err(|error| LoadError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        let mut settings = Self::parse(&text).map_err(|mistakes| LoadError::Mistaken {
            path: path.to_owned(),
            mistakes,
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        settings.resolve_paths(folder);
        path.clone_into(&mut settings.file);
        Ok(settings)
    }

    /// Reads the file's text; paths stay as they are written.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let document = parse_toml(text, &mut mistakes);
        let mut found = Found {
            text,
            values: BTreeMap::new(),
            lines: BTreeMap::new(),
            mistakes,
        };
        if let Some(document) = &document {
            for (name, item) in document.as_table() {
                let key_span = document.as_table().key(name).and_then(toml_edit::Key::span);
                found.visit(name, item, key_span.map(|span| span.start));
            }
        }
        let settings = Self::from_values(&found.values);
        check::whole(&settings, &found.lines, &mut found.mistakes);
        let mut mistakes = found.mistakes;
        if mistakes.is_empty() {
            return Ok(settings);
        }
        mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        Err(Mistakes(mistakes))
    }

    fn resolve_paths(&mut self, folder: &Path) {
        for path in [
            &mut self.general.data_dir,
            &mut self.oauth.jwks,
            &mut self.auth.certificate_authorities,
            &mut self.sendmail.socket,
            &mut self.tls.certificate,
            &mut self.tls.key,
            &mut self.outbound.smart_host_password_file,
            &mut self.cluster.password_file,
            &mut self.backup.passphrase_file,
            &mut self.backup.s3_credentials_file,
            &mut self.policy.rules,
        ] {
            if !path.as_os_str().is_empty() {
                *path = folder.join(&*path);
            }
        }
    }
}

pub(crate) fn parse_toml(text: &str, mistakes: &mut Vec<Mistake>) -> Option<Document<String>> {
    let mut text = text.to_owned();
    while mistakes.len() < SYNTAX_MISTAKES_MAX {
        let error = match Document::parse(text.clone()) {
            Ok(document) => return Some(document),
            Err(error) => error,
        };
        let start = error.span().map_or(text.len(), |span| span.start);
        let line = line_of(&text, start);
        mistakes.push(Mistake {
            line: Some(line),
            key: String::new(),
            problem: error.message().trim().replace('\n', ", "),
            hint: "lines look like: name = \"value\"".to_owned(),
        });
        let blanked = blank_line(&text, line);
        if blanked == text {
            return None;
        }
        text = blanked;
    }
    None
}

/// The text with the line's content gone and every other byte where it was.
fn blank_line(text: &str, line: usize) -> String {
    let mut blanked = String::with_capacity(text.len());
    for (index, content) in text.split_inclusive('\n').enumerate() {
        if index + 1 != line {
            blanked.push_str(content);
        } else {
            let end = content.trim_end_matches(['\n', '\r']).len();
            blanked.extend(std::iter::repeat_n(' ', end));
            blanked.push_str(&content[end..]);
        }
    }
    blanked
}

pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    1 + text.as_bytes()[..end]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

struct Found<'a> {
    text: &'a str,
    values: BTreeMap<&'static str, Value>,
    lines: BTreeMap<&'static str, usize>,
    mistakes: Vec<Mistake>,
}

impl Found<'_> {
    fn visit(&mut self, name: &str, item: &Item, offset: Option<usize>) {
        let line = offset
            .or_else(|| item.span().map(|span| span.start))
            .map(|offset| line_of(self.text, offset));
        if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            self.visit_key(key, item, line);
        } else if let Some(table) = item.as_table_like()
            && is_section(name)
        {
            for (child, child_item) in table.iter() {
                let offset = table
                    .key(child)
                    .and_then(toml_edit::Key::span)
                    .map(|span| span.start);
                self.visit(&format!("{name}.{child}"), child_item, offset);
            }
        } else {
            self.mistakes.push(Mistake {
                line,
                key: name.to_owned(),
                problem: "there is no such key".to_owned(),
                hint: nearest_hint(name),
            });
        }
    }

    fn visit_key(&mut self, key: &'static Key, item: &Item, line: Option<usize>) {
        let problem = match item.as_value() {
            Some(value) => match check_value(key, value) {
                Ok(()) => {
                    self.values.insert(key.name, value.clone());
                    if let Some(line) = line {
                        self.lines.insert(key.name, line);
                    }
                    return;
                }
                Err(problem) => problem,
            },
            None => "this is a table".to_owned(),
        };
        self.mistakes.push(Mistake {
            line,
            key: key.name.to_owned(),
            problem,
            hint: format!("expected {}, for example {}", key.expected, key.example),
        });
    }
}

/// Whether the value is good for the key; says what is wrong.
pub(crate) fn check_value(key: &Key, value: &Value) -> Result<(), String> {
    let number = (key.check)(value)?;
    if let (Some((min, max)), Some(number)) = (key.range, number)
        && !(min..=max).contains(&number)
    {
        return Err(format!("{number} is not between {min} and {max}"));
    }
    Ok(())
}

fn is_section(name: &str) -> bool {
    SECTIONS
        .iter()
        .any(|(prefix, _)| prefix.strip_suffix('.') == Some(name))
}

/// "did you mean …", when some key is near enough.
pub(crate) fn nearest_hint(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    let nearest = KEYS
        .iter()
        .map(|key| {
            let key_last = key.name.rsplit('.').next().unwrap_or(key.name);
            // The same last word in another section is a near miss too.
            let distance = distance(name, key.name).min(1 + distance(last, key_last));
            (distance, key.name)
        })
        .chain(SECTIONS.iter().filter_map(|(prefix, _)| {
            let section = prefix.strip_suffix('.')?;
            Some((distance(name, section), section))
        }))
        .min();
    match nearest {
        Some((distance, nearest)) if distance <= 1 + name.len() / 4 => {
            format!("did you mean {nearest}?")
        }
        _ => "`posthouse config reference` lists them all".to_owned(),
    }
}

/// How many letters must be changed, added or taken away (Levenshtein).
pub(crate) fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in two.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[two.len()]
}
