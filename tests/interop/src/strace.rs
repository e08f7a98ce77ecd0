//! What a traced server did, in order: what it heard, when its writes to the
//! journal were stable, and what it said.
//!
//! Reads the output of `strace -f -yy -s LARGE -o FILE`. A call that another
//! thread interrupts is printed in two halves; the first stands where the call
//! began, the second where it returned. A reply may be on its way as soon as
//! its call begins; a write counts only when it has returned. So the order of
//! the lines is the order that matters, and no clock is looked at.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The calls that [`Trace::parse`] needs to see.
pub const CALLS: &str = "trace=open,openat,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,\
    pwrite64,pwritev,pwritev2,fsync,fdatasync,mkdir,mkdirat,rename,renameat,renameat2,setsockopt,io_uring_setup";

/// The calls by which something is heard, and by which something is said.
const HEARS: [&str; 4] = ["read", "readv", "recvfrom", "recvmsg"];
const SAYS: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];

/// One system call.
#[derive(Debug)]
struct Call {
    name: String,
    /// As strace prints them.
    args: String,
    returned: i64,
    begin: usize,
    end: usize,
}

/// A server's life.
#[derive(Debug)]
pub struct Trace {
    calls: Vec<Call>,
    /// Where each write to the journal became stable.
    stable: Vec<(usize, usize)>,
}

impl Trace {
    /// Reads a trace whose journal is in files named `*.seg`.
    pub fn read(file: &Path) -> Result<Self> {
        Self::parse(&String::from_utf8_lossy(&std::fs::read(file)?))
    }

    fn parse(text: &str) -> Result<Self> {
        let calls = calls(text);
        ensure!(
            !calls.iter().any(|call| call.name == "io_uring_setup"),
            "the server uses io_uring, which strace does not see"
        );
        let stable = stable_writes(&calls)?;
        Ok(Self { calls, stable })
    }

    /// Finds the message with `mark`, and the reply to it on the same
    /// connection, which has `reply` in it. Each of `parts` must have been
    /// written to the journal and been stable when that reply began. All
    /// strings are as strace prints them.
    ///
    /// # Errors
    /// The reply came too early, or one of these is nowhere.
    pub fn check(&self, mark: &str, reply: &str, parts: &[String]) -> Result<()> {
        let heard = self.heard(mark)?;
        let said = self.calls.iter().find(|call| {
            SAYS.contains(&&*call.name)
                && call.begin > heard.end
                && call.fd() == heard.fd()
                && call.args.contains(reply)
        });
        let Some(said) = said else {
            bail!("{mark} got no reply");
        };
        for part in parts {
            let with_part = |(call, _): &&(usize, usize)| self.calls[*call].args.contains(part);
            let Some((_, stable)) = self.stable.iter().find(with_part) else {
                bail!("{part} was never stable");
            };
            ensure!(
                *stable < said.begin,
                "{part} was stable at line {stable}, the reply began at line {}",
                said.begin
            );
        }
        Ok(())
    }

    /// The octets of each write to the connection on which `mark` was heard, up to where
    /// something more was heard on it; and whether that connection waits for nothing before it
    /// sends (`TCP_NODELAY`). All strings are as strace prints them.
    ///
    /// # Errors
    /// Nobody sent it.
    pub fn writes_behind(&self, mark: &str) -> Result<(Vec<i64>, bool)> {
        let heard = self.heard(mark)?;
        let same = self.calls.iter().filter(|call| call.fd() == heard.fd());
        let behind = same.clone().filter(|call| call.begin > heard.end);
        let until = behind.take_while(|call| call.returned <= 0 || !HEARS.contains(&&*call.name));
        let writes = until.filter(|call| call.returned > 0 && SAYS.contains(&&*call.name));
        let no_delay =
            |call: &Call| call.name == "setsockopt" && call.args.contains("TCP_NODELAY, [1]");
        let writes = writes.map(|call| call.returned).collect();
        Ok((writes, same.clone().any(no_delay)))
    }

    fn heard(&self, mark: &str) -> Result<&Call> {
        let heard = self.calls.iter().find(|call| {
            HEARS.contains(&&*call.name) && call.fd().contains("TCP") && call.args.contains(mark)
        });
        heard.with_context(|| format!("nobody sent {mark}"))
    }

