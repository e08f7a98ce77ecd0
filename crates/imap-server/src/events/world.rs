//! What scripts see behind a command: the message, the environment, the owner's mailboxes, annotations and scripts.

use super::compiled::Compiled;
use crate::session::{Login, Session};
use bytes::Bytes;
use mailbox_model::{Mailbox, MailboxName, Role, View};
use mailstore::{Annotations, Scripts};
use mime::PartIndex;
use sieve::{DuplicateKey, Location, Message, Script, World, WorldError};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Items of the environment and their values.
pub(super) type Environment = BTreeMap<&'static str, String>;

/// What scripts are told of a command.
#[derive(Debug, Clone, Copy)]
pub struct EventTold<'a> {
    /// This host's name.
    pub host: &'a str,
    /// The domain of who gave the command.
    pub domain: &'a str,
    /// The client's address.
    pub remote_ip: &'a str,
    /// Who gave the command.
    pub user: &'a str,
    /// RFC 6785 §4.3
    pub cause: &'a str,
    /// Where.
    pub mailbox: &'a str,
    /// RFC 6785 §4.5
    pub changed: &'a str,
}

impl EventTold<'_> {
    /// RFC 5183 §4.1 and RFC 6785 §4.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let items = [
            ("name", "Posthouse"),
            ("version", env!("CARGO_PKG_VERSION")),
            ("host", self.host),
            ("domain", self.domain),
            ("remote-ip", self.remote_ip),
            // RFC 6785 §4.1: in a message store, after delivery.
            ("location", "MS"),
            ("phase", "post"),
            ("imap.user", self.user),
            ("imap.email", self.user),
            ("imap.cause", self.cause),
            ("imap.mailbox", self.mailbox),
            ("imap.changedflags", self.changed),
        ];
        items.map(|(item, value)| (item, value.to_owned())).into()
    }
}

pub(super) fn environment(
    session: &Session,
    login: &Login,
    cause: &str,
    mailbox: &str,
) -> Environment {
    let told = EventTold {
        host: &session.config.host_name,
        domain: login.domain.as_ref(),
        remote_ip: &session.conn.peer_addr().ip().to_string(),
        user: login.address.as_ref(),
        cause,
        mailbox,
        changed: "",
    };
    told.environment()
}

/// The owner's account, as it was when the run began.
pub(super) struct EventWorld {
    pub(super) view: Arc<View>,
    pub(super) annotations: Arc<Annotations>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) environment: Environment,
    pub(super) compiled: Arc<Compiled>,
    pub(super) uses: Uses,
}

/// Which mailbox is for what, found by one walk over all of them, when it is asked for.
#[derive(Default)]
pub(super) struct Uses {
    found: Option<BTreeMap<Role, MailboxName>>,
    #[cfg(test)]
    walks: usize,
}

impl Uses {
    fn mailbox(&mut self, view: &View, role: Role) -> Option<&MailboxName> {
        #[cfg(test)]
        {
            self.walks += usize::from(self.found.is_none());
        }
        let walk = || {
            let of_one = |mailbox: &Arc<Mailbox>| Some((mailbox.role()?, mailbox.name().clone()));
            view.mailboxes().filter_map(of_one).collect()
        };
        self.found.get_or_insert_with(walk).get(&role)
    }
}

impl World for EventWorld {
    fn mailbox_exists(&mut self, name: &str) -> Result<bool, WorldError> {
        let name = MailboxName::parse(name).ok();
        Ok(name.is_some_and(|name| self.view.mailbox_named(&name).is_some()))
    }

    fn special_use_exists(
        &mut self,
        mailbox: Option<&str>,
        special_use: &str,
    ) -> Result<bool, WorldError> {
        let found = role(special_use).and_then(|role| self.uses.mailbox(&self.view, role));
        Ok(match (found, mailbox) {
            (Some(found), Some(name)) => MailboxName::parse(name).is_ok_and(|name| *found == name),
            (found, None) => found.is_some(),
            (None, Some(_)) => false,
        })
    }

    fn environment(&mut self, item: &str) -> Option<String> {
        self.environment.get(item).cloned()
    }

    fn metadata(
        &mut self,
        mailbox: Option<&str>,
        entry: &str,
    ) -> Result<Option<String>, WorldError> {
        let of = match mailbox {
            None => None,
            Some(name) => {
                let name = MailboxName::parse(name).ok();
                let found =
                    name.and_then(|name| self.view.mailbox_named(&name).map(|found| found.id()));
                let Some(found) = found else {
                    return Ok(None);
                };
                Some(found)
            }
        };
        let value = self.annotations.value(of, entry);
        Ok(value.map(|value| String::from_utf8_lossy(value).into_owned()))
    }

    fn script(
        &mut self,
        location: Location,
        name: &str,
    ) -> Result<Option<Arc<Script>>, WorldError> {
        if location == Location::Global {
            return Ok(None);
        }
        let Some(source) = self.scripts.source(name) else {
            return Ok(None);
        };
        let script = self.compiled.script(source);
        script
            .map(Some)
            .map_err(|said| WorldError(said.replace('\n', "; ")))
    }

    fn is_duplicate(&mut self, _: &DuplicateKey) -> Result<bool, WorldError> {
        Err(WorldError(
            "nothing remembers duplicates behind a command".into(),
        ))
    }

    fn is_notify_method(&mut self, _: &str) -> bool {
        false
    }
}

/// The role that a special-use attribute names.
pub(super) fn role(special_use: &str) -> Option<Role> {
    Role::from_attribute(special_use)
}

/// A part in memory, with its texts, about.
const PART_BYTES: usize = size_of::<mime::Part>() + 64;

/// A message of the store: its header, and of its body what was read.
pub(super) struct EventMessage {
    /// Prefix and header.
    pub(super) header: Bytes,
    pub(super) whole_header: bool,
    pub(super) size: u64,
    /// Of the blob, if the script looks at parts.
    pub(super) parts: Option<PartIndex>,
    /// The blob from its beginning.
    pub(super) octets: Bytes,
}

impl EventMessage {
    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let parts = self.parts.as_ref().map_or(0, |parts| parts.parts().len());
        self.header.len() + self.octets.len() + parts * PART_BYTES
    }
}

impl Message for EventMessage {
    fn header(&self) -> &[u8] {
        &self.header
    }

    fn has_whole_header(&self) -> bool {
        self.whole_header
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn parts(&self) -> Result<&PartIndex, WorldError> {
        let parts = self.parts.as_ref();
        parts.ok_or_else(|| WorldError("the message's parts were not read".into()))
    }

    fn octets(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, WorldError> {
        let place = |at: u64| {
            usize::try_from(at)
                .unwrap_or(usize::MAX)
                .min(self.octets.len())
        };
        let (from, to) = (place(range.start), place(range.end));
        Ok(Cow::Borrowed(&self.octets[from.min(to)..to]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailbox_model::UidValidity;

    #[test]
    fn special_uses_are_looked_for_once() {
        let mut world = EventWorld {
            view: Arc::new(View::empty(UidValidity(1))),
            annotations: Arc::default(),
            scripts: Arc::default(),
            environment: Environment::new(),
            compiled: Arc::default(),
            uses: Uses::default(),
        };
        for _ in 0..10_000 {
            let found = world.special_use_exists(None, "\\Archive");
            assert_eq!(found, Ok(false));
        }
        assert_eq!(world.uses.walks, 1);
    }
}
