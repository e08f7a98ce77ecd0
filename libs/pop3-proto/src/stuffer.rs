//! A message as RETR and TOP send it: dots at the start of lines doubled, the
//! end marked by a lone dot (RFC 1939 §3).
//!
//! Lines end with CRLF. A message whose last line has no end gets one: without
//! it the client would never see the lone dot.

use memchr::{memchr, memmem};

/// Writes one message.
#[derive(Debug, Clone)]
pub struct Stuffer {
    line_start: bool,
    /// Body lines that may still be sent; `None` for all.
    lines_left: Option<u64>,
    in_header: bool,
    /// The present header line has no byte but its end so far.
    blank: bool,
}

impl Stuffer {
    /// For the whole message, or its header and so many lines of its body.
    #[must_use]
    pub fn new(lines: Option<u64>) -> Self {
        Self {
            line_start: true,
            lines_left: lines,
            in_header: true,
            blank: true,
        }
    }

    /// True once nothing more of the message is wanted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.in_header && self.line_start && self.lines_left == Some(0)
    }

    /// Writes a piece of the message.
    pub fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        // A few more for dots and the end.
        out.reserve(piece.len() + 64);
        if self.lines_left.is_none() {
            return self.push_whole(piece, out);
        }
        while !piece.is_empty() && !self.is_full() {
            let end = memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
            let (part, rest) = piece.split_at(end);
            piece = rest;
            if self.line_start && part.first() == Some(&b'.') {
                out.push(b'.');
            }
            out.extend_from_slice(part);
            let ends = part.ends_with(b"\n");
            if self.in_header {
                self.blank &= part.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
                if ends {
                    self.in_header = !self.blank;
                    self.blank = true;
                }
            } else if ends && let Some(left) = &mut self.lines_left {
                *left = left.saturating_sub(1);
            }
            self.line_start = ends;
        }
    }

    /// Where lines need not be counted, only those matter that begin with a dot.
    fn push_whole(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        if self.line_start && piece.first() == Some(&b'.') {
            out.push(b'.');
        }
        while let Some(at) = memmem::find(piece, b"\n.") {
            let (before, rest) = piece.split_at(at + 1);
            out.extend_from_slice(before);
            out.extend_from_slice(b"..");
            piece = &rest[1..];
            self.line_start = false;
        }
        out.extend_from_slice(piece);
        if let Some(last) = piece.last() {
            self.line_start = *last == b'\n';
        }
    }

    /// Ends the message.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(message: &[u8], lines: Option<u64>, piece: usize) -> Vec<u8> {
        let mut stuffer = Stuffer::new(lines);
        let mut out = Vec::new();
        for part in message.chunks(piece.max(1)) {
            stuffer.push(part, &mut out);
        }
        stuffer.finish(&mut out);
        out
    }

    /// What a client makes of it.
    fn unstuffed(sent: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in sent.split_inclusive(|&byte| byte == b'\n') {
            if line == b".\r\n" {
                return out;
            }
            out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        panic!("no lone dot");
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_marked() {
        assert_eq!(
            sent(b"A: b\r\n\r\n.\r\n..x\r\ny.", None, 3),
            b"A: b\r\n\r\n..\r\n...x\r\ny.\r\n.\r\n"
        );
        assert_eq!(sent(b"", None, 1), b".\r\n");
    }

    #[test]
    fn top_sends_the_header_the_blank_line_and_so_many_lines() {
        let message = b"A: b\r\n c\r\n\r\n1\r\n2\r\n3\r\n";
        assert_eq!(sent(message, Some(0), 4), b"A: b\r\n c\r\n\r\n.\r\n");
        assert_eq!(
            sent(message, Some(2), 1),
            b"A: b\r\n c\r\n\r\n1\r\n2\r\n.\r\n"
        );
        assert_eq!(sent(message, Some(9), 5), sent(message, None, 100));
        assert_eq!(sent(b"A: no end", Some(0), 5), b"A: no end\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn the_client_gets_the_message_back(lines in proptest::collection::vec("[.a:\r]{0,4}", 0..8), piece in 1usize..9) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let out = sent(message.as_bytes(), None, piece);
            prop_assert_eq!(unstuffed(&out), message.as_bytes());
            for lines in [Some(0), Some(2)] {
                let whole = sent(message.as_bytes(), lines, usize::MAX);
                prop_assert_eq!(sent(message.as_bytes(), lines, piece), whole);
            }
        }
    }
}
