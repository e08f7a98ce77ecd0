//! A new folder is there after a power cut: under strace, the folder above each
//! one that our program makes is synced when the command that made it ends.
//!
//! Without that, a power cut soon after `init` could take the whole new store,
//! however well its journal was synced.

use anyhow::ensure;
use interop::Result;
use interop::posthouse::{Posthouse, run_traced};
use interop::strace::Trace;
use interop::world::{Needs, run};
use std::ffi::OsStr;
use std::path::Path;

#[test]
fn the_name_of_every_new_folder_is_synced() {
    run(
        "folders::the_name_of_every_new_folder_is_synced",
        Needs::Program("strace"),
        |world| {
            let trace = world.dir().join("trace");
            let secret = world.dir().join("secret");
            std::fs::write(&secret, interop::posthouse::PASSWORD)?;
            let house = world.dir().join("some/where/house");
            let args = [
                "init".as_ref(),
                "--dir".as_ref(),
                house.as_os_str(),
                "--domain".as_ref(),
                "demo.test".as_ref(),
                "--admin".as_ref(),
                "admin@demo.test".as_ref(),
                "--password-file".as_ref(),
                secret.as_os_str(),
            ];
            run_traced(args.into_iter().map(AsRef::<OsStr>::as_ref), &trace)?;
            check(&trace, world.dir(), &["house", "data", "store", "journal"])?;

            let ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["user"])?;
            let place = world.dir().join("far/away/backups");
            let place = place.to_string_lossy();
            ours.cli_traced(&["backup", "--to", &place], &trace)?;
            check(&trace, world.dir(), &["far", "away", "backups", "packs"])?;

            let data = world.dir().join("an/other/data");
            ours.set("data_dir", &format!("{data:?}"))?;
            ours.cli_traced(&["restore", "--from", &place], &trace)?;
            check(&trace, world.dir(), &["other", "data", "store"])
        },
    );
}

/// Each folder that was made has its name on the disk, and `expected` are among them.
fn check(trace: &Path, root: &Path, expected: &[&str]) -> Result<()> {
    let made = Trace::read(trace)?.new_folders(root);
    // The index is made again from the journal, whatever is left of it.
    let of_index = |path: &Path| path.iter().any(|part| part == "index");
    let lost: Vec<_> = made
        .iter()
        .filter(|(path, synced)| !synced && !of_index(path))
        .map(|(path, _)| path.display().to_string())
        .collect();
    ensure!(lost.is_empty(), "a power cut may take {}", lost.join(", "));
    for name in expected {
        let there = made.iter().any(|(path, _)| path.ends_with(name));
        ensure!(there, "{name} was not made: {made:?}");
    }
    Ok(())
}
