//! UIDBATCHES: where to cut a mailbox so that each piece has so many messages, the newest first.

use crate::limits::UID_BATCH_MIN;
use crate::reply::Reply;
use crate::session::Session;
use imap_proto::response::{self, Code};
use imap_proto::{ResultRange, Tag};
use std::num::NonZeroU32;

pub(crate) fn run(
    session: &mut Session,
    tag: &Tag,
    size: NonZeroU32,
    range: Option<ResultRange>,
) -> Reply {
    let size = size.get() as usize;
    if size < UID_BATCH_MIN {
        let text = format!("a batch has at least {UID_BATCH_MIN} messages");
        return Reply::no(Code::TOO_SMALL, text);
    }
    let Some(selected) = &session.selected else {
        return Reply::bad("select a mailbox first");
    };
    let entries = selected.entries();
    let count = entries.len().div_ceil(size);
    let wanted = range.map_or(0..count, |range| range.of(count));
    let out = &mut session.out;
    out.extend_from_slice(b"* UIDBATCHES (TAG ");
    response::write_string(out, tag.as_str().as_bytes());
    out.push(b')');
    for (at, batch) in wanted.enumerate() {
        // From the end of the mailbox on.
        let last = entries.len() - batch * size;
        let first = last.saturating_sub(size);
        let ends = entries.get(last - 1).zip(entries.get(first));
        let Some((newest, oldest)) = ends else {
            continue;
        };
        out.push(if at == 0 { b' ' } else { b',' });
        response::write_number(out, u64::from(newest.uid.0));
        out.push(b':');
        response::write_number(out, u64::from(oldest.uid.0));
    }
    out.extend_from_slice(b"\r\n");
    Reply::ok("those are the batches")
}
