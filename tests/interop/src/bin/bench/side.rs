//! Servers side by side whose mail is read and changed: ours, and its peers.

use crate::measure::Work;
use crate::servers::{USERS, ours};
use anyhow::Result;
use interop::cyrus::{self, Cyrus};
use interop::dovecot::{self, Dovecot};
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
        Self::ours_with(world, &[])
    }

    /// Ours with settings.
    pub(crate) fn ours_with(world: &mut World, settings: &[(&str, &str)]) -> Result<Self> {
        let (mut ours, mut pid) = ours(world)?;
        if !settings.is_empty() {
            ours.end(world, "TERM")?;
            for (key, value) in settings {
                ours.set(key, value)?;
            }
            pid = ours.serve(world)?;
        }
        Ok(Self {
            name: "ours",
            ip: "127.0.0.10",
            program: Program::Ours(ours, pid),
        })
    }

    /// Every peer that has IMAP, all syncing what they acknowledge.
    pub(crate) fn peers(world: &mut World) -> Result<Vec<Self>> {
        Self::peers_with(world, &cyrus::Setup::default())
    }

    /// The same with more of Cyrus.
    pub(crate) fn peers_with(world: &mut World, setup: &cyrus::Setup) -> Result<Vec<Self>> {
        let mut peers = Vec::new();
        for (ip, format) in [("127.0.0.5", "sdbox"), ("127.0.0.6", "mdbox")] {
            let setup = dovecot::Setup {
                format,
                ..dovecot::Setup::default()
            };
            peers.push(Self::dovecot(world, ip, format, &setup)?);
        }
        peers.push(Self::cyrus(world, setup)?);
        Ok(peers)
    }

    /// A Dovecot that the table calls `name`.
    pub(crate) fn dovecot(
        world: &mut World,
        ip: &'static str,
        name: &'static str,
        setup: &dovecot::Setup,
    ) -> Result<Self> {
        let program = Program::Dovecot(Dovecot::start_with(world, ip, PASSWORD, setup)?);
        Ok(Self { name, ip, program })
    }

    pub(crate) fn cyrus(world: &mut World, setup: &cyrus::Setup) -> Result<Self> {
        let users: Vec<_> = (0..USERS).map(|n| format!("user{n}@demo.test")).collect();
        let ip = "127.0.0.7";
        let cyrus = Cyrus::start_with(world, ip, PASSWORD, &users, setup)?;
        Ok(Self {
            name: "Cyrus",
            ip,
            program: Program::Cyrus(cyrus),
        })
    }

    pub(crate) fn is_cyrus(&self) -> bool {
        matches!(self.program, Program::Cyrus(_))
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
        self.fill_with(user, messages, size, 1)
    }

    /// The same with conversations of so many messages.
    pub(crate) fn fill_with(
        &self,
        user: &str,
        messages: u64,
        size: u64,
        conversation: u64,
    ) -> Result<()> {
        let common = format!(
            "--messages {messages} --size {size} --user {user} --conversation {conversation}"
        );
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
