//! The body test (RFC 5173).

use super::known::Shape;
use super::{Run, RunError};
use crate::limits::{BODY_BYTES_MAX, DECODE_WEIGHT, PARTS_MAX};
use crate::script::{BodyTest, BodyTransform};
use mime::{Part, PartKind};
use std::sync::Arc;

impl Run<'_, '_> {
    pub(super) fn body_test(&mut self, test: &BodyTest) -> Result<bool, RunError> {
        let values = match &test.transform {
            // RFC 5173 §4: without an empty line behind the header there is no body, and the test fails.
            _ if !self.has_body()? => return Ok(false),
            // RFC 5173 §5.1: everything behind the header, as it is.
            BodyTransform::Raw => vec![self.state.text(Shape::Raw)?],
            BodyTransform::Content(types) => {
                let types = self.state.expand_all(types)?;
                self.contents(&types)?
            }
            BodyTransform::Text => self.texts()?,
        };
        // RFC 5173 §6: what `:matches` finds in a body is in no match variable.
        self.keys(&test.of, &values, false)
    }

    fn has_body(&self) -> Result<bool, RunError> {
        let message = self.state.message();
        let header = message.header();
        let ended = header.ends_with(b"\r\n\r\n")
            || header.ends_with(b"\n\n")
            || header == b"\r\n"
            || header == b"\n";
        Ok(ended || message.parts()?.root().body.start < message.parts()?.root().body.end)
    }

    /// RFC 5173 §5.2: each part of one of these types is a string; of a multipart what stands before the first and
    /// behind the last of its parts, of a message its header.
    fn contents(&mut self, types: &[String]) -> Result<Vec<Arc<str>>, RunError> {
        let held = self.state.held.clone();
        let parts = held.message().parts()?.parts();
        let mut out: Vec<Arc<str>> = Vec::new();
        let mut room = Room::default();
        let octets: usize = types.iter().map(|wanted| 16 + wanted.len()).sum();
        for (number, part) in (0_u32..).zip(parts).take(PARTS_MAX) {
            self.state.burn(octets)?;
            if !types.iter().any(|wanted| is_of(&part.media_type, wanted)) {
                continue;
            }
            match part.kind {
                PartKind::Leaf if !room.take(part) => break,
                PartKind::Leaf => out.push(self.state.text(Shape::Decoded(number))?),
                PartKind::Message => {
                    let child = part.children.first();
                    if let Some(child) = child.and_then(|child| parts.get(*child as usize)) {
                        let header = self.state.octets(child.header.clone())?;
                        // The empty line behind it is not of it.
                        let blank = header.ends_with(b"\n\r\n").then_some(2);
                        let blank = blank
                            .or(header.ends_with(b"\n\n").then_some(1))
                            .unwrap_or(0);
                        let header = &header[..header.len() - blank];
                        out.push(String::from_utf8_lossy(header).into());
                    }
                }
                PartKind::Multipart => self.around(part, parts, &mut out)?,
            }
        }
        Ok(out)
    }

    fn around(
        &mut self,
        part: &Part,
        parts: &[Part],
        out: &mut Vec<Arc<str>>,
    ) -> Result<(), RunError> {
        let child = |number: Option<&u32>| number.and_then(|number| parts.get(*number as usize));
        let first = child(part.children.first()).map_or(part.body.end, |child| child.header.start);
        let last = child(part.children.last()).map_or(part.body.end, |child| child.body.end);
        for (range, front) in [(part.body.start..first, true), (last..part.body.end, false)] {
            let octets = self.state.octets(range)?;
            self.state.burn(octets.len() * DECODE_WEIGHT)?;
            let text = String::from_utf8_lossy(&octets);
            let kept = match front {
                true => &text[..begin_of_last_boundary(&text).unwrap_or(text.len())],
                false => &text[end_of_first_boundary(&text).unwrap_or(0)..],
            };
            if kept.lines().any(|line| !line.is_empty()) {
                let lines = kept.lines().flat_map(|line| [line, "\r\n"]);
                out.push(lines.collect::<String>().into());
            }
        }
        Ok(())
    }

    /// RFC 5173 §5.3: what a person would read.
    fn texts(&mut self) -> Result<Vec<Arc<str>>, RunError> {
        let held = self.state.held.clone();
        let parts = held.message().parts()?.parts();
        let mut out = Vec::new();
        let mut room = Room::default();
        for (number, part) in (0_u32..).zip(parts).take(PARTS_MAX) {
            self.state.burn(0)?;
            // RFC 2045 §6.4: what is encoded in an unknown way is no text.
            if part.kind != PartKind::Leaf || !is_readable(part) {
                continue;
            }
            if !room.take(part) {
                break;
            }
            out.push(self.state.text(match is_html(part) {
                true => Shape::Readable(number),
                false => Shape::Decoded(number),
            })?);
        }
        Ok(out)
    }
}

/// The lines that part the parts belong to neither.
fn begin_of_last_boundary(text: &str) -> Option<usize> {
    let mut at = text.len();
    let mut lines = text.split_inclusive('\n').rev();
    lines.find_map(|line| {
        at -= line.len();
        line.starts_with("--").then_some(at)
    })
}

fn end_of_first_boundary(text: &str) -> Option<usize> {
    let mut at = 0;
    let mut lines = text.split_inclusive('\n');
    lines.find_map(|line| {
        at += line.len();
        line.starts_with("--").then_some(at)
    })
}

/// Octets of bodies that one test has looked at.
#[derive(Default)]
struct Room(u64);

impl Room {
    /// Is a part looked at? The first always, and no more than [`BODY_BYTES_MAX`] of it.
    fn take(&mut self, part: &Part) -> bool {
        let was = self.0;
        self.0 = was.saturating_add(part.body.end.saturating_sub(part.body.start));
        was == 0 || self.0 <= BODY_BYTES_MAX
    }
}

/// Is a media type the wanted one: any for an empty string, any of its kind without a slash?
fn is_of(media_type: &str, wanted: &str) -> bool {
    let Some((kind, subtype)) = media_type.split_once('/') else {
        return wanted.is_empty();
    };
    match wanted.split_once('/') {
        _ if wanted.is_empty() => true,
        None => kind.eq_ignore_ascii_case(wanted) && !subtype.contains('/'),
        // RFC 5173 §5.2: more than one slash, or one at an end, matches nothing.
        Some((want_kind, want_subtype)) => {
            !want_subtype.is_empty()
                && !want_subtype.contains('/')
                && kind.eq_ignore_ascii_case(want_kind)
                && subtype.eq_ignore_ascii_case(want_subtype)
        }
    }
}

pub(super) fn is_html(part: &Part) -> bool {
    matches!(
        part.media_type.as_str(),
        "text/html" | "application/xhtml+xml"
    )
}

fn is_readable(part: &Part) -> bool {
    (is_of(&part.media_type, "text") || is_html(part)) && part.encoding != mime::Encoding::Other
}
