//! Checkpoints of any bytes: refused, or a view whose own checkpoint is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailbox_model::page::ViewBuilder;
use mailbox_model::{MailboxId, ModSeq, View};

/// Takes a record behind its length.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&len, behind) = rest.split_first()?;
    let (record, behind) = behind.split_at_checked(usize::from(len))?;
    *rest = behind;
    Some(record)
}

fn built(data: &[u8]) -> Option<View> {
    let mut rest = data;
    let mut builder = ViewBuilder::new(take(&mut rest)?).ok()?;
    while let Some((&head, behind)) = rest.split_first() {
        rest = behind;
        let record = take(&mut rest)?;
        let id = MailboxId(u32::from(head >> 2 & 3));
        match head & 3 {
            0 => builder.keyword(core::str::from_utf8(record).ok()?),
            1 => builder.mailbox(id, record).ok()?,
            _ => builder.page(id, u32::from(head >> 4), record).ok()?,
        }
    }
    builder.finish().ok()
}

fuzz_target!(|data: &[u8]| {
    let Some(view) = built(data) else {
        return;
    };
    for mailbox in view.mailboxes() {
        for entry in mailbox.entries() {
            assert!(!view.copies(mailbox.id(), entry).is_empty());
        }
        let _ = (mailbox.first_unseen(), mailbox.vanished_since(ModSeq(1)));
        assert!(mailbox.changed_since(ModSeq(0)).count() <= mailbox.entries().len());
    }
    assert_eq!(fuzz::restored(&view), view);
});
