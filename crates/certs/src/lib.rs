//! Certificates: made on first start, loaded, reloaded.
//!
//! A short tour: [`Certificates::open`] loads the configured pair of PEM files, or the self-signed pair in the data
//! folder, which it makes when it is not there. [`Certificates::server_tls`] gives what listeners need.
//! [`Certificates::reload`] (on SIGHUP) and [`Certificates::watch`] (when the files change) put a new pair in place
//! for new handshakes; sessions that run keep theirs. A pair that cannot be used is reported and the old one stays.
//!
//! What is not here: ACME and DANE.
//!
//! Invariants: the private key's file is readable by its owner alone; the data folder has both files of a
//! self-signed pair or neither (the key is written first, and a key without certificate is replaced).

mod limits;
mod self_signed;

pub use self_signed::files as self_signed_files;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};
use runtime::tls::{EndPoints, ServerTls, end_point_hash};
use runtime::{Runtime, Task};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A file cannot be read or written.
    #[error("cannot use {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not a usable PEM file: {problem}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The two files do not belong together, or the key's kind is unknown.
    #[error("the key in {} does not go with its certificate: {problem}", path.display())]
    Mismatch {
        /// The key's file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A self-signed certificate could not be made.
    #[error("cannot make a self-signed certificate for {hostname}: {problem}")]
    SelfSigned {
        /// For whom.
        hostname: String,
        /// What is wrong.
        problem: String,
    },
    /// TLS cannot be set up at all.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Where the pair is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// PEM file of the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// The pair in use, which can be changed while sessions run.
pub struct Certificates {
    files: Files,
    seen: Mutex<[Option<SystemTime>; 2]>,
    pair: Arc<Pair>,
}

#[derive(Debug)]
struct Pair {
    current: RwLock<Arc<CertifiedKey>>,
    /// What logins may be bound to: the certificate in use, then the one before,
    /// which resumed sessions go by.
    end_points: RwLock<Vec<Vec<u8>>>,
}

impl Pair {
    fn new(pair: CertifiedKey) -> Self {
        Self {
            end_points: RwLock::new(end_point_of(&pair).into_iter().collect()),
            current: RwLock::new(Arc::new(pair)),
        }
    }

    fn set(&self, pair: CertifiedKey) {
        let hash = end_point_of(&pair);
        let mut end_points = self.end_points.write();
        if hash.as_ref() != end_points.first() {
            let before = end_points.first().cloned();
            *end_points = hash.into_iter().chain(before).collect();
        }
        *self.current.write() = Arc::new(pair);
    }
}

fn end_point_of(pair: &CertifiedKey) -> Option<Vec<u8>> {
    end_point_hash(pair.cert.first()?)
}

impl EndPoints for Pair {
    fn hashes(&self) -> Vec<Vec<u8>> {
        self.end_points.read().clone()
    }
}

impl ResolvesServerCert for Pair {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

impl Certificates {
    /// Loads the pair in `files`; without, the self-signed pair for `hostname` in `data_dir`, made when it is missing.
    /// Reads and writes files: for start-up or the blocking pool.
    ///
    /// # Errors
    /// When the files cannot be read, written or used.
    pub fn open(
        files: Option<Files>,
        data_dir: &Path,
        hostname: &str,
        runtime: &Runtime,
    ) -> Result<Self, CertError> {
        let files = match files {
            Some(files) => files,
            None => self_signed::find_or_make(data_dir, hostname, runtime)?,
        };
        let seen = modified(&files);
        let pair = Pair::new(load(&files)?);
        Ok(Self {
            files,
            seen: Mutex::new(seen),
            pair: Arc::new(pair),
        })
    }

    /// What listeners need; it follows later reloads.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub fn server_tls(&self) -> Result<ServerTls, CertError> {
        Ok(ServerTls::new(self.pair.clone())?.with_end_points(self.pair.clone()))
    }

    /// The same that asks clients for a certificate of one of the authorities in a PEM
    /// file. Reads the file: for start-up or the blocking pool.
    ///
    /// # Errors
    /// When the file cannot be read or has no certificate, or TLS cannot be set up.
    pub fn server_tls_asking(&self, authorities: &Path) -> Result<ServerTls, CertError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&read(authorities)?) {
            let certificate = certificate.map_err(|error| pem(authorities, &error))?;
            roots
                .add(certificate)
                .map_err(|error| pem(authorities, &error))?;
        }
        if roots.is_empty() {
            return Err(pem(authorities, &"it holds no certificate"));
        }
        Ok(self.server_tls()?.asking_for_certificates(roots)?)
    }

    /// The files in use.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Reads the files again. New handshakes use the new pair; on an error the old one stays in use.
    /// Reads files: for the blocking pool.
    ///
    /// # Errors
    /// When the files cannot be read or used.
    pub fn reload(&self) -> Result<(), CertError> {
        let seen = modified(&self.files);
        *self.seen.lock() = seen;
        self.pair.set(load(&self.files)?);
        Ok(())
    }

    /// Reloads when the files have changed since they were last read; says whether they had.
    ///
    /// # Errors
    /// As [`Certificates::reload`].
    pub fn reload_if_changed(&self) -> Result<bool, CertError> {
        let now = modified(&self.files);
        if now == *self.seen.lock() || now.contains(&None) {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// Looks every minute whether the files have changed.
    pub fn watch(self: &Arc<Self>, runtime: &Runtime) -> Task<()> {
        let (certificates, clock) = (self.clone(), runtime.clone());
        runtime.spawn("certificates", async move {
            loop {
                clock.sleep(limits::WATCH_INTERVAL).await;
                let looked = certificates.clone();
                match clock.blocking(move || looked.reload_if_changed()).await {
                    Ok(false) => {}
                    Ok(true) => tracing::info!("certificate reloaded"),
                    Err(error) => {
                        tracing::error!(%error, "the new certificate cannot be used; the old one stays");
                    }
                }
            }
        })
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn modified(files: &Files) -> [Option<SystemTime>; 2] {
    [&files.certificate, &files.key].map(|path| std::fs::metadata(path).ok()?.modified().ok())
}

fn load(files: &Files) -> Result<CertifiedKey, CertError> {
    let text = read(&files.certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(&files.certificate, &error))?;
    if chain.is_empty() {
        return Err(pem(&files.certificate, &"it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| pem(&files.key, &error))?;
    CertifiedKey::from_der(chain, key, &runtime::tls::provider()).map_err(|error| {
        CertError::Mismatch {
            path: files.key.clone(),
            problem: error.to_string(),
        }
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    std::fs::read(path).map_err(|error| CertError::File {
        path: path.to_owned(),
        error,
    })
}

fn pem(path: &Path, problem: &dyn std::fmt::Display) -> CertError {
    CertError::Pem {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests;
