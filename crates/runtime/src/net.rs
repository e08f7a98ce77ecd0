//! Listeners and connections.
//!
//! What is not here: who may connect (`smtp-server` and its sisters ask `policy`), names (`resolver`).

mod base;
mod conn;
mod listener;
mod outgoing;
mod visitor;

pub use conn::Conn;
pub use listener::{Listener, UnixListener};
pub use outgoing::{connect, connect_unix};
pub use visitor::{Busy, Visitor};
