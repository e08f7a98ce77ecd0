//! TLS configurations: TLS 1.2 and 1.3, post-quantum key exchange preferred, session tickets on.
//!
//! What is not here: where certificates come from (`certs`), whether a peer must have a good one (`deliver`).

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use sasl::{Binding, BindingKind};
use tls_policy::Tlsa;
use tokio_rustls::TlsStream;

use crate::dane::Dane;
use crate::limits;
use crate::x509::mail_names;

pub use crate::x509::end_point_hash;

/// The hashes of a server's certificates that clients may bind a login to
/// (`tls-server-end-point`, RFC 5929 §4): of the one in use, and of those that
/// sessions which are resumed may still go by.
pub trait EndPoints: std::fmt::Debug + Send + Sync {
    /// The hashes as they are now.
    fn hashes(&self) -> Vec<Vec<u8>>;
}

/// The server's side: certificates by name, protocols by ALPN. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    end_points: Option<Arc<dyn EndPoints>>,
}

impl ServerTls {
    /// With certificates from `certificates`, which may change them while sessions run.
    ///
    /// # Errors
    /// When the cryptographic library refuses its own defaults: a broken build.
    pub fn new(certificates: Arc<dyn ResolvesServerCert>) -> Result<Self, rustls::Error> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        Self::finish(config, None)
    }

    /// The same that asks clients for a certificate of one of `authorities`. A client
    /// without one is welcome; one with a bad one is refused in the handshake.
    ///
    /// # Errors
    /// When there is no authority, or as [`ServerTls::new`].
    pub fn asking_for_certificates(
        &self,
        authorities: RootCertStore,
    ) -> Result<Self, rustls::Error> {
        let verifier = WebPkiClientVerifier::builder_with_provider(authorities.into(), provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.config.cert_resolver.clone());
        config.alpn_protocols = self.config.alpn_protocols.clone();
        Self::finish(config, self.end_points.clone())
    }

    fn finish(
        mut config: ServerConfig,
        end_points: Option<Arc<dyn EndPoints>>,
    ) -> Result<Self, rustls::Error> {
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        config.session_storage =
            rustls::server::ServerSessionMemoryCache::new(limits::TLS_SESSIONS_MAX);
        Ok(Self {
            config: Arc::new(config),
            end_points,
        })
    }

    /// The same whose clients may bind a login to the certificate.
    #[must_use]
    pub fn with_end_points(mut self, end_points: Arc<dyn EndPoints>) -> Self {
        self.end_points = Some(end_points);
        self
    }

    /// The same for one protocol: a client that names others by ALPN (RFC 7301) is refused, one that names
    /// none is welcome. This keeps a browser from talking to a mail port and the other way round.
    #[must_use]
    pub fn with_alpn(&self, protocols: &[&str]) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = named(protocols);
        Self {
            config: Arc::new(config),
            end_points: self.end_points.clone(),
        }
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    pub(crate) fn end_points(&self) -> Option<Arc<dyn EndPoints>> {
        self.end_points.clone()
    }
}

/// The client's side. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Takes whatever certificate the peer shows: better than clear text, and no more than that
    /// (opportunistic security, RFC 7435). The handshake's signatures are still checked.
    ///
    /// # Errors
    /// When the cryptographic library refuses its own defaults: a broken build.
    pub fn opportunistic() -> Result<Self, rustls::Error> {
        let provider = provider();
        let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
        Self::checked_by(verifier, provider)
    }

    fn checked_by(
        verifier: Arc<dyn ServerCertVerifier>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Takes only certificates that lead to one of `roots` and name the server.
    ///
    /// # Errors
    /// When the cryptographic library refuses its own defaults: a broken build.
    pub fn verifying(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// As [`ClientTls::verifying`], showing a certificate of our own where the server
    /// asks for one.
    ///
    /// # Errors
    /// When the key does not go with the certificate, or as above.
    pub fn verifying_as(
        roots: RootCertStore,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Takes only certificates that lead to one of the roots that this machine trusts, and name the server.
    /// Reads files. `None` when the machine has no roots.
    ///
    /// # Errors
    /// When the cryptographic library refuses its own defaults: a broken build.
    pub fn verifying_by_system() -> Result<Option<Self>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        // What cannot be read or parsed is one root less, and fails only those who need it.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Ok(None);
        }
        Self::verifying(roots).map(Some)
    }

    /// Takes only certificates that `records` are about (RFC 7672 §3.1): where those
    /// name an issuer, the server's must name one of `names` too.
    ///
    /// # Errors
    /// When the cryptographic library refuses its own defaults: a broken build.
    pub fn by_dane(records: Vec<Tlsa>, names: &[String]) -> Result<Self, rustls::Error> {
        let provider = provider();
        let verifier = Arc::new(Dane::new(records, names, provider.clone()));
        Self::checked_by(verifier, provider)
    }

    /// The same, and says what it speaks (RFC 7301). A server that speaks none of it
    /// ends the handshake.
    #[must_use]
    pub fn with_alpn(&self, protocols: &[&str]) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = named(protocols);
        Self {
            config: Arc::new(config),
        }
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    pub(crate) fn server_name(name: &str) -> io::Result<ServerName<'static>> {
        let name = name.trim_end_matches('.').to_owned();
        ServerName::try_from(name)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }
}

