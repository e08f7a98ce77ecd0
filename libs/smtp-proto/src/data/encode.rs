//! What goes out behind DATA or BDAT.
//!
//! RFC 5321 §4.5.2. The message is expected with CRLF lines; whatever it holds,
//! a bare CR or LF never goes out: a bare LF becomes CRLF, a bare CR a space.

use memchr::memchr2;

use super::Framing;

/// Turns content into what is sent.
#[derive(Debug)]
pub struct DataEncoder {
    framing: Framing,
    line_start: bool,
    held_cr: bool,
}

impl DataEncoder {
    /// An encoder at the start of a message.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            line_start: true,
            held_cr: false,
        }
    }

    /// Appends the wire form of a piece of content to `out`.
    pub fn encode(&mut self, mut content: &[u8], out: &mut Vec<u8>) {
        out.reserve(content.len() + content.len() / 64 + 4);
        while let Some(&first) = content.first() {
            if core::mem::take(&mut self.held_cr) {
                if first == b'\n' {
                    out.extend_from_slice(b"\r\n");
                    self.line_start = true;
                    content = &content[1..];
                    continue;
                }
                out.push(b' ');
                self.line_start = false;
            }
            if self.line_start && first == b'.' && self.framing == Framing::Dot {
                out.push(b'.');
            }
            content = self.encode_line(content, out);
        }
    }

    /// Appends the end of the message.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if core::mem::take(&mut self.held_cr) {
            out.push(b' ');
            self.line_start = false;
        }
        if !self.line_start {
            out.extend_from_slice(b"\r\n");
        }
        if self.framing == Framing::Dot {
            out.extend_from_slice(b".\r\n");
        }
        self.line_start = true;
    }

    /// Appends one line, or as much of it as there is; returns the rest.
    fn encode_line<'c>(&mut self, content: &'c [u8], out: &mut Vec<u8>) -> &'c [u8] {
        let mut good = 0;
        loop {
            let rest = &content[good..];
            // A dot at hand was taken care of; whole lines up to the next dot at a
            // line's start go out in one piece.
            let Some(at) = memchr2(b'\r', b'\n', rest).map(|at| at + good) else {
                out.extend_from_slice(content);
                self.line_start = false;
                return &[];
            };
            match (content[at], content.get(at + 1)) {
                (b'\r', Some(b'\n')) => {
                    good = at + 2;
                    let next = content.get(good);
                    if next.is_none() || (next == Some(&b'.') && self.framing == Framing::Dot) {
                        out.extend_from_slice(&content[..good]);
                        self.line_start = true;
                        return &content[good..];
                    }
                }
                (b'\r', _) => {
                    out.extend_from_slice(&content[..at]);
                    self.line_start = at == good && (good > 0 || self.line_start);
                    self.held_cr = true;
                    return &content[at + 1..];
                }
                _ => {
                    out.extend_from_slice(&content[..at]);
                    out.extend_from_slice(b"\r\n");
                    self.line_start = true;
                    return &content[at + 1..];
                }
            }
        }
    }
}