    /// Folders below `root` that were made, or got their name by a rename, with
    /// whether the folder above was synced afterwards. All paths are absolute.
    #[must_use]
    pub fn new_folders(&self, root: &Path) -> Vec<(PathBuf, bool)> {
        let made = self.calls.iter().filter_map(|call| {
            let path = match &*call.name {
                "mkdir" | "mkdirat" => call.strings().next()?,
                name if name.starts_with("rename") => call.strings().nth(1)?,
                _ => return None,
            };
            let path = Path::new(path);
            // A file that was renamed is the business of other checks.
            let is_folder = call.name.starts_with("mkdir") || path.extension().is_none();
            (call.returned == 0 && is_folder && path.starts_with(root)).then_some((path, call.end))
        });
        made.map(|(path, at)| {
            let above = format!("<{}>", path.parent().unwrap_or(path).display());
            let synced = self.calls.iter().any(|sync| {
                sync.name == "fsync"
                    && sync.begin > at
                    && sync.returned == 0
                    && sync.args.ends_with(&above)
            });
            (path.to_owned(), synced)
        })
        .collect()
    }

    /// How many writes to the journal were synced by themselves, and how many
    /// by a sync that followed.
    #[must_use]
    pub fn ways(&self) -> (usize, usize) {
        let all = self.stable.iter();
        let own = all
            .filter(|(call, stable)| self.calls[*call].end == *stable)
            .count();
        (own, self.stable.len() - own)
    }
}

impl Call {
    /// The file descriptor with what it stands for: `9<TCP:[…]>`.
    fn fd(&self) -> &str {
        let end = self.args.find(">,").map_or(self.args.len(), |at| at + 1);
        &self.args[..end]
    }

    /// The arguments that are strings, without escapes.
    fn strings(&self) -> impl Iterator<Item = &str> {
        self.args.split('"').skip(1).step_by(2)
    }

    fn fd_number(&self) -> &str {
        self.args.split('<').next().unwrap_or("")
    }
}

/// Joins the halves of calls; the line is the clock.
fn calls(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut halves: HashMap<&str, (usize, &str)> = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(half) = rest.strip_suffix(" <unfinished ...>") {
            halves.insert(thread, (at, half));
            continue;
        }
        let (begin, whole) = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let Some((begin, half)) = halves.remove(thread) else {
                    continue;
                };
                let second = resumed.split_once(" resumed>").map_or("", |(_, s)| s);
                (begin, format!("{half}{second}"))
            }
            None => (at, rest.to_owned()),
        };
        let Some((call, returned)) = whole.rsplit_once(" = ") else {
            continue;
        };
        let Some((name, args)) = call.split_once('(') else {
            continue;
        };
        let returned = returned.split([' ', '<']).next().unwrap_or("");
        calls.push(Call {
            name: name.to_owned(),
            args: args.trim_end().trim_end_matches(')').to_owned(),
            returned: returned.parse().unwrap_or(-1),
            begin,
            end: at,
        });
    }
    calls
}

