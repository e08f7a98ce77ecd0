//! Keywords: IMAP's flags under JMAP's names. RFC 8621 §4.1.1

use mailbox_model::limits::KEYWORD_BYTES_MAX;
use mailbox_model::{Entry, Flag, FlagId, View};
use serde_json::{Map, Value};

/// An email's keywords, in small letters, but for those of IMAP that are none here.
pub(crate) fn of_entry(view: &View, entry: &Entry) -> Map<String, Value> {
    let names = entry.keywords.iter().map(|id| name_of(&view.flag(id)));
    let names = names.filter(|name| flag_of(name).is_some());
    names.map(|name| (name, Value::Bool(true))).collect()
}

/// A flag's name.
pub(crate) fn name_of(flag: &Flag) -> String {
    match flag {
        Flag::Seen => "$seen".into(),
        Flag::Answered => "$answered".into(),
        Flag::Flagged => "$flagged".into(),
        Flag::Draft => "$draft".into(),
        Flag::Deleted => "$deleted".into(),
        Flag::Keyword(name) => name.to_ascii_lowercase(),
    }
}

/// The flag of a keyword; none for what is no keyword here.
// RFC 8621 §4.1.1: `$recent` and `$deleted` are IMAP's and not shown.
pub(crate) fn flag_of(keyword: &str) -> Option<Flag> {
    Some(match keyword.to_ascii_lowercase().as_str() {
        "$seen" => Flag::Seen,
        "$answered" => Flag::Answered,
        "$flagged" => Flag::Flagged,
        "$draft" => Flag::Draft,
        "$recent" | "$deleted" => return None,
        other if other.starts_with('\\') || other.len() > KEYWORD_BYTES_MAX => return None,
        other => return Flag::parse(other),
    })
}

/// The number of a keyword, if the account knows it.
pub(crate) fn flag_id(view: &View, keyword: &str) -> Option<FlagId> {
    view.flag_id(&flag_of(keyword)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_flags_by_other_names() {
        assert_eq!(flag_of("$Seen"), Some(Flag::Seen));
        assert_eq!(
            flag_of("$Forwarded"),
            Some(Flag::Keyword("$forwarded".into()))
        );
        for bad in [
            "", "$deleted", "$Recent", "\\seen", "a b", "a(", "é", "a*", "a]",
        ] {
            assert_eq!(flag_of(bad), None, "{bad}");
        }
    }
}
