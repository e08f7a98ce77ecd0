//! The rules file: what may come in, where it goes, what is changed on its way.
//!
//! A short tour:
//!
//! - [`Rules`] is the whole file as plain values; [`Rules::load`] reads it and tells *all* mistakes at once, each with
//!   its line and with the name of the rule it is in.
//! - [`RelayDomain`]: a domain of another server, whose backup MX we are.
//!
//! What is not here: what the rules decide about a message (`policy`), which way mail takes (`dispatch`), keys that the
//! machine must know at its start ([`crate::Settings`]). docs/policy.md describes the file for people.
//!
//! Invariants: a file that passes [`Rules::parse`] can be put in force as a whole; a word that is not known is a mistake.

mod fields;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use envelope::Domain;

use crate::Network;

/// Everything in the rules file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Domains whose mail we take for another server.
    pub relay_domains: BTreeMap<Domain, RelayDomain>,
}

/// A domain whose mail is taken, kept, and handed to its own server: `[relay_domain."example.net"]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayDomain {
    /// How long mail for it is tried.
    pub lifetime: Duration,
    /// Who may start its queue by ETRN, besides those who may relay.
    pub etrn: Vec<Network>,
}