/// Writes to the journal, and the line at which each was stable: its own end
/// when the file was opened to sync each write, else the end of the next sync
/// of the file that began behind it.
fn stable_writes(calls: &[Call]) -> Result<Vec<(usize, usize)>> {
    let mut synced: HashMap<String, bool> = HashMap::new();
    let mut stable = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        if call.name.starts_with("open") {
            let itself = call.args.contains("O_DSYNC") || call.args.contains("O_SYNC");
            synced.insert(call.returned.to_string(), itself);
        }
        if !call.name.starts_with("pwrite") || !call.fd().contains(".seg>") {
            continue;
        }
        ensure!(
            call.returned > 0,
            "a write to the journal failed: {}",
            call.fd()
        );
        if synced.get(call.fd_number()).copied().unwrap_or(false) {
            stable.push((at, call.end));
            continue;
        }
        let path = |call: &Call| call.fd().split_once('<').map(|(_, p)| p.to_owned());
        let sync = calls.iter().find(|sync| {
            matches!(&*sync.name, "fsync" | "fdatasync")
                && sync.begin > call.end
                && sync.returned == 0
                && path(sync) == path(call)
        });
        if let Some(sync) = sync {
            stable.push((at, sync.end));
        }
    }
    Ok(stable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str =
        r#"7 openat(AT_FDCWD, "/d/1.seg", O_WRONLY|O_DSYNC|O_DIRECT) = 12</d/1.seg>"#;
    const HEARD: &str = r#"8 recvfrom(9<TCP:[10.0.0.1:25->10.0.0.2:4]>, "mark-1\r\n.\r\n", 8192, 0, NULL, NULL) = 11"#;
    const REPLY: &str = r#"8 sendto(9<TCP:[10.0.0.1:25->10.0.0.2:4]>, "250 2.0.0 ok\r\n", 14, MSG_NOSIGNAL, NULL, 0) = 14"#;

    fn is_kept(lines: &[&str]) -> bool {
        let trace = Trace::parse(&lines.join("\n")).expect("parse");
        let parts = ["PHG mark-1".to_owned()];
        trace.check("mark-1", "\"250 ", &parts).is_ok()
    }

    #[test]
    fn a_direct_write_counts_when_it_has_returned() {
        let begin = r#"7 pwrite64(12</d/1.seg>, "PHG mark-1", 4096, 4096 <unfinished ...>"#;
        let end = "7 <... pwrite64 resumed>)           = 4096";
        assert!(is_kept(&[OPEN, HEARD, begin, end, REPLY]));
        assert!(!is_kept(&[OPEN, HEARD, begin, REPLY, end]));
        assert!(!is_kept(&[OPEN, HEARD, REPLY]));
        // The reply begins before the write's end, and ends behind it.
        let reply = REPLY.replace(") = 14", " <unfinished ...>");
        let reply_ends = "8 <... sendto resumed>) = 14";
        assert!(!is_kept(&[OPEN, HEARD, begin, &reply, end, reply_ends]));
        // Another connection's reply is none.
        let other = REPLY.replace("0.2:4", "0.2:5");
        assert!(!is_kept(&[OPEN, HEARD, begin, end, &other]));
    }

    #[test]
    fn what_is_written_up_to_the_next_command_is_the_reply() {
        let set =
            "8 setsockopt(9<TCP:[10.0.0.1:25->10.0.0.2:4]>, SOL_TCP, TCP_NODELAY, [1], 4) = 0";
        let nothing = r#"8 recvfrom(9<TCP:[10.0.0.1:25->10.0.0.2:4]>, 0x7f, 8192, 0, NULL, NULL) = -1 EAGAIN"#;
        let next = HEARD.replace("mark-1", "mark-2");
        let of = |lines: &[&str]| {
            let trace = Trace::parse(&lines.join("\n")).expect("parse");
            trace.writes_behind("mark-1").expect("it was heard")
        };
        assert_eq!(of(&[set, HEARD, REPLY, &next, REPLY]), (vec![14], true));
        assert_eq!(of(&[HEARD, REPLY, nothing, REPLY]), (vec![14, 14], false));
        let other = REPLY.replace("0.2:4", "0.2:5");
        assert_eq!(of(&[set, REPLY, HEARD, &other]), (vec![], true));
    }

    #[test]
    fn a_folder_counts_when_the_one_above_is_synced_behind_it() {
        let made = r#"7 mkdir("/w/a", 0700) = 0"#;
        let moved = r#"7 renameat2(AT_FDCWD</w>, "/w/b", AT_FDCWD</w>, "/w/a", 0) = 0"#;
        let sync = "7 fsync(9</w>) = 0";
        let synced = |lines: &[&str]| {
            let trace = Trace::parse(&lines.join("\n")).expect("parse");
            let found = trace.new_folders(Path::new("/w"));
            found.iter().map(|(_, synced)| *synced).collect::<Vec<_>>()
        };
        assert_eq!(synced(&[made, sync]), [true]);
        assert_eq!(synced(&[moved, sync]), [true]);
        assert_eq!(synced(&[sync, made]), [false]);
        assert_eq!(synced(&[made, "7 fsync(9</w/a>) = 0"]), [false]);
        assert_eq!(synced(&[made, "7 fsync(9</w>) = -1 EIO"]), [false]);
        assert!(synced(&[&made.replace("= 0", "= -1 EEXIST"), sync]).is_empty());
    }

    #[test]
    fn an_ordinary_write_counts_when_the_sync_behind_it_has_returned() {
        let open = r#"7 openat(AT_FDCWD, "/d/1.seg", O_RDWR|O_CLOEXEC) = 12</d/1.seg>"#;
        let write = r#"7 pwrite64(12</d/1.seg>, "PHG mark-1", 4096, 4096) = 4096"#;
        let sync = "7 fdatasync(12</d/1.seg>) = 0";
        assert!(is_kept(&[open, HEARD, write, sync, REPLY]));
        assert!(!is_kept(&[open, HEARD, write, REPLY, sync]));
        assert!(!is_kept(&[open, HEARD, sync, write, REPLY]));
    }
}
