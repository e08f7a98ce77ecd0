//! The record of a log entry.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 3; 1 and 2 are read too |
//! | modseq | varint |
//! | at, Unix ms | varint |
//! | new keywords | varint count, then texts |
//! | tag of the change | byte, see [`tag`] |
//! | the change's fields | in the order of [`Change`]'s declaration |
//!
//! Ids are varints, names texts, roles bytes, lists a varint count and then the
//! items, UID sets as [`crate::uidset`] says. An item is: UID minus the one
//! before as varint, email id minus the one before as zigzag varint, a byte of
//! bits (1 Seen, 2 Answered, 4 Flagged, 8 Draft, 16 Deleted, 32 keywords
//! follow), keywords as varint count and varints, size as varint. One that comes
//! back has bit 64 if mailbox and UID of another copy follow it, both varints.
//!
//! What a delivery brings has its internal date for a save date, unless its kind is the one
//! that names which have another; copies that other changes bring have the moment of the
//! change. Entries of versions 1 and 2 are the same but give no save dates.
//!
//! Version 1 lacks the emails that a move renewed and the names that a rename
//! found subscribed, and its moves may name UIDs that were not there: some of its
//! entries can't be undone exactly.

use crate::change::{
    Change, FlagEdit, Item, LogEntry, NewMailbox, Raise, Renamed, Restored, Transfer,
};
use crate::flags::{FlagId, Keywords};
use crate::ids::{EmailId, KeywordId, MailboxId, ModSeq, Uid, UidValidity};
use crate::limits::EMAIL_BYTES_MAX;
use crate::name::MailboxName;
use crate::role::Role;
use crate::uidset::UidSet;
use crate::view::Copy;
use std::sync::Arc;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 3;
/// Gives no save dates; still read.
const VERSION_2: u8 = 2;
/// The first, which is still read.
const VERSION_1: u8 = 1;

/// Bytes that stand for the kinds of change.
mod tag {
    pub(super) const DELIVER: u8 = 1;
    pub(super) const FLAGS: u8 = 2;
    pub(super) const COPY: u8 = 3;
    pub(super) const MOVE: u8 = 4;
    pub(super) const EXPUNGE: u8 = 5;
    pub(super) const CREATE: u8 = 6;
    pub(super) const RENAME: u8 = 7;
    pub(super) const DELETE: u8 = 8;
    pub(super) const SUBSCRIBE: u8 = 9;
    pub(super) const UNSUBSCRIBE: u8 = 10;
    pub(super) const UID_VALIDITY: u8 = 11;
    pub(super) const RESTORE: u8 = 12;
    pub(super) const RAISED: u8 = 13;
    pub(super) const TOUCHED: u8 = 14;
    pub(super) const DELIVER_DATED: u8 = 15;
    pub(super) const SCRIPTS: u8 = 16;
}

impl LogEntry {
    /// The entry's record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let version = if self.dates { VERSION } else { VERSION_2 };
        out.u8(version).varint(self.modseq.0).varint(self.at_ms);
        out.varint(self.new_keywords.len() as u64);
        for name in &self.new_keywords {
            out.text(name);
        }
        write_change(&mut out, &self.change);
        out.finish()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The record is damaged or of a version not known.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(record);
        let version = input.u8()?;
        if !matches!(version, VERSION_1 | VERSION_2 | VERSION) {
            return Err(DecodeError::Version(version));
        }
        let modseq = ModSeq(input.varint()?);
        let at_ms = input.varint()?;
        let new_keywords = read_list(&mut input, |input| Ok(Arc::from(input.text()?)))?;
        let change = read_change(&mut input, version)?;
        input.finish()?;
        Ok(Self {
            modseq,
            at_ms,
            new_keywords,
            dates: version == VERSION,
            change,
        })
    }
}

