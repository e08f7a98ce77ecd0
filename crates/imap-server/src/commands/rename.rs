//! RENAME (RFC 9051 §6.3.6).

use crate::access::{Other, Whose, no_mailbox, no_right};
use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use imap_proto::response::Code;
use mailbox_model::MailboxName;
use mailstore::Rights;

pub(crate) async fn run(
    session: &mut Session,
    from: &imap_proto::MailboxName,
    to: &imap_proto::MailboxName,
) -> Executed {
    let names = match (session.whose(from).await, session.whose(to).await) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(reply), _) | (_, Err(reply)) => return Ok(reply),
    };
    let (account, from, to) = match names {
        (Whose::Own(account, from), Whose::Own(_, to)) => (account, from, to),
        (Whose::Other(other, from), Whose::Other(target, to))
            if other.account.id() == target.account.id() =>
        {
            if let Err(reply) = may_rename(&other, &from, &to) {
                return Ok(reply);
            }
            (other.account, from, to)
        }
        (Whose::Nobody, _) => return Ok(no_mailbox()),
        _ => {
            let text = "a mailbox stays with its owner; copy its messages instead";
            return Ok(Reply::no(Code::CANNOT, text));
        }
    };
    match account.rename_mailbox(&from, &to).await {
        Ok(()) => Ok(Reply::ok("renamed")),
        Err(error) => Ok(store_failed(&error)),
    }
}

/// RFC 4314 §4: `x` on the mailbox, and here on all that go with it; `k` above the new name.
fn may_rename(other: &Other, from: &MailboxName, to: &MailboxName) -> Result<(), Reply> {
    let names = other.view.names().into_iter();
    let moved = names.filter(|(name, _)| name == from || name.is_below(from));
    let moved: Vec<_> = moved.filter_map(|(_, id)| id).collect();
    let is_known = |id| !other.rights(id).is_empty();
    if from.is_inbox() || moved.is_empty() || !moved.iter().any(|id| is_known(*id)) {
        return Err(no_mailbox());
    }
    let above = to
        .ancestors()
        .filter_map(|name| other.view.mailbox_named(&name).cloned());
    let may_make = above
        .last()
        .is_some_and(|above| other.rights(above.id()).has(Rights::CREATE));
    let may_move = moved
        .iter()
        .all(|id| other.rights(*id).has(Rights::DELETE_MAILBOX));
    match may_make && may_move {
        true => Ok(()),
        false => Err(no_right()),
    }
}
