//! Every bound of this crate. Beyond a bound a message is still accepted and
//! its offsets stay right; only what is known about it becomes coarser.

/// How deep parts may nest. Deeper multiparts and messages are opaque leaves.
pub const DEPTH_MAX: usize = 100;
/// How many parts one message may have. The rest of a multipart that reaches it
/// is its epilogue.
pub const PARTS_MAX: usize = 10_000;
/// Bytes of one header block that are looked at for fields.
pub const HEADER_BYTES_MAX: usize = 1 << 20;
/// Bytes of header that are looked at in all parts of a message together.
pub const HEADER_BYTES_TOTAL_MAX: usize = 4 << 20;
/// Bytes of each part's header that are looked at even beyond that total.
pub const HEADER_BYTES_FLOOR: usize = 2_048;
/// Bytes of a body line that are looked at for a boundary (RFC 2046 allows 70).
pub const BODY_LINE_BYTES_MAX: usize = 1_024;
/// Longest boundary that is obeyed, in bytes.
pub const BOUNDARY_BYTES_MAX: usize = 512;
/// Parameters of one Content-Type or Content-Disposition.
pub const PARAMETERS_MAX: usize = 256;
/// Addresses taken from one field.
pub const ADDRESSES_MAX: usize = 100_000;
/// How many encoded bytes of a text/plain part the preview is made from.
pub const PREVIEW_PLAIN_BYTES_MAX: usize = 4_096;
/// How many encoded bytes of a text/html part the preview is made from.
pub const PREVIEW_HTML_BYTES_MAX: usize = 32_768;
/// Characters of a preview.
pub const PREVIEW_CHARS_MAX: usize = 200;
/// Bytes of header fields that a digest keeps verbatim.
pub const CACHED_FIELD_BYTES_MAX: usize = 64 * 1_024;
/// Characters of a decoded subject, file name or Content-ID that are kept.
pub const KEPT_TEXT_CHARS_MAX: usize = 1_000;
/// Bytes of a type or subtype name in a digest that has to be shortened
/// (RFC 6838 §4.2).
pub const TYPE_NAME_BYTES_MAX: usize = 127;
/// Nested comments in structured fields.
pub const COMMENT_DEPTH_MAX: usize = 100;
/// Language tags of one Content-Language.
pub const LANGUAGES_MAX: usize = 64;

/// Bytes of an encoded digest. A commit of the store holds one per recipient;
/// ordinary ones have 1 to 4 KiB. What is given up above it: see [`crate::Digest`].
pub const DIGEST_BYTES_MAX: usize = 128 * 1_024;
/// Bytes that a digest may have however low its limit is set.
pub const DIGEST_BYTES_FLOOR: usize = 16 * 1_024;

/// Largest message that a stored index may be of; what claims to be of a larger
/// one is a damaged record.
pub const MESSAGE_BYTES_READ_MAX: u64 = 1 << 40;

/// Bytes of text that SEARCH is given at once; longer texts come in pieces that end where a line does.
pub const TEXT_PIECE_BYTES: usize = 256 * 1_024;
/// Bytes of HTML that are searched as they are read too, beside as they are written.
pub const READ_TEXT_BYTES_MAX: usize = 4 << 20;
/// Bytes of a part's header that are searched.
pub const PART_HEADER_BYTES_MAX: u64 = 1 << 20;

/// The bounds that a caller may set lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// See [`DEPTH_MAX`].
    pub depth: usize,
    /// See [`PARTS_MAX`].
    pub parts: usize,
    /// See [`HEADER_BYTES_MAX`].
    pub header_bytes: usize,
    /// See [`DIGEST_BYTES_MAX`].
    pub digest_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: DEPTH_MAX,
            parts: PARTS_MAX,
            header_bytes: HEADER_BYTES_MAX,
            digest_bytes: DIGEST_BYTES_MAX,
        }
    }
}
