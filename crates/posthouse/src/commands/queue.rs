//! `posthouse queue`.

use std::process::ExitCode;

use super::Context;
use crate::acts::{Which, request};
use crate::cli::{self, Queue};

pub(super) fn run(context: &Context<'_>, command: Queue) -> anyhow::Result<ExitCode> {
    let (name, which) = match command {
        Queue::List(which) => ("queue.list", which),
        Queue::Show(which) => ("queue.show", which),
        Queue::Retry(which) => ("queue.retry", which),
        Queue::Hold(which) => ("queue.hold", which),
        Queue::Release(which) => ("queue.release", which),
        Queue::Remove(which) => ("queue.remove", which),
    };
    let cli::Which {
        ids,
        all,
        domain,
        sender,
    } = which;
    let which = Which {
        ids,
        all,
        domain,
        sender,
    };
    context.act(request(name, &which)?)
}
