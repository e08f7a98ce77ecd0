//! Looking for words as a person would (SEARCH=FUZZY, RFC 6203), and how well a message fits.
//!
//! A text is looked for word by word, without accents: as it is, as a word's beginning, or with a letter or
//! two wrong; Han, kana and Hangul by pairs of characters. Two thirds of the words have to be there. All
//! of them, as they are, next to each other and often, score 100.

use crate::limits::{FUZZY_LETTERS_MAX, FUZZY_WORDS_MAX};

/// A text that is looked for.
#[derive(Debug)]
pub struct Fuzzy {
    /// As it was given, folded.
    phrase: String,
    words: Vec<Word>,
}

#[derive(Debug)]
struct Word {
    letters: Vec<char>,
    /// Of a script without blanks: found anywhere.
    text: Option<String>,
}

/// What was found of it in a text, or in several.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fit {
    phrase: bool,
    /// Of each word the best that was found, and how often.
    words: Vec<(Grade, u32)>,
}

/// How a word was found, the best last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    #[default]
    Missing,
    TwoWrong,
    OneWrong,
    Beginning,
    Whole,
}

impl Grade {
    fn weight(self) -> u32 {
        match self {
            Self::Missing => 0,
            Self::TwoWrong => 35,
            Self::OneWrong => 55,
            Self::Beginning => 80,
            Self::Whole => 100,
        }
    }
}

impl Fuzzy {
    /// `text` is folded.
    pub(crate) fn new(text: &str) -> Self {
        let mut words = Vec::new();
        for run in runs(text) {
            words.extend(words_of(run));
        }
        words.truncate(FUZZY_WORDS_MAX);
        Self {
            phrase: text.trim().to_owned(),
            words,
        }
    }

    /// Looks for it in a folded text; `fit` is of the texts before.
    pub(crate) fn look(&self, text: &str, fit: &mut Fit) {
        fit.words.resize(self.words.len(), Default::default());
        fit.phrase |= text.contains(&self.phrase);
        for (word, (grade, times)) in self.words.iter().zip(&mut fit.words) {
            if let Some(pair) = &word.text {
                // Enough to tell often from seldom.
                let found = text.matches(pair.as_str()).take(OFTEN as usize).count();
                if found > 0 {
                    *grade = Grade::Whole;
                    *times += u32::try_from(found).unwrap_or(OFTEN);
                }
            }
        }
        if self.words.iter().all(|word| word.text.is_some()) {
            return;
        }
        let mut letters = Vec::new();
        for run in runs(text) {
            letters.clear();
            letters.extend(run.chars().filter(|&c| !is_mark(c)).take(FUZZY_LETTERS_MAX));
            for (word, (grade, times)) in self.words.iter().zip(&mut fit.words) {
                if word.text.is_none() {
                    let here = word.grade(&letters);
                    *times += u32::from(here != Grade::Missing);
                    *grade = here.max(*grade);
                }
            }
        }
    }

    /// From 1 to 100; 0 is no match.
    pub(crate) fn score(&self, fit: &Fit) -> u32 {
        if fit.phrase {
            let often = fit.words.iter().map(|(_, times)| *times).min();
            return 90 + often.unwrap_or(OFTEN).min(OFTEN) * 10 / OFTEN;
        }
        let count = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        let found = fit
            .words
            .iter()
            .filter(|(grade, _)| *grade != Grade::Missing);
        let found = u32::try_from(found.count()).unwrap_or(u32::MAX);
        if count == 0 || found * 3 < count * 2 {
            return 0;
        }
        let weight: u32 = fit.words.iter().map(|(grade, _)| grade.weight()).sum();
        let times: u32 = fit.words.iter().map(|(_, times)| (*times).min(OFTEN)).sum();
        (weight * 8 / 10 / count + times * 10 / OFTEN / count).max(1)
    }
}

/// More of a word is no better.
const OFTEN: u32 = 8;

