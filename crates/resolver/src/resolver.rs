//! Questions and what their answers mean: RFC 5321 §5.1, RFC 7505, RFC 2308.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use envelope::Domain;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use runtime::Runtime;
use thiserror::Error;

use crate::answer::{AddressAnswer, Mx, MxAnswer, TemporaryError};
use crate::limits::{
    ADDRESSES_MAX, CACHED_ANSWERS_MAX, CACHED_MAX, CACHED_NONE_MAX, MX_MAX, NAMES_MAX,
    QUESTION_TIMEOUT, QUESTIONS_MAX, RETRIES, TEXTS_MAX,
};
use crate::proving::{Dnssec, Proving};

/// The resolver cannot be set up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// `/etc/resolv.conf` cannot be used.
    #[error("the system's resolver settings cannot be used ({0}): set resolver.servers")]
    System(String),
    /// The file of trust anchors cannot be used.
    #[error("{0} holds no usable trust anchors (DNSKEY records): {1}")]
    Anchors(String, String),
    /// The library refuses the settings.
    #[error("the resolver cannot be set up: {0}")]
    Settings(String),
}

/// Asks for names. Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct Resolver {
    inner: TokioResolver,
    /// The same servers, with signatures.
    pub(crate) proving: Option<Arc<Proving>>,
}

/// What a question brought, when it brought something certain.
pub(crate) enum Found {
    Records(Lookup),
    Nothing,
    NxDomain,
}

impl Resolver {
    /// A resolver that asks `servers`, or those of the system when there are none.
    ///
    /// # Errors
    /// The system's settings cannot be read.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, SetupError> {
        let inner = asking(servers, None)?;
        Ok(Self {
            inner,
            proving: None,
        })
    }

    /// The same that looks at signatures too, for what asks for proof. Reads a file.
    ///
    /// # Errors
    /// As [`Resolver::new`], or the trust anchors cannot be read.
    pub fn proving(
        servers: &[SocketAddr],
        dnssec: &Dnssec,
        runtime: &Runtime,
    ) -> Result<Self, SetupError> {
        let proving = match dnssec {
            Dnssec::Off => None,
            Dnssec::WhereHandedOn => Some(Proving::new(servers, None, runtime.clone())?),
            Dnssec::On(anchors) => Some(Proving::new(servers, Some(anchors), runtime.clone())?),
        };
        Ok(Self {
            inner: asking(servers, None)?,
            proving: proving.map(Arc::new),
        })
    }

    /// The MX of a domain. CNAMEs are followed.
    ///
    /// # Errors
    /// Nothing is known now.
    ///
    /// # Cancel safety
    /// Dropping the future drops the question.
    pub async fn mx(&self, domain: &Domain) -> Result<MxAnswer, TemporaryError> {
        let found = self.ask(&domain.to_ascii(), RecordType::MX).await?;
        Ok(mx_answer(&found))
    }

    /// The addresses of a host, of both families.
    ///
    /// # Errors
    /// Nothing is known now. When one family's question fails, the other's
    /// addresses are given; that there is none needs both.
    ///
    /// # Cancel safety
    /// Dropping the future drops the questions.
    pub async fn addresses(&self, host: &str) -> Result<AddressAnswer, TemporaryError> {
        let (v6, v4) = tokio::join!(
            self.ask(host, RecordType::AAAA),
            self.ask(host, RecordType::A)
        );
        address_answer(v6, v4)
    }

    /// The TXT records of a name, each with its strings put together; none when there
    /// is none.
    ///
    /// # Errors
    /// Nothing is known now.
    ///
    /// # Cancel safety
    /// Dropping the future drops the question.
    pub async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, TemporaryError> {
        let Found::Records(lookup) = self.ask(name, RecordType::TXT).await? else {
            return Ok(Vec::new());
        };
        let texts = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(text) => Some(text.txt_data.concat()),
                _ => None,
            });
        Ok(texts.take(TEXTS_MAX).collect())
    }

    /// A name's IPv4 addresses; none when there is none. For lists that answer so (RFC 5782).
    ///
    /// # Errors
    /// Nothing is known now.
    ///
    /// # Cancel safety
    /// Dropping the future drops the question.
    pub async fn ipv4(&self, name: &str) -> Result<Vec<Ipv4Addr>, TemporaryError> {
        let Found::Records(lookup) = self.ask(name, RecordType::A).await? else {
            return Ok(Vec::new());
        };
        let addresses = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(address) => Some(address.0),
                _ => None,
            });
        Ok(addresses.take(ADDRESSES_MAX).collect())
    }

    /// The names of an address; none when there is none.
    ///
    /// # Errors
    /// Nothing is known now.
    ///
    /// # Cancel safety
    /// Dropping the future drops the question.
    pub async fn ptr(&self, ip: IpAddr) -> Result<Vec<String>, TemporaryError> {
        let name = Name::from(ip.to_canonical()).to_ascii();
        let Found::Records(lookup) = self.ask(&name, RecordType::PTR).await? else {
            return Ok(Vec::new());
        };
        let names = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::PTR(name) => Some(host_name(name)),
                _ => None,
            });
        Ok(names.take(NAMES_MAX).collect())
    }

    async fn ask(&self, name: &str, record: RecordType) -> Result<Found, TemporaryError> {
        ask(&self.inner, name, record).await
    }
}

