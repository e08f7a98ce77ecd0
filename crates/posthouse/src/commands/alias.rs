//! `posthouse alias`.

use std::process::ExitCode;

use super::Context;
use crate::acts::{AliasAdd, Named, OfDomain, request};
use crate::cli::Alias;

pub(super) fn run(context: &Context<'_>, command: Alias) -> anyhow::Result<ExitCode> {
    context.act(match command {
        Alias::Add { address, targets } => request("alias.add", &AliasAdd { address, targets }),
        Alias::List { domain } => request("alias.list", &OfDomain { domain }),
        Alias::Remove { address } => request("alias.remove", &Named { name: address }),
    }?)
}
