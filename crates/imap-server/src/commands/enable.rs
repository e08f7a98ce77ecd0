//! ENABLE (RFC 5161, RFC 9051 §6.3.1).

use crate::reply::Reply;
use crate::session::Session;
use imap_proto::response::{self, Code, Status};

pub(crate) fn run(session: &mut Session, names: &[String]) -> Reply {
    let mut enabled: Vec<&str> = Vec::new();
    for name in names {
        // Unknown names are passed over, RFC 5161 §3.1.
        let name = match name.as_str() {
            "CONDSTORE" => "CONDSTORE",
            "QRESYNC" => "QRESYNC",
            // RFC 9755 §3; what RFC 6855 called UTF8=ALL is no more.
            "UTF8=ACCEPT" => {
                session.enabled.utf8 = true;
                "UTF8=ACCEPT"
            }
            "UIDONLY" => {
                session.enabled.uid_only = true;
                "UIDONLY"
            }
            "IMAP4REV2" => {
                session.enabled.rev2 = true;
                "IMAP4rev2"
            }
            _ => continue,
        };
        if !enabled.contains(&name) {
            enabled.push(name);
        }
    }
    let form = session.name_form();
    session.framer.set_form(form);
    let list: String = enabled.iter().flat_map(|name| [" ", name]).collect();
    response::untagged(&mut session.out, format_args!("ENABLED{list}"));
    // RFC 7162 §3.2.3: ENABLE QRESYNC is ENABLE CONDSTORE too.
    session.enabled.qresync |= enabled.contains(&"QRESYNC");
    if session.enabled.qresync || enabled.contains(&"CONDSTORE") {
        condstore(session);
    }
    Reply::ok("enabled what there is")
}

/// A command switches CONDSTORE on by using it; the selected mailbox's newest
/// change is told then (RFC 7162 §3.1).
pub(crate) fn condstore(session: &mut Session) {
    if session.enabled.condstore {
        return;
    }
    session.enabled.condstore = true;
    let view = session.selected_view();
    if let Some(mailbox) = view
        .as_ref()
        .and_then(|view| session.selected_mailbox(view))
    {
        let code = Code::HighestModSeq(mailbox.highest_modseq().0.max(1));
        response::untagged_status(&mut session.out, Status::Ok, Some(&code), "CONDSTORE is on");
    }
}
