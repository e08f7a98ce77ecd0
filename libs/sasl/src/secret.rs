//! Secrets that are wiped when dropped, and what a client claims with them.

use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password. `Debug` never shows it; the memory is wiped when it is dropped.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of a password's text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The password itself: the one place where it leaves.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

/// Compares without saying by its time how much is equal.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a client says who it is, with the proof still to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whom the client wants to act as; `None` when it is the one who logs in
    /// (absent, or equal to the login).
    pub authorization: Option<String>,
    /// The login as it was sent.
    pub login: String,
    /// The password as it was sent, not yet [prepared](crate::prepare).
    pub password: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_password() {
        let credentials = Credentials {
            authorization: None,
            login: "tim".into(),
            password: Secret::from("tanstaaftanstaaf"),
        };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("tim"));
        assert!(!shown.contains("tanstaaf"), "{shown}");
    }

    #[test]
    fn secrets_compare_by_value() {
        assert_eq!(Secret::from("a"), Secret::from("a"));
        assert_ne!(Secret::from("a"), Secret::from("b"));
        assert_ne!(Secret::from("a"), Secret::from("aa"));
    }
}
