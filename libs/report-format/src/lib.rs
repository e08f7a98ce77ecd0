//! Writes and reads delivery status notifications (RFC 3461-3464, 6522, 6533).
//!
//! * [`Report`], [`RecipientReport`] – what is to be told
//! * [`write_report`] – the message: words in every language, the status for
//!   machines, the original's header or the original
//! * [`read_report`], [`parse_delivery_status`] – what a report says
//! * [`read_feedback`], [`parse_feedback`] – complaints about what we sent (RFC 5965, 6591)
//! * [`find_tls_report`], [`reading`], [`packing`] – reports on TLS of others (RFC 8460): where one lies in a
//!   message, what it says, how it is compressed
//! * [`write_quota_notice`] – that an account or a domain is nearly full
//! * [`write_held_notice`] – that a user's mail is held
//!
//! Not here: our own reports on TLS (`tls-policy`); whether anybody is told at all (null senders, NOTIFY, backscatter
//! are the caller's), the clock, random names, signing, sending.
//!
//! Invariants: foreign text (replies, host names, ids) never makes a line or a
//! field; a report is bounded by [`limits`] whatever the original is; apart from
//! a returned original with 8-bit content or a sender beyond ASCII it is 7-bit.

#![forbid(unsafe_code)]

mod clean;
mod delivery_status;
mod feedback;
mod held_notice;
pub mod limits;
mod notice;
pub mod packing;
mod quota_notice;
pub mod reading;
mod report;
#[cfg(test)]
mod tests;
mod tls_report;
mod words;
mod write;

pub use delivery_status::{DeliveryStatus, RecipientStatus, parse_delivery_status, read_report};
pub use feedback::{AuthFailure, Feedback, FeedbackType, parse_feedback, read_feedback};
pub use held_notice::{Excess, HeldNotice, write_held_notice};
pub use quota_notice::{QuotaNotice, QuotaOf, Share, write_quota_notice};
pub use report::{Action, Original, RecipientReport, Report, WrittenReport};
pub use tls_report::find_tls_report;
pub use write::write_report;
