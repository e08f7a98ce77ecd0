//! `posthouse restore`: everything into an empty data folder, or one account or mailbox into the living system.
//!
//! Everything is restored beside the store's folder and moved there when it is whole.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use admin::control::{CommandError, FailureKind};
use anyhow::Context as _;
use backup::restore::{self, Destination, OnDamage, Restored};
use backup::{Backup, Run, parse_moment};
use blobs::Blobs;
use engine::SharedEngine;
use engine::embedded::EmbeddedEngine;
use mailstore::Mailstore;
use runtime::Runtime;
use serde_json::{Value, json};

use super::Context;
use super::backup::{absolute, with_backup};
use crate::acts::{RestoreMail, request};
use crate::store::Store;
use crate::{ask, backups, cli, output, place};

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
    let whole = answer["lost_count"].as_u64().unwrap_or(0) == 0;
    Ok(ExitCode::from(u8::from(!whole)))
}

fn everything(
    context: &Context<'_>,
    args: &cli::Restore,
    at_ms: Option<u64>,
) -> anyhow::Result<Value> {
    let settings = place::load(context.config)?;
    let data_dir = settings.general.data_dir;
    let on_damage = if args.skip_damaged {
        OnDamage::Skip
    } else {
        OnDamage::Refuse
    };
    let dry_run = args.dry_run;
    with_backup(context, &args.source(), move |backup, runtime| {
        let run = backup.run_at(at_ms)?;
        if dry_run {
            let found = backup::verify::verify(backup, Some(&run), &mut ())?;
            return Ok(shown(
                &run,
                true,
                run.manifest.accounts,
                run.manifest.emails,
                (&found.findings, found.findings_count),
            ));
        }
        let restored = into_data_dir(backup, &run, runtime, &data_dir, on_damage)?;
        Ok(shown(
            &run,
            false,
            restored.accounts.len() as u64,
            restored.emails,
            (&restored.lost, restored.lost_count),
        ))
    })
}

fn shown(
    run: &Run,
    dry_run: bool,
    accounts: u64,
    emails: u64,
    (lost, lost_count): (&[String], usize),
) -> Value {
    json!({
        "run": run.id.to_string(),
        "dry_run": dry_run,
        "accounts": accounts,
        "emails": emails,
        "lost": lost,
        "lost_count": lost_count,
    })
}

fn into_data_dir(
    backup: &Backup<'_>,
    run: &Run,
    runtime: &Runtime,
    data_dir: &Path,
    on_damage: OnDamage,
) -> anyhow::Result<Restored> {
    place::make_data_dir(data_dir)?;
    let (store, beside) = (data_dir.join("store"), data_dir.join("store.restoring"));
    refuse_unless_empty(&store)?;
    // Of no use to anybody: what an earlier restore began.
    remove_folder(&beside)?;
    let result = restore_beside(backup, run, runtime, &beside, on_damage);
    let restored = match result {
        Ok(restored) => restored,
        Err(error) => {
            remove_folder(&beside)?;
            return Err(error);
        }
    };
    refuse_unless_empty(&store)?;
    remove_folder(&store)?;
    std::fs::rename(&beside, &store)
        .and_then(|()| engine::folders::sync(data_dir))
        .with_context(|| format!("cannot move the restored store to {}", store.display()))?;
    Ok(restored)
}

fn restore_beside(
    backup: &Backup<'_>,
    run: &Run,
    runtime: &Runtime,
    folder: &Path,
    on_damage: OnDamage,
) -> anyhow::Result<Restored> {
    let engine = Arc::new(EmbeddedEngine::open(folder, &engine::Options::default())?);
    let shared: SharedEngine = engine.clone();
    let blobs = Arc::new(Blobs::new(shared.clone()));
    let into = Destination {
        engine: shared.clone(),
        blobs: blobs.clone(),
    };
    let restored = restore::everything(backup, run, &into, on_damage, &mut ());
    let mut restored = match restored {
        Ok(restored) => restored,
        Err(error) => {
            engine.close();
            return Err(backups::failure(&error).into());
        }
    };
    let options = mailstore::Options::default();
    let mailstore = Mailstore::new(shared, blobs, runtime.clone(), options);
    for failed in restore::raise(runtime, &mailstore, &restored.accounts) {
        restored.lost_count += 1;
        restored.lost.push(failed);
    }
    runtime.block_on(mailstore.close());
    engine.close();
    Ok(restored)
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
