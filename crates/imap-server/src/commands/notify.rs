//! NOTIFY (RFC 5465 §3). What is told from then on is `notify`'s.

use crate::access::Other;
use crate::limits::{NOTIFY_ACCOUNTS_MAX, OUTPUT_BYTES};
use crate::list::write_list_line;
use crate::notify::{Named, Notify, tell_status};
use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use imap_proto::response::Code;
use imap_proto::{NotifyEvent, NotifyFilter, NotifySet, SearchSource};
use mailstore::Rights;
use std::sync::Arc;

pub(crate) async fn run(session: &mut Session, set: Option<NotifySet>) -> Executed {
    let Some(login) = &session.login else {
        return Ok(Reply::bad("log in first"));
    };
    let account = Arc::clone(&login.account);
    let view = account.view();
    let Some(set) = set else {
        session.notify = Some(Box::new(Notify::new(Vec::new(), view, Vec::new())));
        return Ok(Reply::ok("nothing is told unasked"));
    };
    let mut events = set.groups.iter().flat_map(|group| &group.events);
    if events.any(|event| *event == NotifyEvent::Unsupported) {
        return Ok(Reply::no(Code::BadEvent, "there are no such events here"));
    }
    // Others are looked for where they may be meant.
    let may_be_others = set.groups.iter().any(|group| match &group.filter {
        NotifyFilter::Others(source) => !matches!(
            source,
            SearchSource::Personal | SearchSource::Inboxes | SearchSource::Selected
        ),
        NotifyFilter::Selected | NotifyFilter::SelectedDelayed => false,
    });
    let others = match may_be_others {
        true => session.others().await,
        false => Ok(Vec::new()),
    };
    let mut others = match others {
        Ok(others) => others,
        Err(reply) => return Ok(reply),
    };
    let notify = Notify::new(set.groups, Arc::clone(&view), Vec::new());
    let named = |own| Named {
        own,
        subscriptions: &view,
    };
    others.retain(|other| {
        let listed = other.listed().into_iter();
        let mut events = listed.map(|(name, _)| notify.events_of(name.as_str(), named(false)));
        events.any(|events| !events.is_empty())
    });
    if others.len() > NOTIFY_ACCOUNTS_MAX {
        let text = "those are mailboxes of too many others";
        return Ok(Reply::no(Code::NOTIFICATION_OVERFLOW, text));
    }
    if set.status {
        let names = view.names().into_iter();
        let names = names.filter_map(|(name, id)| Some((name.to_string(), id?)));
        let own: Vec<_> = names.collect();
        for (name, id) in own {
            let events = notify.events_of(&name, named(true));
            let selected = session.selected_of(&account).map(|selected| selected.id);
            if let Some(mailbox) = view.mailbox(id)
                && selected != Some(id)
                && of_messages(events)
            {
                let place = crate::access::Place {
                    account: Arc::clone(&account),
                    view: Arc::clone(&view),
                    mailbox: Arc::clone(mailbox),
                    rights: Rights::ALL,
                    other: None,
                };
                tell_status(session, &place, &name, events).await;
            }
            if session.out.len() >= OUTPUT_BYTES {
                session.flush().await?;
            }
        }
        for other in &others {
            for (name, id) in other.listed() {
                let events = notify.events_of(name.as_str(), named(false));
                let selected = session
                    .selected_of(&other.account)
                    .map(|selected| selected.id);
                if let Some(mailbox) = other.view.mailbox(id)
                    && selected != Some(id)
                    && of_messages(events)
                {
                    tell_status(session, &other.place(mailbox), name.as_str(), events).await;
                }
            }
        }
    }
    for other in &others {
        tell_no_access(session, other, |name| notify.events_of(name, named(false)));
    }
    let mut notify = notify.with_others(others);
    if notify.wants_annotations() {
        match account.annotations().await {
            Ok(annotations) => notify.set_annotations(annotations),
            Err(error) => return Ok(store_failed(&error)),
        }
    }
    session.notify = Some(Box::new(notify));
    Ok(Reply::ok("that is told from now on"))
}

/// RFC 5465 §3.1: mailboxes that the user may list, and of whose messages he may not hear.
fn tell_no_access<'a>(
    session: &mut Session,
    other: &Other,
    events_of: impl Fn(&str) -> &'a [NotifyEvent],
) {
    let form = session.name_form();
    for (name, id) in other.listed() {
        let name = name.as_str();
        if of_messages(events_of(name)) && !other.rights(id).has(Rights::READ) {
            write_list_line(&mut session.out, "LIST", &["\\NoAccess"], name, form);
        }
    }
}

fn of_messages(events: &[NotifyEvent]) -> bool {
    let mut events = events.iter();
    events.any(|event| matches!(event, NotifyEvent::MessageNew(_)))
}
