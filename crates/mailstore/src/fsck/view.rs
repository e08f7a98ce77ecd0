//! What must be true of a view, whoever made it.
//!
//! [`mailbox_model::apply`] keeps all of this; a view that breaks it was read
//! from damaged records, or we have a bug.

use super::finding::Finding;
use mailbox_model::{Counters, EmailId, Mailbox, Uid, UidValidity, Usage, View};
use std::collections::BTreeSet;

/// Checks a view against itself: `counters-equal-sums`, `uid-modseq-grow`,
/// `uidvalidity-unique`, `no-duplicate`.
#[must_use]
pub fn check_view(view: &View) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut emails: Vec<(EmailId, u64)> = Vec::new();
    let mut validities: BTreeSet<UidValidity> = BTreeSet::new();
    for mailbox in view.mailboxes() {
        check_entries(mailbox, &mut findings);
        let validity = mailbox.uid_validity();
        let given = validity.0 != 0 && validity < view.next_uid_validity();
        if !given || !validities.insert(validity) {
            findings.push(Finding::UidValidity(mailbox.id()));
        }
        emails.extend(mailbox.entries().iter().map(|e| (e.email, e.size())));
    }
    emails.sort_unstable();
    emails.dedup_by_key(|(email, _)| *email);
    let usage = Usage {
        bytes: emails.iter().map(|(_, size)| size).sum(),
        emails: emails.len() as u64,
    };
    if usage != view.usage() {
        findings.push(Finding::Usage);
    }
    findings
}

fn check_entries(mailbox: &Mailbox, findings: &mut Vec<Finding>) {
    let mut sums = Counters::default();
    let mut emails: Vec<EmailId> = Vec::with_capacity(mailbox.entries().len());
    let mut last = Uid(0);
    for entry in mailbox.entries() {
        sums.messages += 1;
        sums.unseen += u64::from(!entry.keywords.is_seen());
        sums.deleted += u64::from(entry.deleted);
        sums.size_bytes += entry.size();
        if entry.uid <= last || entry.uid >= mailbox.uid_next() {
            findings.push(Finding::UidOrder(mailbox.id(), entry.uid));
        }
        if entry.modseq > mailbox.highest_modseq() {
            findings.push(Finding::ModSeqAbove(mailbox.id(), entry.uid));
        }
        last = entry.uid;
        emails.push(entry.email);
    }
    if sums != mailbox.counters() {
        findings.push(Finding::Counters(mailbox.id()));
    }
    emails.sort_unstable();
    for pair in emails.windows(2).filter(|pair| pair[0] == pair[1]) {
        findings.push(Finding::Twice(mailbox.id(), pair[0]));
    }
}
