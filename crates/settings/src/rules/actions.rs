//! What a rule says, as it is written: replies, addresses, header fields.

use envelope::{Address, Domain, EnhancedStatus, LocalPart, Priority, Reply};
use toml_edit::Value;

use super::patterns::one_or_more;
use super::{Rewrite, Way};
use crate::kinds::{Kind, wrong_type};

/// The longest text of a reply, and line of a header field.
const TEXT_BYTES_MAX: usize = 400;
const FIELD_BYTES_MAX: usize = 900;

/// Transports that are tried one after the other.
const TRANSPORTS_MAX: usize = 8;

/// Fields that servers read to find loops and failures.
const TRACE_FIELDS: [&str; 3] = ["received", "return-path", "delivered-to"];

pub(super) struct Refusal(pub(super) Reply);
pub(super) struct Deferral(pub(super) Reply);
pub(super) struct Fields(pub(super) Vec<String>);
pub(super) struct FieldNames(pub(super) Vec<String>);
pub(super) struct Rank(pub(super) Priority);

impl Kind for Rank {
    const EXPECTED: &'static str = "a number from -9 to 9";

    fn read(value: &Value) -> Result<Self, String> {
        let number = value.as_integer().ok_or_else(|| wrong_type(value))?;
        let small = i8::try_from(number).ok().and_then(Priority::new);
        small.map(Self).ok_or_else(|| format!("{number} is none"))
    }
}

impl Kind for Refusal {
    const EXPECTED: &'static str = "a text, or with codes before it: \"550 5.7.1 not from there\"";

    fn read(value: &Value) -> Result<Self, String> {
        reply(value, 5, (550, 7, 1)).map(Self)
    }
}

impl Kind for Deferral {
    const EXPECTED: &'static str = "a text, or with codes before it: \"451 4.7.1 not now\"";

    fn read(value: &Value) -> Result<Self, String> {
        reply(value, 4, (451, 7, 1)).map(Self)
    }
}

/// `[code] [status] text`, all of one class.
fn reply(value: &Value, class: u8, usual: (u16, u16, u16)) -> Result<Reply, String> {
    let whole = value.as_str().ok_or_else(|| wrong_type(value))?.trim();
    let (mut code, mut rest) = (None, whole);
    if let Some((word, text)) = whole.split_once(' ')
        && word.len() == 3
        && let Ok(number) = word.parse::<u16>()
    {
        if number / 100 != u16::from(class) || number % 100 > 59 {
            return Err(format!("{number} is no code of {class}yz"));
        }
        (code, rest) = (Some(number), text.trim_start());
    }
    let mut status = EnhancedStatus::new(class, usual.1, usual.2);
    if let Some((word, text)) = rest.split_once(' ')
        && let Some(said) = EnhancedStatus::parse(word)
    {
        if said.class != class {
            return Err(format!("{said} does not begin with {class}"));
        }
        (status, rest) = (said, text.trim_start());
    }
    if rest.is_empty() {
        return Err("there is no text, which is what people read".to_owned());
    }
    let fits = |c: char| c == ' ' || c.is_ascii_graphic();
    if rest.len() > TEXT_BYTES_MAX || !rest.chars().all(fits) {
        return Err(format!(
            "its text is not {TEXT_BYTES_MAX} ASCII characters at most"
        ));
    }
    Ok(Reply::new(code.unwrap_or(usual.0), Some(status), rest))
}

impl Kind for Way {
    const EXPECTED: &'static str =
        "\"mx\", the name of a [transport] in this file, or a list of such names";

    fn read(value: &Value) -> Result<Self, String> {
        if value.as_str() == Some("mx") {
            return Ok(Self::Mx);
        }
        let names = one_or_more(value, |name| match name {
            "mx" => Err("\"mx\" is a way of its own, and in no list".to_owned()),
            name => Ok(name.to_owned()),
        })?;
        if names.len() > TRANSPORTS_MAX {
            return Err(format!("it names more than {TRANSPORTS_MAX} transports"));
        }
        let twice = names
            .iter()
            .enumerate()
            .find(|(at, name)| names[..*at].contains(name));
        match twice {
            Some((_, name)) => Err(format!("{name:?} is named twice")),
            None => Ok(Self::Transports(names)),
        }
    }
}

impl Kind for Rewrite {
    const EXPECTED: &'static str = "an address such as \"ann@example.org\", or \"*@example.org\"";

    fn read(value: &Value) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(|| wrong_type(value))?;
        let wrong = |error: String| format!("{text:?}: {error}");
        if let Some(domain) = text.strip_prefix("*@") {
            let domain = Domain::parse(domain).map_err(|error| wrong(error.to_string()))?;
            return Ok(Self {
                local: None,
                domain,
            });
        }
        let address = Address::parse(text).map_err(|error| wrong(error.to_string()))?;
        let local: LocalPart = address.local().clone();
        Ok(Self {
            local: Some(local),
            domain: address.domain().clone(),
        })
    }
}

impl Kind for Vec<Address> {
    const EXPECTED: &'static str = "an address such as \"journal@example.org\", or a list";

    fn read(value: &Value) -> Result<Self, String> {
        one_or_more(value, |text| {
            Address::parse(text).map_err(|error| format!("{text:?}: {error}"))
        })
    }
}

impl Kind for Fields {
    const EXPECTED: &'static str = "a header field such as \"X-Archived: yes\", or a list";

    fn read(value: &Value) -> Result<Self, String> {
        one_or_more(value, |text| {
            let (name, content) = text
                .split_once(':')
                .ok_or_else(|| format!("{text:?} has no colon"))?;
            let name = field_name(name)?;
            let fits = |c: char| c == ' ' || c.is_ascii_graphic();
            let content = content.trim();
            if content.is_empty() || !content.chars().all(fits) || text.len() > FIELD_BYTES_MAX {
                return Err(format!(
                    "{name}: its value is not {FIELD_BYTES_MAX} ASCII characters at most"
                ));
            }
            Ok(format!("{name}: {content}"))
        })
        .map(Self)
    }
}

impl Kind for FieldNames {
    const EXPECTED: &'static str = "the name of a header field such as \"X-Mailer\", or a list";

    fn read(value: &Value) -> Result<Self, String> {
        let name = |text: &str| field_name(text).map(|name| name.to_ascii_lowercase());
        one_or_more(value, name).map(Self)
    }
}

/// RFC 5322 §3.6.8: printable ASCII but the colon.
fn field_name(name: &str) -> Result<String, String> {
    let name = name.trim();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_graphic() && c != ':') {
        return Err(format!("{name:?} is no name of a header field"));
    }
    if TRACE_FIELDS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("{name} is how loops are found, and stays as it is"));
    }
    Ok(name.to_owned())
}
