//! `posthouse backup`: a run, by the server if one runs; the runs of a place; whether they are whole.

use std::process::ExitCode;

use anyhow::Context as _;
use backup::Passphrase;
use backup::verify::verify;
use runtime::Runtime;
use serde_json::{Value, json};
use settings::Settings;

use super::Context;
use crate::acts::{BackupRun, request};
use crate::backups::{self, Places};
use crate::limits::{COMMAND_WORKERS, STOP_TIMEOUT};
use crate::{ask, cli, output, place};

pub(super) fn run(context: &Context<'_>, args: cli::Backup) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(cli::BackupCommand::List(from)) => list(context, &from),
        Some(cli::BackupCommand::Verify(from)) => check(context, &from),
        None => start(context, args.run),
    }
}

fn start(context: &Context<'_>, args: cli::BackupRun) -> anyhow::Result<ExitCode> {
    let args = BackupRun {
        to: args.to.as_deref().map(absolute).transpose()?,
        passphrase: args
            .passphrase_file
            .map(|file| backups::read_secret(&file))
            .transpose()?,
        full: args.full,
        keep: args.keep.map(|keep| keep as usize),
    };
    let json = context.json;
    let request = request("backup.run", &args)?;
    let answer = ask::ask_watched(context.config, request, "backup.progress", |told| {
        if json {
            output::status(&json!({"progress": told}).to_string());
        } else if !told.is_null() {
            output::status(&format!(
                "{} accounts, {} of them unchanged; {} new bodies, {} bytes written",
                told["accounts"], told["unchanged"], told["bodies"], told["bytes"]
            ));
        }
    })?;
    output::result(&answer, json);
    let whole = answer["notes"].as_array().is_none_or(Vec::is_empty);
    Ok(ExitCode::from(u8::from(!whole)))
}

/// A folder's place does not depend on where the server stands.
pub(super) fn absolute(place: &str) -> anyhow::Result<String> {
    if place.starts_with("s3://") {
        return Ok(place.to_owned());
    }
    let path = std::path::absolute(place).with_context(|| format!("{place:?} is no folder"))?;
    let text = path.to_str().context("the folder's name is not UTF-8")?;
    Ok(text.to_owned())
}

/// Does something with a backup outside of any store; without a configuration the environment says how to reach S3.
pub(super) fn with_backup<T: Send + 'static>(
    context: &Context<'_>,
    from: &cli::BackupFrom,
    work: impl FnOnce(&backup::Backup<'_>, &Runtime) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let settings = match (context.config, place::load(context.config)) {
        (_, Ok(settings)) => settings,
        (None, Err(_)) => Settings::parse("").map_err(anyhow::Error::from)?,
        (Some(_), Err(error)) => return Err(error),
    };
    let places = Places::of(&settings)?;
    let from_place = absolute(&from.from)?;
    let given = from
        .passphrase_file
        .as_deref()
        .map(backups::read_secret)
        .transpose()?;
    let passphrase: Option<Passphrase> = places.passphrase(&from_place, given.as_deref())?;
    let executor =
        runtime::process::build(Some(COMMAND_WORKERS)).context("cannot start threads")?;
    let runtime = executor.runtime();
    let work = {
        let runtime = runtime.clone();
        move || {
            let target = places.target(&from_place, &runtime)?;
            let opened = backups::open(&*target, passphrase.as_ref())?;
            work(&opened, &runtime)
        }
    };
    let result = executor.block_on(runtime.blocking(work));
    executor.stop(STOP_TIMEOUT);
    result
}

fn list(context: &Context<'_>, from: &cli::BackupFrom) -> anyhow::Result<ExitCode> {
    let rows = with_backup(context, from, |backup, _| {
        let rows = backup.runs()?.into_iter().map(|(id, run)| match run {
            Ok(run) => json!({
                "run": id.to_string(),
                "accounts": run.manifest.accounts,
                "emails": run.manifest.emails,
                "octets": run.manifest.octets,
                "written": run.manifest.written,
                "full": run.manifest.full,
                "notes": run.manifest.notes.len(),
                "damaged": Value::Null,
            }),
            Err(error) => json!({"run": id.to_string(), "damaged": error.to_string()}),
        });
        Ok(rows.collect::<Vec<_>>())
    })?;
    output::result(&Value::Array(rows), context.json);
    Ok(ExitCode::SUCCESS)
}

fn check(context: &Context<'_>, from: &cli::BackupFrom) -> anyhow::Result<ExitCode> {
    let found = with_backup(context, from, |backup, _| {
        Ok(verify(backup, None, &mut ())?)
    })?;
    let whole = found.findings_count == 0;
    let answer = json!({
        "runs": found.runs,
        "accounts": found.accounts,
        "bodies": found.bodies,
        "bytes": found.bytes,
        "findings_count": found.findings_count,
        "findings": found.findings,
    });
    if context.json {
        output::result(&answer, true);
    } else {
        for finding in &found.findings {
            output::line(finding);
        }
        output::line(&format!(
            "{} runs checked, {} bodies, {} bytes; {} findings",
            found.runs, found.bodies, found.bytes, found.findings_count
        ));
        if !whole {
            output::line("posthouse backup --full writes everything anew.");
        }
    }
    Ok(ExitCode::from(u8::from(!whole)))
}
