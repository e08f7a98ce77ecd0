//! The replies that decisions are given in.

use bounces::{Entry, Unproven};
use envelope::{Address, Reply};
use mailstore::{OverQuota, QuotaOwner, QuotaUnit};

/// Our own trouble; the details are in the log.
#[must_use]
pub fn local_trouble() -> Reply {
    Reply::enhanced(451, (4, 3, 0), "local trouble, please try again later")
}

/// A refusal with the id that its reader can quote to an operator of ours.
#[must_use]
pub fn with_id(reply: &Reply, id: &str) -> Reply {
    let mut reply = reply.clone();
    let quote = format!("(id {id})");
    match reply.lines.last_mut() {
        Some(last) => {
            last.push(' ');
            last.push_str(&quote);
        }
        None => reply.lines.push(quote),
    }
    reply
}

pub(crate) fn login_needed() -> Reply {
    Reply::enhanced(530, (5, 7, 0), "authentication required")
}

pub(crate) fn not_yours(sender: &Address) -> Reply {
    Reply::enhanced(
        553,
        (5, 7, 1),
        &format!(
            "<{}> is not an address of the account that is logged in",
            sender.to_wire()
        ),
    )
}

/// An address of a domain of ours, which an administrator can grant.
pub(crate) fn not_granted(sender: &Address) -> Reply {
    Reply::enhanced(
        553,
        (5, 7, 1),
        &format!(
            "<{}> is not an address of the account that is logged in; \
             an administrator can grant it: posthouse account send-as add ACCOUNT ADDRESS",
            sender.to_wire()
        ),
    )
}

pub(crate) fn not_our_domain(sender: &Address) -> Reply {
    Reply::enhanced(
        553,
        (5, 7, 1),
        &format!(
            "<{}>: this server has no domain {}; say another sender, or set sendmail.domain",
            sender.to_wire(),
            sender.domain().to_ascii()
        ),
    )
}

pub(crate) fn no_relay(recipient: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 7, 1),
        &format!(
            "<{}>: relaying denied, this domain is not served here",
            recipient.to_wire()
        ),
    )
}

pub(crate) fn names_a_hop(recipient: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 7, 1),
        &format!(
            "<{}>: addresses that name a further server are not relayed",
            recipient.to_wire()
        ),
    )
}

pub(crate) fn unknown_there(recipient: &Address, said: &Reply) -> Reply {
    let text = format!(
        "<{}>: the domain's own server does not know it: {}",
        recipient.to_wire(),
        said.to_line()
    );
    Reply::enhanced(550, (5, 1, 1), &text)
}

pub(crate) fn not_known_now(recipient: &Address) -> Reply {
    let text = format!(
        "<{}>: the domain's own server cannot be asked about it now, please try again later",
        recipient.to_wire()
    );
    Reply::enhanced(451, (4, 4, 1), &text)
}

pub(crate) fn not_qualified(recipient: &Address) -> Reply {
    // RFC 6409 §4.2: 554.
    Reply::enhanced(
        554,
        (5, 1, 2),
        &format!("<{}>: please write the domain in full", recipient.to_wire()),
    )
}

pub(crate) fn no_such_user(recipient: &str) -> Reply {
    Reply::enhanced(550, (5, 1, 1), &format!("<{recipient}>: no such user here"))
}

/// The address of a rewritten sender that is not good, or no more.
#[must_use]
pub fn not_returned(recipient: &Address, why: Unproven) -> Reply {
    let recipient = recipient.to_wire();
    match why {
        Unproven::Forged => {
            let text = format!("<{recipient}>: this server never sent mail with that sender");
            Reply::enhanced(550, (5, 1, 1), &text)
        }
        Unproven::Expired => {
            let text = format!(
                "<{recipient}>: this sender of a forwarded message was good for {} days",
                bounces::limits::GOOD_DAYS
            );
            Reply::enhanced(550, (5, 1, 1), &text)
        }
    }
}

/// A tagged sender whose tag is not good, or no more.
#[must_use]
pub fn not_tagged(recipient: &Address, why: Unproven) -> Reply {
    let recipient = recipient.to_wire();
    let text = match why {
        Unproven::Forged => format!("<{recipient}>: this tag was not given here"),
        Unproven::Expired => format!("<{recipient}>: the time of this tag is over"),
    };
    Reply::enhanced(550, (5, 7, 1), &text)
}

pub(crate) fn untagged(recipient: &Address) -> Reply {
    let text = format!(
        "<{}>: mail of this user leaves with a tag in its sender, so this notification is about \
         none of it",
        recipient.to_wire()
    );
    Reply::enhanced(550, (5, 7, 1), &text)
}

pub(crate) fn suppressed(recipient: &Address, entry: &Entry) -> Reply {
    let recipient = recipient.to_wire();
    let text = format!(
        "<{recipient}>: nothing is sent to this address ({}); an administrator can lift it: \
         posthouse suppress lift {recipient}",
        entry.reason
    );
    Reply::enhanced(550, (5, 7, 1), &text)
}

pub(crate) fn only_notifications(recipient: &Address) -> Reply {
    let text = format!(
        "<{}>: this is the sender of a forwarded message, which takes notifications alone \
         (of the null sender)",
        recipient.to_wire()
    );
    Reply::enhanced(550, (5, 7, 1), &text)
}

pub(crate) fn alias_loop(recipient: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 4, 6),
        &format!(
            "<{}>: its aliases lead in a circle or to too many addresses",
            recipient.to_wire()
        ),
    )
}

pub(crate) fn owner_changed(recipient: &Address) -> Reply {
    // RFC 7293 §14.2
    Reply::enhanced(
        550,
        (5, 7, 17),
        &format!(
            "<{}>: the mailbox has another owner since then",
            recipient.to_wire()
        ),
    )
}

pub(crate) fn disabled(recipient: &Address) -> Reply {
    Reply::enhanced(
        550,
        (5, 2, 1),
        &format!("<{}>: this account is disabled", recipient.to_wire()),
    )
}

/// No room within a quota, for now.
#[must_use]
pub fn full_for_now(recipient: &Address, over: OverQuota) -> Reply {
    let are = match over.owner {
        QuotaOwner::Account => "the mailbox is full",
        QuotaOwner::Domain => "the mailboxes of the domain are full",
    };
    Reply::enhanced(
        452,
        (4, 2, 2),
        &format!(
            "<{}>: {are} ({}), please try again later",
            recipient.to_wire(),
            limit(over)
        ),
    )
}

pub(crate) fn full_for_long(recipient: &Address, over: OverQuota) -> Reply {
    let are = match over.owner {
        QuotaOwner::Account => "the mailbox has been full",
        QuotaOwner::Domain => "the mailboxes of the domain have been full",
    };
    Reply::enhanced(
        552,
        (5, 2, 2),
        &format!(
            "<{}>: {are} for days ({})",
            recipient.to_wire(),
            limit(over)
        ),
    )
}

fn limit(over: OverQuota) -> &'static str {
    match over.unit {
        QuotaUnit::Bytes => "limit of bytes",
        QuotaUnit::Messages => "limit of messages",
    }
}
