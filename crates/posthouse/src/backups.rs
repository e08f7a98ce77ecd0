//! Where backups go, by the settings or as a command says, and when.

use std::path::{Path, PathBuf};
use std::time::Duration;

use admin::control::CommandError;
use anyhow::{Context as _, bail};
use backup::limits::FILE_BYTES_MAX;
use backup::target::s3::{Access, Bucket};
use backup::{Backup, Folder, KeptFile, Passphrase, RunId, Target};
use runtime::{Runtime, Timestamp};
use settings::Settings;

use crate::acts::{BackupRun, backup_run};
use crate::limits::{BACKUP_RETRY, BACKUP_START_DELAY, PASSWORD_BYTES_MAX};
use crate::store::Store;

/// What the settings say about backups.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Where scheduled ones go; empty is nowhere.
    pub(crate) to: String,
    pub(crate) keep: usize,
    passphrase_file: PathBuf,
    every: Duration,
    /// Minutes of the day, in UTC.
    at: Option<u64>,
    access: Access,
    /// Files beside the store that go into each backup, with their names there.
    files: Vec<(&'static str, PathBuf)>,
}

impl Places {
    /// # Errors
    /// The file with the S3 credentials can't be read.
    pub(crate) fn of(settings: &Settings) -> anyhow::Result<Self> {
        let backup = &settings.backup;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let file = &backup.s3_credentials_file;
        let key = if file.as_os_str().is_empty() {
            None
        } else {
            Some(read_key(file)?)
        };
        Ok(Self {
            to: backup.to.clone(),
            keep: usize::try_from(backup.keep).unwrap_or(usize::MAX),
            passphrase_file: backup.passphrase_file.clone(),
            every: backup.every,
            at: backup.at.minutes(),
            access: Access {
                endpoint: some(&backup.s3_endpoint),
                region: some(&backup.s3_region),
                key,
            },
            files: kept_files(settings),
        })
    }

    /// The files beside the store as they are now, and in words those that can't be read. One that is not there
    /// (a certificate that no start has made yet) is left out.
    pub(crate) fn files(&self) -> (Vec<KeptFile>, Vec<String>) {
        let (mut files, mut notes) = (Vec::new(), Vec::new());
        for (name, path) in &self.files {
            match read_file(path) {
                Ok((bytes, mode)) => files.push(KeptFile {
                    name: (*name).to_owned(),
                    path: path.display().to_string(),
                    mode,
                    bytes,
                }),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => notes.push(format!("the file {}: {error}", path.display())),
            }
        }
        (files, notes)
    }

    /// The folder or bucket that a text names.
    ///
    /// # Errors
    /// It is no bucket's address, or the access is not complete.
    pub(crate) fn target(&self, place: &str, runtime: &Runtime) -> anyhow::Result<Box<dyn Target>> {
        if place.is_empty() {
            bail!("name a folder or s3://bucket/prefix with --to, or set backup.to");
        }
        if place.starts_with("s3://") {
            let bucket = Bucket::new(place, &self.access, runtime.clone())
                .with_context(|| format!("cannot use {place}"))?;
            return Ok(Box::new(bucket));
        }
        Ok(Box::new(Folder::new(place.into())))
    }

    /// The passphrase that a command gave, or the settings' for their own place.
    ///
    /// # Errors
    /// The file can't be read.
    pub(crate) fn passphrase(
        &self,
        place: &str,
        given: Option<&str>,
    ) -> anyhow::Result<Option<Passphrase>> {
        let file = &self.passphrase_file;
        Ok(match given {
            Some(text) => Some(Passphrase::new(text)?),
            None if place == self.to && !file.as_os_str().is_empty() => {
                Some(Passphrase::new(&read_secret(file)?)?)
            }
            None => None,
        })
    }