/// Asks one question.
pub(crate) async fn ask(
    resolver: &TokioResolver,
    name: &str,
    record: RecordType,
) -> Result<Found, TemporaryError> {
    let temporary = |reason: String| TemporaryError {
        name: name.to_owned(),
        reason,
    };
    // A name that DNS cannot hold does not exist in it.
    let Ok(mut wanted) = Name::from_ascii(name) else {
        return Ok(Found::NxDomain);
    };
    // Never completed with the search list: `mx.example` is not `mx.example.our.domain`.
    wanted.set_fqdn(true);
    match resolver.lookup(wanted, record).await {
        Ok(lookup) => Ok(Found::Records(lookup)),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            ResponseCode::NXDomain => Ok(Found::NxDomain),
            // A server that points elsewhere instead of asking there knows nothing.
            ResponseCode::NoError if none.ns.is_some() && none.soa.is_none() => Err(temporary(
                "the name server does not resolve names for us".into(),
            )),
            ResponseCode::NoError => Ok(Found::Nothing),
            other => Err(temporary(other.to_string())),
        },
        Err(NetError::Dns(DnsError::DnssecBogus)) => {
            Err(temporary("its DNSSEC signatures are not good".into()))
        }
        Err(error) => Err(temporary(error.to_string())),
    }
}

pub(crate) fn mx_answer(found: &Found) -> MxAnswer {
    match found {
        Found::Records(lookup) => mx_of(lookup),
        Found::Nothing => MxAnswer::NoMx,
        Found::NxDomain => MxAnswer::NxDomain,
    }
}

pub(crate) fn address_answer(
    v6: Result<Found, TemporaryError>,
    v4: Result<Found, TemporaryError>,
) -> Result<AddressAnswer, TemporaryError> {
    let mut addresses = Vec::new();
    let mut exists = false;
    for found in [&v6, &v4] {
        if let Ok(Found::Records(lookup)) = found {
            let ips = lookup
                .answers()
                .iter()
                .filter_map(|record| record.data.ip_addr());
            addresses.extend(ips.take(ADDRESSES_MAX));
        }
        exists |= !matches!(found, Ok(Found::NxDomain));
    }
    if !addresses.is_empty() {
        return Ok(AddressAnswer::Addresses(addresses));
    }
    v6?;
    v4?;
    Ok(if exists {
        AddressAnswer::None
    } else {
        AddressAnswer::NxDomain
    })
}

/// What asks `servers`, or the system's; with trust anchors it validates.
pub(crate) fn asking(
    servers: &[SocketAddr],
    anchors: Option<Arc<TrustAnchors>>,
) -> Result<TokioResolver, SetupError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if servers.is_empty() {
        TokioResolver::builder(provider).map_err(|e| SetupError::System(e.to_string()))?
    } else {
        let servers = servers.iter().copied().map(server).collect();
        let config = ResolverConfig::from_name_servers(servers);
        let mut builder = TokioResolver::builder_with_config(config, provider);
        // Whoever names servers wants their answers, not those of a file.
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        builder
    };
    set_options(builder.options_mut());
    if let Some(anchors) = anchors {
        builder.options_mut().validate = true;
        builder = builder.with_trust_anchor(anchors);
    }
    builder
        .build()
        .map_err(|e| SetupError::Settings(e.to_string()))
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn set_options(options: &mut ResolverOpts) {
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = RETRIES;
    options.cache_size = CACHED_ANSWERS_MAX;
    options.positive_max_ttl = Some(CACHED_MAX);
    options.negative_max_ttl = Some(CACHED_NONE_MAX);
    options.max_active_requests = QUESTIONS_MAX;
    options.try_tcp_on_error = true;
}

fn mx_of(lookup: &Lookup) -> MxAnswer {
    let mut records = Vec::new();
    let mut null = false;
    for record in lookup.answers() {
        let RData::MX(mx) = &record.data else {
            continue;
        };
        // RFC 7505 §3: "." beside other hosts is a mistake and names no host.
        if mx.exchange.is_root() {
            null = true;
        } else {
            records.push(Mx {
                preference: mx.preference,
                host: host_name(&mx.exchange),
            });
        }
    }
    records.sort();
    records.dedup();
    records.truncate(MX_MAX);
    match (records.is_empty(), null) {
        (false, _) => MxAnswer::Records(records),
        (true, true) => MxAnswer::NullMx,
        (true, false) => MxAnswer::NoMx,
    }
}

fn host_name(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}
