//! Memory that starts at a block's boundary, as direct writes need it.
//!
//! Without `unsafe`: a little more is allocated, and the part from the first
//! boundary on is used. The memory is asked for zeroed, so that the system
//! gives pages only to what is really written.

use super::format::BLOCK;

#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub(crate) fn new(capacity: usize) -> Self {
        let bytes = vec![0; capacity + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        // The library may answer "impossible"; then writes are not aligned,
        // and the disk says so.
        let start = if start < BLOCK { start } else { 0 };
        Self {
            bytes,
            start,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }

    /// Appends; the caller has made sure that it fits.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let at = self.start + self.len;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends zeros up to `len`.
    pub(crate) fn pad_to(&mut self, len: usize) {
        let at = self.start + self.len;
        self.bytes[at..self.start + len].fill(0);
        self.len = len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_a_boundary_and_forgets_its_former_use() {
        let mut buffer = Buffer::new(BLOCK * 2);
        buffer.extend(&[7; BLOCK + 5]);
        buffer.clear();
        buffer.extend(b"abc");
        buffer.pad_to(BLOCK);
        assert_eq!(buffer.as_slice().as_ptr().align_offset(BLOCK), 0);
        assert_eq!(&buffer.as_slice()[..5], b"abc\0\0");
        assert!(buffer.as_slice()[3..].iter().all(|&b| b == 0));
    }
}
