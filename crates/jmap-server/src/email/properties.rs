//! Which properties of emails and their parts there are. RFC 8621 §4.1, §4.2

use crate::limits::HEADER_PROPERTIES_MAX;
use crate::methods::unknown_property;
use jmap_proto::{HeaderForm, HeaderProperty, MethodError};
use std::collections::BTreeSet;

/// A property of an email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Property {
    Id,
    BlobId,
    ThreadId,
    MailboxIds,
    Keywords,
    Size,
    ReceivedAt,
    /// By a name of its own, or `header:…`.
    Header(String, HeaderProperty),
    Headers,
    HasAttachment,
    Preview,
    BodyStructure,
    BodyValues,
    TextBody,
    HtmlBody,
    Attachments,
}

/// Names of header fields' properties. RFC 8621 §4.1.3
pub(crate) const FIELDS: [(&str, &str, HeaderForm); 11] = [
    ("messageId", "Message-ID", HeaderForm::MessageIds),
    ("inReplyTo", "In-Reply-To", HeaderForm::MessageIds),
    ("references", "References", HeaderForm::MessageIds),
    ("sender", "Sender", HeaderForm::Addresses),
    ("from", "From", HeaderForm::Addresses),
    ("to", "To", HeaderForm::Addresses),
    ("cc", "Cc", HeaderForm::Addresses),
    ("bcc", "Bcc", HeaderForm::Addresses),
    ("replyTo", "Reply-To", HeaderForm::Addresses),
    ("subject", "Subject", HeaderForm::Text),
    ("sentAt", "Date", HeaderForm::Date),
];

/// How many of the usual ones are the email's in its account, and not its message's (RFC 8621 §4.1.1).
pub(crate) const METADATA: usize = 7;

/// RFC 8621 §4.2: what is given where nothing is asked for.
pub(crate) const DEFAULT: [&str; 24] = [
    "id",
    "blobId",
    "threadId",
    "mailboxIds",
    "keywords",
    "size",
    "receivedAt",
    "messageId",
    "inReplyTo",
    "references",
    "sender",
    "from",
    "to",
    "cc",
    "bcc",
    "replyTo",
    "subject",
    "sentAt",
    "hasAttachment",
    "preview",
    "bodyValues",
    "textBody",
    "htmlBody",
    "attachments",
];

impl Property {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "blobId" => Self::BlobId,
            "threadId" => Self::ThreadId,
            "mailboxIds" => Self::MailboxIds,
            "keywords" => Self::Keywords,
            "size" => Self::Size,
            "receivedAt" => Self::ReceivedAt,
            "headers" => Self::Headers,
            "hasAttachment" => Self::HasAttachment,
            "preview" => Self::Preview,
            "bodyStructure" => Self::BodyStructure,
            "bodyValues" => Self::BodyValues,
            "textBody" => Self::TextBody,
            "htmlBody" => Self::HtmlBody,
            "attachments" => Self::Attachments,
            name => Self::Header(name.to_owned(), field(name)?),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Id => "id",
            Self::BlobId => "blobId",
            Self::ThreadId => "threadId",
            Self::MailboxIds => "mailboxIds",
            Self::Keywords => "keywords",
            Self::Size => "size",
            Self::ReceivedAt => "receivedAt",
            Self::Header(name, _) => name,
            Self::Headers => "headers",
            Self::HasAttachment => "hasAttachment",
            Self::Preview => "preview",
            Self::BodyStructure => "bodyStructure",
            Self::BodyValues => "bodyValues",
            Self::TextBody => "textBody",
            Self::HtmlBody => "htmlBody",
            Self::Attachments => "attachments",
        }
    }

    /// It needs more than the email's entry.
    pub(crate) fn needs_record(&self) -> bool {
        !matches!(
            self,
            Self::Id
                | Self::BlobId
                | Self::ThreadId
                | Self::MailboxIds
                | Self::Keywords
                | Self::Size
        )
    }
}

/// What a header's property is.
pub(crate) fn field(name: &str) -> Option<HeaderProperty> {
    let named = FIELDS.iter().find(|(known, ..)| *known == name);
    match named {
        Some((_, field, form)) => Some(HeaderProperty {
            field: (*field).to_owned(),
            form: *form,
            all: false,
        }),
        None => HeaderProperty::parse(name),
    }
}

