//! Reading the journal group by group, in order, over damage.
//!
//! Group N+1 is written only after group N is stable. So a bad place in front
//! of a later valid group is damage: it is reported and passed over, and the
//! rest is served. A bad place behind the last valid group is a torn tail: it
//! was never acknowledged, and is dropped.
//!
//! Where a segment's groups end is never guessed from padding or zeros: the
//! next group has the next number, either here or at the start of the next
//! segment.

use super::commit::{self, Writes};
use super::disk::Disk;
use super::format::{BLOCK, FRAME_HEADER, FrameHeader, GROUP_HEADER, GroupHeader, Kind, align_up};
use super::segment::Segment;
use crate::findings::Finding;
use crate::limits::GROUP_BYTES_MAX;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A commit read from the journal.
pub(crate) struct Replayed {
    pub(crate) number: u64,
    /// The group that it is in.
    pub(crate) group: u64,
    pub(crate) writes: Writes,
}

/// Where the journal ends.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    /// The segment of the last valid group and where the next may be written;
    /// `None` when there is no group.
    pub(crate) at: Option<(Arc<Segment>, u64)>,
    /// Where the last valid group begins.
    pub(crate) from: u64,
    /// The last valid group's number, 0 when there is none.
    pub(crate) group: u64,
    /// The last commit's number as far as the groups tell.
    pub(crate) commit: u64,
    /// The tail holds bytes that are no valid group.
    pub(crate) torn: bool,
}

/// Reads groups from the segments, which are given in order.
pub(crate) struct Scan<'a> {
    pub(crate) segments: &'a [Arc<Segment>],
    pub(crate) findings: Vec<Finding>,
    /// Groups behind this one are still being written and are not looked at.
    pub(crate) until: u64,
    tail: Tail,
    bytes: Vec<u8>,
}

/// The segments of a journal, as far as their headers can be read.
pub(crate) fn segments(disk: &dyn Disk) -> io::Result<(Vec<Arc<Segment>>, Vec<Finding>)> {
    let mut segments = Vec::new();
    let mut findings = Vec::new();
    for number in disk.list()? {
        match Segment::open(disk, number)? {
            Some(segment) => segments.push(Arc::new(segment)),
            None => findings.push(Finding::SegmentHeader { segment: number }),
        }
    }
    Ok((segments, findings))
}

/// The segment from which commits after `applied` are found: the last one
/// whose first group comes before them. A first group that is not whole says
/// nothing: it may be the torn tail, and what comes before it must be known.
pub(crate) fn start_for(segments: &[Arc<Segment>], applied: u64) -> io::Result<usize> {
    let mut scan = Scan::new(&[]);
    for (at, segment) in segments.iter().enumerate().rev() {
        if let Some(header) = scan.read_group(segment, segment.first())?
            && header.next_commit <= applied + 1
        {
            return Ok(at);
        }
    }
    Ok(0)
}

impl<'a> Scan<'a> {
    pub(crate) fn new(segments: &'a [Arc<Segment>]) -> Self {
        Self {
            segments,
            findings: Vec::new(),
            until: u64::MAX,
            tail: Tail {
                at: None,
                from: 0,
                group: 0,
                commit: 0,
                torn: false,
            },
            bytes: Vec::new(),
        }
    }

    /// Visits every commit in order until the visitor breaks or the end.
    pub(crate) fn run(
        mut self,
        visit: &mut dyn FnMut(Replayed) -> ControlFlow<()>,
    ) -> io::Result<(Tail, Vec<Finding>)> {
        for segment in self.segments {
            if self.segment(segment, visit)?.is_break() {
                break;
            }
        }
        Ok((self.tail, self.findings))
    }

