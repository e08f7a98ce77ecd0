//! Servers on the web: certificates of an authority of the test's own, and a receiver that
//! keeps what is posted to it.

use crate::world::{World, wait_for, wait_for_port};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Takes what is posted into numbered files, and answers what the file `answer` says.
const RECEIVER: &str = r#"
import http.server, json, os, ssl, sys, threading
ip, port, folder, secure = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "tls"
os.chdir(folder)
lock, count = threading.Lock(), 0
class Taker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        global count
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = {"status": 200}
        if os.path.exists("answer"): answer = json.load(open("answer"))
        with lock:
            count += 1
            with open(f"{count}.body", "wb") as file: file.write(body)
            head = {"path": self.path, "status": answer["status"], "headers": {k.lower(): v for k, v in self.headers.items()}}
            with open("head", "w") as file: json.dump(head, file)
            os.rename("head", f"{count}.json")
        text = answer.get("text", "").encode()
        self.send_response(answer["status"])
        for name, value in answer.get("headers", {}).items(): self.send_header(name, value)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
server = http.server.ThreadingHTTPServer((ip, port), Taker)
if secure:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("certificate", "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

/// Certificates of one authority, each in a folder of its own; gives the authority's file.
pub fn certificates(world: &World, names: &[(&str, &Path)]) -> Result<String> {
    let d = world.dir().display().to_string();
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    world.sh(&format!(
        "cd {d} && openssl req -x509 {curve} -days 30 -subj /CN=authority -keyout ca.key -out ca.pem 2>/dev/null"
    ))?;
    for (name, folder) in names {
        let f = folder.display();
        world.sh(&format!(
            "cd {f} && openssl req {curve} -keyout key -out request -subj /CN=x 2>/dev/null && \
             printf 'subjectAltName=DNS:{name}\\n' > names && openssl x509 -req -in request -CA {d}/ca.pem \
             -CAkey {d}/ca.key -CAcreateserial -days 30 -extfile names -out certificate 2>/dev/null"
        ))?;
    }
    Ok(format!("{d}/ca.pem"))
}

/// A server that takes what is posted to it; it runs while the world does.
#[derive(Debug)]
pub struct Receiver {
    folder: PathBuf,
    pid: u32,
}

/// A request that was taken.
#[derive(Debug)]
pub struct Taken {
    /// `path`, `headers` by names in lower case, and the `status` that it was answered.
    pub head: Value,
    /// What was posted.
    pub body: Vec<u8>,
}

impl Receiver {
    /// Listens in the clear.
    pub fn start(world: &mut World, address: &str) -> Result<Self> {
        let folder = world.folder(&format!("receiver-{}", address.replace(':', "-")))?;
        Self::start_in(world, address, folder, "clear")
    }

    /// Listens for TLS with `certificate` and `key` of this folder.
    pub fn start_tls(world: &mut World, address: &str, folder: &Path) -> Result<Self> {
        Self::start_in(world, address, folder.to_owned(), "tls")
    }

    fn start_in(world: &mut World, address: &str, folder: PathBuf, how: &str) -> Result<Self> {
        let script = world.dir().join("receiver.py");
        std::fs::write(&script, RECEIVER)?;
        let (ip, port) = address.split_once(':').context("an address with a port")?;
        let mut command = Command::new("python3");
        command.arg(&script).args([ip, port]).arg(&folder).arg(how);
        let pid = world.start("receiver", &mut command)?;
        wait_for_port(address)?;
        Ok(Self { folder, pid })
    }

    /// What it answers from now on: `status`, and perhaps `text` and `headers`.
    pub fn answer(&self, answer: &Value) -> Result<()> {
        let new = self.folder.join("answer.new");
        std::fs::write(&new, answer.to_string())?;
        Ok(std::fs::rename(new, self.folder.join("answer"))?)
    }

    /// What was taken so far, in order.
    pub fn taken(&self) -> Result<Vec<Taken>> {
        let mut taken = Vec::new();
        loop {
            let number = taken.len() + 1;
            let path = self.folder.join(format!("{number}.json"));
            let Ok(head) = std::fs::read(&path) else {
                return Ok(taken);
            };
            let body = std::fs::read(self.folder.join(format!("{number}.body")))?;
            let head = serde_json::from_slice(&head)?;
            taken.push(Taken { head, body });
        }
    }

    /// Where the body of a request is, by its number from 1.
    #[must_use]
    pub fn body(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{number}.body"))
    }

    /// Waits until so many requests were taken.
    pub fn wait_for(&self, count: usize) -> Result<Vec<Taken>> {
        wait_for(&format!("{count} requests"), PATIENCE, || {
            let taken = self.taken()?;
            Ok((taken.len() >= count).then_some(taken))
        })
    }

    /// Is gone.
    pub fn end(self, world: &mut World) -> Result<()> {
        world.signal(self.pid, "TERM")
    }
}
