//! Where things are: the configuration file, the data folder, the server's name.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use engine::folders;
use settings::Settings;

/// Where a configuration is looked for when none is named.
const DEFAULTS: [&str; 2] = ["./posthouse.toml", "/etc/posthouse/posthouse.toml"];

/// The configuration file that a command means.
pub(crate) fn config_path(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    match DEFAULTS.iter().map(Path::new).find(|path| path.exists()) {
        Some(path) => Ok(path.to_owned()),
        None => bail!(
            "there is no {} or {}; make one with `posthouse init --dir DIR --domain DOMAIN --admin ADDRESS`, or name one with --config FILE",
            DEFAULTS[0],
            DEFAULTS[1]
        ),
    }
}

/// The settings that a command means.
pub(crate) fn load(named: Option<&Path>) -> anyhow::Result<Settings> {
    Ok(Settings::load(&config_path(named)?)?)
}

/// The name of this server for others: the configured one, or the machine's own.
pub(crate) fn hostname(settings: &Settings) -> String {
    if !settings.general.hostname.is_empty() {
        return settings.general.hostname.clone();
    }
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}

/// Makes the data folder when it is not there, for its owner alone.
pub(crate) fn make_data_dir(path: &Path) -> anyhow::Result<()> {
    folders::make(path, folders::PRIVATE)
        .with_context(|| format!("cannot make the data folder {}", path.display()))
}
