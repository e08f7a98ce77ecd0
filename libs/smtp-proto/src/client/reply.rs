//! Replies off the wire: RFC 5321 §4.2, RFC 2034 §4.
//!
//! Accepted anyway, because servers do it: lines that end in a bare LF, a last
//! line without text, texts that are not UTF-8. Not accepted: lines with
//! different codes, lines or replies without end.

use bytes::BytesMut;
use envelope::{EnhancedStatus, Reply};
use memchr::memchr;
use thiserror::Error;

use crate::limits::{REPLY_LINE_BYTES_MAX, REPLY_LINES_MAX, REPLY_TEXT_BYTES_MAX};

/// What came is not a reply.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ReplyError {
    /// A line is too long.
    #[error("a line of the reply is too long")]
    LineTooLong,
    /// Too many lines, or too much text.
    #[error("the reply is too long")]
    TooLong,
    /// No code, or no code that exists.
    #[error("not an SMTP reply: {0}")]
    Syntax(String),
    /// Codes that differ from line to line.
    #[error("the lines of the reply have different codes")]
    CodesDiffer,
}

/// Puts lines together to replies.
#[derive(Debug, Default)]
pub struct ReplyParser {
    code: Option<u16>,
    lines: Vec<String>,
    text_bytes: usize,
}

impl ReplyParser {
    /// Takes lines off the input until a reply is complete.
    ///
    /// # Errors
    /// What came is not a reply; nothing that follows can be trusted.
    pub fn next_reply(&mut self, input: &mut BytesMut) -> Result<Option<Reply>, ReplyError> {
        loop {
            let Some(end) = memchr(b'\n', input) else {
                return match input.len() {
                    len if len >= REPLY_LINE_BYTES_MAX => Err(ReplyError::LineTooLong),
                    _ => Ok(None),
                };
            };
            if end >= REPLY_LINE_BYTES_MAX {
                return Err(ReplyError::LineTooLong);
            }
            let line = input.split_to(end + 1);
            if self.take_line(&line)? {
                return Ok(Some(self.finish()));
            }
        }
    }

    /// True when it was the last line.
    fn take_line(&mut self, line: &[u8]) -> Result<bool, ReplyError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let code = parse_code(line).ok_or_else(|| {
            let shown = String::from_utf8_lossy(&line[..line.len().min(80)]);
            let clean = |c: char| if c.is_control() { '?' } else { c };
            ReplyError::Syntax(shown.chars().map(clean).collect())
        })?;
        if *self.code.get_or_insert(code) != code {
            return Err(ReplyError::CodesDiffer);
        }
        let text = String::from_utf8_lossy(line.get(4..).unwrap_or(b""));
        self.text_bytes += text.len();
        if self.lines.len() >= REPLY_LINES_MAX || self.text_bytes > REPLY_TEXT_BYTES_MAX {
            return Err(ReplyError::TooLong);
        }
        self.lines.push(text.into_owned());
        Ok(line.get(3) != Some(&b'-'))
    }

    fn finish(&mut self) -> Reply {
        let code = self.code.take().unwrap_or(0);
        self.text_bytes = 0;
        let mut lines = core::mem::take(&mut self.lines);
        let first_word = |line: &str| line.split(' ').next().and_then(EnhancedStatus::parse);
        // RFC 2034 §4: the class is the code's first digit. Accepted anyway where it
        // is not (`550 4.2.2`): what to make of it is the caller's to say.
        let enhanced = lines.first().and_then(|line| first_word(line));
        if let Some(status) = enhanced {
            for line in &mut lines {
                if first_word(line) == Some(status) {
                    *line = line.split_once(' ').map_or("", |(_, rest)| rest).to_owned();
                }
            }
        }
        Reply::new(code, enhanced, &lines.join("\n"))
    }
}

/// Three digits, 200 to 599, then a blank, a hyphen or nothing.
fn parse_code(line: &[u8]) -> Option<u16> {
    let digits = line.get(..3)?;
    let divided = matches!(line.get(3), None | Some(b' ' | b'-'));
    if !divided || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = core::str::from_utf8(digits).ok()?.parse().ok()?;
    (200..600).contains(&code).then_some(code)
}
