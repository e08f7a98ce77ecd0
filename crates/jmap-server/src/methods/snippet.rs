//! SearchSnippet/get (RFC 8621 §5.1): where the words of a search stand.

use super::email_query::{check, terms};
use super::{Done, look_of};
use crate::api::Calling;
use crate::blob_id::BlobRef;
use crate::email::body::Bodies;
use crate::email::message::{Message, Stored};
use crate::limits::{
    SNIPPET_BYTES_MAX, SNIPPET_PARTS_MAX, SNIPPET_TEXT_BYTES_MAX, SNIPPETS_MAX, SNIPPETS_PER_READ,
};
use jmap_proto::{Arguments, Filter, MethodError};
use mailbox_model::EmailId;
use mailstore::{EmailReader, EmailRecord, RecordError, StoreError};
use memchr::memmem::Finder;
use mime::{StoredDigest, charset, text::html_to_text};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) async fn run(calling: &mut Calling<'_>, mut arguments: Arguments) -> Done {
    let account_id = arguments.account_id()?;
    let filter = Filter::parse(arguments.value("filter"))?;
    let ids = arguments.texts("emailIds", SNIPPETS_MAX)?;
    arguments.finish()?;
    if let Some(filter) = &filter {
        check(filter)?;
    }
    let ids = ids.ok_or_else(|| MethodError::InvalidArguments("emailIds is no list".into()))?;
    let look = look_of(calling, &account_id).await?;
    let (mut found, mut not_found) = (Vec::new(), Vec::new());
    for id in ids {
        match look.email(&id) {
            Some(email) => found.push((id, email)),
            None => not_found.push(id),
        }
    }
    let sought = Arc::new(Sought::of(filter.as_ref()));
    let turn = calling.jmap.turn(calling.user).await?;
    let mut list = Vec::new();
    for some in found.chunks(SNIPPETS_PER_READ) {
        let emails: Vec<EmailId> = some.iter().map(|(_, email)| *email).collect();
        let (sought, budget, held) = (
            Arc::clone(&sought),
            Arc::clone(&calling.budget),
            turn.clone(),
        );
        let mut left = calling.snippet_bytes;
        let work = move |reader: &EmailReader| {
            let _held = held;
            let records = reader.email_records(&emails);
            let snippets = emails.iter().zip(records).map(|(email, record)| {
                let record = record?;
                let source = Stored::new(reader, &record, &budget);
                snippet(&source, *email, &record, &sought, &mut left)
            });
            let snippets = snippets.collect::<Vec<Result<_, StoreError>>>();
            (snippets, left)
        };
        let (snippets, left) = look.room.account.reading(work).await;
        calling.snippet_bytes = left;
        for ((id, email), snippet) in some.iter().zip(snippets) {
            match snippet {
                Ok((subject, preview)) => list.push(json!({
                    "emailId": id,
                    "subject": subject,
                    "preview": preview,
                })),
                Err(error) => {
                    tracing::error!(%email, %error, "jmap: an email cannot be read");
                    not_found.push(id.clone());
                }
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

/// What is looked for, as texts are compared.
struct Sought {
    subject: Vec<Finder<'static>>,
    body: Vec<Finder<'static>>,
}

impl Sought {
    fn of(filter: Option<&Filter>) -> Self {
        let (subject, body) = terms(filter);
        Self {
            subject: finders(subject),
            body: finders(body),
        }
    }
}

fn finders(terms: impl IntoIterator<Item = String>) -> Vec<Finder<'static>> {
    let terms = terms.into_iter().filter(|term| !term.is_empty());
    terms
        .map(|term| Finder::new(term.as_bytes()).into_owned())
        .collect()
}

type Snippet = (Option<String>, Option<String>);

/// RFC 8621 §5: what cannot be told is null; so is a preview for which too much would have to be read. `left`
/// is what may still be looked at.
fn snippet(
    source: &Stored<'_>,
    email: EmailId,
    record: &EmailRecord,
    sought: &Sought,
    left: &mut u64,
) -> Result<Snippet, StoreError> {
    let damaged = |error| RecordError::Damaged(email, error);
    let digest = StoredDigest::read(&record.digest).map_err(damaged)?;
    let subject = digest.subject().map_err(damaged)?;
    let subject = mark(subject, &sought.subject, usize::MAX);
    if sought.body.is_empty() {
        return Ok((subject, None));
    }
    let message = Message::stored(BlobRef::email(email), record, source, damaged)?;
    let bodies = Bodies::of(message.parts());
    let mut parts: Vec<u32> = Vec::new();
    for at in bodies.text.iter().chain(&bodies.html) {
        let part = message.part(*at);
        let is_text = part.is_some_and(|part| part.media_type.starts_with("text/"));
        if is_text && !parts.contains(at) && parts.len() < SNIPPET_PARTS_MAX {
            parts.push(*at);
        }
    }
    let mut own = SNIPPET_TEXT_BYTES_MAX;
    for at in parts {
        if own.min(*left) == 0 {
            break;
        }
        let (octets, _) = message.decoded(at, own.min(*left))?;
        own -= octets.len() as u64;
        *left -= octets.len() as u64;
        let Some(part) = message.part(at).filter(|_| !octets.is_empty()) else {
            continue;
        };
        let text = charset::decode(part.charset.as_deref(), &octets);
        let text = match part.media_type == "text/html" {
            true => html_to_text(&text),
            false => text,
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(preview) = preview(&text, &sought.body) {
            return Ok((subject, Some(preview)));
        }
    }
    Ok((subject, None))
}

/// The part of a text where the first match is, with the matches marked; none without one.
fn preview(text: &str, terms: &[Finder<'static>]) -> Option<String> {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        mime::casemap_into(c.encode_utf8(&mut [0; 4]), &mut folded);
    }
    let found = terms.iter().filter_map(|term| term.find(folded.as_bytes()));
    let first = found.min()?;
    // Where it comes from.
    let (mut len, mut place, mut one) = (0, 0, String::new());
    for (at, c) in text.char_indices() {
        one.clear();
        mime::casemap_into(c.encode_utf8(&mut [0; 4]), &mut one);
        place = at;
        len += one.len();
        if len > first {
            break;
        }
    }
    // Some words before it, as far as there is room.
    let mut start = text.floor_char_boundary(place.saturating_sub(40));
    if start > 0 {
        let word = text[start..place].find(' ').map(|at| start + at + 1);
        start = word.unwrap_or(place);
    }
    let longest = terms.iter().map(|term| term.needle().len()).max()?;
    // No match that is shown ends behind that: a letter has four octets at most, and none is shorter when it is folded
    // than a quarter of that.
    let end = place + SNIPPET_BYTES_MAX.max(4 * longest);
    mark(
        &text[start..text.ceil_char_boundary(end)],
        terms,
        SNIPPET_BYTES_MAX,
    )
}

/// A text as HTML with the matches marked, cut behind so many octets; none without a match.
fn mark(text: &str, terms: &[Finder<'static>], max: usize) -> Option<String> {
    let folded = Folded::of(text);
    let mut matches: Vec<(usize, usize)> = Vec::new();
    for term in terms {
        let found = term.find_iter(folded.text.as_bytes());
        let len = term.needle().len();
        matches.extend(found.map(|at| folded.place(at, at + len)));
    }
    if matches.is_empty() {
        return None;
    }
    matches.sort_unstable();
    let mut out = String::new();
    let mut at = 0;
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

    fn of(terms: &[&str]) -> Vec<Finder<'static>> {
        finders(terms.iter().map(|term| mime::casemap(term)))
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
            assert_eq!(
                mark(text, &of(terms), usize::MAX).as_deref(),
                wanted,
                "{text}"
            );
        }
        let long = format!("{} needle {}", "word ".repeat(100), "more ".repeat(100));
        let found = preview(&long, &of(&["needle"])).expect("found");
        assert!(
            found.len() <= 255 && found.contains("<mark>needle</mark> more"),
            "{found}"
        );
        assert!(found.starts_with("word"), "{found}");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in "[aAé你<& ßİ]{0,60}", long in "[aAé你<& ßİ]{0,600}", term in "[aé你 ßİ]{0,3}", max in 0usize..80) {
            let terms = of(&[&term]);
            let out = mark(&text, &terms, max);
            prop_assert!(out.is_none_or(|out| out.len() <= max.max(13 + 12)));
            let out = preview(&long, &terms);
            // What is there is found, wherever that is.
            prop_assert_eq!(out.is_some(), mark(&long, &terms, usize::MAX).is_some());
            prop_assert!(out.is_none_or(|out| out.len() <= SNIPPET_BYTES_MAX && out.contains("<mark>")));
        }
    }
}
