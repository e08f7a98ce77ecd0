//! Checks of the tree itself: `cargo xtask tidy`.
//!
//! Floors and owners from `floors.toml` against `cargo metadata` ([`floors`]), what every source file must
//! be like ([`sources`]), and the tests that documents name ([`named`]). Each finding names the file, the rule and what to do. Exit status 1 when there is one.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its standard streams"
)]

mod floors;
mod named;
mod sources;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("tidy"), None) => tidy(),
        _ => {
            eprintln!("usage: cargo xtask tidy");
            ExitCode::from(2)
        }
    }
}

fn tidy() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let findings = floors::Rules::load(root).and_then(|rules| {
        let mut findings = floors::check(root, &rules)?;
        findings.extend(sources::check(root, &rules)?);
        findings.extend(named::check(root, &sources::files(root)?)?);
        Ok(findings)
    });
    match findings {
        Ok(findings) if findings.is_empty() => {
            println!("tidy: floors, owners and sources are as they should be");
            ExitCode::SUCCESS
        }
        Ok(findings) => {
            for finding in &findings {
                println!("{finding}");
            }
            println!("tidy: {} findings", findings.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tidy cannot look: {error:#}");
            ExitCode::from(2)
        }
    }
}
