//! STATUS (RFC 9051 §6.3.11), answered from counters.

use crate::commands::enable;
use crate::commands::select::find;
use crate::object_id;
use crate::reply::Reply;
use crate::session::Session;
use imap_proto::mailbox_name::write_name;
use imap_proto::response::{self, Code};
use imap_proto::{MailboxName, NameForm, StatusItem};
use mailbox_model::Mailbox;

pub(crate) fn run(session: &mut Session, name: &MailboxName, items: &[StatusItem]) -> Reply {
    let form = session.name_form();
    let Some(view) = session.view() else {
        return Reply::bad("log in first");
    };
    let Some(mailbox) = find(&view, name) else {
        return Reply::no(Code::NON_EXISTENT, "there is no such mailbox");
    };
    // RFC 7162 §3.1.7: asking for it switches CONDSTORE on.
    if items.contains(&StatusItem::HighestModSeq) {
        enable::condstore(session);
    }
    let append_limit = session.config.append_bytes_max;
    write(&mut session.out, mailbox, items, form, append_limit);
    Reply::ok("that is how it stands")
}

/// One untagged STATUS response.
pub(crate) fn write(
    out: &mut Vec<u8>,
    mailbox: &Mailbox,
    items: &[StatusItem],
    form: NameForm,
    append_limit: u64,
) {
    out.extend_from_slice(b"* STATUS ");
    write_name(out, mailbox.name().as_str(), form);
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
                let id = object_id::of_mailbox(mailbox.id());
                out.extend_from_slice(format!("({id})").as_bytes());
                continue;
            }
            StatusItem::AppendLimit => append_limit,
            StatusItem::Messages => counters.messages,
            StatusItem::UidNext => u64::from(mailbox.uid_next().0),
            StatusItem::UidValidity => u64::from(mailbox.uid_validity().0),
            StatusItem::Unseen => counters.unseen,
            StatusItem::Deleted => counters.deleted,
            StatusItem::DeletedStorage if counters.deleted == 0 => 0,
            StatusItem::DeletedStorage => {
                let deleted = mailbox.entries().iter().filter(|entry| entry.deleted);
                deleted.map(|entry| entry.size).sum()
            }
            StatusItem::Size => counters.size_bytes,
            StatusItem::Recent => 0,
            StatusItem::HighestModSeq => mailbox.highest_modseq().0.max(1),
        };
        response::write_number(out, number);
    }
    out.extend_from_slice(b")\r\n");
}
