//! The port for names: what `resolver` does, exchangeable in tests.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use resolver::{AddressAnswer, Resolver, TemporaryError};

use super::BoxFuture;

/// Asks the DNS. Answers are kept by who is behind it, as long as they say.
pub trait Names: fmt::Debug + Send + Sync {
    /// The names of an address; none when there is none.
    ///
    /// # Errors
    /// Nothing is known now.
    fn ptr(&self, ip: IpAddr) -> BoxFuture<'_, Result<Vec<String>, TemporaryError>>;

    /// A host's addresses of both families.
    ///
    /// # Errors
    /// Nothing is known now.
    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<AddressAnswer, TemporaryError>>;

    /// A name's IPv4 addresses, as lists answer; none when there is none.
    ///
    /// # Errors
    /// Nothing is known now.
    fn ipv4<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Ipv4Addr>, TemporaryError>>;
}

impl Names for Resolver {
    fn ptr(&self, ip: IpAddr) -> BoxFuture<'_, Result<Vec<String>, TemporaryError>> {
        Box::pin(Self::ptr(self, ip))
    }

    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<AddressAnswer, TemporaryError>> {
        Box::pin(Self::addresses(self, host))
    }

    fn ipv4<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Ipv4Addr>, TemporaryError>> {
        Box::pin(Self::ipv4(self, name))
    }
}
