//! GETMETADATA and SETMETADATA (RFC 5464 §4).

use crate::command::{Command, GetMetadata, MetadataDepth};
use crate::cursor::{Cursor, Parsed, syntax};
use crate::limits::ENTRY_NAME_BYTES_MAX;
use crate::mailbox_name::{MailboxName, NameForm};
use crate::parse::{ErrorKind, mailbox};

/// ```abnf
/// getmetadata         = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries
/// getmetadata-options = "(" option *(SP option) ")"
/// option              = "MAXSIZE" SP number / "DEPTH" SP ("0" / "1" / "infinity")
/// entries             = entry / "(" entry *(SP entry) ")"
/// ```
/// Options behind the mailbox are taken too: the RFC's own examples have them there.
pub(crate) fn get(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    cursor.space()?;
    let mut command = GetMetadata {
        mailbox: None,
        entries: Vec::new(),
        depth: MetadataDepth::Zero,
        size_max: None,
    };
    if cursor.peek() == Some(b'(') {
        options(cursor, &mut command)?;
        cursor.space()?;
    }
    command.mailbox = place(cursor, form)?;
    cursor.space()?;
    let begins = |word| cursor.clone().take_prefix(word);
    if begins("(MAXSIZE") || begins("(DEPTH") {
        options(cursor, &mut command)?;
        cursor.space()?;
    }
    command.entries = match cursor.peek() {
        Some(b'(') => cursor.list(false, entry)?,
        _ => vec![entry(cursor)?],
    };
    Ok(Command::GetMetadata(command))
}

fn options(cursor: &mut Cursor<'_>, command: &mut GetMetadata) -> Parsed<()> {
    cursor.list(false, |cursor| {
        let word = cursor.word()?;
        cursor.space()?;
        match word.as_str() {
            "MAXSIZE" => command.size_max = Some(cursor.number64()?),
            "DEPTH" => {
                command.depth = match cursor.word()?.as_str() {
                    "0" => MetadataDepth::Zero,
                    "1" => MetadataDepth::One,
                    "INFINITY" => MetadataDepth::Infinity,
                    _ => return syntax("DEPTH is 0, 1 or infinity"),
                }
            }
            _ => return syntax("an unknown option of GETMETADATA"),
        }
        Ok(())
    })?;
    Ok(())
}

/// ```abnf
/// setmetadata   = "SETMETADATA" SP mailbox SP entry-values
/// entry-values  = "(" entry-value *(SP entry-value) ")"
/// entry-value   = entry SP value
/// value         = nstring / literal8
/// ```
pub(crate) fn set(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Command> {
    cursor.space()?;
    let mailbox = place(cursor, form)?;
    cursor.space()?;
    let values = cursor.list(false, |cursor| {
        let name = entry(cursor)?;
        cursor.space()?;
        let value = cursor.nstring()?;
        Ok((name, value.map(std::borrow::Cow::into_owned)))
    })?;
    Ok(Command::SetMetadata { mailbox, values })
}

/// A mailbox; the empty name is the server.
fn place(cursor: &mut Cursor<'_>, form: NameForm) -> Parsed<Option<MailboxName>> {
    if cursor.take_prefix("\"\"") {
        return Ok(None);
    }
    mailbox(cursor, form).map(Some)
}

/// `entry = astring`, of RFC 5464 §3.2: `/private/…` or `/shared/…`, in lower case here.
pub(crate) fn entry(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let name = cursor.astring()?.to_ascii_lowercase();
    let is_name = |b: &u8| (b.is_ascii_graphic() || *b == b' ') && !matches!(b, b'*' | b'%');
    let valid = name.len() <= ENTRY_NAME_BYTES_MAX
        && name.iter().all(is_name)
        && (name.starts_with(b"/private") || name.starts_with(b"/shared"))
        && !name.ends_with(b"/")
        && !name.windows(2).any(|pair| pair == b"//");
    if !valid {
        return Err(ErrorKind::Syntax(
            "an entry is /private/NAME or /shared/NAME",
        ));
    }
    Ok(String::from_utf8_lossy(&name).into_owned())
}
