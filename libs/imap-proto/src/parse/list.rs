//! LIST in its basic and extended form, and LSUB.

use crate::chars::is_list_char;
use crate::command::{Command, ListCommand, ReturnOption, SelectionOption};
use crate::cursor::{Cursor, Parsed, syntax};
use crate::limits::PATTERNS_BYTES_MAX;
use crate::list_pattern::ListPattern;
use crate::mailbox_name::NameForm;
use crate::parse::metadata::entry;
use crate::parse::status_item;

/// ```abnf
/// list             = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]
/// mbox-or-pat      = list-mailbox / patterns
/// patterns         = "(" list-mailbox *(SP list-mailbox) ")"
/// list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")"
/// ```
pub(crate) fn list(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    cursor.space()?;
    let mut extended = false;
    let mut selection = Vec::new();
    if cursor.peek() == Some(b'(') {
        extended = true;
        selection = cursor.list(true, selection_option)?;
        cursor.space()?;
        check_selection(&selection)?;
    }
    let reference = cursor.astring()?;
    cursor.space()?;
    // Each pattern holds the reference: thousands of them would be gigabytes.
    let mut left = PATTERNS_BYTES_MAX;
    let mut pattern = |cursor: &mut Cursor<'_>| {
        let text = cursor.chars_or_string(is_list_char)?;
        let Some(rest) = left.checked_sub(reference.len() + text.len()) else {
            return syntax("the patterns are too long together");
        };
        left = rest;
        let pattern = ListPattern::from_wire(&reference, &text, form);
        Ok((pattern, text.is_empty()))
    };
    let mut patterns = if cursor.peek() == Some(b'(') {
        extended = true;
        cursor.list(false, pattern)?
    } else {
        vec![pattern(cursor)?]
    };
    let mut returns = Vec::new();
    if cursor.take(b' ') {
        extended = true;
        if !cursor.take_prefix("RETURN ") {
            return syntax("only RETURN may follow the pattern");
        }
        returns = cursor.list(true, return_option)?;
    }
    // RFC 9051 §6.3.9: an empty pattern asks for the separator, in the basic form;
    // in the extended form it is ignored.
    let asks_separator = !extended && patterns.iter().any(|(_, empty)| *empty);
    patterns.retain(|(_, empty)| !empty || asks_separator);
    Ok(Command::List(ListCommand {
        selection,
        patterns: patterns.into_iter().map(|(pattern, _)| pattern).collect(),
        returns,
        extended,
        asks_separator,
    }))
}

/// `lsub = "LSUB" SP mailbox SP list-mailbox`
pub(crate) fn lsub(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    cursor.space()?;
    let reference = cursor.astring()?;
    cursor.space()?;
    let pattern = cursor.chars_or_string(is_list_char)?;
    let pattern = ListPattern::from_wire(&reference, &pattern, form);
    Ok(Command::Lsub(pattern))
}

fn selection_option(cursor: &mut Cursor<'_>) -> Parsed<SelectionOption> {
    match cursor.word()?.as_str() {
        "SUBSCRIBED" => Ok(SelectionOption::Subscribed),
        "REMOTE" => Ok(SelectionOption::Remote),
        "RECURSIVEMATCH" => Ok(SelectionOption::RecursiveMatch),
        "SPECIAL-USE" => Ok(SelectionOption::SpecialUse),
        _ => syntax("an unknown selection option"),
    }
}

/// RFC 9051 §6.3.9.1: RECURSIVEMATCH must not stand alone or only with REMOTE (BAD).
fn check_selection(options: &[SelectionOption]) -> Parsed<()> {
    let base = options
        .iter()
        .any(|o| matches!(o, SelectionOption::Subscribed | SelectionOption::SpecialUse));
    if options.contains(&SelectionOption::RecursiveMatch) && !base {
        return syntax("RECURSIVEMATCH needs another selection option");
    }
    Ok(())
}

fn return_option(cursor: &mut Cursor<'_>) -> Parsed<ReturnOption> {
    match cursor.word()?.as_str() {
        "SUBSCRIBED" => Ok(ReturnOption::Subscribed),
        "CHILDREN" => Ok(ReturnOption::Children),
        "SPECIAL-USE" => Ok(ReturnOption::SpecialUse),
        "STATUS" => {
            cursor.space()?;
            cursor.list(false, status_item).map(ReturnOption::Status)
        }
        // RFC 8440 §3
        "MYRIGHTS" => Ok(ReturnOption::MyRights),
        // RFC 9590 §3
        "METADATA" => {
            cursor.space()?;
            cursor.list(false, entry).map(ReturnOption::Metadata)
        }
        _ => syntax("an unknown return option"),
    }
}
