//! The extensions that scripts require by name, and which of them are offered where.

/// An extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // their names say it; [`TABLE`] has the RFCs
pub enum Extension {
    FileInto,
    Envelope,
    EncodedCharacter,
    Octet,
    AsciiCasemap,
    AsciiNumeric,
    UnicodeCasemap,
    Reject,
    Ereject,
    Copy,
    Relational,
    Subaddress,
    Variables,
    Imap4Flags,
    Body,
    Date,
    Index,
    Mailbox,
    MboxMetadata,
    ServerMetadata,
    Environment,
    ImapSieve,
    Include,
    Vacation,
    VacationSeconds,
    EditHeader,
    Mime,
    ForEveryPart,
    ExtractText,
    Duplicate,
    SpecialUse,
    Fcc,
    Ihave,
    Regex,
    Enotify,
    SpamTest,
    SpamTestPlus,
    VirusTest,
    ExtLists,
}

use Extension as E;

/// Each extension with the name that `require` has.
pub(crate) const TABLE: &[(&str, Extension)] = &[
    // RFC 5228
    ("fileinto", E::FileInto),
    ("envelope", E::Envelope),
    ("encoded-character", E::EncodedCharacter),
    ("comparator-i;octet", E::Octet),
    ("comparator-i;ascii-casemap", E::AsciiCasemap),
    // RFC 4790 §9.1, RFC 5051
    ("comparator-i;ascii-numeric", E::AsciiNumeric),
    ("comparator-i;unicode-casemap", E::UnicodeCasemap),
    // RFC 5429
    ("reject", E::Reject),
    ("ereject", E::Ereject),
    // RFC 3894
    ("copy", E::Copy),
    // RFC 5231
    ("relational", E::Relational),
    // RFC 5233
    ("subaddress", E::Subaddress),
    // RFC 5229
    ("variables", E::Variables),
    // RFC 5232
    ("imap4flags", E::Imap4Flags),
    // RFC 5173
    ("body", E::Body),
    // RFC 5260
    ("date", E::Date),
    ("index", E::Index),
    // RFC 5490
    ("mailbox", E::Mailbox),
    ("mboxmetadata", E::MboxMetadata),
    ("servermetadata", E::ServerMetadata),
    // RFC 5183
    ("environment", E::Environment),
    // RFC 6785
    ("imapsieve", E::ImapSieve),
    // RFC 6609
    ("include", E::Include),
    // RFC 5230, RFC 6131
    ("vacation", E::Vacation),
    ("vacation-seconds", E::VacationSeconds),
    // RFC 5293
    ("editheader", E::EditHeader),
    // RFC 5703
    ("mime", E::Mime),
    ("foreverypart", E::ForEveryPart),
    ("extracttext", E::ExtractText),
    // RFC 7352
    ("duplicate", E::Duplicate),
    // RFC 8579
    ("special-use", E::SpecialUse),
    // RFC 8580
    ("fcc", E::Fcc),
    // RFC 5463
    ("ihave", E::Ihave),
    // draft-ietf-sieve-regex
    ("regex", E::Regex),
    // RFC 5435
    ("enotify", E::Enotify),
    // RFC 5235
    ("spamtest", E::SpamTest),
    ("spamtestplus", E::SpamTestPlus),
    ("virustest", E::VirusTest),
    // RFC 6134
    ("extlists", E::ExtLists),
];

impl Extension {
    /// What only has a meaning while mail is delivered (RFC 6785 §3.11).
    pub(crate) const OF_DELIVERY: [Self; 3] = [Self::Reject, Self::Ereject, Self::Vacation];

    /// The extension of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|(of, _)| *of == name)
            .map(|(_, extension)| *extension)
    }

    /// The name that `require` has.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = TABLE.iter().find(|(_, extension)| *extension == self);
        found.map_or("", |(name, _)| name)
    }
}

/// Some of the extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions(u64);

impl Extensions {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// All that this crate knows.
    #[must_use]
    pub fn all() -> Self {
        TABLE
            .iter()
            .fold(Self::NONE, |all, (_, one)| all.with(*one))
    }

    /// What scripts may require where nothing else is said: all but what needs the caller to have spam
    /// verdicts or lists.
    #[must_use]
    pub fn offered() -> Self {
        let all = Self::all();
        [E::SpamTest, E::SpamTestPlus, E::VirusTest, E::ExtLists]
            .into_iter()
            .fold(all, Self::without)
    }

    /// What scripts may require behind IMAP commands.
    ///
    /// RFC 6785 §3.11: what is delivered no more is neither refused nor answered, "their appearance in the "require"
    /// control … MUST result in an error condition". Nothing there notifies or remembers what it has seen either, and a
    /// copy belongs to what is answered or notified. An envelope test fails when it is met (§4.6), so that one script can
    /// serve both places.
    #[must_use]
    pub fn behind_commands() -> Self {
        [
            E::Reject,
            E::Ereject,
            E::Vacation,
            E::VacationSeconds,
            E::Enotify,
            E::Fcc,
            E::Duplicate,
        ]
        .into_iter()
        .fold(Self::offered(), Self::without)
    }

    /// With one more.
    #[must_use]
    pub const fn with(self, extension: Extension) -> Self {
        Self(self.0 | 1 << extension as u64)
    }

    /// With one less.
    #[must_use]
    pub const fn without(self, extension: Extension) -> Self {
        Self(self.0 & !(1 << extension as u64))
    }

    /// Is this one among them?
    #[must_use]
    pub const fn has(self, extension: Extension) -> bool {
        self.0 & (1 << extension as u64) != 0
    }

    /// Those of `self` and of `other`.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Their names, in the order of the table.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let here = TABLE
            .iter()
            .filter(move |(_, extension)| self.has(*extension));
        here.map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_extension_has_one_name_and_one_bit() {
        assert_eq!(TABLE.len(), E::ExtLists as usize + 1);
        for (name, extension) in TABLE {
            assert_eq!(Extension::of_name(name), Some(*extension));
            assert_eq!(extension.name(), *name);
        }
        assert_eq!(Extensions::all().names().count(), TABLE.len());
        assert!(!Extensions::offered().has(E::ExtLists));
    }
}
