//! Postfix as another organisation's server: it receives for its domain into
//! Maildirs and sends what loopback gives it, finding others by DNS.

use crate::world::{World, wait_for, wait_for_port};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A running Postfix.
#[derive(Debug)]
pub struct Postfix {
    ip: String,
    dir: PathBuf,
    pid: u32,
}

impl Postfix {
    /// Starts Postfix on `ip`, port 25, as the server of `domain` with `users`.
    pub fn start(world: &mut World, ip: &str, domain: &str, users: &[&str]) -> Result<Self> {
        Self::start_with(world, ip, domain, users, "")
    }

    /// As [`Postfix::start`], with lines added to main.cf.
    pub fn start_with(
        world: &mut World,
        ip: &str,
        domain: &str,
        users: &[&str],
        settings: &str,
    ) -> Result<Self> {
        let dir = world.folder(&format!("postfix-{ip}"))?;
        let (etc, d) = (dir.join("etc"), dir.display().to_string());
        std::fs::create_dir_all(&etc)?;
        for sub in ["queue", "data", "mail"] {
            std::fs::create_dir_all(dir.join(sub))?;
        }
        let maps: String = users
            .iter()
            .map(|u| format!("{u}@{domain} {domain}/{u}/\n"))
            .collect();
        std::fs::write(etc.join("users"), maps)?;
        std::fs::write(etc.join("main.cf"), main_cf(&d, ip, domain) + settings)?;
        std::fs::write(etc.join("master.cf"), master_cf(ip))?;
        std::fs::write(etc.join("dynamicmaps.cf"), "")?;
        world.sh(&format!(
            "cd {d}/queue && mkdir -p active bounce corrupt defer deferred flush hold incoming \
             maildrop pid private public saved trace && chown postfix * && chown root pid . && \
             chgrp postdrop maildrop public && chmod 730 maildrop && chmod 710 public && chmod 700 private && \
             chown -R postfix {d}/data {d}/mail && chmod 755 {d} {}",
            world.dir().display()
        ))?;
        // Postfix wants to see its address on an interface.
        world.sh(&format!("ip addr add {ip}/32 dev lo || true"))?;
        let pid = Self::launch(world, &dir)?;
        wait_for_port(&format!("{ip}:25")).context("Postfix does not listen")?;
        Ok(Self {
            ip: ip.into(),
            dir,
            pid,
        })
    }

    fn launch(world: &mut World, dir: &Path) -> Result<u32> {
        world.start(
            "postfix",
            Command::new("/usr/lib/postfix/sbin/master")
                .arg("-c")
                .arg(dir.join("etc"))
                .arg("-d")
                .env("MAIL_LOGTAG", "postfix"),
        )
    }

    /// The master process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The folders that hold messages which are not delivered yet.
    #[must_use]
    pub fn queue_folders(&self) -> Vec<PathBuf> {
        let folders = ["maildrop", "incoming", "active", "deferred"];
        folders
            .map(|name| self.dir.join("queue").join(name))
            .to_vec()
    }

    /// Ends Postfix; its queue and mailboxes stay.
    pub fn stop(&self, world: &mut World) -> Result<()> {
        world.signal(self.pid, "TERM")
    }

    /// Starts it again after [`Postfix::stop`].
    pub fn start_again(&mut self, world: &mut World) -> Result<()> {
        self.pid = Self::launch(world, &self.dir)?;
        wait_for_port(&format!("{}:25", self.ip))
    }

    /// Waits for a message of `user` and gives its bytes as Postfix stored them.
    pub fn wait_for_mail(&self, address: &str) -> Result<Vec<u8>> {
        let found = wait_for(
            &format!("mail for {address} at Postfix"),
            Duration::from_secs(60),
            || Ok(self.mail(address)?.into_iter().next()),
        );
        found.with_context(|| self.log())
    }

    /// Every message of `user`, as Postfix stored them.
    pub fn mail(&self, address: &str) -> Result<Vec<Vec<u8>>> {
        let (user, domain) = address.split_once('@').context("an address has an @")?;
        let new = self.dir.join("mail").join(domain).join(user).join("new");
        let Ok(entries) = std::fs::read_dir(new) else {
            return Ok(Vec::new());
        };
        entries.map(|e| Ok(std::fs::read(e?.path())?)).collect()
    }

    /// What Postfix logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("mail.log")).unwrap_or_default()
    }
}

fn main_cf(d: &str, ip: &str, domain: &str) -> String {
    format!(
        "compatibility_level = 3.6\nqueue_directory = {d}/queue\ndata_directory = {d}/data\n\
         maillog_file = {d}/mail.log\nmaillog_file_prefixes = {d}\nmail_owner = postfix\nsetgid_group = postdrop\n\
         daemon_directory = /usr/lib/postfix/sbin\ncommand_directory = /usr/sbin\nmeta_directory = {d}/etc\nshlib_directory = /usr/lib/postfix\n\
         myhostname = mx.{domain}\nmydestination =\ninet_interfaces = {ip}\ninet_protocols = ipv4\nmynetworks = 127.0.0.1/32 {ip}/32\n\
         smtp_bind_address = {ip}\nsmtp_tls_security_level = may\nsmtputf8_enable = yes\n\
         virtual_mailbox_domains = {domain}\nvirtual_mailbox_maps = texthash:{d}/etc/users\nvirtual_mailbox_base = {d}/mail\n\
         virtual_uid_maps = static:11101\nvirtual_gid_maps = static:11101\nvirtual_minimum_uid = 100\nmessage_size_limit = 104857600\nvirtual_mailbox_limit = 0\n\
         smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nsmtpd_client_connection_count_limit = 0\nsmtpd_client_connection_rate_limit = 0\n\
         minimal_backoff_time = 2s\nqueue_run_delay = 2s\nalias_maps =\nalias_database =\nlocal_recipient_maps =\nsmtp_host_lookup = dns, native\n"
    )
}

fn master_cf(ip: &str) -> String {
    // 465 listens for all; a password it takes where main.cf says how.
    let mut text = format!(
        "{ip}:25 inet n - n - - smtpd\n{ip}:465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"
    );
    for line in [
        "pickup unix n - n 60 1 pickup",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "verify unix - - n - 1 verify",
        "flush unix n - n 1000? 0 flush",
        "proxymap unix - - n - - proxymap",
        "smtp unix - - n - - smtp",
        "relay unix - - n - - smtp",
        "showq unix n - n - - showq",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "discard unix - - n - - discard",
        "local unix - n n - - local",
        "virtual unix - n n - - virtual",
        "lmtp unix - - n - - lmtp",
        "anvil unix - - n - 1 anvil",
        "scache unix - - n - 1 scache",
        "postlog unix-dgram n - n - 1 postlogd",
    ] {
        text.push_str(line);
        text.push('\n');
    }
    text
}
