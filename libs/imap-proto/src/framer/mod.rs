//! Where commands begin and end. Nothing but the framer decides that, so that
//! the stream cannot shift, whatever a parser thinks of a command.
//!
//! The caller loops: [`Framer::poll`] with the unread bytes, drop what was
//! consumed, handle the event, until there is neither. An event that needs a
//! decision ([`Event::Append`], [`Event::AppendNext`]) is answered by
//! [`Framer::accept_append`] or [`Framer::refuse_append`] before the next poll.
//!
//! Rules (RFC 9051 §4.3, RFC 7888):
//! - a line ends in CRLF; a bare LF ends it too, because people type;
//! - `{n}` at a line's end is a literal: the server speaks first, so it may
//!   refuse and the client will not send the octets;
//! - `{n+}` is sent unasked: when it is refused its octets are consumed, or the
//!   connection ends ([`Event::Fatal`]);
//! - the message of an APPEND is never gathered: it comes in slices.
//!
//! Memory: at most a line and the small literals of one command; nothing
//! between commands.

mod literal;
#[cfg(test)]
mod tests;

pub use literal::LiteralHead;

use crate::command::{AppendHead, AppendPart, Tag};
use crate::cursor::Cursor;
use crate::limits;
use crate::mailbox_name::NameForm;
use crate::parse::{ErrorKind, ParseError, Place, append_segment, first_segment, parse_tag};

/// Limits that the configuration or the session's state decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest command line.
    pub line_bytes_max: usize,
    /// All small literals of a command.
    pub literal_bytes_max: u64,
}

impl Limits {
    /// Before login.
    #[must_use]
    pub fn before_login() -> Self {
        Self {
            line_bytes_max: limits::LINE_BYTES_BEFORE_LOGIN_MAX,
            literal_bytes_max: limits::LITERAL_BYTES_BEFORE_LOGIN_MAX,
        }
    }

    /// After login.
    #[must_use]
    pub fn after_login() -> Self {
        Self {
            line_bytes_max: limits::LINE_BYTES_MAX,
            literal_bytes_max: limits::LITERAL_BYTES_MAX,
        }
    }
}

/// What the client's bytes mean so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole command without its final CRLF, for [`crate::parse_command`].
    Command(Vec<u8>),
    /// A line outside of the grammar, after [`Framer::expect_line`].
    Line(Vec<u8>),
    /// The client waits for leave to send a literal: send `+`.
    Continue,
    /// An APPEND or REPLACE; where a literal follows, decide before the next poll.
    Append {
        /// Mailbox, flags and so on, or why they are wrong.
        head: Result<AppendHead, ParseError>,
        /// The message's, or first piece's, size and form; none when the command is whole.
        literal: Option<LiteralHead>,
    },
    /// Octets of the literal.
    AppendData(&'a [u8]),
    /// The command goes on with another literal; decide before the next poll.
    AppendNext {
        /// What stands in front of it.
        parts: Vec<AppendPart>,
        /// Its size and form.
        literal: LiteralHead,
    },
    /// The command ends: with what stands behind the last literal, or with what is wrong.
    AppendEnd(Result<Vec<AppendPart>, &'static str>),
    /// Refuse a command; the stream is in step again.
    Bad {
        /// The command's tag, if it had one.
        tag: Option<Tag>,
        /// Why.
        text: &'static str,
    },
    /// The stream cannot be brought in step: say BYE and close.
    Fatal(&'static str),
    /// Another protocol speaks: close at once.
    Foreign,
}

/// What one poll did.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes to drop from the front of the input.
    pub consumed: usize,
    /// What they mean; `None` asks for more bytes.
    pub event: Option<Event<'a>>,
}

/// The session's framer.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    authenticated: bool,
    form: NameForm,
    state: State,
    /// The command so far: its lines, its literals in place.
    command: Vec<u8>,
    /// Where the current line begins in `command`.
    line_start: usize,
    literals: usize,
    literal_bytes: u64,
    /// In an APPEND, behind a literal of a message: where, and how many of them there were.
    append: Option<(Place, usize)>,
}