/// A property of a part of a body. RFC 8621 §4.1.4
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartProperty {
    PartId,
    BlobId,
    Size,
    Headers,
    Name,
    Type,
    Charset,
    Disposition,
    Cid,
    Language,
    Location,
    SubParts,
    Header(String, HeaderProperty),
}

impl PartProperty {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "partId" => Self::PartId,
            "blobId" => Self::BlobId,
            "size" => Self::Size,
            "headers" => Self::Headers,
            "name" => Self::Name,
            "type" => Self::Type,
            "charset" => Self::Charset,
            "disposition" => Self::Disposition,
            "cid" => Self::Cid,
            "language" => Self::Language,
            "location" => Self::Location,
            "subParts" => Self::SubParts,
            name => Self::Header(name.to_owned(), HeaderProperty::parse(name)?),
        })
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::PartId => "partId",
            Self::BlobId => "blobId",
            Self::Size => "size",
            Self::Headers => "headers",
            Self::Name => "name",
            Self::Type => "type",
            Self::Charset => "charset",
            Self::Disposition => "disposition",
            Self::Cid => "cid",
            Self::Language => "language",
            Self::Location => "location",
            Self::SubParts => "subParts",
            Self::Header(name, _) => name,
        }
    }

    /// It is made from the part's own header.
    pub(crate) fn needs_header(&self) -> bool {
        matches!(
            self,
            Self::Headers | Self::Language | Self::Location | Self::Header(..)
        )
    }

    /// RFC 8621 §4.2
    fn default_ones() -> Vec<Self> {
        vec![
            Self::PartId,
            Self::BlobId,
            Self::Size,
            Self::Name,
            Self::Type,
            Self::Charset,
            Self::Disposition,
            Self::Cid,
            Self::Language,
            Self::Location,
        ]
    }
}

/// What is asked of emails.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) properties: Vec<Property>,
    pub(crate) part_properties: Vec<PartProperty>,
    pub(crate) text_values: bool,
    pub(crate) html_values: bool,
    pub(crate) all_values: bool,
    /// Octets of a body value; 0 for all.
    pub(crate) value_bytes_max: u64,
    /// Names of header fields that are asked for, in small letters.
    pub(crate) fields: BTreeSet<String>,
    /// Those of parts.
    pub(crate) part_fields: BTreeSet<String>,
}

impl Wanted {
    /// Takes them from the arguments of Email/get or Email/parse.
    pub(crate) fn take(
        arguments: &mut jmap_proto::Arguments,
        properties: Option<Vec<String>>,
        usual: &[&str],
    ) -> Result<Self, MethodError> {
        let usual = || usual.iter().map(|name| (*name).to_owned()).collect();
        let mut chosen = Vec::new();
        for name in properties.unwrap_or_else(usual) {
            let property = Property::parse(&name).ok_or_else(|| unknown_property(&name))?;
            if !chosen.contains(&property) {
                chosen.push(property);
            }
        }
        let max = jmap_proto::limits::PROPERTIES_MAX;
        let parts = match arguments.texts("bodyProperties", max)? {
            None => PartProperty::default_ones(),
            Some(names) => {
                let mut parts = Vec::new();
                for name in &names {
                    let property =
                        PartProperty::parse(name).ok_or_else(|| unknown_property(name))?;
                    if !parts.contains(&property) {
                        parts.push(property);
                    }
                }
                parts
            }
        };
        let of_emails = chosen.iter().filter_map(|property| match property {
            Property::Header(_, header) => Some(header.field.to_ascii_lowercase()),
            _ => None,
        });
        let of_parts = parts.iter().filter_map(|property| match property {
            PartProperty::Header(_, header) => Some(header.field.to_ascii_lowercase()),
            _ => None,
        });
        // One field may be asked for in many forms and spellings.
        if of_emails.clone().count() + of_parts.clone().count() > HEADER_PROPERTIES_MAX {
            return Err(MethodError::RequestTooLarge);
        }
        let (fields, part_fields) = (of_emails.collect(), of_parts.collect());
        Ok(Self {
            fields,
            part_fields,
            properties: chosen,
            part_properties: parts,
            text_values: arguments.flag("fetchTextBodyValues", false)?,
            html_values: arguments.flag("fetchHTMLBodyValues", false)?,
            all_values: arguments.flag("fetchAllBodyValues", false)?,
            value_bytes_max: arguments.unsigned("maxBodyValueBytes")?.unwrap_or(0),
        })
    }

    pub(crate) fn needs_record(&self) -> bool {
        self.properties.iter().any(Property::needs_record)
    }
}
