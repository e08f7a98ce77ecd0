//! Segments that are open, and reading frames from them.

use super::disk::{Disk, SegmentFile};
use super::format::{BLOCK, FRAME_HEADER, FrameHeader, Kind, Place, SegmentHeader};
use super::shelf::Shelf;
use crate::body::Extent;
use crate::contract::ReadError;
use crate::limits::{BODY_FRAME_BYTES_MAX, LARGE_FRAME_BYTES, OPEN_SEGMENTS_MAX};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// An open segment whose header was read.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn SegmentFile>,
}

impl Segment {
    /// Opens a segment; `None` when neither copy of its header is whole.
    pub(crate) fn open(disk: &dyn Disk, number: u32) -> io::Result<Option<Self>> {
        let file = disk.open(number)?;
        let last = file.bytes().saturating_sub(BLOCK as u64);
        let mut block = vec![0; BLOCK];
        for at in [0, last] {
            let read = file.read_at(&mut block, at)?;
            if let Some(header) = SegmentHeader::decode(&block[..read])
                && header.number == number
            {
                return Ok(Some(Self { header, file }));
            }
        }
        Ok(None)
    }

    pub(crate) fn number(&self) -> u32 {
        self.header.number
    }

    /// Where groups may lie: behind the first block and before the last.
    pub(crate) fn first(&self) -> u64 {
        BLOCK as u64
    }

    pub(crate) fn end(&self) -> u64 {
        self.header.bytes.saturating_sub(BLOCK as u64)
    }

    pub(crate) fn place(&self, offset: u64) -> Place {
        Place {
            segment: self.number(),
            generation: self.header.generation,
            offset,
        }
    }

    /// Reads one body and checks it.
    pub(crate) fn read_body(
        &self,
        offset: u64,
        extent: &Extent,
        shelf: &Arc<Shelf>,
    ) -> Result<Bytes, ReadError> {
        let len = FRAME_HEADER + extent.len as usize;
        let read = |bytes: &mut [u8]| {
            let read = self.file.read_at(bytes, offset)?;
            check_body(&bytes[..read], self.place(offset), extent)
        };
        let bytes = if len < LARGE_FRAME_BYTES {
            let mut bytes = vec![0; len];
            read(&mut bytes)?;
            Bytes::from(bytes)
        } else {
            let mut bytes = shelf.lend(len);
            read(bytes.as_mut())?;
            Bytes::from_owner(bytes)
        };
        Ok(bytes.slice(FRAME_HEADER..))
    }
}

/// Is this frame, header and payload, the body that the extent names?
pub(crate) fn check_body(frame: &[u8], place: Place, extent: &Extent) -> Result<(), ReadError> {
    let damaged = |what: &str| {
        let Place {
            segment, offset, ..
        } = place;
        Err(ReadError::Damaged(format!(
            "segment {segment} at {offset}: {what}"
        )))
    };
    let Some(header) = FrameHeader::decode(frame, place) else {
        return damaged("no frame begins here");
    };
    if (header.kind, header.bytes, header.crc) != (Kind::Body, extent.len, extent.crc) {
        return damaged("another frame lies here");
    }
    if crc32fast::hash(&frame[FRAME_HEADER..]) != extent.crc {
        return damaged("the body's checksum is wrong");
    }
    Ok(())
}

/// An extent's place in the journal.
pub(crate) fn split(extent: &Extent) -> Result<(u32, u64), ReadError> {
    if extent.len as usize > BODY_FRAME_BYTES_MAX {
        return Err(ReadError::NoSuchBody);
    }
    Ok(((extent.place >> 32) as u32, extent.place & 0xffff_ffff))
}

/// Segments that are open for reading, a bounded number of them.
#[derive(Debug)]
pub(crate) struct OpenSegments {
    disk: Arc<dyn Disk>,
    open: Mutex<BTreeMap<u32, Arc<Segment>>>,
}

impl OpenSegments {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            open: Mutex::default(),
        }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// A segment is not there any more.
    pub(crate) fn forget(&self, number: u32) {
        self.open.lock().remove(&number);
    }

    pub(crate) fn insert(&self, segment: &Arc<Segment>) {
        let mut open = self.open.lock();
        if open.len() >= OPEN_SEGMENTS_MAX {
            // The oldest is read least.
            open.pop_first();
        }
        open.insert(segment.number(), Arc::clone(segment));
    }

    pub(crate) fn get(&self, number: u32) -> Result<Arc<Segment>, ReadError> {
        if let Some(segment) = self.open.lock().get(&number) {
            return Ok(Arc::clone(segment));
        }
        let segment = match Segment::open(&*self.disk, number) {
            Ok(Some(segment)) => Arc::new(segment),
            Ok(None) => {
                return Err(ReadError::Damaged(format!(
                    "segment {number} has no header"
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::NoSuchBody);
            }
            Err(error) => return Err(error.into()),
        };
        self.insert(&segment);
        Ok(segment)
    }
}
