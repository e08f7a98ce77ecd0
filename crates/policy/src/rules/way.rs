//! Which way a domain's mail goes.
//!
//! Mail that waits is asked about again at each attempt, so that a changed rule
//! holds for what is in the queue. What a domain alone decides costs no look at
//! the message.

use envelope::Domain;
use settings::rules::{Question, Rules, Way, When};

/// What the rules say about a domain's mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainWay<'r> {
    /// No rule speaks of it.
    Usual,
    /// All of it goes this way.
    All(&'r Way),
    /// It depends on the message.
    ByMessage,
}

/// What can be said knowing the domain only.
#[must_use]
pub fn domain_way<'r>(rules: &'r Rules, domain: &Domain) -> DomainWay<'r> {
    for rule in rules.that_answer(Question::Way) {
        let names = &rule.when.domain;
        if !names.is_empty() && !names.iter().any(|name| name.fits(domain.as_str())) {
            continue;
        }
        let only_domain = When {
            domain: names.clone(),
            ..When::default()
        };
        return match rule.then.way() {
            Some(way) if rule.when == only_domain => DomainWay::All(way),
            _ => DomainWay::ByMessage,
        };
    }
    DomainWay::Usual
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_decided_without_the_message_where_it_can_be() {
        let text = "[transport.p]\nhost = 'p.test:25'\n\
                    [[rule]]\nname = '1'\nwhen = { domain = ['a.test', '.b.test'] }\nvia = 'p'\n\
                    [[rule]]\nname = '2'\nwhen = { domain = 'c.test', sender = '@d.test' }\nvia = 'p'\n\
                    [[rule]]\nname = '3'\nwhen = { domain = ['c.test', 'e.test'] }\nvia = 'mx'\n";
        let rules = Rules::parse(text).expect("good rules");
        let way = |name| domain_way(&rules, &Domain::parse(name).expect("a domain"));
        let partner = Way::Transports(vec!["p".to_owned()]);
        assert_eq!(way("a.test"), DomainWay::All(&partner));
        assert_eq!(way("x.b.test"), DomainWay::All(&partner));
        assert_eq!(way("c.test"), DomainWay::ByMessage);
        assert_eq!(way("e.test"), DomainWay::All(&Way::Mx));
        assert_eq!(way("b.test"), DomainWay::Usual);
    }
}
