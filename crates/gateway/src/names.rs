//! Recipients in paths and arguments.

use std::path::PathBuf;

use envelope::{Envelope, Recipient};

use crate::Refused;

/// The path for a recipient.
pub(crate) fn path(pattern: &std::path::Path, recipient: &Recipient) -> Result<PathBuf, Refused> {
    let Some(text) = pattern.to_str().filter(|text| text.contains('{')) else {
        return Ok(pattern.to_owned());
    };
    let address = &recipient.address;
    let local = address.local().to_key();
    let domain = address.domain().to_string();
    let parts = [("{local}", &local), ("{domain}", &domain)];
    if parts
        .iter()
        .any(|(mark, part)| text.contains(mark) && !is_one_name(part))
    {
        // RFC 3463 §3.2: 5.1.3, bad destination mailbox address syntax.
        let why = format!("{address} cannot be the name of a folder");
        return Err(Refused::permanent((5, 1, 3), &why));
    }
    Ok(filled(text, &parts).into())
}

/// The name of one file or folder, and not a hidden one.
fn is_one_name(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= 255
        && !part.starts_with(['.', '-', '~'])
        && !part.contains('/')
        && !part.chars().any(char::is_control)
}

/// A program's arguments.
pub(crate) fn arguments(
    command: &[String],
    envelope: &Envelope,
    recipient: Option<&Recipient>,
) -> Result<Vec<String>, Refused> {
    let sender = envelope.reverse_path.to_string();
    let sender = sender.trim_matches(['<', '>']).to_owned();
    let address = recipient.map(|recipient| &recipient.address);
    let whole = address.map(ToString::to_string).unwrap_or_default();
    let local = address.map(|a| a.local().to_key()).unwrap_or_default();
    let domain = address.map(|a| a.domain().to_string()).unwrap_or_default();
    let parts = [
        ("{sender}", &sender),
        ("{recipient}", &whole),
        ("{local}", &local),
        ("{domain}", &domain),
    ];
    let fill = |pattern: &String| {
        let argument = filled(pattern, &parts);
        // A program would take it for an option.
        let is_option = argument.starts_with('-') && !pattern.starts_with('-');
        if is_option || argument.contains('\0') {
            let why = format!("{argument:?} cannot be given to a program");
            return Err(Refused::permanent((5, 1, 3), &why));
        }
        Ok(argument)
    };
    command.iter().map(fill).collect()
}

/// Each mark is replaced once: what stands for one is not looked at again.
fn filled(pattern: &str, parts: &[(&str, &String)]) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match parts.iter().find(|(mark, _)| rest.starts_with(mark)) {
            Some((mark, part)) => {
                out.push_str(part);
                rest = &rest[mark.len()..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}
