//! Passing over the numbers that lost history may have given.

use super::StageError;
use crate::change::{Change, Draft, Raise};
use crate::view::View;

/// Works out how far an account's numbers move on. A number that would pass
/// the end of its range makes the change fail: nothing may be given twice.
///
/// # Errors
/// Numbers used up.
pub fn stage_raise(view: &View, by: Raise) -> Result<Draft, StageError> {
    let fits = |next: u32, by: u32| next.checked_add(by).is_some_and(|end| end < u32::MAX);
    let all = view
        .mailboxes()
        .all(|mailbox| fits(mailbox.uid_next().0, by.uids))
        && fits(view.next_mailbox().0, by.mailboxes)
        && fits(view.next_uid_validity().0, by.uid_validities)
        && view.next_email().0.checked_add(by.emails).is_some();
    if all {
        Ok(Change::Raised(by).into())
    } else {
        Err(StageError::NumbersUsedUp)
    }
}
