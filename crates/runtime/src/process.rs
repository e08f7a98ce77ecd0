//! What the binary alone needs: the executor, signals, privileges, limits, the service manager.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::{Runtime, limits};

/// The threads that run everything.
#[derive(Debug)]
pub struct Executor {
    inner: tokio::runtime::Runtime,
}

/// Builds the executor; `workers` is the number of worker threads, one per core when `None`.
///
/// # Errors
/// When the system gives no threads.
pub fn build(workers: Option<usize>) -> io::Result<Executor> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers.max(1));
    }
    let inner = builder
        .enable_all()
        .max_blocking_threads(limits::BLOCKING_THREADS_MAX)
        .thread_name("posthouse")
        .build()?;
    Ok(Executor { inner })
}

impl Executor {
    /// The handle for everything that will run here.
    #[must_use]
    pub fn runtime(&self) -> Runtime {
        let _inside = self.inner.enter();
        Runtime::new()
    }

    /// Runs `future` on this thread while the workers run the tasks.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.inner.block_on(future)
    }

    /// Ends what still runs: tasks at their next await, blocking work after `patience` at the latest.
    pub fn stop(self, patience: Duration) {
        self.inner.shutdown_timeout(patience);
    }
}

/// What the operator or the service manager asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: drain and end.
    Terminate,
    /// SIGHUP: read certificates again.
    Reload,
}

/// The signals the process listens to.
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Terminate,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

/// Why privileges could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegesError {
    /// No such user on this machine.
    #[error("there is no user called {0} on this machine; create it or change the setting `user`")]
    NoSuchUser(String),
    /// The system refused.
    #[error("cannot become user {user}: {error}; only root can")]
    Refused {
        /// Whom we wanted to be.
        user: String,
        /// What the system said.
        error: io::Error,
    },
}

/// Becomes `user` with that user's groups, for good and for all threads. A process that is that user already
/// stays as it is.
///
/// # Errors
/// When there is no such user or the system refuses.
pub fn drop_privileges(user: &str) -> Result<(), PrivilegesError> {
    let refused = |error: nix::Error| PrivilegesError::Refused {
        user: user.to_owned(),
        error: error.into(),
    };
    let entry = nix::unistd::User::from_name(user)
        .map_err(refused)?
        .ok_or_else(|| PrivilegesError::NoSuchUser(user.to_owned()))?;
    if nix::unistd::geteuid() == entry.uid {
        return Ok(());
    }
    let name =
        std::ffi::CString::new(user).map_err(|_| PrivilegesError::NoSuchUser(user.to_owned()))?;
    nix::unistd::initgroups(&name, entry.gid).map_err(refused)?;
    nix::unistd::setgid(entry.gid).map_err(refused)?;
    nix::unistd::setuid(entry.uid).map_err(refused)?;
    Ok(())
}

/// The ids of a user on this machine, for giving files to it.
///
/// # Errors
/// When there is no such user.
pub fn user_ids(user: &str) -> Result<(u32, u32), PrivilegesError> {
    match nix::unistd::User::from_name(user) {
        Ok(Some(entry)) => Ok((entry.uid.as_raw(), entry.gid.as_raw())),
        _ => Err(PrivilegesError::NoSuchUser(user.to_owned())),
    }
}

/// The name of a user on this machine.
#[must_use]
pub fn user_name(id: u32) -> Option<String> {
    let entry = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id));
    entry.ok().flatten().map(|entry| entry.name)
}

/// The name of the user who runs this process.
#[must_use]
pub fn own_user() -> Option<String> {
    user_name(nix::unistd::getuid().as_raw())
}

/// Whether this process may do anything.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Raises the number of open files to what the system allows and says how many that are; `None` is no limit.
pub fn raise_open_files() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refusal leaves the limit as it was, which is what is then reported.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// The memory that this process may use: the machine's, or what its control group allows if that is less. `None` where
/// the system does not say.
#[must_use]
pub fn memory_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = memory_total(&meminfo)?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = group_limits(&groups).filter_map(|file| std::fs::read_to_string(file).ok());
    let limits = limits.filter_map(|text| text.trim().parse::<u64>().ok());
    Some(limits.fold(machine, u64::min))
}

fn memory_total(meminfo: &str) -> Option<u64> {
    let rest = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The files that may hold a limit: of the process's own control group and of those above it; "max" is none.
fn group_limits(groups: &str) -> impl Iterator<Item = PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = PathBuf::from(own.unwrap_or_default());
    let above: Vec<PathBuf> = own.ancestors().map(Path::to_path_buf).collect();
    let second = above
        .into_iter()
        .map(|group| Path::new("/sys/fs/cgroup").join(group).join("memory.max"));
    // The first version of control groups: what a container sees of its own.
    second.chain([PathBuf::from("/sys/fs/cgroup/memory/memory.limit_in_bytes")])
}

/// Tells the service manager, if there is one, that every port accepts.
pub fn notify_ready() {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// Tells the service manager, if there is one, that the end has begun.
pub fn notify_stopping() {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read() {
        let meminfo = "MemFree:  7 kB\nMemTotal:       16314372 kB\n";
        assert_eq!(memory_total("MemFree: 7 kB\n"), None);
        assert_eq!(memory_total(meminfo), Some(16_314_372 << 10));
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn limits_of_all_groups_above_count() {
        let files: Vec<_> = group_limits("1:name=x:/y\n0::/a.slice/b\n").collect();
        let shown: Vec<_> = files.iter().filter_map(|file| file.to_str()).collect();
        assert_eq!(
            shown[..3],
            [
                "/sys/fs/cgroup/a.slice/b/memory.max",
                "/sys/fs/cgroup/a.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
    }
}
