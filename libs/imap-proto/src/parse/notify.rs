//! NOTIFY (RFC 5465 §8).

use super::fetch;
use super::search::source;
use crate::command::Command;
use crate::cursor::{Cursor, Parsed, syntax};
use crate::limits::{NOTIFY_GROUPS_MAX, NOTIFY_NAMES_MAX};
use crate::mailbox_name::NameForm;
use crate::notify::{EventGroup, NotifyEvent, NotifyFilter, NotifySet};
use crate::search::SearchSource;

/// ```abnf
/// notify       = "NOTIFY" SP ("SET" [SP "STATUS"] SP event-groups / "NONE")
/// event-groups = event-group *(SP event-group)
/// event-group  = "(" filter-mailboxes SP events ")"
/// events       = "(" event *(SP event) ")" / "NONE"
/// ```
pub(super) fn notify(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    cursor.space()?;
    if cursor.take_prefix("NONE") {
        return Ok(Command::Notify(None));
    }
    if !cursor.take_prefix("SET ") {
        return syntax("NOTIFY takes SET or NONE");
    }
    let status = cursor.take_prefix("STATUS ");
    let mut groups = Vec::new();
    loop {
        groups.push(group(cursor, form)?);
        if groups.len() > NOTIFY_GROUPS_MAX {
            return syntax("those are too many groups of events");
        }
        if !cursor.take(b' ') {
            break;
        }
    }
    let names = |group: &EventGroup| match &group.filter {
        NotifyFilter::Others(
            SearchSource::Subtree { names, .. } | SearchSource::Mailboxes(names),
        ) => names.len(),
        _ => 0,
    };
    if groups.iter().map(names).sum::<usize>() > NOTIFY_NAMES_MAX {
        return syntax("those are too many names of mailboxes");
    }
    // RFC 5465 §6.1
    let selected = |group: &&EventGroup| !matches!(group.filter, NotifyFilter::Others(_));
    if groups.iter().filter(selected).count() > 1 {
        return syntax("the selected mailbox is named once");
    }
    Ok(Command::Notify(Some(NotifySet { status, groups })))
}

fn group(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<EventGroup> {
    cursor.expect(b'(', "an opening parenthesis is missing")?;
    let filter = if cursor.take_prefix("SELECTED-DELAYED") {
        NotifyFilter::SelectedDelayed
    } else {
        match source(cursor, form)? {
            SearchSource::Selected => NotifyFilter::Selected,
            // What RFC 7377 adds is not for here.
            SearchSource::Subtree {
                one_level: true, ..
            } => return syntax("an unknown choice of mailboxes"),
            others => NotifyFilter::Others(others),
        }
    };
    cursor.space()?;
    let events = match cursor.take_prefix("NONE") {
        true => Vec::new(),
        false => cursor.list(false, event)?,
    };
    cursor.expect(b')', "a closing parenthesis is missing")?;
    check(&filter, &events)?;
    Ok(EventGroup { filter, events })
}

/// ```abnf
/// event         = message-event / mailbox-event / user-event / event-ext
/// message-event = "MessageNew" [SP "(" fetch-att *(SP fetch-att) ")"] / "MessageExpunge" /
///                 "FlagChange" / "AnnotationChange"
/// ```
fn event(cursor: &mut Cursor<'_>) -> Parsed<NotifyEvent> {
    Ok(match cursor.word()?.as_str() {
        "MESSAGENEW" => {
            let items = match cursor.clone().take_prefix(" (") {
                true => {
                    cursor.space()?;
                    fetch::items(cursor)?
                }
                false => Vec::new(),
            };
            NotifyEvent::MessageNew(items)
        }
        "MESSAGEEXPUNGE" => NotifyEvent::MessageExpunge,
        "FLAGCHANGE" => NotifyEvent::FlagChange,
        "MAILBOXNAME" => NotifyEvent::MailboxName,
        "SUBSCRIPTIONCHANGE" => NotifyEvent::SubscriptionChange,
        "MAILBOXMETADATACHANGE" => NotifyEvent::MailboxMetadataChange,
        "SERVERMETADATACHANGE" => NotifyEvent::ServerMetadataChange,
        _ => NotifyEvent::Unsupported,
    })
}

/// RFC 5465 §5, §6.1, §8: which events go together.
fn check(filter: &NotifyFilter, events: &[NotifyEvent]) -> Parsed<()> {
    let is_new = |event: &NotifyEvent| matches!(event, NotifyEvent::MessageNew(_));
    let has = |wanted: NotifyEvent| events.contains(&wanted);
    let (new, expunge) = (events.iter().any(is_new), has(NotifyEvent::MessageExpunge));
    if new != expunge {
        return syntax("MessageNew and MessageExpunge go together");
    }
    if has(NotifyEvent::FlagChange) && !new {
        return syntax("FlagChange goes with MessageNew and MessageExpunge");
    }
    let selected = !matches!(filter, NotifyFilter::Others(_));
    let of_message = |event: &NotifyEvent| {
        is_new(event)
            || matches!(
                event,
                NotifyEvent::MessageExpunge | NotifyEvent::FlagChange | NotifyEvent::Unsupported
            )
    };
    if selected && !events.iter().all(of_message) {
        return syntax("the selected mailbox has events of messages only");
    }
    let shows =
        |event: &NotifyEvent| matches!(event, NotifyEvent::MessageNew(items) if !items.is_empty());
    if !selected && events.iter().any(shows) {
        return syntax("items are told of messages in the selected mailbox only");
    }
    Ok(())
}
