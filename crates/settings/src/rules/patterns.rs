//! What a rule compares with: names, addresses, people.

use std::fmt;

use envelope::{Address, Domain, ReversePath};
use toml_edit::Value;

use crate::Network;
use crate::kinds::{Kind, wrong_type};

/// A host or a domain: `example.org` is that one, `.example.org` all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// This one.
    Exact(String),
    /// All below it, but not itself; kept with the dot before it.
    Below(String),
}

/// An address: `ann@example.org`, `@example.org`, `@.example.org` (all below), or `<>` for the null sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressPattern {
    /// The null sender.
    Null,
    /// This one, in its form for look-ups.
    Exact(String),
    /// All of these domains.
    At(NamePattern),
}

/// Who logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserPattern {
    /// Anybody, or a program of this machine.
    Anybody,
    /// Nobody did.
    Nobody,
    /// One of these, by the accounts' own addresses.
    Of(Vec<AddressPattern>),
}

impl NamePattern {
    fn parse(text: &str) -> Result<Self, String> {
        let (below, name) = match text.strip_prefix('.') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let name = match Domain::parse_or_literal(name) {
            Ok(name) => name.as_str().to_owned(),
            Err(error) => return Err(format!("{text:?}: {error}")),
        };
        Ok(if below {
            Self::Below(format!(".{name}"))
        } else {
            Self::Exact(name)
        })
    }

    /// Whether a name, in lower case, fits.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Below(below) => name.ends_with(below.as_str()),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Exact(name) | Self::Below(name)) = self;
        f.write_str(name)
    }
}

impl AddressPattern {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "<>" {
            return Ok(Self::Null);
        }
        if let Some(name) = text.strip_prefix('@') {
            return NamePattern::parse(name).map(Self::At);
        }
        match Address::parse(text) {
            Ok(address) => Ok(Self::Exact(address.to_key())),
            Err(error) => Err(format!("{text:?}: {error}")),
        }
    }

    /// Whether an address fits.
    #[must_use]
    pub fn fits(&self, address: &Address) -> bool {
        match self {
            Self::Null => false,
            Self::Exact(key) => *key == address.to_key(),
            Self::At(name) => name.fits(address.domain().as_str()),
        }
    }

    /// Whether a reverse path fits.
    #[must_use]
    pub fn fits_path(&self, path: &ReversePath) -> bool {
        match path {
            ReversePath::Null => *self == Self::Null,
            ReversePath::Address(address) => self.fits(address),
        }
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Exact(key) => f.write_str(key),
            Self::At(name) => write!(f, "@{name}"),
        }
    }
}

impl fmt::Display for UserPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("anybody"),
            Self::Nobody => f.write_str("nobody"),
            Self::Of(patterns) => f.write_str(&any_of(patterns)),
        }
    }
}

/// `a, b or c`.
#[must_use]
pub fn any_of(all: &[impl fmt::Display]) -> String {
    let words: Vec<String> = all.iter().map(ToString::to_string).collect();
    match words.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// A text, or a list of texts; never none.
pub(super) fn one_or_more<T>(
    value: &Value,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    if let Some(text) = value.as_str() {
        return Ok(vec![read(text)?]);
    }
    let Some(array) = value.as_array() else {
        return Err(wrong_type(value));
    };
    if array.is_empty() {
        return Err("it is empty".to_owned());
    }
    let read = |item: &Value| read(item.as_str().ok_or_else(|| wrong_type(item))?);
    array.iter().map(read).collect()
}

/// Networks, one or more.
pub(super) struct Networks(pub(super) Vec<Network>);

impl Kind for Networks {
    const EXPECTED: &'static str = "an address or a network such as \"192.0.2.0/24\", or a list";

    fn read(value: &Value) -> Result<Self, String> {
        one_or_more(value, |text| {
            Network::parse(text).ok_or_else(|| format!("{text:?} is no network"))
        })
        .map(Self)
    }
}

impl Kind for Vec<NamePattern> {
    const EXPECTED: &'static str =
        "a name such as \"example.org\", or \".example.org\" for all below it, or a list";

    fn read(value: &Value) -> Result<Self, String> {
        one_or_more(value, NamePattern::parse)
    }
}

impl Kind for Vec<AddressPattern> {
    const EXPECTED: &'static str = "an address such as \"ann@example.org\", \"@example.org\", \"@.example.org\" or \"<>\", or a list";

    fn read(value: &Value) -> Result<Self, String> {
        one_or_more(value, AddressPattern::parse)
    }
}

impl Kind for UserPattern {
    const EXPECTED: &'static str =
        "true, false, or an account such as \"ann@example.org\" or \"@example.org\", or a list";

    fn read(value: &Value) -> Result<Self, String> {
        match value.as_bool() {
            Some(true) => Ok(Self::Anybody),
            Some(false) => Ok(Self::Nobody),
            None => one_or_more(value, AddressPattern::parse).map(Self::Of),
        }
    }
}
