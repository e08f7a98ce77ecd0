//! MAIL and RCPT as they go out, with the parameters that the server knows.

use std::fmt::Write;

use envelope::{Address, ByMode, Ret, ReversePath, dsn};

use super::{Capabilities, OnwardWishes, Transaction};
use crate::limits::BY_SECONDS_MAX;

/// MAIL, without its line end; `authenticated`: we have logged in there.
pub(super) fn mail(
    capabilities: &Capabilities,
    transaction: &Transaction,
    authenticated: bool,
) -> String {
    let path = match &transaction.reverse_path {
        ReversePath::Null => String::new(),
        ReversePath::Address(address) => path_text(address, transaction.smtputf8),
    };
    let mut line = format!("MAIL FROM:<{path}>");
    // Writing to a String cannot fail.
    if let (Some(_), Some(size)) = (capabilities.size, transaction.size) {
        let _ = write!(line, " SIZE={size}");
    }
    let eight_bit = transaction.eight_bit || transaction.smtputf8;
    if eight_bit && capabilities.eight_bit_mime {
        line.push_str(" BODY=8BITMIME");
    }
    if transaction.smtputf8 {
        line.push_str(" SMTPUTF8");
    }
    if authenticated {
        // RFC 4954 §5 (MUST): we believe nobody's AUTH=, so who submitted the
        // message is not known; who did among our users is nobody's business.
        line.push_str(" AUTH=<>");
    }
    write_wishes(&mut line, capabilities, &transaction.wishes);
    if capabilities.dsn {
        match transaction.ret {
            Some(Ret::Full) => line.push_str(" RET=FULL"),
            Some(Ret::Hdrs) => line.push_str(" RET=HDRS"),
            None => {}
        }
        if let Some(envid) = transaction.envid.as_ref().filter(|id| id.is_ascii()) {
            let _ = write!(line, " ENVID={}", dsn::xtext_encode(envid));
        }
    }
    line
}

fn write_wishes(line: &mut String, capabilities: &Capabilities, wishes: &OnwardWishes) {
    // Writing to a String cannot fail.
    if wishes.require_tls && capabilities.require_tls {
        line.push_str(" REQUIRETLS");
    }
    if let (Some(_), Some((seconds, by))) = (capabilities.deliver_by, wishes.deliver_by) {
        // RFC 2852 §4: nine digits.
        let seconds = seconds.clamp(-BY_SECONDS_MAX, BY_SECONDS_MAX);
        let mode = match by.mode {
            ByMode::Return => "R",
            ByMode::Notify => "N",
        };
        let trace = if by.trace { "T" } else { "" };
        let _ = write!(line, " BY={seconds};{mode}{trace}");
    }
    if let Some(priority) = wishes.priority.filter(|_| capabilities.priority) {
        let _ = write!(line, " MT-PRIORITY={priority}");
    }
    if let (Some(_), Some(seconds)) = (capabilities.hold, wishes.hold_seconds) {
        let _ = write!(line, " HOLDFOR={seconds}");
    }
}

/// RCPT for one of the transaction's recipients, without its line end.
pub(super) fn rcpt(capabilities: &Capabilities, transaction: &Transaction, index: usize) -> String {
    let recipient = &transaction.recipients[index];
    let smtputf8 = transaction.smtputf8;
    let mut line = format!("RCPT TO:<{}>", path_text(&recipient.address, smtputf8));
    if capabilities.dsn {
        let notify = recipient.notify.to_string();
        if !notify.is_empty() {
            let _ = write!(line, " NOTIFY={notify}");
        }
        if let Some(orcpt) = recipient.orcpt.as_ref().map(ToString::to_string)
            && (smtputf8 || orcpt.is_ascii())
        {
            let _ = write!(line, " ORCPT={orcpt}");
        }
    }
    if let Some(since) = recipient.valid_since.filter(|_| capabilities.valid_since) {
        let _ = write!(line, " RRVS={since}");
    }
    line
}

/// Without SMTPUTF8 a domain travels as A-labels (RFC 6531 §3.2).
fn path_text(address: &Address, smtputf8: bool) -> String {
    match address.to_ascii() {
        Some(ascii) if !smtputf8 => ascii,
        _ => address.to_string(),
    }
}
