//! The built server against real software. One file per subject.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    clippy::print_stderr
)]

mod api;
mod backup;
mod bad_input;
mod by_url;
mod chunks;
mod clients;
mod compressed;
mod crash;
mod door;
mod drain;
mod everything;
mod exchange;
mod flows;
mod folders;
mod gateways;
mod imaptest;
mod jmap;
mod libraries;
mod limited;
mod local;
mod many;
mod memory;
mod nodes;
mod peers;
mod pieces;
mod process;
mod promise;
mod restored;
mod returning;
mod routes;
mod samples;
mod sasl;
mod sasl_table;
mod scripts;
mod send_as;
mod sent;
mod sinks;
mod synced;
mod tls_policy;
mod tls_reports;
mod tokens;
mod waiting;
mod webhooks;
