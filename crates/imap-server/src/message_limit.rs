//! How many messages one command works on, where the operator sets a limit (RFC 9738).
//!
//! FETCH, STORE, MOVE, SEARCH and UID EXPUNGE do the last so many of what they name, and say
//! which was the first of them; the client goes on below it. COPY and APPEND do all or
//! nothing, so that they refuse what is too much, and so does FETCH with PARTIAL. SEARCH looks
//! at all messages: its limit is for the results that it lists.

use crate::reply::Reply;
use crate::session::Session;
use imap_proto::ResultRange;
use imap_proto::response::{self, Code, Status};
use mailbox_model::Uid;
use std::ops::Range;

/// A limit and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageLimit {
    /// MESSAGELIMIT: for every command that works on messages.
    Commands(u32),
    /// SAVELIMIT: for COPY and APPEND alone.
    Saves(u32),
}

impl MessageLimit {
    /// Its capability (RFC 9738 §3).
    pub(crate) fn capability(self) -> String {
        match self {
            Self::Commands(max) => format!("MESSAGELIMIT={max}"),
            Self::Saves(max) => format!("SAVELIMIT={max}"),
        }
    }
}

impl Session {
    /// The most messages of FETCH and its like.
    pub(crate) fn messages_max(&self) -> Option<u32> {
        match self.config.message_limit {
            Some(MessageLimit::Commands(max)) => Some(max),
            Some(MessageLimit::Saves(_)) | None => None,
        }
    }

    /// Refuses a COPY or APPEND of so many.
    pub(crate) fn check_saves(&self, count: usize) -> Result<(), Reply> {
        match self.config.message_limit {
            Some(MessageLimit::Commands(max) | MessageLimit::Saves(max)) => check(count, max),
            None => Ok(()),
        }
    }

    /// Refuses a FETCH of such a range of results: its client has said how much it wants.
    pub(crate) fn check_range(&self, range: ResultRange) -> Result<(), Reply> {
        let count = range.last.get() - range.first.get();
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let max = self.messages_max();
        max.map_or(Ok(()), |max| check(count.saturating_add(1), max))
    }

    /// Says that messages below this one were not looked at. There is one response code for
    /// a reply: where it has one already, this is told before it.
    pub(crate) fn limited(&mut self, reply: Reply, lowest: Option<Uid>) -> Reply {
        let (Some(max), Some(lowest)) = (self.messages_max(), lowest) else {
            return reply;
        };
        let code = Code::MessageLimit(max, Some(lowest.0));
        if reply.code.is_none() && reply.status == Status::Ok {
            return reply.with_code(code);
        }
        let text = "older messages were left out";
        response::untagged_status(&mut self.out, Status::No, Some(&code), text);
        reply
    }
}

fn check(count: usize, max: u32) -> Result<(), Reply> {
    match u32::try_from(count) {
        Ok(count) if count <= max => Ok(()),
        _ => {
            let text = format!("a command takes {max} messages at most");
            Err(Reply::no(Code::MessageLimit(max, None), text))
        }
    }
}

/// Cuts ascending ranges of ranks down to the last so many; true if some went.
pub(crate) fn keep_last(ranks: &mut Vec<Range<usize>>, max: u32) -> bool {
    let count: usize = ranks.iter().map(Range::len).sum();
    let mut extra = count.saturating_sub(usize::try_from(max).unwrap_or(usize::MAX));
    let cut = extra > 0;
    ranks.retain_mut(|range| {
        let gone = extra.min(range.len());
        range.start += gone;
        extra -= gone;
        range.start < range.end
    });
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept() {
        let all: &[(usize, usize)] = &[(0, 3), (5, 6), (8, 10)];
        for (max, kept, cut) in [
            (6, all, false),
            (7, all, false),
            (4, &[(2, 3), (5, 6), (8, 10)], true),
            (3, &all[1..], true),
            (1, &[(9, 10)], true),
        ] {
            let mut ranks: Vec<Range<usize>> = all.iter().map(|&(a, b)| a..b).collect();
            assert_eq!(keep_last(&mut ranks, max), cut, "{max}");
            let left: Vec<_> = ranks.iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(left, kept, "{max}");
        }
    }
}
