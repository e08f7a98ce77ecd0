//! The journal's bytes: segment, group and frame headers.
//!
//! A segment is a file of blocks of [`BLOCK`] bytes. Its first and its last
//! block hold the same segment header; groups lie between them, each at the
//! start of a block. A group is a header, frames one behind the other, and
//! zeros up to the next block. Numbers have their high byte first.
//!
//! Segment header, 40 bytes:
//!
//! | at | bytes | field |
//! |--:|--:|---|
//! | 0 | 8 | `PHSEG`, 0, 0, format version 2 (1 has no moved commits) |
//! | 8 | 4 | the segment's number |
//! | 12 | 8 | its generation: drawn at random each time it is (re)used |
//! | 20 | 8 | the store it belongs to: drawn at random when that was made |
//! | 28 | 8 | bytes of the segment |
//! | 36 | 4 | CRC-32 of the bytes before |
//!
//! Group header, 32 bytes:
//!
//! | at | bytes | field |
//! |--:|--:|---|
//! | 0 | 4 | `PHG`, format version 1 |
//! | 4 | 8 | the group's number: one more than that of the group before |
//! | 12 | 8 | the number that the first commit in it or after it has |
//! | 20 | 4 | bytes of the frames |
//! | 24 | 4 | how many frames |
//! | 28 | 4 | sealed CRC-32 of the bytes before |
//!
//! Frame header, 24 bytes, then the payload:
//!
//! | at | bytes | field |
//! |--:|--:|---|
//! | 0 | 1 | kind: 1 body, 2 commit, 3 moved commit |
//! | 1 | 3 | zeros |
//! | 4 | 4 | bytes of the payload |
//! | 8 | 8 | the commit's number, the old one when it was moved; 0 for a body |
//! | 16 | 4 | CRC-32 of the payload |
//! | 20 | 4 | sealed CRC-32 of the bytes before |
//!
//! A *sealed* CRC-32 begins with the segment's generation and number and the
//! place of the header in the segment. So bytes of a segment's former life, or
//! bytes that a message brings with it, never pass for a header.

use crc32fast::Hasher;

/// What the journal is written in.
pub(crate) const BLOCK: usize = 4096;
/// Bytes of a group header.
pub(crate) const GROUP_HEADER: usize = 32;
/// Bytes of a frame header.
pub(crate) const FRAME_HEADER: usize = 24;

const SEGMENT_HEADER: usize = 40;
const SEGMENT_MAGIC: [u8; 7] = *b"PHSEG\0\0";
/// What this program writes; it reads all before it.
pub(crate) const FORMAT: u8 = 2;
/// The first version whose segments may hold moved commits.
pub(crate) const FORMAT_MOVED: u8 = 2;
const GROUP_MAGIC: [u8; 4] = *b"PHG\x01";

/// Where a header lies; part of its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) generation: u64,
    pub(crate) offset: u64,
}

impl Place {
    fn seal(&self, header: &[u8]) -> u32 {
        let mut crc = Hasher::new();
        crc.update(&self.generation.to_be_bytes());
        crc.update(&self.segment.to_be_bytes());
        crc.update(&self.offset.to_be_bytes());
        crc.update(header);
        crc.finalize()
    }
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The format that it is written in; may be newer than [`FORMAT`].
    pub(crate) version: u8,
    pub(crate) number: u32,
    pub(crate) generation: u64,
    pub(crate) store: u64,
    pub(crate) bytes: u64,
}

impl SegmentHeader {
    /// The header's whole block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BLOCK);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.push(self.version);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.store.to_be_bytes());
        out.extend_from_slice(&self.bytes.to_be_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out.resize(BLOCK, 0);
        out
    }

    pub(crate) fn decode(block: &[u8]) -> Option<Self> {
        let (header, rest) = block.split_at_checked(SEGMENT_HEADER - 4)?;
        if !rest.starts_with(&crc32fast::hash(header).to_be_bytes())
            || !header.starts_with(&SEGMENT_MAGIC)
        {
            return None;
        }
        Some(Self {
            version: header[SEGMENT_MAGIC.len()],
            number: u32_at(header, 8)?,
            generation: u64_at(header, 12)?,
            store: u64_at(header, 20)?,
            bytes: u64_at(header, 28)?,
        })
    }
}

/// A group's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    pub(crate) number: u64,
    pub(crate) next_commit: u64,
    pub(crate) bytes: u32,
    pub(crate) frames: u32,
}

