//! What the HTTP API asks of the rest.

use std::io;
use std::sync::Arc;

use admin::api::{BoxFuture, NotSubmitted, Submissions, Submitted};
use bytes::Bytes;
use dispatch::Site;
use envelope::Reply;
use gateway::Transports;
use settings::rules::{Gateway, Transport};
use smtp_server::{Submission, SubmitError};
use tokio::sync::mpsc;

use crate::store::Store;

/// Transports that workers come to, by the rules in force.
pub(super) struct TransportsByRules(pub(super) Arc<Store>);

impl Transports for TransportsByRules {
    fn has(&self, name: &str) -> bool {
        let rules = self.0.rules.get();
        let transport = rules.transports.get(name);
        transport.is_some_and(|known| matches!(known, Transport::Gateway(Gateway::Worker)))
    }

    fn knock(&self, name: &str) {
        if let Some(watch) = self.0.outgoing.get() {
            watch.knock(Site::Named(Arc::new([name.to_owned()])));
        }
    }
}

/// Messages go in by the submission face.
pub(super) struct SubmissionsBySmtp(pub(super) Submission);

impl Submissions for SubmissionsBySmtp {
    fn submit(
        &self,
        submitted: Submitted,
        octets: mpsc::Receiver<io::Result<Bytes>>,
    ) -> BoxFuture<'_, Result<Vec<Reply>, NotSubmitted>> {
        let submitted = smtp_server::Submitted {
            identity: submitted.identity,
            client: submitted.client,
            sender: submitted.sender,
            recipients: submitted.recipients,
            priority: submitted.priority,
        };
        Box::pin(async move {
            let said = self.0.submit(submitted, octets).await;
            said.map_err(|error| match error {
                SubmitError::Unsupported(error) => NotSubmitted::Refused(error.to_string()),
                SubmitError::Octets(_) | SubmitError::Refused(_) => {
                    NotSubmitted::Later(error.to_string())
                }
            })
        })
    }
}
