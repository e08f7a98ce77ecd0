//! The log: `tracing` events as lines on standard error.
//!
//! Text: `2026-01-01T00:00:00.000Z info smtp_server: message accepted session=4f2a message=1c9d`. Values that hold
//! anything but plain characters are quoted and escaped, so that a peer's bytes cannot forge lines.
//! JSON: one object per line with `time`, `level`, `target`, `message` and the fields.
//!
//! Levels by what they cost a person: error: act now; warn: look today; info: what happened to mail;
//! debug and trace: for developers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// A value longer than this many bytes is cut: a line stays readable whatever a peer sent.
const VALUE_BYTES_MAX: usize = 1024;

/// Libraries whose ordinary talk is of no use to an operator.
const QUIET: [&str; 7] = [
    "hickory_net",
    "hickory_proto",
    "hickory_resolver",
    "hyper",
    "lsm_tree",
    "rustls",
    "tokio_rustls",
];

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The log is set up already.
#[derive(Debug, thiserror::Error)]
#[error("the log is set up already")]
pub struct InstalledError;

/// Sends the events of the whole process to standard error. `level` is one of error, warn, info, debug, trace, off;
/// `now` gives the time as milliseconds since 1970.
///
/// # Errors
/// When this was done before.
pub fn install(
    format: Format,
    level: &str,
    now: impl Fn() -> u64 + Send + Sync + 'static,
) -> Result<(), InstalledError> {
    let lines = Lines::new(format, now, |line| {
        // Nothing sensible can be done when standard error is gone.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    });
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(level)));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| InstalledError)
}

fn filter(level: &str) -> Targets {
    let level: LevelFilter = level.parse().unwrap_or(LevelFilter::INFO);
    let quiet = level.min(LevelFilter::WARN);
    Targets::new()
        .with_default(level)
        .with_targets(QUIET.map(|target| (target, quiet)))
}

/// The layer that makes lines and gives them to a sink.
pub struct Lines {
    format: Format,
    now: Box<dyn Fn() -> u64 + Send + Sync>,
    sink: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Lines {
    /// For tests and other sinks than standard error; each call of `sink` gets one line with its end.
    pub fn new(
        format: Format,
        now: impl Fn() -> u64 + Send + Sync + 'static,
        sink: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self {
            format,
            now: Box::new(now),
            sink: Arc::new(sink),
        }
    }
}

/// The fields of an event or span, rendered once.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, serde_json::Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: serde_json::Value) {
        if field.name() == "message" {
            self.message = match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
        } else {
            self.rest.retain(|(name, _)| *name != field.name());
            self.rest.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = Cut(String::new());
        // Fails only to say that the rest was cut.
        let _ = write!(text, "{value:?}");
        self.put(field, text.0.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Cut(String::new());
        let _ = text.write_str(value);
        self.put(field, text.0.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// Text that stops growing at [`VALUE_BYTES_MAX`].
struct Cut(String);

impl std::fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let left = VALUE_BYTES_MAX.saturating_sub(self.0.len());
        if text.len() <= left {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(left)]);
        self.0.push('…');
        Err(std::fmt::Error)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut all: Vec<(&'static str, serde_json::Value)> = Vec::new();
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(own) = span.extensions().get::<Fields>() {
                    all.extend(own.rest.iter().cloned());
                }
            }
        }
        all.append(&mut fields.rest);
        let metadata = event.metadata();
        let time = rfc3339((self.now)());
        let line = match self.format {
            Format::Text => text_line(
                &time,
                *metadata.level(),
                metadata.target(),
                &fields.message,
                &all,
            ),
            Format::Json => json_line(
                &time,
                *metadata.level(),
                metadata.target(),
                &fields.message,
                all,
            ),
        };
        (self.sink)(&line);
    }
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn text_line(
    time: &str,
    level: Level,
    target: &str,
    message: &str,
    fields: &[(&'static str, serde_json::Value)],
) -> String {
    let mut line = format!("{time} {} {target}: ", level_word(level));
    push_escaped(&mut line, message);
    for (name, value) in fields {
        let _ = write!(line, " {name}=");
        match value {
            serde_json::Value::String(text) if is_plain(text) => line.push_str(text),
            serde_json::Value::String(text) => {
                line.push('"');
                push_escaped(&mut line, text);
                line.push('"');
            }
            other => _ = write!(line, "{other}"),
        }
    }
    line.push('\n');
    line
}

fn json_line(
    time: &str,
    level: Level,
    target: &str,
    message: &str,
    fields: Vec<(&'static str, serde_json::Value)>,
) -> String {
    let mut object = serde_json::Map::new();
    for (name, value) in fields {
        object.insert(name.to_owned(), value);
    }
    object.insert("time".to_owned(), time.into());
    object.insert("level".to_owned(), level_word(level).into());
    object.insert("target".to_owned(), target.into());
    object.insert("message".to_owned(), message.into());
    let mut line = serde_json::Value::Object(object).to_string();
    line.push('\n');
    line
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| !c.is_whitespace() && !is_dangerous(c) && !matches!(c, '"' | '='))
}

/// Control characters, and those that turn the direction of text or end lines in some viewers.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        if is_dangerous(c) || matches!(c, '"' | '\\') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

/// A moment, in milliseconds since 1970, as RFC 3339 writes it: in UTC with milliseconds; the calendar by Howard Hinnant's `civil_from_days`.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, second) = (seconds / 86400, seconds % 86400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        unix_ms % 1000
    )
}

#[cfg(test)]
mod tests;
