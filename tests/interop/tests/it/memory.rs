//! A message of 100 MB is never in memory as a whole on its way from the socket
//! to the disk and back, whichever way it comes and goes.

use anyhow::{Context as _, ensure};
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, run};
use interop::{Result, imap, smtp};

/// Octets of the message, about.
const MESSAGE_BYTES: usize = 100_000_000;
/// What the server's memory may grow by while one passes through: three groups of
/// the journal, the chunks on their way to it, the session's buffers, and what the
/// allocator keeps.
const GROWTH_BYTES_MAX: u64 = 24 << 20;

/// A text and an attachment in base64 that does not compress to nothing.
fn message(mark: &str) -> Vec<u8> {
    let mut out = format!(
        "From: a@peer.test\r\nTo: user@demo.test\r\nSubject: {mark}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=here\r\n\r\n\
         --here\r\nContent-Type: text/plain\r\n\r\nlarge\r\n\
         --here\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    .into_bytes();
    out.reserve(MESSAGE_BYTES + 1000);
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while out.len() < MESSAGE_BYTES {
        for _ in 0..76 {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            out.push(letters[(state >> 40) as usize % 64]);
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"--here--\r\n");
    out
}

/// The server's memory, watched.
struct Memory {
    pid: u32,
    seen: Vec<String>,
    worst: u64,
}

impl Memory {
    fn field(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes.context("a number")?.parse::<u64>()? << 10)
    }

    /// Does something and notes how far the resident memory rose meanwhile.
    fn during<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        // The peak begins anew at what is there now.
        std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?;
        let before = self.field("VmRSS:")?;
        let value = work()?;
        let growth = self.field("VmHWM:")?.saturating_sub(before);
        self.seen.push(format!("{what}: {} KiB", growth >> 10));
        self.worst = self.worst.max(growth);
        Ok(value)
    }
}

/// The one message of an answer, from its first literal to its end.
fn shown(responses: &[Vec<u8>]) -> Result<Vec<u8>> {
    let found = responses
        .iter()
        .find_map(|response| imap::literal(response));
    found.context("a literal")
}

#[test]
fn a_message_of_100_mb_is_never_in_memory_as_a_whole() {
    run(
        "memory::a_message_of_100_mb_is_never_in_memory_as_a_whole",
        Needs::Nothing,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["user"])?;
            ours.set("limits.message_bytes", "\"150 MiB\"")?;
            let pid = ours.serve(world)?;
            let mut memory = Memory {
                pid,
                seen: Vec::new(),
                worst: 0,
            };
            // Threads and pools that the first of all messages starts.
            let mut mx = smtp::Client::connect(&ours.addr(25))?;
            mx.expect("EHLO peer.test", 250)?;
            let user = ["user@demo.test"];
            let (code, text) = mx.send("a@peer.test", &user, b"Subject: first\r\n\r\nsmall\r\n")?;
            ensure!(code == 250, "{text}");
            let mut imap = imap::Client::login(&ours.addr(143), "user@demo.test", PASSWORD)?;
            imap.command("SELECT INBOX")?;
            imap.command("FETCH 1 BODY.PEEK[]")?;

            let sent = message("over SMTP");
            let (code, text) =
                memory.during("SMTP DATA", || mx.send("a@peer.test", &user, &sent))?;
            ensure!(code == 250, "{text}");
            imap.command("NOOP")?;
            let whole = memory.during("FETCH BODY[]", || {
                shown(&imap.command("FETCH 2 BODY.PEEK[]")?)
            })?;
            ensure!(whole.ends_with(&sent), "not what was sent");
            let part = memory.during("FETCH a range", || {
                shown(&imap.command("FETCH 2 BODY.PEEK[]<30000000.60000000>")?)
            })?;
            ensure!(part == whole[30_000_000..90_000_000], "not the range");
            let inner = memory.during("FETCH BODY[2]", || {
                shown(&imap.command("FETCH 2 BODY.PEEK[2]")?)
            })?;
            ensure!(inner.len() + 1000 > MESSAGE_BYTES, "{}", inner.len());
            let decoded = memory.during("FETCH BINARY[2]", || {
                shown(&imap.command("FETCH 2 BINARY.PEEK[2]")?)
            })?;
            ensure!(decoded.len() > MESSAGE_BYTES / 78 * 56, "{}", decoded.len());
            drop((part, inner, decoded));

            let appended = message("over IMAP");
            memory.during("APPEND", || imap.append("INBOX", &appended))?;
            let whole = memory.during("FETCH what was appended", || {
                shown(&imap.command("FETCH 3 BODY.PEEK[]")?)
            })?;
            ensure!(whole == appended, "not what was appended");
            eprintln!("{:#?}", memory.seen);
            ensure!(
                memory.worst <= GROWTH_BYTES_MAX,
                "more than {GROWTH_BYTES_MAX}: {:#?}",
                memory.seen
            );
            ours.end(world, "TERM")
        },
    );
}
