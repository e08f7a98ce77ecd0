//! Every text a person sees outside the web pages, in English and Simplified Chinese.
//!
//! * [`Lang`] – the languages there are
//! * [`Text`] – one text in all of them
//! * [`dsn`] – what delivery reports say
//! * [`held`] – what a notice says that a user's mail is held
//! * [`imap`], [`pop3`] – what sessions say in another language than English
//! * [`quota`] – what a notice says that an account or a domain is nearly full
//!
//! Not here: log lines, other protocol replies (they are English), the web pages'
//! catalogue, and how a text is put into a message.
//!
//! Invariants: each text exists in every language; no text holds a control
//! character but LF.

#![forbid(unsafe_code)]

pub mod dsn;
pub mod held;
pub mod imap;
pub mod pop3;
pub mod quota;

/// A language that texts exist in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lang {
    /// English.
    En,
    /// Simplified Chinese.
    ZhHans,
}

impl Lang {
    /// All of them, in the order in which a bilingual text shows them.
    pub const ALL: [Self; 2] = [Self::En, Self::ZhHans];

    /// The language that suits a tag such as `en-GB` or `zh_CN` (RFC 5646).
    /// Every kind of Chinese is given the one that there is.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "en" => Some(Self::En),
            "zh" => Some(Self::ZhHans),
            _ => None,
        }
    }

    /// The language's own tag.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::ZhHans => "zh-Hans",
        }
    }
}

/// A text's other half in a table, where `{}` stands for a number: the same one in both.
fn counterpart(table: &[(&str, &str)], text: &str) -> Option<String> {
    table.iter().find_map(|(from, to)| {
        let mut rest = text;
        let mut numbers = Vec::new();
        let mut pieces = from.split("{}");
        rest = rest.strip_prefix(pieces.next()?)?;
        for piece in pieces {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            numbers.push(rest.get(..digits).filter(|digits| !digits.is_empty())?);
            rest = rest.get(digits..)?.strip_prefix(piece)?;
        }
        if !rest.is_empty() {
            return None;
        }
        let mut filled = String::new();
        let mut numbers = numbers.into_iter();
        for (at, piece) in to.split("{}").enumerate() {
            if at > 0 {
                filled.push_str(numbers.next()?);
            }
            filled.push_str(piece);
        }
        Some(filled)
    })
}

/// One text in every language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// English.
    pub en: &'static str,
    /// Simplified Chinese.
    pub zh_hans: &'static str,
}

impl Text {
    const fn new(en: &'static str, zh_hans: &'static str) -> Self {
        Self { en, zh_hans }
    }

    /// The text in `lang`.
    #[must_use]
    pub const fn lang(&self, lang: Lang) -> &'static str {
        match lang {
            Lang::En => self.en,
            Lang::ZhHans => self.zh_hans,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_find_their_language() {
        for (tag, lang) in [
            ("en", Some(Lang::En)),
            ("EN-gb", Some(Lang::En)),
            ("zh_CN", Some(Lang::ZhHans)),
            ("zh-Hant-TW", Some(Lang::ZhHans)),
            ("de", None),
            ("", None),
            ("english", None),
        ] {
            assert_eq!(Lang::from_tag(tag), lang, "{tag}");
        }
        for lang in Lang::ALL {
            assert_eq!(Lang::from_tag(lang.tag()), Some(lang));
        }
    }
}
