//! The JMAP face: mail over HTTP (RFC 8620, RFC 8621).
//!
//! A tour: [`Jmap::router`] answers on the listeners that somebody else keeps. `http` takes requests
//! apart and knows statuses; `auth` who asks; `session` what a client begins with; `api` carries out
//! calls one by one, each a file of `methods`; `look` is an account at a moment, by emails; `access`
//! decides whose an account is and what may be done; `email` reads messages and makes them;
//! `transfer` with `uploads` and `blobs_of`, and `events`, are what goes beside the calls.
//!
//! Ids are those of IMAP's OBJECTID ([`mailstore::object_id`]), states the account's modseq.
//! An email is a message of the store with all its copies; a copy that is marked `\Deleted` is
//! not shown (PRACTICE: JMAP knows no such mark), and an email of such copies alone is not there.
//!
//! Not here: listeners and TLS (`admin`), sending mail, the grammar (`jmap_proto`).
//!
//! Invariants: nothing is answered before a login, but the way to the session; passwords are taken
//! over TLS or from this machine only; an id of another account is as if it were none; a call
//! that fails leaves the others as they are; bodies are read in bounded pieces, answers have a
//! bound; an email that cannot be read keeps no other from being served.

#![forbid(unsafe_code)]

mod access;
mod api;
mod auth;
mod blob_id;
mod blobs_of;
mod budget;
mod changes;
mod email;
mod events;
mod http;
mod intake;
pub mod limits;
mod look;
mod methods;
mod session;
mod streaming;
mod threads;
mod transfer;
mod turns;
mod uploads;

#[cfg(test)]
mod tests;

use ::search::Search;
use blobs::Blobs;
use directory::Logins;
use mailstore::Mailstore;
use observe::Metrics;
use runtime::Runtime;
use std::sync::Arc;

/// What this face uses of the rest of the program.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Mailboxes and mail.
    pub mailstore: Mailstore,
    /// Bodies of messages that come in.
    pub blobs: Arc<Blobs>,
    /// The index of texts.
    pub search: Search,
    /// Logins.
    pub logins: Arc<dyn Logins>,
    /// Clock and tasks.
    pub runtime: Runtime,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// What the wiring decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients reach this server, such as `https://mail.example.org`; none where that is to be
    /// told from `host_name` and the request.
    pub url: Option<String>,
    /// The server's name.
    pub host_name: String,
    /// Largest message, and largest upload.
    pub message_bytes_max: u64,
}

/// The face. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Jmap {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) indexes: look::Indexes,
    pub(crate) doors: auth::Doors,
    pub(crate) turns: turns::Turns,
    pub(crate) uploads: uploads::Uploads,
    pub(crate) streams: events::Streams,
    pub(crate) results: methods::email_query::Results,
    #[cfg(test)]
    pub(crate) steps: Arc<std::sync::atomic::AtomicU64>,
}

impl Jmap {
    /// Over these ports.
    #[must_use]
    pub fn new(ports: Ports, config: Config) -> Self {
        Self {
            shared: Arc::new(Shared {
                ports,
                config,
                indexes: look::Indexes::default(),
                doors: auth::Doors::default(),
                turns: turns::Turns::default(),
                uploads: uploads::Uploads::default(),
                streams: events::Streams::default(),
                results: methods::email_query::Results::default(),
                #[cfg(test)]
                steps: Arc::default(),
            }),
        }
    }

    /// What answers below `/jmap` and at `/.well-known/jmap`. Requests carry a
    /// [`runtime::net::Visitor`] in their extensions.
    pub fn router(&self) -> axum::Router {
        http::router(self.clone())
    }
}
