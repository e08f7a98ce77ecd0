//! What a session asked to be told of by NOTIFY (RFC 5465), and telling it.
//!
//! A session keeps the views that it told of last, which share their structure with the
//! newest, and tells how those differ: however many changes came in between, each mailbox is told of
//! once. A slow reader therefore costs no queue. Sessions that asked for nothing are not woken.
//!
//! | event | told as |
//! |---|---|
//! | MessageNew, MessageExpunge, FlagChange elsewhere | STATUS |
//! | … in the selected mailbox | EXISTS with FETCH, EXPUNGE, FETCH |
//! | MailboxName, SubscriptionChange | LIST |
//! | MailboxMetadataChange, ServerMetadataChange | METADATA, without values |
//!
//! Others' mailboxes are watched where they are named or subscribed, while they may be seen.

use crate::access::{Other, Place, is_below_others};
use crate::commands::{fetch, status};
use crate::limits::{NOTIFY_BELLS_MAX, NOTIFY_CHANGES_MAX, OUTPUT_BYTES};
use crate::list::{of_mailbox, of_others_mailbox, write_list_head};
use crate::reply::{Ended, SyncMode};
use crate::selected::OwnStore;
use crate::session::Session;
use bytes::{Bytes, BytesMut};
use imap_proto::mailbox_name::write_name;
use imap_proto::response::{self, Code, Status};
use imap_proto::{EventGroup, FetchItem, NotifyEvent, NotifyFilter, SearchSource, StatusItem};
use mailbox_model::{Mailbox, MailboxId, MailboxName, ModSeq, View};
use mailstore::{Account, Annotations, Rights};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::watch;

/// How the selected mailbox's events are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selected {
    /// In answers to commands only.
    WithCommands,
    /// At once, but EXPUNGE with a command that permits it.
    Delayed,
    /// At once.
    AtOnce,
}

/// Does the session idle? Then what it is told need not wait for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idling {
    Yes,
    No,
}

/// What NOTIFY asked for, and what was told.
#[derive(Debug)]
pub(crate) struct Notify {
    groups: Vec<EventGroup>,
    selected: Selected,
    selected_flags: bool,
    /// What is told of new messages in the selected mailbox.
    items: Arc<Vec<FetchItem>>,
    own: Arc<View>,
    others: Vec<Other>,
    /// Where annotations are asked for.
    annotations: Option<Annotations>,
}

impl Notify {
    /// From here on, as of these views.
    pub(crate) fn new(groups: Vec<EventGroup>, own: Arc<View>, others: Vec<Other>) -> Self {
        let mut notify = Self {
            groups,
            selected: Selected::WithCommands,
            selected_flags: false,
            items: Arc::default(),
            own,
            others,
            annotations: None,
        };
        for group in &notify.groups {
            let selected = match group.filter {
                NotifyFilter::Selected => Selected::AtOnce,
                NotifyFilter::SelectedDelayed => Selected::Delayed,
                NotifyFilter::Others(_) => continue,
            };
            if group.events.is_empty() {
                continue;
            }
            notify.selected = selected;
            notify.selected_flags = group.events.contains(&NotifyEvent::FlagChange);
            for event in &group.events {
                if let NotifyEvent::MessageNew(items) = event {
                    notify.items = Arc::new(items.clone());
                }
            }
        }
        notify
    }

    pub(crate) fn with_others(mut self, others: Vec<Other>) -> Self {
        self.others = others;
        self
    }

    /// Are annotations asked for?
    pub(crate) fn wants_annotations(&self) -> bool {
        let mut events = self.groups.iter().flat_map(|group| &group.events);
        events.any(|event| {
            matches!(
                event,
                NotifyEvent::MailboxMetadataChange | NotifyEvent::ServerMetadataChange
            )
        })
    }

    pub(crate) fn set_annotations(&mut self, annotations: Annotations) {
        self.annotations = Some(annotations);
    }

    /// What it waits for beside the selected mailbox.
    fn watch(&self, own: &Account, bells: &mut Vec<watch::Receiver<ModSeq>>) {
        let of_others = |group: &EventGroup| matches!(group.filter, NotifyFilter::Others(_));
        if !self.groups.iter().any(of_others) {
            return;
        }
        bells.extend(self.others.iter().map(|other| other.account.subscribe()));
        let Some(names) = self.named().filter(|_| !self.wants_annotations()) else {
            bells.push(own.subscribe());
            return;
        };
        // Before the look at who has the names.
        bells.push(own.watch_names());
        let view = own.view();
        for name in names {
            if let Some(mailbox) = view.mailbox_named(&name) {
                bells.push(own.watch_mailbox(mailbox.id()));
            }
        }
    }

