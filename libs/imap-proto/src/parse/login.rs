//! LOGIN, AUTHENTICATE and ENABLE. Whether they are permitted is the server's business.

use crate::command::Command;
use crate::cursor::{Cursor, Parsed, syntax};

/// ```abnf
/// authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp]
/// initial-resp = base64 / "="
/// ```
pub(crate) fn authenticate(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let mechanism = cursor.word()?;
    let mut initial = None;
    if cursor.take(b' ') {
        // Decoding is the mechanism's business: a wrong one is its failure, not ours.
        let coded = cursor.while_(|b| b.is_ascii_graphic());
        if coded.is_empty() {
            return syntax("the initial response is missing");
        }
        initial = Some(coded.to_vec());
    }
    Ok(Command::Authenticate { mechanism, initial })
}

/// `login = "LOGIN" SP userid SP password`, both astrings.
pub(crate) fn login(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let user = cursor.astring()?;
    cursor.space()?;
    let password = cursor.astring()?;
    let Ok(user) = String::from_utf8(user.into_owned()) else {
        return syntax("a user name is UTF-8");
    };
    Ok(Command::Login {
        user,
        password: password.into_owned(),
    })
}

/// `enable = "ENABLE" 1*(SP capability)`
pub(crate) fn enable(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut names = Vec::new();
    while cursor.take(b' ') {
        if names.len() >= crate::limits::LIST_ITEMS_MAX {
            return syntax("too many names");
        }
        names.push(cursor.word()?);
    }
    if names.is_empty() {
        return syntax("ENABLE takes at least one name");
    }
    Ok(Command::Enable(names))
}
