//! What the server promised one session's messages, and whether it is so after
//! a kill.
//!
//! A session has at most one command under way. So after a kill its messages
//! are as the answered commands left them, or as the one under way would have:
//! the whole of it or nothing of it.

use super::mail::{id_in, is_whole};
use anyhow::{Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub const DELETED: &str = "\\Deleted";

/// A mailbox and a UID.
pub type Place = (String, u32);

/// A message as the session knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    /// Copies of one email share its flags, but for `\Deleted`.
    pub email: u64,
    pub flags: BTreeSet<String>,
}

/// A message as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub id: String,
    pub flags: BTreeSet<String>,
}

/// What a command does, once it is answered or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    Store {
        mailbox: String,
        uids: Vec<u32>,
        add: bool,
        flags: Vec<String>,
    },
    Expunge {
        mailbox: String,
        uids: Vec<u32>,
    },
    Copy {
        from: String,
        to: String,
        uids: Vec<u32>,
    },
    Move {
        from: String,
        to: String,
        uids: Vec<u32>,
    },
    Append {
        to: String,
        id: String,
    },
}

/// Deliveries to one account since the last look.
#[derive(Debug, Default)]
pub struct Delivered {
    pub acknowledged: HashSet<String>,
    /// Sent, with no reply.
    pub unanswered: HashSet<String>,
}

/// The messages of one session.
#[derive(Debug, Default)]
pub struct Promised {
    pub messages: BTreeMap<Place, Message>,
    /// Every id that the session has ever met.
    pub known: HashSet<String>,
    /// The command under way.
    pub under_way: Option<Change>,
    /// What each UID means, for ever.
    meanings: HashMap<Place, String>,
    emails: u64,
}

impl Promised {
    /// A message that the session meets for the first time.
    pub fn meet(&mut self, place: Place, id: String, flags: BTreeSet<String>) {
        self.known.insert(id.clone());
        self.emails += 1;
        let email = self.emails;
        self.put(place, Message { id, email, flags });
    }

    /// The UIDs in a mailbox for which `is` holds.
    pub fn uids(&self, mailbox: &str, is: impl Fn(&Message) -> bool) -> Vec<u32> {
        let here = self.messages.iter().filter(|((of, _), _)| of == mailbox);
        here.filter(|(_, message)| is(message))
            .map(|((_, uid), _)| *uid)
            .collect()
    }

    /// The change was answered; what it made lies at `placed`, in its order.
    pub fn answered(&mut self, change: &Change, placed: &[u32]) -> Result<()> {
        let (left, arrivals) = self.after(change);
        ensure!(
            arrivals.len() == placed.len(),
            "{change:?} was answered with UIDs {placed:?}"
        );
        self.messages = left;
        for ((mailbox, message), uid) in arrivals.into_iter().zip(placed) {
            self.known.insert(message.id.clone());
            self.emails = self.emails.max(message.email);
            self.put((mailbox, *uid), message);
        }
        Ok(())
    }

    fn put(&mut self, place: Place, message: Message) {
        self.meanings.insert(place.clone(), message.id.clone());
        self.messages.insert(place, message);
    }

    /// The messages that are where they were, and what arrives in which mailbox.
    fn after(&self, change: &Change) -> (BTreeMap<Place, Message>, Vec<(String, Message)>) {
        let mut left = self.messages.clone();
        let mut arrivals = Vec::new();
        match change {
            Change::Store {
                mailbox,
                uids,
                add,
                flags,
            } => {
                for uid in uids {
                    set_flags(&mut left, &(mailbox.clone(), *uid), *add, flags);
                }
            }
            Change::Expunge { mailbox, uids } => {
                left.retain(|(of, uid), _| of != mailbox || !uids.contains(uid));
            }
            Change::Copy { from, to, uids } | Change::Move { from, to, uids } => {
                let mut next = self.emails;
                for uid in uids {
                    let Some(message) = self.messages.get(&(from.clone(), *uid)) else {
                        continue;
                    };
                    let mut message = message.clone();
                    message.flags.remove(DELETED);
                    // An email is in a mailbox once; a second one is another email.
                    let twin =
                        |(of, _): &Place, there: &Message| of == to && there.email == message.email;
                    if self
                        .messages
                        .iter()
                        .any(|(place, there)| twin(place, there))
                    {
                        next += 1;
                        message.email = next;
                    }
                    arrivals.push((to.clone(), message));
                    if matches!(change, Change::Move { .. }) {
                        left.remove(&(from.clone(), *uid));
                    }
                }
            }
            Change::Append { to, id } => {
                let message = Message {
                    id: id.clone(),
                    email: self.emails + 1,
                    flags: BTreeSet::new(),
                };
                arrivals.push((to.clone(), message));
            }
        }
        (left, arrivals)
    }