impl Word {
    fn grade(&self, found: &[char]) -> Grade {
        let (word, len) = (&self.letters, self.letters.len());
        if found == word.as_slice() {
            return Grade::Whole;
        }
        if len > 2 && found.starts_with(word) {
            return Grade::Beginning;
        }
        // Short words are near to many others.
        let wrong_max = match len {
            0..4 => return Grade::Missing,
            4..8 => 1,
            _ => 2,
        };
        let alike = found.first() == word.first() || found.last() == word.last();
        if !alike || found.len().abs_diff(len) > wrong_max {
            return Grade::Missing;
        }
        match distance(word, found) {
            1 => Grade::OneWrong,
            2 if wrong_max == 2 => Grade::TwoWrong,
            _ => Grade::Missing,
        }
    }
}

/// Runs of letters and digits, with their marks.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && !is_mark(c))
        .filter(|run| !run.is_empty())
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Written without blanks between words.
fn is_dense(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

fn words_of(run: &str) -> Vec<Word> {
    let letters: Vec<char> = run.chars().filter(|&c| !is_mark(c)).collect();
    let mut words = Vec::new();
    for same in letters.chunk_by(|&one, &other| is_dense(one) == is_dense(other)) {
        if !is_dense(same[0]) {
            words.push(Word {
                letters: same.iter().copied().take(FUZZY_LETTERS_MAX).collect(),
                text: None,
            });
            continue;
        }
        for pair in same.windows(2.min(same.len())) {
            words.push(Word {
                letters: Vec::new(),
                text: Some(pair.iter().collect()),
            });
        }
    }
    words
}

/// Letters that are wrong, missing, too many, or in each other's place.
fn distance(one: &[char], other: &[char]) -> usize {
    let width = other.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, b) in other.iter().enumerate() {
            let changed = last[j] + usize::from(a != b);
            let mut best = changed.min(last[j + 1] + 1).min(row[j] + 1);
            let swapped = i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b;
            if swapped {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use mime::casemap;

    fn score(wanted: &str, text: &str) -> u32 {
        let fuzzy = Fuzzy::new(&casemap(wanted));
        let mut fit = Fit::default();
        fuzzy.look(&casemap(text), &mut fit);
        fuzzy.score(&fit)
    }

    #[test]
    fn what_fits_better_scores_more() {
        let order = [
            ("meeting tomorrow", "meeting tomorrow ".repeat(9)),
            ("meeting tomorrow", "the Meeting Tomorrow".to_owned()),
            ("meeting tomorrow", "tomorrow is a meeting".to_owned()),
            ("meeting tomorrow", "tomorrow there are meetings".to_owned()),
            ("meeting tomorrow", "a meetnig, tomorow".to_owned()),
            ("meeting tomorrow", "a meeting".to_owned()),
        ];
        let scores: Vec<u32> = order.iter().map(|(a, b)| score(a, b)).collect();
        assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
        assert_eq!((scores[0], scores[5]), (100, 0));
        for (wanted, text) in [
            ("Helo", "hello"),
            ("cafe", "un café"),
            ("naïve", "naive"),
            ("report 2026 draft", "the draft report"),
            ("会议通知", "关于会议的通知"),
            ("の会", "明日の会"),
        ] {
            let score = score(wanted, text);
            assert!((1..100).contains(&score), "{wanted} {text} {score}");
        }
        for (wanted, text) in [
            ("hello", "help"),
            ("cat", "car"),
            ("abcd", "xbcy"),
            ("", "anything"),
            ("会议通知", "通告"),
            ("two words", "words"),
        ] {
            let expected = if wanted.is_empty() { 100 } else { 0 };
            assert_eq!(score(wanted, text), expected, "{wanted} {text}");
        }
    }

    #[test]
    fn letters_are_counted_that_are_not_in_their_place() {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        for (one, other, wrong) in [
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "abcd", 1),
            ("abc", "bc", 1),
            ("abcd", "badc", 2),
            ("", "ab", 2),
        ] {
            assert_eq!(distance(&letters(one), &letters(other)), wrong);
        }
    }
}
