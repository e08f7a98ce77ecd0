//! What comes in behind DATA or BDAT: to lines that all end in CRLF.
//!
//! RFC 5321 §4.5.2 (transparency), §2.3.8 (only CRLF ends a line), RFC 3030.
//! Only CRLF.CRLF ends DATA. A bare LF becomes CRLF and a bare CR a space, but a
//! line that is nothing but a dot with a bare CR or LF at either side is a
//! smuggling attempt (VU#302671): some other server would see an end of data
//! there. The message is read to its true end and then refused.
//!
//! | state | means |
//! |---|---|
//! | `LineStart` | behind CRLF, or at the very start |
//! | `BareStart` | behind a bare LF or a bare CR |
//! | `Middle` | within a line |
//! | `Cr` | a CR is held back |
//! | `Dot`, `DotCr` | a dot is held back at `LineStart`; and a CR behind it |
//! | `BareDot`, `BareDotCr` | the same at `BareStart`; the dot is not held back |

use core::ops::Range;

use memchr::memchr3;
use thiserror::Error;

use crate::limits::BODY_LINE_BYTES_MAX;

/// How the message is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// DATA: dot-stuffed, ended by CRLF.CRLF.
    Dot,
    /// BDAT: counted; dots mean nothing, but line ends do.
    Counted,
}

/// Why a message cannot be accepted, whatever it says.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum DataFault {
    /// A bare CR or LF beside a lone dot.
    #[error("bare CR or LF beside a lone dot")]
    Smuggling,
    /// A NUL octet.
    #[error("NUL in the message")]
    Nul,
    /// A line over 1 MB.
    #[error("a line is too long")]
    LineTooLong,
    /// Over the size limit.
    #[error("the message is too big")]
    TooBig,
    /// Thrown away because the server said so.
    #[error("refused while it was being received")]
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    BareStart,
    Middle,
    Cr,
    Dot,
    DotCr,
    BareDot,
    BareDotCr,
    End,
}

/// What became of one piece of input.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Octets of the input that were used up; all of them unless the data ended.
    pub consumed: usize,
    /// The content is this part of the input, unchanged, and nothing was
    /// written to `out`.
    pub unchanged: Option<Range<usize>>,
    /// CRLF.CRLF was met.
    pub ended: bool,
}

/// Turns received octets into content.
#[derive(Debug)]
pub struct DataDecoder {
    framing: Framing,
    state: State,
    line_bytes: u64,
    size: u64,
    fault: Option<DataFault>,
}

