//! Tells a domain's postmaster that a user's mail is held.

use bytes::Bytes;
use envelope::{Address, Envelope, Recipient, Reply, ReversePath};
use queue_model::QueueId;
use report_format::{Excess, HeldNotice, write_held_notice};

use crate::generated::Generated;
use crate::store::Intake;

impl Intake {
    /// Puts a notice into the queue: mail of `user` is held, for it was too much.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn tell_of_held(&self, user: &Address, excess: Excess) -> Result<QueueId, Reply> {
        let inner = &self.inner;
        let id = inner.next_id();
        let message = write_held_notice(&HeldNotice {
            user,
            excess,
            date: inner.now(),
            message_id: &format!("{id}.held@{}", inner.options.hostname),
        });
        let postmaster = format!("postmaster@{}", user.domain());
        let postmaster = Address::parse(&postmaster).map_err(|_| crate::reply::local_trouble())?;
        let mut envelope = Envelope::new(ReversePath::Null);
        envelope.recipients.push(Recipient::new(postmaster));
        let generated = Generated {
            envelope,
            message: Bytes::from(message),
        };
        self.submit_generated(generated).await
    }
}