impl GroupHeader {
    pub(crate) fn encode(&self, place: Place) -> [u8; GROUP_HEADER] {
        let mut out = [0; GROUP_HEADER];
        out[..4].copy_from_slice(&GROUP_MAGIC);
        out[4..12].copy_from_slice(&self.number.to_be_bytes());
        out[12..20].copy_from_slice(&self.next_commit.to_be_bytes());
        out[20..24].copy_from_slice(&self.bytes.to_be_bytes());
        out[24..28].copy_from_slice(&self.frames.to_be_bytes());
        let crc = place.seal(&out[..28]);
        out[28..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let header: &[u8; GROUP_HEADER] = bytes.first_chunk()?;
        if !header.starts_with(&GROUP_MAGIC) || u32_at(header, 28)? != place.seal(&header[..28]) {
            return None;
        }
        Some(Self {
            number: u64_at(header, 4)?,
            next_commit: u64_at(header, 12)?,
            bytes: u32_at(header, 20)?,
            frames: u32_at(header, 24)?,
        })
    }
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Body = 1,
    Commit = 2,
    /// What is alive of a commit, copied forward under its old number.
    Moved = 3,
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: Kind,
    pub(crate) bytes: u32,
    pub(crate) commit: u64,
    pub(crate) crc: u32,
}

impl FrameHeader {
    pub(crate) fn encode(&self, place: Place) -> [u8; FRAME_HEADER] {
        let mut out = [0; FRAME_HEADER];
        out[0] = self.kind as u8;
        out[4..8].copy_from_slice(&self.bytes.to_be_bytes());
        out[8..16].copy_from_slice(&self.commit.to_be_bytes());
        out[16..20].copy_from_slice(&self.crc.to_be_bytes());
        let crc = place.seal(&out[..20]);
        out[20..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let header: &[u8; FRAME_HEADER] = bytes.first_chunk()?;
        if u32_at(header, 20)? != place.seal(&header[..20]) {
            return None;
        }
        let kind = match header[0] {
            1 => Kind::Body,
            2 => Kind::Commit,
            3 => Kind::Moved,
            _ => return None,
        };
        Some(Self {
            kind,
            bytes: u32_at(header, 4)?,
            commit: u64_at(header, 8)?,
            crc: u32_at(header, 16)?,
        })
    }
}

/// `bytes` up to the next block.
pub(crate) fn align_up(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK as u64)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        segment: 3,
        generation: 0x0102_0304_0506_0708,
        offset: 4096,
    };

    #[test]
    fn golden_segment_header() {
        for version in [1, 2] {
            let header = SegmentHeader {
                version,
                number: 3,
                generation: 0x0a0b,
                store: 0x0c0d,
                bytes: 0x0e0f,
            };
            let block = header.encode();
            assert_eq!(block.len(), BLOCK);
            let mut golden = *b"PHSEG\0\0\x01\0\0\0\x03\0\0\0\0\0\0\x0a\x0b\
                \0\0\0\0\0\0\x0c\x0d\0\0\0\0\0\0\x0e\x0f";
            golden[7] = version;
            assert_eq!(block[..36], golden);
            assert_eq!(block[36..40], crc32fast::hash(&golden).to_be_bytes());
            assert_eq!(SegmentHeader::decode(&block), Some(header));
            for i in 0..SEGMENT_HEADER {
                let mut bad = block.clone();
                bad[i] ^= 1;
                assert_eq!(SegmentHeader::decode(&bad), None);
            }
        }
    }

    #[test]
    fn golden_group_header() {
        let header = GroupHeader {
            number: 7,
            next_commit: 9,
            bytes: 0x1234,
            frames: 2,
        };
        let bytes = header.encode(PLACE);
        let golden = b"PHG\x01\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\x12\x34\0\0\0\x02";
        assert_eq!(&bytes[..28], golden);
        assert_eq!(bytes[28..], 0xb463_dbfc_u32.to_be_bytes());
        assert_eq!(GroupHeader::decode(&bytes, PLACE), Some(header));
        assert_eq!(GroupHeader::decode(&bytes[..31], PLACE), None);
        elsewhere(|place| GroupHeader::decode(&bytes, place).is_none());
    }

    #[test]
    fn golden_frame_header() {
        for kind in [Kind::Body, Kind::Commit, Kind::Moved] {
            let header = FrameHeader {
                kind,
                bytes: 5,
                commit: 9,
                crc: 0x0102_0304,
            };
            let mut golden = *b"\x02\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x09\x01\x02\x03\x04";
            golden[0] = kind as u8;
            let bytes = header.encode(PLACE);
            assert_eq!(bytes[..20], golden);
            assert_eq!(bytes[20..], PLACE.seal(&golden).to_be_bytes());
            assert_eq!(FrameHeader::decode(&bytes, PLACE), Some(header));
        }
        let header = FrameHeader {
            kind: Kind::Commit,
            bytes: 5,
            commit: 9,
            crc: 0x0102_0304,
        };
        let bytes = header.encode(PLACE);
        assert_eq!(bytes[20..], 0x4bea_8c44_u32.to_be_bytes());
        let mut unknown = bytes;
        unknown[0] = 4;
        let crc = PLACE.seal(&unknown[..20]);
        unknown[20..].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(FrameHeader::decode(&unknown, PLACE), None);
        elsewhere(|place| FrameHeader::decode(&bytes, place).is_none());
    }

    /// A header is valid at its own place in its own life of the segment only.
    fn elsewhere(refused: impl Fn(Place) -> bool) {
        assert!(refused(Place {
            segment: 4,
            ..PLACE
        }));
        assert!(refused(Place {
            generation: 1,
            ..PLACE
        }));
        assert!(refused(Place {
            offset: 8192,
            ..PLACE
        }));
    }
}
