//! What is changed on a message as a whole.
//!
//! Header, sender and unseen recipients are one for all recipients of a message:
//! a rule about them counts when it matches for one recipient at least.

use envelope::{Address, Priority, ReversePath};
use settings::rules::{Action, Question, Rule, Rules};

use super::{Asked, Origin, Sized, first};

/// What the rules make of a message.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Another reverse path.
    pub sender: Option<ReversePath>,
    /// Fields that are added to the header, each `Name: value`.
    pub add: Vec<String>,
    /// Names of fields that are taken out, in lower case.
    pub remove: Vec<String>,
    /// Who else gets it.
    pub bcc: Vec<Address>,
    /// How far ahead of others it goes, whatever was asked for.
    pub priority: Option<Priority>,
    /// How many recipients, the last ones, are unseen: nobody is answered about them.
    pub unseen: usize,
    /// The names of the rules that had a say, for the trace.
    pub rules: Vec<String>,
    /// What is asked again at the end of the data.
    pub sized: Option<Sized>,
}

/// Asks the questions that are about the whole message, for all `recipients` as the client named them.
#[must_use]
pub fn shape(rules: &Rules, origin: &Origin, recipients: &[Address], size: Option<u64>) -> Shape {
    let mut shape = Shape::default();
    if rules.rules.is_empty() {
        return shape;
    }
    let ask = |question| first_of_all(rules, question, origin, recipients, size);
    let mut said = Vec::new();
    let mut then = |rule: &Rule| {
        said.push(rule.name.clone());
        rule.then.clone()
    };
    // The null sender stays: a report that fails must not cause another one.
    if let (ReversePath::Address(sender), Some(Action::RewriteSender(rewrite))) =
        (&origin.sender, ask(Question::Sender).map(&mut then))
    {
        shape.sender = rewrite.apply(sender).map(ReversePath::Address);
    }
    if let Some(Action::AddHeader(fields)) = ask(Question::AddHeader).map(&mut then) {
        shape.add = fields;
    }
    if let Some(Action::RemoveHeader(names)) = ask(Question::RemoveHeader).map(&mut then) {
        shape.remove = names;
    }
    if let Some(Action::Bcc(addresses)) = ask(Question::Bcc).map(&mut then) {
        shape.bcc = addresses;
    }
    if let Some(Action::Priority(priority)) = ask(Question::Priority).map(&mut then) {
        shape.priority = Some(priority);
    }
    shape.rules = said;
    shape
}

/// The first rule that matches for one recipient at least.
fn first_of_all<'r>(
    rules: &'r Rules,
    question: Question,
    origin: &Origin,
    recipients: &[Address],
    size: Option<u64>,
) -> Option<&'r Rule> {
    // Most files have no rule about most questions.
    rules.that_answer(question).next()?;
    let asked = |recipient| Asked {
        origin,
        recipient,
        size,
        recipients: recipients.len() as u64,
    };
    let answers = recipients
        .iter()
        .filter_map(|recipient| first(rules, question, &asked(recipient)));
    let place = |rule: &&Rule| {
        rules
            .rules
            .iter()
            .position(|other| std::ptr::eq(other, *rule))
    };
    answers.min_by_key(place)
}
