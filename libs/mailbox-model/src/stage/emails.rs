//! Deliver, COPY, MOVE, EXPUNGE: which copies come and go.
//!
//! COPY, MOVE and APPEND do not fail or merge because the target holds the email
//! already: the copy becomes an email of its own on the same blob. Only how many
//! one change makes so is bounded.

use super::{Numbering, Runs, StageError, find};
use crate::change::{Change, Draft, Item, Transfer};
use crate::flags::Flag;
use crate::ids::{EmailId, MailboxId, Uid};
use crate::limits::RENEWED_PER_CHANGE_MAX;
use crate::mailbox::{Entry, Mailbox};
use crate::uidset::UidSet;
use crate::view::View;

/// An email that arrives.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    /// Its flags.
    pub flags: &'a [Flag],
    /// Octets of the message as shown.
    pub size: u64,
    /// Its internal date is another than the moment of its arrival.
    pub dated: bool,
}

/// What a delivery comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverStaged {
    /// The change.
    pub draft: Draft,
    /// The ids and UIDs, in the order of the arrivals.
    pub emails: Vec<(EmailId, Uid)>,
}

/// Works out a delivery of emails into one mailbox (MULTIAPPEND takes several).
///
/// # Errors
/// No such mailbox; numbers used up; a keyword that can't be.
pub fn stage_deliver(
    view: &View,
    mailbox: MailboxId,
    arrivals: &[Arrival<'_>],
) -> Result<DeliverStaged, StageError> {
    let target = find(view, mailbox)?;
    check_room(target, arrivals.len())?;
    let mut numbering = Numbering::new(view);
    let mut email = view.next_email();
    let mut uid = target.uid_next();
    let mut items = Vec::with_capacity(arrivals.len());
    let mut dated = UidSet::new();
    for arrival in arrivals {
        let (keywords, deleted) = numbering.keywords(arrival.flags)?;
        items.push(Item {
            uid,
            email,
            keywords,
            deleted,
            size: arrival.size,
        });
        if arrival.dated {
            dated.push(uid);
        }
        email = email.next();
        uid = uid.next();
    }
    let emails = items.iter().map(|item| (item.email, item.uid)).collect();
    let draft = Draft {
        new_keywords: numbering.new_keywords,
        change: Change::Deliver {
            mailbox,
            items,
            dated,
        },
    };
    Ok(DeliverStaged { draft, emails })
}

pub(super) fn check_room(target: &Mailbox, count: usize) -> Result<(), StageError> {
    let left = u64::from(u32::MAX - target.uid_next().0);
    if count as u64 > left {
        Err(StageError::NumbersUsedUp)
    } else {
        Ok(())
    }
}

/// What a COPY or MOVE comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferStaged {
    /// None when none of the UIDs is there.
    pub draft: Option<Draft>,
    /// (source UID, target UID) of each, in order: COPYUID.
    pub uids: Vec<(Uid, Uid)>,
}

/// Works out a COPY.
///
/// # Errors
/// No such mailbox; numbers used up.
pub fn stage_copy(
    view: &View,
    from: MailboxId,
    to: MailboxId,
    uids: &UidSet,
) -> Result<TransferStaged, StageError> {
    Ok(match transfer(view, from, to, uids, Reach::OverGaps)? {
        (None, uids, _) => TransferStaged { draft: None, uids },
        (Some(transfer), uids, _) => TransferStaged {
            draft: Some(Change::Copy(transfer).into()),
            uids,
        },
    })
}

/// Works out a MOVE. RFC 6851
///
/// # Errors
/// As [`stage_copy`].
pub fn stage_move(
    view: &View,
    from: MailboxId,
    to: MailboxId,
    uids: &UidSet,
) -> Result<TransferStaged, StageError> {
    Ok(match transfer(view, from, to, uids, Reach::Exact)? {
        (None, uids, _) => TransferStaged { draft: None, uids },
        (Some(transfer), uids, Originals { deleted, renewed }) => {
            let change = Change::Move {
                transfer,
                deleted,
                renewed_from: renewed,
            };
            TransferStaged {
                draft: Some(change.into()),
                uids,
            }
        }
    })
}