impl DataDecoder {
    /// A decoder at the start of a message.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            state: State::LineStart,
            line_bytes: 0,
            size: 0,
            fault: None,
        }
    }

    /// Octets of content so far: after dot-unstuffing and with whole line ends.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The first fault that was met.
    #[must_use]
    pub fn fault(&self) -> Option<DataFault> {
        self.fault
    }

    /// Takes a piece of input; content is appended to `out` or said to be
    /// `unchanged`. Any split of the input gives the same content.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Decoded {
        let before = out.len();
        let mut piece = Piece {
            input,
            run: 0..0,
            at: 0,
            out,
            wrote: false,
        };
        while piece.at < input.len() && self.state != State::End {
            self.step(&mut piece);
        }
        let consumed = piece.at;
        let unchanged = piece.finish();
        let content = match &unchanged {
            Some(run) => run.len(),
            None => out.len() - before,
        };
        self.size += content as u64;
        Decoded {
            consumed,
            unchanged,
            ended: self.state == State::End,
        }
    }

    /// Ends a counted message: what was held back, and CRLF if the last line
    /// had none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let before = out.len();
        match self.state {
            State::Dot => out.extend_from_slice(b".\r\n"),
            State::DotCr => out.extend_from_slice(b". \r\n"),
            State::Cr | State::BareDotCr => out.extend_from_slice(b" \r\n"),
            State::Middle | State::BareDot => out.extend_from_slice(b"\r\n"),
            // A bare CR as the last octet was written as a space.
            State::BareStart if self.line_bytes > 0 => out.extend_from_slice(b"\r\n"),
            State::BareStart | State::LineStart | State::End => {}
        }
        self.size += (out.len() - before) as u64;
        self.state = State::End;
    }

    /// One state's worth of work on the octet at `piece.at`, or on all octets up
    /// to the next one that matters.
    fn step(&mut self, piece: &mut Piece<'_, '_>) {
        let octet = piece.input[piece.at];
        match self.state {
            State::LineStart if octet == b'.' => {
                piece.skip();
                self.state = State::Dot;
            }
            State::BareStart if octet == b'.' => {
                self.keep(piece, 1);
                self.state = State::BareDot;
            }
            State::LineStart | State::BareStart | State::Middle => self.run(piece),
            State::Cr if octet == b'\n' => self.crlf(piece),
            State::Cr => self.bare_cr(piece),
            State::Dot => self.behind_dot(piece, octet),
            State::DotCr if octet == b'\n' => match self.framing {
                Framing::Dot => {
                    piece.skip();
                    self.state = State::End;
                }
                Framing::Counted => {
                    self.put(piece, b".");
                    self.crlf(piece);
                }
            },
            State::DotCr => {
                self.flag(DataFault::Smuggling);
                self.put(piece, b".");
                self.bare_cr(piece);
            }
            State::BareDot if octet == b'\r' => {
                self.flag(DataFault::Smuggling);
                piece.skip();
                self.state = State::BareDotCr;
            }
            State::BareDot if octet == b'\n' => {
                self.flag(DataFault::Smuggling);
                self.bare_lf(piece);
            }
            State::BareDot => self.state = State::Middle,
            State::BareDotCr if octet == b'\n' => self.crlf(piece),
            State::BareDotCr => self.bare_cr(piece),
            State::End => {}
        }
    }

    /// Keeps everything up to the next CR, LF or NUL, and looks at that.
    fn run(&mut self, piece: &mut Piece<'_, '_>) {
        let rest = &piece.input[piece.at..];
        let len = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
        if len > 0 {
            self.keep(piece, len);
            self.state = State::Middle;
        }
        match rest.get(len) {
            Some(b'\r') => match rest.get(len + 1) {
                // The common case: the line's end lies in one piece.
                Some(b'\n') => {
                    self.keep(piece, 2);
                    self.line_bytes = 0;
                    self.state = State::LineStart;
                }
                _ => {
                    piece.skip();
                    self.state = State::Cr;
                }
            },
            Some(b'\n') => self.bare_lf(piece),
            Some(_) => {
                self.flag(DataFault::Nul);
                self.keep(piece, 1);
                self.state = State::Middle;
            }
            None => {}
        }
    }

    /// RFC 5321 §4.5.2: a dot at a line's start is taken away, unless the line
    /// is nothing else.
    fn behind_dot(&mut self, piece: &mut Piece<'_, '_>, octet: u8) {
        match octet {
            b'\r' => {
                piece.skip();
                self.state = State::DotCr;
            }
            b'\n' => {
                self.flag(DataFault::Smuggling);
                self.put(piece, b".");
                self.bare_lf(piece);
            }
            _ => {
                if self.framing == Framing::Counted {
                    self.put(piece, b".");
                }
                self.state = State::Middle;
            }
        }
    }

    /// The LF behind a CR that was held back.
    fn crlf(&mut self, piece: &mut Piece<'_, '_>) {
        self.put(piece, b"\r\n");
        piece.skip();
        self.line_bytes = 0;
        self.state = State::LineStart;
    }

    fn bare_lf(&mut self, piece: &mut Piece<'_, '_>) {
        self.put(piece, b"\r\n");
        piece.skip();
        self.line_bytes = 0;
        self.state = State::BareStart;
    }

    /// The CR that was held back is bare; the octet at hand is looked at again.
    fn bare_cr(&mut self, piece: &mut Piece<'_, '_>) {
        self.put(piece, b" ");
        self.state = State::BareStart;
    }

    fn keep(&mut self, piece: &mut Piece<'_, '_>, len: usize) {
        self.count_line(len);
        piece.keep(len);
    }

    fn put(&mut self, piece: &mut Piece<'_, '_>, bytes: &[u8]) {
        self.count_line(bytes.len());
        piece.put(bytes);
    }

    fn count_line(&mut self, len: usize) {
        self.line_bytes += len as u64;
        if self.line_bytes > BODY_LINE_BYTES_MAX {
            self.flag(DataFault::LineTooLong);
        }
    }

    fn flag(&mut self, fault: DataFault) {
        self.fault.get_or_insert(fault);
    }
}

/// One piece of input on its way: a run that may stay where it is, until
/// something has to be written.
struct Piece<'i, 'o> {
    input: &'i [u8],
    run: Range<usize>,
    at: usize,
    out: &'o mut Vec<u8>,
    wrote: bool,
}

impl Piece<'_, '_> {
    /// Keeps the next octets as they are.
    fn keep(&mut self, len: usize) {
        if self.run.end != self.at {
            self.flush();
            self.run = self.at..self.at;
        }
        self.at += len;
        self.run.end = self.at;
    }

    /// Leaves out the next octet.
    fn skip(&mut self) {
        self.at += 1;
    }

    /// Writes octets that are not in the input.
    fn put(&mut self, bytes: &[u8]) {
        self.flush();
        self.out.extend_from_slice(bytes);
        self.wrote = true;
    }

    fn flush(&mut self) {
        let run = core::mem::take(&mut self.run);
        if !run.is_empty() {
            self.out.extend_from_slice(&self.input[run]);
            self.wrote = true;
        }
    }

    fn finish(mut self) -> Option<Range<usize>> {
        if self.wrote {
            self.flush();
            return None;
        }
        Some(self.run)
    }
}
