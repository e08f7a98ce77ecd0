//! What a sender demands of the way, and whether a server can be given the message.
//!
//! RFC 8689 §4.2.1 (REQUIRETLS), RFC 2852 §4 (DELIVERBY with `R`), RFC 7293 §5.2
//! (RRVS with `R`), RFC 4865 (a hold that is not over). Wishes that are no demands are passed on where they are
//! understood and dropped elsewhere.

use envelope::{ByMode, Envelope, Recipient, TlsWish};
use smtp_proto::client::{Capabilities, OnwardWishes};

use crate::{Outcome, TlsPolicy};

/// A connection as far as demands are about it.
pub(crate) struct Hop<'a> {
    pub(crate) host: &'a str,
    /// Over IPv6, so that there may be another family to try.
    pub(crate) over_v6: bool,
    pub(crate) encrypted: bool,
    /// What was demanded of its TLS.
    pub(crate) tls: TlsPolicy,
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) now_ms: u64,
}

/// Why the message does not go there.
pub(crate) fn unmet(envelope: &Envelope, hop: &Hop<'_>) -> Option<Outcome> {
    let host = hop.host;
    let verified = hop.encrypted && matches!(hop.tls, TlsPolicy::Verified | TlsPolicy::Implicit);
    if envelope.tls == TlsWish::Required && !(verified && hop.capabilities.require_tls) {
        let text = format!("{host} does not offer REQUIRETLS, which the sender demands");
        return Some(Outcome::permanent(550, (5, 7, 30), &text));
    }
    if let Some(left) = held(envelope, hop.now_ms)
        && hop.capabilities.hold.is_none_or(|max| max < left)
    {
        let text =
            format!("{host} would not hold it as long as its sender wants, so it waits here");
        return Some(Outcome::temporary((4, 3, 3), &text));
    }
    let by = envelope.deliver_by.filter(|by| by.mode == ByMode::Return)?;
    let left = seconds_left(by.by_ms, hop.now_ms);
    match hop.capabilities.deliver_by {
        None => {
            let text = format!("{host} does not offer DELIVERBY, which the sender demands");
            Some(Outcome::permanent(554, (5, 3, 3), &text))
        }
        Some(least) if left <= 0 || left < i64::from(least) => {
            let text = format!("{host} cannot deliver it by the time that its sender asked for");
            Some(Outcome::permanent(554, (5, 4, 7), &text))
        }
        Some(_) => None,
    }
}

/// Why this recipient is not named there.
pub(crate) fn unmet_for(recipient: &Recipient, hop: &Hop<'_>) -> Option<Outcome> {
    let since = recipient.valid_since?;
    (since.reject && !hop.capabilities.valid_since).then(|| {
        let text = format!(
            "{} cannot test since when the recipient is who it was",
            hop.host
        );
        Outcome::permanent(550, (5, 7, 19), &text)
    })
}

/// What the server hears.
pub(crate) fn onward(envelope: &Envelope, now_ms: u64) -> OnwardWishes {
    OnwardWishes {
        require_tls: envelope.tls == TlsWish::Required,
        deliver_by: envelope
            .deliver_by
            .map(|by| (seconds_left(by.by_ms, now_ms), by)),
        priority: envelope.priority,
        hold_seconds: held(envelope, now_ms),
    }
}

/// For how many seconds its sender wants it held (RFC 4865), where whoever has it next is to
/// hold it.
pub(crate) fn held(envelope: &Envelope, now_ms: u64) -> Option<u64> {
    let left_ms = envelope.hold_until_ms?.checked_sub(now_ms)?;
    (left_ms > 0).then(|| left_ms.div_ceil(1000))
}

fn seconds_left(by_ms: u64, now_ms: u64) -> i64 {
    let seconds = |ms: u64| i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    if by_ms >= now_ms {
        seconds(by_ms - now_ms)
    } else {
        -seconds(now_ms - by_ms)
    }
}
