//! MAIL, RCPT and the message: asks the policy, feeds the intake.

use crate::session::Session;
use envelope::{Address, Domain, Envelope, ForwardPath, LocalPart, Recipient};
use intake::Facts;
use observe::Door;
use policy::{Decision, Role};
use smtp_proto::server::{HelloVerb, Mail, Rcpt};

/// A mail transaction before its data.
pub(crate) struct Transaction {
    envelope: Envelope,
    /// One for each recipient of the envelope.
    decisions: Vec<Decision>,
    size: Option<u64>,
}

impl Session {
    pub(crate) async fn begin_transaction(&mut self, mail: Mail) {
        let checked = self
            .ports
            .policy
            .check_sender(&self.policy, &mail.reverse_path)
            .await;
        if let Err(refusal) = checked {
            tracing::info!(session = %self.id, sender = %mail.reverse_path, reply = %refusal.to_line(), "smtp: sender refused");
            self.ports.metrics.message_refused(self.door(), "sender");
            self.protocol.reply(&refusal);
            return;
        }
        let mut envelope = Envelope::new(mail.reverse_path);
        envelope.body = mail.body;
        envelope.smtputf8 = mail.smtputf8;
        envelope.ret = mail.ret;
        envelope.envid = mail.envid;
        self.transaction = Some(Box::new(Transaction {
            envelope,
            decisions: Vec::new(),
            size: mail.size,
        }));
        self.protocol.accept();
    }

    pub(crate) async fn add_recipient(&mut self, rcpt: Rcpt) {
        let Some(transaction) = &mut self.transaction else {
            // The machine lets no RCPT through before MAIL.
            self.protocol.reply(&policy::reply::local_trouble());
            return;
        };
        let policy = &self.ports.policy;
        let decision = policy
            .check_recipient(&self.policy, &rcpt.path, transaction.size)
            .await;
        if let Decision::Refuse(refusal) = &decision {
            tracing::info!(
                session = %self.id,
                peer = %self.policy.client_ip,
                sender = %transaction.envelope.reverse_path,
                recipient = %rcpt.path,
                reply = %refusal.to_line(),
                "smtp: recipient refused"
            );
            self.ports.metrics.message_refused(self.door(), "recipient");
            self.protocol.reply(refusal);
            return;
        }
        let address = match rcpt.path {
            ForwardPath::Address(address) => address,
            ForwardPath::Postmaster => match postmaster(&self.config.host_name) {
                Some(address) => address,
                None => return self.protocol.reply(&policy::reply::local_trouble()),
            },
        };
        transaction.envelope.recipients.push(Recipient {
            address,
            notify: rcpt.notify,
            orcpt: rcpt.orcpt,
        });
        transaction.decisions.push(decision);
        self.protocol.accept();
    }

    pub(crate) fn begin_message(&mut self) {
        let Some(transaction) = self.transaction.take() else {
            return self.protocol.reply(&policy::reply::local_trouble());
        };
        let hello = self.hello.as_ref();
        let facts = Facts {
            session: self.policy.clone(),
            session_id: self.id.clone(),
            helo: hello.map(|hello| hello.name.clone()).unwrap_or_default(),
            extended: hello.is_some_and(|hello| hello.verb != HelloVerb::Helo),
            tls: self.tls_text(),
        };
        let begun = self.ports.intake.begin(intake::Transaction {
            facts,
            envelope: transaction.envelope,
            decisions: transaction.decisions,
            size_hint: transaction.size,
        });
        match begun {
            Ok(receiving) => {
                self.receiving = Some(Box::new(receiving));
                self.message_begins();
                self.protocol.accept();
            }
            Err(refusal) => {
                tracing::info!(session = %self.id, reply = %refusal.to_line(), "smtp: data refused");
                self.ports.metrics.message_refused(self.door(), "data");
                self.protocol.reply(&refusal);
            }
        }
    }

    pub(crate) async fn end_message(&mut self) {
        let Some(receiving) = self.receiving.take() else {
            return self.protocol.reply(&policy::reply::local_trouble());
        };
        // Only now is anything promised: the outcome waits for the commit.
        let outcome = Box::pin(receiving.finish()).await;
        self.forget_transaction();
        if outcome.is_accepted() {
            self.message_was_useful();
        }
        match self.config.role {
            Role::Lmtp => self.protocol.reply_each(&outcome.replies),
            Role::Mx | Role::Submission => self.protocol.reply(&outcome.reply),
        }
    }

    fn door(&self) -> Door {
        match self.config.role {
            Role::Mx => Door::Mx,
            Role::Submission => Door::Submission,
            Role::Lmtp => Door::Lmtp,
        }
    }
}

/// RFC 5321 §4.5.1: `<Postmaster>` is whoever keeps this host.
fn postmaster(host_name: &str) -> Option<Address> {
    let domain = Domain::parse(host_name).ok()?;
    Address::new(LocalPart::parse("postmaster").ok()?, domain).ok()
}
