//! Channel bindings: what proves that both ends speak over the same TLS session.
//!
//! Which of them there are is the shell's to say: it has the session. Not here:
//! `tls-unique` (RFC 5929 §3), which TLS 1.3 does not have and which old
//! sessions can be made to share.

use core::fmt;
use subtle::ConstantTimeEq;

/// A kind of binding, by its registered name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingKind {
    /// RFC 9266: a value that only this session's ends can work out.
    TlsExporter,
    /// RFC 5929 §4: the hash of the server's certificate.
    TlsServerEndPoint,
}

impl BindingKind {
    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsExporter => "tls-exporter",
            Self::TlsServerEndPoint => "tls-server-end-point",
        }
    }

    /// The kind with this name (RFC 5802 §7: names are compared exactly).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::TlsExporter, Self::TlsServerEndPoint]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A value that a client may bind itself to. There may be several of a kind: a
/// resumed session goes with the certificate that was in use when it began.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    kind: BindingKind,
    data: Vec<u8>,
}

impl Binding {
    /// A binding's kind and its data.
    #[must_use]
    pub fn new(kind: BindingKind, data: Vec<u8>) -> Self {
        Self { kind, data }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> BindingKind {
        self.kind
    }

    /// Whether a client named exactly this.
    #[must_use]
    pub fn matches(&self, kind: BindingKind, data: &[u8]) -> bool {
        self.kind == kind && bool::from(self.data.ct_eq(data))
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Binding").field(&self.kind).finish()
    }
}
