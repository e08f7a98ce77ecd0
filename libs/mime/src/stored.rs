//! A digest as it is stored: each answer is found where it lies in the record.
//!
//! Listing ten thousand messages asks each digest for one or two of its fields.
//! So a record is read up to its variable part and no further, nothing is
//! copied, and what a caller does not ask for is not looked at: damage in there
//! is told when it is asked for. [`Digest::decode`] looks at everything.

use core::ops::Range;

use wire::codec::{DecodeError, Reader};

use crate::date::DateTime;
use crate::digest::{
    CACHED_FIELDS, CachedField, Digest, FIELDS_COMPLETE, HAS_DATE, VERSION, unzigzag,
};
use crate::part::PartIndex;
use crate::section::{SectionSpec, section, section_of_whole};

/// What is known of a message without opening it; see [`Digest`] for the fields.
#[derive(Debug, Clone, Copy)]
pub struct StoredDigest<'a> {
    /// Bytes of the message.
    pub size: u64,
    /// Bytes of the header with its blank line.
    pub header_len: u64,
    /// Are all of the message's fields of the cached names there?
    pub fields_complete: bool,
    /// The Date field.
    pub sent: Option<DateTime>,
    /// ENVELOPE in wire form, ASCII.
    pub envelope: &'a [u8],
    /// BODY, BODYSTRUCTURE, preview, subject, Message-ID, cached fields, parts.
    rest: Reader<'a>,
}

