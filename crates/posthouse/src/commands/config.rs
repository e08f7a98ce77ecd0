//! `posthouse config`: the file, not the running server.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;
use settings::rules::Rules;
use settings::{LoadError, Settings};

use super::Context;
use crate::cli::Config;
use crate::{output, place};

pub(super) fn run(context: &Context<'_>, command: &Config) -> anyhow::Result<ExitCode> {
    match command {
        Config::Get { key } => get(context, key)?,
        Config::Set { changes } => set(context, changes)?,
        Config::Check => return check(context),
        Config::Explain { key } => {
            let text = settings::explain(key).map_err(|error| anyhow!(error))?;
            say(context, "explanation", text.trim_end());
        }
        Config::Reference => output::line(settings::reference().trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

fn get(context: &Context<'_>, key: &str) -> anyhow::Result<()> {
    let path = place::config_path(context.config)?;
    let value = settings::shown(&read(&path)?, key).map_err(|error| anyhow!(error))?;
    say(context, key, &value);
    Ok(())
}

fn set(context: &Context<'_>, words: &[String]) -> anyhow::Result<()> {
    let (pairs, odd) = words.as_chunks::<2>();
    if let [key] = odd {
        bail!("{key} has no value; `posthouse config explain {key}` says what it takes");
    }
    let changes: Vec<(&str, &str)> = pairs
        .iter()
        .map(|[key, value]| (key.as_str(), value.as_str()))
        .collect();
    let path = place::config_path(context.config)?;
    let edited = settings::edit(&read(&path)?, &changes)?;
    replace(&path, &edited)?;
    for (key, _) in changes {
        let value = settings::shown(&edited, key).map_err(|error| anyhow!(error))?;
        say(context, key, &value);
    }
    Ok(())
}

fn check(context: &Context<'_>) -> anyhow::Result<ExitCode> {
    let path = place::config_path(context.config)?;
    let loaded = Settings::load(&path).and_then(|settings| {
        let rules = &settings.policy.rules;
        if !rules.as_os_str().is_empty() {
            Rules::load(rules)?;
        }
        Ok(settings)
    });
    match loaded {
        Ok(_) => {
            if context.json {
                output::result(&json!([]), true);
            } else {
                output::line(&format!("{} is as it should be", path.display()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(LoadError::Mistaken { mistakes, .. }) if context.json => {
            let all = mistakes.0.iter().map(|mistake| {
                json!({
                    "line": mistake.line,
                    "key": mistake.key,
                    "problem": mistake.problem,
                    "hint": mistake.hint,
                })
            });
            output::result(&all.collect(), true);
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(error.into()),
    }
}

fn say(context: &Context<'_>, key: &str, value: &str) {
    if context.json {
        output::result(&json!({ key: value }), true);
    } else {
        output::line(value);
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Puts the new text in the file's place at once, with the old file's permissions.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let target = fs::canonicalize(path)?;
    let half = target.with_extension("toml.new");
    let write = || {
        let permissions = fs::metadata(&target)?.permissions();
        let mut file = fs::File::create(&half)?;
        file.set_permissions(permissions)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&half, &target)?;
        target.parent().map_or(Ok(()), engine::folders::sync)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
