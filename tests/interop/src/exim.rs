//! Exim as another organisation's server: it receives for its domain into one
//! Maildir and sends what loopback gives it, finding others by DNS.

use crate::maildir;
use crate::world::{World, wait_for, wait_for_port};
use anyhow::{Context as _, Result};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Does it offer and use TLS?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Where the other side does, with a certificate that it makes itself.
    Opportunistic,
    /// Never.
    Off,
}

/// A running Exim.
#[derive(Debug)]
pub struct Exim {
    dir: PathBuf,
    /// The daemon's process.
    pub pid: u32,
}

impl Exim {
    /// Starts Exim on `ip`, port 25, as the server of `domain` and all its users.
    pub fn start(world: &mut World, ip: &str, domain: &str, tls: Tls) -> Result<Self> {
        Self::start_with(world, ip, domain, tls, "")
    }

    /// As [`Exim::start`], with a router before that which asks the DNS.
    pub fn start_with(
        world: &mut World,
        ip: &str,
        domain: &str,
        tls: Tls,
        router: &str,
    ) -> Result<Self> {
        Self::start_by(world, ip, |d| conf(d, ip, domain, tls, router))
    }

    /// As [`Exim::start`] without TLS, with so many connections from one client at once, and a
    /// second of delay for each recipient.
    pub fn start_limited(
        world: &mut World,
        ip: &str,
        domain: &str,
        connections: usize,
    ) -> Result<Self> {
        let limit = format!("smtp_accept_max = 200\nsmtp_accept_max_per_host = {connections}\n");
        Self::start_by(world, ip, |d| {
            conf(d, ip, domain, Tls::Off, "")
                .replace("smtp_accept_max = 0\n", &limit)
                .replace("rcpt:\n", "rcpt:\n  warn delay = 1s\n")
        })
    }

    fn start_by(world: &mut World, ip: &str, conf: impl FnOnce(&str) -> String) -> Result<Self> {
        let dir = world.folder(&format!("exim-{ip}"))?;
        let d = dir.display().to_string();
        std::fs::write(dir.join("exim.conf"), conf(&d))?;
        world.sh(&format!(
            "mkdir -p {d}/spool {d}/log {d}/mail && chown -R Debian-exim {d}/spool {d}/log {d}/mail && chmod 755 {d} {}",
            world.dir().display()
        ))?;
        world.sh(&format!("ip addr add {ip}/32 dev lo || true"))?;
        let pid = world.start(
            "exim",
            Command::new("/usr/sbin/exim4")
                .args(["-bdf", "-q2s", "-C"])
                .arg(dir.join("exim.conf")),
        )?;
        wait_for_port(&format!("{ip}:25")).context("Exim does not listen")?;
        Ok(Self { dir, pid })
    }

    /// Waits until a message with `needle` has come; gives its bytes as Exim stored them.
    pub fn wait_for_mail(&self, needle: &str) -> Result<Vec<u8>> {
        let what = format!("a message with {needle:?} at Exim");
        let mail = self.dir.join("mail");
        let found = wait_for(&what, Duration::from_secs(60), || {
            maildir::find(&mail, needle.as_bytes())
        });
        found.with_context(|| self.log())
    }

    /// What Exim logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log/main")).unwrap_or_default()
    }
}

fn conf(d: &str, ip: &str, domain: &str, tls: Tls, router: &str) -> String {
    let (offer, avoid) = match tls {
        Tls::Opportunistic => ("*", ":"),
        Tls::Off => (":", "*"),
    };
    format!(
        "primary_hostname = mx.{domain}\nspool_directory = {d}/spool\nlog_file_path = {d}/log/%s\npid_file_path = {d}/pid\n\
         local_interfaces = {ip}\ndaemon_smtp_ports = 25\nhost_lookup =\nrfc1413_query_timeout = 0s\nkeep_environment =\n\
         smtp_accept_max = 0\nmessage_size_limit = 100M\nchunking_advertise_hosts = *\nsmtputf8_advertise_hosts = *\n\
         tls_advertise_hosts = {offer}\nqueue_run_max = 20\nacl_smtp_rcpt = rcpt\n\
         domainlist local_domains = {domain}\nhostlist ours = 127.0.0.1 : {ip}\n\
         begin acl\nrcpt:\n  accept hosts = +ours\n  accept domains = +local_domains\n  deny message = relay not permitted\n\
         begin routers\n\
         here:\n  driver = accept\n  domains = +local_domains\n  transport = maildir\n\
         {router}there:\n  driver = dnslookup\n  transport = remote\n  self = send\n  no_more\n\
         begin transports\n\
         remote:\n  driver = smtp\n  interface = {ip}\n  allow_localhost\n  hosts_avoid_tls = {avoid}\n  message_linelength_limit = 1G\n\
         maildir:\n  driver = appendfile\n  directory = {d}/mail\n  maildir_format\n  user = Debian-exim\n\
         begin retry\n* * F,1h,2s\n"
    )
}