/// The mail addresses that the client's certificate names; a certificate that is
/// there was found good in the handshake.
pub(crate) fn client_names<S>(stream: &TlsStream<S>) -> Vec<String> {
    let TlsStream::Server(server) = stream else {
        return Vec::new();
    };
    let chain = server.get_ref().1.peer_certificates();
    let leaf = chain.and_then(|chain| chain.first());
    leaf.map(|leaf| mail_names(leaf)).unwrap_or_default()
}

/// What a client may bind its login to in this session.
pub(crate) fn bindings<S>(
    stream: &TlsStream<S>,
    end_points: Option<&dyn EndPoints>,
) -> Vec<Binding> {
    let (_, session) = stream.get_ref();
    let mut bindings = Vec::new();
    // RFC 9266 §3: TLS 1.3 alone has it for certain; before, it would need an
    // extended master secret, and rustls does not tell whether there is one.
    if session.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3) {
        let exported = match stream {
            TlsStream::Server(server) => exporter(server.get_ref().1),
            TlsStream::Client(client) => exporter(client.get_ref().1),
        };
        bindings.extend(exported.map(|data| Binding::new(BindingKind::TlsExporter, data)));
    }
    let hashes = end_points.map(EndPoints::hashes).unwrap_or_default();
    let end_point = |hash| Binding::new(BindingKind::TlsServerEndPoint, hash);
    bindings.extend(hashes.into_iter().map(end_point));
    bindings
}

/// RFC 9266 §2: 32 bytes, this label, an empty context.
fn exporter<D>(session: &rustls::ConnectionCommon<D>) -> Option<Vec<u8>> {
    let data = vec![0; 32];
    session
        .export_keying_material(data, b"EXPORTER-Channel-Binding", Some(b""))
        .ok()
}

/// What a handshake agreed on; goes into Received fields and the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLS1.2` or `TLS1.3`.
    pub version: &'static str,
    /// The cipher suite's name, such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// The protocol agreed by ALPN, when there was one.
    pub alpn: Option<String>,
    /// The name the client asked for (SNI), or that we asked for.
    pub server_name: Option<String>,
}

impl TlsInfo {
    pub(crate) fn of<S>(stream: &TlsStream<S>) -> Self {
        let (_, session) = stream.get_ref();
        let server_name = match stream {
            TlsStream::Server(server) => server.get_ref().1.server_name().map(str::to_owned),
            TlsStream::Client(_) => None,
        };
        Self {
            version: match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLS1.3",
                _ => "TLS1.2",
            },
            cipher: session
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown"),
            alpn: session
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            server_name,
        }
    }
}

/// What is wrong with the certificate, if that is why a handshake failed.
#[must_use]
pub fn certificate_fault(error: &io::Error) -> Option<&rustls::CertificateError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(fault) => Some(fault),
        _ => None,
    }
}

/// What is wrong with a certificate, in the words of TLS reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateTrouble {
    /// It is for other names.
    OtherName,
    /// Its time is over, or has not come.
    Expired,
    /// Nobody that is trusted has signed it, or it was taken back.
    NotTrusted,
    /// Something else.
    Other,
}

/// What is wrong with the certificate, if that is why a handshake failed.
#[must_use]
pub fn certificate_trouble(error: &io::Error) -> Option<CertificateTrouble> {
    use rustls::CertificateError as Fault;
    Some(match certificate_fault(error)? {
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
            CertificateTrouble::OtherName
        }
        Fault::Expired
        | Fault::ExpiredContext { .. }
        | Fault::NotValidYet
        | Fault::NotValidYetContext { .. } => CertificateTrouble::Expired,
        Fault::UnknownIssuer | Fault::Revoked | Fault::BadSignature => {
            CertificateTrouble::NotTrusted
        }
        _ => CertificateTrouble::Other,
    })
}

/// The cryptography used everywhere.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Protocols as ALPN names them.
fn named(protocols: &[&str]) -> Vec<Vec<u8>> {
    let bytes = |protocol: &&str| protocol.as_bytes().to_vec();
    protocols.iter().map(bytes).collect()
}
