//! Properties that are header fields: `header:List-Post:asURLs:all`. RFC 8621 §4.1.2, §4.1.3

/// How a field's value is given. RFC 8621 §4.1.2
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderForm {
    /// As it stands there.
    Raw,
    /// Unfolded and decoded.
    Text,
    /// Mailboxes.
    Addresses,
    /// Mailboxes by group.
    GroupedAddresses,
    /// Ids of messages.
    MessageIds,
    /// A moment.
    Date,
    /// URLs in angle brackets.
    Urls,
}

/// One of these properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderProperty {
    /// The field's name as the client wrote it.
    pub field: String,
    /// The form.
    pub form: HeaderForm,
    /// All fields of that name, not the last one.
    pub all: bool,
}

impl HeaderProperty {
    /// Reads a property's name; none for other properties and for forms that the field does not
    /// have.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split(':');
        if parts.next() != Some("header") {
            return None;
        }
        let field = parts.next()?;
        // RFC 5322 §2.2
        if field.is_empty() || !field.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let mut form = HeaderForm::Raw;
        let mut next = parts.next();
        if let Some(word) = next.filter(|word| word.starts_with("as")) {
            form = match word {
                "asRaw" => HeaderForm::Raw,
                "asText" => HeaderForm::Text,
                "asAddresses" => HeaderForm::Addresses,
                "asGroupedAddresses" => HeaderForm::GroupedAddresses,
                "asMessageIds" => HeaderForm::MessageIds,
                "asDate" => HeaderForm::Date,
                "asURLs" => HeaderForm::Urls,
                _ => return None,
            };
            next = parts.next();
        }
        let all = match next {
            None => false,
            Some("all") => true,
            Some(_) => return None,
        };
        if parts.next().is_some() || !form.fits(field) {
            return None;
        }
        Some(Self {
            field: field.to_owned(),
            form,
            all,
        })
    }
}

impl HeaderForm {
    /// May a field be given so? RFC 8621 §4.1.2.1 to §4.1.2.7: fields that the message formats
    /// know have the forms that fit them, all others have all.
    #[must_use]
    pub fn fits(self, field: &str) -> bool {
        let field = field.to_ascii_lowercase();
        let is = |names: &[&str]| names.contains(&field.as_str());
        let known = is(&KNOWN);
        match self {
            Self::Raw => true,
            Self::Text => !known || is(&["subject", "comments", "keywords", "list-id"]),
            Self::Addresses | Self::GroupedAddresses => !known || is(&ADDRESSES),
            Self::MessageIds => {
                !known
                    || is(&[
                        "message-id",
                        "in-reply-to",
                        "references",
                        "resent-message-id",
                    ])
            }
            Self::Date => !known || is(&["date", "resent-date"]),
            Self::Urls => {
                let lists = [
                    "list-help",
                    "list-unsubscribe",
                    "list-subscribe",
                    "list-post",
                    "list-owner",
                    "list-archive",
                ];
                !known || is(&lists)
            }
        }
    }
}

const ADDRESSES: [&str; 12] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "resent-from",
    "resent-sender",
    "resent-reply-to",
    "resent-to",
    "resent-cc",
    "resent-bcc",
];

/// Fields of RFC 5322 and RFC 2369.
const KNOWN: [&str; 31] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "resent-from",
    "resent-sender",
    "resent-reply-to",
    "resent-to",
    "resent-cc",
    "resent-bcc",
    "date",
    "resent-date",
    "message-id",
    "in-reply-to",
    "references",
    "resent-message-id",
    "subject",
    "comments",
    "keywords",
    "list-id",
    "list-help",
    "list-unsubscribe",
    "list-subscribe",
    "list-post",
    "list-owner",
    "list-archive",
    "return-path",
    "received",
    "mime-version",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_those_that_fit_the_field() {
        let parsed = HeaderProperty::parse("header:List-Post:asURLs:all");
        let wanted = HeaderProperty {
            field: "List-Post".into(),
            form: HeaderForm::Urls,
            all: true,
        };
        assert_eq!(parsed, Some(wanted));
        for good in [
            "header:X-A",
            "header:X-A:all",
            "header:x-a:asDate",
            "header:Subject:asText",
            "header:from:asGroupedAddresses",
            "header:as:asRaw",
        ] {
            assert!(HeaderProperty::parse(good).is_some(), "{good}");
        }
        for bad in [
            "header",
            "header:",
            "header:a b",
            "header:A:asOther",
            "header:A:all:asText",
            "header:A:all:all",
            "header:From:asText",
            "header:Subject:asDate",
            "header:Received:asText",
            "subject",
        ] {
            assert_eq!(HeaderProperty::parse(bad), None, "{bad}");
        }
    }
}
