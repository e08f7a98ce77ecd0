//! `posthouse restore`: everything into an empty data folder, or one account or mailbox into the living system.
//!
//! Everything is restored beside the store's folder and moved there when it is whole. Mail that waited to be sent is
//! held: nobody knows what of it was sent since the backup. Configuration and certificates are put beside, not in use.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use admin::control::{CommandError, FailureKind};
use anyhow::Context as _;
use backup::restore::{self, Destination, OnDamage, Restored};
use backup::verify::verify;
use backup::{Backup, Progress, Reading, Run, Watch, parse_moment};
use blobs::Blobs;
use engine::embedded::EmbeddedEngine;
use engine::{SharedEngine, folders};
use mailstore::Mailstore;
use queue::{Act, Acted, Filter, Queue};
use runtime::Runtime;
use serde_json::{Value, json};

use super::Context;
use super::backup::{absolute, with_backup};
use crate::acts::{RestoreMail, request};
use crate::store::Store;
use crate::{ask, backups, cli, output, place, restored_files};

pub(super) fn run(context: &Context<'_>, args: &cli::Restore) -> anyhow::Result<ExitCode> {
    let at_ms = args
        .at
        .as_deref()
        .map(|text| {
            parse_moment(text)
                .map(|seconds| seconds.saturating_mul(1000).saturating_add(999))
                .with_context(|| {
                    format!("{text:?} is no moment; write 2026-01-15T10:15:00Z or a run's name")
                })
        })
        .transpose()?;
    if let Some(folder) = &args.files_to {
        return files_alone(context, args, at_ms, folder.clone());
    }
    let answer = match &args.account {
        Some(account) => {
            let args = RestoreMail {
                from: absolute(&args.from)?,
                passphrase: args
                    .passphrase_file
                    .as_deref()
                    .map(backups::read_secret)
                    .transpose()?,
                account: account.clone(),
                mailbox: args.mailbox.clone(),
                below: args.below.clone(),
                at_ms,
                dry_run: args.dry_run,
            };
            ask::ask(context.config, request("backup.restore_mail", &args)?)?
        }
        None => everything(context, args, at_ms)?,
    };
    output::result(&answer, context.json);
    if !context.json {
        explain(&answer);
    }
    let whole = answer["lost_count"].as_u64().unwrap_or(0) == 0;
    Ok(ExitCode::from(u8::from(!whole)))
}

/// What somebody who restored everything must know.
fn explain(answer: &Value) {
    if answer["held"].as_u64() > Some(0) {
        output::line(
            "Mail that waited to be sent is held, because some of it may have been sent since the backup was made. Look at it with\n\
             `posthouse queue list`, remove what was sent, and let the rest go with `posthouse queue release --all`.",
        );
    }
    if let Some(folder) = answer["files_in"].as_str() {
        output::line(&format!(
            "The configuration and certificates of the backup are in {folder}; those in use are as they were."
        ));
    }
}

/// Only the configuration, certificates and keys; it works on a machine that has no configuration yet.
fn files_alone(
    context: &Context<'_>,
    args: &cli::Restore,
    at_ms: Option<u64>,
    folder: PathBuf,
) -> anyhow::Result<ExitCode> {
    let dry_run = args.dry_run;
    let answer = with_backup(context, &args.source(), move |backup, _| {
        let run = backup.run_at(at_ms)?;
        let (files, lost) = backup::files::read(backup, &run)?;
        if !dry_run {
            restored_files::into(&folder, &files)?;
        }
        Ok(json!({
            "run": run.id.to_string(),
            "dry_run": dry_run,
            "files": files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
            "files_in": folder,
            "lost": lost,
        }))
    })?;
    output::result(&answer, context.json);
    let whole = answer["lost"].as_array().is_none_or(Vec::is_empty);
    Ok(ExitCode::from(u8::from(!whole)))
}

fn everything(
    context: &Context<'_>,
    args: &cli::Restore,
    at_ms: Option<u64>,
) -> anyhow::Result<Value> {
    let settings = place::load(context.config)?;
    let work = Everything {
        data_dir: settings.general.data_dir,
        on_damage: if args.skip_damaged {
            OnDamage::Skip
        } else {
            OnDamage::Refuse
        },
        send_queue: args.send_queue,
        json: context.json,
    };
    let dry_run = args.dry_run;
    with_backup(context, &args.source(), move |backup, runtime| {
        let run = backup.run_at(at_ms)?;
        if dry_run {
            let found = verify(backup, Some(&run), &mut Shown { json: work.json })?;
            return Ok(json!({
                "run": run.id.to_string(),
                "dry_run": true,
                "accounts": run.manifest.accounts,
                "emails": run.manifest.emails,
                "lost": found.findings,
                "lost_count": found.findings_count,
            }));
        }
        work.restore(backup, &run, runtime)
    })
}

