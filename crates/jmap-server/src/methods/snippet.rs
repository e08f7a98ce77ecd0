//! SearchSnippet/get (RFC 8621 §5.1): where the words of a search stand.

use super::email_query::terms;
use super::{Done, look_of};
use crate::api::Calling;
use crate::blob_id::BlobRef;
use crate::email::body::Bodies;
use crate::email::message::{Message, Stored};
use crate::limits::{SNIPPET_BYTES_MAX, SNIPPET_TEXT_BYTES_MAX, SNIPPETS_MAX};
use jmap_proto::{Arguments, Filter, MethodError};
use mailbox_model::EmailId;
use mailstore::{EmailReader, EmailRecord, RecordError, StoreError};
use mime::{StoredDigest, casemap, charset, text::html_to_text};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) async fn run(calling: &Calling<'_>, mut arguments: Arguments) -> Done {
    let account_id = arguments.account_id()?;
    let filter = Filter::parse(arguments.value("filter"))?;
    let ids = arguments.texts("emailIds", SNIPPETS_MAX)?;
    arguments.finish()?;
    let ids = ids.ok_or_else(|| MethodError::InvalidArguments("emailIds is no list".into()))?;
    let look = look_of(calling, &account_id).await?;
    let (mut found, mut not_found) = (Vec::new(), Vec::new());
    for id in ids {
        match look.email(&id) {
            Some(email) => found.push((id, email)),
            None => not_found.push(id),
        }
    }
    let (subject, body) = terms(filter.as_ref());
    let fold = |terms: Vec<String>| terms.iter().map(|term| casemap(term)).collect::<Vec<_>>();
    let sought = Arc::new((fold(subject), fold(body)));
    let emails: Vec<EmailId> = found.iter().map(|(_, email)| *email).collect();
    let work = move |reader: &EmailReader| {
        let records = reader.email_records(&emails);
        let snippets = emails.iter().zip(records).map(|(email, record)| {
            let record = record?;
            snippet(reader, *email, &record, &sought)
        });
        snippets.collect::<Vec<Result<_, StoreError>>>()
    };
    let snippets = look.room.account.reading(work).await;
    let mut list = Vec::new();
    for ((id, email), snippet) in found.into_iter().zip(snippets) {
        match snippet {
            Ok((subject, preview)) => list.push(json!({
                "emailId": id,
                "subject": subject,
                "preview": preview,
            })),
            Err(error) => {
                tracing::error!(%email, %error, "jmap: an email cannot be read");
                not_found.push(id);
            }
        }
    }
    let not_found = match not_found.is_empty() {
        true => Value::Null,
        false => not_found.into(),
    };
    let mut answer = Map::new();
    answer.insert("accountId".into(), account_id.into());
    answer.insert("list".into(), list.into());
    answer.insert("notFound".into(), not_found);
    Ok(vec![("SearchSnippet/get", answer)])
}

type Snippet = (Option<String>, Option<String>);

