//! The commands of ACL (RFC 4314 §3). Which letters are rights is the store's to say.

use crate::command::{AclChange, Command};
use crate::cursor::{Cursor, Parsed, syntax};
use crate::limits::ACL_IDENTIFIER_BYTES_MAX;
use crate::mailbox_name::NameForm;
use crate::parse::mailbox_argument;

/// ```abnf
/// setacl     = "SETACL" SP mailbox SP identifier SP mod-rights
/// mod-rights = astring ; +rights to add, -rights to remove, rights to replace
/// ```
pub(super) fn set(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    let mailbox = mailbox_argument(cursor, form)?;
    let identifier = identifier(cursor)?;
    cursor.space()?;
    let rights = cursor.astring()?.into_owned();
    let (change, rights) = match rights.split_first() {
        Some((b'+', rights)) => (AclChange::Add, rights.to_vec()),
        Some((b'-', rights)) => (AclChange::Remove, rights.to_vec()),
        _ => (AclChange::Replace, rights),
    };
    Ok(Command::SetAcl {
        mailbox,
        identifier,
        change,
        rights,
    })
}

/// `deleteacl = "DELETEACL" SP mailbox SP identifier`
pub(super) fn delete(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    let mailbox = mailbox_argument(cursor, form)?;
    let identifier = identifier(cursor)?;
    Ok(Command::DeleteAcl {
        mailbox,
        identifier,
    })
}

/// `listrights = "LISTRIGHTS" SP mailbox SP identifier`
pub(super) fn list(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    let mailbox = mailbox_argument(cursor, form)?;
    let identifier = identifier(cursor)?;
    Ok(Command::ListRights {
        mailbox,
        identifier,
    })
}

/// `identifier = astring`, in UTF-8.
fn identifier(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.space()?;
    let identifier = cursor.astring()?.into_owned();
    match String::from_utf8(identifier) {
        Ok(text) if !text.is_empty() && text.len() <= ACL_IDENTIFIER_BYTES_MAX => Ok(text),
        _ => syntax("an identifier is a name in UTF-8"),
    }
}
