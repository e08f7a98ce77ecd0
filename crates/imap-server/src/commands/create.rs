//! CREATE (RFC 9051 §6.3.4; USE: RFC 6154 §3).

use crate::access::{Whose, no_right};
use crate::reply::{Executed, Reply, store_failed};
use crate::session::Session;
use imap_proto::response::Code;
use imap_proto::{MailboxName, SpecialUse};
use mailbox_model::{Mailbox, Role, View};
use mailstore::object_id;
use mailstore::{Account, Acl, Rights};
use std::sync::Arc;

pub(crate) async fn run(
    session: &mut Session,
    name: &MailboxName,
    special_use: &[SpecialUse],
) -> Executed {
    let mut role = None;
    let is_own = matches!(session.whose(name).await, Ok(Whose::Own(..)));
    match special_use {
        [] => {}
        [one] => {
            role = Role::from_attribute(one.as_str());
            if role.is_none() {
                return Ok(Reply::no(
                    Code::USE_ATTR,
                    "this special use is not supported",
                ));
            }
        }
        _ => {
            return Ok(Reply::no(
                Code::USE_ATTR,
                "a mailbox has at most one special use",
            ));
        }
    }
    let (account, name, acl) = match may_create(session, name, role.is_some()).await {
        Ok(place) => place,
        Err(reply) => return Ok(reply),
    };
    let before = account.view();
    let owner = Some(account.id()).filter(|_| !is_own);
    // A folder that a mail program makes for its sent mail is for sent mail, unless another is.
    role = role.or_else(|| {
        if !is_own {
            return None;
        }
        let meant = Role::of_name(name.as_str())?;
        before.role(meant).is_none().then_some(meant)
    });
    let id = match account.create_mailbox(&name, role).await {
        Ok(id) => id,
        Err(error) => return Ok(store_failed(&error)),
    };
    if let Some(acl) = acl {
        // Who may do what above may do it here: a mailbox that is made stays in its maker's sight.
        let view = account.view();
        let made = name.ancestors().chain([name.clone()]);
        let made = made.filter(|name| before.mailbox_named(name).is_none());
        for mailbox in made.filter_map(|name| view.mailbox_named(&name)) {
            let inherits = |own: &mut Acl| *own = acl.clone();
            match account.change_acl(mailbox.id(), inherits).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    let text = "created, but for the owner alone: too many rights are given";
                    return Ok(Reply::no(Code::LIMIT, text));
                }
                Err(error) => return Ok(store_failed(&error)),
            }
        }
    }
    // RFC 8474 §4.1
    Ok(Reply::ok("created").with_code(Code::MailboxId(object_id::of_mailbox(id, owner))))
}

/// Where a mailbox may be made, by the owner's name for it, and what it inherits.
async fn may_create(
    session: &Session,
    name: &MailboxName,
    for_use: bool,
) -> Result<(Arc<Account>, mailbox_model::MailboxName, Option<Acl>), Reply> {
    match session.whose(name).await? {
        Whose::Own(account, own) => {
            let view = account.view();
            let acls = account.acls().await.map_err(|error| store_failed(&error))?;
            let acl = nearest(&view, &own)
                .and_then(|above| acls.of(above.id()))
                .cloned();
            Ok((account, own, acl))
        }
        Whose::Other(other, name) => {
            // RFC 4314 §4: `k` on the nearest mailbox above that is there.
            let above = nearest(&other.view, &name).ok_or_else(no_right)?;
            if !other.rights(above.id()).has(Rights::CREATE) {
                return Err(no_right());
            }
            if for_use {
                let text = "a special use is its owner's to give";
                return Err(Reply::no(Code::USE_ATTR, text));
            }
            let acl = other.acls.of(above.id()).cloned();
            Ok((other.account, name, acl))
        }
        Whose::Nobody => match mailbox_model::MailboxName::parse(name.as_str()) {
            Ok(_) => {
                let text = "names of that kind are for what others share";
                Err(Reply::no(Code::CANNOT, text))
            }
            Err(error) => Err(Reply::no(Code::CANNOT, error.to_string())),
        },
    }
}

/// The nearest mailbox above a name.
fn nearest<'a>(view: &'a View, name: &mailbox_model::MailboxName) -> Option<&'a Arc<Mailbox>> {
    let mut above: Vec<_> = name.ancestors().collect();
    above.reverse();
    above.iter().find_map(|name| view.mailbox_named(name))
}