    /// Compares with what is there after a kill, and takes that as the state to
    /// go on from. Each broken promise is told by its name.
    pub fn settle(
        &mut self,
        mut found: BTreeMap<Place, Found>,
        delivered: &Delivered,
    ) -> Result<()> {
        for (place, there) in &found {
            let (mailbox, uid) = place;
            let meant = self.meanings.get(place).unwrap_or(&there.id);
            ensure!(
                *meant == there.id,
                "uid-modseq-grow: {mailbox} {uid} was {meant} and is {}",
                there.id
            );
        }
        let fresh = self.take_fresh(&mut found, delivered)?;
        let without = (self.messages.clone(), Vec::new());
        let settled = match (compare(&without, &found), self.under_way.take()) {
            (Ok(messages), _) => messages,
            (Err(broken), None) => bail!("{broken}"),
            (Err(broken), Some(change)) => match compare(&self.after(&change), &found) {
                Ok(messages) => messages,
                Err(half) => bail!(
                    "nothing-half: {change:?} was under way. As if it never was: {broken}. As if it was whole: {half}"
                ),
            },
        };
        self.messages.clear();
        for (place, message) in settled {
            self.known.insert(message.id.clone());
            self.emails = self.emails.max(message.email);
            self.put(place, message);
        }
        for (place, there) in fresh {
            self.meet(place, there.id, there.flags);
        }
        Ok(())
    }

    /// Deliveries that the session has not met: each that was acknowledged is
    /// there once, one without an answer at most once.
    fn take_fresh(
        &self,
        found: &mut BTreeMap<Place, Found>,
        delivered: &Delivered,
    ) -> Result<BTreeMap<Place, Found>> {
        let is_fresh = |(mailbox, _): &Place, there: &Found| {
            mailbox == "INBOX" && there.id.starts_with('d') && !self.known.contains(&there.id)
        };
        let mut fresh = BTreeMap::new();
        let mut met = HashSet::new();
        while let Some(place) = found
            .iter()
            .find(|(place, there)| is_fresh(place, there))
            .map(|(place, _)| place.clone())
            && let Some(there) = found.remove(&place)
        {
            let id = &there.id;
            ensure!(
                delivered.acknowledged.contains(id) || delivered.unanswered.contains(id),
                "no-duplicate: {id} was not sent since the last look and is new"
            );
            ensure!(met.insert(id.clone()), "no-duplicate: {id} is there twice");
            ensure!(there.flags.is_empty(), "{id} came with {:?}", there.flags);
            fresh.insert(place, there);
        }
        for id in &delivered.acknowledged {
            ensure!(
                met.contains(id) || self.known.contains(id),
                "acknowledged-mail-present: {id} is not there"
            );
        }
        Ok(fresh)
    }
}

fn set_flags(messages: &mut BTreeMap<Place, Message>, at: &Place, add: bool, flags: &[String]) {
    let Some(email) = messages.get(at).map(|message| message.email) else {
        return;
    };
    for (place, message) in messages.iter_mut() {
        let shared = message.email == email;
        for flag in flags {
            if place == at || shared && flag != DELETED {
                if add {
                    message.flags.insert(flag.clone());
                } else {
                    message.flags.remove(flag);
                }
            }
        }
    }
}

/// What is found must be these messages where they were, and these arrivals.
fn compare(
    (left, arrivals): &(BTreeMap<Place, Message>, Vec<(String, Message)>),
    found: &BTreeMap<Place, Found>,
) -> Result<BTreeMap<Place, Message>, String> {
    let mut rest = found.clone();
    for ((mailbox, uid), message) in left {
        let id = &message.id;
        let Some(there) = rest.remove(&(mailbox.clone(), *uid)) else {
            return Err(format!(
                "acknowledged-mail-present: {id} is not at {mailbox} {uid}"
            ));
        };
        if there.flags != message.flags {
            return Err(format!(
                "acknowledged-mail-present: {id} at {mailbox} {uid} has {:?} and should have {:?}",
                there.flags, message.flags
            ));
        }
    }
    let mut settled = left.clone();
    for (to, message) in arrivals {
        // They come in their order, so the first that fits is it.
        let at = rest.iter().find(|((mailbox, _), there)| {
            mailbox == to && there.id == message.id && there.flags == message.flags
        });
        let Some((place, _)) = at.map(|(place, there)| (place.clone(), there.clone())) else {
            return Err(format!("{} has not come to {to}", message.id));
        };
        rest.remove(&place);
        settled.insert(place, message.clone());
    }
    match rest.into_iter().next() {
        Some(((mailbox, uid), there)) => Err(format!(
            "no-duplicate: {} is at {mailbox} {uid}, where it was taken away or never was",
            there.id
        )),
        None => Ok(settled),
    }
}

/// A message as it was fetched; its bytes must be those of its id.
pub fn found(body: &[u8], flags: BTreeSet<String>) -> Result<Found> {
    let Some(id) = id_in(body) else {
        bail!(
            "body-is-its-name: a message without an id, {} bytes",
            body.len()
        );
    };
    ensure!(
        is_whole(&id, body),
        "body-is-its-name: {id} is not the message that was sent"
    );
    Ok(Found { id, flags })
}
