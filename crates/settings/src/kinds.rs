//! The types that a key's value can have, and how each is read from TOML.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use toml_edit::Value;

/// A type of the table of keys.
pub(crate) trait Kind: Sized {
    /// What a value must look like, for people; fits behind "expected".
    const EXPECTED: &'static str;

    /// Reads a value; the error says what is wrong with it.
    fn read(value: &Value) -> Result<Self, String>;

    /// The number that a range applies to.
    fn number(&self) -> Option<u64> {
        None
    }
}

pub(crate) fn wrong_type(value: &Value) -> String {
    format!(
        "this is {} {}",
        article(value.type_name()),
        value.type_name()
    )
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

pub(crate) fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| wrong_type(value))
}

impl Kind for String {
    const EXPECTED: &'static str = "text in quotes";

    fn read(value: &Value) -> Result<Self, String> {
        let text = text(value)?;
        if text.chars().any(char::is_control) {
            return Err("it holds control characters".to_owned());
        }
        Ok(text.to_owned())
    }
}

/// Text without blanks at its ends that is not empty: an entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(pub String);

impl Kind for Vec<Word> {
    const EXPECTED: &'static str = "a list of texts such as [\"mail.example.org\"]";

    fn read(value: &Value) -> Result<Self, String> {
        list(value, |text| {
            let fits =
                !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control);
            fits.then(|| Word(text.to_owned()))
                .ok_or_else(|| format!("{text:?} is empty, or has blanks around it"))
        })
    }
}

impl Kind for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";

    fn read(value: &Value) -> Result<Self, String> {
        String::read(value).map(Self::from)
    }
}

impl Kind for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| wrong_type(value))
    }
}

impl Kind for u64 {
    const EXPECTED: &'static str = "a whole number";

    fn read(value: &Value) -> Result<Self, String> {
        let number = value.as_integer().ok_or_else(|| wrong_type(value))?;
        Self::try_from(number).map_err(|_| "it is negative".to_owned())
    }

    fn number(&self) -> Option<u64> {
        Some(*self)
    }
}

/// A number of bytes: `"100 MiB"`, `"64k"` or a plain number. K, M and G are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Kind for Size {
    const EXPECTED: &'static str = "a size such as \"100 MiB\", or a number of bytes";

    fn read(value: &Value) -> Result<Self, String> {
        if value.is_integer() {
            return u64::read(value).map(Self);
        }
        let (number, unit) = number_and_unit(text(value)?)?;
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" | "bytes" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "t" | "tb" | "tib" => 1 << 40,
            _ => return Err(format!("{unit:?} is no unit of size")),
        };
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or_else(|| "it is too large".to_owned())
    }

    fn number(&self) -> Option<u64> {
        Some(self.0)
    }
}

impl Kind for Duration {
    const EXPECTED: &'static str =
        "a time such as \"90s\", \"5m\", \"4h\" or \"5d\", or a number of seconds";

    fn read(value: &Value) -> Result<Self, String> {
        if value.is_integer() {
            return u64::read(value).map(Self::from_secs);
        }
        let (number, unit) = number_and_unit(text(value)?)?;
        let factor = match unit {
            "" | "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86400,
            "w" => 604_800,
            _ => return Err(format!("{unit:?} is no unit of time")),
        };
        number
            .checked_mul(factor)
            .map(Self::from_secs)
            .ok_or_else(|| "it is too long".to_owned())
    }

    fn number(&self) -> Option<u64> {
        Some(self.as_secs())
    }
}

fn number_and_unit(text: &str) -> Result<(u64, &str), String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number
        .parse()
        .map_err(|_| format!("{text:?} does not begin with a number"))?;
    Ok((number, unit.trim()))
}

fn list<T>(value: &Value, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let array = value.as_array().ok_or_else(|| wrong_type(value))?;
    array.iter().map(|item| read(text(item)?)).collect()
}

impl Kind for Vec<SocketAddr> {
    const EXPECTED: &'static str =
        "a list of addresses with ports such as [\"127.0.0.1:25\", \"[::1]:25\"]";

