//! The namespaces a test lives in, its scratch folder and its processes.
//!
//! [`run`] starts the test again inside `unshare --net --mount`; the inner
//! run does the work. Without root, or without the unpacked peers, the test is
//! skipped with a line that says so; with `POSTHOUSE_CI=1` that is a failure.

use anyhow::{Context as _, Result, bail, ensure};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const INSIDE: &str = "POSTHOUSE_TEST_WORLD";

/// One test's surroundings. Dropping it ends its processes and removes its folder.
#[derive(Debug)]
pub struct World {
    dir: PathBuf,
    children: Vec<Child>,
    mounts: Vec<PathBuf>,
}

/// What a test needs besides namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Our own server only.
    Nothing,
    /// A program of this machine.
    Program(&'static str),
    /// The unpacked peers and the tools that `tests/interop/prepare` installs.
    Peers,
    /// Node with these packages, which `tests/interop/prepare` gets where there is npm.
    Node(&'static [&'static str]),
    /// The Python with its packages that `tests/interop/prepare` gets.
    Python,
}

/// Runs `test` in a world of its own. `name` is the test's full path as the
/// test runner prints it.
///
/// # Panics
/// When the test fails, with its error.
pub fn run(name: &str, needs: Needs, test: impl FnOnce(&mut World) -> Result<()>) {
    if std::env::var_os(INSIDE).is_some() {
        let mut world = World::enter(needs).expect("the world can be set up");
        if let Err(error) = test(&mut world) {
            world.show_logs();
            panic!("{error:?}");
        }
        return;
    }
    if let Some(reason) = why_not(needs) {
        assert!(
            std::env::var_os("POSTHOUSE_CI").is_none(),
            "{name} cannot run: {reason}"
        );
        note_skip(&format!("SKIPPED {name}: {reason}"));
        return;
    }
    let exe = std::env::current_exe().expect("a test has an executable");
    let status = command_inside(&exe)
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare can be started");
    assert!(status.success(), "{name} failed; its output is above");
}

/// A command that runs `program` in namespaces of its own.
#[must_use]
pub fn command_inside(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(program);
    command
}

fn why_not(needs: Needs) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root for its own network namespace".into());
    }
    if let Needs::Program(program) = needs
        && Command::new(program).arg("--version").output().is_err()
    {
        return Some(format!("{program} is not installed"));
    }
    if let Needs::Node(packages) = needs
        && let Some(missing) = packages.iter().find(|p| !node_modules().join(p).is_dir())
    {
        return Some(format!(
            "{missing} is not there: run tests/interop/prepare where there is npm"
        ));
    }
    if needs == Needs::Python && !tree().join("target/peers/python/packages").exists() {
        return Some("the Python with packages is not there: run tests/interop/prepare".into());
    }
    if needs == Needs::Peers && !peers_root().join("usr/sbin/nsd").exists() {
        return Some("the peers are not unpacked: run tests/interop/prepare as root".into());
    }
    None
}

/// `tests/run` counts these lines at the end.
pub fn note_skip(line: &str) {
    use std::io::Write as _;
    eprintln!("{line}");
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(tree().join("target/skipped"));
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{line}");
    }
}

/// The top of the source tree.
#[must_use]
pub fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the tree exists")
}

/// Where the peers' packages are unpacked.
#[must_use]
pub fn peers_root() -> PathBuf {
    tree().join("target/peers/root")
}

/// The Python that has aiosmtplib, aioimaplib and IMAPClient.
#[must_use]
pub fn python() -> PathBuf {
    tree().join("target/peers/python/bin/python3")
}

/// Where packages for Node are.
#[must_use]
pub fn node_modules() -> PathBuf {
    tree().join("target/peers/node/node_modules")
}

/// Where nodemailer is.
#[must_use]
pub fn nodemailer() -> PathBuf {
    node_modules().join("nodemailer")
}

impl World {
    /// Does `work` in a world, in a process that [`command_inside`] started.
    pub fn inside(needs: Needs, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let mut world = Self::enter(needs)?;
        work(&mut world).inspect_err(|_| world.show_logs())
    }

