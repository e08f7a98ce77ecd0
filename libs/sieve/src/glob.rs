//! Patterns of `:matches` (RFC 5228 §2.7.1): `*` is any run of characters, `?` one character.
//!
//! A pattern is cut at its stars into pieces. The first stands at the text's beginning, the last at its end, and each
//! other where it is found first behind the one before: so each `*` takes as little as it may (RFC 5229 §3.2), and what
//! was found is never given up for something further on. Pieces are looked for by their longest run of letters.
//!
//! Invariants: nothing is kept for each character of the text but one folded copy of it; without `?` the time is linear
//! in the text, with it the product of text and piece at most; what is looked at is counted.

use crate::compare::{Captures, Comparator};
use crate::limits::MATCHES_MAX;
use core::ops::Range;
use std::borrow::Cow;

/// What comparing two characters by their Unicode case maps costs, in octets that are looked at.
const CASEMAP_OCTETS: u64 = 128;
/// What a piece costs besides its letters: it is kept, and looked for.
const PIECE_OCTETS: u64 = 64;

/// There were fewer steps left than it takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfSteps;

/// Takes a step for each 64 octets.
struct Meter<'f> {
    steps: &'f mut u64,
    octets: u64,
}

impl Meter<'_> {
    fn spend(&mut self, octets: u64) -> Result<(), OutOfSteps> {
        self.octets += octets;
        let steps = self.octets / 64;
        self.octets %= 64;
        *self.steps = self.steps.checked_sub(steps).ok_or(OutOfSteps)?;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    One,
    Char(char),
}

type Piece = Vec<Item>;

/// The pieces between the stars: one more than there are stars.
fn pieces(pattern: &str) -> Vec<Piece> {
    let mut out = vec![Piece::new()];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let item = match c {
            '*' => {
                out.push(Piece::new());
                continue;
            }
            '?' => Item::One,
            // RFC 5228 §2.7.1: a backslash takes the meaning from what follows.
            '\\' => Item::Char(chars.next().unwrap_or('\\')),
            c => Item::Char(c),
        };
        if let Some(last) = out.last_mut() {
            last.push(item);
        }
    }
    out
}

/// The longest run of letters of a piece: how many items stand before it, and the letters.
fn longest_run(piece: &[Item]) -> (usize, String) {
    let (mut best, mut at) = (0..0, 0);
    for run in piece.split(|item| *item == Item::One) {
        if run.len() > best.len() {
            best = at..at + run.len();
        }
        at += run.len() + 1;
    }
    let letter = |item: &Item| match item {
        Item::Char(c) => Some(*c),
        Item::One => None,
    };
    let letters = piece[best.clone()].iter().filter_map(letter).collect();
    (best.start, letters)
}

struct Text<'t> {
    comparator: Comparator,
    text: &'t str,
    /// With the letters of ASCII in one case where they are compared so: the same places.
    folded: Cow<'t, str>,
}

impl<'t> Text<'t> {
    fn new(comparator: Comparator, text: &'t str) -> Self {
        let folded = fold(comparator, text);
        Self {
            comparator,
            text,
            folded,
        }
    }

    /// Where `count` characters behind a place end, if there are so many.
    fn behind(&self, at: usize, count: usize) -> Option<usize> {
        let mut left = self.text[at..].chars();
        match count.checked_sub(1) {
            None => Some(at),
            Some(skipped) => left
                .nth(skipped)
                .map(|_| self.text.len() - left.as_str().len()),
        }
    }

    /// Where the last `count` characters before a place begin, if there are so many behind `from`.
    fn before(&self, from: usize, at: usize, count: usize) -> Option<usize> {
        let mut left = self.text[from..at].char_indices();
        match count.checked_sub(1) {
            None => Some(at),
            Some(skipped) => left.nth_back(skipped).map(|(begin, _)| from + begin),
        }
    }