    /// The mailboxes beside the selected one, if they are few and named each.
    fn named(&self) -> Option<Vec<MailboxName>> {
        let mut all = Vec::new();
        for group in &self.groups {
            match &group.filter {
                NotifyFilter::Selected | NotifyFilter::SelectedDelayed => {}
                NotifyFilter::Others(SearchSource::Inboxes) => all.push(MailboxName::inbox()),
                NotifyFilter::Others(SearchSource::Mailboxes(names)) => {
                    // What cannot be a name is no mailbox.
                    let names = names.iter().map(|name| MailboxName::parse(name.as_str()));
                    all.extend(names.filter_map(Result::ok));
                }
                NotifyFilter::Others(_) => return None,
            }
        }
        (all.len() <= NOTIFY_BELLS_MAX).then_some(all)
    }

    /// The events of a mailbox: those of the first group that names it.
    pub(crate) fn events_of(&self, name: &str, whose: Named<'_>) -> &[NotifyEvent] {
        let mut groups = self.groups.iter();
        let group = groups.find(|group| match &group.filter {
            NotifyFilter::Others(source) => names(source, name, whose),
            NotifyFilter::Selected | NotifyFilter::SelectedDelayed => false,
        });
        group.map_or(&[], |group| &group.events)
    }
}

/// Whose a name is, for filters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) own: bool,
    /// The user's own account, which has the subscriptions.
    pub(crate) subscriptions: &'a View,
}

fn names(source: &SearchSource, name: &str, whose: Named<'_>) -> bool {
    match source {
        SearchSource::Selected => false,
        SearchSource::Personal => whose.own,
        SearchSource::Inboxes => whose.own && name == MailboxName::inbox().as_str(),
        SearchSource::Subscribed => {
            MailboxName::parse(name).is_ok_and(|name| whose.subscriptions.is_subscribed(&name))
        }
        SearchSource::Mailboxes(names) => names.iter().any(|one| one.as_str() == name),
        SearchSource::Subtree { names, .. } => names.iter().any(|top| {
            let below = name.strip_prefix(top.as_str());
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        }),
    }
}

/// What a session waits for: mailboxes, names, or whole accounts.
pub(crate) struct Watch(Vec<watch::Receiver<ModSeq>>);

impl Watch {
    /// Whatever happens from now on wakes it.
    pub(crate) fn of(session: &Session, idling: Idling) -> Self {
        let mut bells = Vec::new();
        let shows_selected = match &session.notify {
            None => idling == Idling::Yes,
            Some(notify) => notify.selected != Selected::WithCommands,
        };
        if let (Some(selected), true) = (&session.selected, shows_selected) {
            bells.push(selected.account.watch_mailbox(selected.id));
        }
        if let (Some(notify), Some(login)) = (&session.notify, &session.login) {
            notify.watch(&login.account, &mut bells);
        }
        Self(bells)
    }