    /// When the next scheduled run is due, if the last began then.
    pub(crate) fn next(&self, now: Timestamp, last: Option<Timestamp>) -> Timestamp {
        let soon = now.after(BACKUP_START_DELAY);
        let next = match (self.at, last) {
            (Some(minutes), last) => {
                // What a server that was off has missed is made up for.
                let from = last.unwrap_or(now).unix_seconds();
                let day = from / 86_400 * 86_400 + minutes * 60;
                Timestamp::from_unix_seconds(if day > from { day } else { day + 86_400 })
            }
            (None, Some(last)) => last.after(self.every),
            (None, None) => soon,
        };
        next.max(soon)
    }
}

/// The configuration and what it names. The backup's own secrets are not among them: who has the backup open has them.
fn kept_files(settings: &Settings) -> Vec<(&'static str, PathBuf)> {
    let tls = &settings.tls;
    let (certificate, key) = if tls.certificate.as_os_str().is_empty() {
        let made = certs::self_signed_files(&settings.general.data_dir);
        (made.certificate, made.key)
    } else {
        (tls.certificate.clone(), tls.key.clone())
    };
    let all = [
        ("posthouse.toml", settings.file.clone()),
        ("tls-certificate.pem", certificate),
        ("tls-key.pem", key),
        (
            "smart-host-password",
            settings.outbound.smart_host_password_file.clone(),
        ),
        ("database-password", settings.cluster.password_file.clone()),
        (
            "app-passwords.key",
            crate::sealing::file(&settings.general.data_dir),
        ),
    ];
    let named = all.into_iter();
    named
        .filter(|(_, path)| !path.as_os_str().is_empty())
        .collect()
}

fn read_file(path: &Path) -> std::io::Result<(Vec<u8>, u32)> {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    let file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(
            "it is too large to be what it should be",
        ));
    }
    Ok((bytes, mode))
}

/// The first line of a file that holds a secret.
///
/// # Errors
/// It can't be read.
pub(crate) fn read_secret(file: &Path) -> anyhow::Result<String> {
    use std::io::Read as _;

    let read = || {
        let mut text = String::new();
        std::fs::File::open(file)?
            .take(PASSWORD_BYTES_MAX)
            .read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text.lines().next().unwrap_or_default().to_owned())
    };
    read().with_context(|| format!("cannot read {}", file.display()))
}

/// Two lines: the access key's id and its secret.
fn read_key(file: &Path) -> anyhow::Result<(String, String)> {
    let text = std::fs::read_to_string(file).with_context(|| {
        format!(
            "cannot read {} (backup.s3_credentials_file)",
            file.display()
        )
    })?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next()) {
        (Some(id), Some(secret)) => Ok((id.to_owned(), secret.to_owned())),
        _ => bail!(
            "{} (backup.s3_credentials_file) must hold two lines: the key's id and its secret",
            file.display()
        ),
    }
}

/// Opens a backup for reading.
///
/// # Errors
/// There is none, or the passphrase does not open it.
pub(crate) fn open<'a>(
    target: &'a dyn Target,
    passphrase: Option<&Passphrase>,
) -> anyhow::Result<Backup<'a>> {
    Ok(Backup::open(target, passphrase)?)
}

/// Makes backups by the schedule until the shutdown.
pub(crate) async fn schedule(store: std::sync::Arc<Store>, runtime: Runtime) {
    let shutdown = runtime.shutdown();
    let places = store.places.clone();
    let mut last = if places.to.is_empty() {
        None
    } else {
        last_run(&places, &runtime).await
    };
    let mut wait_until = places.next(runtime.now(), last);
    while !shutdown.is_draining() {
        if places.to.is_empty() {
            shutdown.draining().await;
            break;
        }
        let wait = wait_until.since(runtime.now());
        tokio::select! {
            () = runtime.sleep(wait) => {}
            () = shutdown.draining() => break,
        }
        let begun = runtime.now();
        match backup_run(&store, BackupRun::default()).await {
            Ok(answer) => {
                tracing::info!(%answer, "scheduled backup done");
                last = Some(begun);
                wait_until = places.next(runtime.now(), last);
            }
            Err(error) => {
                if !shutdown.is_draining() {
                    tracing::error!(%error, "a scheduled backup failed; it is tried again in an hour");
                }
                wait_until = runtime.now().after(BACKUP_RETRY);
            }
        }
    }
}

