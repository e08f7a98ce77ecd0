//! `make bench`: our server and its peers, measured by the same tool in the
//! same run, alternating at least seven times. Prints for each kind of work the
//! median ratio with its quartiles, as a table for docs/performance.md.
//!
//! `make bench BENCH=deliver` runs one kind of work; see [`KINDS`].
//! `POSTHOUSE_BENCH_ROUNDS`, `POSTHOUSE_BENCH_MESSAGES` and (for `relay`) `POSTHOUSE_BENCH_SIZE` change the size.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

mod changing;
mod door;
mod large;
mod limiting;
mod limits;
mod listing;
mod logins;
mod measure;
mod queueing;
mod reading;
mod resting;
mod resyncing;
mod retrieving;
mod saving;
mod searching;
mod sending;
mod servers;
mod side;

use anyhow::{Context as _, Result, bail};
use interop::world::{self, Needs, World};

/// One kind of work that is measured.
struct Kind {
    name: &'static str,
    run: fn(&mut World) -> Result<()>,
}

const KINDS: [Kind; 31] = [
    Kind {
        name: "deliver",
        run: sending::deliver,
    },
    Kind {
        name: "lmtp",
        run: sending::lmtp,
    },
    Kind {
        name: "relay",
        run: sending::relay,
    },
    Kind {
        name: "relays",
        run: sending::relays,
    },
    Kind {
        name: "relay-large",
        run: sending::relay_large,
    },
    Kind {
        name: "written",
        run: sending::written,
    },
    Kind {
        name: "limit",
        run: sending::limit,
    },
    Kind {
        name: "writers",
        run: sending::writers,
    },
    Kind {
        name: "growth",
        run: sending::growth,
    },
    Kind {
        name: "sessions",
        run: door::sessions,
    },
    Kind {
        name: "refuse",
        run: door::refuse,
    },
    Kind {
        name: "slow",
        run: door::slow,
    },
    Kind {
        name: "door",
        run: door::door,
    },
    Kind {
        name: "read",
        run: reading::read,
    },
    Kind {
        name: "search",
        run: searching::search,
    },
    Kind {
        name: "index",
        run: searching::index,
    },
    Kind {
        name: "change",
        run: changing::change,
    },
    Kind {
        name: "backup",
        run: saving::backup,
    },
    Kind {
        name: "idle",
        run: resting::idle,
    },
    Kind {
        name: "million",
        run: large::million,
    },
    Kind {
        name: "accounts",
        run: large::accounts,
    },
    Kind {
        name: "open",
        run: large::open,
    },
    Kind {
        name: "site",
        run: limiting::site,
    },
    Kind {
        name: "queue",
        run: queueing::queue,
    },
    Kind {
        name: "logins",
        run: logins::logins,
    },
    Kind {
        name: "list",
        run: listing::list,
    },
    Kind {
        name: "anew",
        run: listing::anew,
    },
    Kind {
        name: "transfer",
        run: listing::transfer,
    },
    Kind {
        name: "pop3",
        run: retrieving::pop3,
    },
    Kind {
        name: "resync",
        run: resyncing::resync,
    },
    Kind {
        name: "notice",
        run: resting::notice,
    },
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    if let Some(name) = std::env::var_os("POSTHOUSE_BENCH_INSIDE") {
        let kind = KINDS
            .iter()
            .find(|k| name == *k.name)
            .context("no such bench")?;
        return World::inside(Needs::Peers, kind.run);
    }
    if let Some(unknown) = wanted.iter().find(|w| KINDS.iter().all(|k| k.name != **w)) {
        bail!(
            "there is no bench {unknown}; there are {:?}",
            KINDS.map(|k| k.name)
        );
    }
    for kind in KINDS
        .iter()
        .filter(|k| wanted.is_empty() || wanted.iter().any(|w| w == k.name))
    {
        let status = world::command_inside(&std::env::current_exe()?)
            .env("POSTHOUSE_BENCH_INSIDE", kind.name)
            .status()?;
        if !status.success() {
            bail!("bench {} failed", kind.name);
        }
    }
    Ok(())
}
