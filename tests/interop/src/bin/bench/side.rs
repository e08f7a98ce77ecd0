//! Servers side by side whose mail is read and changed: ours, and its peers.

use crate::measure::Work;
use crate::servers::{USERS, ours};
use anyhow::Result;
use interop::cyrus::Cyrus;
use interop::dovecot::{Dovecot, Fsync};
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::World;
use std::process::Command;

/// One of them.
#[derive(Debug)]
pub(crate) struct Server {
    /// What the table calls it.
    pub(crate) name: &'static str,
    ip: &'static str,
    program: Program,
}

#[derive(Debug)]
enum Program {
    Ours(Posthouse, u32),
    Dovecot(Dovecot),
    Cyrus(Cyrus),
}

impl Server {
    pub(crate) fn ours(world: &mut World) -> Result<Self> {
        let (ours, pid) = ours(world)?;
        Ok(Self {
            name: "ours",
            ip: "127.0.0.10",
            program: Program::Ours(ours, pid),
        })
    }

    /// Every peer that has IMAP, all syncing what they acknowledge.
    pub(crate) fn peers(world: &mut World) -> Result<Vec<Self>> {
        let mut peers = Vec::new();
        for (ip, name) in [("127.0.0.5", "sdbox"), ("127.0.0.6", "mdbox")] {
            let dovecot = Dovecot::start_with(world, ip, PASSWORD, Fsync::Always, name)?;
            let program = Program::Dovecot(dovecot);
            peers.push(Self { name, ip, program });
        }
        let users: Vec<_> = (0..USERS).map(|n| format!("user{n}@demo.test")).collect();
        let ip = "127.0.0.7";
        let cyrus = Cyrus::start(world, ip, PASSWORD, &users)?;
        peers.push(Self {
            name: "Cyrus",
            ip,
            program: Program::Cyrus(cyrus),
        });
        Ok(peers)
    }

    pub(crate) fn addr(&self, port: u16) -> String {
        format!("{}:{port}", self.ip)
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.program {
            Program::Ours(_, pid) => *pid,
            Program::Dovecot(dovecot) => dovecot.pid,
            Program::Cyrus(cyrus) => cyrus.pid,
        }
    }

    /// Puts `messages` of `size` into the mailbox of `user`.
    pub(crate) fn fill(&self, user: &str, messages: u64, size: u64) -> Result<()> {
        let common = format!("--messages {messages} --size {size} --user {user}");
        let words = match self.program {
            // Its LMTP holds the mailbox's lock while it waits 40 ms for an
            // acknowledgement, so one mailbox takes 25 messages a second.
            Program::Cyrus(_) => {
                format!("--addr {} {common} --connections 4 append", self.addr(143))
            }
            _ => format!(
                "--addr {} {common} --connections 16 deliver --lmtp",
                self.addr(24)
            ),
        };
        Work::new(&words, &[self.pid()]).measure().map(drop)
    }

    /// Starts it again with nothing of its mail in memory. What is no mail is
    /// there again: the programs and libraries, by a session of `other`, and
    /// the check of `user`'s password, which is dear with us and free with the
    /// peers, by a login that opens no mailbox.
    pub(crate) fn cold(&mut self, world: &mut World, user: &str, other: &str) -> Result<()> {
        match &mut self.program {
            Program::Ours(ours, _) => ours.end(world, "TERM")?,
            Program::Dovecot(dovecot) => dovecot.stop(world)?,
            Program::Cyrus(cyrus) => cyrus.stop(world)?,
        }
        drop_caches()?;
        match &mut self.program {
            Program::Ours(ours, pid) => {
                *pid = ours.serve(world)?;
                let words = format!(
                    "--addr {} --connections 1 --messages 0 --user {user} deliver --auth --to {user}",
                    ours.addr(587)
                );
                Work::new(&words, &[]).measure()?;
            }
            Program::Dovecot(dovecot) => dovecot.start_again(world)?,
            Program::Cyrus(cyrus) => cyrus.start_again(world)?,
        }
        let words = format!(
            "--addr {} --messages 1 --user {other} repeat --fresh",
            self.addr(143)
        );
        Work::new(&words, &[])
            .and(&["--command", "EXAMINE INBOX"])
            .measure()
            .map(drop)
    }
}

/// Nothing of any file stays in memory that no process has mapped.
pub(crate) fn drop_caches() -> Result<()> {
    Command::new("sync").status()?;
    std::fs::write("/proc/sys/vm/drop_caches", "3")?;
    Ok(())
}