/// When the last run of the settings' own place began; none if that is not known.
async fn last_run(places: &Places, runtime: &Runtime) -> Option<Timestamp> {
    let (places, clock) = (places.clone(), runtime.clone());
    let find = move || -> anyhow::Result<RunId> {
        let target = places.target(&places.to, &clock)?;
        let passphrase = places.passphrase(&places.to, None)?;
        let run = open(&*target, passphrase.as_ref())?.run_at(None)?;
        Ok(run.id)
    };
    let found = runtime.blocking(find).await.ok()?;
    Some(Timestamp::from_unix_seconds(found.unix_seconds))
}

/// A backup's error for the person who asked.
pub(crate) fn failure(error: &backup::BackupError) -> CommandError {
    use admin::control::FailureKind;
    use backup::BackupError as E;

    let kind = match error {
        E::NotABackup(_) | E::NoRun(_) | E::NoAccount { .. } | E::NoMailbox(_) => {
            FailureKind::NotFound
        }
        E::NotEmpty(_) | E::OtherStore(_) => FailureKind::Conflict,
        E::NeedsPassphrase | E::NotEncrypted | E::WrongPassphrase | E::EmptyPassphrase => {
            FailureKind::Usage
        }
        _ => FailureKind::Failed,
    };
    CommandError::new(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(at: Option<u64>) -> Places {
        let mut places = Places::of(&Settings::parse("").expect("defaults")).expect("no files");
        places.at = at;
        places
    }

    #[test]
    fn the_next_run_is_when_it_should_be() {
        let at = |seconds| Timestamp::from_unix_seconds(seconds);
        let day = 20_000 * 86_400;
        let now = at(day + 10 * 3600);
        let soon = now.after(BACKUP_START_DELAY);
        let every = places(None);
        assert_eq!(every.next(now, None), soon);
        assert_eq!(
            every.next(now, Some(at(day + 9 * 3600))),
            at(day + 33 * 3600)
        );
        assert_eq!(every.next(now, Some(at(day - 2 * 86_400))), soon);
        let night = places(Some(3 * 60 + 30));
        let tomorrow = at(day + 86_400 + 3 * 3600 + 1800);
        assert_eq!(night.next(now, None), tomorrow);
        assert_eq!(night.next(now, Some(at(day + 3 * 3600 + 1800))), tomorrow);
        // The server was off at night.
        assert_eq!(night.next(now, Some(at(day - 20 * 3600))), soon);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_scheduled_backup_is_made_and_the_next_one_a_day_later() {
        let (data, place) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("a folder"),
        );
        let mut settings = Settings::parse("").expect("defaults");
        settings.general.data_dir = data.path().to_owned();
        settings.store.segment_bytes = settings::Size(4 << 20);
        settings.backup.to = place.path().join("backups").display().to_string();
        let runtime = Runtime::for_tests();
        let store = Store::open(&settings, &runtime).await.expect("a store");
        let store = std::sync::Arc::new(store);
        let task = runtime.spawn("backups", schedule(store.clone(), runtime.clone()));
        let target = Folder::new(place.path().join("backups"));
        let runs = || match Backup::open(&target, None) {
            Ok(backup) => backup.runs().expect("listed").len(),
            Err(_) => 0,
        };
        for (number, later) in [(1, BACKUP_START_DELAY), (2, Duration::from_secs(86_400))] {
            // The schedule may not have looked at the clock yet: it is moved on until it has.
            while runs() < number {
                runtime.advance(later);
                tokio::task::yield_now().await;
            }
        }
        runtime.shutdown().drain();
        task.join().await.expect("it ends");
        let target = Folder::new(place.path().join("backups"));
        let runs = Backup::open(&target, None)
            .expect("a backup")
            .runs()
            .expect("listed");
        assert!(runs.len() >= 2, "{}", runs.len());
        store.close().await;
    }
}
