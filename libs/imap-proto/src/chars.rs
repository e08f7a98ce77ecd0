//! The character classes of RFC 9051 §9. Nothing else lives here.

/// `atom-specials`: what may not be in an atom.
fn is_atom_special(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b')' | b'{' | b' ' | b'%' | b'*' | b'"' | b'\\' | b']'
    ) || !(0x21..=0x7e).contains(&byte)
}

/// `ATOM-CHAR`.
pub(crate) fn is_atom_char(byte: u8) -> bool {
    !is_atom_special(byte)
}

/// `ASTRING-CHAR`: an atom's, and `]`.
pub(crate) fn is_astring_char(byte: u8) -> bool {
    byte == b']' || is_atom_char(byte)
}

/// `list-char`: an astring's, and the wildcards.
pub(crate) fn is_list_char(byte: u8) -> bool {
    matches!(byte, b'%' | b'*') || is_astring_char(byte)
}

/// A character of a tag: an astring's, without `+`.
pub(crate) fn is_tag_char(byte: u8) -> bool {
    byte != b'+' && is_astring_char(byte)
}
