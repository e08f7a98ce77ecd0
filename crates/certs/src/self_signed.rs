//! The self-signed pair in the data folder: `tls-key.pem` (0600) and `tls-cert.pem`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use runtime::Runtime;

use crate::{CertError, Files, limits};

/// Seconds of a mean year.
const YEAR_SECONDS: u64 = 31_556_952;

/// Where the self-signed pair of a data folder is, if there is one.
#[must_use]
pub fn files(data_dir: &Path) -> Files {
    Files {
        certificate: data_dir.join("tls-cert.pem"),
        key: data_dir.join("tls-key.pem"),
    }
}

pub(crate) fn find_or_make(
    data_dir: &Path,
    hostname: &str,
    runtime: &Runtime,
) -> Result<Files, CertError> {
    let files = files(data_dir);
    if files.certificate.exists() {
        return Ok(files);
    }
    let (certificate, key) = make(hostname, runtime).map_err(|error| CertError::SelfSigned {
        hostname: hostname.to_owned(),
        problem: error.to_string(),
    })?;
    write(&files.key, &key, 0o600)?;
    write(&files.certificate, &certificate, 0o644)?;
    Ok(files)
}

fn make(hostname: &str, runtime: &Runtime) -> Result<(String, String), rcgen::Error> {
    let mut names = vec!["localhost".to_owned()];
    if hostname != "localhost" && !hostname.is_empty() {
        names.insert(0, hostname.to_owned());
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(
        DnType::CommonName,
        if hostname.is_empty() {
            "localhost"
        } else {
            hostname
        },
    );
    let years = runtime.now().unix_seconds() / YEAR_SECONDS;
    let year = 1970 + i32::try_from(years).unwrap_or(0);
    // From the year before: a client whose clock is behind ours can still use it.
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + limits::SELF_SIGNED_YEARS, 12, 31);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Writes the file so that it is never there half.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertError> {
    let half = path.with_extension("pem.new");
    let attempt = || {
        // One left by a start that was cut short may have other permissions.
        match std::fs::remove_file(&half) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&half)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&half, path)
    };
    attempt().map_err(|error| CertError::File {
        path: path.to_owned(),
        error,
    })
}
