//! Dovecot: LMTP and IMAP, every user with one password.

use crate::Result;
use crate::world::{World, wait_for_port};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How Dovecot syncs; both are shown beside ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Everything, as we do.
    Always,
    /// As shipped: new mail, not flags.
    Optimized,
}

/// How it is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How it syncs.
    pub fsync: Fsync,
    /// How mailboxes are kept: sdbox, mdbox, maildir.
    pub format: &'static str,
    /// Login processes serve one connection after another, as its own advice for
    /// speed has it, or one each, as shipped.
    pub kept_logins: bool,
    /// A folder with `key` and `certificate`, for IMAP with TLS on 993.
    pub tls: Option<PathBuf>,
    /// How many sessions there may be.
    pub sessions: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            fsync: Fsync::Always,
            format: "sdbox",
            kept_logins: true,
            tls: None,
            sessions: 6000,
        }
    }
}

/// A running Dovecot.
#[derive(Debug)]
pub struct Dovecot {
    ip: String,
    dir: PathBuf,
    /// The master process.
    pub pid: u32,
    /// The LMTP socket for Postfix.
    pub lmtp: String,
    /// The socket where Postfix asks for passwords.
    pub auth: String,
}

impl Dovecot {
    /// Starts Dovecot on `ip` (LMTP 24, IMAP 143, POP3 110) with sdbox mailboxes.
    pub fn start(world: &mut World, ip: &str, password: &str, fsync: Fsync) -> Result<Self> {
        let setup = Setup {
            fsync,
            ..Setup::default()
        };
        Self::start_with(world, ip, password, &setup)
    }

    /// The same, set up otherwise.
    pub fn start_with(world: &mut World, ip: &str, password: &str, setup: &Setup) -> Result<Self> {
        let Setup {
            fsync,
            format,
            kept_logins,
            tls,
            sessions,
        } = setup;
        let dir = world.folder(&format!("dovecot-{ip}"))?;
        let d = dir.display().to_string();
        std::fs::create_dir_all(dir.join("home"))?;
        std::fs::create_dir_all(dir.join("run"))?;
        world.sh(&format!("chown dovecot {d}/home && chmod 755 {d} {d}/run"))?;
        let fsync = match fsync {
            Fsync::Always => "always",
            Fsync::Optimized => "optimized",
        };
        let logins = match kept_logins {
            true => "service_count = 0\n process_min_avail = 2\n client_limit = 5000",
            false => "service_count = 1\n process_limit = 1000",
        };
        let (ssl, imaps) = match tls {
            Some(folder) => {
                let f = folder.display();
                let ssl = format!("ssl = yes\nssl_cert = <{f}/certificate\nssl_key = <{f}/key\n");
                (ssl, 993)
            }
            None => ("ssl = no\n".to_owned(), 0),
        };
        let conf = format!(
            "base_dir = {d}/run\nstate_dir = {d}/run\nlog_path = /dev/stderr\nprotocols = imap lmtp pop3\nlisten = {ip}\n\
             {ssl}disable_plaintext_auth = no\nmail_fsync = {fsync}\nmail_location = {format}:~/mail\nauth_cache_size = 10M\n\
             first_valid_uid = 100\nmail_max_userip_connections = 20000\nlmtp_save_to_detail_mailbox = no\n\
             passdb {{\n driver = static\n args = password={password}\n}}\n\
             userdb {{\n driver = static\n args = uid=dovecot gid=dovecot home={d}/home/%u allow_all_users=yes\n}}\n\
             service anvil {{\n chroot =\n client_limit = 20000\n}}\nservice auth {{\n client_limit = 20000\n unix_listener {d}/run/posthouse-auth {{\n mode = 0666\n }}\n}}\n\
             service stats {{\n chroot =\n}}\n\
             service lmtp {{\n process_min_avail = 4\n unix_listener {d}/run/posthouse-lmtp {{\n mode = 0666\n }}\n inet_listener lmtp {{\n port = 24\n }}\n}}\n\
             service imap-login {{\n chroot =\n {logins}\n inet_listener imaps {{\n port = {imaps}\n ssl = yes\n }}\n}}\n\
             service imap {{\n process_limit = {sessions}\n}}\n\
             service pop3-login {{\n chroot =\n inet_listener pop3s {{\n port = 0\n }}\n}}\n\
             namespace inbox {{\n inbox = yes\n}}\n"
        );
        std::fs::write(dir.join("dovecot.conf"), conf)?;
        let pid = Self::launch(world, ip, &dir)?;
        Ok(Self {
            ip: ip.into(),
            dir,
            pid,
            lmtp: format!("{d}/run/posthouse-lmtp"),
            auth: format!("{d}/run/posthouse-auth"),
        })
    }

    fn launch(world: &mut World, ip: &str, dir: &Path) -> Result<u32> {
        let pid = world.start(
            &format!("dovecot-{ip}"),
            Command::new("dovecot")
                .arg("-F")
                .arg("-c")
                .arg(dir.join("dovecot.conf")),
        )?;
        wait_for_port(&format!("{ip}:143"))?;
        Ok(pid)
    }

    /// Ends Dovecot; its mailboxes stay.
    pub fn stop(&self, world: &mut World) -> Result<()> {
        world.signal(self.pid, "TERM")
    }

    /// Starts it again after [`Dovecot::stop`].
    pub fn start_again(&mut self, world: &mut World) -> Result<()> {
        self.pid = Self::launch(world, &self.ip, &self.dir)?;
        Ok(())
    }
}
