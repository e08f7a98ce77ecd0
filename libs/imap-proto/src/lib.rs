//! IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051) as bytes and values.
//!
//! A tour, in the order of a command's life:
//! [`Framer`] cuts any split of the client's bytes into commands and streams
//! the message of an APPEND; [`parse_command`] turns a command's bytes into a
//! [`Command`] whose types cannot hold an invalid one; [`response`] writes what
//! goes back. Names of mailboxes are [`MailboxName`], patterns of LIST are
//! [`ListPattern`], numbers are [`SequenceSet`].
//!
//! Not here: state of a session, mailboxes, I/O. That is `imap-server`.
//!
//! Invariants: the framer alone decides where a command ends, so a parser's
//! mistake can never shift the stream; garbage is an error with a tag, never a
//! panic; every size is bounded by [`limits`].

#![forbid(unsafe_code)]

mod chars;
pub mod command;
mod cursor;
pub mod date;
pub mod fetch;
pub mod flag;
pub mod framer;
pub mod limits;
pub mod list_pattern;
pub mod mailbox_name;
pub mod mutf7;
pub mod notify;
mod parse;
pub mod response;
pub mod search;
pub mod sequence;
pub mod sort;
pub mod thread;
pub mod url;

pub use command::{
    AclChange, AppendHead, AppendPart, Command, GetMetadata, ListCommand, MetadataDepth, Qresync,
    Replaced, ReturnOption, SelectCommand, SelectionOption, SpecialUse, StatusItem, StoreAction,
    StoreCommand, Tag, UrlFetch, UrlFetchItem, UrlRump,
};
pub use date::{Date, DateTime};
pub use fetch::{FetchCommand, FetchItem, Partial, Section, SectionText};
pub use flag::{Flag, SystemFlag};
pub use framer::{Event, Framer, Limits, LiteralHead, Step};
pub use list_pattern::ListPattern;
pub use mailbox_name::{MailboxName, NameError, NameForm};
pub use notify::{EventGroup, NotifyEvent, NotifyFilter, NotifySet};
pub use parse::{ErrorKind, ParseError, parse_append_head, parse_command};
pub use search::{
    MultiSearchCommand, ResultRange, ReturnItem, SearchCommand, SearchKey, SearchSource,
};
pub use sequence::{SequenceRange, SequenceSet};
pub use sort::{SortCommand, SortCriterion, SortKey, ThreadAlgorithm, ThreadCommand};
pub use url::{ImapUrl, UrlAccess, UrlAuth, UrlServer, UrlToken};
