//! Reads messages: structure, header fields, and IMAP's view of both in wire form.
//!
//! * [`Indexer`] – fed a message in any pieces, gives its [`Digest`]: ENVELOPE,
//!   BODY, BODYSTRUCTURE, preview, cached fields and the [`PartIndex`]
//! * [`structure_at`] – one part's BODYSTRUCTURE
//! * [`section`], [`part_at`] – which bytes `BODY[…]` means, for a message that is
//!   a record's prefix followed by the indexed bytes
//! * [`HeaderReader`], [`header_fields`], [`unfold`] – header blocks
//! * [`address`], [`date`], [`parameters`], [`encoded_word`] – field values
//! * [`transfer`], [`charset`], [`text`] – bodies to bytes, bytes to text
//! * [`TextReader`] – a message's texts as SEARCH looks at them
//! * [`EnvelopeReader`], [`casemap`], [`message_ids`] – what messages are sorted and threaded by
//! * [`subject`], [`normalise_line_ends`], [`encode_binary_parts`] – base subjects, line ends and
//!   binary parts at import; [`BinaryEncoder`], binary parts as they come in
//!
//! Not here: SMTP's envelope and line rules, storage, showing HTML, writing
//! messages (but for the two transfer encodings and encoded-words).
//!
//! Invariants: nothing panics on any bytes; any split of the input gives the
//! same digest; time is linear in the input and memory is bounded by
//! [`limits`]; everything in wire form is 7-bit and needs no literal.

#![forbid(unsafe_code)]

pub mod address;
mod binary_parts;
mod binary_stream;
mod bound;
mod casemap;
pub mod charset;
pub mod date;
mod digest;
pub mod encoded_word;
mod envelope;
mod envelope_reader;
mod envelope_utf8;
mod header;
mod imap_text;
mod indexer;
pub mod limits;
mod line_ends;
mod message_ids;
pub mod parameters;
mod part;
mod preview;
mod searched;
mod section;
mod stored;
mod structure;
mod structure_at;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod text;
pub mod transfer;

pub use address::{AddressItem, Mailbox, mailboxes, parse_addresses};
pub use binary_parts::{StrayNul, encode_binary_parts};
pub use binary_stream::BinaryEncoder;
pub use casemap::{casemap, casemap_into};
pub use date::{DateTime, format_date, parse_date};
pub use digest::{CACHED_FIELDS, CachedField, Digest};
pub use envelope_reader::{AddressField, EnvelopeReader};
pub use envelope_utf8::envelope_in_utf8;
pub use header::{
    Field, HeaderReader, find_field, header_fields, is_own_field, unfold, write_header_fields,
};
pub use indexer::Indexer;
pub use limits::Limits;
pub use line_ends::normalise_line_ends;
pub use message_ids::message_ids;
pub use part::{Disposition, Part, PartIndex, PartKind};
pub use searched::{Fold, Octets, Place, TextForm, TextReader, TextVisitor};
pub use section::{SectionSpec, SectionText, part_at, section};
pub use stored::{StoredDigest, StoredFields};
pub use structure_at::{decoded_structure, structure_at};
pub use transfer::Encoding;

/// The digest of a whole message, with the default limits.
#[must_use]
pub fn digest(message: &[u8]) -> Digest {
    let mut indexer = Indexer::new(Limits::default());
    indexer.push(message);
    indexer.finish()
}
