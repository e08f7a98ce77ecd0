//! How a message's lines are written: with LF alone, as files of this system
//! have them, for an mbox with its From lines quoted; or as SMTP has them.

use smtp_proto::data::DataEncoder;

/// What becomes of a message's octets.
#[derive(Debug)]
pub(crate) enum Form {
    /// For a file, or a program.
    File(Dress),
    /// As behind DATA.
    Smtp(DataEncoder),
}

impl Form {
    pub(crate) fn push(&mut self, content: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::File(dress) => dress.push(content, out),
            Self::Smtp(encoder) => encoder.encode(content, out),
        }
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::File(dress) => dress.finish(out),
            Self::Smtp(encoder) => encoder.finish(out),
        }
    }
}

/// Turns CRLF lines into those of a file.
#[derive(Debug)]
pub(crate) struct Dress {
    quotes_from: bool,
    held_cr: bool,
    place: Place,
    /// The line has begun.
    is_open: bool,
}

/// Where in a line the next octet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind so many octets of "From ", with nothing but ">" before; they are held back.
    From(usize),
    /// Where it no longer matters.
    Later,
}

const FROM: &[u8] = b"From ";

impl Dress {
    pub(crate) fn plain() -> Self {
        Self {
            quotes_from: false,
            held_cr: false,
            place: Place::From(0),
            is_open: false,
        }
    }

    /// For an mbox: `>` is put before each line that begins with "From " behind any number of `>`.
    pub(crate) fn quoting_from() -> Self {
        Self {
            quotes_from: true,
            ..Self::plain()
        }
    }

    pub(crate) fn push(&mut self, content: &[u8], out: &mut Vec<u8>) {
        for &octet in content {
            if std::mem::take(&mut self.held_cr) && octet != b'\n' {
                self.put(b'\r', out);
            }
            match octet {
                b'\r' => self.held_cr = true,
                octet => self.put(octet, out),
            }
        }
    }

    /// Ends the last line.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.held_cr = false;
        if self.is_open {
            self.put(b'\n', out);
        }
    }

    fn put(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.is_open = octet != b'\n';
        if let Place::From(matched) = self.place {
            if self.quotes_from && octet == FROM[matched] {
                if matched + 1 < FROM.len() {
                    self.place = Place::From(matched + 1);
                    return;
                }
                out.push(b'>');
            }
            out.extend_from_slice(&FROM[..matched]);
            let more_quotes = matched == 0 && octet == b'>';
            if !more_quotes {
                self.place = Place::Later;
            }
        }
        out.push(octet);
        if octet == b'\n' {
            self.place = Place::From(0);
        }
    }
}