    /// Returns when any of them changed. An account's end shows as one without changes.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(crate) async fn changed(&mut self) {
        if let [one] = self.0.as_mut_slice() {
            match one.changed().await {
                Ok(()) => return,
                Err(_) => return std::future::pending().await,
            }
        }
        let mut waits: Vec<Wait<'_>> = self.0.iter_mut().map(wait_for).collect();
        std::future::poll_fn(|context| {
            let mut changed = false;
            waits.retain_mut(|wait| match wait.as_mut().poll(context) {
                Poll::Ready(is) => {
                    changed |= is;
                    false
                }
                Poll::Pending => true,
            });
            if changed {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// One of the waits; false at the account's end.
type Wait<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

fn wait_for(one: &mut watch::Receiver<ModSeq>) -> Wait<'_> {
    Box::pin(async move { one.changed().await.is_ok() })
}

/// Waits for the client between two commands, and tells it what it asked for meanwhile.
pub(crate) async fn wait(session: &mut Session) -> Result<(), Ended> {
    let deadline = session.ports.runtime.monotonic().after(session.patience());
    loop {
        // Before the look, so that no change falls between.
        let mut changes = Watch::of(session, Idling::No);
        Box::pin(tell(session, Idling::No)).await?;
        Box::pin(session.flush()).await?;
        if session.input.is_empty() {
            session.input = BytesMut::new();
        }
        session.conn.rest();
        let runtime = &session.ports.runtime;
        let left = deadline.since(runtime.monotonic());
        let shutdown = runtime.shutdown();
        let read = tokio::select! {
            read = session.conn.read(&mut session.input) => Some(read),
            () = changes.changed() => continue,
            () = runtime.sleep(left) => None,
            () = shutdown.draining() => {
                return Box::pin(session.bye("the server is going down")).await;
            }
        };
        return match read {
            Some(Ok(count)) if count > 0 => Ok(()),
            Some(_) => Err(Ended),
            None => Box::pin(session.bye("you were silent for too long")).await,
        };
    }
}

/// Tells what there is to tell: of the selected mailbox what may be told now, of others what
/// was asked for.
pub(crate) async fn tell(session: &mut Session, idling: Idling) -> Result<(), Ended> {
    if let Err(reply) = session.look_again().await {
        let text = format!("the selected mailbox cannot be used: {}", reply.text);
        return session.bye(&text).await;
    }
    if let Some(mut notify) = session.notify.take() {
        let told = notify.tell_others(session).await?;
        if told == Told::TooMuch {
            // RFC 5465 §5.8: as if by NOTIFY NONE.
            let code = Code::NOTIFICATION_OVERFLOW;
            let text = "too much happens; ask for less";
            response::untagged_status(&mut session.out, Status::Ok, Some(&code), text);
            notify = Box::new(Notify::new(Vec::new(), notify.own, Vec::new()));
        }
        session.notify = Some(notify);
    }
    let mode = match (&session.notify, idling) {
        (None, Idling::Yes) => SyncMode::Everything,
        (None, Idling::No) => SyncMode::Nothing,
        (Some(notify), _) => match (notify.selected, idling) {
            (Selected::WithCommands, _) => SyncMode::Nothing,
            (Selected::Delayed, Idling::No) => SyncMode::WithoutExpunge,
            (Selected::Delayed, Idling::Yes) | (Selected::AtOnce, _) => SyncMode::Everything,
        },
    };
    // Without FlagChange flags are told with what comes and goes.
    if let Some(notify) = &session.notify
        && !notify.selected_flags
        && let Some(view) = session.selected_view()
        && let Some(mailbox) = session.selected_mailbox(&view)
        && let Some(selected) = &session.selected
        && !selected.has_news(&mailbox)
    {
        return Ok(());
    }
    session.sync(mode, OwnStore::None).await
}

/// MessageNew in the selected mailbox: what was asked for of what came.
pub(crate) async fn show_arrived(session: &mut Session, ranks: Range<usize>) -> Result<(), Ended> {
    let items = match &session.notify {
        Some(notify) if !notify.items.is_empty() => Arc::clone(&notify.items),
        _ => return Ok(()),
    };
    Box::pin(fetch::tell(session, ranks, &items)).await
}

/// Was all told?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    All,
    TooMuch,
}

impl Notify {
    async fn tell_others(&mut self, session: &mut Session) -> Result<Told, Ended> {
        let Some(login) = &session.login else {
            return Ok(Told::All);
        };
        let account = Arc::clone(&login.account);
        let newest = account.view();
        let mut left = NOTIFY_CHANGES_MAX;
        if !Arc::ptr_eq(&newest, &self.own) {
            let before = std::mem::replace(&mut self.own, Arc::clone(&newest));
            let (old, new) = (Side::own(&account, before), Side::own(&account, newest));
            left = match self.tell_account(session, &old, &new, left).await? {
                Some(left) => left,
                None => return Ok(Told::TooMuch),
            };
        }
        for at in 0..self.others.len() {
            let before = self.others[at].clone();
            // Rights are looked at again, too.
            let now = match session.other(before.account.id()).await {
                Ok(Some(now)) => now,
                // It may come back: what is watched is its account.
                Ok(None) | Err(_) => before.without_rights(),
            };
            self.others[at] = now.clone();
            let (old, new) = (Side::other(before), Side::other(now));
            left = match self.tell_account(session, &old, &new, left).await? {
                Some(left) => left,
                None => return Ok(Told::TooMuch),
            };
        }
        if self.annotations.is_some() {
            self.tell_annotations(session, &account).await?;
        }
        Ok(Told::All)
    }

    /// How an account's mailboxes differ; gives how many more may, or none if too many do.
    async fn tell_account(
        &self,
        session: &mut Session,
        old: &Side,
        new: &Side,
        mut left: usize,
    ) -> Result<Option<usize>, Ended> {
        let selected = session
            .selected_of(&new.account)
            .map(|selected| selected.id);
        let whose = Named {
            own: new.other.is_none(),
            subscriptions: &self.own,
        };
        let (before, now) = (old.mailboxes(), new.mailboxes());
        let mut told: Vec<&str> = Vec::new();
        for (id, name) in &before {
            let events = self.events_of(name, whose);
            if !now.contains_key(id) && events.contains(&NotifyEvent::MailboxName) {
                // A new one may have its name.
                if !now.values().any(|other| other == name) {
                    new.write_list(session, name, None, None);
                    told.push(name);
                    left = match left.checked_sub(1) {
                        Some(left) => left,
                        None => return Ok(None),
                    };
                }
            }
        }
        for (id, name) in &now {
            let Some(mailbox) = new.view.mailbox(*id) else {
                continue;
            };
            let events = self.events_of(name, whose);
            let former = before.get(id);
            let named = former.is_none_or(|former| former != name);
            let mut something = false;
            if named && events.contains(&NotifyEvent::MailboxName) {
                new.write_list(session, name, Some(mailbox), former.map(String::as_str));
                told.push(name);
                // Its old name has been told with it.
                told.extend(former.map(String::as_str));
                something = true;
            }
            let former = former.and_then(|_| old.view.mailbox(*id));
            if selected != Some(*id)
                && let Some(former) = former
                && !Arc::ptr_eq(former, mailbox)
                && is_told(events, former, mailbox)
            {
                let place = new.place(mailbox);
                something |= tell_status(session, &place, name, events).await;
            }
            if something {
                left = match left.checked_sub(1) {
                    Some(left) => left,
                    None => return Ok(None),
                };
            }
            if session.out.len() >= OUTPUT_BYTES {
                session.flush().await?;
            }
        }
        if whose.own {
            self.tell_subscriptions(session, (old, new), &told);
        }
        Ok(Some(left))
    }

    fn tell_subscriptions(&self, session: &mut Session, (old, new): (&Side, &Side), told: &[&str]) {
        let gone = old.view.subscriptions();
        let gone = gone.filter(|name| !new.view.is_subscribed(name));
        let come = new.view.subscriptions();
        let come = come.filter(|name| !old.view.is_subscribed(name));
        for name in gone.chain(come) {
            let own = new.view.mailbox_named(name);
            let is_own = !is_below_others(name.as_str()) || own.is_some();
            // A subscription that goes was one.
            let subscribed = |view| Named {
                own: is_own,
                subscriptions: view,
            };
            let mut events = [&old.view, &new.view].into_iter();
            let wanted = events.any(|view| {
                let events = self.events_of(name.as_str(), subscribed(view));
                events.contains(&NotifyEvent::SubscriptionChange)
            });
            if wanted && !told.contains(&name.as_str()) {
                new.write_list(session, name.as_str(), own, None);
            }
        }
    }

    /// RFC 5465 §5.6, §5.7: which entries changed, without their values.
    async fn tell_annotations(
        &mut self,
        session: &mut Session,
        account: &Arc<Account>,
    ) -> Result<(), Ended> {
        let now = match account.annotations().await {
            Ok(now) => now,
            Err(error) => {
                tracing::error!(session = session.id, %error, "imap: annotations cannot be read");
                return Ok(());
            }
        };
        let Some(before) = self.annotations.replace(now.clone()) else {
            return Ok(());
        };
        if before == now {
            return Ok(());
        }
        let whose = Named {
            own: true,
            subscriptions: &self.own,
        };
        let form = session.name_form();
        let names = self.own.names().into_iter();
        let mailboxes = names.filter_map(|(name, id)| Some((name.to_string(), Some(id?))));
        for (name, id) in mailboxes.chain([(String::new(), None)]) {
            let (wanted, event) = match id {
                Some(_) => {
                    let events = self.events_of(&name, whose);
                    let event = NotifyEvent::MailboxMetadataChange;
                    (events.contains(&event), event)
                }
                None => {
                    let event = NotifyEvent::ServerMetadataChange;
                    let mut groups = self.groups.iter();
                    (groups.any(|group| group.events.contains(&event)), event)
                }
            };
            let changed = differing(&before, &now, id);
            if !wanted || changed.is_empty() {
                continue;
            }
            tracing::trace!(session = session.id, ?event, "imap: annotations changed");
            let out = &mut session.out;
            out.extend_from_slice(b"* METADATA ");
            write_name(out, &name, form);
            for entry in changed {
                out.push(b' ');
                response::write_astring(out, entry.as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}

/// The names of the entries that are not as they were.
fn differing(before: &Annotations, now: &Annotations, of: Option<MailboxId>) -> Vec<String> {
    let old: BTreeMap<&str, &Bytes> = before.of(of).collect();
    let new: BTreeMap<&str, &Bytes> = now.of(of).collect();
    let mut names: Vec<&str> = old.keys().chain(new.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let changed = names
        .into_iter()
        .filter(|name| old.get(name) != new.get(name));
    changed.map(str::to_owned).collect()
}

/// Did any of the events happen between the two?
fn is_told(events: &[NotifyEvent], old: &Mailbox, new: &Mailbox) -> bool {
    let messages = events
        .iter()
        .any(|event| matches!(event, NotifyEvent::MessageNew(_)));
    if !messages {
        return false;
    }
    let first_new = new
        .ranks(old.uid_next(), mailbox_model::Uid(u32::MAX))
        .start;
    let came = new.uid_next() != old.uid_next();
    let went = first_new < old.entries().len();
    let flags = || {
        let mut changed = new.changed_since(old.highest_modseq());
        changed.any(|(rank, _)| rank < first_new)
    };
    came || went || (events.contains(&NotifyEvent::FlagChange) && flags())
}

/// RFC 5465 §3.1, §5: one STATUS says all. False if the user may not have it.
pub(crate) async fn tell_status(
    session: &mut Session,
    place: &Place,
    name: &str,
    events: &[NotifyEvent],
) -> bool {
    if !place.rights.has(Rights::READ) {
        return false;
    }
    let mut items = vec![
        StatusItem::Messages,
        StatusItem::UidNext,
        StatusItem::UidValidity,
    ];
    // RFC 5465 §5.2, §5.3: and where mod-sequences are in use.
    if events.contains(&NotifyEvent::FlagChange) || session.enabled.condstore {
        items.push(StatusItem::HighestModSeq);
    }
    let form = session.name_form();
    let append_limit = session.config.append_bytes_max;
    let mailbox = (&*place.mailbox, 0, place.owner());
    status::write(
        &mut session.out,
        mailbox,
        (name, form),
        &items,
        append_limit,
    );
    true
}

/// An account at one moment, as the user knows it.
struct Side {
    account: Arc<Account>,
    view: Arc<View>,
    other: Option<Other>,
}

impl Side {
    fn own(account: &Arc<Account>, view: Arc<View>) -> Self {
        Self {
            account: Arc::clone(account),
            view,
            other: None,
        }
    }

    fn other(other: Other) -> Self {
        Self {
            account: Arc::clone(&other.account),
            view: Arc::clone(&other.view),
            other: Some(other),
        }
    }

    /// The mailboxes that the user may see, by the names that he knows.
    fn mailboxes(&self) -> BTreeMap<MailboxId, String> {
        match &self.other {
            Some(other) => {
                let listed = other.listed().into_iter();
                listed.map(|(name, id)| (id, name.to_string())).collect()
            }
            None => {
                let names = self.view.names().into_iter();
                names
                    .filter_map(|(name, id)| Some((id?, name.to_string())))
                    .collect()
            }
        }
    }

    fn place(&self, mailbox: &Arc<Mailbox>) -> Place {
        match &self.other {
            Some(other) => other.place(mailbox),
            None => Place {
                account: Arc::clone(&self.account),
                view: Arc::clone(&self.view),
                mailbox: Arc::clone(mailbox),
                rights: Rights::ALL,
                other: None,
            },
        }
    }

    /// `* LIST (…) "/" name`, with the old name of one that was renamed (RFC 5465 §5.4).
    fn write_list(
        &self,
        session: &mut Session,
        name: &str,
        mailbox: Option<&Arc<Mailbox>>,
        former: Option<&str>,
    ) {
        let form = session.name_form();
        let own = session.login.as_ref().map(|login| login.account.view());
        let attributes = match (mailbox, &self.other) {
            (Some(mailbox), None) => of_mailbox(&self.view, mailbox).attributes(true, true),
            (Some(mailbox), Some(other)) => {
                of_others_mailbox(other, mailbox, own.as_deref()).attributes(true, true)
            }
            (None, _) => {
                let subscribed = MailboxName::parse(name)
                    .is_ok_and(|name| own.is_some_and(|own| own.is_subscribed(&name)));
                match subscribed {
                    true => vec!["\\NonExistent", "\\Subscribed"],
                    false => vec!["\\NonExistent"],
                }
            }
        };
        let out = &mut session.out;
        write_list_head(out, "LIST", &attributes, name, form);
        if let Some(former) = former {
            out.extend_from_slice(b" (\"OLDNAME\" (");
            write_name(out, former, form);
            out.extend_from_slice(b"))");
        }
        out.extend_from_slice(b"\r\n");
    }
}
