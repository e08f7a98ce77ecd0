//! Previews: the first words of a message on one line.
//!
//! The first text/plain part gives them; a message without one, its first
//! text/html part, tags dropped. Not here: a way to show HTML.

use crate::charset;
use crate::limits::{PREVIEW_CHARS_MAX, PREVIEW_HTML_BYTES_MAX, PREVIEW_PLAIN_BYTES_MAX};
use crate::part::Part;
use crate::text::html_to_text;
use crate::transfer::{self, Encoding};

/// Takes the beginnings of the parts that a preview can be made from.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    active: Option<Active>,
    plain: Option<Taken>,
    html: Option<Taken>,
}

#[derive(Debug)]
struct Active {
    html: bool,
    room: usize,
    taken: Taken,
}

#[derive(Debug)]
struct Taken {
    encoding: Encoding,
    charset: Option<String>,
    bytes: Vec<u8>,
}

impl Capture {
    /// A leaf's body begins.
    pub(crate) fn start(&mut self, part: &Part) {
        self.stop();
        let html = match part.media_type.as_str() {
            "text/plain" if self.plain.is_none() => false,
            "text/html" if self.plain.is_none() && self.html.is_none() => true,
            _ => return,
        };
        if !part.is_inline_text() {
            return;
        }
        let room = if html {
            PREVIEW_HTML_BYTES_MAX
        } else {
            PREVIEW_PLAIN_BYTES_MAX
        };
        let taken = Taken {
            encoding: part.encoding,
            charset: part.charset.clone(),
            bytes: Vec::new(),
        };
        self.active = Some(Active { html, room, taken });
    }

    /// How many bytes of the next line are wanted.
    pub(crate) fn wanted(&self) -> usize {
        self.active.as_ref().map_or(0, |active| active.room)
    }

    /// A line of the current body.
    pub(crate) fn line(&mut self, line: &[u8]) {
        if let Some(active) = &mut self.active {
            let take = line.len().min(active.room);
            active.taken.bytes.extend_from_slice(&line[..take]);
            active.room -= take;
            if active.room == 0 {
                self.stop();
            }
        }
    }

    /// The body ends, or another part begins.
    pub(crate) fn stop(&mut self) {
        if let Some(active) = self.active.take() {
            // A blank part is no preview; the next one may be.
            if active.taken.bytes.iter().all(u8::is_ascii_whitespace) {
                return;
            }
            let slot = if active.html {
                &mut self.html
            } else {
                &mut self.plain
            };
            *slot = Some(active.taken);
        }
    }

    /// The preview of what was taken.
    pub(crate) fn preview(mut self) -> String {
        self.stop();
        let decoded = |taken: &Taken| {
            let bytes = transfer::decode(taken.encoding, &taken.bytes);
            charset::decode(taken.charset.as_deref(), &bytes)
        };
        let plain = self.plain.as_ref().map(decoded);
        let html = || {
            self.html
                .as_ref()
                .map(|taken| html_to_text(&decoded(taken)))
        };
        folded(&plain.or_else(html).unwrap_or_default())
    }
}

/// White space folded, controls dropped, cut at [`PREVIEW_CHARS_MAX`].
fn folded(text: &str) -> String {
    let mut out = String::new();
    let mut count = 0;
    let mut space = false;
    for c in text.chars() {
        if count >= PREVIEW_CHARS_MAX {
            break;
        }
        // U+FFFD at a cut is noise, and so are marks that reorder text.
        let invisible = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}' | '\u{34f}' | '\u{ad}');
        if c.is_whitespace() {
            space = count > 0;
        } else if !c.is_control() && !invisible {
            if space {
                if count + 1 == PREVIEW_CHARS_MAX {
                    break;
                }
                out.push(' ');
                count += 1;
            }
            space = false;
            out.push(c);
            count += 1;
        }
    }
    out
}
