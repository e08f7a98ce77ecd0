//! The texts of a message that SEARCH looks at, decoded and folded, piece by piece.
//!
//! A text part is given as it is written, HTML with its tags, since RFC 9051 §6.4.4 speaks of
//! the body's string; HTML then once more as it is read: no tags, references undone, white
//! space as one blank. Parts that are no text are not looked at, their headers are.
//!
//! Not here: what is looked for. Both whoever looks for something and whoever makes an
//! index of the texts read them here, so that they agree on what a message's texts are.
//!
//! Invariants: what is given does not depend on the pieces that the octets come in; a text
//! begins anew with each part; a piece begins with the end of the one before, so that
//! nothing is cut in two; memory is bounded by a few pieces, and [`READ_TEXT_BYTES_MAX`].

use crate::charset;
use crate::limits::{PART_HEADER_BYTES_MAX, READ_TEXT_BYTES_MAX, TEXT_PIECE_BYTES};
use crate::part::{Part, PartIndex, PartKind};
use crate::text::{header_for_search, html_to_text};
use crate::transfer::Decoder;
use core::ops::{ControlFlow, Range};
use memchr::memrchr;

/// What a text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The header of the message, or of one of its parts: TEXT looks there, BODY does not.
    Header,
    /// The body: text parts, and the headers of messages inside.
    Body,
}

/// The octets that a [`PartIndex`] is of.
pub trait Octets {
    /// Why they cannot be read.
    type Error;

    /// Calls `f` with the octets of a range, in any pieces, until it breaks off. What lies
    /// behind the end is left out.
    ///
    /// # Errors
    /// They cannot be read.
    fn visit(
        &self,
        range: Range<u64>,
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Self::Error>;
}

impl Octets for [u8] {
    type Error = core::convert::Infallible;

    fn visit(
        &self,
        range: Range<u64>,
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Self::Error> {
        let place = |at: u64| usize::try_from(at).map_or(self.len(), |at| at.min(self.len()));
        let (start, end) = (place(range.start), place(range.end));
        if start < end {
            let _ = f(&self[start..end]);
        }
        Ok(())
    }
}

/// Appends what a text is compared as. Of a part of a text it is a part of the text's.
pub type Fold<'a> = &'a dyn Fn(&str, &mut String);

/// How texts are given.
#[derive(Clone, Copy)]
pub struct TextForm<'a> {
    /// What they are compared as.
    pub fold: Fold<'a>,
    /// How many bytes of a folded piece the next begins with again, at least.
    pub overlap: usize,
    /// Octets of text parts that are looked at.
    pub octets_max: u64,
}

impl core::fmt::Debug for TextForm<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut shown = f.debug_struct("TextForm");
        shown.field("overlap", &self.overlap);
        shown.field("octets_max", &self.octets_max).finish()
    }
}

/// What takes the texts; it breaks off when it knows enough.
pub type TextVisitor<'a> = &'a mut dyn FnMut(Place, &str) -> ControlFlow<()>;

/// Reads the texts of messages. Keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct TextReader {
    /// Octets of a part without their transfer encoding.
    decoded: Vec<u8>,
    folded: String,
    /// The part as a person reads it, as far as it is HTML.
    markup: String,
}

