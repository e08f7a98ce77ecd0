//! Our server of this build, run as an operator would run it.

use crate::world::{World, wait_for, wait_for_port};
use anyhow::{Context as _, Result, ensure};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The password of every account that tests make.
pub const PASSWORD: &str = "correct-horse-7";

/// A data folder with its configuration, and the server while it runs.
#[derive(Debug)]
pub struct Posthouse {
    dir: PathBuf,
    ip: String,
    pid: Option<u32>,
    vars: Vec<(String, String)>,
}

/// The server program of the build that the tests belong to.
#[must_use]
pub fn program() -> PathBuf {
    let exe = std::env::current_exe().expect("a running program has a file");
    let dir = exe.parent().expect("a file is in a folder");
    // Tests lie in target/PROFILE/deps, programs in target/PROFILE.
    let dir = if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    dir.join("posthouse")
}

impl Posthouse {
    /// `posthouse init` for `domain` with proper ports on `ip`, and the
    /// accounts; it does not run yet.
    pub fn init(world: &World, ip: &str, domain: &str, users: &[&str]) -> Result<Self> {
        let dir = world.dir().join(format!("posthouse-{ip}"));
        let secret = world.dir().join("password");
        std::fs::write(&secret, PASSWORD)?;
        let mut admin = Command::new(program());
        admin
            .arg("init")
            .arg("--dir")
            .arg(&dir)
            .args(["--domain", domain]);
        admin
            .args(["--admin", &format!("admin@{domain}"), "--password-file"])
            .arg(&secret);
        let this = Self {
            dir,
            ip: ip.into(),
            pid: None,
            vars: Vec::new(),
        };
        run(&mut admin)?;
        for (key, port) in [
            ("smtp", 25),
            ("lmtp", 24),
            ("submission", 587),
            ("submissions", 465),
            ("imap", 143),
            ("imaps", 993),
            ("pop3", 110),
            ("pop3s", 995),
            ("http", 80),
        ] {
            this.set(&format!("listen.{key}"), &format!("[\"{ip}:{port}\"]"))?;
        }
        this.set("hostname", &format!("\"mx.{domain}\""))?;
        this.set("resolver.servers", &format!("[\"{}\"]", crate::dns::ADDR))?;
        // Our small IMAP client has no TLS; the real clients use it.
        this.set("auth.plaintext_on_loopback", "true")?;
        this.set("outbound.allow_networks", "[\"127.0.0.0/8\"]")?;
        for user in users {
            this.cli(&[
                "account",
                "add",
                &format!("{user}@{domain}"),
                "--password-file",
                &secret.display().to_string(),
            ])?;
        }
        Ok(this)
    }

