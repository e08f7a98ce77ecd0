//! Mail programs that keep an account in Maildirs: mbsync and offlineimap, what
//! their users do to the files, and what is there compared with the server.
//!
//! Messages are numbered: [`message`] makes the one of a number, and whoever
//! reads one checks every line of it. Flags are Maildir's letters everywhere.

use crate::imap;
use crate::posthouse::{PASSWORD, Posthouse};
use crate::world::World;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The messages of a mailbox by their numbers, with the letters of their flags.
pub type Messages = BTreeMap<u32, BTreeSet<char>>;

/// Mailboxes by their names.
pub type Mailboxes = BTreeMap<String, Messages>;

/// Letters and what they are in IMAP.
const FLAGS: [(char, &str); 4] = [
    ('S', "\\Seen"),
    ('F', "\\Flagged"),
    ('R', "\\Answered"),
    ('D', "\\Draft"),
];

/// The message of this number, with bare line feeds; every thousandth is large.
#[must_use]
pub fn message(number: u32) -> String {
    let mut text = format!(
        "From: Someone <someone@peer.test>\nTo: alice@demo.test\nSubject: message {number}\n\
         Date: Wed, {} Nov 2026 10:{:02}:00 +0000\nMessage-ID: <{number}@here.test>\n\n",
        number % 28 + 1,
        number % 60
    );
    let lines = if number.is_multiple_of(1000) {
        2000
    } else {
        number % 7
    };
    for line in 0..=lines {
        let _ = writeln!(text, "line {line} of message {number}");
    }
    text
}

/// The letters that the message of a number has at first.
#[must_use]
pub fn first_flags(number: u32) -> BTreeSet<char> {
    let letters = [('S', 2), ('F', 5), ('R', 9)];
    let has = |&(letter, every): &(char, u32)| number.is_multiple_of(every).then_some(letter);
    letters.iter().filter_map(has).collect()
}

/// The number of a message, when it is the one that [`message`] makes.
///
/// A line that a mail program added for itself is passed over.
fn number_of(bytes: &[u8]) -> Result<u32> {
    let text = std::str::from_utf8(bytes)?.replace("\r\n", "\n");
    let added = ["X-TUID: ", "X-OfflineIMAP: "];
    let lines = text
        .split_inclusive('\n')
        .filter(|line| !added.iter().any(|name| line.starts_with(name)));
    let text: String = lines.collect();
    let id = text.split_once("Message-ID: <").context("a Message-ID")?.1;
    let number = id.split('@').next().unwrap_or_default().parse()?;
    ensure!(text == message(number), "{number} is not whole:\n{text}");
    Ok(number)
}

/// A server with the first so many messages in Alice's inbox: the UID is the number.
pub fn with_messages(world: &mut World, count: u32) -> Result<Posthouse> {
    let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
    ours.serve(world)?;
    let mut client = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
    // What is stored beside the octets of so many fits one commit.
    for some in (1..=count).collect::<Vec<_>>().chunks(200) {
        client.append_all("INBOX", &some.iter().map(|&n| wired(n)).collect::<Vec<_>>())?;
    }
    Ok(ours)
}

/// The flags and the octets of a message for APPEND.
#[must_use]
pub fn wired(number: u32) -> (String, Vec<u8>) {
    let letters = first_flags(number);
    let flags: Vec<_> = FLAGS
        .iter()
        .filter(|(letter, _)| letters.contains(letter))
        .map(|&(_, flag)| flag)
        .collect();
    (
        flags.join(" "),
        message(number).replace('\n', "\r\n").into_bytes(),
    )
}

/// What the server has, every octet read.
pub fn on_the_server(addr: &str, names: &[&str]) -> Result<Mailboxes> {
    let mut client = imap::Client::login(addr, "alice@demo.test", PASSWORD)?;
    let mut all = Mailboxes::new();
    for &name in names {
        client.command(&format!("EXAMINE {name}"))?;
        let (_, responses, _) = client.try_command("UID FETCH 1:* (FLAGS BODY.PEEK[])")?;
        let mut messages = Messages::new();
        for fetched in responses.iter().filter_map(|r| imap::fetched(r)) {
            let number = number_of(fetched.literals.first().context("a message")?)?;
            let has =
                |&(letter, flag): &(char, &str)| fetched.flags.contains(flag).then_some(letter);
            let twice = messages.insert(number, FLAGS.iter().filter_map(has).collect());
            ensure!(twice.is_none(), "{number} is twice in {name}");
        }
        all.insert(name.to_owned(), messages);
    }
    Ok(all)
}

