//! The port for names: what `resolver` does, exchangeable in tests.

use envelope::Domain;
use resolver::{AddressAnswer, MxAnswer, Resolver, TemporaryError};

use crate::BoxFuture;

/// Asks for names.
pub trait Dns: Send + Sync {
    /// The MX of a domain.
    fn mx<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, Result<MxAnswer, TemporaryError>>;

    /// A host's addresses of both families.
    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<AddressAnswer, TemporaryError>>;
}

impl Dns for Resolver {
    fn mx<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, Result<MxAnswer, TemporaryError>> {
        Box::pin(Self::mx(self, domain))
    }

    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<AddressAnswer, TemporaryError>> {
        Box::pin(Self::addresses(self, host))
    }
}