#[derive(Debug)]
enum State {
    /// In a line of a command.
    Line,
    /// In a line outside of the grammar.
    RawLine,
    /// In a small literal.
    Literal { left: u64 },
    /// The caller has to decide about a message.
    Undecided(LiteralHead),
    /// In a message.
    Message { left: u64 },
    /// Throwing away what was refused.
    Skip(Box<Skip>),
    /// After [`Event::Fatal`] or [`Event::Foreign`].
    Dead,
}

#[derive(Debug)]
struct Skip {
    /// Octets of a literal still to drop.
    left: u64,
    /// Bytes that may still be dropped before the session ends.
    budget: u64,
    /// The end of the current line, enough to see a literal's length.
    window: Vec<u8>,
    report: Report,
}

#[derive(Debug)]
enum Report {
    Nothing,
    Bad(Option<Tag>, &'static str),
    Append(&'static str),
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// A framer for a client that has not logged in.
    #[must_use]
    pub fn new() -> Self {
        Self {
            limits: Limits::before_login(),
            authenticated: false,
            form: NameForm::default(),
            state: State::Line,
            command: Vec::new(),
            line_start: 0,
            literals: 0,
            literal_bytes: 0,
            append: None,
        }
    }

    /// Raises the limits and lets APPEND stream.
    pub fn set_authenticated(&mut self) {
        self.authenticated = true;
        self.limits = Limits::after_login();
    }

    /// Nobody is logged in any more (RFC 8437).
    pub fn set_unauthenticated(&mut self) {
        self.authenticated = false;
        self.limits = Limits::before_login();
    }

    /// How mailbox names are read in the heads of APPEND.
    pub fn set_form(&mut self, form: NameForm) {
        self.form = form;
    }

    /// The next line is no command: a SASL response or DONE.
    pub fn expect_line(&mut self) {
        if self.is_between_commands() {
            self.state = State::RawLine;
        }
    }

    /// True when no command has begun.
    #[must_use]
    pub fn is_between_commands(&self) -> bool {
        matches!(self.state, State::Line) && self.command.is_empty() && self.append.is_none()
    }

    /// Takes the literal that was announced. True when the client waits for `+`.
    pub fn accept_append(&mut self) -> bool {
        let State::Undecided(literal) = self.state else {
            return false;
        };
        self.state = if literal.size == 0 {
            State::Line
        } else {
            State::Message { left: literal.size }
        };
        literal.sync
    }

    /// Refuses the literal that was announced, and so the command; the caller answers
    /// the command. False when the octets that come unasked are more than
    /// `octets_max`: the caller must close.
    #[must_use]
    pub fn refuse_append(&mut self, octets_max: u64) -> bool {
        let State::Undecided(literal) = self.state else {
            return true;
        };
        self.reset();
        if literal.sync {
            return true;
        }
        if literal.size > octets_max {
            self.state = State::Dead;
            return false;
        }
        self.skip(literal.size, Report::Nothing);
        true
    }

    /// Stops taking the message after [`Framer::accept_append`]: the rest of it
    /// is thrown away silently, the caller answers the command.
    pub fn abandon_append(&mut self) {
        match self.state {
            State::Message { left } => self.skip(left, Report::Nothing),
            State::Line if self.append.is_some() => self.skip_line(Report::Nothing),
            _ => {}
        }
    }

    /// Reads from the input until something is to be said about it.
    pub fn poll<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        let mut rest = input;
        let mut event = None;
        while event.is_none() && !rest.is_empty() {
            let (consumed, found) = match &mut self.state {
                State::Line | State::RawLine => self.take_line(rest),
                State::Literal { left } => {
                    let taken = clamp(*left, rest.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Line;
                    }
                    self.command.extend_from_slice(&rest[..taken]);
                    self.line_start = self.command.len();
                    (taken, None)
                }
                State::Message { left } => {
                    let taken = clamp(*left, rest.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Line;
                    }
                    (taken, Some(Event::AppendData(&rest[..taken])))
                }
                State::Skip(_) => self.take_skipped(rest),
                State::Undecided(_) | State::Dead => break,
            };
            rest = &rest[consumed..];
            event = found;
        }
        Step {
            consumed: input.len() - rest.len(),
            event,
        }
    }

    /// Ready for a new command, holding no memory.
    fn reset(&mut self) {
        self.state = State::Line;
        self.command = Vec::new();
        self.line_start = 0;
        self.literals = 0;
        self.literal_bytes = 0;
        self.append = None;
    }

    fn fatal<'a>(&mut self, text: &'static str) -> Option<Event<'a>> {
        self.reset();
        self.state = State::Dead;
        Some(Event::Fatal(text))
    }

    fn tag(&self) -> Option<Tag> {
        parse_tag(&mut Cursor::new(&self.command)).ok()
    }

    fn skip(&mut self, left: u64, report: Report) {
        self.reset();
        self.state = State::Skip(Box::new(Skip {
            left,
            budget: left.saturating_add(limits::SKIPPED_BYTES_MAX),
            window: Vec::new(),
            report,
        }));
    }

    /// Drops the rest of the current line, whose end may hold half of a
    /// literal's length.
    fn skip_line(&mut self, report: Report) {
        let line = &self.command[self.line_start..];
        let window = line[line.len().saturating_sub(WINDOW)..].to_vec();
        self.skip(0, report);
        if let State::Skip(skip) = &mut self.state {
            skip.window = window;
        }
    }

    /// Adds to the current line; handles it when it ends.
    fn take_line<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Event<'a>>) {
        // THREATS 4: a TLS record where a command should begin.
        if !self.authenticated && self.is_between_commands() && input[0] == 0x16 {
            self.state = State::Dead;
            return (input.len(), Some(Event::Foreign));
        }
        let end = memchr::memchr(b'\n', input);
        let piece = &input[..end.unwrap_or(input.len())];
        let line_bytes = self.command.len() + piece.len() - self.literal_bytes as usize;
        if line_bytes > self.limits.line_bytes_max {
            let tag = self.tag_with(piece);
            let report = match self.append {
                Some(_) => Report::Append("the line is too long"),
                None => Report::Bad(tag, "the line is too long"),
            };
            self.skip_line(report);
            return (0, None);
        }
        self.command.extend_from_slice(piece);
        if end.is_none() {
            return (input.len(), None);
        }
        if self.command.len() > self.line_start && self.command.last() == Some(&b'\r') {
            self.command.pop();
        }
        (piece.len() + 1, self.end_line())
    }

    /// The tag of a command whose first line is still arriving.
    fn tag_with(&self, piece: &[u8]) -> Option<Tag> {
        let start = |bytes: &[u8]| bytes[..bytes.len().min(limits::TAG_BYTES_MAX + 1)].to_vec();
        let head = [start(&self.command), start(piece)].concat();
        parse_tag(&mut Cursor::new(&head)).ok()
    }

    fn end_line<'a>(&mut self) -> Option<Event<'a>> {
        if matches!(self.state, State::RawLine) {
            let line = std::mem::take(&mut self.command);
            self.reset();
            return Some(Event::Line(line));
        }
        let line = &self.command[self.line_start..];
        let literal = literal::at_end_of(line);
        if let Some((place, literals)) = self.append {
            return self.go_on_append(place, literals, literal);
        }
        if !self.authenticated && is_foreign(&self.command) {
            self.reset();
            self.state = State::Dead;
            return Some(Event::Foreign);
        }
        let has_nul = line.contains(&0);
        match literal {
            Some((head, len)) => self.begin_literal(head, len, has_nul),
            None if has_nul => {
                let tag = self.tag();
                self.reset();
                Some(Event::Bad {
                    tag,
                    text: "a command may not hold NUL",
                })
            }
            None => {
                let command = std::mem::take(&mut self.command);
                self.reset();
                // An APPEND of URLs alone, or a broken one.
                let append = match self.authenticated {
                    true => first_segment(&command, self.form, None),
                    false => None,
                };
                Some(match append {
                    Some(head) => Event::Append {
                        head: head.map(|found| found.head),
                        literal: None,
                    },
                    None => Event::Command(command),
                })
            }
        }
    }

    /// A line behind a literal of an APPEND's ended, perhaps in another literal, of which `len`
    /// bytes of it tell.
    fn go_on_append<'a>(
        &mut self,
        place: Place,
        literals: usize,
        literal: Option<(LiteralHead, usize)>,
    ) -> Option<Event<'a>> {
        let head = literal.map(|(head, _)| head);
        let len = literal.map_or(0, |(_, len)| len);
        let text = &self.command[..self.command.len() - len];
        let read = match text.contains(&0) {
            true => Err(ErrorKind::Syntax("a command may not hold NUL")),
            false => append_segment(&mut Cursor::new(text), place, head),
        };
        let wrong = match (read, head) {
            (Ok(Some(segment)), None) => {
                self.reset();
                return Some(Event::AppendEnd(Ok(segment.parts)));
            }
            (Ok(Some(segment)), Some(literal)) if literals < limits::APPEND_LITERALS_MAX => {
                self.begin_message(segment.next, literals + 1, literal);
                let parts = segment.parts;
                return Some(Event::AppendNext { parts, literal });
            }
            (Ok(Some(_)), Some(_)) => "the command has too many literals",
            (Ok(None), Some(literal)) => match self.begin_string(literal) {
                Ok(event) => return event,
                Err(wrong) => wrong,
            },
            (Err(ErrorKind::Syntax(wrong)), _) => wrong,
            _ => "what follows a message is not understood",
        };
        self.reset();
        match head {
            Some(literal) if !literal.sync => {
                if literal.size > limits::APPEND_BYTES_MAX {
                    return self.fatal("a literal is too large");
                }
                self.skip(literal.size, Report::Append(wrong));
                None
            }
            _ => Some(Event::AppendEnd(Err(wrong))),
        }
    }

    /// A literal of a message's octets is announced: the command so far is done with.
    fn begin_message(&mut self, next: Place, literals: usize, literal: LiteralHead) {
        self.reset();
        self.append = Some((next, literals));
        self.state = State::Undecided(literal);
    }

    /// A literal that is a string of an APPEND's segment stays in the command.
    fn begin_string<'a>(
        &mut self,
        literal: LiteralHead,
    ) -> Result<Option<Event<'a>>, &'static str> {
        let total = self.literal_bytes.saturating_add(literal.size);
        if literal.binary {
            return Err("a binary literal is no string");
        }
        if total > self.limits.literal_bytes_max || self.literals >= limits::APPEND_STRINGS_MAX {
            return Err("the strings of the command are too long or too many");
        }
        Ok(self.gather(literal, total))
    }

    /// The octets of a literal that is a string come next.
    fn gather<'a>(&mut self, literal: LiteralHead, total: u64) -> Option<Event<'a>> {
        self.command.extend_from_slice(b"\r\n");
        self.literals += 1;
        self.literal_bytes = total;
        self.line_start = self.command.len();
        if literal.size > 0 {
            self.state = State::Literal { left: literal.size };
        }
        literal.sync.then_some(Event::Continue)
    }

    /// A line ended in a literal's length, which takes `len` bytes of it.
    fn begin_literal<'a>(
        &mut self,
        literal: LiteralHead,
        len: usize,
        has_nul: bool,
    ) -> Option<Event<'a>> {
        // The mailbox of an APPEND, and URLs in it, may be literals themselves.
        if self.authenticated && self.literals <= limits::APPEND_STRINGS_MAX {
            let before = &self.command[..self.command.len() - len];
            match first_segment(before, self.form, Some(literal)) {
                Some(Ok(found)) => {
                    self.begin_message(found.next, 1, literal);
                    let (head, literal) = (Ok(found.head), Some(literal));
                    return Some(Event::Append { head, literal });
                }
                Some(Err(error)) => {
                    self.begin_message(Place::Between, 1, literal);
                    let (head, literal) = (Err(error), Some(literal));
                    return Some(Event::Append { head, literal });
                }
                None => {}
            }
        }
        let total = self.literal_bytes.saturating_add(literal.size);
        let refusal = if has_nul {
            Some("a command may not hold NUL")
        } else if literal.binary {
            Some("a binary literal is taken by APPEND only")
        } else if self.literals >= limits::LITERALS_PER_COMMAND_MAX {
            Some("the command has too many literals")
        } else if total > self.limits.literal_bytes_max {
            Some("a literal is too large")
        } else {
            None
        };
        if let Some(text) = refusal {
            return self.refuse_literal(literal, text);
        }
        self.gather(literal, total)
    }

    fn refuse_literal<'a>(
        &mut self,
        literal: LiteralHead,
        text: &'static str,
    ) -> Option<Event<'a>> {
        let tag = self.tag();
        if literal.sync {
            // The client waits for our answer and will not send the octets.
            self.reset();
            return Some(Event::Bad { tag, text });
        }
        if literal.size > limits::SKIPPED_BYTES_MAX {
            return self.fatal(text);
        }
        self.skip(literal.size, Report::Bad(tag, text));
        None
    }

    /// Drops a refused literal's octets and the rest of its command.
    fn take_skipped<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Event<'a>>) {
        let State::Skip(skip) = &mut self.state else {
            return (0, None);
        };
        let consumed;
        if skip.left > 0 {
            consumed = clamp(skip.left, input.len());
            skip.left -= consumed as u64;
        } else {
            let end = memchr::memchr(b'\n', input);
            let piece = &input[..end.unwrap_or(input.len())];
            skip.window
                .extend_from_slice(&piece[piece.len().saturating_sub(WINDOW)..]);
            let surplus = skip.window.len().saturating_sub(WINDOW);
            skip.window.drain(..surplus);
            consumed = piece.len() + usize::from(end.is_some());
            if end.is_some() {
                let line = skip.window.strip_suffix(b"\r").unwrap_or(&skip.window);
                match literal::at_end_of(line) {
                    Some((literal, _)) if !literal.sync => skip.left = literal.size,
                    // A synchronising one is refused by the answer.
                    _ => return (consumed, self.end_skip()),
                }
                skip.window.clear();
            }
        }
        skip.budget = skip.budget.saturating_sub(consumed as u64);
        if skip.budget == 0 || skip.left > skip.budget {
            return (
                consumed,
                self.fatal("too much was sent behind a refused command"),
            );
        }
        (consumed, None)
    }

    fn end_skip<'a>(&mut self) -> Option<Event<'a>> {
        let State::Skip(skip) = std::mem::replace(&mut self.state, State::Line) else {
            return None;
        };
        match skip.report {
            Report::Nothing => None,
            Report::Bad(tag, text) => Some(Event::Bad { tag, text }),
            Report::Append(text) => Some(Event::AppendEnd(Err(text))),
        }
    }
}

