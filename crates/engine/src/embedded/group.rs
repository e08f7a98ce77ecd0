//! The group that is being filled, and those on their way to the disk.

use super::buffer::Buffer;
use super::commit::Commit;
use super::format::{
    BLOCK, FRAME_HEADER, FrameHeader, GROUP_HEADER, GroupHeader, Kind, Place, align_up,
};
use super::segment::{Segment, check_body};
use crate::body::Extent;
use crate::contract::ReadError;
use crate::limits::{BODY_BYTES_AHEAD, GROUP_BYTES_MAX};
use crate::ticket;
use bytes::Bytes;
use std::sync::Arc;

/// Frames in memory, with the place in the journal that they have or will have.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
    pub(crate) buffer: Buffer,
}

impl Image {
    /// Where the next group begins.
    pub(crate) fn end(&self) -> u64 {
        self.offset + align_up(self.buffer.len() as u64)
    }

    /// Reads a body that lies here; `None` when it lies elsewhere.
    pub(crate) fn read_body(
        &self,
        segment: u32,
        offset: u64,
        extent: &Extent,
    ) -> Option<Result<Bytes, ReadError>> {
        let within = self.offset..self.offset + self.buffer.len() as u64;
        if segment != self.segment.number() || !within.contains(&offset) {
            return None;
        }
        let at = (offset - self.offset) as usize;
        let frame = self
            .buffer
            .as_slice()
            .get(at..at + FRAME_HEADER + extent.len as usize);
        let Some(frame) = frame else {
            return Some(Err(ReadError::NoSuchBody));
        };
        let checked = check_body(frame, self.segment.place(offset), extent);
        Some(checked.map(|()| Bytes::copy_from_slice(&frame[FRAME_HEADER..])))
    }
}

/// A group that still takes frames.
#[derive(Debug)]
pub(crate) struct OpenGroup {
    pub(crate) number: u64,
    pub(crate) next_commit: u64,
    pub(crate) image: Image,
    pub(crate) frames: u32,
    pub(crate) commits: Vec<Commit>,
    /// Somebody waits for one of the commits.
    pub(crate) is_awaited: bool,
    pub(crate) ticket: Arc<ticket::Group>,
}

/// A group that is complete.
#[derive(Debug)]
pub(crate) struct SealedGroup {
    pub(crate) number: u64,
    pub(crate) image: Arc<Image>,
    pub(crate) frame_bytes: usize,
    pub(crate) commits: Vec<Commit>,
    pub(crate) ticket: Arc<ticket::Group>,
}

impl std::fmt::Debug for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Commit").field(&self.number).finish()
    }
}

impl OpenGroup {
    pub(crate) fn new(
        number: u64,
        next_commit: u64,
        (segment, offset): (Arc<Segment>, u64),
        mut buffer: Buffer,
    ) -> Self {
        buffer.clear();
        // The header is written when the group is sealed.
        buffer.pad_to(GROUP_HEADER);
        Self {
            number,
            next_commit,
            image: Image {
                segment,
                offset,
                buffer,
            },
            frames: 0,
            commits: Vec::new(),
            is_awaited: false,
            ticket: ticket::Group::new(),
        }
    }

    /// What its header says as it is now.
    pub(crate) fn header(&self) -> GroupHeader {
        GroupHeader {
            number: self.number,
            next_commit: self.next_commit,
            bytes: (self.image.buffer.len() - GROUP_HEADER) as u32,
            frames: self.frames,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// True when it is to be written now, not when something else is.
    pub(crate) fn is_urgent(&self) -> bool {
        self.is_awaited || self.image.buffer.len() >= BODY_BYTES_AHEAD
    }

    /// True when a frame with this payload fits into the group as it lies.
    pub(crate) fn takes(&self, payload: usize) -> bool {
        let len = self.image.buffer.len() + FRAME_HEADER + payload;
        len <= GROUP_BYTES_MAX
            && align_up(self.image.offset + len as u64) <= self.image.segment.end()
    }

    /// Appends a frame; returns where it begins. The caller has made room.
    pub(crate) fn append(&mut self, kind: Kind, commit: u64, payload: &[u8], crc: u32) -> u64 {
        let offset = self.image.offset + self.image.buffer.len() as u64;
        let header = FrameHeader {
            kind,
            bytes: payload.len() as u32,
            commit,
            crc,
        };
        let header = header.encode(self.image.segment.place(offset));
        self.image.buffer.extend(&header);
        self.image.buffer.extend(payload);
        self.frames += 1;
        offset
    }

    /// Writes the header and pads to whole blocks.
    pub(crate) fn seal(mut self) -> SealedGroup {
        let place: Place = self.image.segment.place(self.image.offset);
        let header = self.header();
        let buffer = &mut self.image.buffer;
        buffer.as_mut_slice()[..GROUP_HEADER].copy_from_slice(&header.encode(place));
        let frame_bytes = buffer.len() - GROUP_HEADER;
        let padded = buffer.len().next_multiple_of(BLOCK);
        buffer.pad_to(padded);
        SealedGroup {
            number: self.number,
            image: Arc::new(self.image),
            frame_bytes,
            commits: self.commits,
            ticket: self.ticket,
        }
    }
}