    /// Where the piece ends that begins at a place, if it stands there.
    fn fits(
        &self,
        piece: &[Item],
        at: usize,
        meter: &mut Meter<'_>,
    ) -> Result<Option<usize>, OutOfSteps> {
        let mut left = self.text[at..].chars();
        for item in piece {
            meter.spend(1)?;
            let Some(here) = left.next() else {
                return Ok(None);
            };
            if let Item::Char(wanted) = item {
                if self.comparator == Comparator::UnicodeCasemap
                    && !(here.is_ascii() && wanted.is_ascii())
                {
                    meter.spend(CASEMAP_OCTETS)?;
                }
                if !self.comparator.same_char(*wanted, here) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(self.text.len() - left.as_str().len()))
    }

    /// The first place within `range` where the piece stands.
    fn find(
        &self,
        piece: &[Item],
        range: Range<usize>,
        meter: &mut Meter<'_>,
    ) -> Result<Option<Range<usize>>, OutOfSteps> {
        let Range { start, end } = range;
        let (before, letters) = longest_run(piece);
        meter.spend(piece.len() as u64)?;
        if letters.is_empty() {
            let to = self.behind(start, piece.len()).filter(|to| *to <= end);
            return Ok(to.map(|to| start..to));
        }
        if self.comparator == Comparator::UnicodeCasemap {
            return self.find_slowly(piece, start..end, meter);
        }
        let plain = piece.len() == letters.chars().count();
        let letters = fold(self.comparator, &letters);
        let finder = memchr::memmem::Finder::new(letters.as_bytes());
        let Some(mut at) = self.behind(start, before) else {
            return Ok(None);
        };
        while at <= end {
            let Some(found) = finder.find(&self.folded.as_bytes()[at..end]) else {
                meter.spend((end - at) as u64)?;
                return Ok(None);
            };
            meter.spend((found + letters.len()) as u64)?;
            at += found;
            if plain {
                return Ok(Some(at..at + letters.len()));
            }
            meter.spend(before as u64)?;
            if let Some(begin) = self.before(start, at, before)
                && let Some(to) = self.fits(piece, begin, meter)?.filter(|to| *to <= end)
            {
                return Ok(Some(begin..to));
            }
            at += self.text[at..].chars().next().map_or(1, char::len_utf8);
        }
        Ok(None)
    }

    /// Place by place, where letters have other lengths than what they are equal to.
    fn find_slowly(
        &self,
        piece: &[Item],
        range: Range<usize>,
        meter: &mut Meter<'_>,
    ) -> Result<Option<Range<usize>>, OutOfSteps> {
        for (at, _) in self.text[range.clone()].char_indices() {
            let begin = range.start + at;
            if let Some(to) = self
                .fits(piece, begin, meter)?
                .filter(|to| *to <= range.end)
            {
                return Ok(Some(begin..to));
            }
        }
        Ok(None)
    }

    /// Where the piece begins, if the text ends with it and it does not reach before `from`.
    fn at_end(
        &self,
        piece: &[Item],
        from: usize,
        meter: &mut Meter<'_>,
    ) -> Result<Option<usize>, OutOfSteps> {
        let Some(begin) = self.before(from, self.text.len(), piece.len()) else {
            return Ok(None);
        };
        Ok(self.fits(piece, begin, meter)?.map(|_| begin))
    }
}

fn fold(comparator: Comparator, text: &str) -> Cow<'_, str> {
    match comparator {
        Comparator::AsciiCasemap => comparator.folded(text),
        _ => Cow::Borrowed(text),
    }
}

/// What stood in the places of `*` and `?`.
struct Places(Vec<Range<usize>>);

impl Places {
    fn is_full(&self) -> bool {
        self.0.len() + 1 >= MATCHES_MAX
    }

    fn star(&mut self, range: Range<usize>) {
        if !self.is_full() {
            self.0.push(range);
        }
    }

    fn piece(&mut self, piece: &[Item], text: &str, at: usize) {
        let places = text[at..].char_indices().zip(piece);
        for ((from, c), item) in places {
            if self.is_full() {
                return;
            }
            if *item == Item::One {
                self.0.push(at + from..at + from + c.len_utf8());
            }
        }
    }
}

/// Does `text` match `pattern`? Then also what stood in its places, each cut to `room` octets; nothing where that is 0.
///
/// `steps` counts what it took; more than are left is an end without an answer.
pub(crate) fn matches(
    comparator: Comparator,
    text: &str,
    pattern: &str,
    room: usize,
    steps: &mut u64,
) -> Result<Option<Captures>, OutOfSteps> {
    let meter = &mut Meter { steps, octets: 0 };
    meter.spend((pattern.len() + text.len()) as u64)?;
    let pieces = pieces(pattern);
    meter.spend(pieces.len() as u64 * PIECE_OCTETS)?;
    let text = Text::new(comparator, text);
    let len = text.text.len();
    let mut places = Places(Vec::new());
    let (Some((first, rest)), Some(last)) = (pieces.split_first(), pieces.last()) else {
        return Ok(None);
    };
    let Some(mut at) = text.fits(first, 0, meter)? else {
        return Ok(None);
    };
    places.piece(first, text.text, 0);
    if let Some((_, middle)) = rest.split_last() {
        let Some(begin) = text.at_end(last, at, meter)? else {
            return Ok(None);
        };
        for piece in middle {
            let Some(found) = text.find(piece, at..begin, meter)? else {
                return Ok(None);
            };
            places.star(at..found.start);
            places.piece(piece, text.text, found.start);
            at = found.end;
        }
        places.star(at..begin);
        places.piece(last, text.text, begin);
    } else if at != len {
        return Ok(None);
    }
    let mut found = Captures::new();
    if room > 0 {
        let all = core::iter::once(0..len).chain(places.0);
        found.extend(all.map(|place| cut(&text.text[place], room).to_owned()));
    }
    Ok(Some(found))
}