/// Enough of a line's end to see the longest literal's length.
const WINDOW: usize = 32;

fn clamp(left: u64, len: usize) -> usize {
    usize::try_from(left).map_or(len, |left| left.min(len))
}

/// THREATS 4: a browser made to speak to us, or a server.
fn is_foreign(line: &[u8]) -> bool {
    let mut words = line.split(|&b| b == b' ').filter(|w| !w.is_empty());
    let method = words.next().unwrap_or_default();
    let known = [
        "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI",
    ];
    known.iter().any(|known| known.as_bytes() == method)
        && words.nth(1).is_some_and(|word| word.starts_with(b"HTTP/"))
        || is_greeting(line)
}

/// What servers of IMAP, POP3, SSH or SMTP say first. A tag of IMAP may be `220`,
/// but no command has a dot in its name.
fn is_greeting(line: &[u8]) -> bool {
    let smtp = |rest: &[u8]| {
        let name = rest.split(|&b| b == b' ').next().unwrap_or_default();
        name.contains(&b'.')
    };
    let others: [&[u8]; 6] = [b"* OK", b"* PREAUTH", b"* BYE", b"+OK", b"-ERR", b"SSH-"];
    others.iter().any(|other| line.starts_with(other))
        || line.strip_prefix(b"220 ").is_some_and(smtp)
        || line.strip_prefix(b"220-").is_some_and(smtp)
}
