//! Rules about the size, asked again when the size is known.

use std::sync::Arc;

use envelope::{Address, Reply};
use settings::rules::{Question, Rules};

use super::{Asked, Origin, Verdict, verdict};

/// What is kept of a transaction until its data has come.
#[derive(Debug, Clone)]
pub struct Sized {
    rules: Arc<Rules>,
    origin: Origin,
    /// As the client named them, in their order.
    recipients: Vec<Address>,
}

impl Sized {
    /// Nothing where no rule asks for the size.
    #[must_use]
    pub fn new(rules: &Arc<Rules>, origin: &Origin, recipients: &[Address]) -> Option<Self> {
        let mut verdicts = rules.that_answer(Question::Verdict);
        verdicts
            .any(|rule| rule.when.larger_than.is_some())
            .then(|| Self {
                rules: Arc::clone(rules),
                origin: origin.clone(),
                recipients: recipients.to_vec(),
            })
    }

    /// The replies that refuse recipients of a message of this size, by their places;
    /// and why it waits for a person, if it does.
    #[must_use]
    pub fn refusals(&self, size: u64) -> (Vec<(usize, Reply)>, Option<String>) {
        let mut refused = Vec::new();
        let mut hold = None;
        for (place, recipient) in self.recipients.iter().enumerate() {
            let asked = Asked {
                origin: &self.origin,
                recipient,
                size: Some(size),
                recipients: place as u64 + 1,
            };
            match verdict(&self.rules, &asked) {
                Verdict::Pass | Verdict::Allow { .. } => {}
                Verdict::Refuse { rule, reply } => {
                    tracing::info!(%recipient, rule, size, "refused by its size");
                    refused.push((place, reply.clone()));
                }
                Verdict::Hold { rule, reason } => {
                    hold.get_or_insert_with(|| held(rule, reason));
                }
            }
        }
        (refused, hold)
    }
}

/// Why a message waits, as the queue shows it.
#[must_use]
pub fn held(rule: &str, reason: &str) -> String {
    format!("held by the rule {rule:?}: {reason}")
}
