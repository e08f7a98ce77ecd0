//! What the operator's rules decide.
//!
//! * [`CurrentRules`] – the rules in force; a reload exchanges them as a whole
//! * [`Asked`] – what is known when rules are asked about a recipient; [`first`] is the
//!   rule that answers, [`steps`] is why, rule by rule
//! * [`domain_way`] – which way a domain's mail goes
//! * [`verdict`] and [`shape`] – whether a message is taken, and what is changed on it
//!
//! Not here: the file and its mistakes (`settings::rules`), the way of mail that
//! waits (`dispatch`, which asks through a port of its own).
//!
//! Invariants: a transaction is decided by the rules that were in force when it
//! began; no rule makes us a relay; a rule never loses mail that it cannot judge.

mod asked;
mod relay;
mod shape;
mod sized;
mod way;

pub use asked::{Asked, Login, Origin, Step, first, steps};
pub use shape::{Shape, shape};
pub use sized::{Sized, held};
pub use way::{DomainWay, domain_way};

use std::sync::Arc;

use envelope::{Domain, Reply};
use parking_lot::RwLock;
use settings::rules::{Action, Question, RelayDomain, Rules};

/// The rules in force. Cheap to clone; clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct CurrentRules(Arc<RwLock<Arc<Rules>>>);

impl CurrentRules {
    /// These rules, until others are put in force.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(rules))))
    }

    /// Those in force now; what is decided by them together must come from one call.
    #[must_use]
    pub fn get(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read())
    }

    /// Puts others in force.
    pub fn replace(&self, rules: Rules) {
        *self.0.write() = Arc::new(rules);
    }

    /// What is said about a domain whose backup MX we are; none if we are not.
    #[must_use]
    pub fn relay_domain(&self, domain: &Domain) -> Option<RelayDomain> {
        self.get().relay_domains.get(domain).cloned()
    }
}

/// What the rules say to a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'r> {
    /// Nothing against it.
    Pass,
    /// A rule wants it: what is only suspected of its sender does not count.
    Allow {
        /// The rule's name.
        rule: &'r str,
    },
    /// A rule refuses it, for good or for now.
    Refuse {
        /// The rule's name.
        rule: &'r str,
        /// In its words.
        reply: &'r Reply,
    },
    /// It is taken, and the message waits for a person.
    Hold {
        /// The rule's name.
        rule: &'r str,
        /// Why.
        reason: &'r str,
    },
}

/// Whether a recipient is taken.
#[must_use]
pub fn verdict<'r>(rules: &'r Rules, asked: &Asked<'_>) -> Verdict<'r> {
    let Some(rule) = first(rules, Question::Verdict, asked) else {
        return Verdict::Pass;
    };
    let name = &rule.name;
    match &rule.then {
        Action::Refuse(reply) | Action::Defer(reply) => Verdict::Refuse { rule: name, reply },
        Action::Hold(reason) => Verdict::Hold { rule: name, reason },
        Action::Allow => Verdict::Allow { rule: name },
        _ => Verdict::Pass,
    }
}
