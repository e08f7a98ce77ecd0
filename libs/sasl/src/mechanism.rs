//! The mechanisms, and which of them a connection offers now.
//!
//! A mechanism that cannot work is not offered (RFC 4422 §3.2 leaves the choice
//! to the server): SCRAM needs stored keys, its `-PLUS` forms a binding to this
//! very TLS session, EXTERNAL a client's certificate, tokens an issuer, CRAM-MD5
//! passwords that can be read back.

use crate::binding::Binding;
use crate::scram::Hash;
use std::sync::Arc;

/// Whether a SCRAM mechanism binds itself to the TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `SCRAM-…`.
    No,
    /// `SCRAM-…-PLUS` (RFC 5802 §6).
    Plus,
}

/// A mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 5802, RFC 7677 and draft-melnikov-scram-sha-512.
    Scram(Hash, Bound),
    /// RFC 4616.
    Plain,
    /// The draft that never became an RFC and that every client speaks.
    Login,
    /// RFC 4422 appendix A: the certificate of the TLS session says who it is.
    External,
    /// RFC 7628: a bearer token.
    OauthBearer,
    /// Its elder, never a standard.
    XOauth2,
    /// RFC 2195.
    CramMd5,
}

impl Mechanism {
    /// All, in the order in which they are offered: what protects the password
    /// best comes first, because some clients take the first one that they know.
    pub const ALL: [Self; 12] = [
        Self::Scram(Hash::Sha512, Bound::Plus),
        Self::Scram(Hash::Sha256, Bound::Plus),
        Self::Scram(Hash::Sha1, Bound::Plus),
        Self::Scram(Hash::Sha512, Bound::No),
        Self::Scram(Hash::Sha256, Bound::No),
        Self::Scram(Hash::Sha1, Bound::No),
        Self::Plain,
        Self::Login,
        Self::External,
        Self::OauthBearer,
        Self::XOauth2,
        // Last: whoever has anything else should take that.
        Self::CramMd5,
    ];

    /// Finds a mechanism by its name in any case.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::External => "EXTERNAL",
            Self::OauthBearer => "OAUTHBEARER",
            Self::XOauth2 => "XOAUTH2",
            Self::CramMd5 => "CRAM-MD5",
            Self::Scram(hash, Bound::No) => hash.mechanism(),
            Self::Scram(Hash::Sha1, Bound::Plus) => "SCRAM-SHA-1-PLUS",
            Self::Scram(Hash::Sha256, Bound::Plus) => "SCRAM-SHA-256-PLUS",
            Self::Scram(Hash::Sha512, Bound::Plus) => "SCRAM-SHA-512-PLUS",
        }
    }
}

/// What a connection offers in its present state. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    passwords: bool,
    scram: bool,
    bindings: Option<Arc<[Binding]>>,
    certificate: Option<Arc<[String]>>,
    tokens: bool,
    digests: bool,
}

impl Offer {
    /// Nothing: the connection is not private enough, or nobody logs in here.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// PLAIN and LOGIN.
    #[must_use]
    pub fn passwords() -> Self {
        Self {
            passwords: true,
            ..Self::default()
        }
    }

    /// SCRAM too, with its `-PLUS` forms where there are bindings.
    #[must_use]
    pub fn with_scram(mut self, bindings: Vec<Binding>) -> Self {
        self.scram = true;
        self.bindings = (!bindings.is_empty()).then(|| bindings.into());
        self
    }

    /// EXTERNAL too, where the client has shown a good certificate that names
    /// mail addresses: these.
    #[must_use]
    pub fn with_certificate(mut self, names: Vec<String>) -> Self {
        self.certificate = (!names.is_empty()).then(|| names.into());
        self
    }

    /// OAUTHBEARER and XOAUTH2 too: there is an issuer whose tokens are taken.
    #[must_use]
    pub fn with_tokens(mut self) -> Self {
        self.tokens = true;
        self
    }

    /// CRAM-MD5 too, and APOP where a protocol has it.
    #[must_use]
    pub fn with_digests(mut self) -> Self {
        self.digests = true;
        self
    }

    /// Whether CRAM-MD5 and APOP are offered.
    #[must_use]
    pub fn has_digests(&self) -> bool {
        self.digests
    }

    /// The mechanisms, in the order in which they are to be named.
    pub fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL
            .into_iter()
            .filter(|&mechanism| self.contains(mechanism))
    }

    /// Their names behind each other, with `prefix` before each and a blank between.
    #[must_use]
    pub fn names(&self, prefix: &str) -> String {
        let names: Vec<String> = self
            .mechanisms()
            .map(|mechanism| format!("{prefix}{}", mechanism.name()))
            .collect();
        names.join(" ")
    }

    /// True if nothing is offered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mechanisms().next().is_none()
    }

    /// The mechanism of this name, in any case, if it is offered.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<Mechanism> {
        Mechanism::parse(name).filter(|&mechanism| self.contains(mechanism))
    }

    /// Whether a mechanism is offered.
    #[must_use]
    pub fn contains(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Plain | Mechanism::Login => self.passwords,
            Mechanism::Scram(_, Bound::No) => self.scram,
            Mechanism::Scram(_, Bound::Plus) => self.scram && self.bindings.is_some(),
            Mechanism::External => self.certificate.is_some(),
            Mechanism::OauthBearer | Mechanism::XOauth2 => self.tokens,
            Mechanism::CramMd5 => self.digests,
        }
    }

    /// Whom the client's certificate names.
    pub(crate) fn certificate(&self) -> Option<Arc<[String]>> {
        self.certificate.clone()
    }

    /// What a client may bind itself to.
    pub(crate) fn bindings(&self) -> Option<Arc<[Binding]>> {
        self.bindings.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::BindingKind;

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Mechanism::parse(b"pLaIn"), Some(Mechanism::Plain));
        assert_eq!(Mechanism::parse(b"LOGIN"), Some(Mechanism::Login));
        assert_eq!(
            Mechanism::parse(b"scram-sha-256-plus"),
            Some(Mechanism::Scram(Hash::Sha256, Bound::Plus))
        );
        assert_eq!(Mechanism::parse(b"GSSAPI"), None);
        assert_eq!(Mechanism::parse(b"DIGEST-MD5"), None);
        for mechanism in Mechanism::ALL {
            assert_eq!(
                Mechanism::parse(mechanism.name().as_bytes()),
                Some(mechanism)
            );
        }
    }

    #[test]
    fn each_is_offered_only_where_it_can_work() {
        assert!(Offer::nothing().is_empty());
        assert_eq!(Offer::passwords().names(""), "PLAIN LOGIN");
        let scram = Offer::passwords().with_scram(Vec::new());
        assert_eq!(
            scram.names("AUTH="),
            "AUTH=SCRAM-SHA-512 AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1 AUTH=PLAIN AUTH=LOGIN"
        );
        assert_eq!(scram.find(b"SCRAM-SHA-1-PLUS"), None);
        let binding = Binding::new(BindingKind::TlsExporter, vec![1; 32]);
        let bound = scram.with_scram(vec![binding]);
        assert!(!bound.contains(Mechanism::External));
        assert!(
            !bound
                .clone()
                .with_certificate(Vec::new())
                .contains(Mechanism::External)
        );
        assert!(!bound.contains(Mechanism::OauthBearer) && !bound.has_digests());
        let all = bound.with_certificate(vec!["bob@demo.test".into()]);
        let all = all.with_tokens().with_digests();
        assert_eq!(all.mechanisms().count(), Mechanism::ALL.len());
        assert_eq!(Offer::nothing().find(b"PLAIN"), None);
    }
}
