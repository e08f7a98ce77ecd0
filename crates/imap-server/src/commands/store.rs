//! STORE and UID STORE (RFC 9051 §6.4.6; UNCHANGEDSINCE: RFC 7162 §3.1.3).

use crate::access::no_right;
use crate::commands::enable;
use crate::events;
use crate::fetch::write_modseq_update;
use crate::message_limit::keep_last;
use crate::reply::{Executed, Reply, SyncMode, store_failed};
use crate::selected::OwnStore;
use crate::session::Session;
use envelope::AccountId;
use imap_proto::response::Code;
use imap_proto::{StoreAction, StoreCommand};
use mailbox_model::stage::{FlagAction, Untouched};
use mailbox_model::{Entry, Flag, FlagId, MailboxId, ModSeq, UidSet};
use mailstore::{Account, ReadersStore, Rights, StoreError};
use std::sync::Arc;

pub(crate) async fn run(session: &mut Session, command: StoreCommand) -> Executed {
    let Some(selected) = &session.selected else {
        return Ok(Reply::bad("select a mailbox first"));
    };
    if selected.read_only {
        return Ok(Reply::no(
            Code::READ_ONLY,
            "the mailbox was opened by EXAMINE",
        ));
    }
    let Ok(mut ranks) = selected.ranks(&command.set, command.uid) else {
        return Ok(Reply::bad("there is no message of that number"));
    };
    // RFC 9738 §3
    let max = session.messages_max();
    let cut = max.is_some_and(|max| keep_last(&mut ranks, max));
    let uids = selected.uids(&ranks);
    let lowest = uids.iter().next().filter(|_| cut);
    let flags: Vec<Flag> = command
        .flags
        .iter()
        .filter_map(|flag| Flag::parse(flag.as_str()))
        .collect();
    let action = match command.action {
        StoreAction::Replace => FlagAction::Replace,
        StoreAction::Add => FlagAction::Add,
        StoreAction::Remove => FlagAction::Remove,
    };
    let since = command.unchanged_since.map(ModSeq);
    let (account, mailbox) = (Arc::clone(&selected.account), selected.id);
    let readership = selected.readership.as_ref();
    let reader = readership.map(|readership| (readership.reader, untouched(readership.rights)));
    if let Some((_, untouched)) = reader
        && !changes_any(action, &flags, untouched)
    {
        // RFC 4314 §4: one flag that may be changed is enough.
        return Ok(no_right());
    }
    if since.is_some() {
        enable::condstore(session);
    }
    let armed = events::arm(session, &account, mailbox).await;
    let stored = match reader {
        None => {
            account
                .store_flags(mailbox, &uids, action, &flags, since)
                .await
        }
        Some((reader, untouched)) => {
            let store = ReadersStore {
                reader,
                mailbox,
                uids: &uids,
                action,
                flags: &flags,
                unchanged_since: since,
                untouched,
            };
            account.store_flags_of_reader(&store).await
        }
    };
    let stored = match stored {
        Ok(stored) => stored,
        Err(error) => return Ok(store_failed(&error)),
    };
    let mode = if command.uid {
        SyncMode::Everything
    } else {
        SyncMode::WithoutExpunge
    };
    // What was left alone by UNCHANGEDSINCE is told by MODIFIED, in the numbers
    // the client used.
    let modified = numbers(session, &stored.modified, command.uid);
    let named: Vec<FlagId> = match session.selected_view() {
        Some(view) => flags.iter().filter_map(|flag| view.flag_id(flag)).collect(),
        None => Vec::new(),
    };
    let expected = |told: &Entry, now: &Entry| is_expected(action, &named, told, now);
    let changed: UidSet = match stored.modified.is_empty() {
        true => uids.clone(),
        false => uids
            .iter()
            .filter(|uid| !stored.modified.contains(*uid))
            .collect(),
    };
    let own = match stored.modseq {
        _ if !command.silent => OwnStore::Told(&changed),
        Some(modseq) => OwnStore::Silent {
            modseq,
            uids: &uids,
            expected: &expected,
        },
        None => OwnStore::None,
    };
    session.sync(mode, own).await?;
    if command.silent && session.enabled.condstore {
        let of_all = since.is_some();
        tell_modseqs(session, &changed, stored.modseq, of_all);
    }
    // What a script does is told behind what the client did.
    let ran = match armed {
        Some(armed) => armed.flags_changed(session, &changed, stored.modseq).await,
        None => false,
    };
    let told = if ran { mode } else { SyncMode::Nothing };
    let mut reply = Reply::ok("stored").with_sync(told);
    if !modified.is_empty() {
        reply = reply.with_code(Code::Modified(modified));
    }
    Ok(session.limited(reply, lowest))
}

