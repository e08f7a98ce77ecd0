//! The configuration file: one definition per key, from which parser, reference and explanations come.
//!
//! A short tour:
//!
//! - `keys` holds the table: every key's type, default, sentence and example, once.
//! - [`Settings`] is what the rest of the program sees: plain typed fields, section by section.
//! - [`Settings::load`] reads the file and tells *all* mistakes at once, each with its line and a hint ([`Mistake`]).
//! - [`rules`] is the other file: who may send what to whom, and which way it goes.
//! - [`explain`], [`reference`] and [`names`] speak from the same table; [`edit`] changes one key and keeps the comments.
//!
//! What is not here: domains and people (they live in the store), and any default that another
//! crate would have to know twice.
//!
//! Invariants: a file that passes [`Settings::parse`] starts a server; a key that is not in the table is a mistake;
//! relative paths count from the folder of the file.

mod check;
mod edit;
mod explain;
mod keys;
mod kinds;
mod mistake;
mod parse;
pub mod rules;

pub use edit::{EditError, edit, render};
pub use explain::{explain, names, reference, shown};
pub use keys::{
    Auth, Delivery, Door, General, Imap, Jmap, Limits, Listen, Log, Oauth, Outbound, PolicyFile,
    Pop3, Queue, Relay, Reports, Resolver, Sendmail, Settings, Smtp, Store, Tls, Trust,
};
pub use kinds::{
    CheckMode, HostPort, LogFormat, LogLevel, NameList, Network, OutboundMode, Size, Suppressing,
    TimeOfDay, UserService, Word,
};
pub use mistake::{LoadError, Mistake, Mistakes};

#[cfg(test)]
mod tests;
