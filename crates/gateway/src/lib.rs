//! Hands a message to something that is no mail server.
//!
//! * [`Gateways::deliver`] – one message into a program, a Maildir, an mbox, a file of batch SMTP, to a server on the web, or
//!   to a worker that comes for it, for some recipients
//! * [`Workers`] – where workers ask; [`Transports`] – the port: which transports there are
//!
//! Not here: when, and which message (`dispatch`); servers (`deliver`); the
//! mailboxes of people here (`intake`).
//!
//! Invariants: a recipient counts as delivered when what was written is on stable
//! storage, or the program, the server or the worker has said so; what is not known to be permanent is
//! temporary; nothing that a stranger wrote becomes a path outside the one that
//! was named, or an option of a program.

#![forbid(unsafe_code)]

mod append;
mod bsmtp;
mod dress;
mod limits;
mod maildir;
mod mbox;
mod names;
mod program;
#[cfg(test)]
mod tests;
mod webhook;
mod workers;
mod writing;

pub use workers::{Said, Settled, Transports, Verdict, Work, WorkError, Workers};

use std::io;
use std::time::Duration;

use deliver::{Message, Outcome, Report};
use envelope::{Envelope, Recipient, Reply};
use https::Https;
use runtime::Runtime;
use settings::rules::{Gateway, Webhook};
use tokio::sync::Semaphore;

use crate::append::Files;
use crate::limits::{PROGRAMS_MAX, WEBHOOK_BUDGET, WEBHOOKS_MAX};
use crate::webhook::{Resting, resting};

/// Hands messages to gateways.
#[derive(Debug)]
pub struct Gateways {
    runtime: Runtime,
    hostname: String,
    programs: Semaphore,
    webhooks: Semaphore,
    files: Files,
    https: Option<Https>,
    resting: Resting,
    workers: Option<Workers>,
}

impl Gateways {
    /// `hostname` is ours, for what is written.
    #[must_use]
    pub fn new(runtime: Runtime, hostname: &str) -> Self {
        Self {
            runtime,
            hostname: hostname.to_owned(),
            programs: Semaphore::new(PROGRAMS_MAX),
            webhooks: Semaphore::new(WEBHOOKS_MAX),
            files: Files::default(),
            https: None,
            resting: Resting::default(),
            workers: None,
        }
    }

    /// With desks that workers come to.
    #[must_use]
    pub fn with_workers(mut self, workers: Workers) -> Self {
        self.workers = Some(workers);
        self
    }

    /// With somebody who posts to servers on the web.
    #[must_use]
    pub fn with_https(mut self, https: Https) -> Self {
        self.https = Some(https);
        self
    }

    /// Hands a message to a gateway, which is called `name` in reports.
    ///
    /// # Cancel safety
    /// When it is dropped, what was written is taken back, and a program is ended; a server on
    /// the web may have taken it, and knows its name when it is posted again.
    pub async fn deliver(
        &self,
        name: &str,
        gateway: &Gateway,
        envelope: &Envelope,
        message: &dyn Message,
    ) -> Report {
        let recipients = envelope.recipients.len();
        if let (Gateway::Worker, Some(workers)) = (gateway, &self.workers) {
            let handed = workers.hand(name, envelope, message).await;
            return Report {
                host: Some(name.to_owned()),
                outcomes: handed.outcomes,
                retry_after: handed.retry_after,
                no_room: handed.no_room,
                ..Report::all(Outcome::temporary((4, 3, 0), ""), recipients)
            };
        }
        let handing = Handing {
            runtime: &self.runtime,
            hostname: &self.hostname,
            programs: &self.programs,
            webhooks: &self.webhooks,
            files: &self.files,
            https: self.https.as_ref(),
            envelope,
            message,
        };
        let mut retry_after = self.resting.left(name, self.runtime.monotonic());
        let outcomes = match (retry_after, gateway) {
            (Some(left), _) => vec![resting(left); recipients],
            (None, Gateway::Webhook(hook)) => {
                let (outcomes, wait) = handing.to_webhook(hook).await;
                if let Some(wait) = wait {
                    let until = self.runtime.monotonic().after(wait);
                    self.resting.rest(name, until);
                }
                retry_after = wait;
                outcomes
            }
            (None, gateway) => handing.to(gateway).await,
        };
        Report {
            host: Some(name.to_owned()),
            outcomes,
            retry_after,
            ..Report::all(Outcome::temporary((4, 3, 0), ""), recipients)
        }
    }
}