fn write_change(out: &mut Writer, change: &Change) {
    match change {
        Change::Deliver {
            mailbox,
            items,
            dated,
        } => {
            let tag = match dated.is_empty() {
                true => tag::DELIVER,
                false => tag::DELIVER_DATED,
            };
            out.u8(tag).varint(u64::from(mailbox.0));
            write_items(out, items);
            if !dated.is_empty() {
                dated.write(out);
            }
        }
        Change::Flags { mailbox, edits } => {
            out.u8(tag::FLAGS).varint(u64::from(mailbox.0));
            out.varint(edits.len() as u64);
            for edit in edits {
                write_flag(out, edit.flag);
                out.u8(u8::from(edit.set));
                edit.uids.write(out);
            }
        }
        Change::Copy(transfer) => {
            out.u8(tag::COPY);
            write_transfer(out, transfer);
        }
        Change::Move {
            transfer,
            deleted,
            renewed_from,
        } => {
            out.u8(tag::MOVE);
            write_transfer(out, transfer);
            deleted.write(out);
            out.varint(renewed_from.len() as u64);
            for email in renewed_from {
                out.varint(email.0);
            }
        }
        Change::Expunge { mailbox, items } => {
            out.u8(tag::EXPUNGE).varint(u64::from(mailbox.0));
            write_items(out, items);
        }
        Change::Create { mailboxes } => {
            out.u8(tag::CREATE);
            write_mailboxes(out, mailboxes);
        }
        Change::Rename {
            created,
            renames,
            subscribed,
            kept,
        } => {
            out.u8(tag::RENAME);
            write_mailboxes(out, created);
            out.varint(renames.len() as u64);
            for renamed in renames {
                out.varint(u64::from(renamed.id.0));
                out.text(renamed.from.as_str()).text(renamed.to.as_str());
            }
            for names in [subscribed, kept] {
                out.varint(names.len() as u64);
                for name in names {
                    out.text(name.as_str());
                }
            }
        }
        Change::Delete {
            mailbox,
            uid_next,
            items,
        } => {
            out.u8(tag::DELETE);
            write_mailbox(out, mailbox);
            out.varint(u64::from(uid_next.0));
            write_items(out, items);
        }
        Change::Subscribe { name } => {
            out.u8(tag::SUBSCRIBE).text(name.as_str());
        }
        Change::Unsubscribe { name } => {
            out.u8(tag::UNSUBSCRIBE).text(name.as_str());
        }
        Change::UidValidity { mailbox, from, to } => {
            out.u8(tag::UID_VALIDITY).varint(u64::from(mailbox.0));
            out.varint(u64::from(from.0)).varint(u64::from(to.0));
        }
        Change::Restore { mailbox, items } => {
            out.u8(tag::RESTORE).varint(u64::from(mailbox.0));
            write_restored(out, items);
        }
        Change::Touched { mailbox, uids } => {
            out.u8(tag::TOUCHED).varint(u64::from(mailbox.0));
            uids.write(out);
        }
        Change::Scripts => {
            out.u8(tag::SCRIPTS);
        }
        Change::Raised(raise) => {
            out.u8(tag::RAISED).varint(u64::from(raise.uids));
            out.varint(raise.emails).varint(u64::from(raise.mailboxes));
            out.varint(u64::from(raise.uid_validities));
        }
    }
}

fn read_change(input: &mut Reader<'_>, version: u8) -> Result<Change, DecodeError> {
    let old = version == VERSION_1;
    Ok(match input.u8()? {
        tag::DELIVER => Change::Deliver {
            mailbox: MailboxId(input.varint32()?),
            items: read_items(input)?,
            dated: UidSet::new(),
        },
        tag::DELIVER_DATED if version == VERSION => Change::Deliver {
            mailbox: MailboxId(input.varint32()?),
            items: read_items(input)?,
            dated: UidSet::read(input)?,
        },
        tag::FLAGS => Change::Flags {
            mailbox: MailboxId(input.varint32()?),
            edits: read_list(input, |input| {
                Ok(FlagEdit {
                    flag: read_flag(input)?,
                    set: read_bool(input)?,
                    uids: UidSet::read(input)?,
                })
            })?,
        },
        tag::COPY => Change::Copy(read_transfer(input)?),
        tag::MOVE => Change::Move {
            transfer: read_transfer(input)?,
            deleted: UidSet::read(input)?,
            renewed_from: if old {
                Vec::new()
            } else {
                read_list(input, |input| Ok(EmailId(input.varint()?)))?
            },
        },
        tag::EXPUNGE => Change::Expunge {
            mailbox: MailboxId(input.varint32()?),
            items: read_items(input)?,
        },
        tag::CREATE => Change::Create {
            mailboxes: read_list(input, read_mailbox)?,
        },
        tag::RENAME => Change::Rename {
            created: read_list(input, read_mailbox)?,
            renames: read_list(input, |input| {
                Ok(Renamed {
                    id: MailboxId(input.varint32()?),
                    from: read_name(input)?,
                    to: read_name(input)?,
                })
            })?,
            subscribed: read_list(input, read_name)?,
            kept: if old {
                Vec::new()
            } else {
                read_list(input, read_name)?
            },
        },
        tag::DELETE => Change::Delete {
            mailbox: read_mailbox(input)?,
            uid_next: Uid(input.varint32()?),
            items: read_items(input)?,
        },
        tag::SUBSCRIBE => Change::Subscribe {
            name: read_name(input)?,
        },
        tag::UNSUBSCRIBE => Change::Unsubscribe {
            name: read_name(input)?,
        },
        tag::UID_VALIDITY => Change::UidValidity {
            mailbox: MailboxId(input.varint32()?),
            from: UidValidity(input.varint32()?),
            to: UidValidity(input.varint32()?),
        },
        tag::RESTORE => Change::Restore {
            mailbox: MailboxId(input.varint32()?),
            items: read_restored(input)?,
        },
        tag::TOUCHED => Change::Touched {
            mailbox: MailboxId(input.varint32()?),
            uids: UidSet::read(input)?,
        },
        tag::SCRIPTS => Change::Scripts,
        tag::RAISED => Change::Raised(Raise {
            uids: input.varint32()?,
            emails: input.varint()?,
            mailboxes: input.varint32()?,
            uid_validities: input.varint32()?,
        }),
        other => return Err(DecodeError::Tag(other)),
    })
}

