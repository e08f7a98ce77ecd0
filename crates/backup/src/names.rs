//! A map from names to numbers on scratch disk: exact, of any size, in little
//! memory.
//!
//! A file of blocks; a name's first bits say its block, a full block spills into
//! the next. The page cache holds what is used. The file has no name and goes
//! with the process.

use crate::pack::Name;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

const BLOCK: usize = 4096;
const SLOT: usize = 36;
const SLOTS: usize = BLOCK / SLOT;
const BLOCKS_AT_FIRST: u64 = 16;
/// A number is stored plus one: zero is a free slot.
const NUMBER_MAX: u32 = u32::MAX - 1;

/// Names with a number each.
#[derive(Debug)]
pub(crate) struct Names {
    file: File,
    /// A power of two.
    blocks: u64,
    len: u64,
}

struct Found {
    block: u64,
    slot: usize,
    number: Option<u32>,
    bytes: [u8; BLOCK],
}

impl Names {
    pub(crate) fn new() -> io::Result<Self> {
        Self::with_blocks(BLOCKS_AT_FIRST)
    }

    fn with_blocks(blocks: u64) -> io::Result<Self> {
        let file = tempfile::tempfile()?;
        file.set_len(blocks * BLOCK as u64)?;
        Ok(Self {
            file,
            blocks,
            len: 0,
        })
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn get(&self, name: &Name) -> io::Result<Option<u32>> {
        Ok(self.find(name)?.number)
    }

    /// Sets a name's number; gives the one before.
    pub(crate) fn insert(&mut self, name: &Name, number: u32) -> io::Result<Option<u32>> {
        assert!(number <= NUMBER_MAX, "numbers are counted by our own code");
        if self.len >= self.blocks * SLOTS as u64 / 2 {
            self.grow()?;
        }
        let mut found = self.find(name)?;
        let slot = &mut found.bytes[found.slot * SLOT..(found.slot + 1) * SLOT];
        slot[..32].copy_from_slice(name);
        slot[32..].copy_from_slice(&(number + 1).to_be_bytes());
        let at = found.block * BLOCK as u64 + (found.slot * SLOT) as u64;
        self.file.write_all_at(slot, at)?;
        self.len += u64::from(found.number.is_none());
        Ok(found.number)
    }

    /// Where a name is, or the free slot for it. At most half of all slots are
    /// taken, so there is one.
    fn find(&self, name: &Name) -> io::Result<Found> {
        let mut bytes = [0; BLOCK];
        let first = u64::from_be_bytes(*name.first_chunk().expect("a name has 32 bytes"));
        let mut block = first & (self.blocks - 1);
        loop {
            self.file.read_exact_at(&mut bytes, block * BLOCK as u64)?;
            for slot in 0..SLOTS {
                let stored = &bytes[slot * SLOT..(slot + 1) * SLOT];
                let number = stored[32..]
                    .iter()
                    .fold(0, |n, byte| n << 8 | u32::from(*byte));
                if number == 0 || stored[..32] == *name {
                    return Ok(Found {
                        block,
                        slot,
                        number: number.checked_sub(1),
                        bytes,
                    });
                }
            }
            block = (block + 1) & (self.blocks - 1);
        }
    }

    fn grow(&mut self) -> io::Result<()> {
        let mut larger = Self::with_blocks(self.blocks * 4)?;
        self.for_each(|name, number| larger.insert(name, number).map(drop))?;
        *self = larger;
        Ok(())
    }

    /// Calls `f` with each name, in no order.
    pub(crate) fn for_each<E: From<io::Error>>(
        &self,
        mut f: impl FnMut(&Name, u32) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut bytes = [0; BLOCK];
        for block in 0..self.blocks {
            self.file.read_exact_at(&mut bytes, block * BLOCK as u64)?;
            for stored in bytes.chunks_exact(SLOT) {
                let (name, number) = stored.split_at(32);
                let number = number.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
                if let (Ok(name), Some(number)) = (name.try_into(), number.checked_sub(1)) {
                    f(name, number)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn it_is_the_map_in_memory() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut map = HashMap::new();
        let mut names = Names::new().expect("scratch");
        for at in 0..20_000u32 {
            let mut name = [0; 32];
            // Few first bytes: blocks spill over.
            let few = random.u32(0..6000);
            name[7] = (few % 3) as u8;
            name[28..].copy_from_slice(&few.to_be_bytes());
            assert_eq!(
                names.insert(&name, at).expect("scratch"),
                map.insert(name, at)
            );
        }
        assert_eq!(names.len(), map.len() as u64);
        for (name, number) in &map {
            assert_eq!(names.get(name).expect("scratch"), Some(*number));
        }
        assert_eq!(names.get(&[9; 32]).expect("scratch"), None);
        let mut seen = HashMap::new();
        names
            .for_each(|name, number| {
                seen.insert(*name, number);
                io::Result::Ok(())
            })
            .expect("scratch");
        assert_eq!(seen, map);
    }
}
