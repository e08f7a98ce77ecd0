//! Cyrus 3.6: LMTP and IMAP, as its Debian package sets it up, syncing all it
//! acknowledges (it knows no other way).
//!
//! Not here: TLS, POP3, search indexes, and processes for other protocols.

use crate::Result;
use crate::imap::Client;
use crate::world::{World, wait_for_port};
use anyhow::ensure;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running Cyrus.
#[derive(Debug)]
pub struct Cyrus {
    ip: String,
    dir: PathBuf,
    /// The master process.
    pub pid: u32,
}

impl Cyrus {
    /// Starts Cyrus on `ip` (LMTP 24, IMAP 143) for `users`, which are whole
    /// addresses.
    pub fn start(world: &mut World, ip: &str, password: &str, users: &[String]) -> Result<Self> {
        let dir = world.folder(&format!("cyrus-{ip}"))?;
        let d = dir.display().to_string();
        for sub in ["conf/socket", "spool", "sieve", "volatile"] {
            std::fs::create_dir_all(dir.join(sub))?;
        }
        std::fs::write(dir.join("imapd.conf"), imapd_conf(&d))?;
        std::fs::write(dir.join("cyrus.conf"), cyrus_conf(&d, ip))?;
        std::fs::write(dir.join("nsswitch.conf"), NSSWITCH)?;
        for user in users {
            add_user(&dir, user, password)?;
        }
        world.sh(&format!(
            "chown -R cyrus:cyrus {d} && chmod 755 {d} {}",
            world.dir().display()
        ))?;
        let pid = Self::launch(world, ip, &dir)?;
        for user in users {
            // Makes the mailbox. Left to the first messages, all but one of them would be refused.
            Client::login(&format!("{ip}:143"), user, password)?;
        }
        Ok(Self {
            ip: ip.into(),
            dir,
            pid,
        })
    }

    /// Its own mounts: names are looked up without DNS, or it would ask for each
    /// client; process and lock files are in memory, as its package has them.
    fn launch(world: &mut World, ip: &str, dir: &Path) -> Result<u32> {
        let d = dir.display();
        let line = format!(
            "mount --bind {d}/nsswitch.conf /etc/nsswitch.conf && mount -t tmpfs tmpfs {d}/volatile && \
             mkdir {d}/volatile/proc {d}/volatile/lock {d}/volatile/socket && chown -R cyrus:cyrus {d}/volatile && \
             exec /usr/lib/cyrus/bin/master -C {d}/imapd.conf -M {d}/cyrus.conf -D -p {d}/volatile/pid"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c"]);
        let pid = world.start(&format!("cyrus-{ip}"), command.arg(line))?;
        wait_for_port(&format!("{ip}:143"))?;
        Ok(pid)
    }

    /// Ends Cyrus; its mailboxes stay.
    pub fn stop(&self, world: &mut World) -> Result<()> {
        world.signal(self.pid, "TERM")
    }

    /// Starts it again after [`Cyrus::stop`].
    pub fn start_again(&mut self, world: &mut World) -> Result<()> {
        self.pid = Self::launch(world, &self.ip, &self.dir)?;
        Ok(())
    }
}

fn add_user(dir: &Path, user: &str, password: &str) -> Result<()> {
    let (name, domain) = user.split_once('@').unwrap_or((user, ""));
    let mut child = Command::new("saslpasswd2")
        .args(["-p", "-c", "-u", domain, "-f"])
        .arg(dir.join("sasldb2"))
        .arg(name)
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(password.as_bytes())?;
    }
    ensure!(child.wait()?.success(), "saslpasswd2 failed for {user}");
    Ok(())
}

fn imapd_conf(d: &str) -> String {
    format!(
        "configdirectory: {d}/conf\ndefaultpartition: default\npartition-default: {d}/spool\nsievedir: {d}/sieve\n\
         proc_path: {d}/volatile/proc\nmboxname_lockpath: {d}/volatile/lock\n\
         lmtpsocket: {d}/volatile/socket/lmtp\nidlesocket: {d}/volatile/socket/idle\nnotifysocket: {d}/volatile/socket/notify\n\
         hashimapspool: true\naltnamespace: yes\nunixhierarchysep: yes\nvirtdomains: userid\n\
         autocreate_quota: 0\nallowplaintext: yes\n\
         sasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\nsasl_sasldb_path: {d}/sasldb2\nsasl_mech_list: PLAIN\n"
    )
}

/// Each program is told its configuration; the one compiled in is `/etc/imapd.conf`.
fn cyrus_conf(d: &str, ip: &str) -> String {
    let program = |name: &str, args: &str| {
        format!("cmd=\"/usr/lib/cyrus/bin/{name} -C {d}/imapd.conf {args}\"")
    };
    format!(
        "START {{\n recover {}\n}}\nSERVICES {{\n imap {} listen=\"{ip}:143\" prefork=2 maxchild=1000\n \
         lmtp {} listen=\"{ip}:24\" prefork=4 maxchild=100\n}}\nEVENTS {{\n checkpoint {} period=30\n}}\n",
        program("ctl_cyrusdb", "-r"),
        program("imapd", "-U 30"),
        program("lmtpd", "-a"),
        program("ctl_cyrusdb", "-c"),
    )
}

const NSSWITCH: &str = "passwd: files\ngroup: files\nservices: files\nhosts: files\n";
