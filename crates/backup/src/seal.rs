//! Sealing: how a file's bytes become stored bytes, with encryption or without.
//!
//! An encrypted target has a key of its own, an age identity (X25519) made at
//! random; `key.age` holds it, encrypted with the passphrase as `age -p` does.
//! Every other file but the marker is an age file for that key. So scrypt is
//! paid once a run, and the `age` tool opens everything too.
//!
//! Whichever way, the stored bytes are counted and hashed as they pass.

use crate::error::BackupError;
use crate::limits::{SCRYPT_LOG_N, SCRYPT_LOG_N_MAX, SMALL_FILE_BYTES_MAX};
use crate::run_id::KEY;
use crate::target::{Target, TargetWriter};
use age::secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

/// What protects a backup. Never shown.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// From text; line ends at its end don't count.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn new(text: &str) -> Result<Self, BackupError> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(BackupError::EmptyPassphrase);
        }
        Ok(Self(SecretString::from(text.to_owned())))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// How a target's files are sealed.
#[derive(Clone)]
pub(crate) enum Seal {
    Plain,
    Age(age::x25519::Identity),
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Age(_) => "Age",
        })
    }
}

/// The length and BLAKE3 of a stored file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes.
    pub len: u64,
    /// Their BLAKE3.
    pub hash: [u8; 32],
}

impl Seal {
    /// Makes a key for a new target and stores it.
    pub(crate) fn make(
        target: &dyn Target,
        passphrase: &Passphrase,
    ) -> Result<(Self, [u8; 32]), BackupError> {
        let failed = || BackupError::target(format!("writing {KEY}"));
        let identity = age::x25519::Identity::generate();
        let mut recipient = age::scrypt::Recipient::new(passphrase.0.clone());
        recipient.set_work_factor(SCRYPT_LOG_N);
        let encryptor =
            age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
                .map_err(io::Error::other)
                .map_err(failed())?;
        let mut bytes = Vec::new();
        let mut writer = encryptor.wrap_output(&mut bytes).map_err(failed())?;
        writer
            .write_all(identity.to_string().expose_secret().as_bytes())
            .map_err(failed())?;
        writer.finish().map_err(failed())?;
        let mut file = target.create(KEY).map_err(failed())?;
        file.write_all(&bytes).map_err(failed())?;
        file.finish().map_err(failed())?;
        Ok((Self::Age(identity), *blake3::hash(&bytes).as_bytes()))
    }

    /// Opens a target's key, which has this BLAKE3.
    pub(crate) fn open(
        target: &dyn Target,
        passphrase: &Passphrase,
        hash: [u8; 32],
    ) -> Result<Self, BackupError> {
        // To age, a damaged key and a wrong passphrase are the same.
        if hash_stored(target, KEY)?.hash != hash {
            return Err(BackupError::damaged(KEY, "it is not what was written"));
        }
        let file = target.open(KEY).map_err(|e| BackupError::damaged(KEY, e))?;
        let mut identity = age::scrypt::Identity::new(passphrase.0.clone());
        identity.set_max_work_factor(SCRYPT_LOG_N_MAX);
        let wrong = |error: age::DecryptError| match error {
            // For age, a wrong passphrase is a key that does not fit.
            age::DecryptError::DecryptionFailed
            | age::DecryptError::NoMatchingKeys
            | age::DecryptError::KeyDecryptionFailed => BackupError::WrongPassphrase,
            other => BackupError::damaged(KEY, other),
        };
        let reader = age::Decryptor::new(file.take(SMALL_FILE_BYTES_MAX))
            .map_err(wrong)?
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .map_err(wrong)?;
        let mut text = zeroize::Zeroizing::new(String::new());
        reader
            .take(SMALL_FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| BackupError::damaged(KEY, error))?;
        let identity = age::x25519::Identity::from_str(&text)
            .map_err(|error| BackupError::damaged(KEY, error))?;
        Ok(Self::Age(identity))
    }

    /// Begins a file.
    pub(crate) fn create(
        &self,
        target: &dyn Target,
        name: &str,
    ) -> Result<SealedWriter, BackupError> {
        let failed = || BackupError::target(format!("writing {name}"));
        let out = Hashing::new(target.create(name).map_err(failed())?);
        let inner = match self {
            Self::Plain => Inner::Plain(out),
            Self::Age(identity) => {
                let recipient = identity.to_public();
                let encryptor = age::Encryptor::with_recipients(std::iter::once(
                    &recipient as &dyn age::Recipient,
                ))
                .map_err(io::Error::other)
                .map_err(failed())?;
                Inner::Age(Box::new(encryptor.wrap_output(out).map_err(failed())?))
            }
        };
        Ok(SealedWriter {
            name: name.to_owned(),
            inner,
            plain: 0,
        })
    }

