//! The control socket and the small HTTP service: health and metrics.
//!
//! A short tour:
//!
//! - [`control`]: the unix socket in the data folder over which the command line speaks to the running server:
//!   one JSON line asks, one JSON line answers. What the commands do is behind the port [`control::Commands`].
//! - [`http`]: `/` (a page that says what this is), `/healthz`, and `/metrics` for visitors from this machine.
//!
//! What is not here: the acts themselves (the binary has one implementation of each), logins (there is nothing
//! here that needs one: the socket belongs to its owner by its permissions).

pub mod control;
pub mod http;
mod limits;

#[cfg(test)]
mod tests;
