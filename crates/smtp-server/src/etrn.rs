//! ETRN: "I am here again, try my mail now". RFC 1985.
//!
//! For clients whose mail is relayed, and for the networks that a relay domain
//! names: others could learn who has mail waiting, and keep us busy. Nothing but the
//! domain's own mail is started. Not here: the attempts (`dispatch`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use envelope::{Domain, Reply};
use queue::{Act, Filter, Queue};
use runtime::Monotonic;

use crate::limits::{ETRN_DOMAINS_MAX, ETRN_PAUSE, ETRN_TIMEOUT};
use crate::session::Session;

/// Starts the queue for domains, each not too often.
#[derive(Debug)]
pub struct Etrn {
    queue: Queue,
    started: Mutex<HashMap<Domain, Monotonic>>,
}

impl Etrn {
    /// Over this queue.
    #[must_use]
    pub fn new(queue: Queue) -> Self {
        Self {
            queue,
            started: Mutex::default(),
        }
    }

    /// Whether it is time to start the domain's queue, which counts as started then.
    fn is_due(&self, domain: &Domain, now: Monotonic) -> bool {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.retain(|_, at| now.since(*at) < ETRN_PAUSE);
        if started.contains_key(domain) || started.len() >= ETRN_DOMAINS_MAX {
            return false;
        }
        started.insert(domain.clone(), now);
        true
    }
}

impl Session {
    pub(crate) async fn etrn(&mut self, domain: &Domain) {
        let session = &self.client.facts.session;
        if !self.ports.policy.may_flush(session, domain) {
            let text = format!("node {domain} not allowed: your address may not start its queue");
            self.machine.reply(&Reply::enhanced(459, (4, 7, 1), &text));
            return;
        }
        let reply = self.start_queue(domain).await;
        self.machine.reply(&reply);
    }

    /// RFC 1985 §5.2, in whose words the answers are.
    async fn start_queue(&self, domain: &Domain) -> Reply {
        let etrn = &self.ports.etrn;
        if !etrn.is_due(domain, self.ports.runtime.monotonic()) {
            // It was started a moment ago; what waits is not counted again.
            let text = format!("OK, queuing for node {domain} started");
            return Reply::enhanced(250, (2, 0, 0), &text);
        }
        // What is held stays held, for whomever it is.
        let filter = Filter {
            domain: Some(domain.clone()),
            ..Filter::default()
        };
        // What is left undone when time is over is tried by the schedule.
        let acting = Box::pin(etrn.queue.act_on_all(&filter, Act::Retry));
        let acted = self.ports.runtime.timeout(ETRN_TIMEOUT, acting).await;
        let id = &self.client.facts.session_id;
        match acted {
            Ok(Ok(acted)) => {
                tracing::info!(session = %id, %domain, messages = acted.messages, "ETRN");
                let (code, text) = match acted.messages {
                    0 => (251, format!("OK, no messages waiting for node {domain}")),
                    n => (
                        253,
                        format!("OK, {n} pending messages for node {domain} started"),
                    ),
                };
                Reply::enhanced(code, (2, 0, 0), &text)
            }
            Ok(Err(error)) => {
                tracing::error!(session = %id, %domain, %error, "ETRN failed");
                let text = format!("unable to queue messages for node {domain}");
                Reply::enhanced(458, (4, 3, 0), &text)
            }
            Err(_) => {
                tracing::warn!(session = %id, %domain, "ETRN took too long");
                let text = format!("OK, pending messages for node {domain} started");
                Reply::enhanced(252, (2, 0, 0), &text)
            }
        }
    }
}
