//! `posthouse serve`: runs until SIGTERM.

use std::process::ExitCode;

use super::Context;
use crate::wire::{self, Quiet};
use crate::{output, place};

pub(super) fn run(context: &Context<'_>) -> anyhow::Result<ExitCode> {
    let settings = place::load(context.config)?;
    wire::run(
        &settings,
        Quiet::No,
        |_| async { Ok(()) },
        |ready| {
            output::line(&format!("ready {}", ready.url()));
        },
    )?;
    Ok(ExitCode::SUCCESS)
}
