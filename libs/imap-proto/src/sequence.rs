//! Sequence sets: reading, writing and asking. Whether a number is a sequence
//! number or a UID is the command's business (RFC 9051 §9 `sequence-set`).

use std::fmt;
use std::num::NonZeroU32;

/// One end of a range: a number, or `*` (`None`), the largest in use.
pub type SeqNumber = Option<NonZeroU32>;

/// `3`, `2:4`, `7:*`. Either end may be the larger (RFC 9051 §9 `seq-range`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceRange {
    /// The first end as it was written.
    pub from: SeqNumber,
    /// The second end as it was written.
    pub to: SeqNumber,
}

impl SequenceRange {
    /// The range in ascending order when `largest` is what `*` means.
    #[must_use]
    pub fn resolve(self, largest: u32) -> (u32, u32) {
        let from = self.from.map_or(largest, NonZeroU32::get);
        let to = self.to.map_or(largest, NonZeroU32::get);
        (from.min(to), from.max(to))
    }
}

/// Ascending ranges that neither touch nor overlap.
pub type Ranges = Vec<(u32, u32)>;

/// A set as a client wrote it, or `$`, the saved result (RFC 5182).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SequenceSet {
    /// At least one range.
    Ranges(Vec<SequenceRange>),
    /// `$`.
    Saved,
}

impl SequenceSet {
    /// The set as ascending ranges that neither touch nor overlap, with `*` resolved.
    /// Empty for [`SequenceSet::Saved`], which only the session can resolve.
    #[must_use]
    pub fn resolve(&self, largest: u32) -> Ranges {
        match self {
            Self::Saved => Vec::new(),
            Self::Ranges(ranges) => merge(ranges.iter().map(|r| r.resolve(largest)).collect()),
        }
    }
}

/// Sorts ranges and joins those that touch or overlap.
#[must_use]
pub fn merge(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (from, to) in ranges {
        match merged.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Turns ascending numbers into ranges.
#[must_use]
pub fn ranges_of(numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if number == last.1.wrapping_add(1) && number != 0 => last.1 = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// True when ascending, disjoint `ranges` hold `number`.
#[must_use]
pub fn contains(ranges: &[(u32, u32)], number: u32) -> bool {
    let after = ranges.partition_point(|&(from, _)| from <= number);
    after > 0 && ranges[after - 1].1 >= number
}

/// Writes ascending numbers as a set, `1:3,5`; the order given is kept for
/// COPYUID, whose two sets correspond number by number.
pub fn write_numbers(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u32>) {
    write_ranges(out, &ranges_of(numbers));
}

/// Writes ranges as a set.
pub fn write_ranges(out: &mut Vec<u8>, ranges: &[(u32, u32)]) {
    use std::io::Write as _;
    for (i, &(from, to)) in ranges.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        // Writing to a Vec cannot fail.
        let _ = if from == to {
            write!(out, "{from}")
        } else {
            write!(out, "{from}:{to}")
        };
    }
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Ranges(ranges) = self else {
            return f.write_str("$");
        };
        let end = |f: &mut fmt::Formatter<'_>, n: SeqNumber| match n {
            Some(n) => write!(f, "{n}"),
            None => f.write_str("*"),
        };
        for (i, range) in ranges.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            end(f, range.from)?;
            if range.from != range.to {
                f.write_str(":")?;
                end(f, range.to)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_is_the_largest_and_ranges_turn_round() {
        let range = |from, to| SequenceRange {
            from: NonZeroU32::new(from),
            to: NonZeroU32::new(to),
        };
        let set = SequenceSet::Ranges(vec![range(4, 2), range(0, 6), range(9, 0)]);
        assert_eq!(set.to_string(), "4:2,*:6,9:*");
        assert_eq!(set.resolve(7), [(2, 4), (6, 9)]);
    }

    proptest! {
        #[test]
        fn merged_ranges_hold_what_the_ranges_held(ranges in prop::collection::vec((1u32..60, 1u32..60), 0..8), n in 1u32..60) {
            let ranges: Vec<_> = ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
            let naive = ranges.iter().any(|&(a, b)| a <= n && n <= b);
            prop_assert_eq!(contains(&merge(ranges), n), naive);
        }

        #[test]
        fn numbers_survive_as_ranges(numbers in prop::collection::btree_set(any::<u32>(), 0..50)) {
            let ranges = ranges_of(numbers.iter().copied());
            let back: Vec<u32> = ranges.iter().flat_map(|&(a, b)| a..=b).collect();
            prop_assert_eq!(back, numbers.into_iter().collect::<Vec<_>>());
        }
    }
}
