//! The port for names: what `resolver` does, exchangeable in tests.

use std::net::IpAddr;

use envelope::Domain;
use resolver::{AddressAnswer, MxAnswer, Proved, Resolver, TemporaryError};
use tls_policy::Tlsa;

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

    /// The names of an address; by itself none.
    fn ptr(&self, _: IpAddr) -> BoxFuture<'_, Result<Vec<String>, TemporaryError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// [`Dns::mx`], and whether DNSSEC proves that; by itself never.
    fn proved_mx<'a>(
        &'a self,
        domain: &'a Domain,
    ) -> BoxFuture<'a, Result<Proved<MxAnswer>, TemporaryError>> {
        Box::pin(async { self.mx(domain).await.map(unproved) })
    }

    /// [`Dns::addresses`], and whether DNSSEC proves that; by itself never.
    fn proved_addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<Proved<AddressAnswer>, TemporaryError>> {
        Box::pin(async { self.addresses(host).await.map(unproved) })
    }

    /// The TLSA records of a host's port that DNSSEC proves; by itself none.
    fn tlsa<'a>(
        &'a self,
        _port: u16,
        _host: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Tlsa>, TemporaryError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

fn unproved<T>(answer: T) -> Proved<T> {
    Proved {
        answer,
        secure: false,
    }
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

    fn ptr(&self, ip: IpAddr) -> BoxFuture<'_, Result<Vec<String>, TemporaryError>> {
        Box::pin(Self::ptr(self, ip))
    }

    fn proved_mx<'a>(
        &'a self,
        domain: &'a Domain,
    ) -> BoxFuture<'a, Result<Proved<MxAnswer>, TemporaryError>> {
        Box::pin(Self::proved_mx(self, domain))
    }

    fn proved_addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<Proved<AddressAnswer>, TemporaryError>> {
        Box::pin(Self::proved_addresses(self, host))
    }

    fn tlsa<'a>(
        &'a self,
        port: u16,
        host: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Tlsa>, TemporaryError>> {
        Box::pin(Self::tlsa(self, port, host))
    }
}