/// One message on its way into a gateway.
struct Handing<'a> {
    runtime: &'a Runtime,
    hostname: &'a str,
    programs: &'a Semaphore,
    webhooks: &'a Semaphore,
    files: &'a Files,
    https: Option<&'a Https>,
    envelope: &'a Envelope,
    message: &'a dyn Message,
}

impl Handing<'_> {
    /// What becomes of each recipient.
    async fn to(&self, gateway: &Gateway) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(self.envelope.recipients.len());
        match gateway {
            Gateway::Bsmtp(path) => {
                let took = self.bsmtp(path).await;
                outcomes.resize(self.envelope.recipients.len(), outcome(took));
            }
            Gateway::Program { command, timeout } if !program::is_for_each(command) => {
                let took = self
                    .program((command, *timeout), &self.envelope.recipients)
                    .await;
                outcomes.resize(self.envelope.recipients.len(), outcome(took));
            }
            // Each its own, so that nobody learns who else got it.
            Gateway::Program { command, timeout } => {
                for recipient in &self.envelope.recipients {
                    let one = std::slice::from_ref(recipient);
                    let took = self.program((command, *timeout), one).await;
                    outcomes.push(outcome(took));
                }
            }
            Gateway::Maildir(path) => {
                for recipient in &self.envelope.recipients {
                    outcomes.push(outcome(self.maildir(path, recipient).await));
                }
            }
            Gateway::Mbox(path) => {
                for recipient in &self.envelope.recipients {
                    outcomes.push(outcome(self.mbox(path, recipient).await));
                }
            }
            Gateway::Webhook(hook) => return self.to_webhook(hook).await.0,
            Gateway::Worker => {
                let outcome = Outcome::temporary((4, 3, 5), "no workers are asked here");
                outcomes.resize(self.envelope.recipients.len(), outcome);
            }
        }
        outcomes
    }

    /// The same of a server on the web, and how long it wants to be left alone. An attempt does
    /// not last for ever: what is left then follows later.
    async fn to_webhook(&self, hook: &Webhook) -> (Vec<Outcome>, Option<Duration>) {
        let count = self.envelope.recipients.len();
        let mut outcomes = Vec::with_capacity(count);
        let end = self.runtime.monotonic().after(WEBHOOK_BUDGET);
        for recipient in &self.envelope.recipients {
            let (took, wait) = self.webhook(hook, recipient).await;
            outcomes.push(outcome(took));
            if let Some(wait) = wait {
                outcomes.resize(count, resting(wait));
                return (outcomes, Some(wait));
            }
            if self.runtime.monotonic() >= end {
                let why = "the server is slow; the rest follows later";
                outcomes.resize(count, Outcome::temporary((4, 3, 2), why));
                break;
            }
        }
        (outcomes, None)
    }

    /// What stands before the message where it comes to its end.
    fn head(&self, recipient: &Recipient) -> String {
        // RFC 5321 §4.4: the final delivery keeps the reverse path.
        let sender = self.envelope.reverse_path.to_string();
        let sender = sender.trim_matches(['<', '>']);
        format!(
            "Return-Path: <{sender}>\r\nDelivered-To: {}\r\n",
            recipient.address
        )
    }
}

/// Why a gateway has not taken a message.
#[derive(Debug)]
enum Refused {
    /// A file could not be read or written.
    Io(io::Error),
    /// In our own words, or the program's.
    Said(Outcome),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Refused {
    fn permanent(status: (u8, u16, u16), text: &str) -> Self {
        Self::Said(Outcome::permanent(550, status, text))
    }

    fn temporary(status: (u8, u16, u16), text: &str) -> Self {
        Self::Said(Outcome::temporary(status, text))
    }
}

fn outcome(took: Result<String, Refused>) -> Outcome {
    match took {
        Ok(text) => Outcome::Delivered(Reply::enhanced(250, (2, 0, 0), &text)),
        // RFC 3463 §3.4: 4.3.1, mail system full; 4.3.0, something else about it.
        Err(Refused::Io(error)) if error.kind() == io::ErrorKind::StorageFull => {
            Outcome::temporary((4, 3, 1), &error.to_string())
        }
        Err(Refused::Io(error)) => Outcome::temporary((4, 3, 0), &error.to_string()),
        Err(Refused::Said(outcome)) => outcome,
    }
}
