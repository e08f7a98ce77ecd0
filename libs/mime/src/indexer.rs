//! The streaming indexer: a line-based machine that is fed a message in any
//! pieces and holds one line, one header and one record per part.
//!
//! RFC 2046 §5.1 with what mail needs besides: a boundary of an outer
//! multipart ends every inner part, a missing final boundary ends with the
//! message, white space after a boundary is ignored, text after the final
//! boundary is never a part. Lines end with CRLF; a bare LF ends one too, a
//! bare CR does not.
//!
//! Invariants: the pieces do not matter, only the bytes; work per byte is
//! bounded by the depth limit; memory by the limits.

use memchr::memchr;

use crate::bound::bounded;
use crate::digest::{Digest, HeadFacts};
use crate::envelope::envelope;
use crate::limits::{BODY_LINE_BYTES_MAX, HEADER_BYTES_FLOOR, HEADER_BYTES_TOTAL_MAX, Limits};
use crate::part::{Part, PartIndex, PartKind};
use crate::preview::Capture;
use crate::structure::{self, PartFacts};

/// Indexes one message.
#[derive(Debug)]
pub struct Indexer {
    limits: Limits,
    /// Bytes of complete lines so far.
    offset: u64,
    /// Line ends so far.
    line_ends: u64,
    /// Length of the line end before `offset`.
    last_line_end: u64,
    /// The beginning of a line whose end was not pushed yet.
    pending: Pending,
    parts: Vec<Part>,
    facts: Vec<PartFacts>,
    /// Line ends before each open part's body, by part.
    body_line_ends: Vec<u64>,
    open: Vec<Open>,
    /// Open multiparts that still wait for a boundary.
    boundaries: usize,
    in_header: bool,
    header: Vec<u8>,
    header_bytes_left: usize,
    head: HeadFacts,
    capture: Capture,
}

