//! Messages that filter scripts send on: through the intake into the queue, as all mail of our own making.

use bounces::Suppressed;
use bytes::{Bytes, BytesMut};
use envelope::{BodyType, Envelope, Recipient, ReversePath};
use imap_server::{Outgoing, Redirected, Redirecting};
use intake::{Generated, Intake};
use mime::HeaderReader;
use policy::Policy;
use runtime::Runtime;
use std::sync::Arc;

/// Who takes them.
pub(super) struct RedirectsByIntake {
    pub(super) intake: Intake,
    /// What a user may send.
    pub(super) policy: Arc<Policy>,
    pub(super) suppressed: Suppressed,
    pub(super) runtime: Runtime,
    /// Received fields after which a message is in a loop.
    pub(super) received_max: usize,
}

impl std::fmt::Debug for RedirectsByIntake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedirectsByIntake").finish_non_exhaustive()
    }
}

impl Outgoing for RedirectsByIntake {
    fn redirect(&self, redirecting: Redirecting) -> Redirected<'_> {
        Box::pin(async move {
            let to = redirecting.to.to_key();
            let known = self
                .suppressed
                .show(&to)
                .await
                .map_err(|error| error.to_string())?;
            if known.is_some_and(|entry| entry.holds(self.runtime.now().unix_ms)) {
                return Err(format!("nothing is sent to {to}: it is suppressed"));
            }
            let (owner, from, to) = (
                redirecting.owner,
                redirecting.from.clone(),
                redirecting.to.clone(),
            );
            let generated = generated(redirecting, self.received_max)?;
            let counted = self.policy.count_redirect(owner, &from, &to).await;
            let counted =
                counted.map_err(|excess| format!("{from} may send no more now: {excess}"))?;
            let taken = self.intake.submit_generated(generated).await;
            self.policy.redirected(counted, taken.is_ok());
            taken
                .map(|id| id.to_string())
                .map_err(|reply| reply.to_string())
        })
    }
}

/// The message with its envelope. RFC 5228 §10: what comes back here has our mark, and is a loop then
/// (RFC 9228).
fn generated(redirecting: Redirecting, received_max: usize) -> Result<Generated, String> {
    let Redirecting {
        from, to, message, ..
    } = redirecting;
    let mut marks = HeaderReader::new(&message).filter(|field| field.is("Delivered-To"));
    let is = |value: &[u8], address: &envelope::Address| {
        let value = String::from_utf8_lossy(value);
        envelope::Address::parse(value.trim()).is_ok_and(|found| found.to_key() == address.to_key())
    };
    let mut marked = false;
    for field in marks.by_ref() {
        let value = field.unfolded();
        if is(&value, &to) {
            return Err(format!("{to} has had this message already"));
        }
        marked |= is(&value, &from);
    }
    let received = HeaderReader::new(&message).filter(|field| field.is("Received"));
    if received.count() >= received_max {
        return Err("it has passed too many servers already: it is in a loop".to_owned());
    }
    let message = prepared((!marked).then_some(&from), &message);
    let mut header = HeaderReader::new(&message);
    let eight_bit = !message.is_ascii();
    let mut envelope = Envelope::new(ReversePath::Address(from));
    envelope.smtputf8 = header.by_ref().any(|field| !field.raw.is_ascii()) || to.needs_smtputf8();
    if eight_bit {
        envelope.body = BodyType::EightBitMime;
    }
    envelope.recipients.push(Recipient::new(to));
    Ok(Generated { envelope, message })
}

/// The message as it leaves: with a mark of its owner, and without what is of its delivery here
/// alone (RFC 5321 §4.4), or may have been made up by whoever has put it there.
fn prepared(mark: Option<&envelope::Address>, message: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 300);
    if let Some(owner) = mark {
        out.extend_from_slice(format!("Delivered-To: {owner}\r\n").as_bytes());
    }
    let mut fields = HeaderReader::new(message);
    loop {
        let before = fields.rest();
        let Some(field) = fields.next() else {
            break;
        };
        if !field.is("Return-Path") && !mime::is_own_field(field.name) {
            out.extend_from_slice(&before[..before.len() - fields.rest().len()]);
        }
    }
    out.extend_from_slice(fields.rest());
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use envelope::{AccountId, Address};

    fn sent(message: &'static str) -> Result<Generated, String> {
        let address = |text: &str| Address::parse(text).expect("valid");
        let redirecting = Redirecting {
            owner: AccountId(1),
            from: address("ann@example.org"),
            to: address("eve@example.net"),
            message: Bytes::from_static(message.as_bytes()),
        };
        generated(redirecting, 2)
    }

    #[test]
    fn what_is_of_the_delivery_here_stays_here_and_loops_end() {
        let kept = sent(
            "Return-Path: <bob@example.net>\r\nDelivered-To: ann@example.org\r\nX-Posthouse-Marks: x\r\n y\r\nx-posthouse-other: z\r\n\
             Received: from one\r\nSubject: x\r\n\r\nReturn-Path: body",
        );
        assert_eq!(
            &kept.expect("sent").message[..],
            b"Delivered-To: ann@example.org\r\nReceived: from one\r\nSubject: x\r\n\r\nReturn-Path: body"
        );
        assert!(sent("Received: one\r\nReceived: two\r\n\r\n").is_err());
    }

    #[test]
    fn what_is_sent_on_is_the_owners_and_has_one_mark() {
        let first = sent("Subject: x\r\n\r\nbody").expect("sent");
        assert_eq!(first.envelope.reverse_path.to_string(), "ann@example.org");
        assert_eq!(
            &first.message[..],
            b"Delivered-To: ann@example.org\r\nSubject: x\r\n\r\nbody"
        );
        let again = sent("Delivered-To: Ann@Example.ORG\r\n\r\nbody");
        let plain = sent("Delivered-To: ann@example.org\r\n\r\nbody").expect("sent");
        assert!(
            plain
                .message
                .starts_with(b"Delivered-To: ann@example.org\r\n\r\n")
        );
        assert!(again.is_ok());
        assert!(sent("Delivered-To: eve@example.net\r\n\r\nbody").is_err());
    }

    #[test]
    fn letters_in_it_are_told_to_the_next_server() {
        let body = sent("Subject: x\r\n\r\nGrüße").expect("sent").envelope;
        assert_eq!((body.body, body.smtputf8), (BodyType::EightBitMime, false));
        assert!(
            sent("Subject: Grüße\r\n\r\n")
                .expect("sent")
                .envelope
                .smtputf8
        );
        let plain = sent("Subject: x\r\n\r\n").expect("sent").envelope;
        assert_eq!((plain.body, plain.smtputf8), (BodyType::SevenBit, false));
    }
}
