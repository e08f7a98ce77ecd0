//! The verifier: from a token's text to the name that the issuer vouches for.

use crate::claims;
use crate::discovery::Discovery;
use crate::jwks::KeySet;
use crate::jwt::Token;
use crate::keeper::{Keeper, Source};
use crate::limits::DOCUMENT_BYTES_MAX;
use directory::{BoxFuture, TokenRefusal, Tokens};
use https::Https;
use resolver::Resolver;
use runtime::Runtime;
use runtime::tls::ClientTls;
use sasl::Secret;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Who issues tokens, and which are good here.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its identifier, an https address; `iss` must be exactly this.
    pub issuer: String,
    /// `aud` must name one of these.
    pub audiences: Vec<String>,
    /// The claim that says whose token it is.
    pub claim: String,
    /// Where the claim is `email`: only with `email_verified`.
    pub verified_only: bool,
    /// The scopes that a token must have, with blanks between.
    pub scope: String,
    /// Where its keys are.
    pub keys: Keys,
}

/// Where an issuer's keys come from.
#[derive(Clone)]
pub enum Keys {
    /// From itself.
    Issuer(Box<Resolver>),
    /// From a file with a JWK Set.
    File(PathBuf),
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(_) => f.write_str("Issuer"),
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
        }
    }
}

/// Why there is no verifier.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The file of keys is not there or none.
    #[error("the keys in {file}: {reason}")]
    File {
        /// Which.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// This machine trusts no authority.
    #[error(
        "this machine has no certificates of authorities to know the issuer by; set oauth.jwks, or install ca-certificates"
    )]
    NoRoots,
    /// A broken build.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Checks the tokens of one issuer.
#[derive(Debug)]
pub struct Verifier {
    issuer: Issuer,
    configuration: String,
    keeper: Keeper,
    runtime: Runtime,
}

impl Verifier {
    /// A verifier. Reads the file of keys, or those of the authorities that this
    /// machine trusts; asks nobody yet.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(issuer: Issuer, runtime: &Runtime) -> Result<Self, SetupError> {
        let base = issuer.issuer.trim_end_matches('/');
        let configuration = format!("{base}/.well-known/openid-configuration");
        let source: Box<dyn Source> = match &issuer.keys {
            Keys::File(file) => {
                let checked = read_keys(file).and_then(|document| KeySet::parse(&document));
                checked.map_err(|reason| SetupError::File {
                    file: file.display().to_string(),
                    reason,
                })?;
                Box::new(KeyFile {
                    file: file.clone(),
                    runtime: runtime.clone(),
                })
            }
            Keys::Issuer(resolver) => Box::new(Discovery {
                issuer: issuer.issuer.clone(),
                configuration: configuration.clone(),
                https: Https::new(
                    Resolver::clone(resolver),
                    ClientTls::verifying_by_system()
                        .map_err(|error| SetupError::Tls(error.to_string()))?
                        .ok_or(SetupError::NoRoots)?,
                    runtime.clone(),
                ),
            }),
        };
        Ok(Self::with_source(issuer, configuration, source, runtime))
    }

    pub(crate) fn with_source(
        issuer: Issuer,
        configuration: String,
        source: Box<dyn Source>,
        runtime: &Runtime,
    ) -> Self {
        Self {
            issuer,
            configuration,
            keeper: Keeper::new(source, runtime.clone()),
            runtime: runtime.clone(),
        }
    }

    /// Asks for the keys, so that the first login finds them; what goes wrong is in
    /// the log.
    pub async fn warm_up(&self) {
        let _ = self.keeper.keys(None).await;
    }

    async fn check_token(&self, token: &Secret) -> Result<String, TokenRefusal> {
        let token = Token::parse(token.expose()).map_err(TokenRefusal::Invalid)?;
        let keys = self.keeper.keys(token.kid.as_deref()).await;
        let mut keys = keys.map_err(TokenRefusal::Unavailable)?;
        if token.kid.is_none() && !keys.have_signed(&token) {
            let newer = self.keeper.newer_than(&keys).await;
            keys = newer.map_err(TokenRefusal::Unavailable)?;
        }
        if !keys.have_signed(&token) {
            let reason = match &token.kid {
                Some(kid) if !keys.may_have(Some(kid)) => format!("the issuer has no key {kid:?}"),
                _ => "its signature is wrong".to_owned(),
            };
            return Err(TokenRefusal::Invalid(reason));
        }
        let now = self.runtime.now().unix_seconds();
        claims::check(&token.claims, &self.issuer, now)
    }
}

impl Tokens for Verifier {
    fn scope(&self) -> &str {
        &self.issuer.scope
    }

    fn configuration(&self) -> &str {
        &self.configuration
    }

    fn check<'a>(&'a self, token: &'a Secret) -> BoxFuture<'a, Result<String, TokenRefusal>> {
        Box::pin(self.check_token(token))
    }
}

/// A file that is read again when a token has a key that it did not have.
#[derive(Debug)]
struct KeyFile {
    file: PathBuf,
    runtime: Runtime,
}

impl Source for KeyFile {
    fn load(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let file = self.file.clone();
        let read = self.runtime.blocking(move || {
            read_keys(&file).map_err(|reason| format!("{}: {reason}", file.display()))
        });
        Box::pin(read)
    }
}

fn read_keys(file: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(file).map_err(|error| error.to_string())?;
    let mut document = Vec::new();
    let max = DOCUMENT_BYTES_MAX as u64;
    let read = file.take(max + 1).read_to_end(&mut document);
    read.map_err(|error| error.to_string())?;
    if document.len() as u64 > max {
        return Err(format!("it is longer than {max} bytes"));
    }
    Ok(document)
}
