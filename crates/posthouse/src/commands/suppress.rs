//! `posthouse suppress`.

use std::process::ExitCode;

use super::Context;
use crate::acts::{Named, SuppressAdd, SuppressList, request};
use crate::cli::Suppress;

pub(super) fn run(context: &Context<'_>, command: Suppress) -> anyhow::Result<ExitCode> {
    context.act(match command {
        Suppress::Add {
            address,
            until,
            reason,
        } => request(
            "suppress.add",
            &SuppressAdd {
                address,
                until,
                reason,
            },
        ),
        Suppress::List { after } => request("suppress.list", &SuppressList { after }),
        Suppress::Show { address } => request("suppress.show", &Named { name: address }),
        Suppress::Lift { address } => request("suppress.lift", &Named { name: address }),
    }?)
}