/// The UIDs of the messages of these numbers in the selected mailbox, as a set.
pub fn uids(client: &mut imap::Client, numbers: RangeInclusive<u32>) -> Result<String> {
    let what = "UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";
    let mut uids = Vec::new();
    for fetched in client
        .command(what)?
        .iter()
        .filter_map(|r| imap::fetched(r))
    {
        let line = String::from_utf8_lossy(fetched.literals.first().context("an id")?).into_owned();
        let id = line.split(['<', '@']).nth(1).context("an id")?;
        if numbers.contains(&id.parse()?) {
            uids.push(fetched.uid.to_string());
        }
    }
    Ok(uids.join(","))
}

/// Fails with the first few differences.
pub fn ensure_alike(whose: &str, found: &Mailboxes, truth: &Mailboxes) -> Result<()> {
    let flat = |all: &Mailboxes| -> BTreeSet<(String, u32, String)> {
        let of = |(name, messages): (&String, &Messages)| {
            let one = |(number, flags): (&u32, &BTreeSet<char>)| {
                (name.clone(), *number, flags.iter().collect::<String>())
            };
            messages.iter().map(one).collect::<Vec<_>>()
        };
        all.iter().flat_map(of).collect()
    };
    let (found, truth) = (flat(found), flat(truth));
    let lacking: Vec<_> = truth.difference(&found).collect();
    let more: Vec<_> = found.difference(&truth).collect();
    ensure!(
        lacking.is_empty() && more.is_empty(),
        "{whose}: {} are not there, as {:?}; {} should not be, as {:?}",
        lacking.len(),
        &lacking[..lacking.len().min(5)],
        more.len(),
        &more[..more.len().min(5)]
    );
    Ok(())
}

/// A program that keeps the account of Alice on 127.0.0.10 in Maildirs.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    dir: PathBuf,
}

impl Program {
    /// mbsync (isync).
    pub fn mbsync(world: &mut World) -> Result<Self> {
        let this = Self::new("mbsync", world)?;
        let d = this.dir.display();
        this.configure(&format!(
            "FSync no\n\nIMAPStore far\nHost 127.0.0.10\nPort 143\nUser alice@demo.test\nPass \"{PASSWORD}\"\n\
             SSLType None\nAuthMechs LOGIN\n\n\
             MaildirStore near\nPath {d}/mail/\nInbox {d}/mail/INBOX\nSubFolders Verbatim\n\n\
             Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n"
        ))?;
        Ok(this)
    }

    /// offlineimap.
    pub fn offlineimap(world: &mut World) -> Result<Self> {
        let this = Self::new("offlineimap", world)?;
        let d = this.dir.display();
        this.configure(&format!(
            "[general]\naccounts = alice\nmetadata = {d}/state\nui = basic\nfsync = False\n\n\
             [Account alice]\nlocalrepository = near\nremoterepository = far\n\n\
             [Repository near]\ntype = Maildir\nlocalfolders = {d}/mail\n\n\
             [Repository far]\ntype = IMAP\nremotehost = 127.0.0.10\nremoteport = 143\n\
             remoteuser = alice@demo.test\nremotepass = {PASSWORD}\nssl = no\nstarttls = no\n\
             auth_mechanisms = LOGIN\n"
        ))?;
        Ok(this)
    }

    fn new(name: &'static str, world: &mut World) -> Result<Self> {
        let dir = world.folder_in_memory(name)?;
        std::fs::create_dir_all(dir.join("mail"))?;
        Ok(Self { name, dir })
    }

    fn configure(&self, text: &str) -> Result<()> {
        Ok(std::fs::write(self.dir.join("rc"), text)?)
    }

    /// Lets it do what it does; gives what it said.
    pub fn sync(&self, world: &World) -> Result<String> {
        let (ok, said) = self.try_sync(world)?;
        ensure!(ok, "{} failed:\n{said}", self.name);
        Ok(said)
    }

