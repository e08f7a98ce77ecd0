//! Which documents of a segment have all of some terms.

use crate::postings::Postings;
use wire::codec::DecodeError;

/// The documents that are in all of these, in order. With none of them there are none.
///
/// # Errors
/// No bytes that were written here.
pub fn all_of(mut postings: Vec<Postings<'_>>) -> Result<Vec<u32>, DecodeError> {
    // The fewest first: what is left is never more.
    postings.sort_by_key(Postings::count);
    let mut postings = postings.into_iter();
    let mut left = Vec::new();
    if let Some(fewest) = postings.next() {
        fewest.visit(|document| left.push(document))?;
    }
    for more in postings {
        if left.is_empty() {
            break;
        }
        more.retain(&mut left)?;
    }
    Ok(left)
}

/// The documents that are in either, in order.
#[must_use]
pub fn either(one: Vec<u32>, other: &[u32]) -> Vec<u32> {
    if other.is_empty() {
        return one;
    }
    let mut both = one;
    both.extend_from_slice(other);
    both.sort_unstable();
    both.dedup();
    both
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postings::encode;

    #[test]
    fn what_all_have_is_left() {
        let of = |sets: &[&[u32]]| {
            let bytes: Vec<_> = sets.iter().map(|set| encode(set)).collect();
            let read = bytes
                .iter()
                .map(|bytes| Postings::read(bytes).expect("whole"));
            all_of(read.collect()).expect("whole")
        };
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[&[1, 5, 9]]), [1, 5, 9]);
        assert_eq!(of(&[&[1, 5, 9], &[0, 5, 9, 11, 12], &[9]]), [9]);
        assert_eq!(of(&[&[1], &[2], &[1, 2]]), []);
        assert_eq!(either(vec![1, 4], &[2, 4]), [1, 2, 4]);
        assert_eq!(either(vec![], &[2]), [2]);
    }
}
