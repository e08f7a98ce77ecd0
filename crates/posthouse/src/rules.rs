//! The rules file of the settings: read at the start, and again on SIGHUP.
//!
//! Invariant: one with mistakes never comes into force; at the start it keeps the server from starting, later the rules
//! before it stay.

use std::path::Path;

use policy::rules::CurrentRules;
use settings::rules::Rules;

/// The rules of a file; without a file there are none.
pub(crate) fn load(file: &Path) -> anyhow::Result<CurrentRules> {
    read(file).map(CurrentRules::new)
}

/// Puts in force what the file says now.
pub(crate) fn reload(file: &Path, rules: &CurrentRules) -> anyhow::Result<()> {
    rules.replace(read(file)?);
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Rules> {
    if file.as_os_str().is_empty() {
        return Ok(Rules::default());
    }
    Ok(Rules::load(file)?)
}
