//! POP3 as a sans-IO machine: bytes in, events and bytes out.
//!
//! A tour:
//! - [`Session`]: the server's side of a connection. Feed it with
//!   [`Session::handle_input`], drain [`Session::poll_event`], write what
//!   [`Session::take_output`] gives, then read on.
//! - [`Event`]: what the client did; those marked † wait for an answer.
//! - [`Maildrop`]: what the session shows, fixed at the login.
//! - [`Stuffer`]: a message as RETR and TOP send it.
//!
//! | state (RFC 1939) | entered by | commands |
//! |---|---|---|
//! | AUTHORIZATION | greeting, STLS | USER PASS AUTH STLS CAPA QUIT |
//! | TRANSACTION | login | STAT LIST UIDL RETR TOP DELE RSET NOOP CAPA QUIT |
//! | UPDATE | QUIT | none |
//!
//! RFC 1939 (all but APOP), 2449 (CAPA, response codes), 2595 (STLS), 3206
//! (AUTH, SYS codes), 5034 (AUTH). Not here: sockets, clocks, who may log in,
//! the messages' bytes.
//!
//! Invariants: any split of the same bytes gives the same events and output;
//! garbage never panics; memory is bounded by [`limits`] and the maildrop's size;
//! nothing said in the clear counts behind STLS; a message is deleted only by
//! QUIT.

#![forbid(unsafe_code)]

mod command;
mod event;
pub mod limits;
mod listing;
mod maildrop;
mod session;
mod stuffer;

pub use event::{CloseReason, Event, Fetch, LoginRefusal};
pub use maildrop::{Maildrop, Message};
pub use session::{Config, Session, TlsState};
pub use stuffer::Stuffer;

#[cfg(test)]
mod tests;