    /// Opens a file for reading what was sealed.
    pub(crate) fn read(
        &self,
        target: &dyn Target,
        name: &str,
    ) -> Result<Box<dyn Read + Send>, BackupError> {
        Ok(self.read_metered(target, name)?.0)
    }

    /// As [`Seal::read`], and counts and hashes the stored bytes.
    pub(crate) fn read_metered(
        &self,
        target: &dyn Target,
        name: &str,
    ) -> Result<(Box<dyn Read + Send>, Meter), BackupError> {
        let damaged = |error: &dyn fmt::Display| BackupError::damaged(name, error);
        let file = target.open(name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => damaged(&"it is missing"),
            _ => damaged(&error),
        })?;
        let meter = Meter::default();
        let metered = Metered {
            input: file,
            meter: meter.clone(),
        };
        let plain = self
            .unseal(Box::new(metered))
            .map_err(|error| damaged(&error))?;
        Ok((plain, meter))
    }

    /// Takes the seal off stored bytes.
    fn unseal(&self, stored: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>, io::Error> {
        let stored = BufReader::with_capacity(128 << 10, stored);
        Ok(match self {
            Self::Plain => Box::new(stored),
            Self::Age(identity) => Box::new(
                age::Decryptor::new_buffered(stored)
                    .and_then(|opened| {
                        opened.decrypt(std::iter::once(identity as &dyn age::Identity))
                    })
                    .map_err(io::Error::other)?,
            ),
        })
    }
}

/// What is counted and hashed of a file that is being read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<(Box<blake3::Hasher>, u64)>>);

impl Meter {
    /// What was read so far.
    pub(crate) fn stored(&self) -> Stored {
        // The lock is never held over anything that can panic.
        let metered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Stored {
            len: metered.1,
            hash: *metered.0.finalize().as_bytes(),
        }
    }
}

/// Counts and hashes what is read.
struct Metered {
    input: Box<dyn Read + Send>,
    meter: Meter,
}

impl Read for Metered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        let mut metered = self.meter.0.lock().unwrap_or_else(PoisonError::into_inner);
        metered.0.update(&into[..read]);
        metered.1 += read as u64;
        Ok(read)
    }
}

/// Counts and hashes what passes.
struct Hashing {
    out: Box<dyn TargetWriter>,
    hasher: Box<blake3::Hasher>,
    len: u64,
}

impl Hashing {
    fn new(out: Box<dyn TargetWriter>) -> Self {
        Self {
            out,
            hasher: Box::default(),
            len: 0,
        }
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.hasher.update(&bytes[..taken]);
        self.len += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

enum Inner {
    Plain(Hashing),
    Age(Box<age::stream::StreamWriter<Hashing>>),
}

/// Writes one sealed file; dropped without `finish`, there is no file.
pub(crate) struct SealedWriter {
    name: String,
    inner: Inner,
    plain: u64,
}

impl SealedWriter {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes given so far.
    pub(crate) fn plain_len(&self) -> u64 {
        self.plain
    }

    /// Adds bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.plain += bytes.len() as u64;
        let result = match &mut self.inner {
            Inner::Plain(out) => out.write_all(bytes),
            Inner::Age(out) => out.write_all(bytes),
        };
        result.map_err(BackupError::target(format!("writing {}", self.name)))
    }

    /// Ends the file; it is on stable storage then.
    pub(crate) fn finish(self) -> Result<Stored, BackupError> {
        let failed = || BackupError::target(format!("writing {}", self.name));
        let hashing = match self.inner {
            Inner::Plain(out) => out,
            Inner::Age(out) => out.finish().map_err(failed())?,
        };
        let stored = Stored {
            len: hashing.len,
            hash: *hashing.hasher.finalize().as_bytes(),
        };
        hashing.out.finish().map_err(failed())?;
        Ok(stored)
    }
}

/// The length and hash of a file as it is stored now.
pub(crate) fn hash_stored(target: &dyn Target, name: &str) -> Result<Stored, BackupError> {
    let damaged = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => BackupError::damaged(name, "it is missing"),
        _ => BackupError::damaged(name, error),
    };
    let mut file = target.open(name).map_err(damaged)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    let mut len = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map_err(damaged)?,
        };
        if read == 0 {
            return Ok(Stored {
                len,
                hash: *hasher.finalize().as_bytes(),
            });
        }
        hasher.update(&buffer[..read]);
        len += read as u64;
    }
}
