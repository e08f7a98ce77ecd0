//! The body test (RFC 5173).

use super::{Run, RunError};
use crate::limits::{BODY_BYTES_MAX, PARTS_MAX};
use crate::script::{BodyTest, BodyTransform};
use mime::{Part, PartKind};
use std::borrow::Cow;

impl Run<'_, '_> {
    pub(super) fn body_test(&mut self, test: &BodyTest) -> Result<bool, RunError> {
        let values = match &test.transform {
            // RFC 5173 §4: without an empty line behind the header there is no body, and the test fails.
            _ if !self.has_body()? => return Ok(false),
            BodyTransform::Raw => vec![self.raw_body()?],
            BodyTransform::Content(types) => {
                let types = self.state.expand_all(types)?;
                self.contents(&types)?
            }
            BodyTransform::Text => self.texts()?,
        };
        let values: Vec<Cow<'_, str>> = values.into_iter().map(Cow::Owned).collect();
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

    /// RFC 5173 §5.1: everything behind the header, as it is.
    fn raw_body(&mut self) -> Result<String, RunError> {
        let body = self.state.message().parts()?.root().body.clone();
        let octets = self.octets(body)?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    }

    fn octets(&mut self, range: core::ops::Range<u64>) -> Result<Vec<u8>, RunError> {
        let end = range.end.min(range.start.saturating_add(BODY_BYTES_MAX));
        let octets = self.state.message().octets(range.start..end)?.into_owned();
        self.state.burn(octets.len())?;
        Ok(octets)
    }

    pub(super) fn all_parts(&self) -> Result<Vec<Part>, RunError> {
        let parts = self.state.message().parts()?.parts();
        Ok(parts.iter().take(PARTS_MAX).cloned().collect())
    }

    /// A leaf's text: decoded, in UTF-8.
    pub(super) fn decoded(&mut self, part: &Part) -> Result<String, RunError> {
        let octets = self.octets(part.body.clone())?;
        let octets = match part.encoding.is_identity() {
            true => octets,
            false => mime::transfer::decode(part.encoding, &octets),
        };
        self.state.burn(octets.len())?;
        Ok(
            match part.media_type.starts_with("text/") || part.charset.is_some() {
                true => mime::charset::decode(part.charset.as_deref(), &octets),
                // RFC 5173 §5.2: without a charset the octets are taken as they are.
                false => String::from_utf8_lossy(&octets).into_owned(),
            },
        )
    }

    /// RFC 5173 §5.2: each part of one of these types is a string; of a multipart what stands before the first and
    /// behind the last of its parts, of a message its header.
    fn contents(&mut self, types: &[String]) -> Result<Vec<String>, RunError> {
        let parts = self.all_parts()?;
        let mut out = Vec::new();
        let mut room = BODY_BYTES_MAX;
        for part in &parts {
            if !types.iter().any(|wanted| is_of(&part.media_type, wanted)) {
                continue;
            }
            let octets = part.body.end - part.body.start;
            room = room.saturating_sub(octets);
            if room == 0 && !out.is_empty() {
                break;
            }
            match part.kind {
                PartKind::Leaf => out.push(self.decoded(part)?),
                PartKind::Message => {
                    if let Some(child) = part
                        .children
                        .first()
                        .and_then(|child| parts.get(*child as usize))
                    {
                        let header = self.octets(child.header.clone())?;
                        // The empty line behind it is not of it.
                        let blank = header.ends_with(b"\n\r\n").then_some(2);
                        let blank = blank
                            .or(header.ends_with(b"\n\n").then_some(1))
                            .unwrap_or(0);
                        let header = &header[..header.len() - blank];
                        out.push(String::from_utf8_lossy(header).into_owned());
                    }
                }
                PartKind::Multipart => self.around(part, &parts, &mut out)?,
            }
        }
        Ok(out)
    }

    fn around(
        &mut self,
        part: &Part,
        parts: &[Part],
        out: &mut Vec<String>,
    ) -> Result<(), RunError> {
        let child = |number: Option<&u32>| number.and_then(|number| parts.get(*number as usize));
        let first = child(part.children.first()).map_or(part.body.end, |child| child.header.start);
        let last = child(part.children.last()).map_or(part.body.end, |child| child.body.end);
        for (range, front) in [(part.body.start..first, true), (last..part.body.end, false)] {
            let octets = self.octets(range)?;
            let text = String::from_utf8_lossy(&octets);
            // The lines that part the parts belong to neither.
            let lines: Vec<&str> = text.lines().collect();
            let boundary = lines.iter().position(|line| line.starts_with("--"));
            let kept = match (boundary, front) {
                (Some(_), true) => {
                    &lines[..lines
                        .iter()
                        .rposition(|line| line.starts_with("--"))
                        .unwrap_or(0)]
                }
                (Some(at), false) => &lines[at + 1..],
                (None, _) => &lines[..],
            };
            if kept.iter().any(|line| !line.is_empty()) {
                out.push(kept.join("\r\n") + "\r\n");
            }
        }
        Ok(())
    }

    /// RFC 5173 §5.3: what a person would read.
    fn texts(&mut self) -> Result<Vec<String>, RunError> {
        let parts = self.all_parts()?;
        let mut out = Vec::new();
        let mut room = BODY_BYTES_MAX;
        for part in &parts {
            // RFC 2045 §6.4: what is encoded in an unknown way is no text.
            if part.kind != PartKind::Leaf || !is_readable(part) {
                continue;
            }
            let octets = part.body.end - part.body.start;
            room = room.saturating_sub(octets);
            if room == 0 && !out.is_empty() {
                break;
            }
            let text = self.decoded(part)?;
            out.push(match is_html(part) {
                true => mime::text::html_to_text(&text),
                false => text,
            });
        }
        Ok(out)
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
