//! Lists of flags (RFC 5232 §2).

use crate::limits::FLAGS_MAX;

/// What a flag costs besides its letters.
const FLAG_OCTETS: usize = 8;

/// The flags of lists that are separated by white space, each once, without what is no flag,
/// [`crate::limits::FLAGS_MAX`] at most: what a script is shown of those that it is given.
pub fn listed<'a>(lists: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for flag in lists.into_iter().flat_map(str::split_ascii_whitespace) {
        if is_flag(flag) && !has(&out, flag) && out.len() < FLAGS_MAX {
            out.push(flag.to_owned());
        }
    }
    out
}

/// What going through them once costs, in octets that are looked at.
pub(crate) fn work(flags: &[String]) -> usize {
    flags.iter().map(|flag| flag.len() + FLAG_OCTETS).sum()
}

pub(crate) fn has(flags: &[String], flag: &str) -> bool {
    flags.iter().any(|one| one.eq_ignore_ascii_case(flag))
}

/// A keyword is an atom; a backslash stands before the few system flags that a client may set
/// (RFC 9051 §2.3.2 and its `flag`).
fn is_flag(flag: &str) -> bool {
    if let Some(system) = flag.strip_prefix('\\') {
        let known = ["seen", "answered", "flagged", "deleted", "draft"];
        return known.iter().any(|one| system.eq_ignore_ascii_case(one));
    }
    let special = |byte: u8| b"(){%*\"\\]".contains(&byte);
    !flag.is_empty()
        && flag.len() <= 255
        && flag
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !special(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_each_flag_once_and_only_flags() {
        let flags = listed(["\\Seen $a", "\\SEEN \\recent b( \\* $A", ""]);
        assert_eq!(flags, ["\\Seen", "$a"]);
        assert!(has(&flags, "\\seen"));
    }
}
