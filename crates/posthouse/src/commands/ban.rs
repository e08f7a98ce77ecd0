//! `posthouse ban`.

use std::process::ExitCode;

use serde_json::Value;

use super::Context;
use crate::acts::{BanAdd, Named, request};
use crate::cli::Ban;

pub(super) fn run(context: &Context<'_>, command: Ban) -> anyhow::Result<ExitCode> {
    context.act(match command {
        Ban::Add {
            network,
            until,
            reason,
        } => request(
            "ban.add",
            &BanAdd {
                network,
                until,
                reason,
            },
        ),
        Ban::List => request("ban.list", &Value::Null),
        Ban::Lift { network } => request("ban.lift", &Named { name: network }),
    }?)
}
