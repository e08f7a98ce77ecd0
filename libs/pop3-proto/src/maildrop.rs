//! The maildrop of a session: fixed at the login, with its deletion marks.

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Its UID in the inbox.
    pub uid: u32,
    /// Its size in octets, exactly.
    pub size: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    message: Message,
    deleted: bool,
}

/// What a session shows, in order of UIDs. Numbers count from 1 and stay.
#[derive(Debug, Clone, Default)]
pub struct Maildrop {
    uid_validity: u32,
    slots: Vec<Slot>,
}

impl Maildrop {
    /// A maildrop of these messages.
    #[must_use]
    pub fn new(uid_validity: u32, messages: impl IntoIterator<Item = Message>) -> Self {
        let slots = messages.into_iter().map(|message| Slot {
            message,
            deleted: false,
        });
        Self {
            uid_validity,
            slots: slots.collect(),
        }
    }

    /// How many messages there are, marked ones included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The message of this number, unless marked.
    pub(crate) fn message(&self, number: u64) -> Option<Message> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        let slot = self.slots.get(index)?;
        (!slot.deleted).then_some(slot.message)
    }

    /// Marks a message; false when it is not there or marked already.
    pub(crate) fn mark(&mut self, number: u64) -> bool {
        let there = self.message(number).is_some();
        let index = number
            .checked_sub(1)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(slot) = index
            .and_then(|index| self.slots.get_mut(index))
            .filter(|_| there)
        {
            slot.deleted = true;
        }
        there
    }

    /// Removes all marks.
    pub(crate) fn unmark_all(&mut self) {
        for slot in &mut self.slots {
            slot.deleted = false;
        }
    }

    /// Number and octets of the messages that are not marked.
    pub(crate) fn totals(&self) -> (usize, u64) {
        let kept = self.slots.iter().filter(|slot| !slot.deleted);
        kept.fold((0, 0u64), |(count, octets), slot| {
            (count + 1, octets.saturating_add(slot.message.size))
        })
    }

    /// UIDs of the marked messages.
    pub(crate) fn marked(&self) -> Vec<u32> {
        let marked = self.slots.iter().filter(|slot| slot.deleted);
        marked.map(|slot| slot.message.uid).collect()
    }

    /// RFC 1939 §7: 1 to 70 characters, never used again for another message:
    /// UIDVALIDITY and UID of the inbox entry, in hexadecimal digits.
    pub(crate) fn unique_id(&self, message: Message) -> String {
        format!("{:08x}{:08x}", self.uid_validity, message.uid)
    }
}