    /// `posthouse config set`.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        self.cli(&["config", "set", key, value]).map(drop)
    }

    /// Runs a command of ours on this system and gives its output.
    pub fn cli(&self, args: &[&str]) -> Result<String> {
        run(Command::new(program())
            .args(args)
            .arg("--config")
            .arg(self.config()))
    }

    /// As [`Posthouse::cli`], with its system calls written to `trace`.
    pub fn cli_traced(&self, args: &[&str], trace: &Path) -> Result<String> {
        let args = args.iter().map(OsStr::new);
        let config = self.config();
        run_traced(
            args.chain([OsStr::new("--config"), config.as_os_str()]),
            trace,
        )
    }

    /// As [`Posthouse::cli`], with the exit status as part of the answer.
    pub fn try_cli(&self, args: &[&str]) -> Result<(Option<i32>, String)> {
        let out = Command::new(program())
            .args(args)
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .output()?;
        let text = [out.stdout, out.stderr].concat();
        Ok((
            out.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("posthouse.toml")
    }

    /// The data folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The address with `port`.
    #[must_use]
    pub fn addr(&self, port: u16) -> String {
        format!("{}:{port}", self.ip)
    }

    /// An environment variable for the server's next start.
    pub fn var(&mut self, name: &str, value: &str) {
        self.vars.push((name.into(), value.into()));
    }

    /// `posthouse serve`, until every port accepts.
    pub fn serve(&mut self, world: &mut World) -> Result<u32> {
        self.serve_as(world, Command::new(program()))
    }

    /// As [`Posthouse::serve`], with its system calls written to `trace`.
    pub fn serve_traced(&mut self, world: &mut World, trace: &Path) -> Result<u32> {
        let mut strace = Command::new("strace");
        // The tracer is a grandchild, so that the child is the server itself.
        strace.args(["-D", "-f", "-yy", "-s", "9999999"]);
        strace.args(["-e", crate::strace::CALLS, "-o"]);
        strace.arg(trace).arg(program());
        self.serve_as(world, strace)
    }

    fn serve_as(&mut self, world: &mut World, mut command: Command) -> Result<u32> {
        command.arg("serve").arg("--config").arg(self.config());
        command.envs(self.vars.iter().map(|(name, value)| (name, value)));
        let pid = world.start(&format!("posthouse-{}", self.ip), &mut command)?;
        self.pid = Some(pid);
        let text = std::fs::read_to_string(self.config())?;
        for port in [25, 24, 587, 465, 143, 993, 110, 995] {
            let addr = self.addr(port);
            if text.contains(&addr) {
                wait_for_port(&addr)
                    .with_context(|| format!("the server does not listen on {addr}"))?;
            }
        }
        Ok(pid)
    }

    /// Ends the server with `signal` and waits for it.
    pub fn end(&mut self, world: &mut World, signal: &str) -> Result<()> {
        let pid = self.pid.take().context("the server runs")?;
        world.signal(pid, signal)
    }

    /// Pulls the plug: the server and all it started die at once. An error
    /// when it was dead already.
    pub fn kill(&mut self, world: &mut World) -> Result<()> {
        let pid = self.pid.take().context("the server runs")?;
        ensure!(world.is_running(pid), "the server died by itself");
        world.kill_group(pid)
    }

    /// Submits a message of Alice's by curl, over STARTTLS and with her password.
    pub fn submit(&self, world: &World, to: &[&str], message: &[u8]) -> Result<()> {
        self.submit_as(world, "alice@demo.test", to, message)
    }

    /// The same of somebody else's.
    pub fn submit_as(&self, world: &World, from: &str, to: &[&str], message: &[u8]) -> Result<()> {
        let file = world.dir().join("message.eml");
        std::fs::write(&file, message)?;
        let mut args: Vec<String> = ["--silent", "--show-error", "--insecure", "--ssl-reqd"]
            .map(str::to_owned)
            .to_vec();
        args.extend([
            "--url".into(),
            format!("smtp://{}/client.demo.test", self.addr(587)),
            "--user".into(),
            format!("{from}:{PASSWORD}"),
            "--mail-from".into(),
            from.into(),
        ]);
        for to in to {
            args.extend(["--mail-rcpt".into(), (*to).into()]);
        }
        args.extend(["--upload-file".into(), file.display().to_string()]);
        world.output("curl", args).map(drop)
    }

    /// Waits until a message with `needle` is in a mailbox; gives its bytes.
    pub fn wait_for_mail(&self, user: &str, needle: &str) -> Result<Vec<u8>> {
        wait_for(
            &format!("a message with {needle:?} for {user}"),
            Duration::from_secs(60),
            || {
                let mut imap = crate::imap::Client::login(&self.addr(143), user, PASSWORD)?;
                let all = imap.messages("INBOX")?;
                Ok(all.into_iter().find(|m| contains(m, needle.as_bytes())))
            },
        )
    }

    /// `fsck` finds nothing.
    pub fn assert_sound(&self) -> Result<()> {
        let (code, text) = self.try_cli(&["fsck"])?;
        ensure!(code == Some(0), "fsck has findings:\n{text}");
        Ok(())
    }
}

/// Runs a command of ours to its end, with its system calls written to `trace`.
pub fn run_traced<'a>(args: impl IntoIterator<Item = &'a OsStr>, trace: &Path) -> Result<String> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-yy", "-s", "4096", "-e", crate::strace::CALLS, "-o"]);
    run(strace.arg(trace).arg(program()).args(args))
}

/// True when `needle` is somewhere in `haystack`.
#[must_use]
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

fn run(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?}"))?;
    ensure!(
        out.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