/// A part that has not ended yet; each stands inside the one before it.
#[derive(Debug)]
struct Open {
    part: usize,
    /// Set while the part is a multipart before its final boundary.
    boundary: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Pending {
    kept: Vec<u8>,
    len: u64,
    last: u8,
}

/// What a line says to the multiparts around it.
enum Delimiter {
    Next(usize),
    Last(usize),
}

impl Indexer {
    /// An indexer that waits for the message's first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let mut indexer = Self {
            limits,
            offset: 0,
            line_ends: 0,
            last_line_end: 0,
            pending: Pending::default(),
            parts: Vec::new(),
            facts: Vec::new(),
            body_line_ends: Vec::new(),
            open: Vec::new(),
            boundaries: 0,
            in_header: true,
            header: Vec::new(),
            header_bytes_left: HEADER_BYTES_TOTAL_MAX,
            head: HeadFacts::default(),
            capture: Capture::default(),
        };
        indexer.open_part(None, 0);
        indexer
    }

    /// Takes the next piece of the message.
    pub fn push(&mut self, mut piece: &[u8]) {
        while let Some(at) = memchr(b'\n', piece) {
            let (line, rest) = piece.split_at(at + 1);
            if self.pending.len == 0 {
                let crlf = line.len() >= 2 && line[line.len() - 2] == b'\r';
                self.take_line(line, line.len() as u64, if crlf { 2 } else { 1 });
            } else {
                let before = if line.len() >= 2 {
                    line[line.len() - 2]
                } else {
                    self.pending.last
                };
                self.keep(line);
                self.take_pending(if before == b'\r' { 2 } else { 1 });
            }
            piece = rest;
        }
        if !piece.is_empty() {
            self.keep(piece);
        }
    }

    /// Ends the message.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        if self.pending.len > 0 {
            self.take_pending(0);
        }
        self.close_to(0, self.offset, 0);
        let index = PartIndex::from_parts(self.parts);
        let mut facts = self.facts;
        let body = structure::write(&index, &facts, false);
        let body_structure = structure::write(&index, &facts, true);
        let envelope = std::mem::take(&mut facts[0].envelope);
        let digest = Digest::assemble(
            self.head,
            index,
            envelope,
            body,
            body_structure,
            self.capture.preview(),
        );
        bounded(digest, facts, self.limits.digest_bytes)
    }

    /// How much of the current line has to be kept.
    fn keep_max(&self) -> usize {
        if self.in_header {
            self.header_room().max(BODY_LINE_BYTES_MAX)
        } else {
            self.capture.wanted().max(BODY_LINE_BYTES_MAX)
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = self.keep_max().saturating_sub(self.pending.kept.len());
        self.pending
            .kept
            .extend_from_slice(&piece[..piece.len().min(room)]);
        self.pending.len += piece.len() as u64;
        self.pending.last = piece.last().copied().unwrap_or(self.pending.last);
    }

    fn take_pending(&mut self, line_end: u64) {
        let mut pending = std::mem::take(&mut self.pending);
        self.take_line(&pending.kept, pending.len, line_end);
        pending.kept.clear();
        // The buffer is kept for the next line unless a huge line blew it up.
        if pending.kept.capacity() <= 4 * BODY_LINE_BYTES_MAX {
            self.pending.kept = pending.kept;
        }
    }

    /// One line: its kept bytes, its whole length and the length of its end.
    fn take_line(&mut self, line: &[u8], len: u64, line_end: u64) {
        let start = self.offset;
        let delimiter = if self.boundaries > 0
            && line.starts_with(b"--")
            && len <= BODY_LINE_BYTES_MAX as u64
        {
            self.delimiter(line.trim_ascii_end())
        } else {
            None
        };
        match delimiter {
            Some(delimiter) => self.take_delimiter(&delimiter, start, start + len),
            None if self.in_header => {
                if line_end > 0 && len == line_end {
                    self.header_line(line, len);
                    self.end_header(start + len, self.line_ends + 1);
                } else {
                    self.header_line(line, len);
                }
            }
            None => self.capture.line(line),
        }
        self.offset = start + len;
        self.last_line_end = line_end;
        self.line_ends += u64::from(line_end > 0);
    }

    /// Which multipart's boundary is this line? The innermost counts first.
    // RFC 2046 §5.1.1 lets a reader be content with a line that begins with the
    // boundary. We want the whole line, as the grammar and most readers do: a
    // boundary may begin with another one, and text is safer inside its part.
    fn delimiter(&self, line: &[u8]) -> Option<Delimiter> {
        let text = &line[2..];
        self.open
            .iter()
            .enumerate()
            .rev()
            .find_map(
                |(level, open)| match text.strip_prefix(open.boundary.as_deref()?)? {
                    b"" => Some(Delimiter::Next(level)),
                    b"--" => Some(Delimiter::Last(level)),
                    _ => None,
                },
            )
    }

    fn take_delimiter(&mut self, delimiter: &Delimiter, start: u64, end: u64) {
        let (&Delimiter::Next(level) | &Delimiter::Last(level)) = delimiter;
        // RFC 2046 §5.1.1: the line end before a boundary belongs to it.
        self.close_to(level + 1, start, self.last_line_end);
        match delimiter {
            Delimiter::Next(_) if self.parts.len() < self.limits.parts => {
                self.open_part(Some(self.open[level].part), end);
            }
            // One part too many: it is left inside the multipart's epilogue.
            Delimiter::Next(_) | Delimiter::Last(_) => self.end_multipart(level),
        }
    }

    fn end_multipart(&mut self, level: usize) {
        if self.open[level].boundary.take().is_some() {
            self.boundaries -= 1;
        }
        self.capture.stop();
    }

    /// Opens a part whose header begins at `at`.
    fn open_part(&mut self, parent: Option<usize>, at: u64) {
        self.parts.push(Part {
            header: at..at,
            body: at..at,
            parent: parent.and_then(|parent| u32::try_from(parent).ok()),
            ..Part::default()
        });
        self.facts.push(PartFacts::default());
        self.body_line_ends.push(0);
        self.open.push(Open {
            part: self.parts.len() - 1,
            boundary: None,
        });
        self.in_header = true;
        self.header.clear();
        self.capture.stop();
    }

    /// How many more bytes of this header are looked at.
    fn header_room(&self) -> usize {
        let max = self
            .header_bytes_left
            .max(HEADER_BYTES_FLOOR)
            .min(self.limits.header_bytes);
        max.saturating_sub(self.header.len())
    }

    fn header_line(&mut self, line: &[u8], len: u64) {
        let room = self.header_room();
        let take = line.len().min(room);
        self.header.extend_from_slice(&line[..take]);
        if (take as u64) < len {
            self.head.header_cut = true;
        }
    }

    /// Ends the header of the innermost open part; its body begins at `at`.
    fn end_header(&mut self, at: u64, line_ends: u64) {
        let Some(open) = self.open.last() else { return };
        let number = open.part;
        let header = std::mem::take(&mut self.header);
        self.header_bytes_left = self.header_bytes_left.saturating_sub(header.len());
        let parent = self.parts[number].parent.map(|parent| parent as usize);
        let in_digest =
            parent.is_some_and(|parent| self.parts[parent].media_type == "multipart/digest");
        // RFC 2046 §5.1.5
        let default_type = if in_digest {
            "message/rfc822"
        } else {
            "text/plain"
        };
        let mut facts = PartFacts::read(&header, default_type);
        if parent.is_none_or(|parent| self.parts[parent].kind == PartKind::Message) {
            facts.envelope = envelope(&header);
        }
        if number == 0 {
            self.head.read(&header);
        }
        self.in_header = false;
        self.fill_part(number, &mut facts, at);
        self.body_line_ends[number] = line_ends;
        let kind = self.parts[number].kind;
        if kind == PartKind::Multipart {
            let boundary = structure::boundary(&facts.content_type).map(<[u8]>::to_vec);
            self.boundaries += usize::from(boundary.is_some());
            if let Some(open) = self.open.last_mut() {
                open.boundary = boundary;
            }
        }
        self.facts[number] = facts;
        self.header = header;
        self.header.clear();
        self.header.shrink_to(64 * 1_024);
        match kind {
            PartKind::Message => self.open_part(Some(number), at),
            PartKind::Leaf => self.capture.start(&self.parts[number]),
            PartKind::Multipart => {}
        }
    }

    fn fill_part(&mut self, number: usize, facts: &mut PartFacts, at: u64) {
        let media_type = facts.media_type();
        let deep = self.open.len() >= self.limits.depth;
        let full = self.parts.len() >= self.limits.parts;
        let multipart = media_type.starts_with("multipart/");
        // RFC 9051 §7.5.2: these two are written with the message inside.
        let message = matches!(media_type.as_str(), "message/rfc822" | "message/global");
        let kind = match (multipart, message) {
            (true, _) if !deep && !full => PartKind::Multipart,
            (_, true) if !deep && !full => PartKind::Message,
            _ => PartKind::Leaf,
        };
        // Beyond the limits: written as what it is, bytes.
        let opaque = kind == PartKind::Leaf && (multipart || message);
        let part = &mut self.parts[number];
        part.header.end = at;
        part.body = at..at;
        part.kind = kind;
        part.media_type = media_type;
        if opaque {
            facts.make_opaque(part);
        }
        part.charset = facts
            .content_type
            .parameter("charset")
            .map(|charset| structure::kept(&String::from_utf8_lossy(charset)))
            .filter(|charset| !charset.is_empty());
        part.encoding = facts.encoding;
        part.disposition = facts.disposition;
        part.name = facts.name.take();
        part.content_id = facts.content_id.take();
    }

    /// Ends all open parts from `level` on, before the line that begins at
    /// `start`; `line_end` bytes before it belong to that line.
    fn close_to(&mut self, level: usize, start: u64, line_end: u64) {
        // A header without its blank line ends here; a message inside opens another.
        while self.in_header && self.open.len() > level {
            self.end_header(start, self.line_ends);
        }
        let mut end = start.saturating_sub(line_end);
        while self.open.len() > level {
            let Some(mut open) = self.open.pop() else {
                return;
            };
            if open.boundary.take().is_some() {
                self.boundaries -= 1;
            }
            let part = &mut self.parts[open.part];
            // An empty body's last line end is its header's, and what stands
            // around it ends no earlier.
            end = end.max(part.body.start);
            let without_last = u64::from(line_end > 0 && end < start);
            part.body.end = end;
            part.lines = self
                .line_ends
                .saturating_sub(without_last)
                .saturating_sub(self.body_line_ends[open.part]);
            self.give_child(open.part, end);
        }
        self.capture.stop();
    }

    /// A multipart must have a child in BODYSTRUCTURE (RFC 9051 §9, body-type-mpart):
    /// an empty one gets an empty text at its end.
    fn give_child(&mut self, number: usize, end: u64) {
        let childless =
            self.parts[number].kind == PartKind::Multipart && number + 1 == self.parts.len();
        if !childless {
            return;
        }
        let mut facts = PartFacts::read(b"", "text/plain");
        self.parts.push(Part {
            header: end..end,
            parent: u32::try_from(number).ok(),
            ..Part::default()
        });
        self.body_line_ends.push(0);
        self.fill_part(number + 1, &mut facts, end);
        self.facts.push(facts);
    }
}
