//! Foreign text on its way into a message: one line, bounded, no controls.

/// `text` as one line of at most `chars_max` characters: controls and line
/// ends become spaces, runs of white space one.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let spaced: String = text
        .chars()
        .take(4 * chars_max)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let folded = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    folded.chars().take(chars_max).collect()
}

/// The same in ASCII: other characters become `?`.
pub(crate) fn one_ascii_line(text: &str, chars_max: usize) -> String {
    one_line(text, chars_max)
        .chars()
        .map(|c| if c.is_ascii() { c } else { '?' })
        .collect()
}

/// Is it a server's reply, or our own words about why there was none?
pub(crate) fn is_smtp_reply(text: &str) -> bool {
    let mut bytes = text.bytes();
    let code = [bytes.next(), bytes.next(), bytes.next()];
    code.iter()
        .all(|byte| byte.is_some_and(|b| b.is_ascii_digit()))
        && matches!(bytes.next(), None | Some(b' ' | b'-'))
}

/// Writes a field, folded at spaces so that lines stay below 78 where they can.
pub(crate) fn field(name: &str, value: &str, out: &mut String) {
    out.push_str(name);
    out.push(':');
    let mut column = name.len() + 1;
    for word in value.split(' ') {
        if column > name.len() + 1 && column + 1 + word.len() > 76 {
            out.push_str("\r\n");
            column = 0;
        }
        out.push(' ');
        // A word is never longer than a line may be.
        let word: String = word.chars().take(900).collect();
        out.push_str(&word);
        column += 1 + word.len();
    }
    out.push_str("\r\n");
}
