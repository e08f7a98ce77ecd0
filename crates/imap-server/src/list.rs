//! Names of mailboxes and what LIST says of them (RFC 9051 §6.3.9, §7.3.1).
//!
//! Special uses and children are told whether asked for or not (PRACTICE §6).

use crate::access::Other;
use imap_proto::mailbox_name::write_name;
use imap_proto::response;
use imap_proto::{ListPattern, NameForm, SelectionOption};
use mailbox_model::{Mailbox, MailboxId, MailboxName, View};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A name that LIST may tell.
#[derive(Debug, Default, Clone)]
pub(crate) struct ListedName {
    /// Its mailbox; none for a name that only has children or a subscription.
    pub(crate) mailbox: Option<MailboxId>,
    pub(crate) subscribed: bool,
    pub(crate) has_children: bool,
    pub(crate) special_use: Option<&'static str>,
    /// The account that it is in, if that is another's.
    pub(crate) other: Option<Arc<Other>>,
}

/// Every name of the account: mailboxes, the parents they imply, subscriptions.
pub(crate) fn names(view: &View) -> BTreeMap<MailboxName, ListedName> {
    let mut names: BTreeMap<MailboxName, ListedName> = BTreeMap::new();
    for (name, mailbox) in view.names() {
        // All above it are names of the view, and tell of theirs.
        if let Some(parent) = name.parent() {
            names.entry(parent).or_default().has_children = true;
        }
        let special_use = mailbox
            .and_then(|id| view.mailbox(id))
            .and_then(|mailbox| mailbox.role())
            .and_then(mailbox_model::Role::attribute);
        let listed = names.entry(name).or_default();
        listed.mailbox = mailbox;
        listed.special_use = special_use;
    }
    for name in view.subscriptions() {
        names.entry(name.clone()).or_default().subscribed = true;
    }
    names
}

/// A mailbox by itself.
pub(crate) fn of_mailbox(view: &View, mailbox: &Mailbox) -> ListedName {
    ListedName {
        mailbox: Some(mailbox.id()),
        subscribed: view.is_subscribed(mailbox.name()),
        has_children: view.has_children(mailbox.name()),
        special_use: mailbox.role().and_then(mailbox_model::Role::attribute),
        other: None,
    }
}

/// Another's mailbox by itself. Its special use is its owner's.
pub(crate) fn of_others_mailbox(
    other: &Other,
    mailbox: &Mailbox,
    own: Option<&View>,
) -> ListedName {
    let shown = other.shown(mailbox.name());
    let subscribed = shown
        .zip(own)
        .is_some_and(|(name, own)| own.is_subscribed(&name));
    let listed = other.listed();
    let below = |name: &MailboxName| {
        other
            .shown(mailbox.name())
            .is_some_and(|it| name.is_below(&it))
    };
    ListedName {
        mailbox: Some(mailbox.id()),
        subscribed,
        has_children: listed.iter().any(|(name, _)| below(name)),
        special_use: None,
        other: Some(Arc::new(other.clone())),
    }
}

/// Adds what others let the user see, where the user has no name of that kind himself.
pub(crate) fn add_others(names: &mut BTreeMap<MailboxName, ListedName>, others: Vec<Other>) {
    for other in others {
        let other = Arc::new(other);
        for (name, id) in other.listed() {
            let mut above = name.parent();
            while let Some(parent) = above {
                above = parent.parent();
                let listed = names.entry(parent).or_default();
                if std::mem::replace(&mut listed.has_children, true) {
                    break;
                }
            }
            let listed = names.entry(name).or_default();
            if listed.mailbox.is_none() {
                listed.mailbox = Some(id);
                listed.other = Some(Arc::clone(&other));
            }
        }
    }
}

impl ListedName {
    /// Does it satisfy the selection options?
    pub(crate) fn is_selected(&self, options: &[SelectionOption]) -> bool {
        options.iter().all(|option| match option {
            SelectionOption::Subscribed => self.subscribed,
            SelectionOption::SpecialUse => self.special_use.is_some(),
            SelectionOption::Remote | SelectionOption::RecursiveMatch => true,
        })
    }

    /// Its attributes in LIST.
    pub(crate) fn attributes(&self, with_subscribed: bool, extended: bool) -> Vec<&'static str> {
        let mut attributes = Vec::new();
        if self.mailbox.is_none() {
            attributes.push("\\NonExistent");
            if !extended {
                // It is implied, but clients of the basic form may know this word only.
                attributes.push("\\NoSelect");
            }
        }
        if self.has_children {
            attributes.push("\\HasChildren");
        } else {
            attributes.push("\\HasNoChildren");
        }
        if with_subscribed && self.subscribed {
            attributes.push("\\Subscribed");
        }
        attributes.extend(self.special_use);
        attributes
    }
}

/// True when any of the patterns matches.
pub(crate) fn matches_any(patterns: &[ListPattern], name: &MailboxName) -> bool {
    patterns
        .iter()
        .any(|pattern| pattern.matches(name.as_str()))
}

/// `* LIST (attributes) "/" name`, without its line end.
pub(crate) fn write_list_head(
    out: &mut Vec<u8>,
    word: &str,
    attributes: &[&str],
    name: &str,
    form: NameForm,
) {
    out.extend_from_slice(b"* ");
    out.extend_from_slice(word.as_bytes());
    out.push(b' ');
    response::write_flags(out, attributes.iter().copied());
    out.extend_from_slice(b" \"/\" ");
    write_name(out, name, form);
}

/// A whole LIST or LSUB response.
pub(crate) fn write_list_line(
    out: &mut Vec<u8>,
    word: &str,
    attributes: &[&str],
    name: &str,
    form: NameForm,
) {
    write_list_head(out, word, attributes, name, form);
    out.extend_from_slice(b"\r\n");
}