/// Reads a list without trusting its count for an allocation.
pub(crate) fn read_list<T>(
    input: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = input.varint()?;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(read(input)?);
    }
    Ok(list)
}

pub(crate) fn read_name(input: &mut Reader<'_>) -> Result<MailboxName, DecodeError> {
    let text = input.text()?;
    match MailboxName::parse(text) {
        // Only the normal form is ever written.
        Ok(name) if name.as_str() == text => Ok(name),
        _ => Err(DecodeError::OutOfRange),
    }
}

pub(crate) fn read_bool(input: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match input.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DecodeError::Tag(other)),
    }
}

pub(crate) fn read_role(input: &mut Reader<'_>) -> Result<Option<Role>, DecodeError> {
    let code = input.u8()?;
    Role::from_code(code).ok_or(DecodeError::Tag(code))
}

fn write_flag(out: &mut Writer, flag: FlagId) {
    match flag {
        FlagId::Seen => out.u8(0),
        FlagId::Answered => out.u8(1),
        FlagId::Flagged => out.u8(2),
        FlagId::Draft => out.u8(3),
        FlagId::Deleted => out.u8(4),
        FlagId::Keyword(id) => out.u8(5).varint(u64::from(id.0)),
    };
}

fn read_flag(input: &mut Reader<'_>) -> Result<FlagId, DecodeError> {
    Ok(match input.u8()? {
        0 => FlagId::Seen,
        1 => FlagId::Answered,
        2 => FlagId::Flagged,
        3 => FlagId::Draft,
        4 => FlagId::Deleted,
        5 => FlagId::Keyword(KeywordId(input.varint32()?)),
        other => return Err(DecodeError::Tag(other)),
    })
}

fn write_transfer(out: &mut Writer, transfer: &Transfer) {
    out.varint(u64::from(transfer.from.0))
        .varint(u64::from(transfer.to.0));
    transfer.uids.write(out);
    out.varint(u64::from(transfer.first_uid.0));
    transfer.renewed.write(out);
    out.varint(transfer.first_email.0);
}

fn read_transfer(input: &mut Reader<'_>) -> Result<Transfer, DecodeError> {
    Ok(Transfer {
        from: MailboxId(input.varint32()?),
        to: MailboxId(input.varint32()?),
        uids: UidSet::read(input)?,
        first_uid: Uid(input.varint32()?),
        renewed: UidSet::read(input)?,
        first_email: EmailId(input.varint()?),
    })
}

fn write_mailboxes(out: &mut Writer, mailboxes: &[NewMailbox]) {
    out.varint(mailboxes.len() as u64);
    for mailbox in mailboxes {
        write_mailbox(out, mailbox);
    }
}

fn write_mailbox(out: &mut Writer, mailbox: &NewMailbox) {
    out.varint(u64::from(mailbox.id.0))
        .text(mailbox.name.as_str());
    out.u8(Role::code(mailbox.role));
    out.varint(u64::from(mailbox.uid_validity.0));
    out.u8(u8::from(mailbox.subscribe));
}

fn read_mailbox(input: &mut Reader<'_>) -> Result<NewMailbox, DecodeError> {
    Ok(NewMailbox {
        id: MailboxId(input.varint32()?),
        name: read_name(input)?,
        role: read_role(input)?,
        uid_validity: UidValidity(input.varint32()?),
        subscribe: read_bool(input)?,
    })
}

