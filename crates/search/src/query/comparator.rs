//! Which texts are alike (RFC 5255 §4, RFC 4790): what SEARCH, SORT and THREAD compare by.

use mime::casemap_into;

/// A collation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Comparator {
    /// `i;unicode-casemap` (RFC 5051)
    #[default]
    UnicodeCasemap,
    /// `i;ascii-casemap`
    AsciiCasemap,
    /// `i;octet`
    Octet,
}

impl Comparator {
    const ALL: [(Self, &'static str); 3] = [
        (Self::UnicodeCasemap, "i;unicode-casemap"),
        (Self::AsciiCasemap, "i;ascii-casemap"),
        (Self::Octet, "i;octet"),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(one, _)| *one == self)
            .map_or("", |(_, name)| name)
    }

    /// Those that a name with wildcards means, the best first (RFC 4790 §3.2).
    #[must_use]
    pub fn meant_by(order: &str) -> Vec<Self> {
        let order = order.to_ascii_lowercase();
        if order == "default" {
            return vec![Self::default()];
        }
        let all = Self::ALL.into_iter();
        let meant = all.filter(|(_, name)| matches(&order, name));
        meant.map(|(one, _)| one).collect()
    }

    /// Texts whose forms are the same are alike.
    #[must_use]
    pub fn fold(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        self.fold_into(text, &mut out);
        out
    }

    /// Appends what [`Comparator::fold`] gives.
    pub fn fold_into(self, text: &str, out: &mut String) {
        match self {
            Self::UnicodeCasemap => casemap_into(text, out),
            Self::AsciiCasemap => {
                let from = out.len();
                out.push_str(text);
                out[from..].make_ascii_uppercase();
            }
            Self::Octet => out.push_str(text),
        }
    }
}

/// `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let pieces: Vec<&str> = rest.split('*').collect();
    let (last, middle) = pieces.split_last().map_or(("", &[][..]), |(l, m)| (*l, m));
    for piece in middle {
        match left.find(piece) {
            Some(at) => left = &left[at + piece.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_wildcards_mean_the_best_first() {
        use Comparator::{AsciiCasemap, Octet, UnicodeCasemap};
        let all = vec![UnicodeCasemap, AsciiCasemap, Octet];
        assert_eq!(Comparator::meant_by("*"), all);
        assert_eq!(Comparator::meant_by("i;*"), all);
        assert_eq!(Comparator::meant_by("default"), [UnicodeCasemap]);
        assert_eq!(
            Comparator::meant_by("i;*-casemap"),
            [UnicodeCasemap, AsciiCasemap]
        );
        assert_eq!(Comparator::meant_by("I;OCTET"), [Octet]);
        assert_eq!(
            Comparator::meant_by("i;*a*s*"),
            [UnicodeCasemap, AsciiCasemap]
        );
        assert_eq!(Comparator::meant_by("cz;*"), []);
        for (comparator, alike) in [
            (UnicodeCasemap, true),
            (AsciiCasemap, false),
            (Octet, false),
        ] {
            assert_eq!(comparator.fold("É") == comparator.fold("é"), alike);
        }
        assert_eq!(AsciiCasemap.fold("aB"), AsciiCasemap.fold("Ab"));
        assert_ne!(Octet.fold("a"), Octet.fold("A"));
    }
}
