//! One message on its way in: DATA's stream, or BDAT's chunks.

use bytes::{Bytes, BytesMut};
use envelope::Reply;
use mime::BinaryEncoder;

use crate::data::{DataDecoder, DataFault, Framing};
use crate::limits::OVERSIZE_BYTES_MAX;

/// What the next octets brought.
#[derive(Debug)]
pub(super) enum Progress {
    /// More octets are needed.
    Starved,
    /// Content.
    Chunk(Bytes),
    /// CRLF.CRLF, or all octets of a BDAT chunk, were read.
    Ended,
    /// So far beyond the size limit that it is not worth reading on.
    Overflow,
}

#[derive(Debug)]
pub(super) struct Receiving {
    decoder: DataDecoder,
    /// For a binary message: in front of the decoder, which reads lines.
    binary: Option<Box<BinaryEncoder>>,
    framing: Framing,
    size_max: u64,
    /// Octets of the present BDAT chunk that are still to come.
    left: u64,
    /// The present BDAT chunk is the last one.
    last: bool,
    received: u64,
    /// The shell does not want it any more.
    refusal: Option<Reply>,
    scratch: Vec<u8>,
}

impl Receiving {
    /// `binary`: the chunks are no lines, and binary parts become base64.
    pub(super) fn new(framing: Framing, size_max: u64, binary: bool) -> Self {
        Self {
            decoder: DataDecoder::new(framing),
            binary: binary.then(Box::default),
            framing,
            size_max,
            left: 0,
            last: framing == Framing::Dot,
            received: 0,
            refusal: None,
            scratch: Vec::new(),
        }
    }

    pub(super) fn begin_chunk(&mut self, size: u64, last: bool) {
        self.left = size;
        self.last = last;
    }

    pub(super) fn is_last(&self) -> bool {
        self.last
    }

    pub(super) fn size(&self) -> u64 {
        self.decoder.size()
    }

    pub(super) fn refuse(&mut self, reply: Reply) {
        self.refusal.get_or_insert(reply);
    }

    /// Why the message is not to be accepted, with the words for it.
    pub(super) fn fault(&self) -> Option<(DataFault, Reply)> {
        if let Some(reply) = &self.refusal {
            return Some((DataFault::Refused, reply.clone()));
        }
        if self.decoder.size() > self.size_max {
            let reply = Reply::enhanced(552, (5, 3, 4), "the message is too big");
            return Some((DataFault::TooBig, reply));
        }
        let fault = self.decoder.fault()?;
        let reply = match fault {
            DataFault::Smuggling => {
                Reply::enhanced(550, (5, 6, 0), "bare CR or LF beside a lone dot")
            }
            DataFault::Nul => Reply::enhanced(554, (5, 6, 0), "NUL in the message"),
            other => Reply::enhanced(554, (5, 6, 0), &other.to_string()),
        };
        Some((fault, reply))
    }

    /// Takes what it can from `input`.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Progress {
        loop {
            if self.framing == Framing::Counted && self.left == 0 {
                return match self.finish_counted() {
                    Some(chunk) => Progress::Chunk(chunk),
                    None => Progress::Ended,
                };
            }
            if input.is_empty() {
                return Progress::Starved;
            }
            let available = match self.framing {
                Framing::Dot => input.len(),
                Framing::Counted => {
                    usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()))
                }
            };
            let piece = input.split_to(available);
            let (chunk, ended) = self.decode(piece, input);
            if self.received > self.size_max.saturating_add(OVERSIZE_BYTES_MAX) {
                return Progress::Overflow;
            }
            if ended {
                // Its content, if any, comes out first; then nothing is left.
                self.framing = Framing::Counted;
                self.left = 0;
            }
            if let Some(chunk) = chunk
                && self.fault().is_none()
            {
                return Progress::Chunk(chunk);
            }
        }
    }

    /// Decodes a piece; what lies behind the end goes back to `input`.
    fn decode(&mut self, mut piece: BytesMut, input: &mut BytesMut) -> (Option<Bytes>, bool) {
        self.scratch.clear();
        if let Some(binary) = &mut self.binary {
            // All of a chunk's octets are its own: nothing goes back.
            self.received += piece.len() as u64;
            self.left -= piece.len() as u64;
            let mut lines = Vec::with_capacity(piece.len() + piece.len() / 2);
            binary.push(&piece, &mut lines);
            return (self.decode_lines(lines), false);
        }
        let decoded = self.decoder.decode(&piece, &mut self.scratch);
        if decoded.consumed < piece.len() {
            let mut rest = piece.split_off(decoded.consumed);
            rest.unsplit(core::mem::take(input));
            *input = rest;
        }
        self.received += decoded.consumed as u64;
        if self.framing == Framing::Counted {
            self.left -= decoded.consumed as u64;
        }
        let chunk = match decoded.unchanged {
            Some(run) => piece.freeze().slice(run),
            None => Bytes::from(core::mem::take(&mut self.scratch)),
        };
        ((!chunk.is_empty()).then_some(chunk), decoded.ended)
    }

    fn decode_lines(&mut self, lines: Vec<u8>) -> Option<Bytes> {
        let decoded = self.decoder.decode(&lines, &mut self.scratch);
        let chunk = match decoded.unchanged {
            Some(run) => Bytes::from(lines).slice(run),
            None => Bytes::from(core::mem::take(&mut self.scratch)),
        };
        (!chunk.is_empty()).then_some(chunk)
    }

    /// At the end of the last chunk: what the encoder and the decoder held back.
    fn finish_counted(&mut self) -> Option<Bytes> {
        if !self.last {
            return None;
        }
        self.scratch.clear();
        if let Some(binary) = self.binary.take() {
            let mut lines = Vec::new();
            binary.finish(&mut lines);
            if let Some(chunk) = self.decode_lines(lines)
                && self.fault().is_none()
            {
                return Some(chunk);
            }
            self.scratch.clear();
        }
        self.decoder.finish(&mut self.scratch);
        if self.scratch.is_empty() || self.fault().is_some() {
            return None;
        }
        Some(Bytes::from(core::mem::take(&mut self.scratch)))
    }
}
