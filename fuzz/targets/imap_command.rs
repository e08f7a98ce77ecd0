//! IMAP commands: garbage is an error, what is accepted is bounded, and the parts
//! that have a writer are read as written.
#![no_main]

use imap_proto::limits::NESTING_DEPTH_MAX;
use imap_proto::{
    AppendPart, Command, FetchItem, ImapUrl, ListPattern, LiteralHead, MailboxName, NameForm, SearchKey, SequenceSet, mutf7,
    parse_append_head, parse_command,
};
use libfuzzer_sys::fuzz_target;

const FORMS: [NameForm; 2] = [NameForm::ModifiedUtf7, NameForm::Utf8];

fn again(line: &[u8], form: NameForm) -> Command {
    match parse_command(line, form) {
        Ok((_, command)) => command,
        Err(error) => panic!("{error}: {}", line.escape_ascii()),
    }
}

fn check_name(name: &MailboxName) {
    for form in FORMS {
        let mut line = b"a DELETE ".to_vec();
        name.write(&mut line, form);
        assert_eq!(again(&line, form), Command::Delete(name.clone()));
    }
    assert_eq!(MailboxName::parse(name.as_str()).as_ref(), Ok(name));
    assert!(
        name.ancestors()
            .all(|above| name.as_str().starts_with(above))
    );
}

fn check_set(set: &SequenceSet) {
    let line = format!("a UID EXPUNGE {set}");
    assert_eq!(
        again(line.as_bytes(), NameForm::Utf8),
        Command::Expunge(Some(set.clone()))
    );
    let resolved = set.resolve(9);
    assert!(resolved.iter().all(|(from, to)| from <= to));
    assert!(
        resolved
            .windows(2)
            .all(|pair| u64::from(pair[0].1) + 1 < u64::from(pair[1].0))
    );
}

fn depth(key: &SearchKey) -> usize {
    1 + match key {
        SearchKey::And(keys) => keys.iter().map(depth).max().unwrap_or(0),
        SearchKey::Or(a, b) => depth(a).max(depth(b)),
        SearchKey::Not(key) => depth(key),
        _ => 0,
    }
}

/// An item's name in the answer, made a question again.
fn check_item(item: &FetchItem) {
    let mut line = b"a FETCH 1 (".to_vec();
    item.write_name(&mut line);
    let asked = match item {
        FetchItem::BodySection {
            section, partial, ..
        } => {
            if partial.is_some() {
                line.pop();
                line.extend_from_slice(b".1>");
            }
            let partial = partial.map(|p| imap_proto::Partial { length: 1, ..p });
            FetchItem::BodySection {
                peek: false,
                section: section.clone(),
                partial,
            }
        }
        FetchItem::Binary { part, partial, .. } => {
            if partial.is_some() {
                line.pop();
                line.extend_from_slice(b".1>");
            }
            let partial = partial.map(|p| imap_proto::Partial { length: 1, ..p });
            FetchItem::Binary {
                peek: false,
                part: part.clone(),
                partial,
            }
        }
        plain => plain.clone(),
    };
    line.push(b')');
    match again(&line, NameForm::Utf8) {
        Command::Fetch(fetch) => assert_eq!(fetch.items, [asked]),
        other => panic!("{other:?}"),
    }
}

fn check(command: &Command, line_bytes: usize) {
    // A value is not much larger than the line that asked for it.
    assert!(
        format!("{command:?}").len() <= 4_000 + 400 * line_bytes,
        "amplified"
    );
    match command {
        Command::Select(select) | Command::Examine(select) => check_name(&select.mailbox),
        Command::Create { mailbox, .. } | Command::Delete(mailbox) => check_name(mailbox),
        Command::Rename { from, to } => [from, to].into_iter().for_each(check_name),
        Command::Copy { set, mailbox, .. } | Command::Move { set, mailbox, .. } => {
            check_set(set);
            check_name(mailbox);
        }
        Command::Store(store) => check_set(&store.set),
        Command::Fetch(fetch) => {
            check_set(&fetch.set);
            fetch.items.iter().for_each(check_item);
        }
        Command::List(list) => list.patterns.iter().for_each(check_pattern),
        Command::Lsub(pattern) => check_pattern(pattern),
        Command::Search(search) => assert!(depth(&search.key) <= 2 * NESTING_DEPTH_MAX),
        _ => {}
    }
}

fn check_pattern(pattern: &ListPattern) {
    let _ = pattern.matches("INBOX") | pattern.matches("a/b") | pattern.is_empty();
}

/// Each message begins before it has octets and ends before the next begins.
fn check_parts(parts: &[AppendPart], goes_on: bool) {
    let mut inside = false;
    for (at, part) in parts.iter().enumerate() {
        match part {
            AppendPart::Begin { .. } => assert!(!std::mem::replace(&mut inside, true)),
            AppendPart::End => assert!(std::mem::replace(&mut inside, false)),
            AppendPart::Url(_) => assert!(inside),
            AppendPart::Message | AppendPart::Utf8Message | AppendPart::Text => assert!(inside && goes_on && at + 1 == parts.len()),
        }
    }
    assert_eq!(inside, goes_on);
}

/// A URL names what its text says, and what is authorized is the text's beginning.
fn check_url(text: &str) {
    if let Ok(url) = ImapUrl::parse(text) {
        assert!(url.uid > 0);
        if let Some(name) = &url.mailbox {
            check_name(name);
        }
        if let Some(auth) = &url.auth {
            assert!(text.is_char_boundary(auth.rump_len));
            assert!(auth.token.is_some() || auth.rump_len == text.len());
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let data = fuzz::expand(data);
    for form in FORMS {
        if let Ok((tag, command)) = parse_command(&data, form) {
            assert!(data.starts_with(tag.as_str().as_bytes()));
            check(&command, data.len());
        }
        let literal = LiteralHead {
            size: 1,
            sync: false,
            binary: false,
        };
        for literal in [None, Some(literal)] {
            if let Some(Ok(head)) = parse_append_head(&data, form, literal) {
                check_name(&head.mailbox);
                check_parts(&head.parts, literal.is_some());
            }
        }
        if let Ok(name) = MailboxName::from_wire(&data, form) {
            check_name(&name);
        }
    }
    if let Ok(name) = mutf7::decode(&data) {
        assert_eq!(mutf7::encode(&name).as_bytes(), data, "not canonical");
    }
    if let Ok(text) = core::str::from_utf8(&data) {
        check_url(text);
        assert_eq!(
            mutf7::decode(mutf7::encode(text).as_bytes()).as_deref(),
            Ok(text)
        );
    }
});
