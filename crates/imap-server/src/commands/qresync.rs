//! Quick resynchronisation (RFC 7162 §3.2): what is gone, and what changed, since
//! a state that the client remembers.
//!
//! The mailbox remembers so many expunges; of older ones the account's log knows, as far as it goes back.
//! For a state below that, and for one that never was, every UID that is not there counts as gone: more than was
//! asked, never less.

use crate::fetch;
use crate::limits::{CHANGES_READ_MAX, ENTRIES_PER_CHANGE, OUTPUT_BYTES};
use crate::reply::{Ended, Executed, Reply, SyncMode};
use crate::selected::OwnStore;
use crate::session::Session;
use imap_proto::Qresync;
use imap_proto::response::{self, Code};
use imap_proto::sequence::{self, Ranges};
use mailbox_model::{Mailbox, ModSeq, Uid, View};

/// Tells what SELECT's parameter asks for (RFC 7162 §3.2.5).
pub(crate) async fn resynchronise(
    session: &mut Session,
    view: &View,
    mailbox: &Mailbox,
    remembered: &Qresync,
) -> Result<(), Ended> {
    if remembered.uid_validity != mailbox.uid_validity().0 {
        return Ok(());
    }
    let since = state(mailbox, remembered.modseq);
    let all: Ranges = last_uid(mailbox)
        .map(|last| (1, last))
        .into_iter()
        .collect();
    let known = match &remembered.known {
        Some(known) => both(known, &all),
        None => all,
    };
    let moved = above(known.clone(), unmoved(mailbox, remembered));
    let gone = vanished(session, (view, mailbox), since, &moved).await;
    if !gone.is_empty() {
        response::vanished(&mut session.out, &gone, true);
    }
    for (rank, entry) in mailbox.changed_since(since) {
        if !sequence::contains(&known, entry.uid.0) {
            continue;
        }
        if let Some(selected) = &session.selected {
            fetch::write_flags_update(&mut session.out, selected, rank, view, session.enabled);
        }
        if session.out.len() >= OUTPUT_BYTES {
            session.flush().await?;
        }
    }
    Ok(())
}

/// What is told of a set by UID FETCH with VANISHED (RFC 7162 §3.2.6). Everything
/// newer is told first, so that nothing is told twice.
pub(crate) async fn tell_vanished(
    session: &mut Session,
    set: &imap_proto::SequenceSet,
    since: u64,
) -> Result<(), Ended> {
    session.sync(SyncMode::Everything, OwnStore::None).await?;
    let Some(view) = session.selected_view() else {
        return Ok(());
    };
    let Some(mailbox) = session.selected_mailbox(&view) else {
        return Ok(());
    };
    // What is gone may have had the last UID.
    let set = set.resolve(last_uid(&mailbox).unwrap_or(0));
    let since = state(&mailbox, since);
    let gone = vanished(session, (&view, &mailbox), since, &set).await;
    if !gone.is_empty() {
        response::vanished(&mut session.out, &gone, true);
    }
    Ok(())
}

/// With QRESYNC on, tells everything, and with the reply the state that the client
/// has then (RFC 7162 §3.2.7, §3.2.9; RFC 6851 §4.4).
pub(crate) async fn with_state(session: &mut Session, reply: Reply) -> Executed {
    if !session.enabled.qresync {
        return Ok(reply);
    }
    session.sync(SyncMode::Everything, OwnStore::None).await?;
    let told = session.selected.as_ref().map(|selected| selected.told());
    Ok(match told {
        Some(told) => reply.with_code(Code::HighestModSeq(told.0.max(1))),
        None => reply,
    })
}

/// A state that the mailbox has not reached is none of its own: nothing can be
/// said of what came after it.
fn state(mailbox: &Mailbox, modseq: u64) -> ModSeq {
    if modseq > mailbox.highest_modseq().0.max(1) {
        ModSeq(0)
    } else {
        ModSeq(modseq)
    }
}

/// The last UID that was ever given.
fn last_uid(mailbox: &Mailbox) -> Option<u32> {
    mailbox.uid_next().0.checked_sub(1).filter(|&last| last > 0)
}

/// The UIDs among these that are gone since then.
async fn vanished(
    session: &Session,
    (view, mailbox): (&View, &Mailbox),
    since: ModSeq,
    among: &[(u32, u32)],
) -> Ranges {
    let mut gone = mailbox.vanished_since(since);
    if gone.is_none()
        && let Some(selected) = &session.selected
        && is_log_worth(view, mailbox, since)
    {
        let account = &selected.account;
        let told = account.vanished_between(mailbox.id(), since, view.modseq());
        gone = told.await.ok().flatten();
    }
    let gone = match gone {
        Some(uids) => uids.ranges().map(|(a, b)| (a.0, b.0)).collect(),
        None => absent(mailbox),
    };
    both(&gone, among)
}

/// Is it less work, for us or for the client, to read what happened than to look at every message?
fn is_log_worth(view: &View, mailbox: &Mailbox, since: ModSeq) -> bool {
    let changes = view.modseq().0 - since.0.min(view.modseq().0);
    let messages = mailbox.entries().len() as u64;
    let holes = u64::from(last_uid(mailbox).unwrap_or(0)).saturating_sub(messages);
    since > ModSeq(0)
        && changes <= CHANGES_READ_MAX
        && (changes < holes || changes < messages / ENTRIES_PER_CHANGE)
}

/// All UIDs that were given and are not there.
fn absent(mailbox: &Mailbox) -> Ranges {
    let mut absent = Vec::new();
    let mut next = 1;
    for entry in mailbox.entries() {
        if entry.uid.0 > next {
            absent.push((next, entry.uid.0 - 1));
        }
        next = entry.uid.0.saturating_add(1);
    }
    if let Some(last) = last_uid(mailbox)
        && last >= next
    {
        absent.push((next, last));
    }
    absent
}

/// The last UID up to which nothing that the client knew is gone, by what it says
/// of sequence numbers: a message that still has its number has lost none before
/// it (RFC 7162 §3.2.5.2).
fn unmoved(mailbox: &Mailbox, remembered: &Qresync) -> Uid {
    let Some((numbers, uids)) = &remembered.matches else {
        return Uid(0);
    };
    let each = |ranges: &Ranges| ranges.clone().into_iter().flat_map(|(a, b)| a..=b);
    let mut last = Uid(0);
    // Ends with the mailbox at the latest, whatever the client says.
    for (number, uid) in each(numbers).zip(each(uids)) {
        let entry = mailbox.entries().get(number as usize - 1);
        if entry.is_none_or(|entry| entry.uid.0 != uid) {
            break;
        }
        last = Uid(uid);
    }
    last
}

/// What of ascending ranges lies above a UID.
fn above(ranges: Ranges, uid: Uid) -> Ranges {
    let cut = ranges.into_iter().filter(|&(_, to)| to > uid.0);
    cut.map(|(from, to)| (from.max(uid.0.saturating_add(1)), to))
        .collect()
}

/// What lies in both of two lists of ascending ranges.
fn both(a: &[(u32, u32)], b: &[(u32, u32)]) -> Ranges {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut common = Vec::new();
    while let (Some(&&(a_from, a_to)), Some(&&(b_from, b_to))) = (a.peek(), b.peek()) {
        let (from, to) = (a_from.max(b_from), a_to.min(b_to));
        if from <= to {
            common.push((from, to));
        }
        if a_to <= b_to {
            a.next();
        } else {
            b.next();
        }
    }
    common
}
