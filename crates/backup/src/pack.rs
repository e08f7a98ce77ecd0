//! A pack: many objects in one file, each checked by its name.
//!
//! | field | form |
//! |---|---|
//! | magic | `PHBPACK` and the format's version, 1 |
//! | kind | byte: 1 bodies, 2 records |
//! | frames | until a frame of tag 0 |
//!
//! | frame | form |
//! |---|---|
//! | tag | byte: 1 a piece, 2 the last piece, 3 give the object up, 0 the end |
//! | name | 32 bytes: BLAKE3 of the object's bytes; at the end, zeros |
//! | encoding | byte: 0 as it is, 1 zstd |
//! | length | 4 bytes, high byte first: of the piece, at most 256 KiB |
//! | stored length | 4 bytes, high byte first: of what follows |
//!
//! The pieces of an object follow each other. A body that could not be read to
//! its end is given up: its pieces count for nothing.

use crate::error::BackupError;
use crate::limits::PIECE_BYTES_MAX;
use crate::run_id::{Kind, PackId};
use crate::seal::{Meter, Seal, SealedWriter, Stored};
use crate::target::Target;
use std::io::Read;
use zstd::bulk::{Compressor, Decompressor};

const MAGIC: &[u8; 8] = b"PHBPACK\x01";
const END: u8 = 0;
const PIECE: u8 = 1;
const LAST: u8 = 2;
const GIVEN_UP: u8 = 3;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// Pieces below this are stored as they are.
const COMPRESS_BYTES_MIN: usize = 256;
const FRAME_BYTES: usize = 42;

/// An object's name: BLAKE3 of its bytes.
pub(crate) type Name = [u8; 32];

/// A pack that is finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) id: PackId,
    pub(crate) stored: Stored,
    pub(crate) names: Vec<Name>,
}

/// Writes one pack.
pub(crate) struct PackWriter {
    id: PackId,
    file: SealedWriter,
    names: Vec<Name>,
    compressor: Compressor<'static>,
    compressed: Vec<u8>,
}

impl PackWriter {
    pub(crate) fn new(seal: &Seal, target: &dyn Target, id: PackId) -> Result<Self, BackupError> {
        let mut file = seal.create(target, &id.file())?;
        file.put(MAGIC)?;
        file.put(&[id.kind as u8])?;
        Ok(Self {
            id,
            file,
            names: Vec::new(),
            compressor: Compressor::new(crate::limits::ZSTD_LEVEL)?,
            compressed: Vec::with_capacity(PIECE_BYTES_MAX),
        })
    }

    /// Bytes given so far, before sealing.
    pub(crate) fn len(&self) -> u64 {
        self.file.plain_len()
    }

    pub(crate) fn objects(&self) -> usize {
        self.names.len()
    }

    /// Adds the next piece of an object, all of one object before the next.
    pub(crate) fn piece(
        &mut self,
        name: &Name,
        piece: &[u8],
        last: bool,
    ) -> Result<(), BackupError> {
        assert!(
            piece.len() <= PIECE_BYTES_MAX,
            "pieces are cut by our own code"
        );
        let tag = if last { LAST } else { PIECE };
        self.compressed.clear();
        // What saves less than an eighth stays as it is: the buffer is too small for it.
        self.compressed.reserve(PIECE_BYTES_MAX);
        let small_enough = piece.len() - piece.len() / 8;
        let shrunk = piece.len() >= COMPRESS_BYTES_MIN
            && self
                .compressor
                .compress_to_buffer(piece, &mut self.compressed)
                .is_ok_and(|len| len < small_enough);
        if shrunk {
            let stored = std::mem::take(&mut self.compressed);
            self.frame(tag, name, ZSTD, piece.len(), &stored)?;
            self.compressed = stored;
        } else {
            self.frame(tag, name, PLAIN, piece.len(), piece)?;
        }
        if last {
            self.names.push(*name);
        }
        Ok(())
    }

    /// Adds an object that is in memory.
    pub(crate) fn object(&mut self, name: &Name, bytes: &[u8]) -> Result<(), BackupError> {
        if bytes.is_empty() {
            return self.piece(name, bytes, true);
        }
        let mut pieces = bytes.chunks(PIECE_BYTES_MAX).peekable();
        while let Some(piece) = pieces.next() {
            self.piece(name, piece, pieces.peek().is_none())?;
        }
        Ok(())
    }

    /// The object whose pieces came last won't be finished.
    pub(crate) fn give_up(&mut self, name: &Name) -> Result<(), BackupError> {
        self.frame(GIVEN_UP, name, PLAIN, 0, &[])
    }

    fn frame(
        &mut self,
        tag: u8,
        name: &Name,
        encoding: u8,
        len: usize,
        stored: &[u8],
    ) -> Result<(), BackupError> {
        let mut head = [0; FRAME_BYTES];
        head[0] = tag;
        head[1..33].copy_from_slice(name);
        head[33] = encoding;
        head[34..38].copy_from_slice(&(len as u32).to_be_bytes());
        head[38..].copy_from_slice(&(stored.len() as u32).to_be_bytes());
        self.file.put(&head)?;
        self.file.put(stored)
    }

    pub(crate) fn finish(mut self) -> Result<Packed, BackupError> {
        self.frame(END, &[0; 32], PLAIN, 0, &[])?;
        Ok(Packed {
            id: self.id,
            stored: self.file.finish()?,
            names: self.names,
        })
    }
}