    fn segment(
        &mut self,
        segment: &Arc<Segment>,
        visit: &mut dyn FnMut(Replayed) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        let mut offset = segment.first();
        while offset < segment.end() {
            let Some(header) = self.read_group(segment, offset)? else {
                let Some(later) = self.later_group(segment, offset)? else {
                    break;
                };
                self.findings.push(Finding::Unreadable {
                    segment: segment.number(),
                    from: offset,
                    to: later,
                });
                offset = later;
                continue;
            };
            self.count(segment, header);
            let bytes = std::mem::take(&mut self.bytes);
            let flow = self.frames(segment, offset, &bytes, visit);
            self.tail.from = offset;
            offset += align_up((GROUP_HEADER + header.bytes as usize) as u64);
            self.bytes = bytes;
            self.tail.at = Some((Arc::clone(segment), offset));
            self.tail.torn = false;
            if flow.is_break() || header.number >= self.until {
                return Ok(ControlFlow::Break(()));
            }
        }
        if offset < segment.end() && self.tail.at.is_some() {
            self.tail.torn |= has_header(segment, offset)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Takes note of a group, and of those that are missing before it.
    fn count(&mut self, segment: &Segment, header: GroupHeader) {
        let missing = self.tail.at.is_some() && header.number != self.tail.group + 1;
        if missing {
            self.findings.push(Finding::MissingGroups {
                segment: segment.number(),
                expected: self.tail.group + 1,
                found: header.number,
            });
        }
        self.tail.group = header.number;
        self.tail.commit = self.tail.commit.max(header.next_commit.saturating_sub(1));
    }

    fn read_group(&mut self, segment: &Segment, offset: u64) -> io::Result<Option<GroupHeader>> {
        read_group(segment, offset, self.tail.group, &mut self.bytes)
    }

    /// The next valid group behind `offset` in the segment.
    fn later_group(&mut self, segment: &Segment, offset: u64) -> io::Result<Option<u64>> {
        const CHUNK: u64 = 1 << 20;
        let mut chunk = vec![0; CHUNK as usize];
        let mut at = offset + BLOCK as u64;
        while at < segment.end() {
            let len = (segment.end() - at).min(CHUNK) as usize;
            let read = segment.file.read_at(&mut chunk[..len], at)?;
            for block in (0..read).step_by(BLOCK) {
                let place = segment.place(at + block as u64);
                let head = &chunk[block..read];
                if GroupHeader::decode(head, place).is_some()
                    && self.read_group(segment, place.offset)?.is_some()
                {
                    return Ok(Some(place.offset));
                }
            }
            at += CHUNK;
        }
        Ok(None)
    }

    fn frames(
        &mut self,
        segment: &Segment,
        offset: u64,
        group: &[u8],
        visit: &mut dyn FnMut(Replayed) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for frame in Frames::new(segment, offset, group) {
            let Some((header, at, payload)) = frame else {
                break;
            };
            if header.kind == Kind::Body {
                continue;
            }
            self.tail.commit = self.tail.commit.max(header.commit);
            match commit::decode(payload) {
                Ok(writes) => visit(Replayed {
                    number: header.commit,
                    group: self.tail.group,
                    writes,
                })?,
                Err(why) => self.findings.push(Finding::Commit {
                    segment: segment.number(),
                    at,
                    commit: header.commit,
                    why,
                }),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Reads the group at `offset` into memory if it is whole and comes after the
/// group `after`.
pub(crate) fn read_group(
    segment: &Segment,
    offset: u64,
    after: u64,
    bytes: &mut Vec<u8>,
) -> io::Result<Option<GroupHeader>> {
    let mut head = [0; GROUP_HEADER];
    let read = segment.file.read_at(&mut head, offset)?;
    let Some(header) = GroupHeader::decode(&head[..read], segment.place(offset)) else {
        return Ok(None);
    };
    let len = GROUP_HEADER + header.bytes as usize;
    if len > GROUP_BYTES_MAX || header.number <= after {
        return Ok(None);
    }
    bytes.resize(len, 0);
    let read = segment.file.read_at(bytes, offset)?;
    let whole = read == len && frames_are_whole(segment, offset, bytes, header.frames);
    Ok(whole.then_some(header))
}

/// True when a group was begun here. What else lies here may be left of the
/// segment's former life.
fn has_header(segment: &Segment, offset: u64) -> io::Result<bool> {
    let mut header = [0; GROUP_HEADER];
    let read = segment.file.read_at(&mut header, offset)?;
    Ok(GroupHeader::decode(&header[..read], segment.place(offset)).is_some())
}

/// The header of a segment's first group.
pub(crate) fn first_group(segment: &Segment) -> io::Result<Option<GroupHeader>> {
    let mut header = [0; GROUP_HEADER];
    let read = segment.file.read_at(&mut header, segment.first())?;
    let place = segment.place(segment.first());
    Ok(GroupHeader::decode(&header[..read], place))
}

/// True when all frames of a group are there and right.
fn frames_are_whole(segment: &Segment, offset: u64, group: &[u8], count: u32) -> bool {
    let mut seen = 0;
    for frame in Frames::new(segment, offset, group) {
        match frame {
            Some((header, _, payload)) if crc32fast::hash(payload) == header.crc => seen += 1,
            _ => return false,
        }
    }
    seen == count
}

/// The frames of a group; `None` once, then the end, where one is bad.
pub(crate) struct Frames<'a> {
    segment: &'a Segment,
    offset: u64,
    group: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(segment: &'a Segment, offset: u64, group: &'a [u8]) -> Self {
        Self {
            segment,
            offset,
            group,
            at: GROUP_HEADER,
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Option<(FrameHeader, u64, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.group.len() {
            return None;
        }
        let offset = self.offset + self.at as u64;
        let header = FrameHeader::decode(&self.group[self.at..], self.segment.place(offset));
        let begin = self.at + FRAME_HEADER;
        let frame = header.and_then(|header| {
            let payload = self.group.get(begin..begin + header.bytes as usize)?;
            Some((header, offset, payload))
        });
        self.at = match &frame {
            Some((header, ..)) => begin + header.bytes as usize,
            None => self.group.len(),
        };
        Some(frame)
    }
}
