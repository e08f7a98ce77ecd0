//! COMPARATOR (RFC 5255 §4.7).

use crate::reply::Reply;
use crate::search::Comparator;
use crate::session::Session;
use imap_proto::response::{self, Code};

pub(crate) fn run(session: &mut Session, orders: &[String]) -> Reply {
    if orders.is_empty() {
        let name = session.enabled.comparator.name();
        response::untagged(&mut session.out, format_args!("COMPARATOR {name}"));
        return Reply::ok("that is what texts are compared by");
    }
    // The first that means one; all that it means are told.
    let mut meant = orders.iter().map(|order| Comparator::meant_by(order));
    let Some(meant) = meant.find(|meant| !meant.is_empty()) else {
        let text = "there is no comparator of that name";
        return Reply::no(Code::BAD_COMPARATOR, text);
    };
    session.enabled.comparator = meant[0];
    let name = meant[0].name();
    let all: Vec<_> = meant.iter().map(|one| one.name()).collect();
    let all = all.join(" ");
    response::untagged(&mut session.out, format_args!("COMPARATOR {name} ({all})"));
    Reply::ok("texts are compared by it from now on")
}
