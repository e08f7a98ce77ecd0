//! What strangers' servers go through, from the settings.

use std::sync::Arc;

use envelope::Domain;
use policy::check::{Check, Checks, Names, Options, hello, iprev};
use runtime::Runtime;
use settings::{CheckMode, Settings};

/// The checks that are on, in the order of asking.
pub(super) fn checks(
    settings: &Settings,
    hostname: &str,
    runtime: &Runtime,
    names: &Arc<dyn Names>,
) -> Checks {
    let door = &settings.door;
    let options = Options {
        exempt: door.exempt.clone(),
        refuse_at: i32::try_from(door.refuse_at).unwrap_or(i32::MAX),
    };
    let host = Domain::parse(hostname).ok();
    let mut checks: Vec<Arc<dyn Check>> = Vec::new();
    let mut add = |mode: CheckMode, check: Arc<dyn Check>| {
        if mode != CheckMode::Off {
            checks.push(check);
        }
    };
    let mode = door.helo_own_name;
    add(mode, Arc::new(hello::OwnName { mode, host }));
    let mode = door.helo_syntax;
    add(mode, Arc::new(hello::Syntax { mode }));
    let mode = door.helo_literal;
    add(mode, Arc::new(hello::Literal { mode }));
    let (mode, reverse) = (door.iprev, names.clone());
    add(
        mode,
        Arc::new(iprev::ReverseName::new(mode, reverse, runtime)),
    );
    let (mode, names) = (door.helo_mismatch, names.clone());
    add(mode, Arc::new(hello::Mismatch { mode, names }));
    Checks::new(runtime, options, checks)
}
