//! Messages as RFC 8621 shows them, and made from what it says.

pub(crate) mod arriving;
pub(crate) mod body;
pub(crate) mod compose;
pub(crate) mod edit;
pub(crate) mod header;
pub(crate) mod keywords;
pub(crate) mod message;
pub(crate) mod properties;
pub(crate) mod values;