/// The beginning of a text that has at most so many octets.
pub(crate) fn cut(text: &str, octets: usize) -> &str {
    &text[..text.floor_char_boundary(octets)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found_by(comparator: Comparator, text: &str, pattern: &str) -> Option<Vec<String>> {
        matches(comparator, text, pattern, 4_096, &mut 100_000).expect("enough steps")
    }

    fn found(text: &str, pattern: &str) -> Option<Vec<String>> {
        found_by(Comparator::AsciiCasemap, text, pattern)
    }

    #[test]
    fn patterns_take_as_little_as_they_may() {
        // RFC 5229 §3.2: its example.
        let captures = found("[acme-users] [fwd] version 1.0 is out", "[*] *").expect("matches");
        assert_eq!(captures[1..], ["acme-users", "[fwd] version 1.0 is out"]);
        let captures = found("frop-x", "??*-?").expect("matches");
        assert_eq!(captures[1..], ["f", "r", "op", "x"]);
        assert_eq!(found("aab", "*b").expect("matches")[1..], ["aa"]);
        assert_eq!(found("b*b", "\\b\\*b").expect("matches").len(), 1);
        assert_eq!(found("", "*").expect("matches")[1..], [""]);
        assert!(found("", "?").is_none());
        assert!(found("abc", "abcd").is_none());
        assert_eq!(found("é", "?").expect("matches")[1..], ["é"]);
        assert!(found_by(Comparator::UnicodeCasemap, "ÉA", "é?").is_some());
        // What is equal may be of other lengths.
        let captures = found_by(Comparator::UnicodeCasemap, "x\u{212a}y", "*k*").expect("matches");
        assert_eq!(captures[1..], ["x", "y"]);
        // Nothing is made where nothing is wanted, and what is made is cut between letters.
        let cut = |room| matches(Comparator::Octet, "aéb", "*b", room, &mut 100).expect("steps");
        assert_eq!(cut(0), Some(vec![]));
        assert_eq!(cut(2), Some(vec!["a".into(), "a".into()]));
    }

    /// A body of eight megabytes takes a small part of a run's fuel, however many stars there are.
    #[test]
    fn long_texts_take_little() {
        let text = format!(
            "{}INVOICE 7{}",
            "invoic ".repeat(600_000),
            "y ".repeat(2_000_000)
        );
        let mut steps = 1_000_000;
        let captures = matches(
            Comparator::AsciiCasemap,
            &text,
            "*invoice ?*",
            10,
            &mut steps,
        );
        assert_eq!(captures.expect("steps").expect("matches")[2], "7");
        assert!(steps > 600_000, "{steps}");
        let many = format!("*{}", "y *".repeat(400));
        let captures = matches(Comparator::AsciiCasemap, &text, &many, 10, &mut steps);
        assert!(captures.expect("steps").is_some());
        assert!(steps > 300_000, "{steps}");
    }

    #[test]
    fn patterns_end_when_their_steps_do() {
        let text = "a".repeat(100_000);
        let pattern = format!("*?{}?b*", "a".repeat(500));
        let found = |text: &str, steps| {
            let mut steps = steps;
            matches(Comparator::Octet, text, &pattern, 0, &mut steps)
        };
        assert_eq!(found(&text, 5_000), Err(OutOfSteps));
        assert_eq!(found(&text[..600], 5_000), Ok(None));
        // What stands before the letters is walked back over wherever they are found.
        let taken = |pattern: &str| {
            let mut steps = u64::MAX;
            let found = matches(Comparator::Octet, &text, pattern, 0, &mut steps);
            assert_eq!(found, Ok(None));
            u64::MAX - steps
        };
        let back = taken(&format!("*b{}aa*", "?".repeat(2_000)));
        assert!(back > 98_000 * 2_000 / 64, "{back}");
        // And a piece is looked for, however little stands in it.
        let stars = taken(&format!("{}b", "a*".repeat(50_000)));
        assert!(stars > 50_000, "{stars}");
    }

    proptest! {
        #[test]
        fn matches_agrees_with_a_regular_expression(text in "[abé]{0,10}", pattern in "[abé*?]{0,7}") {
            let part = |c: char| match c { '*' => "(.*?)".to_owned(), '?' => "(.)".to_owned(), c => c.to_string() };
            let anchored: String = pattern.chars().map(part).collect();
            let regex = regex::Regex::new(&format!("^{anchored}$")).expect("an expression");
            let captures = regex.captures(&text);
            let expected: Option<Vec<String>> = captures.map(|found| found.iter().map(|group| group.map_or(String::new(), |group| group.as_str().into())).collect());
            for comparator in [Comparator::Octet, Comparator::AsciiCasemap, Comparator::UnicodeCasemap] {
                // The last of them takes "é" for "e", of which there is none.
                prop_assert_eq!(&found_by(comparator, &text, &pattern), &expected);
            }
        }
    }
}
