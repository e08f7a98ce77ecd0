//! A message's own words: its header and its text parts, decoded.

use super::Comparator;
use crate::limits::{HEADER_BYTES_MAX, SEARCHED_BYTES_MAX};
use mailstore::{Account, EmailRecord, StoreError};
use mime::text::{header_for_search, text_for_search};
use mime::{PartIndex, PartKind};

/// What SEARCH looks at in a message.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The message's header as it is.
    pub(crate) header: Vec<u8>,
    /// Headers of the message and its parts, decoded, as they are compared.
    headers: Vec<String>,
    /// Headers of messages inside, which belong to the body.
    inner: Vec<String>,
    /// Text parts, decoded, as they are compared.
    texts: Vec<String>,
}

impl Content {
    /// Reads what a search needs: the header, and the body if its parts are
    /// named, folded by the comparator. Parts that are no text are not read.
    ///
    /// # Errors
    /// The body cannot be read.
    pub(crate) async fn read(
        account: &Account,
        record: &EmailRecord,
        header_len: u64,
        parts: Option<&PartIndex>,
        comparator: Comparator,
    ) -> Result<Self, StoreError> {
        let prefix = record.prefix.len() as u64;
        let header_end = (header_len + prefix).min(HEADER_BYTES_MAX);
        let mut content = Self {
            header: account.read_message(record, 0..header_end).await?.to_vec(),
            ..Self::default()
        };
        content
            .headers
            .push(comparator.fold(&header_for_search(&content.header)));
        let Some(parts) = parts else {
            return Ok(content);
        };
        let mut budget = SEARCHED_BYTES_MAX;
        for (i, part) in parts.parts().iter().enumerate() {
            if i > 0 && !part.header.is_empty() {
                let end = part.header.end.min(part.header.start + HEADER_BYTES_MAX);
                let range = part.header.start + prefix..end + prefix;
                let header = account.read_message(record, range).await?;
                let header = comparator.fold(&header_for_search(&header));
                if is_message(parts, part.parent) {
                    content.inner.push(header);
                } else {
                    content.headers.push(header);
                }
            }
            let is_text = part.kind == PartKind::Leaf && part.media_type.starts_with("text/");
            if !is_text || budget == 0 {
                continue;
            }
            let end = part.body.end.min(part.body.start.saturating_add(budget));
            budget -= end - part.body.start;
            let range = part.body.start + prefix..end + prefix;
            let body = account.read_message(record, range).await?;
            if let Some(text) = text_for_search(part, &body) {
                content.texts.push(comparator.fold(&text));
            }
        }
        Ok(content)
    }

    /// BODY: the body alone.
    pub(super) fn body_has(&self, needle: &str) -> bool {
        self.texts
            .iter()
            .chain(&self.inner)
            .any(|text| text.contains(needle))
    }

    /// TEXT: header, MIME headers and body.
    pub(super) fn text_has(&self, needle: &str) -> bool {
        self.headers.iter().any(|text| text.contains(needle)) || self.body_has(needle)
    }
}

/// Is the part's parent a message inside this one?
fn is_message(parts: &PartIndex, parent: Option<u32>) -> bool {
    parent
        .and_then(|parent| parts.part(parent))
        .is_some_and(|parent| parent.kind == PartKind::Message)
}