/// Where the last item ended: the next one is written as a difference.
#[derive(Default)]
pub(crate) struct ItemState {
    uid: u32,
    email: u64,
}

const BIT_DELETED: u8 = 16;
const BIT_OTHERS: u8 = 32;
/// A bit that the caller of [`write_item`] may use.
pub(crate) const BIT_CALLER: u8 = 64;
/// Of pages: a save date follows.
pub(crate) const BIT_SAVED: u8 = 128;

pub(crate) fn write_item(out: &mut Writer, state: &mut ItemState, item: &Item, extra: u8) {
    out.varint(u64::from(item.uid.0 - state.uid));
    out.varint(zigzag(item.email.0.wrapping_sub(state.email) as i64));
    let others = item.keywords.others();
    let mut bits = item.keywords.system() | extra;
    if item.deleted {
        bits |= BIT_DELETED;
    }
    if !others.is_empty() {
        bits |= BIT_OTHERS;
    }
    out.u8(bits);
    if !others.is_empty() {
        out.varint(others.len() as u64);
        for id in others {
            out.varint(u64::from(id.0));
        }
    }
    out.varint(item.size);
    *state = ItemState {
        uid: item.uid.0,
        email: item.email.0,
    };
}

/// Reads an item, and of the bits that callers may use those that are set; others
/// than the `allowed` are an error.
pub(crate) fn read_item(
    input: &mut Reader<'_>,
    state: &mut ItemState,
    allowed: u8,
) -> Result<(Item, u8), DecodeError> {
    let gap = input.varint32()?;
    let uid = state.uid.checked_add(gap).ok_or(DecodeError::OutOfRange)?;
    if gap == 0 {
        return Err(DecodeError::OutOfRange);
    }
    let email = state.email.wrapping_add(unzigzag(input.varint()?) as u64);
    let bits = input.u8()?;
    let extra = bits & (BIT_CALLER | BIT_SAVED);
    if extra & !allowed != 0 {
        return Err(DecodeError::Tag(bits));
    }
    let others = if bits & BIT_OTHERS == 0 {
        Vec::new()
    } else {
        read_list(input, |input| Ok(KeywordId(input.varint32()?)))?
    };
    // The bit says that there are some.
    let none_follow = bits & BIT_OTHERS != 0 && others.is_empty();
    if none_follow || !others.is_sorted_by(|a, b| a < b) {
        return Err(DecodeError::OutOfRange);
    }
    let size = input.varint()?;
    if size > EMAIL_BYTES_MAX {
        return Err(DecodeError::OutOfRange);
    }
    *state = ItemState { uid, email };
    let item = Item {
        uid: Uid(uid),
        email: EmailId(email),
        keywords: Keywords::from_parts(bits, others),
        deleted: bits & BIT_DELETED != 0,
        size,
    };
    Ok((item, extra))
}

fn write_items(out: &mut Writer, items: &[Item]) {
    out.varint(items.len() as u64);
    let mut state = ItemState::default();
    for item in items {
        write_item(out, &mut state, item, 0);
    }
}

fn read_items(input: &mut Reader<'_>) -> Result<Vec<Item>, DecodeError> {
    let count = input.varint()?;
    let mut state = ItemState::default();
    let mut items = Vec::new();
    for _ in 0..count {
        let (item, _) = read_item(input, &mut state, 0)?;
        items.push(item);
    }
    Ok(items)
}

fn write_restored(out: &mut Writer, items: &[Restored]) {
    out.varint(items.len() as u64);
    let mut state = ItemState::default();
    for restored in items {
        let extra = restored.beside.map_or(0, |_| BIT_CALLER);
        write_item(out, &mut state, &restored.item, extra);
        if let Some(copy) = restored.beside {
            out.varint(u64::from(copy.mailbox.0))
                .varint(u64::from(copy.uid.0));
        }
    }
}

fn read_restored(input: &mut Reader<'_>) -> Result<Vec<Restored>, DecodeError> {
    let count = input.varint()?;
    let mut state = ItemState::default();
    let mut items = Vec::new();
    for _ in 0..count {
        let (item, extra) = read_item(input, &mut state, BIT_CALLER)?;
        let beside = if extra != 0 {
            Some(Copy {
                mailbox: MailboxId(input.varint32()?),
                uid: Uid(input.varint32()?),
            })
        } else {
            None
        };
        items.push(Restored { item, beside });
    }
    Ok(items)
}

pub(crate) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

pub(crate) fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}