    /// As [`Program::sync`], where it may have something to complain of.
    pub fn try_sync(&self, world: &World) -> Result<(bool, String)> {
        let rc = self.dir.join("rc").display().to_string();
        match self.name {
            "mbsync" => world.try_output("mbsync", ["-c", &rc, "all"]),
            _ => world.try_output("offlineimap", ["-o", "-c", &rc]),
        }
    }

    /// One of its mailboxes.
    #[must_use]
    pub fn maildir(&self, name: &str) -> Maildir {
        Maildir {
            path: self.dir.join("mail").join(name),
        }
    }

    /// What it has, every octet read.
    pub fn mailboxes(&self, names: &[&str]) -> Result<Mailboxes> {
        let of = |&name: &&str| Ok((name.to_owned(), self.maildir(name).messages()?));
        names.iter().map(of).collect()
    }
}

/// A Maildir of numbered messages, and what its user does to it.
#[derive(Debug)]
pub struct Maildir {
    path: PathBuf,
}

impl Maildir {
    /// Makes it, empty.
    pub fn create(&self) -> Result<()> {
        for sub in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(self.path.join(sub))?;
        }
        Ok(())
    }

    /// Removes it with all that is in it.
    pub fn delete(&self) -> Result<()> {
        Ok(std::fs::remove_dir_all(&self.path)?)
    }

    /// Puts a message into it.
    pub fn add(&self, number: u32, flags: &BTreeSet<char>) -> Result<()> {
        let letters: String = flags.iter().collect();
        let name = format!("cur/{number}.made.here:2,{letters}");
        Ok(std::fs::write(self.path.join(name), message(number))?)
    }

    /// Adds letters to the flags of messages.
    pub fn flag(&self, numbers: impl IntoIterator<Item = u32>, letter: char) -> Result<()> {
        let files = self.files()?;
        for number in numbers {
            let path = files.get(&number).context("a message to flag")?;
            let name = name_of(path)?;
            let (base, mut flags) = parts(name);
            flags.insert(letter);
            let letters: String = flags.iter().collect();
            std::fs::rename(path, self.path.join(format!("cur/{base}:2,{letters}")))?;
        }
        Ok(())
    }

    /// Moves messages to another mailbox.
    pub fn shift(&self, numbers: impl IntoIterator<Item = u32>, to: &Self) -> Result<()> {
        let files = self.files()?;
        for number in numbers {
            let path = files.get(&number).context("a message to move")?;
            let (base, flags) = parts(name_of(path)?);
            // The UID is of the mailbox that it leaves.
            let base = base.split(",U=").next().unwrap_or(base);
            let letters: String = flags.iter().collect();
            std::fs::rename(path, to.path.join(format!("cur/{base}:2,{letters}")))?;
        }
        Ok(())
    }

    /// Removes messages.
    pub fn remove(&self, numbers: impl IntoIterator<Item = u32>) -> Result<()> {
        let files = self.files()?;
        for number in numbers {
            std::fs::remove_file(files.get(&number).context("a message to remove")?)?;
        }
        Ok(())
    }

    fn messages(&self) -> Result<Messages> {
        let flags = |(number, path): (u32, PathBuf)| Ok((number, parts(name_of(&path)?).1));
        self.files()?.into_iter().map(flags).collect()
    }

    /// Its files by their messages' numbers.
    fn files(&self) -> Result<BTreeMap<u32, PathBuf>> {
        let mut files = BTreeMap::new();
        for sub in ["new", "cur"] {
            let folder = self.path.join(sub);
            let entries = std::fs::read_dir(&folder);
            for entry in entries.with_context(|| folder.display().to_string())? {
                let path = entry?.path();
                let number = number_of(&std::fs::read(&path)?)?;
                if let Some(other) = files.insert(number, path) {
                    bail!("{number} is in {} too", other.display());
                }
            }
        }
        Ok(files)
    }
}

fn name_of(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.context("a file's name")
}

/// A file's name without its flags, and these.
fn parts(name: &str) -> (&str, BTreeSet<char>) {
    let (base, letters) = name.split_once(":2,").unwrap_or((name, ""));
    (base, letters.chars().collect())
}
