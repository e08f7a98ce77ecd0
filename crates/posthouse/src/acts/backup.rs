//! Acts of backup: a run, and one account or mailbox back into the living store.
//!
//! Both go on when the client that asked goes away; they end early when the server does.

use std::sync::Arc;

use admin::control::{CommandError, FailureKind};
use backup::restore::import::{Imported, Living, Wanted, import};
use backup::{BackupError, Done, Options, Progress, Source, Watch};
use mailbox_model::MailboxName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use super::{ActResult, failed, of_directory, parse_address, usage};
use crate::backups;
use crate::store::Store;

/// A run. Without a place, all is as the settings say.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) to: Option<String>,
    pub(crate) passphrase: Option<String>,
    pub(crate) full: bool,
    pub(crate) keep: Option<usize>,
}

/// Mail back into the living store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RestoreMail {
    pub(crate) from: String,
    pub(crate) passphrase: Option<String>,
    pub(crate) account: String,
    pub(crate) mailbox: Option<String>,
    pub(crate) below: Option<String>,
    pub(crate) at_ms: Option<u64>,
    pub(crate) dry_run: bool,
}

/// The backup that is being made, of which there is one at most.
#[derive(Default)]
pub(crate) struct BackingUp {
    one: Arc<Mutex<()>>,
    progress: watch::Sender<Value>,
}

impl BackingUp {
    /// How far it is.
    pub(crate) fn shown(&self) -> Value {
        self.progress.borrow().clone()
    }
}

/// Makes a backup.
pub(crate) async fn run(store: &Store, args: Run) -> ActResult {
    let places = store.places.clone();
    let to = args.to.unwrap_or_else(|| places.to.clone());
    let keep = args
        .keep
        .or_else(|| (to == places.to).then_some(places.keep));
    let backing_up = Arc::clone(&store.backing_up);
    let one = Arc::clone(&backing_up.one).try_lock_owned().map_err(|_| {
        CommandError::new(
            FailureKind::Conflict,
            "a backup is running already; wait for its end",
        )
    })?;
    let source = Source {
        engine: store.engine.clone(),
        blobs: store.blobs.clone(),
        runtime: store.runtime.clone(),
    };
    let (full, passphrase) = (args.full, args.passphrase);
    let work = move || {
        // Given back at the end of the work, not of the request.
        let _one = one;
        let target = places.target(&to, &source.runtime).map_err(failed_fully)?;
        let passphrase = places
            .passphrase(&to, passphrase.as_deref())
            .map_err(failed_fully)?;
        let (files, notes) = places.files();
        let options = Options {
            passphrase,
            full,
            files,
            notes,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            ..Options::default()
        };
        let mut watch = Told {
            to: Some(&backing_up.progress),
            shutdown: source.runtime.shutdown(),
        };
        let done = backup::run::run(&source, &*target, &options, &mut watch)
            .map_err(|error| backups::failure(&error))?;
        let mut answer = shown(&done);
        if let Some(keep) = keep {
            // The run counts, whatever becomes of old ones.
            let pruned = backups::open(&*target, options.passphrase.as_ref())
                .and_then(|opened| Ok(backup::prune::prune(&opened, keep)?));
            match pruned {
                Ok(pruned) => answer["removed_runs"] = json!(pruned.runs.len()),
                Err(error) => {
                    tracing::warn!(%error, "old backups could not be removed");
                    answer["not_removed"] = json!(format!("{error:#}"));
                }
            }
        }
        Ok(answer)
    };
    store.runtime.blocking(work).await
}

/// Brings mail back.
pub(super) async fn restore_mail(store: &Store, args: RestoreMail) -> ActResult {
    let address = parse_address(&args.account)?;
    let account = store.directory.account_show(&address).await;
    let account = account.map_err(of_directory)?.id;
    let name = |text: &Option<String>| {
        let parse = |text: &String| {
            MailboxName::parse(text).map_err(|_| usage(format!("{text:?} is no mailbox name")))
        };
        text.as_ref().map(parse).transpose()
    };
    let wanted = Wanted {
        address,
        account,
        mailbox: name(&args.mailbox)?,
        below: name(&args.below)?,
        dry_run: args.dry_run,
    };
    let places = store.places.clone();
    let living = Living {
        mailstore: store.mailstore.clone(),
        blobs: Arc::clone(&store.blobs),
        runtime: store.runtime.clone(),
        scratch: store.data_dir.clone(),
    };
    let work = move || {
        let target = places
            .target(&args.from, &living.runtime)
            .map_err(failed_fully)?;
        let passphrase = places
            .passphrase(&args.from, args.passphrase.as_deref())
            .map_err(failed_fully)?;
        let mut watch = Told {
            to: None,
            shutdown: living.runtime.shutdown(),
        };
        let mut bring = || {
            let opened = backup::Backup::open(&*target, passphrase.as_ref())?;
            let run = opened.run_at(args.at_ms)?;
            let imported = import(&opened, &run, &living, &wanted, &mut watch)?;
            Ok::<_, BackupError>((run, imported))
        };
        let (run, imported) = bring().map_err(|error| backups::failure(&error))?;
        Ok(shown_import(run.id, &imported, wanted.dry_run))
    };
    store.runtime.blocking(work).await
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn failed_fully(error: anyhow::Error) -> CommandError {
    match error.downcast_ref::<BackupError>() {
        Some(error) => backups::failure(error),
        None => failed(format!("{error:#}")),
    }
}

/// Tells how far a run is, and ends it when the server ends.
struct Told<'a> {
    to: Option<&'a watch::Sender<Value>>,
    shutdown: runtime::Shutdown,
}

impl Watch for Told<'_> {
    fn progress(&mut self, progress: &Progress) {
        let Some(to) = self.to else { return };
        to.send_replace(json!({
            "accounts": progress.accounts,
            "unchanged": progress.unchanged,
            "bodies": progress.added.bodies,
            "bytes": progress.added.bytes,
        }));
    }

    fn stop(&self) -> bool {
        self.shutdown.is_draining()
    }
}

fn shown(done: &Done) -> Value {
    let manifest = &done.manifest;
    json!({
        "run": done.run.to_string(),
        "accounts": manifest.accounts,
        "unchanged_accounts": done.progress.unchanged,
        "emails": manifest.emails,
        "new_bodies": done.progress.added.bodies,
        "bytes_written": done.progress.added.bytes,
        "notes": manifest.notes,
    })
}

fn shown_import(run: backup::RunId, imported: &Imported, dry_run: bool) -> Value {
    json!({
        "run": run.to_string(),
        "dry_run": dry_run,
        "mailboxes": imported.mailboxes,
        "made": imported.made,
        "emails": imported.emails,
        "still_there": imported.still_there,
        "lost": imported.lost,
        "lost_count": imported.lost_count,
    })
}