    fn read(value: &Value) -> Result<Self, String> {
        list(value, |text| {
            text.parse()
                .map_err(|_| format!("{text:?} is no address with a port"))
        })
    }
}

impl Kind for Vec<IpAddr> {
    const EXPECTED: &'static str = "a list of addresses such as [\"192.0.2.25\"]";

    fn read(value: &Value) -> Result<Self, String> {
        list(value, |text| {
            text.parse().map_err(|_| format!("{text:?} is no address"))
        })
    }
}

/// A range of addresses, such as 10.0.0.0/8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Network {
    /// Reads `address/prefix` or a single address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok()?,
            None => longest,
        };
        (prefix <= longest).then_some(Self { address, prefix })
    }

    /// Whether `address` is in it; an IPv4 address in IPv6 clothes counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Kind for Vec<Network> {
    const EXPECTED: &'static str = "a list of networks such as [\"10.0.0.0/8\", \"192.0.2.1\"]";

    fn read(value: &Value) -> Result<Self, String> {
        list(value, |text| {
            Network::parse(text).ok_or_else(|| format!("{text:?} is no network"))
        })
    }
}

/// A list in the DNS that says what addresses are known for (RFC 5782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameList {
    /// Its name, in lower case, without a dot at its end.
    pub zone: String,
    /// What a listing says against an address; below zero it speaks for it.
    pub points: i32,
    /// The codes that count, from and to; all when there are none.
    codes: Vec<(Ipv4Addr, Ipv4Addr)>,
}

/// What a listing counts unless said.
const LIST_POINTS: i32 = 10;
/// What it may count.
const LIST_POINTS_MAX: i32 = 1000;

impl NameList {
    /// Reads `zone`, `zone*points` or `zone=codes*points`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (text, points) = match text.split_once('*') {
            Some((text, points)) => (text, points.parse().ok()?),
            None => (text, LIST_POINTS),
        };
        let (zone, codes) = match text.split_once('=') {
            Some((zone, codes)) => (zone, codes.split('|').map(code_range).collect()),
            None => (text, Some(Vec::new())),
        };
        let zone = zone.strip_suffix('.').unwrap_or(zone).to_ascii_lowercase();
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let fits = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(letter);
        let named = zone.len() <= 180 && zone.contains('.') && zone.split('.').all(fits);
        (named && (-LIST_POINTS_MAX..=LIST_POINTS_MAX).contains(&points)).then_some(Self {
            zone,
            points,
            codes: codes?,
        })
    }

    /// Whether a code is one that counts.
    #[must_use]
    pub fn counts(&self, code: Ipv4Addr) -> bool {
        let within = |(from, to): &(Ipv4Addr, Ipv4Addr)| (from..=to).contains(&&code);
        self.codes.is_empty() || self.codes.iter().any(within)
    }
}

fn code_range(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to): (Ipv4Addr, Ipv4Addr) = (from.parse().ok()?, to.parse().ok()?);
    (from.octets()[0] == 127 && to.octets()[0] == 127 && from <= to).then_some((from, to))
}

impl Kind for Vec<NameList> {
    const EXPECTED: &'static str =
        "lists such as [\"zen.spamhaus.org\", \"bl.example.net=127.0.0.2-127.0.0.9*6\"]";

    fn read(value: &Value) -> Result<Self, String> {
        list(value, |text| {
            NameList::parse(text).ok_or_else(|| format!("{text:?} is no list"))
        })
    }
}

/// A host and a port, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort(pub Option<(String, u16)>);

impl HostPort {
    /// The host (a name, or an address without brackets) and the port, when set.
    #[must_use]
    pub fn get(&self) -> Option<(&str, u16)> {
        self.0.as_ref().map(|(host, port)| (host.as_str(), *port))
    }
}

impl Kind for HostPort {
    const EXPECTED: &'static str = "\"host:port\", or \"\" for none";

    fn read(value: &Value) -> Result<Self, String> {
        let text = text(value)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self(Some((address.ip().to_string(), address.port()))));
        }
        let wrong = || format!("{text:?} is no host with a port");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || !host.chars().all(fits) {
            return Err(wrong());
        }
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self(Some((host.to_owned(), port))))
    }
}