/// How the entries are named: a copy's UIDs may reach over gaps, since the
/// originals stay to be asked; a move's can't.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    OverGaps,
    Exact,
}

/// What a move must remember of the originals.
struct Originals {
    deleted: UidSet,
    renewed: Vec<EmailId>,
}

type Transferred = (Option<Transfer>, Vec<(Uid, Uid)>, Originals);

fn transfer(
    view: &View,
    from: MailboxId,
    to: MailboxId,
    uids: &UidSet,
    reach: Reach,
) -> Result<Transferred, StageError> {
    let source = find(view, from)?;
    let target = find(view, to)?;
    let first_uid = target.uid_next();
    let mut next = first_uid;
    let (mut taken, mut renewed, mut deleted) = (Runs::default(), Runs::default(), Runs::default());
    let mut exact = UidSet::new();
    let mut pairs = Vec::new();
    let mut renewals = Vec::new();
    for (rank, entry) in source.select(uids) {
        match reach {
            Reach::OverGaps => taken.push(rank, entry.uid),
            Reach::Exact => exact.push(entry.uid),
        }
        if from == to
            || view
                .copies(from, entry)
                .iter()
                .any(|copy| copy.mailbox == to)
        {
            renewed.push(rank, entry.uid);
            renewals.push(entry.email);
        }
        if entry.deleted {
            deleted.push(rank, entry.uid);
        }
        pairs.push((entry.uid, next));
        next = next.next();
    }
    check_room(target, pairs.len())?;
    if renewals.len() > RENEWED_PER_CHANGE_MAX {
        return Err(StageError::Renewed);
    }
    let originals = Originals {
        deleted: deleted.uids,
        renewed: renewals,
    };
    if pairs.is_empty() {
        return Ok((None, pairs, originals));
    }
    let transfer = Transfer {
        from,
        to,
        uids: if reach == Reach::Exact {
            exact
        } else {
            taken.uids
        },
        first_uid,
        renewed: renewed.uids,
        first_email: view.next_email(),
    };
    Ok((Some(transfer), pairs, originals))
}

/// Which entries an expunge takes.
#[derive(Debug, Clone, Copy)]
pub enum Expunging<'a> {
    /// All with `\Deleted`: EXPUNGE, CLOSE.
    Deleted,
    /// Those of the set with `\Deleted`: UID EXPUNGE.
    DeletedAmong(&'a UidSet),
    /// All of the set: POP3's QUIT, JMAP.
    Exactly(&'a UidSet),
}

/// What an expunge comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpungeStaged {
    /// None when nothing is to go.
    pub draft: Option<Draft>,
    /// The UIDs that go, in order.
    pub uids: Vec<Uid>,
    /// True when `limit` left some for another change.
    pub more: bool,
}

/// Works out an expunge of at most `limit` entries.
///
/// # Errors
/// No such mailbox.
pub fn stage_expunge(
    view: &View,
    mailbox: MailboxId,
    which: Expunging<'_>,
    limit: usize,
) -> Result<ExpungeStaged, StageError> {
    let source = find(view, mailbox)?;
    let all = UidSet::all();
    let (uids, only_deleted) = match which {
        Expunging::Deleted => (&all, true),
        Expunging::DeletedAmong(uids) => (uids, true),
        Expunging::Exactly(uids) => (uids, false),
    };
    let mut items = Vec::new();
    let mut more = false;
    if !only_deleted || source.counters().deleted > 0 {
        let chosen = source
            .select(uids)
            .filter(|(_, entry)| !only_deleted || entry.deleted);
        for (_, entry) in chosen {
            if items.len() == limit {
                more = true;
                break;
            }
            items.push(Item::from(entry));
        }
    }
    let gone = items.iter().map(|item| item.uid).collect();
    let draft = (!items.is_empty()).then(|| Change::Expunge { mailbox, items }.into());
    Ok(ExpungeStaged {
        draft,
        uids: gone,
        more,
    })
}

impl From<&Entry> for Item {
    fn from(entry: &Entry) -> Self {
        Self {
            uid: entry.uid,
            email: entry.email,
            keywords: entry.keywords.clone(),
            deleted: entry.deleted,
            size: entry.size(),
        }
    }
}
