//! Cyrus 3.6: LMTP and IMAP, as its Debian package sets it up, syncing all it
//! acknowledges (it knows no other way).
//!
//! Not here: search indexes, and processes for other protocols.

use crate::Result;
use crate::imap::Client;
use crate::world::{World, wait_for_port};
use anyhow::ensure;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What it has besides IMAP and LMTP.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// A folder with `key` and `certificate`, for IMAP with TLS on 993.
    pub tls: Option<PathBuf>,
    /// POP3 on 110.
    pub pop3: bool,
    /// The process by which sessions in IDLE hear of changes; they look every
    /// minute without.
    pub idled: bool,
    /// How many sessions there may be, 1,000 if none.
    pub sessions: u32,
}

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
        Self::start_with(world, ip, password, users, &Setup::default())
    }

    /// The same with more.
    pub fn start_with(
        world: &mut World,
        ip: &str,
        password: &str,
        users: &[String],
        setup: &Setup,
    ) -> Result<Self> {
        let dir = world.folder(&format!("cyrus-{ip}"))?;
        let d = dir.display().to_string();
        for sub in ["conf/socket", "spool", "sieve", "volatile"] {
            std::fs::create_dir_all(dir.join(sub))?;
        }
        std::fs::write(dir.join("imapd.conf"), imapd_conf(&d, setup))?;
        std::fs::write(dir.join("cyrus.conf"), cyrus_conf(&d, ip, setup))?;
        std::fs::write(dir.join("nsswitch.conf"), NSSWITCH)?;
        for user in users {
            add_user(&dir, user, password)?;
        }
        if let Some(tls) = &setup.tls {
            for file in ["key", "certificate"] {
                std::fs::copy(tls.join(file), dir.join(file))?;
            }
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

fn imapd_conf(d: &str, setup: &Setup) -> String {
    let tls = match setup.tls {
        Some(_) => format!("tls_server_cert: {d}/certificate\ntls_server_key: {d}/key\n"),
        None => String::new(),
    };
    format!(
        "configdirectory: {d}/conf\ndefaultpartition: default\npartition-default: {d}/spool\nsievedir: {d}/sieve\n\
         proc_path: {d}/volatile/proc\nmboxname_lockpath: {d}/volatile/lock\n\
         lmtpsocket: {d}/volatile/socket/lmtp\nidlesocket: {d}/volatile/socket/idle\nnotifysocket: {d}/volatile/socket/notify\n\
         hashimapspool: true\naltnamespace: yes\nunixhierarchysep: yes\nvirtdomains: userid\n\
         autocreate_quota: 0\nallowplaintext: yes\n\
         sasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\nsasl_sasldb_path: {d}/sasldb2\nsasl_mech_list: PLAIN\n{tls}"
    )
}

/// Each program is told its configuration; the one compiled in is `/etc/imapd.conf`.
fn cyrus_conf(d: &str, ip: &str, setup: &Setup) -> String {
    let program = |name: &str, args: &str| {
        format!("cmd=\"/usr/lib/cyrus/bin/{name} -C {d}/imapd.conf {args}\"")
    };
    let most = if setup.sessions == 0 {
        1000
    } else {
        setup.sessions
    };
    let mut services = format!(
        " imap {} listen=\"{ip}:143\" prefork=2 maxchild={most}\n lmtp {} listen=\"{ip}:24\" prefork=4 maxchild=100\n",
        program("imapd", "-U 30"),
        program("lmtpd", "-a"),
    );
    if setup.tls.is_some() {
        services += &format!(
            " imaps {} listen=\"{ip}:993\" prefork=2 maxchild={most}\n",
            program("imapd", "-s -U 30")
        );
    }
    if setup.pop3 {
        services += &format!(
            " pop3 {} listen=\"{ip}:110\" prefork=1 maxchild=50\n",
            program("pop3d", "")
        );
    }
    let recover = program("ctl_cyrusdb", "-r");
    let checkpoint = program("ctl_cyrusdb", "-c");
    let mut start = format!(" recover {recover}\n");
    if setup.idled {
        start += &format!(" idled {}\n", program("idled", ""));
    }
    format!(
        "START {{\n{start}}}\nSERVICES {{\n{services}}}\nEVENTS {{\n checkpoint {checkpoint} period=30\n}}\n"
    )
}

const NSSWITCH: &str = "passwd: files\ngroup: files\nservices: files\nhosts: files\n";