    fn enter(needs: Needs) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("posthouse-world-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let world = Self {
            dir,
            children: Vec::new(),
            mounts: Vec::new(),
        };
        world.sh("ip link set lo up")?;
        if needs == Needs::Peers {
            world.lay_peers_over_usr()?;
        }
        Ok(world)
    }

    /// The peers' compiled-in paths, users and groups exist for this world only.
    fn lay_peers_over_usr(&self) -> Result<()> {
        let usr = peers_root().join("usr");
        self.sh(&format!(
            "mount -t overlay overlay -o lowerdir={}:/usr /usr",
            usr.display()
        ))
        .context("laying the unpacked peers over /usr")?;
        let add = |file: &str, lines: &str| -> Result<()> {
            let copy = self.dir.join(file);
            let old = std::fs::read_to_string(format!("/etc/{file}"))?;
            std::fs::write(&copy, format!("{}\n{lines}", old.trim_end()))?;
            self.sh(&format!("mount --bind {} /etc/{file}", copy.display()))
        };
        let users = [
            "postfix",
            "dovecot",
            "dovenull",
            "nsd",
            "cyrus",
            "Debian-exim",
            "opensmtpd",
            "opensmtpq",
        ];
        let line = |(n, user): (usize, &&str)| {
            let id = 11101 + n;
            format!("{user}:x:{id}:{id}::/nonexistent:/usr/sbin/nologin\n")
        };
        add(
            "passwd",
            &users.iter().enumerate().map(line).collect::<String>(),
        )?;
        let groups = [&users[..], &["postdrop"]].concat();
        let line = |(n, group): (usize, &&str)| format!("{group}:x:{}:\n", 11101 + n);
        add(
            "group",
            &groups.iter().enumerate().map(line).collect::<String>(),
        )?;
        for (file, text) in [
            ("resolv.conf", "nameserver 127.0.0.53\n"),
            ("nsswitch.conf", NSSWITCH),
        ] {
            let copy = self.dir.join(file);
            std::fs::write(&copy, text)?;
            self.sh(&format!("mount --bind {} /etc/{file}", copy.display()))?;
        }
        Ok(())
    }

    /// The scratch folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a folder below the scratch folder.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Makes a folder that is in memory: for programs that make tens of thousands of files.
    pub fn folder_in_memory(&mut self, name: &str) -> Result<PathBuf> {
        let path = self.folder(name)?;
        self.sh(&format!("mount -t tmpfs tmpfs {}", path.display()))?;
        self.mounts.push(path.clone());
        Ok(path)
    }

    /// Makes a certificate of its own for `name`, on P-256, as `key` and
    /// `certificate` in the folder.
    pub fn certificate(&self, folder: &Path, name: &str) -> Result<()> {
        let d = folder.display();
        self.sh(&format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -subj /CN={name} -keyout {d}/key -out {d}/certificate 2>/dev/null"
        ))
    }

    /// Runs a shell line and insists that it succeeds.
    pub fn sh(&self, line: &str) -> Result<()> {
        self.output("sh", ["-c", line]).map(drop)
    }

    /// Runs a program to its end and gives what it printed.
    pub fn output<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let (ok, text) = self.try_output(program, args)?;
        ensure!(ok, "{program} failed:\n{text}");
        Ok(text)
    }

    /// As [`World::output`], but a failure is an answer too.
    pub fn try_output<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<(bool, String)> {
        let out = Command::new(program)
            .args(args)
            .current_dir(&self.dir)
            .env("HOME", &self.dir)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("starting {program}"))?;
        let mut text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&out.stderr));
        Ok((out.status.success(), text))
    }

    /// Starts a server whose output goes to `name.log`; it ends with the world.
    pub fn start(&mut self, name: &str, command: &mut Command) -> Result<u32> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join(format!("{name}.log")))?;
        let child = command
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let pid = child.id();
        self.children.push(child);
        Ok(pid)
    }

    /// Sends a signal to a process of this world (`TERM`, `KILL`, `HUP`) and,
    /// for the ending ones, waits for its end.
    pub fn signal(&mut self, pid: u32, signal: &str) -> Result<()> {
        self.sh(&format!("kill -{signal} {pid}"))?;
        if matches!(signal, "TERM" | "KILL")
            && let Some(at) = self.children.iter().position(|c| c.id() == pid)
        {
            self.children.swap_remove(at).wait()?;
        }
        Ok(())
    }

    /// Ends a process of this world and all that it started, in no time.
    pub fn kill_group(&mut self, pid: u32) -> Result<()> {
        let group = rustix::process::Pid::from_raw(pid.cast_signed()).context("a pid")?;
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
        if let Some(at) = self.children.iter().position(|c| c.id() == pid) {
            self.children.swap_remove(at).wait()?;
        }
        Ok(())
    }

    /// True while a process of this world runs.
    pub fn is_running(&mut self, pid: u32) -> bool {
        self.children
            .iter_mut()
            .find(|c| c.id() == pid)
            .is_some_and(|c| matches!(c.try_wait(), Ok(None)))
    }

    /// The log of a process started under `name`.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(format!("{name}.log"))).unwrap_or_default()
    }

    fn show_logs(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return;
        };
        for path in entries.flatten().map(|e| e.path()) {
            if path.extension().is_some_and(|e| e == "log") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let lines: Vec<_> = text.lines().collect();
                let tail = &lines[lines.len().saturating_sub(60)..];
                eprintln!("--- {}\n{}", path.display(), tail.join("\n"));
            }
        }
    }
}

/// Asks again and again, at most for `limit`, until the answer is there.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > end {
            bail!("waited {} s in vain for {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Waits until something accepts connections at `addr`.
pub fn wait_for_port(addr: &str) -> Result<()> {
    wait_for(
        &format!("a listener at {addr}"),
        Duration::from_secs(20),
        || Ok(std::net::TcpStream::connect(addr).ok().map(drop)),
    )
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.children {
            if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            }
            let _ = child.wait();
        }
        if std::env::var_os("POSTHOUSE_TEST_KEEP").is_none() {
            for path in &self.mounts {
                let _ = Command::new("umount").arg(path).status();
            }
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";
