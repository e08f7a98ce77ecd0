//! What the operator's rules say to a transaction, recipient by recipient and as a whole.
//!
//! Not here: which rule matches (`policy`), the order of the protocol (`transaction`).

use std::sync::Arc;

use envelope::{Address, ForwardPath, Notify, OriginalRecipient, Recipient, Reply, ReversePath};
use policy::Decision;
use policy::rules::{self, Asked, Origin, Shape, Sized, Verdict};
use settings::rules::{Action, Question, Rules};

use crate::limits::RULES_TRACED_MAX;
use crate::session::Session;

/// The rules of one transaction, and what they were told.
pub(crate) struct Ruling {
    /// Those that were in force at MAIL.
    rules: Arc<Rules>,
    origin: Origin,
    /// The accepted recipients as the client named them.
    named: Vec<Address>,
    /// Why the message waits for a person.
    pub(crate) hold: Option<String>,
    /// The rules that had a say about recipients, by their names.
    said: Vec<String>,
}

/// What they say to one recipient.
#[derive(Default)]
pub(crate) struct Ruled {
    /// Checks of strangers do not refuse it.
    pub(crate) allowed: bool,
    pub(crate) refusal: Option<Reply>,
    /// Another address takes its place.
    instead: Option<Address>,
    hold: Option<String>,
    /// The rules that said so.
    said: Vec<String>,
}

impl Ruling {
    /// One recipient is accepted.
    pub(crate) fn accept(&mut self, named: &Address, ruled: &Ruled) {
        self.named.push(named.clone());
        self.hold = self.hold.take().or_else(|| ruled.hold.clone());
        for rule in &ruled.said {
            if self.said.len() < RULES_TRACED_MAX && !self.said.contains(rule) {
                self.said.push(rule.clone());
            }
        }
    }
}

impl Ruled {
    /// The recipient with the address that it has now; what the sender called it is kept.
    pub(crate) fn rewritten(self, mut recipient: Recipient) -> Recipient {
        let Some(instead) = self.instead else {
            return recipient;
        };
        let named = std::mem::replace(&mut recipient.address, instead);
        let address_type = if named.needs_smtputf8() {
            "utf-8"
        } else {
            "rfc822"
        };
        recipient.orcpt.get_or_insert_with(|| OriginalRecipient {
            address_type: address_type.into(),
            address: named.to_wire(),
        });
        // RFC 7293 §5.2: it was known of the address that led here.
        recipient.valid_since = None;
        recipient
    }
}

impl Session {
    /// At MAIL: the rules that decide about all that follows.
    pub(crate) fn begin_ruling(&self, sender: &ReversePath) -> Ruling {
        let facts = &self.client.facts;
        Ruling {
            rules: self.ports.policy.rules().get(),
            origin: Origin::new(&facts.session, &facts.helo, sender),
            named: Vec::new(),
            hold: None,
            said: Vec::new(),
        }
    }

    /// At RCPT. The bare postmaster is above rules (RFC 5321 §4.5.1).
    pub(crate) fn rule_recipient(&self, path: &ForwardPath) -> Ruled {
        let (Some(pending), ForwardPath::Address(recipient)) = (&self.client.pending, path) else {
            return Ruled::default();
        };
        let ruling = &pending.ruling;
        let asked = Asked {
            origin: &ruling.origin,
            recipient,
            size: pending.size,
            recipients: ruling.named.len() as u64 + 1,
        };
        let mut ruled = Ruled::default();
        match rules::verdict(&ruling.rules, &asked) {
            Verdict::Pass => {}
            Verdict::Allow { rule } => {
                ruled.allowed = true;
                ruled.said.push(rule.to_owned());
            }
            Verdict::Refuse { rule, reply } => {
                let session = &self.client.facts.session_id;
                tracing::info!(%session, %recipient, rule, "a rule refuses");
                ruled.refusal = Some(reply.clone());
                return ruled;
            }
            Verdict::Hold { rule, reason } => {
                ruled.hold = Some(rules::held(rule, reason));
                ruled.said.push(rule.to_owned());
            }
        }
        let rewriting = rules::first(&ruling.rules, Question::Recipient, &asked);
        if let Some(rule) = rewriting
            && let Action::RewriteRecipient(rewrite) = &rule.then
        {
            ruled.instead = rewrite.apply(recipient);
            ruled.said.push(rule.name.clone());
        }
        ruled
    }

    /// Where a recipient goes that the rules have looked at.
    pub(crate) async fn decide(
        &self,
        path: &ForwardPath,
        ruled: &Ruled,
        size: Option<u64>,
    ) -> Decision {
        let policy = &self.ports.policy;
        let session = &self.client.facts.session;
        match (&ruled.refusal, path, &ruled.instead) {
            (Some(refusal), ..) => Decision::Refuse(refusal.clone()),
            (None, ForwardPath::Address(named), Some(instead)) => {
                policy.check_rewritten(session, named, instead, size).await
            }
            _ => {
                let sender = self
                    .client
                    .pending
                    .as_ref()
                    .map(|p| &p.ruling.origin.sender);
                if let Some(sender) = sender
                    && let Some(decision) = policy.check_returned(session, sender, path, size).await
                {
                    return decision;
                }
                policy.check_recipient(session, path, size).await
            }
        }
    }

    /// At the start of the data: what is changed on the message, in the envelope already.
    ///
    /// A recipient that the operator wants and that cannot have it now is no reason
    /// for others to wait: its copy goes into the queue, with the same commit, so
    /// that a journal has no gap.
    pub(crate) async fn shape(&mut self) -> Shape {
        let Some(pending) = &mut self.client.pending else {
            return Shape::default();
        };
        let Ruling {
            rules,
            origin,
            named,
            said,
            ..
        } = &pending.ruling;
        let mut shape = rules::shape(rules, origin, named, pending.size);
        shape.sized = Sized::new(rules, origin, named);
        let more = std::mem::replace(&mut shape.rules, said.clone());
        for rule in more {
            if !shape.rules.contains(&rule) {
                shape.rules.push(rule);
            }
        }
        if let Some(sender) = &shape.sender {
            pending.envelope.reverse_path = sender.clone();
        }
        if shape.priority.is_some() {
            pending.envelope.priority = shape.priority;
        }
        for address in &shape.bcc {
            let key = address.to_key();
            let recipients = &pending.envelope.recipients;
            if recipients.iter().any(|known| known.address.to_key() == key) {
                continue;
            }
            let policy = &self.ports.policy;
            let session = &self.client.facts.session;
            let mut decision = policy.check_unasked(session, address, None).await;
            if let Decision::Refuse(reply) = &decision {
                tracing::error!(recipient = %address, reply = %reply.to_line(), "a rule's bcc cannot have it: a copy waits in the queue");
                decision = Decision::Relay(address.clone());
            }
            let mut recipient = Recipient::new(address.clone());
            // Its sender does not know of it.
            recipient.notify = Notify::Never;
            pending.envelope.recipients.push(recipient);
            pending.decisions.push(decision);
            shape.unseen += 1;
        }
        shape
    }
}