/// The flags that a reader's rights leave as they are (RFC 4314 §4).
pub(crate) fn untouched(rights: Rights) -> Untouched {
    Untouched {
        seen: !rights.has(Rights::SEEN),
        deleted: !rights.has(Rights::DELETE),
        others: !rights.has(Rights::WRITE),
    }
}

fn changes_any(action: FlagAction, flags: &[Flag], untouched: Untouched) -> bool {
    match action {
        FlagAction::Replace => untouched != untouched_all(),
        FlagAction::Add | FlagAction::Remove => {
            flags.is_empty() || flags.iter().any(|flag| !untouched.names(flag))
        }
    }
}

fn untouched_all() -> Untouched {
    untouched(Rights::NONE)
}

/// `\Seen` for what was read: a reader's own in another's mailbox.
pub(crate) async fn mark_seen(
    account: &Arc<Account>,
    mailbox: MailboxId,
    reader: Option<AccountId>,
    uids: &UidSet,
) -> Result<Option<ModSeq>, StoreError> {
    let (action, flags) = (FlagAction::Add, &[Flag::Seen]);
    let stored = match reader {
        None => {
            account
                .store_flags(mailbox, uids, action, flags, None)
                .await
        }
        Some(reader) => {
            let store = ReadersStore {
                reader,
                mailbox,
                uids,
                action,
                flags,
                unchanged_since: None,
                untouched: Untouched::default(),
            };
            account.store_flags_of_reader(&store).await
        }
    };
    stored.map(|stored| stored.modseq)
}

/// True if a client that was told an entry takes it to be as it is after its STORE.
fn is_expected(action: FlagAction, named: &[FlagId], told: &Entry, now: &Entry) -> bool {
    let wanted = |flag: FlagId| match (named.contains(&flag), action) {
        (true, FlagAction::Remove) => false,
        (true, FlagAction::Add | FlagAction::Replace) => true,
        (false, FlagAction::Replace) => false,
        (false, FlagAction::Add | FlagAction::Remove) => told.has(flag),
    };
    let looked_at = now.flags().chain(told.flags()).chain(named.iter().copied());
    looked_at
        .into_iter()
        .all(|flag| now.has(flag) == wanted(flag))
}

/// RFC 7162 §3.1.3: the new mod-sequence is told even when the flags are not; after a
/// conditional STORE that of every message for which it went well, changed by it or not.
fn tell_modseqs(session: &mut Session, uids: &UidSet, modseq: Option<ModSeq>, of_all: bool) {
    let Some(selected) = &session.selected else {
        return;
    };
    let changed: Vec<usize> = uids
        .iter()
        .filter_map(|uid| selected.find(uid))
        .filter(|(_, entry)| of_all || Some(entry.modseq) == modseq)
        .map(|(rank, _)| rank)
        .collect();
    for rank in changed {
        write_modseq_update(&mut session.out, selected, rank, session.enabled);
    }
}

fn numbers(session: &Session, uids: &UidSet, uid: bool) -> Vec<u32> {
    let Some(selected) = &session.selected else {
        return Vec::new();
    };
    uids.iter()
        .filter_map(|found| {
            let (rank, _) = selected.find(found)?;
            if uid {
                Some(found.0)
            } else {
                u32::try_from(rank + 1).ok()
            }
        })
        .collect()
}
