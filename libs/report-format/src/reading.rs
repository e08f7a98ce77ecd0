//! Reports that others send about our servers: RFC 8460 §4.4, read without trust.
//!
//! Anybody writes one. Texts are cut and cleaned, lists are cut and what was left out is
//! counted, numbers that are no numbers are nought: writers in the field differ in all of
//! that, and a person is to read it. Not here: finding it in a message (`report-format`).

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use crate::limits::{DETAILS_READ_MAX, POLICIES_READ_MAX, TEXT_READ_CHARS_MAX, TEXTS_READ_MAX};
use crate::packing::{UnpackError, unpack};

/// Why a report is not read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReportError {
    /// It cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// It is no JSON, or not of this shape.
    #[error("it is no report on TLS: {0}")]
    NotAReport(String),
}

/// What somebody reports about a domain of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Received {
    /// Whose report it is.
    #[serde(rename = "organization-name")]
    pub organisation: Text,
    /// Whom to write to about it.
    #[serde(rename = "contact-info")]
    pub contact: Text,
    /// Its name, unique for who sent it.
    #[serde(rename = "report-id")]
    pub id: Text,
    /// The time that it is about.
    #[serde(rename = "date-range")]
    pub dates: Dates,
    /// What happened, by policy.
    pub policies: Listed<ReceivedPolicy>,
}

/// The time that a report is about, as it is written there (RFC 3339).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Dates {
    /// Its first second.
    #[serde(rename = "start-datetime")]
    pub start: Text,
    /// Its last second.
    #[serde(rename = "end-datetime")]
    pub end: Text,
}

/// What happened under one policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ReceivedPolicy {
    /// The policy as it was seen.
    pub policy: Seen,
    /// How many sessions.
    pub summary: Summary,
    /// What failed.
    #[serde(rename = "failure-details")]
    pub failures: Listed<Detail>,
}

/// A policy as somebody has seen it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// `tlsa`, `sts` or `no-policy-found`.
    #[serde(rename = "policy-type")]
    pub kind: Text,
    /// Its lines, or its records.
    #[serde(rename = "policy-string")]
    pub strings: Listed<Text>,
    /// Whose it is.
    #[serde(rename = "policy-domain")]
    pub domain: Text,
    /// The hosts that it names.
    #[serde(rename = "mx-host")]
    pub hosts: Listed<Text>,
}

/// How sessions went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Those that went well.
    #[serde(rename = "total-successful-session-count")]
    pub successful: Number,
    /// Those that did not.
    #[serde(rename = "total-failure-session-count")]
    pub failed: Number,
}

/// Sessions that failed in one way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// How: a word of §4.3, as it stands there.
    #[serde(rename = "result-type")]
    pub result: Text,
    /// Who connected.
    #[serde(rename = "sending-mta-ip")]
    pub sending_ip: Text,
    /// To which of our hosts.
    #[serde(rename = "receiving-mx-hostname")]
    pub host: Text,
    /// What it called itself.
    #[serde(rename = "receiving-mx-helo")]
    pub helo: Text,
    /// Where it was.
    #[serde(rename = "receiving-ip")]
    pub ip: Text,
    /// How many.
    #[serde(rename = "failed-session-count")]
    pub count: Number,
    /// Where more about it stands.
    #[serde(rename = "additional-information", alias = "additional-info-uri")]
    pub more: Text,
    /// More about it.
    #[serde(rename = "failure-reason-code", alias = "failure-error-code")]
    pub reason: Text,
}

/// Reads a report: JSON, or JSON compressed by gzip.
///
/// # Errors
/// It cannot be unpacked, or is none.
pub fn read(octets: &[u8]) -> Result<Received, ReportError> {
    let json = unpack(octets)?;
    // Some begin with a byte order mark, which RFC 8259 §8.1 lets a reader ignore.
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&json);
    let report: Received =
        serde_json::from_slice(json).map_err(|error| ReportError::NotAReport(error.to_string()))?;
    if report.policies.items.is_empty() {
        return Err(ReportError::NotAReport("it has no policies".into()));
    }
    Ok(report)
}

/// A text of a stranger's: without control characters, cut at [`TEXT_READ_CHARS_MAX`].
/// Whatever is no text is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(pub String);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number of a stranger's; also one in quotes. Whatever is none is nought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Number(pub u64);

/// A list of a stranger's; one that stands alone is a list of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The first of them.
    pub items: Vec<T>,
    /// How many more there were.
    pub left_out: u64,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            left_out: 0,
        }
    }
}

/// What stands in lists, and how much of it is kept.
trait Item {
    const MAX: usize;
    /// What one that stands alone as a text is.
    fn alone(_: &str) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

impl Item for ReceivedPolicy {
    const MAX: usize = POLICIES_READ_MAX;
}

impl Item for Detail {
    const MAX: usize = DETAILS_READ_MAX;
}

impl Item for Text {
    const MAX: usize = TEXTS_READ_MAX;

    fn alone(text: &str) -> Option<Self> {
        Some(clean(text))
    }
}

fn clean(text: &str) -> Text {
    let visible = text.chars().filter(|c| !c.is_control());
    Text(visible.take(TEXT_READ_CHARS_MAX).collect())
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(clean(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text, A::Error> {
        let first: Option<Text> = list.next_element()?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.unwrap_or_default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(from)?;
        Ok(Self(text.trim().parse().unwrap_or_default()))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Item + Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Listed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Listed<T>, E> {
        Ok(Listed::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<Listed<T>, E> {
        Ok(Listed {
            items: T::alone(text).into_iter().collect(),
            left_out: 0,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listed<T>, A::Error> {
        let mut listed = Listed::default();
        while listed.items.len() < T::MAX {
            match list.next_element()? {
                Some(item) => listed.items.push(item),
                None => return Ok(listed),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            listed.left_out += 1;
        }
        Ok(listed)
    }
}

impl<'de, T: Item + Deserialize<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ListVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests;