/// What a pack gives, piece by piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A piece; true with the last one.
    Piece(Name, &'a [u8], bool),
    /// The object's bytes are not what its name says, or it was given up:
    /// forget its pieces.
    Bad(Name, &'static str),
}

/// Reads one pack from its beginning.
pub(crate) struct PackReader {
    file: String,
    input: Box<dyn Read + Send>,
    meter: Meter,
    decompressor: Decompressor<'static>,
    stored: Vec<u8>,
    plain: Vec<u8>,
    hasher: Box<blake3::Hasher>,
    /// The object whose pieces are coming.
    open: Option<Name>,
    ended: bool,
}

impl PackReader {
    pub(crate) fn open(seal: &Seal, target: &dyn Target, id: PackId) -> Result<Self, BackupError> {
        let file = id.file();
        let (mut input, meter) = seal.read_metered(target, &file)?;
        let mut head = [0; 9];
        input
            .read_exact(&mut head)
            .map_err(|error| BackupError::damaged(&file, error))?;
        if head[..8] != *MAGIC || Kind::from_code(head[8]) != Some(id.kind) {
            return Err(BackupError::damaged(&file, "it is no pack of this format"));
        }
        Ok(Self {
            file,
            input,
            meter,
            decompressor: Decompressor::new()?,
            stored: Vec::new(),
            plain: Vec::new(),
            hasher: Box::default(),
            open: None,
            ended: false,
        })
    }

    /// The next part, none at the end.
    ///
    /// # Errors
    /// The rest of the pack can't be read. An object that was begun is not
    /// whole then.
    pub(crate) fn next(&mut self) -> Result<Option<Part<'_>>, BackupError> {
        if self.ended {
            return Ok(None);
        }
        let mut head = [0; FRAME_BYTES];
        self.read(&mut head)?;
        let mut name = [0; 32];
        name.copy_from_slice(&head[1..33]);
        let number = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            u32::from_be_bytes(bytes) as usize
        };
        let (tag, encoding, len, stored_len) = (head[0], head[33], number(34), number(38));
        if len > PIECE_BYTES_MAX || stored_len > PIECE_BYTES_MAX {
            return Err(self.damaged("a piece is longer than pieces are"));
        }
        match tag {
            END => {
                self.ended = true;
                Ok(None)
            }
            GIVEN_UP => {
                self.open = None;
                Ok(Some(Part::Bad(
                    name,
                    "it could not be read when it was backed up",
                )))
            }
            PIECE | LAST => self.piece(name, tag == LAST, encoding, len, stored_len),
            _ => Err(self.damaged("a frame has an unknown tag")),
        }
    }

    fn piece(
        &mut self,
        name: Name,
        last: bool,
        encoding: u8,
        len: usize,
        stored_len: usize,
    ) -> Result<Option<Part<'_>>, BackupError> {
        let mut stored = std::mem::take(&mut self.stored);
        stored.resize(stored_len, 0);
        let read = self.read(&mut stored);
        self.stored = stored;
        read?;
        if self.open != Some(name) {
            self.hasher.reset();
            self.open = Some(name);
        }
        let plain = match encoding {
            PLAIN => &self.stored,
            ZSTD => {
                self.plain.clear();
                self.plain.reserve(len);
                let result = self
                    .decompressor
                    .decompress_to_buffer(&self.stored, &mut self.plain);
                if result.is_err() {
                    // The name will not fit; the next objects can be read.
                    self.plain.clear();
                }
                &self.plain
            }
            _ => return Err(self.damaged("a piece has an unknown encoding")),
        };
        self.hasher.update(plain);
        if last {
            self.open = None;
            if *self.hasher.finalize().as_bytes() != name {
                return Ok(Some(Part::Bad(
                    name,
                    "its bytes are not what its name says",
                )));
            }
        }
        Ok(Some(Part::Piece(name, plain, last)))
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), BackupError> {
        let file = &self.file;
        self.input
            .read_exact(into)
            .map_err(|error| BackupError::damaged(file, error))
    }

    /// What the file consists of, once all of it was read.
    pub(crate) fn finish(mut self) -> Result<Stored, BackupError> {
        let mut more = [0];
        match self.input.read(&mut more) {
            Ok(0) if self.ended => Ok(self.meter.stored()),
            Ok(_) => Err(self.damaged("it is longer than it should be")),
            Err(error) => Err(BackupError::damaged(&self.file, error)),
        }
    }

    fn damaged(&self, why: &str) -> BackupError {
        BackupError::damaged(&self.file, why)
    }
}

/// Calls `f` with each whole object of a pack of records; gives those that are
/// bad, with the reason.
pub(crate) fn each_object(
    reader: &mut PackReader,
    bytes_max: usize,
    mut f: impl FnMut(Name, &[u8]) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let mut begun: Vec<u8> = Vec::new();
    let mut too_long = false;
    loop {
        match reader.next()? {
            None => return Ok(()),
            Some(Part::Bad(..)) => {
                begun.clear();
                too_long = false;
            }
            Some(Part::Piece(name, piece, last)) => {
                too_long |= begun.len() + piece.len() > bytes_max;
                if !too_long {
                    begun.extend_from_slice(piece);
                }
                if last {
                    if !too_long {
                        f(name, &begun)?;
                    }
                    begun.clear();
                    too_long = false;
                }
            }
        }
    }
}
