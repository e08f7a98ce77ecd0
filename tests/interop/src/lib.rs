//! A small world for tests with real software.
//!
//! Each test runs in a network and mount namespace of its own ([`world`]), so
//! that every server may use its proper port on any 127.x address, no traffic
//! can leave the machine, and nothing is installed: the peers' files are laid
//! over `/usr` for the test's processes only.
//!
//! | piece | what it is |
//! |---|---|
//! | [`world`] | enters the namespaces, owns the scratch folder and the child processes |
//! | [`posthouse`] | our server of this build: `init`, `serve`, accounts, restart, kill |
//! | [`postfix`], [`exim`], [`opensmtpd`] | Postfix, Exim, OpenSMTPD as other organisations |
//! | [`dovecot`], [`cyrus`] | Dovecot (behind Postfix, too) and Cyrus, for the benches |
//! | [`limited`] | Postfix with a limit of connections, and what it has seen of us |
//! | [`postgres`] | a database where nodes meet |
//! | [`dns`] | nsd with the test's zones |
//! | [`smtp`], [`imap`], [`pop3`] | the smallest clients that say exactly what a test wants said |
//! | [`synced`] | mbsync and offlineimap with their Maildirs, and whether all that they know is what the server has |
//! | [`imaptest`] | runs scripted IMAP dialogues |
//!
//! Not here: anything that pretends to be a mail server.

#![forbid(unsafe_code)]
// Test code waits for real processes, on the real clock.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::missing_errors_doc
)]

pub mod cyrus;
pub mod dns;
pub mod dovecot;
pub mod exim;
pub mod imap;
pub mod imaptest;
pub mod limited;
pub mod maildir;
pub mod oidc;
pub mod opensmtpd;
pub mod pop3;
pub mod postfix;
pub mod postgres;
pub mod posthouse;
pub mod smtp;
pub mod strace;
pub mod synced;
pub mod web;
pub mod world;

pub use anyhow::Result;
