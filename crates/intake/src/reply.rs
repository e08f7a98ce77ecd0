//! The replies of the intake.

use engine::SubmitError;
use envelope::{Address, Reply};
use mailstore::OverQuota;

pub(crate) fn accepted(id: &str) -> Reply {
    Reply::enhanced(250, (2, 0, 0), &format!("Ok, {id}"))
}

pub(crate) fn too_large(bytes_max: u64) -> Reply {
    Reply::enhanced(
        552,
        (5, 3, 4),
        &format!("the message is larger than {bytes_max} bytes"),
    )
}

pub(crate) fn header_too_large() -> Reply {
    Reply::enhanced(552, (5, 3, 4), "the header of the message is too large")
}

pub(crate) fn too_complex() -> Reply {
    Reply::enhanced(
        554,
        (5, 6, 0),
        "the structure of the message is too large to store",
    )
}

pub(crate) fn hop_loop(received: usize) -> Reply {
    Reply::enhanced(
        554,
        (5, 4, 6),
        &format!("mail loop: the message has {received} Received fields"),
    )
}

pub(crate) fn not_the_author(author: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 7, 1),
        &format!(
            "From names <{}>, which is not an address of the account that is logged in",
            author.to_wire()
        ),
    )
}

/// An author of a domain of ours, whose address an administrator can grant.
pub(crate) fn author_not_granted(author: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 7, 1),
        &format!(
            "From names <{}>, which is not an address of the account that is logged in; \
             an administrator can grant it: posthouse account send-as add ACCOUNT ADDRESS",
            author.to_wire()
        ),
    )
}

pub(crate) fn author_without_address() -> Reply {
    Reply::enhanced(
        550,
        (5, 7, 1),
        "From names somebody without a good address; write yours in full",
    )
}

pub(crate) fn too_many_authors() -> Reply {
    Reply::enhanced(550, (5, 7, 1), "From is too long to be looked at")
}

pub(crate) fn delivered_before(recipient: &Address) -> Reply {
    Reply::enhanced(
        554,
        (5, 4, 6),
        &format!(
            "mail loop: the message was delivered to <{}> before",
            recipient.to_wire()
        ),
    )
}

pub(crate) fn no_room() -> Reply {
    Reply::enhanced(
        452,
        (4, 3, 1),
        "no space is left for mail, please try again later",
    )
}

/// RFC 3463 §3.4: 4.3.1, mail system full.
pub(crate) fn queue_full() -> Reply {
    Reply::enhanced(
        452,
        (4, 3, 1),
        "too much mail waits to be sent already, please try again later",
    )
}

pub(crate) fn closing() -> Reply {
    Reply::enhanced(
        421,
        (4, 3, 2),
        "the service is going down, please try again",
    )
}

pub(crate) fn too_many_recipients() -> Reply {
    Reply::enhanced(452, (4, 5, 3), "too many recipients for one message")
}

pub(crate) fn full(recipient: &Address, over: OverQuota) -> Reply {
    policy::reply::full_for_now(recipient, over)
}

pub(crate) fn not_storable(recipient: &Address) -> Reply {
    Reply::enhanced(
        554,
        (5, 2, 0),
        &format!(
            "<{}>: the mailbox cannot take the message",
            recipient.to_wire()
        ),
    )
}

pub(crate) fn no_such_user(recipient: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 1, 1),
        &format!("<{}>: no such user here", recipient.to_wire()),
    )
}

pub(crate) fn disabled(recipient: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 2, 1),
        &format!("<{}>: this account is disabled", recipient.to_wire()),
    )
}

pub(crate) fn alias_loop(recipient: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 4, 6),
        &format!("<{}>: its aliases lead in a circle", recipient.to_wire()),
    )
}

pub(crate) fn local_trouble() -> Reply {
    policy::reply::local_trouble()
}

/// What a refused commit means for the client.
pub(crate) fn of_submit(error: &SubmitError) -> Reply {
    match error {
        SubmitError::Full => no_room(),
        SubmitError::Closed => closing(),
        SubmitError::TooLarge { .. } => too_complex(),
        SubmitError::Conflict { .. }
        | SubmitError::CrossShard
        | SubmitError::BadKey { .. }
        | SubmitError::Unreadable(_) => local_trouble(),
    }
}
