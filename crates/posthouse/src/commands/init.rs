//! `posthouse init`: a configuration, a data folder, a first domain and its administrator.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use engine::folders;
use envelope::{Address, Domain};
use serde_json::json;

use super::Context;
use crate::acts::{AccountAdd, DomainAdd, request};
use crate::{ask, cli, output, password, place};

/// Others may look into the folder of the configuration; what is theirs not to see has its own mode.
const DIR_MODE: u32 = 0o755;

/// The usual ports; all are on one address in a private installation.
pub(crate) const PORTS: [(&str, u16); 10] = [
    ("listen.smtp", 25),
    ("listen.lmtp", 24),
    ("listen.submission", 587),
    ("listen.submissions", 465),
    ("listen.imap", 143),
    ("listen.imaps", 993),
    ("listen.pop3", 110),
    ("listen.pop3s", 995),
    ("listen.http", 80),
    ("listen.https", 443),
];

pub(super) fn run(context: &Context<'_>, args: &cli::Init) -> anyhow::Result<ExitCode> {
    let domain =
        Domain::parse(&args.domain).with_context(|| format!("{:?} is no domain", args.domain))?;
    let admin = Address::parse(&args.admin)
        .with_context(|| format!("{:?} is no mail address", args.admin))?;
    if admin.domain() != &domain {
        bail!("the administrator {admin} is not in the domain {domain}; add other domains later");
    }
    let config = args.dir.join("posthouse.toml");
    if config.exists() {
        bail!("{} is there already; nothing was changed", config.display());
    }
    let password = password::read(&args.password, &args.admin)?;
    let hostname = match &args.hostname {
        Some(hostname) => hostname.clone(),
        None => format!("mail.{}", domain.to_ascii()),
    };
    let mut values = vec![("hostname", format!("{hostname:?}"))];
    values.extend(match args.port_base {
        Some(base) => private_ports(base)?,
        None => usual_ports(),
    });
    write(&args.dir, &values)?;
    populate(&config, &args.domain, &args.admin, &password)?;
    if context.json {
        output::result(
            &json!({"config": config, "domain": domain.to_string()}),
            true,
        );
    } else {
        output::line(&format!(
            "{} is written. Next:\n  posthouse serve --config {}",
            config.display(),
            config.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The usual ports plus `base`, on loopback.
pub(crate) fn private_ports(base: u16) -> anyhow::Result<Vec<(&'static str, String)>> {
    PORTS
        .iter()
        .map(|(key, port)| match base.checked_add(*port) {
            Some(port) => Ok((*key, format!("[\"127.0.0.1:{port}\"]"))),
            None => {
                bail!("with the port base {base}, {key} would be above 65535; take a smaller one")
            }
        })
        .collect()
}

/// What a machine of its own listens on: LMTP and the small HTTP service stay private.
fn usual_ports() -> Vec<(&'static str, String)> {
    PORTS
        .iter()
        .filter(|(key, _)| *key != "listen.https")
        .map(|(key, port)| {
            let value = match *key {
                "listen.lmtp" => format!("[\"127.0.0.1:{port}\"]"),
                "listen.http" => "[\"127.0.0.1:8080\"]".to_owned(),
                _ => format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]"),
            };
            (*key, value)
        })
        .collect()
}

/// Writes the configuration and makes the data folder.
pub(crate) fn write(dir: &Path, values: &[(&str, String)]) -> anyhow::Result<PathBuf> {
    let config = dir.join("posthouse.toml");
    folders::make(dir, DIR_MODE).with_context(|| format!("cannot make {}", dir.display()))?;
    place::make_data_dir(&dir.join("data"))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&config)
        .with_context(|| format!("cannot write {}", config.display()))?;
    file.write_all(settings::render(values).as_bytes())?;
    file.sync_all()?;
    folders::sync(dir)?;
    Ok(config)
}

/// Makes the first domain and its administrator, who answers for the domain's role addresses.
fn populate(config: &Path, domain: &str, admin: &str, password: &str) -> anyhow::Result<()> {
    let domain = DomainAdd {
        domain: domain.to_owned(),
        administrator: Some(admin.to_owned()),
        catch_all: None,
    };
    let account = AccountAdd {
        addresses: vec![admin.to_owned()],
        password: Some(password.to_owned()),
        admin: true,
        hash: None,
    };
    ask::ask_all(
        Some(config),
        vec![
            request("domain.add", &domain)?,
            request("account.add", &account)?,
        ],
    )
    .map(drop)
}
