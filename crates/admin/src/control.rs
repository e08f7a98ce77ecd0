//! The control socket: `{"command": "...", "args": {...}}` asks, `{"ok": ...}` or `{"error": {...}}` answers,
//! each on a line. The socket is the owner's alone (0600).
//!
//! Its place is `control.sock` in the data folder. Where that path is too long for a socket, the socket gets a
//! short name under `/run` or the user's runtime folder, and `control.path` in the data folder says which.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use runtime::net::{Conn, UnixListener, connect_unix};
use runtime::{Runtime, Tasks};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::limits;

/// What a client asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The name of the act, such as `account.add`.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Value,
}

/// Whose fault a failed command is; decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The arguments are wrong.
    Usage,
    /// What is named is not there.
    NotFound,
    /// What should be made is there already, or is in use.
    Conflict,
    /// The server could not do it.
    Failed,
}

/// A command that failed. The message says what happened, why, and what to do next.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// For the person at the other end.
    pub message: String,
}

impl CommandError {
    /// An error of that kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

#[derive(Serialize, Deserialize)]
enum Response {
    #[serde(rename = "ok")]
    Ok(Value),
    #[serde(rename = "error")]
    Error(CommandError),
}

/// The future of a command's result.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Value, CommandError>> + Send + 'a>>;

/// The port behind the socket: whoever can carry out commands.
pub trait Commands: Send + Sync + 'static {
    /// Carries out one command.
    fn run(&self, request: Request) -> Answer<'_>;
}

/// The listening control socket.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    sessions: Tasks,
}

impl Control {
    /// Listens in the data folder. The caller holds the store's lock: a socket that is there is a dead server's.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(data_dir: &Path) -> io::Result<Self> {
        let data_dir = data_dir.canonicalize()?;
        let (path, note) = (socket_path(&data_dir), data_dir.join("control.path"));
        let listener = UnixListener::bind(&path)?;
        if path.parent() == Some(&data_dir) {
            match std::fs::remove_file(&note) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        } else {
            std::fs::write(&note, path.as_os_str().as_encoded_bytes())?;
        }
        Ok(Self {
            listener,
            sessions: Tasks::new(),
        })
    }

    /// Answers until the shutdown signal, then waits for the commands that run.
    pub async fn serve(self, runtime: Runtime, commands: Arc<dyn Commands>) {
        let places = Arc::new(Semaphore::new(limits::CONTROL_SESSIONS_MAX));
        let shutdown = runtime.shutdown();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.draining() => break,
            };
            let conn = match accepted {
                Ok(conn) => conn,
                Err(error) => {
                    tracing::error!(%error, "the control socket is broken; commands go to the store only after the server ends");
                    break;
                }
            };
            let (commands, shutdown) = (commands.clone(), shutdown.clone());
            self.sessions.spawn(&runtime, async move {
                let _place = place;
                let asking = answer_all(conn, commands.as_ref(), &shutdown);
                if let Err(error) = asking.await {
                    tracing::debug!(%error, "a control session ended early");
                }
            });
        }
        self.sessions.wait().await;
    }
}

async fn answer_all(
    mut conn: Conn,
    commands: &dyn Commands,
    shutdown: &runtime::Shutdown,
) -> io::Result<()> {
    let mut buf = BytesMut::new();
    loop {
        let line = tokio::select! {
            line = read_line(&mut conn, &mut buf, limits::REQUEST_BYTES_MAX) => line?,
            () = shutdown.draining() => return Ok(()),
        };
        let Some(line) = line else {
            return Ok(());
        };
        let response = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => match commands.run(request).await {
                Ok(value) => Response::Ok(value),
                Err(error) => Response::Error(error),
            },
            Err(error) => Response::Error(CommandError::new(
                FailureKind::Usage,
                format!("this is not a request: {error}"),
            )),
        };
        write_line(&mut conn, &response).await?;
    }
}

/// Why the server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No server listens for this data folder.
    #[error("no server is running")]
    NotRunning,
    /// The socket is there but cannot be used, or went away.
    #[error("the running server cannot be reached: {0}")]
    Socket(#[from] io::Error),
    /// The server carried the command out and it failed.
    #[error(transparent)]
    Failed(#[from] CommandError),
}

/// Asks the server of a data folder.
///
/// # Errors
/// When there is none, it cannot be reached, or the command failed.
pub async fn call(data_dir: &Path, request: &Request) -> Result<Value, CallError> {
    let not_running = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CallError::NotRunning,
        _ => CallError::Socket(error),
    };
    let data_dir = data_dir.canonicalize().map_err(not_running)?;
    let path = match std::fs::read_to_string(data_dir.join("control.path")) {
        Ok(path) => PathBuf::from(path),
        Err(_) => data_dir.join("control.sock"),
    };
    if path.as_os_str().len() > limits::SOCKET_PATH_BYTES_MAX {
        return Err(CallError::NotRunning);
    }
    let mut conn = connect_unix(&path).await.map_err(not_running)?;
    write_line(&mut conn, request).await?;
    let mut buf = BytesMut::new();
    let line = read_line(&mut conn, &mut buf, limits::RESPONSE_BYTES_MAX)
        .await?
        .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    match serde_json::from_slice(&line).map_err(io::Error::from)? {
        Response::Ok(value) => Ok(value),
        Response::Error(error) => Err(error.into()),
    }
}

/// Where the socket of this (absolute) data folder goes.
fn socket_path(data_dir: &Path) -> PathBuf {
    let direct = data_dir.join("control.sock");
    if direct.as_os_str().len() <= limits::SOCKET_PATH_BYTES_MAX {
        return direct;
    }
    let name = format!(
        "posthouse-{:016x}.sock",
        fnv1a(data_dir.as_os_str().as_encoded_bytes())
    );
    let folder = if runtime::process::is_root() {
        PathBuf::from("/run")
    } else {
        std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
    };
    folder.join(name)
}

/// FNV-1a: names need to differ, not to resist anybody.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The next line without its end; none when the peer is done. Cancel safe: what was read stays in `buf`.
async fn read_line(
    conn: &mut Conn,
    buf: &mut BytesMut,
    bytes_max: usize,
) -> io::Result<Option<BytesMut>> {
    let mut searched = 0;
    loop {
        if let Some(end) = buf[searched..].iter().position(|byte| *byte == b'\n') {
            let mut line = buf.split_to(searched + end + 1);
            line.truncate(searched + end);
            return Ok(Some(line));
        }
        searched = buf.len();
        if searched > bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the line is too long",
            ));
        }
        if conn.read(buf).await? == 0 {
            return Ok(None);
        }
    }
}

async fn write_line<T: Serialize>(conn: &mut Conn, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    conn.write_all(&line).await?;
    conn.flush().await
}