/// How far the reading is, for a person or a machine that waits.
struct Shown {
    json: bool,
}

impl Watch for Shown {
    fn progress(&mut self, _: &Progress) {}

    fn stop(&self) -> bool {
        false
    }

    fn reading(&mut self, reading: &Reading) {
        let (done, total) = (reading.bytes, reading.bytes_total);
        if self.json {
            let told = json!({"bytes": done, "bytes_total": total, "accounts": reading.accounts});
            output::status(&json!({"progress": told}).to_string());
        } else {
            let percent = done.saturating_mul(100) / total.max(1);
            output::status(&format!(
                "{percent} %: {done} of {total} bytes are read, of {} accounts",
                reading.accounts
            ));
        }
    }
}

/// A restore of everything.
struct Everything {
    data_dir: PathBuf,
    on_damage: OnDamage,
    send_queue: bool,
    json: bool,
}

/// What became of it.
struct Came {
    restored: Restored,
    /// Recipients of queued messages that wait for the administrator.
    held: u64,
}

impl Everything {
    fn restore(&self, backup: &Backup<'_>, run: &Run, runtime: &Runtime) -> anyhow::Result<Value> {
        let data_dir = &self.data_dir;
        place::make_data_dir(data_dir)?;
        let (store, beside) = (data_dir.join("store"), data_dir.join("store.restoring"));
        refuse_unless_empty(&store)?;
        // Of no use to anybody: what an earlier restore began.
        remove_folder(&beside)?;
        let (files, lost_files) = backup::files::read(backup, run)?;
        let came = match self.beside(backup, run, runtime, &beside) {
            Ok(came) => came,
            Err(error) => {
                remove_folder(&beside)?;
                return Err(error);
            }
        };
        refuse_unless_empty(&store)?;
        remove_folder(&store)?;
        std::fs::rename(&beside, &store)
            .and_then(|()| folders::sync(data_dir))
            .with_context(|| format!("cannot move the restored store to {}", store.display()))?;
        let files_in = restored_files::beside(data_dir, &files)?;
        let Came { mut restored, held } = came;
        restored.lost_count += lost_files.len();
        restored.lost.extend(lost_files);
        Ok(json!({
            "run": run.id.to_string(),
            "dry_run": false,
            "accounts": restored.accounts.len(),
            "emails": restored.emails,
            "held": held,
            "files_in": files_in,
            "lost": restored.lost,
            "lost_count": restored.lost_count,
        }))
    }

    fn beside(
        &self,
        backup: &Backup<'_>,
        run: &Run,
        runtime: &Runtime,
        folder: &Path,
    ) -> anyhow::Result<Came> {
        let engine = Arc::new(EmbeddedEngine::open(folder, &engine::Options::default())?);
        let shared: SharedEngine = engine.clone();
        let blobs = Arc::new(Blobs::new(shared.clone()));
        let into = Destination {
            engine: shared.clone(),
            blobs: blobs.clone(),
        };
        let watch = &mut Shown { json: self.json };
        let restored = restore::everything(backup, run, &into, self.on_damage, watch);
        let mut restored = match restored {
            Ok(restored) => restored,
            Err(error) => {
                engine.close();
                return Err(backups::failure(&error).into());
            }
        };
        let options = mailstore::Options::default();
        let mailstore = Mailstore::new(shared.clone(), blobs.clone(), runtime.clone(), options);
        for failed in restore::raise(runtime, &mailstore, &restored.accounts) {
            restored.lost_count += 1;
            restored.lost.push(failed);
        }
        runtime.block_on(mailstore.close());
        let held = if self.send_queue {
            Ok(Acted::default())
        } else {
            let queue = Queue::new(shared, blobs, runtime.clone());
            runtime.block_on(queue.act_on_all(&Filter::default(), Act::Hold))
        };
        engine.close();
        Ok(Came {
            restored,
            held: held?.changed,
        })
    }
}

/// A store that is there must hold nothing, and nobody may have it open.
fn refuse_unless_empty(store: &Path) -> anyhow::Result<()> {
    if !store.exists() {
        return Ok(());
    }
    if Store::holds_nothing(store)? {
        return Ok(());
    }
    let store = store.display();
    Err(CommandError::new(
        FailureKind::Conflict,
        format!(
            "{store} is not empty; move it away to restore everything, or restore one account into it with --account"
        ),
    )
    .into())
}

fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
