//! STORE: which flags of which entries really change. RFC 9051 §6.4.6, RFC 7162 §3.1.3.

use super::{Numbering, Runs, StageError, find};
use crate::change::{Change, Draft, FlagEdit};
use crate::flags::{Flag, FlagId};
use crate::ids::{MailboxId, ModSeq};
use crate::limits::KEYWORDS_PER_CHANGE_MAX;
use crate::uidset::UidSet;
use crate::view::View;
use std::collections::BTreeMap;

/// What to do with the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagAction {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`: these and no others.
    Replace,
}

/// Flags that a request leaves as they are, whatever it says: who asks may not
/// change them. By default there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Untouched {
    /// `\Seen`
    pub seen: bool,
    /// `\Deleted`
    pub deleted: bool,
    /// All others.
    pub others: bool,
}

impl Untouched {
    fn has(self, flag: FlagId) -> bool {
        match flag {
            FlagId::Seen => self.seen,
            FlagId::Deleted => self.deleted,
            _ => self.others,
        }
    }

    /// True for a flag that is left alone.
    #[must_use]
    pub fn names(self, flag: &Flag) -> bool {
        match flag {
            Flag::Seen => self.seen,
            Flag::Deleted => self.deleted,
            _ => self.others,
        }
    }
}

/// A STORE command.
#[derive(Debug, Clone)]
pub struct FlagsRequest<'a> {
    /// Where.
    pub mailbox: MailboxId,
    /// Whose; UIDs that are not there are passed over.
    pub uids: &'a UidSet,
    /// What to do.
    pub action: FlagAction,
    /// With which.
    pub flags: &'a [Flag],
    /// Entries changed after this are left alone and told.
    pub unchanged_since: Option<ModSeq>,
    /// Flags that are not for the one who asks.
    pub untouched: Untouched,
}

/// What a STORE comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagsStaged {
    /// None when nothing changes.
    pub draft: Option<Draft>,
    /// Entries left alone by UNCHANGEDSINCE (the MODIFIED set).
    pub modified: UidSet,
}

/// Works out a STORE.
///
/// # Errors
/// No such mailbox; a keyword that can't be.
pub fn stage_flags(view: &View, request: &FlagsRequest<'_>) -> Result<FlagsStaged, StageError> {
    let mailbox = find(view, request.mailbox)?;
    if request.flags.len() > KEYWORDS_PER_CHANGE_MAX {
        return Err(StageError::Keywords);
    }
    let mut numbering = Numbering::new(view);
    let mut named = Vec::with_capacity(request.flags.len());
    let permitted = |flag: &&Flag| !request.untouched.names(flag);
    for flag in request.flags.iter().filter(permitted) {
        // A keyword nobody has yet can't be removed: it is not made for that.
        if request.action == FlagAction::Remove && view.flag_id(flag).is_none() {
            continue;
        }
        named.push(numbering.number(flag)?);
    }
    named.sort_unstable();
    named.dedup();

    let mut edits: BTreeMap<(FlagId, bool), Runs> = BTreeMap::new();
    let mut modified = UidSet::new();
    for (rank, entry) in mailbox.select(request.uids) {
        if request
            .unchanged_since
            .is_some_and(|since| entry.modseq > since)
        {
            modified.push(entry.uid);
            continue;
        }
        let set = request.action != FlagAction::Remove;
        for &flag in &named {
            if entry.has(flag) != set {
                edits.entry((flag, set)).or_default().push(rank, entry.uid);
            }
        }
        if request.action == FlagAction::Replace {
            for flag in entry
                .flags()
                .filter(|flag| named.binary_search(flag).is_err() && !request.untouched.has(*flag))
            {
                edits
                    .entry((flag, false))
                    .or_default()
                    .push(rank, entry.uid);
            }
        }
    }
    if edits.is_empty() {
        return Ok(FlagsStaged {
            draft: None,
            modified,
        });
    }
    let edits = edits
        .into_iter()
        .map(|((flag, set), runs)| FlagEdit {
            flag,
            set,
            uids: runs.uids,
        })
        .collect();
    let draft = Draft {
        new_keywords: numbering.new_keywords,
        change: Change::Flags {
            mailbox: request.mailbox,
            edits,
        },
    };
    Ok(FlagsStaged {
        draft: Some(draft),
        modified,
    })
}

/// Works out that entries count as changed; none when none of them is there.
///
/// # Errors
/// No such mailbox.
pub fn stage_touch(
    view: &View,
    mailbox: MailboxId,
    uids: &UidSet,
) -> Result<Option<Draft>, StageError> {
    let mut runs = Runs::default();
    for (rank, entry) in find(view, mailbox)?.select(uids) {
        runs.push(rank, entry.uid);
    }
    let uids = runs.uids;
    Ok((!uids.is_empty()).then(|| Change::Touched { mailbox, uids }.into()))
}
