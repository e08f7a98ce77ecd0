//! ESEARCH, the command: SEARCH over several mailboxes (MULTISEARCH, RFC 7377). The
//! selected mailbox stays what it is.

use crate::commands::search::{Telling, find_in, tell_of};
use crate::limits::{MULTISEARCH_MAILBOXES_MAX, OUTPUT_BYTES};
use crate::reply::{Executed, Reply};
use crate::selected::Selected;
use crate::session::Session;
use imap_proto::response::Code;
use imap_proto::{MultiSearchCommand, ReturnItem, SearchKey, SearchSource, Tag};
use mailbox_model::{MailboxId, MailboxName, View};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

pub(crate) async fn run(session: &mut Session, tag: &Tag, command: MultiSearchCommand) -> Executed {
    let Some(view) = session.view() else {
        return Ok(Reply::bad("log in first"));
    };
    let saves = command.returns.contains(&ReturnItem::Save);
    let by_number = |key: &SearchKey| matches!(key, SearchKey::Sequence(_));
    // RFC 7377 §2.1: numbers and `$` are the selected mailbox's.
    let only_selected = command.sources.is_empty() || command.sources == [SearchSource::Selected];
    if !only_selected && (saves || command.key.any(&mut |key| by_number(key))) {
        return Ok(Reply::bad(
            "numbers and saved results are for the selected mailbox alone",
        ));
    }
    if only_selected && session.selected.is_none() {
        return Ok(Reply::bad("select a mailbox first"));
    }
    let own = session
        .login
        .as_ref()
        .and_then(|login| session.selected_of(&login.account));
    let own = own.map(|selected| selected.id);
    let mailboxes = match only_selected {
        true => own.into_iter().collect(),
        false => chosen(&view, &command.sources, own),
    };
    if mailboxes.len() > MULTISEARCH_MAILBOXES_MAX {
        let text = "that is too many mailboxes for one search";
        return Ok(Reply::no(Code::LIMIT, text));
    }
    let form = session.name_form();
    let mut broken = false;
    let mut snapshots: Vec<Selected> = Vec::with_capacity(mailboxes.len());
    let with_selected = only_selected || command.sources.contains(&SearchSource::Selected);
    if let (Some(selected), true, None) = (&session.selected, with_selected, own) {
        // Another's.
        snapshots.push((**selected).clone());
    }
    for id in mailboxes {
        match (&session.selected, &session.login, view.mailbox(id)) {
            // As its client knows it.
            (Some(selected), ..) if own == Some(id) => snapshots.push((**selected).clone()),
            (_, Some(login), Some(mailbox)) => {
                snapshots.push(Selected::new(Arc::clone(&login.account), mailbox, true));
            }
            _ => {}
        }
    }
    for snapshot in snapshots {
        let newest = snapshot.account.view();
        let Some(mailbox) = newest.mailbox(snapshot.id) else {
            continue;
        };
        let shown = snapshot.shown_name(mailbox);
        let found = find_in(session, tag, &snapshot, command.key.clone()).await?;
        broken |= found.broken;
        let telling = Telling {
            word: "ESEARCH",
            tag,
            uid: true,
        };
        // RFC 7377 §2.1: a mailbox where nothing was found is not told.
        if !found.messages.is_empty() {
            let whose = (shown.as_str(), snapshot.uid_validity.0, form);
            tell_of(session, &found, telling, &command.returns, whose);
        }
        if session.out.len() >= OUTPUT_BYTES {
            session.flush().await?;
        }
    }
    let reply = Reply::ok("searched");
    Ok(match broken {
        true => reply.with_code(Code::SERVER_BUG),
        false => reply,
    })
}

/// The mailboxes that the sources name, each once; what is not there is passed over.
fn chosen(
    view: &View,
    sources: &[SearchSource],
    selected: Option<MailboxId>,
) -> BTreeSet<MailboxId> {
    let mut mailboxes = BTreeSet::new();
    let (mut personal, mut subscribed) = (false, false);
    let (mut trees, mut levels) = (HashSet::new(), HashSet::new());
    for source in sources {
        match source {
            SearchSource::Selected => mailboxes.extend(selected),
            // All that there is is personal.
            SearchSource::Personal => personal = true,
            SearchSource::Inboxes => mailboxes.extend(view.inbox().map(|inbox| inbox.id())),
            SearchSource::Subscribed => subscribed = true,
            SearchSource::Mailboxes(names) => {
                let names = names.iter();
                let names = names.filter_map(|name| MailboxName::parse(name.as_str()).ok());
                mailboxes.extend(names.filter_map(|name| Some(view.mailbox_named(&name)?.id())));
            }
            SearchSource::Subtree { names, one_level } => {
                let tops = if *one_level { &mut levels } else { &mut trees };
                tops.extend(names.iter().map(imap_proto::MailboxName::as_str));
            }
        }
    }
    if !personal && !subscribed && trees.is_empty() && levels.is_empty() {
        return mailboxes;
    }
    // Once, however many places there are to look in.
    for (name, id) in view.names() {
        let is_chosen = || {
            let text = name.as_str();
            let above = |(at, _): (usize, &str)| &text[..at];
            personal
                || (subscribed && view.is_subscribed(&name))
                || levels.contains(text)
                || text
                    .rsplit_once('/')
                    .is_some_and(|(up, _)| levels.contains(up))
                || trees.contains(text)
                || (!trees.is_empty()
                    && text
                        .match_indices('/')
                        .map(above)
                        .any(|up| trees.contains(up)))
        };
        if let Some(id) = id.filter(|_| is_chosen()) {
            mailboxes.insert(id);
        }
    }
    mailboxes
}
