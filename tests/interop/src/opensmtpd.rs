//! OpenSMTPD as another organisation's server: it receives for its domain into
//! one Maildir and sends what loopback gives it, finding others by DNS.

use crate::maildir;
use crate::world::{World, wait_for, wait_for_port};
use anyhow::{Context as _, Result};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A running OpenSMTPD.
#[derive(Debug)]
pub struct OpenSmtpd {
    mail: PathBuf,
    /// The parent of its processes.
    pub pid: u32,
}

impl OpenSmtpd {
    /// Starts OpenSMTPD on `ip`, port 25, as the server of `domain` and all its
    /// users. It offers no SMTPUTF8: version 6.8 has none.
    pub fn start(world: &mut World, ip: &str, domain: &str) -> Result<Self> {
        Self::start_with(world, ip, domain, ("", ""))
    }

    /// As [`OpenSmtpd::start`], with actions and matches before its own.
    pub fn start_with(
        world: &mut World,
        ip: &str,
        domain: &str,
        more: (&str, &str),
    ) -> Result<Self> {
        let dir = world.folder(&format!("opensmtpd-{ip}"))?;
        let d = dir.display().to_string();
        world.certificate(&dir, &format!("mx.{domain}"))?;
        std::fs::write(dir.join("smtpd.conf"), conf(&d, ip, domain, more))?;
        // Its spool, its empty folder and its socket have fixed places: they are
        // laid over those of the machine, for this world alone.
        world.sh(&format!(
            "chmod 600 {d}/key && mkdir -p {d}/mail {d}/var/lib/opensmtpd/empty {d}/var/spool/smtpd {d}/run && \
             mount -t overlay overlay -o lowerdir={d}/var:/var /var && mount -t tmpfs tmpfs /var/spool/smtpd && \
             chmod 711 /var/spool/smtpd && mount --bind {d}/run /run && \
             chown opensmtpd {d}/mail && chmod 755 {d} {}",
            world.dir().display()
        ))?;
        world.sh(&format!("ip addr add {ip}/32 dev lo || true"))?;
        let pid = world.start(
            "opensmtpd",
            Command::new("/usr/sbin/smtpd")
                .args(["-d", "-f"])
                .arg(dir.join("smtpd.conf")),
        )?;
        wait_for_port(&format!("{ip}:25")).context("OpenSMTPD does not listen")?;
        Ok(Self {
            mail: dir.join("mail"),
            pid,
        })
    }

    /// Waits until a message with `needle` has come; gives its bytes as OpenSMTPD stored them.
    pub fn wait_for_mail(&self, needle: &str) -> Result<Vec<u8>> {
        let what = format!("a message with {needle:?} at OpenSMTPD");
        wait_for(&what, Duration::from_secs(60), || {
            maildir::find(&self.mail, needle.as_bytes())
        })
    }
}

fn conf(d: &str, ip: &str, domain: &str, (actions, matches): (&str, &str)) -> String {
    format!(
        "pki ours cert \"{d}/certificate\"\npki ours key \"{d}/key\"\nsmtp max-message-size \"100M\"\n\
         table all {{ \"@\" = \"opensmtpd\" }}\n\
         listen on {ip} port 25 tls pki ours hostname mx.{domain}\n\
         action \"here\" maildir \"{d}/mail\" virtual <all>\n\
         action \"there\" relay src {ip} helo mx.{domain}\n\
         {actions}{matches}match from any for domain \"{domain}\" action \"here\"\n\
         match from src {{ 127.0.0.1, {ip} }} for any action \"there\"\n"
    )
}
