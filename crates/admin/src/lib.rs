//! The control socket and the small HTTP service: health, metrics, and the API.
//!
//! A short tour:
//!
//! - [`control`]: the unix socket in the data folder over which the command line speaks to the running server:
//!   one JSON line asks, one JSON line answers. What the commands do is behind the port [`control::Commands`].
//! - [`api`]: the same commands over HTTP, for administrators.
//! - [`http`]: `/` (a page that says what this is), `/healthz`, and `/metrics` for visitors from this machine.
//!
//! What is not here: the acts themselves (the binary has one implementation of each), logins (`directory`; the socket
//! needs none: it belongs to its owner by its permissions).

pub mod api;
pub mod control;
pub mod http;
mod limits;

#[cfg(test)]
mod tests;
