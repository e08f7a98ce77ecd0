//! ETRN: "I am here again, try my mail now". RFC 1985.
//!
//! For clients whose mail is relayed: others could learn who has mail waiting,
//! and keep us busy. Not here: the attempts (`dispatch`).

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
        if !self.ports.policy.may_relay(session) {
            let text = format!("node {domain} not allowed: your address may not relay here");
            self.machine.reply(&Reply::enhanced(459, (4, 7, 1), &text));
            return;
        }
        let etrn = &self.ports.etrn;
        if etrn.is_due(domain, self.ports.runtime.monotonic()) {
            let filter = Filter {
                domain: Some(domain.clone()),
                state: Some("deferred".into()),
                ..Filter::default()
            };
            // What is left undone when time is over is tried by the schedule.
            let acting = Box::pin(etrn.queue.act_on_all(&filter, Act::Retry));
            let acted = self.ports.runtime.timeout(ETRN_TIMEOUT, acting).await;
            let id = &self.client.facts.session_id;
            match acted {
                Ok(Ok(acted)) => {
                    tracing::info!(session = %id, %domain, recipients = acted.changed, "ETRN");
                }
                Ok(Err(error)) => {
                    tracing::error!(session = %id, %domain, %error, "ETRN failed");
                    let text = format!("unable to queue messages for node {domain}");
                    self.machine.reply(&Reply::enhanced(458, (4, 3, 0), &text));
                    return;
                }
                Err(_) => tracing::warn!(session = %id, %domain, "ETRN took too long"),
            }
        }
        // RFC 1985 §5.2
        let text = format!("OK, queuing for node {domain} started");
        self.machine.reply(&Reply::enhanced(250, (2, 0, 0), &text));
    }
}