impl TextReader {
    /// Gives the texts of a message: its `header` as it is shown, the headers of its parts, and its
    /// text parts. With no `parts` the header alone.
    ///
    /// # Errors
    /// The octets cannot be read.
    pub fn visit<O: Octets + ?Sized>(
        &mut self,
        header: &[u8],
        parts: Option<(&PartIndex, &O)>,
        form: TextForm<'_>,
        visit: TextVisitor<'_>,
    ) -> Result<(), O::Error> {
        if self.header(header, Place::Header, form, visit).is_break() {
            return Ok(());
        }
        let Some((parts, octets)) = parts else {
            return Ok(());
        };
        let mut left = form.octets_max;
        let mut block = Vec::new();
        for (at, part) in parts.parts().iter().enumerate() {
            if at > 0 && !part.header.is_empty() {
                block.clear();
                let start = part.header.start;
                let end = part.header.end.min(start + PART_HEADER_BYTES_MAX);
                octets.visit(start..end, &mut |piece| {
                    block.extend_from_slice(piece);
                    ControlFlow::Continue(())
                })?;
                let place = match is_message(parts, part.parent) {
                    true => Place::Body,
                    false => Place::Header,
                };
                if self.header(&block, place, form, visit).is_break() {
                    return Ok(());
                }
            }
            let is_text = part.kind == PartKind::Leaf && part.media_type.starts_with("text/");
            if !is_text || left == 0 {
                continue;
            }
            let len = (part.body.end - part.body.start).min(left);
            left -= len;
            if self.part(part, len, octets, form, visit)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn header(
        &mut self,
        block: &[u8],
        place: Place,
        form: TextForm<'_>,
        visit: TextVisitor<'_>,
    ) -> ControlFlow<()> {
        self.folded.clear();
        (form.fold)(&header_for_search(block), &mut self.folded);
        if self.folded.is_empty() {
            return ControlFlow::Continue(());
        }
        visit(place, &self.folded)
    }

    /// The first `len` octets of a text part.
    fn part<O: Octets + ?Sized>(
        &mut self,
        part: &Part,
        len: u64,
        octets: &O,
        form: TextForm<'_>,
        visit: TextVisitor<'_>,
    ) -> Result<ControlFlow<()>, O::Error> {
        self.decoded.clear();
        self.folded.clear();
        self.markup.clear();
        let range = part.body.start..part.body.start + len;
        let mut decoder = (!part.encoding.is_identity()).then(|| Decoder::new(part.encoding));
        let mut flow = ControlFlow::Continue(());
        octets.visit(range, &mut |piece| {
            flow = match &mut decoder {
                // All of it at once, as it is: nothing need be copied.
                None if piece.len() as u64 == len && piece.len() < TEXT_PIECE_BYTES => {
                    self.text(part, piece, form, visit)
                }
                None => {
                    self.decoded.extend_from_slice(piece);
                    self.pieces(part, form, visit)
                }
                Some(decoder) => {
                    decoder.push(piece, &mut self.decoded);
                    self.pieces(part, form, visit)
                }
            };
            flow
        })?;
        if flow.is_break() {
            return Ok(flow);
        }
        if let Some(decoder) = decoder {
            decoder.finish(&mut self.decoded);
            if self.pieces(part, form, visit).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let decoded = core::mem::take(&mut self.decoded);
        let mut flow = self.text(part, &decoded, form, visit);
        self.decoded = decoded;
        if flow.is_continue() && !self.markup.is_empty() {
            self.folded.clear();
            (form.fold)(&as_read(&self.markup), &mut self.folded);
            flow = visit(Place::Body, &self.folded);
        }
        Ok(flow)
    }

    /// Gives what is decoded by now and long enough; cut where a line ends if there is one.
    fn pieces(
        &mut self,
        part: &Part,
        form: TextForm<'_>,
        visit: TextVisitor<'_>,
    ) -> ControlFlow<()> {
        if self.decoded.len() < TEXT_PIECE_BYTES || !charset::has_lines(part.charset.as_deref()) {
            return ControlFlow::Continue(());
        }
        let mut decoded = core::mem::take(&mut self.decoded);
        let mut rest = decoded.as_slice();
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue()
            && let Some(piece) = rest.get(..TEXT_PIECE_BYTES)
        {
            let end = memrchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
            flow = self.text(part, &rest[..end], form, visit);
            rest = &rest[end..];
        }
        let given = decoded.len() - rest.len();
        decoded.drain(..given);
        self.decoded = decoded;
        flow
    }

    /// Gives a piece of a part's text, with the end of the one before in front of it.
    fn text(
        &mut self,
        part: &Part,
        bytes: &[u8],
        form: TextForm<'_>,
        visit: TextVisitor<'_>,
    ) -> ControlFlow<()> {
        if bytes.is_empty() {
            return ControlFlow::Continue(());
        }
        let text = charset::text(part.charset.as_deref(), bytes);
        let room = READ_TEXT_BYTES_MAX.saturating_sub(self.markup.len());
        if part.media_type == "text/html" {
            self.markup
                .push_str(&text[..text.floor_char_boundary(room)]);
        }
        let kept = self.folded.len().saturating_sub(form.overlap);
        let kept = self.folded.floor_char_boundary(kept);
        self.folded.drain(..kept);
        (form.fold)(&text, &mut self.folded);
        visit(Place::Body, &self.folded)
    }
}

/// HTML as it is read, white space as one blank.
fn as_read(html: &str) -> String {
    let text = html_to_text(html);
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Is the part's parent a message inside this one?
fn is_message(parts: &PartIndex, parent: Option<u32>) -> bool {
    parent
        .and_then(|parent| parts.part(parent))
        .is_some_and(|parent| parent.kind == PartKind::Message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{casemap_into, digest};
    use proptest::prelude::*;

    /// Octets that come in pieces of some length.
    struct Pieces<'a>(&'a [u8], usize);

    impl Octets for Pieces<'_> {
        type Error = core::convert::Infallible;

        fn visit(
            &self,
            range: Range<u64>,
            f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
        ) -> Result<(), Self::Error> {
            for piece in self.0[range.start as usize..range.end as usize].chunks(self.1) {
                if f(piece).is_break() {
                    break;
                }
            }
            Ok(())
        }
    }

    fn texts<O: Octets<Error = core::convert::Infallible> + ?Sized>(
        message: &[u8],
        octets: &O,
        overlap: usize,
    ) -> Vec<(Place, String)> {
        let digest = digest(message);
        let header = &message[..digest.header_len as usize];
        let form = TextForm {
            fold: &casemap_into,
            overlap,
            octets_max: u64::MAX,
        };
        let mut all = Vec::new();
        let Ok(()) = TextReader::default().visit(
            header,
            Some((&digest.parts, octets)),
            form,
            &mut |place, text| {
                all.push((place, text.to_owned()));
                ControlFlow::Continue(())
            },
        );
        all
    }

    #[test]
    fn each_text_is_given_once_and_html_as_it_is_read_too() {
        let message = b"Subject: =?utf-8?q?caf=C3=A9?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
            Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>One <b>t</b>wo=\r\n\r\n three&nbsp;&#20320;</p>\r\n--b\r\n\
            Content-Type: application/pdf\r\n\r\nno text\r\n--b\r\n\
            Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nBody inside\r\n--b\r\n\
            Content-Type: text/csv; charset=gb2312; name=x.csv\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\nxOO6ww==\r\n--b--\r\n";
        let all = texts(message, &message[..], 0);
        let body = |text: &str| (Place::Body, text.to_owned());
        assert!(all[0].1.starts_with("SUBJECT: CAFE\u{301}\n"));
        assert_eq!(
            all[1..],
            [
                (
                    Place::Header,
                    "CONTENT-TYPE: TEXT/HTML; CHARSET=UTF-8\nCONTENT-TRANSFER-ENCODING: QUOTED-PRINTABLE\n".to_owned()
                ),
                body("<P>ONE <B>T</B>WO\r\n THREE&NBSP;&#20320;</P>"),
                body("ONE TWO THREE 你"),
                (Place::Header, "CONTENT-TYPE: APPLICATION/PDF\n".to_owned()),
                (Place::Header, "CONTENT-TYPE: MESSAGE/RFC822\n".to_owned()),
                body("SUBJECT: INNER\n"),
                body("BODY INSIDE"),
                (
                    Place::Header,
                    "CONTENT-TYPE: TEXT/CSV; CHARSET=GB2312; NAME=X.CSV\nCONTENT-DISPOSITION: ATTACHMENT\nCONTENT-TRANSFER-ENCODING: BASE64\n".to_owned()
                ),
                body("你好"),
            ]
        );
    }

    #[test]
    fn a_long_text_comes_in_pieces_that_overlap() {
        let mut message = b"Content-Type: text/plain; charset=utf-8\r\n\r\n".to_vec();
        for n in 0..60_000 {
            message.extend_from_slice(format!("line {n} 行é\r\n").as_bytes());
        }
        let whole = texts(&message, &message[..], 9);
        assert!(whole.len() > 4, "{}", whole.len());
        for len in [1_000, 65_536, 262_144, 262_145] {
            assert_eq!(texts(&message, &Pieces(&message, len), 9), whole, "{len}");
        }
        // Joined again without what is twice, they are the text.
        let mut joined = String::new();
        for (_, piece) in &whole[1..] {
            let again = if joined.is_empty() {
                0
            } else {
                joined.len() - joined.floor_char_boundary(joined.len() - 9)
            };
            assert!(joined.ends_with(&piece[..again]) && again <= 12);
            joined.push_str(&piece[again..]);
        }
        let text = core::str::from_utf8(&message).expect("UTF-8");
        let (_, body) = text.split_once("\r\n\r\n").expect("a body");
        assert_eq!(joined, crate::casemap(body));
    }

    #[test]
    fn a_visitor_that_knows_enough_gets_no_more() {
        let message = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n";
        let digest = digest(message);
        for enough in 1..5 {
            let mut given = 0;
            let form = TextForm {
                fold: &casemap_into,
                overlap: 0,
                octets_max: u64::MAX,
            };
            let parts = Some((&digest.parts, &message[..]));
            let Ok(()) = TextReader::default().visit(b"A: b\r\n", parts, form, &mut |_, _| {
                given += 1;
                match given == enough {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            assert_eq!(given, enough.min(3));
        }
    }

    proptest! {
        #[test]
        fn garbage_gives_the_same_in_any_pieces(message: Vec<u8>, len in 1usize..40) {
            prop_assert_eq!(texts(&message, &Pieces(&message, len), 3), texts(&message, &message[..], 3));
        }
    }
}