/// A time of the day, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay(Option<u64>);

impl TimeOfDay {
    /// Minutes since midnight, when set.
    #[must_use]
    pub fn minutes(self) -> Option<u64> {
        self.0
    }
}

impl Kind for TimeOfDay {
    const EXPECTED: &'static str = "a time such as \"03:30\", or \"\" for none";

    fn read(value: &Value) -> Result<Self, String> {
        let text = text(value)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let number = |text: &str, below: u64| {
            let fits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|n: &u64| fits && *n < below)
        };
        text.split_once(':')
            .and_then(|(hour, minute)| Some(number(hour, 24)? * 60 + number(minute, 60)?))
            .map(|minutes| Self(Some(minutes)))
            .ok_or_else(|| format!("{text:?} is no time of the day"))
    }
}

macro_rules! choices {
    ($(#[doc = $doc:literal])+ $name:ident, $expected:literal { $( $(#[doc = $choice_doc:literal])+ $choice:ident = $word:literal, )+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $( $(#[doc = $choice_doc])+ $choice, )+
        }

        impl $name {
            /// The word in the file.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$choice => $word, )+ }
            }
        }

        impl $crate::kinds::Kind for $name {
            const EXPECTED: &'static str = $expected;

            fn read(value: &toml_edit::Value) -> Result<Self, String> {
                match $crate::kinds::text(value)? {
                    $( $word => Ok(Self::$choice), )+
                    other => Err(format!("{other:?} is none of them")),
                }
            }
        }
    };
}

pub(crate) use choices;

choices! {
    /// What happens to mail for elsewhere.
    OutboundMode, "\"direct\", \"hold\" or \"demo\"" {
        /// It is sent.
        Direct = "direct",
        /// It waits until an operator releases it.
        Hold = "hold",
        /// It waits because this is a demonstration; a smart host, when set, gets it.
        Demo = "demo",
    }
}

choices! {
    /// Which suppressed addresses count.
    Suppressing, "\"off\", \"operator\" or \"all\"" {
        /// None.
        Off = "off",
        /// Those that people have put there.
        Operator = "operator",
        /// Those that refused for good or complained too.
        All = "all",
    }
}

choices! {
    /// A service that users log in to.
    UserService, "\"submission\", \"submissions\", \"imap\", \"imaps\", \"pop3\" or \"pop3s\"" {
        /// listen.submission.
        Submission = "submission",
        /// listen.submissions.
        Submissions = "submissions",
        /// listen.imap.
        Imap = "imap",
        /// listen.imaps.
        Imaps = "imaps",
        /// listen.pop3.
        Pop3 = "pop3",
        /// listen.pop3s.
        Pop3s = "pop3s",
    }
}

impl Kind for Vec<UserService> {
    const EXPECTED: &'static str = "a list of services such as [\"submissions\", \"imaps\"]";

    fn read(value: &Value) -> Result<Self, String> {
        list(value, |text| {
            UserService::read(&text.into()).map_err(|_| {
                format!(
                    "{text:?} is no service that users log in to: {}",
                    UserService::EXPECTED
                )
            })
        })
    }
}

choices! {
    /// What a finding about a stranger's server leads to.
    CheckMode, "\"off\", \"mark\" or \"refuse\"" {
        /// It is not looked for.
        Off = "off",
        /// It is noted, and adds to what else is found.
        Mark = "mark",
        /// It is enough to refuse mail.
        Refuse = "refuse",
    }
}

choices! {
    /// The form of the log's lines.
    LogFormat, "\"text\" or \"json\"" {
        /// For people.
        Text = "text",
        /// For machines.
        Json = "json",
    }
}

choices! {
    /// The least important events that are told.
    LogLevel, "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"" {
        /// Something is broken and a person must act.
        Error = "error",
        /// Something is wrong and may need a person.
        Warn = "warn",
        /// What happens to mail.
        Info = "info",
        /// What a developer asks for.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}
