//! STATUS (RFC 9051 §6.3.11), answered from counters.

use crate::access::Place;
use crate::commands::enable;
use crate::reply::{Executed, Reply};
use crate::session::Session;
use envelope::AccountId;
use imap_proto::mailbox_name::write_name;
use imap_proto::response;
use imap_proto::{MailboxName, NameForm, StatusItem};
use mailbox_model::Mailbox;
use mailstore::Rights;
use mailstore::object_id;

pub(crate) async fn run(
    session: &mut Session,
    name: &MailboxName,
    items: &[StatusItem],
) -> Executed {
    let form = session.name_form();
    let place = match session.place(name, Rights::READ).await {
        Ok(place) => place,
        Err(reply) => return Ok(reply),
    };
    let unseen = match unseen(&place, items).await {
        Ok(unseen) => unseen,
        Err(reply) => return Ok(reply),
    };
    // RFC 7162 §3.1.7: asking for it switches CONDSTORE on.
    if items.contains(&StatusItem::HighestModSeq) {
        enable::condstore(session);
    }
    let append_limit = session.config.append_bytes_max;
    let shown = place.shown_name();
    let named = (shown.as_str(), form);
    write(
        &mut session.out,
        (&place.mailbox, unseen, place.owner()),
        named,
        items,
        append_limit,
    );
    Ok(Reply::ok("that is how it stands"))
}

/// How many messages the user has not read.
pub(crate) async fn unseen(place: &Place, items: &[StatusItem]) -> Result<u64, Reply> {
    if !items.contains(&StatusItem::Unseen) {
        return Ok(0);
    }
    Ok(match place.readership().await? {
        None => place.mailbox.counters().unseen,
        Some(readership) => {
            let entries = place.mailbox.entries().iter();
            entries
                .filter(|entry| !readership.seen.contains(entry.uid))
                .count() as u64
        }
    })
}

/// One untagged STATUS response.
pub(crate) fn write(
    out: &mut Vec<u8>,
    (mailbox, unseen, owner): (&Mailbox, u64, Option<AccountId>),
    (name, form): (&str, NameForm),
    items: &[StatusItem],
    append_limit: u64,
) {
    out.extend_from_slice(b"* STATUS ");
    write_name(out, name, form);
    out.extend_from_slice(b" (");
    let counters = mailbox.counters();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(item.as_str().as_bytes());
        out.push(b' ');
        let number = match item {
            StatusItem::MailboxId => {
                let id = object_id::of_mailbox(mailbox.id(), owner);
                out.extend_from_slice(format!("({id})").as_bytes());
                continue;
            }
            StatusItem::AppendLimit => append_limit,
            StatusItem::Messages => counters.messages,
            StatusItem::UidNext => u64::from(mailbox.uid_next().0),
            StatusItem::UidValidity => u64::from(mailbox.uid_validity().0),
            StatusItem::Unseen => unseen,
            StatusItem::Deleted => counters.deleted,
            StatusItem::DeletedStorage if counters.deleted == 0 => 0,
            StatusItem::DeletedStorage => {
                let deleted = mailbox.entries().iter().filter(|entry| entry.deleted);
                deleted.map(|entry| entry.size()).sum()
            }
            StatusItem::Size => counters.size_bytes,
            StatusItem::Recent => 0,
            StatusItem::HighestModSeq => mailbox.highest_modseq().0.max(1),
        };
        response::write_number(out, number);
    }
    out.extend_from_slice(b")\r\n");
}
