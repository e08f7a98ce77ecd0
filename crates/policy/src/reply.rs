//! The replies that decisions are given in.

use envelope::{Address, Reply};

/// Our own trouble; the details are in the log.
#[must_use]
pub fn local_trouble() -> Reply {
    Reply::enhanced(451, (4, 3, 0), "local trouble, please try again later")
}

pub(crate) fn login_needed() -> Reply {
    Reply::enhanced(530, (5, 7, 0), "authentication required")
}

pub(crate) fn not_yours(sender: &Address) -> Reply {
    Reply::enhanced(
        553,
        (5, 7, 1),
        &format!("<{sender}> is not an address of the account that is logged in"),
    )
}

pub(crate) fn no_relay(recipient: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 7, 1),
        &format!("<{recipient}>: relaying denied, this domain is not served here"),
    )
}

pub(crate) fn no_such_user(recipient: &str) -> Reply {
    Reply::enhanced(550, (5, 1, 1), &format!("<{recipient}>: no such user here"))
}

pub(crate) fn alias_loop(recipient: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 4, 6),
        &format!("<{recipient}>: its aliases lead in a circle or to too many addresses"),
    )
}

pub(crate) fn disabled(recipient: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 2, 1),
        &format!("<{recipient}>: this account is disabled"),
    )
}

pub(crate) fn full_for_now(recipient: &Address) -> Reply {
    Reply::enhanced(
        452,
        (4, 2, 2),
        &format!("<{recipient}>: the mailbox is full, please try again later"),
    )
}

pub(crate) fn full_for_long(recipient: &Address) -> Reply {
    Reply::enhanced(
        552,
        (5, 2, 2),
        &format!("<{recipient}>: the mailbox has been full for days"),
    )
}