fn snippet(
    reader: &EmailReader,
    email: EmailId,
    record: &EmailRecord,
    (subject_terms, body_terms): &(Vec<String>, Vec<String>),
) -> Result<Snippet, StoreError> {
    let damaged = |error| RecordError::Damaged(email, error);
    let digest = StoredDigest::read(&record.digest).map_err(damaged)?;
    let subject = digest.subject().map_err(damaged)?;
    let subject = mark(subject, subject_terms, usize::MAX);
    if body_terms.is_empty() {
        return Ok((subject, None));
    }
    let source = Stored {
        emails: reader,
        record,
        whole: None,
    };
    let message = Message::stored(BlobRef::email(email), record, &source, damaged)?;
    let bodies = Bodies::of(&message);
    for at in bodies.text.iter().chain(&bodies.html) {
        let Some(part) = message
            .part(*at)
            .filter(|part| part.media_type.starts_with("text/"))
        else {
            continue;
        };
        let (octets, _) = message.decoded(*at, SNIPPET_TEXT_BYTES_MAX)?;
        let text = charset::decode(part.charset.as_deref(), &octets);
        let text = match part.media_type == "text/html" {
            true => html_to_text(&text),
            false => text,
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(preview) = mark(&text, body_terms, SNIPPET_BYTES_MAX) {
            return Ok((subject, Some(preview)));
        }
    }
    Ok((subject, None))
}

/// The text, or the part of it where the first match is, as HTML with the matches marked; none
/// without a match.
fn mark(text: &str, terms: &[String], max: usize) -> Option<String> {
    let folded = Folded::of(text);
    let mut matches: Vec<(usize, usize)> = Vec::new();
    for term in terms.iter().filter(|term| !term.is_empty()) {
        let found = folded.text.match_indices(term.as_str());
        matches.extend(found.map(|(at, term)| folded.place(at, at + term.len())));
    }
    matches.sort_unstable();
    let &(first, _) = matches.first()?;
    // Some words before it, as far as there is room.
    let mut start = if max == usize::MAX {
        0
    } else {
        text.floor_char_boundary(first.saturating_sub(40))
    };
    if start > 0 {
        let word = text[start..first].find(' ').map(|at| start + at + 1);
        start = word.unwrap_or(first);
    }
    let mut out = String::new();
    let mut at = start;
    for (from, to) in matches {
        if to <= at || from < at {
            continue;
        }
        if !escape(&text[at..from], max, &mut out) {
            return Some(out);
        }
        let mut marked = String::from("<mark>");
        if !escape(&text[from..to], usize::MAX, &mut marked) {
            return Some(out);
        }
        marked.push_str("</mark>");
        if out.len() + marked.len() > max {
            return Some(out).filter(|out| out.contains("<mark>"));
        }
        out.push_str(&marked);
        at = to;
    }
    escape(&text[at..], max, &mut out);
    Some(out)
}

/// Appends a text as HTML as far as there is room; false if it is full.
fn escape(text: &str, max: usize, out: &mut String) -> bool {
    for c in text.chars() {
        let mut own = [0; 4];
        let written = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            c => c.encode_utf8(&mut own),
        };
        if out.len() + written.len() > max {
            return false;
        }
        out.push_str(written);
    }
    true
}

/// A text as it is compared, and where each piece of it comes from.
struct Folded {
    text: String,
    /// Where each character's form begins, and the character.
    places: Vec<(usize, usize)>,
    len: usize,
}

impl Folded {
    fn of(text: &str) -> Self {
        let mut folded = String::with_capacity(text.len());
        let mut places = Vec::new();
        for (at, c) in text.char_indices() {
            places.push((folded.len(), at));
            let mut own = [0; 4];
            mime::casemap_into(c.encode_utf8(&mut own), &mut folded);
        }
        Self {
            text: folded,
            places,
            len: text.len(),
        }
    }

    /// The characters that a range of the folded text comes from.
    fn place(&self, from: usize, to: usize) -> (usize, usize) {
        let first = self.places.partition_point(|(at, _)| *at <= from);
        let behind = self.places.partition_point(|(at, _)| *at < to);
        let start = self
            .places
            .get(first.saturating_sub(1))
            .map_or(0, |(_, at)| *at);
        let end = self.places.get(behind).map_or(self.len, |(_, at)| *at);
        (start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marked(text: &str, terms: &[&str], max: usize) -> Option<String> {
        let terms: Vec<String> = terms.iter().map(|term| casemap(term)).collect();
        mark(text, &terms, max)
    }

    #[test]
    fn matches_are_marked_and_the_rest_is_escaped() {
        for (text, terms, wanted) in [
            (
                "Hello <World>",
                &["world"][..],
                Some("Hello &lt;<mark>World</mark>&gt;"),
            ),
            ("a & b", &["x"], None),
            (
                "CAFÉ café",
                &["café"],
                Some("<mark>CAFÉ</mark> <mark>café</mark>"),
            ),
            ("会议通知", &["通知"], Some("会议<mark>通知</mark>")),
            ("aaa", &["aa"], Some("<mark>aa</mark>a")),
        ] {
            assert_eq!(marked(text, terms, usize::MAX).as_deref(), wanted, "{text}");
        }
        let long = format!("{} needle {}", "word ".repeat(100), "more ".repeat(100));
        let found = marked(&long, &["needle"], 255).expect("found");
        assert!(
            found.len() <= 255 && found.contains("<mark>needle</mark> more"),
            "{found}"
        );
        assert!(found.starts_with("word"), "{found}");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in "[aAé你<& ßİ]{0,60}", term in "[aé你ßİ]{0,3}", max in 0usize..80) {
            let out = mark(&text, &[casemap(&term)], max);
            prop_assert!(out.is_none_or(|out| out.len() <= max.max(13 + 12)));
        }
    }
}
