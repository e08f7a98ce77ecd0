//! ESEARCH, the command: SEARCH over several mailboxes (MULTISEARCH, RFC 7377). The
//! selected mailbox stays what it is.

use crate::access::{Place, is_below_others};
use crate::commands::search::{Telling, find_in, tell_of};
use crate::limits::{MULTISEARCH_MAILBOXES_MAX, OUTPUT_BYTES};
use crate::reply::{Executed, Reply};
use crate::selected::Selected;
use crate::session::Session;
use imap_proto::response::Code;
use imap_proto::{MultiSearchCommand, ReturnItem, SearchKey, SearchSource, Tag};
use mailbox_model::{MailboxId, MailboxName, View};
use mailstore::{Account, Rights};
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
    let targets = match only_selected {
        true => vec![Target::Selected],
        false => match targets(session, &view, &command.sources).await {
            Ok(targets) => targets,
            Err(reply) => return Ok(reply),
        },
    };
    if targets.len() > MULTISEARCH_MAILBOXES_MAX {
        let text = "that is too many mailboxes for one search";
        return Ok(Reply::no(Code::LIMIT, text));
    }
    let form = session.name_form();
    let mut broken = false;
    for target in targets {
        // One after another: what a reader sees of a mailbox is not its owner's, and may take memory.
        let snapshot = match (target, &session.selected) {
            // As its client knows it.
            (Target::Selected, Some(selected)) => (**selected).clone(),
            (Target::Selected, None) => continue,
            (Target::Place(place), _) => match snapshot_of(place).await {
                Ok(snapshot) => snapshot,
                Err(reply) => return Ok(reply),
            },
        };
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

/// A mailbox to look in.
enum Target {
    Selected,
    Place(Place),
}

async fn snapshot_of(place: Place) -> Result<Selected, Reply> {
    let readership = place.readership().await?;
    let snapshot = Selected::new(place.account, &place.mailbox, true);
    Ok(match readership {
        Some(readership) => snapshot.read_by(readership),
        None => snapshot,
    })
}

/// The mailboxes that the sources name, each once; what is not there is passed over, and so is where the user may
/// not read (RFC 7377 §2.2).
async fn targets(
    session: &Session,
    view: &Arc<View>,
    sources: &[SearchSource],
) -> Result<Vec<Target>, Reply> {
    let Some(login) = &session.login else {
        return Ok(Vec::new());
    };
    let sources = Sources::of(sources);
    let selected = session.selected.as_ref();
    let is_selected = |account: &Account, id| {
        selected.is_some_and(|selected| selected.account.id() == account.id() && selected.id == id)
    };
    let mut targets = Vec::new();
    // Another's that is selected is in front.
    if sources.selected && selected.is_some_and(|selected| selected.owner().is_some()) {
        targets.push(Target::Selected);
    }
    let own = session.selected_of(&login.account);
    let own = own.filter(|_| sources.selected).map(|own| own.id);
    for id in sources.own(view, own) {
        let Some(mailbox) = view.mailbox(id) else {
            continue;
        };
        targets.push(match is_selected(&login.account, id) {
            true => Target::Selected,
            false => Target::Place(Place {
                account: Arc::clone(&login.account),
                view: Arc::clone(view),
                mailbox: Arc::clone(mailbox),
                rights: Rights::ALL,
                other: None,
            }),
        });
    }
    if !sources.may_be_others(view) {
        return Ok(targets);
    }
    for other in session.others().await? {
        for (name, id) in other.listed() {
            // A mailbox of one's own hides one of somebody else.
            let hidden = || view.mailbox_named(&name).is_some();
            let Some(mailbox) = other.view.mailbox(id) else {
                continue;
            };
            if !sources.has(&name, view) || hidden() || !other.rights(id).has(Rights::READ) {
                continue;
            }
            match is_selected(&other.account, id) {
                true if sources.selected => {}
                true => targets.push(Target::Selected),
                false => targets.push(Target::Place(other.place(mailbox))),
            }
        }
    }
    Ok(targets)
}

/// The sources, so that each name is looked for once however many there are.
#[derive(Default)]
struct Sources<'a> {
    selected: bool,
    personal: bool,
    inboxes: bool,
    subscribed: bool,
    named: HashSet<MailboxName>,
    trees: HashSet<&'a str>,
    levels: HashSet<&'a str>,
}

impl<'a> Sources<'a> {
    fn of(sources: &'a [SearchSource]) -> Self {
        let mut all = Self::default();
        for source in sources {
            match source {
                SearchSource::Selected => all.selected = true,
                SearchSource::Personal => all.personal = true,
                SearchSource::Inboxes => all.inboxes = true,
                SearchSource::Subscribed => all.subscribed = true,
                SearchSource::Mailboxes(names) => {
                    let names = names.iter();
                    let names = names.filter_map(|name| MailboxName::parse(name.as_str()).ok());
                    all.named.extend(names);
                }
                SearchSource::Subtree { names, one_level } => {
                    let tops = match one_level {
                        true => &mut all.levels,
                        false => &mut all.trees,
                    };
                    tops.extend(names.iter().map(imap_proto::MailboxName::as_str));
                }
            }
        }
        all
    }

    /// The user's own that are meant.
    fn own(&self, view: &View, selected: Option<MailboxId>) -> BTreeSet<MailboxId> {
        let mut own = BTreeSet::from_iter(selected);
        if self.inboxes {
            own.extend(view.inbox().map(|inbox| inbox.id()));
        }
        if self.personal || self.subscribed || !self.trees.is_empty() || !self.levels.is_empty() {
            let names = view.names().into_iter();
            let meant = names.filter(|(name, _)| self.personal || self.has(name, view));
            own.extend(meant.filter_map(|(_, id)| id));
        } else {
            let named = self.named.iter();
            own.extend(named.filter_map(|name| Some(view.mailbox_named(name)?.id())));
        }
        own
    }

    /// Personal mailboxes and inboxes are one's own.
    fn may_be_others(&self, view: &View) -> bool {
        let mut tops = self.trees.iter().chain(&self.levels);
        self.named.iter().any(|name| is_below_others(name.as_str()))
            || tops.any(|top| is_below_others(top))
            || (self.subscribed
                && view
                    .subscriptions()
                    .any(|name| is_below_others(name.as_str())))
    }

    /// Is a mailbox of this name, whosoever it is, meant?
    fn has(&self, name: &MailboxName, subscriptions: &View) -> bool {
        let text = name.as_str();
        let above = |(at, _): (usize, &str)| &text[..at];
        let up = text.rsplit_once('/').map(|(up, _)| up);
        self.named.contains(name)
            || (self.subscribed && subscriptions.is_subscribed(name))
            || self.levels.contains(text)
            || up.is_some_and(|up| self.levels.contains(up))
            || self.trees.contains(text)
            || (!self.trees.is_empty()
                && text
                    .match_indices('/')
                    .map(above)
                    .any(|up| self.trees.contains(up)))
    }
}
