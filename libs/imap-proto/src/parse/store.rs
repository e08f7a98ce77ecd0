//! STORE, and flags as an argument.

use crate::command::{Command, StoreAction, StoreCommand};
use crate::cursor::{Cursor, Parsed, syntax};
use crate::flag::Flag;
use crate::parse::{ErrorKind, sequence};

/// ```abnf
/// store           = "STORE" SP sequence-set [store-modifiers] SP store-att-flags
/// store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
/// store-modifier  = "UNCHANGEDSINCE" SP mod-sequence-valzer
/// ```
pub(crate) fn store(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    let set = sequence::argument(cursor)?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.peek() == Some(b'(') {
        cursor.list(false, |cursor| {
            if !cursor.take_prefix("UNCHANGEDSINCE ") {
                return syntax("an unknown modifier of STORE");
            }
            unchanged_since = Some(cursor.number64()?);
            Ok(())
        })?;
        cursor.space()?;
    }
    let action = match cursor.peek() {
        Some(b'+') => StoreAction::Add,
        Some(b'-') => StoreAction::Remove,
        _ => StoreAction::Replace,
    };
    if action != StoreAction::Replace {
        cursor.while_(|b| matches!(b, b'+' | b'-'));
    }
    let silent = match cursor.word()?.as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return syntax("STORE changes FLAGS only"),
    };
    cursor.space()?;
    Ok(Command::Store(StoreCommand {
        uid,
        set,
        unchanged_since,
        action,
        silent,
        flags: flags(cursor)?,
    }))
}

fn flags(cursor: &mut Cursor<'_>) -> Parsed<Vec<Flag>> {
    if cursor.peek() == Some(b'(') {
        return cursor.list(true, flag);
    }
    let mut flags = vec![flag(cursor)?];
    while cursor.take(b' ') {
        if flags.len() >= crate::limits::LIST_ITEMS_MAX {
            return syntax("too many flags");
        }
        flags.push(flag(cursor)?);
    }
    Ok(flags)
}

pub(crate) fn flag(cursor: &mut Cursor<'_>) -> Parsed<Flag> {
    let backslash = cursor.take(b'\\');
    let name = cursor.atom()?;
    let flag = if backslash {
        Flag::parse(&format!("\\{name}"))
    } else {
        Flag::parse(name)
    };
    flag.ok_or(ErrorKind::Syntax("a flag that clients may not set"))
}
