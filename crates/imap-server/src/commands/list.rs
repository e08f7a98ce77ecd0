//! LIST (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154) and LSUB (RFC 3501 §6.3.9).

use crate::access::Place;
use crate::commands::{acl, enable, metadata, status};
use crate::limits::OUTPUT_BYTES;
use crate::list::{ListedName, add_others, matches_any, names, write_list_head, write_list_line};
use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use imap_proto::{ListCommand, ListPattern, ReturnOption, SelectionOption, StatusItem};
use mailbox_model::{MailboxName, View};
use mailstore::Rights;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) async fn list(session: &mut Session, command: &ListCommand) -> Executed {
    let form = session.name_form();
    let Some(view) = session.view() else {
        return Ok(Reply::bad("log in first"));
    };
    if command.asks_separator {
        write_list_line(&mut session.out, "LIST", &["\\NoSelect"], "", form);
        return Ok(Reply::ok("the separator"));
    }
    let mut names = names(&view);
    match session.others().await {
        Ok(others) => add_others(&mut names, others),
        Err(reply) => return Ok(reply),
    }
    let selects_subscribed = command.selection.contains(&SelectionOption::Subscribed);
    let with_subscribed = selects_subscribed || command.returns.contains(&ReturnOption::Subscribed);
    let status_items = command.returns.iter().find_map(|option| match option {
        ReturnOption::Status(items) => Some(items.as_slice()),
        _ => None,
    });
    if status_items.is_some_and(|items| items.contains(&StatusItem::HighestModSeq)) {
        enable::condstore(session);
    }
    let entries = command.returns.iter().find_map(|option| match option {
        ReturnOption::Metadata(entries) => Some(entries.as_slice()),
        _ => None,
    });
    let annotations = match (&session.login, entries) {
        (Some(login), Some(_)) => match login.account.annotations().await {
            Ok(annotations) => Some(annotations),
            Err(error) => return Ok(store_failed(&error)),
        },
        _ => None,
    };
    let with_rights = command.returns.contains(&ReturnOption::MyRights);
    let child_info = child_info(&names, command);
    for parent in &child_info {
        // RFC 9051 §6.3.9.6, table 3: also those that are no mailboxes.
        names.entry(parent.clone()).or_default();
    }
    for (name, listed) in &names {
        let has_child_info = child_info.contains(name);
        if !matches_any(&command.patterns, name) || !is_listed(listed, command, has_child_info) {
            continue;
        }
        // RFC 9051 §6.3.9.8, example 11: STATUS is not for those told only because of their children.
        let place = match listed.is_selected(&command.selection) {
            true => place_of(session, &view, listed),
            false => None,
        };
        let mut attributes = listed.attributes(with_subscribed, command.extended);
        let may_read = place
            .as_ref()
            .is_some_and(|place| place.rights.has(Rights::READ));
        if status_items.is_some() && place.is_some() && !may_read {
            // RFC 5819 §2
            attributes.insert(0, "\\NoSelect");
        }
        write_list_head(&mut session.out, "LIST", &attributes, name.as_str(), form);
        if has_child_info {
            // RFC 9051 §6.3.9.6: the option of the selection that a child satisfies.
            let word = if selects_subscribed {
                "SUBSCRIBED"
            } else {
                "SPECIAL-USE"
            };
            session.out.extend_from_slice(b" (\"CHILDINFO\" (\"");
            session.out.extend_from_slice(word.as_bytes());
            session.out.extend_from_slice(b"\"))");
        }
        session.out.extend_from_slice(b"\r\n");
        if let (Some(items), Some(place), true) = (status_items, &place, may_read) {
            let append_limit = session.config.append_bytes_max;
            let unseen = status::unseen(place, items).await.unwrap_or_default();
            let named = (name.as_str(), form);
            let mailbox = (&*place.mailbox, unseen, place.owner());
            status::write(&mut session.out, mailbox, named, items, append_limit);
        }
        if let (Some(place), true) = (&place, with_rights) {
            // RFC 8440 §3
            acl::write_mine(&mut session.out, name.as_str(), form, place.rights);
        }
        // RFC 9590 §4: of what is told only because of its children there are none.
        let own = place.as_ref().filter(|place| place.other.is_none());
        if let (Some(annotations), Some(own)) = (&annotations, own) {
            for entry in entries.unwrap_or_default() {
                let value = annotations.value(Some(own.mailbox.id()), entry);
                metadata::write(&mut session.out, name.as_str(), form, entry, value);
            }
        }
        if session.out.len() >= OUTPUT_BYTES {
            session.flush().await?;
        }
    }
    Ok(Reply::ok("that is all"))
}

/// The mailbox of a name, and what the user may do with it.
fn place_of(session: &Session, view: &Arc<View>, listed: &ListedName) -> Option<Place> {
    let id = listed.mailbox?;
    if let Some(other) = &listed.other {
        return other.view.mailbox(id).map(|mailbox| other.place(mailbox));
    }
    Some(Place {
        account: Arc::clone(&session.login.as_ref()?.account),
        view: Arc::clone(view),
        mailbox: Arc::clone(view.mailbox(id)?),
        rights: Rights::ALL,
        other: None,
    })
}

fn is_listed(listed: &ListedName, command: &ListCommand, has_child_info: bool) -> bool {
    if has_child_info {
        return true;
    }
    // A name that is only subscribed is no mailbox: told only to who asks for subscriptions.
    let exists = listed.mailbox.is_some() || listed.has_children;
    let asks = command.selection.contains(&SelectionOption::Subscribed);
    (exists || asks) && listed.is_selected(&command.selection)
}

/// RECURSIVEMATCH: names with a name below them that satisfies the selection
/// and matches no pattern itself.
fn child_info(
    names: &BTreeMap<MailboxName, ListedName>,
    command: &ListCommand,
) -> BTreeSet<MailboxName> {
    let mut parents = BTreeSet::new();
    if !command.selection.contains(&SelectionOption::RecursiveMatch) {
        return parents;
    }
    for (name, listed) in names {
        if listed.is_selected(&command.selection) && !matches_any(&command.patterns, name) {
            let mut above = name.parent();
            while let Some(parent) = above {
                above = parent.parent();
                if !parents.insert(parent) {
                    break;
                }
            }
        }
    }
    parents
}

pub(crate) async fn lsub(session: &mut Session, pattern: &ListPattern) -> Executed {
    let form = session.name_form();
    let Some(view) = session.view() else {
        return Ok(Reply::bad("log in first"));
    };
    let mut told: BTreeMap<MailboxName, bool> = BTreeMap::new();
    let mut parents = BTreeSet::new();
    for name in view.subscriptions() {
        if pattern.matches(name.as_str()) {
            told.insert(name.clone(), true);
            continue;
        }
        // RFC 3501 §6.3.9: with %, a parent is told for a subscribed name below it.
        let mut above = name.parent();
        while let Some(parent) = above.filter(|name| parents.insert(name.clone())) {
            above = parent.parent();
            if pattern.matches(parent.as_str()) {
                told.entry(parent).or_insert(false);
            }
        }
    }
    for (name, subscribed) in told {
        let attributes: &[&str] = if subscribed { &[] } else { &["\\NoSelect"] };
        write_list_line(&mut session.out, "LSUB", attributes, name.as_str(), form);
        if session.out.len() >= OUTPUT_BYTES {
            session.flush().await?;
        }
    }
    Ok(Reply::ok("that is all"))
}
