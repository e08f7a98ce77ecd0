//! `posthouse demo`: a throw-away system on loopback, or the one that a folder holds.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use admin::control::Commands as _;
use anyhow::Context as _;
use settings::Settings;

use super::init;
use crate::acts::{AccountAdd, Acts, DomainAdd, request};
use crate::store::Store;
use crate::wire::{self, Quiet, Ready};
use crate::{cli, output};

const PASSWORD: &str = "demo";
const DOMAINS: [&str; 2] = ["demo.test", "other.test"];
const ADMIN: &str = "admin@demo.test";
const PEOPLE: [&str; 3] = ["alice@demo.test", "bob@demo.test", "carol@other.test"];

pub(super) fn run(args: &cli::Demo) -> anyhow::Result<ExitCode> {
    // Removed with everything in it when this value is dropped at the end.
    let (folder, kept) = match &args.dir {
        Some(dir) => (None, dir.clone()),
        None => {
            let folder = tempfile::Builder::new()
                .prefix("posthouse-demo-")
                .tempdir()
                .context("cannot make a folder for the demo; name one with --dir")?;
            let path = folder.path().to_owned();
            (Some(folder), path)
        }
    };
    let config = find_or_write(&kept, args.port_base)?;
    let settings = Settings::load(&config)?;
    let quiet = if args.quiet { Quiet::Yes } else { Quiet::No };
    wire::run(&settings, quiet, populate, |ready| {
        if !args.quiet {
            output::line(&welcome(&config, ready));
        }
        output::line(&format!("ready {}", ready.url()));
    })?;
    drop(folder);
    Ok(ExitCode::SUCCESS)
}

/// The folder's configuration, as it is when there is one.
fn find_or_write(dir: &Path, port_base: u16) -> anyhow::Result<PathBuf> {
    let config = dir.join("posthouse.toml");
    if config.exists() {
        return Ok(config);
    }
    let mut values = init::private_ports(port_base)?;
    values.push(("hostname", "\"mail.demo.test\"".to_owned()));
    values.push(("outbound.mode", "\"demo\"".to_owned()));
    values.push(("auth.plaintext_on_loopback", "true".to_owned()));
    init::write(dir, &values)
}

/// The domains and people of the demo; those that are there already stay as they are.
async fn populate(store: Arc<Store>) -> anyhow::Result<()> {
    if !store.directory.domain_list().await?.is_empty() {
        return Ok(());
    }
    let acts = Acts::new(store);
    for domain in DOMAINS {
        let domain = DomainAdd {
            domain: domain.to_owned(),
            administrator: Some(ADMIN.to_owned()),
            catch_all: None,
        };
        acts.run(request("domain.add", &domain)?).await?;
    }
    for (addresses, admin) in [(&[ADMIN][..], true), (&PEOPLE[..], false)] {
        let account = AccountAdd {
            addresses: addresses.iter().map(ToString::to_string).collect(),
            password: Some(PASSWORD.to_owned()),
            admin,
            hash: None,
        };
        acts.run(request("account.add", &account)?).await?;
    }
    Ok(())
}

fn welcome(config: &Path, ready: &Ready) -> String {
    use std::fmt::Write as _;

    let mut out = String::from("A throw-away mail system on this machine. Ctrl-C ends it.\n\n");
    let _ = writeln!(out, "  accounts   {}, {ADMIN}", PEOPLE.join(", "));
    let _ = writeln!(out, "  password   {PASSWORD} for each");
    for (name, addresses) in &ready.listening {
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "  {name:<10} {}", shown.join(", "));
    }
    let _ = writeln!(out, "  config     {}", config.display());
    let port = |name: &str| ready.first(name).map_or(0, |address| address.port());
    let _ = write!(
        out,
        "\nTry it: a message to Alice, and her mailbox:\n\n  \
         printf 'Subject: hello\\r\\n\\r\\nHi Alice\\r\\n' | curl -s smtp://127.0.0.1:{}/client.test --mail-from me@client.test --mail-rcpt alice@demo.test -T -\n  \
         curl -s 'imap://127.0.0.1:{}/INBOX;MAILINDEX=1' -u alice@demo.test:{PASSWORD}\n",
        port("smtp"),
        port("imap"),
    );
    out
}
