//! SMTP and LMTP as sans-IO machines: bytes in, events and bytes out.
//!
//! * [`server::Session`] – a client's connection as the server sees it
//! * [`client::Client`] – a connection to another server
//! * [`data`] – dot-stuffing, line ends, smuggling
//! * [`limits`] – every limit of both sides
//!
//! Not here: sockets, TLS, clocks, time-outs; who exists and who may relay.
//!
//! Invariants: any split of the same bytes gives the same events; garbage never
//! panics and never grows memory past the limits; an error leaves the state as it
//! was; nothing that was said in the clear counts behind STARTTLS; a bare CR or
//! LF never leaves.

#![forbid(unsafe_code)]

pub mod client;
pub mod data;
pub mod limits;
pub mod server;