impl<'a> StoredDigest<'a> {
    /// Finds the first fields of a record that [`Digest::encode`] wrote.
    ///
    /// # Errors
    /// The record is of another version, or damaged up to there.
    pub fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let (size, header_len, flags) = (reader.varint()?, reader.varint()?, reader.u8()?);
        if flags & !(FIELDS_COMPLETE | HAS_DATE) != 0 {
            return Err(DecodeError::Tag(flags));
        }
        let sent = if flags & HAS_DATE != 0 {
            let unix_seconds = unzigzag(reader.varint()?);
            let zone = i16::try_from(unzigzag(reader.varint()?));
            Some(DateTime {
                unix_seconds,
                zone_minutes: zone.map_err(|_| DecodeError::OutOfRange)?,
            })
        } else {
            None
        };
        Ok(Self {
            size,
            header_len,
            fields_complete: flags & FIELDS_COMPLETE != 0,
            sent,
            envelope: reader.bytes()?,
            rest: reader,
        })
    }

    /// What lies behind so many of the fields that are not read at once.
    fn behind(&self, fields: usize) -> Result<Reader<'a>, DecodeError> {
        let mut rest = self.rest;
        for _ in 0..fields {
            rest.bytes()?;
        }
        Ok(rest)
    }

    /// BODY in wire form, ASCII.
    ///
    /// # Errors
    /// The record is damaged there.
    pub fn body(&self) -> Result<&'a [u8], DecodeError> {
        self.behind(0)?.bytes()
    }

    /// BODYSTRUCTURE in wire form, ASCII.
    ///
    /// # Errors
    /// The record is damaged there.
    pub fn body_structure(&self) -> Result<&'a [u8], DecodeError> {
        self.behind(1)?.bytes()
    }

    /// The day of the Date field in its own zone, as days since 1970.
    #[must_use]
    pub fn sent_day(&self) -> Option<i32> {
        self.sent.map(|date| date.local_day())
    }

    /// The first words of the text.
    ///
    /// # Errors
    /// The record is damaged there.
    pub fn preview(&self) -> Result<&'a str, DecodeError> {
        self.behind(2)?.text()
    }

    /// The subject, decoded.
    ///
    /// # Errors
    /// The record is damaged there.
    pub fn subject(&self) -> Result<&'a str, DecodeError> {
        self.behind(3)?.text()
    }

    /// The cached fields in the message's order, as name and raw field.
    ///
    /// # Errors
    /// The record is damaged before them; the items are errors where it is
    /// damaged among them.
    pub fn fields(&self) -> Result<StoredFields<'a>, DecodeError> {
        let mut rest = self.behind(5)?;
        let left = rest.varint()?;
        Ok(StoredFields { left, rest })
    }

    /// Writes HEADER.FIELDS from the cache: the picked fields and the blank line.
    /// False, with nothing written, if the cache does not hold all of them, or is
    /// damaged, and the header must be read.
    #[must_use]
    pub fn write_cached_fields<S: AsRef<[u8]>>(&self, names: &[S], out: &mut Vec<u8>) -> bool {
        let among = |name: &[u8], list: &str| name.eq_ignore_ascii_case(list.as_bytes());
        let cached = |name: &S| {
            let name = name.as_ref();
            CACHED_FIELDS.iter().any(|field| among(name, field))
        };
        if !self.fields_complete || !names.iter().all(cached) {
            return false;
        }
        let from = out.len();
        let mut write = || {
            let mut fields = self.fields()?;
            for _ in 0..fields.left {
                let (name, raw) = fields.read_octets()?;
                let wanted = |wanted: &S| wanted.as_ref().eq_ignore_ascii_case(name);
                if names.iter().any(wanted) {
                    out.extend_from_slice(raw);
                }
            }
            out.extend_from_slice(b"\r\n");
            Ok::<_, DecodeError>(())
        };
        let written = write().is_ok();
        if !written {
            out.truncate(from);
        }
        written
    }

    /// Where the parts are.
    ///
    /// # Errors
    /// The record is damaged there or before.
    pub fn parts(&self) -> Result<PartIndex, DecodeError> {
        let mut fields = self.fields()?;
        for field in &mut fields {
            field?;
        }
        let mut rest = fields.rest;
        let parts = PartIndex::decode(&mut rest)?;
        rest.finish()?;
        Ok(parts)
    }

    /// As [`crate::section`]; of the message itself without a look at the parts.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn section(
        &self,
        spec: &SectionSpec,
        prefix_len: u64,
    ) -> Result<Option<Range<u64>>, DecodeError> {
        if spec.path.is_empty() {
            let (header, body) = (0..self.header_len, self.header_len..self.size);
            return Ok(section_of_whole(&header, &body, spec.text, prefix_len));
        }
        Ok(section(&self.parts()?, spec, prefix_len))
    }

    /// All of it.
    pub(crate) fn decode(self) -> Result<Digest, DecodeError> {
        let mut rest = self.behind(2)?;
        let preview = rest.text()?.to_owned();
        let subject = rest.text()?.to_owned();
        let message_id = Some(rest.text()?.to_owned()).filter(|id| !id.is_empty());
        let fields = self.fields()?.map(|field| {
            field.map(|(name, raw)| CachedField {
                name: name.to_owned(),
                raw: raw.to_vec(),
            })
        });
        let fields = fields.collect::<Result<_, _>>()?;
        let parts = self.parts()?;
        Ok(Digest {
            envelope: self.envelope.to_vec(),
            body: self.body()?.to_vec(),
            body_structure: self.body_structure()?.to_vec(),
            preview,
            fields,
            header_len: self.header_len,
            size: self.size,
            sent: self.sent,
            subject,
            message_id,
            fields_complete: self.fields_complete,
            lines: parts.root().lines,
            parts,
        })
    }
}

/// The cached fields of a [`StoredDigest`].
#[derive(Debug, Clone)]
pub struct StoredFields<'a> {
    left: u64,
    rest: Reader<'a>,
}

impl<'a> StoredFields<'a> {
    fn read(&mut self) -> Result<(&'a str, &'a [u8]), DecodeError> {
        Ok((self.rest.text()?, self.rest.bytes()?))
    }

    /// The same with a name that nobody takes for a text.
    fn read_octets(&mut self) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
        Ok((self.rest.bytes()?, self.rest.bytes()?))
    }
}

impl<'a> Iterator for StoredFields<'a> {
    type Item = Result<(&'a str, &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let field = self.read();
        if field.is_err() {
            self.left = 0;
        }
        Some(field)
    }
}
