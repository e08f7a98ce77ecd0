//! MT-PRIORITY: how far ahead of others may a message go? RFC 6710 §5.

use envelope::Priority;

use crate::limits::PRIORITY_USER_MAX;
use crate::{Policy, Role, Session};

impl Policy {
    /// What is granted of what was asked for: administrators and machines that may relay
    /// get it, users up to a limit, and nobody else goes ahead of anybody.
    #[must_use]
    pub fn grant_priority(&self, session: &Session, asked: Priority) -> Priority {
        let max = match &session.identity {
            Some(identity) if identity.admin => Priority::MAX,
            Some(_) => PRIORITY_USER_MAX,
            // A machine that the operator has listed: it has granted what it hands on.
            None if session.role == Role::Mx && self.may_relay(session) => Priority::MAX,
            None => 0,
        };
        Priority::new(max).map_or(asked, |max| asked.min(max))
    }
}
