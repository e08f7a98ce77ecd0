//! A PostgreSQL in a test's own folder, where nodes meet.

use crate::world::{World, wait_for};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const BIN: &str = "/usr/lib/postgresql/15/bin";
/// It does not run as root; who owns nothing may own this.
const AS_NOBODY: &str = "setpriv --reuid=nobody --regid=nogroup --clear-groups";

/// A database server; it ends with the world.
#[derive(Debug)]
pub struct Postgres {
    ip: String,
    dir: PathBuf,
    pid: u32,
}

impl Postgres {
    /// Starts one on `ip` with a user and a database `posthouse`, whose password it asks for.
    /// With a folder that holds a `key` and a `certificate` it speaks TLS.
    pub fn start(world: &mut World, ip: &str, tls: Option<&Path>) -> Result<Self> {
        let dir = world.folder(&format!("postgres-{ip}"))?;
        let d = dir.display();
        std::fs::write(dir.join("password"), crate::posthouse::PASSWORD)?;
        world.sh(&format!(
            "chmod 755 {} && chown nobody:nogroup {d} && {AS_NOBODY} {BIN}/initdb -D {d}/data -U posthouse \
             --auth-local=trust --auth-host=scram-sha-256 --pwfile={d}/password --no-sync -E UTF8 --locale=C >/dev/null",
            world.dir().display()
        ))?;
        let mut settings = format!(
            "listen_addresses = '{ip}'\nunix_socket_directories = '{d}'\njit = off\nmax_connections = 50\n"
        );
        if let Some(tls) = tls {
            let from = tls.display();
            world.sh(&format!(
                "cp {from}/key {from}/certificate {d}/data/ && chown nobody:nogroup {d}/data/key {d}/data/certificate && \
                 chmod 600 {d}/data/key && echo 'hostssl all all 0.0.0.0/0 scram-sha-256' > {d}/data/pg_hba.conf && \
                 echo 'local all all trust' >> {d}/data/pg_hba.conf && chown nobody:nogroup {d}/data/pg_hba.conf"
            ))?;
            settings += "ssl = on\nssl_cert_file = 'certificate'\nssl_key_file = 'key'\n";
        }
        let conf = dir.join("data/postgresql.conf");
        let before = std::fs::read_to_string(&conf)?;
        std::fs::write(&conf, before + &settings)?;
        let mut this = Self {
            ip: ip.to_owned(),
            dir,
            pid: 0,
        };
        this.run(world)?;
        this.sql(world, "postgres", "CREATE DATABASE posthouse")?;
        Ok(this)
    }

    fn run(&mut self, world: &mut World) -> Result<()> {
        let mut command = Command::new("setpriv");
        command.args(AS_NOBODY.split(' ').skip(1));
        command.arg(format!("{BIN}/postgres")).arg("-D");
        self.pid = world.start("postgres", command.arg(self.dir.join("data")))?;
        wait_for("PostgreSQL to answer", Duration::from_secs(30), || {
            Ok(self
                .sql(world, "postgres", "SELECT 1")
                .is_ok()
                .then_some(()))
        })
    }

    /// Ends it at once; what it has stored stays.
    pub fn stop(&self, world: &mut World) -> Result<()> {
        // SIGINT breaks connections off. Whoever waits for the process is the world.
        world.sh(&format!("kill -INT {}", self.pid))?;
        let file = self.dir.join("data/postmaster.pid");
        wait_for("PostgreSQL to end", Duration::from_secs(30), || {
            Ok((!file.exists()).then_some(()))
        })
    }

    /// Starts it again.
    pub fn start_again(&mut self, world: &mut World) -> Result<()> {
        self.run(world)
    }

    /// Its address, for `cluster.database`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("postgresql://posthouse@{}/posthouse", self.ip)
    }

    /// The file with its password.
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        self.dir.join("password")
    }

    /// What a statement gives, a line for each row.
    pub fn sql(&self, world: &World, database: &str, statement: &str) -> Result<String> {
        let dir = self.dir.display().to_string();
        let args = [
            "-h",
            &dir,
            "-U",
            "posthouse",
            "-d",
            database,
            "-Atc",
            statement,
        ];
        world.output("psql", args)
    }
}
