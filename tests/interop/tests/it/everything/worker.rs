//! An IMAP session that changes its messages without a pause.

use super::mail::{WORKERS, id_in, message, owner};
use super::promised::{Change, DELETED, Found, Promised, found};
use super::tally::Tally;
use anyhow::{Context as _, Result, bail, ensure};
use interop::imap::{Client, Fetched, Response, fetched};
use interop::posthouse::PASSWORD;
use std::collections::{BTreeMap, BTreeSet};

/// Messages that a session lets pile up in a mailbox.
const PILE: usize = 40;

const FLAGS: [&str; 7] = [
    "\\Seen",
    "\\Flagged",
    "\\Answered",
    "\\Draft",
    "$one",
    "$two",
    "$three",
];

/// One session of an account, over all lives of the server.
#[derive(Debug)]
pub struct Worker {
    pub account: usize,
    pub number: usize,
    pub promised: Promised,
    random: fastrand::Rng,
    /// The first UID of the inbox that was not looked at.
    next: u32,
    appended: u32,
}

impl Worker {
    pub fn new(account: usize, number: usize, seed: u64) -> Self {
        Self {
            account,
            number,
            promised: Promised::default(),
            random: fastrand::Rng::with_seed(seed),
            next: 1,
            appended: 0,
        }
    }

    /// The mailbox that only this session uses.
    fn own(&self) -> String {
        format!("Work{}", self.number)
    }

    /// Works until the server dies.
    ///
    /// # Errors
    /// It died, or it answered what it should not.
    pub fn work(&mut self, addr: &str, tally: &Tally) -> Result<()> {
        let mut session = Session {
            client: login(addr, self.account)?,
            tally,
        };
        loop {
            let (here, there) = if self.random.u8(..10) < 6 {
                ("INBOX".to_owned(), self.own())
            } else {
                (self.own(), "INBOX".to_owned())
            };
            session.ok(&format!("SELECT {here}"))?;
            if here == "INBOX" {
                self.look(&mut session)?;
            }
            for _ in 0..self.random.u8(1..6) {
                self.act(&mut session, &here, &there)?;
            }
        }
    }

    /// Meets what was delivered since the last time.
    fn look(&mut self, session: &mut Session<'_>) -> Result<()> {
        let next = self.next;
        let responses = session.ok(&format!(
            "UID FETCH {next}:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
        ))?;
        for one in responses.iter().filter_map(|response| fetched(response)) {
            // `n:*` names the last message whatever n is.
            if one.uid < next || one.literals.is_empty() {
                continue;
            }
            self.next = self.next.max(one.uid + 1);
            let id = one.literals.first().and_then(|text| id_in(text));
            let id = id.context("a message without an id")?;
            if owner(&id) == self.number
                && id.starts_with('d')
                && !self.promised.known.contains(&id)
            {
                let place = ("INBOX".to_owned(), one.uid);
                self.promised.meet(place, id, BTreeSet::new());
            }
        }
        Ok(())
    }

    fn act(&mut self, session: &mut Session<'_>, here: &str, there: &str) -> Result<()> {
        let all = self.promised.uids(here, |_| true);
        let live = self
            .promised
            .uids(here, |message| !message.flags.contains(DELETED));
        if live.is_empty() {
            return self.append(session, there);
        }
        let crowded = all.len() > PILE;
        match self.random.u8(..100) {
            0..40 => self.storm(session, here, &all),
            40..50 => self.append(session, there),
            50..60 if !crowded => {
                let uids = self.some(&live, 8);
                self.carry(session, here, there, uids, false)
            }
            60..75 => {
                let uids = self.some(&live, 12);
                self.carry(session, here, there, uids, true)
            }
            75..85 if !crowded => self.storm(session, here, &all),
            _ => {
                let uids = self.some(&live, if crowded { 20 } else { 4 });
                self.expunge(session, here, uids)
            }
        }
    }

    /// Flags on and off, one command behind the other.
    fn storm(&mut self, session: &mut Session<'_>, here: &str, all: &[u32]) -> Result<()> {
        for _ in 0..self.random.usize(2..8) {
            let count = self.random.usize(1..=3);
            let flags = (0..count).map(|_| FLAGS[self.random.usize(..FLAGS.len())].to_owned());
            let flags: BTreeSet<String> = flags.collect();
            let uids = if self.random.bool() {
                all.to_vec()
            } else {
                self.some(all, 5)
            };
            let add = self.random.u8(..3) > 0;
            self.store(session, here, uids, add, flags.into_iter().collect())?;
        }
        Ok(())
    }

    fn store(
        &mut self,
        session: &mut Session<'_>,
        here: &str,
        uids: Vec<u32>,
        add: bool,
        flags: Vec<String>,
    ) -> Result<()> {
        let (sign, silent) = (if add { '+' } else { '-' }, self.random.bool());
        let command = format!(
            "UID STORE {} {sign}FLAGS{} ({})",
            set(&uids),
            if silent { ".SILENT" } else { "" },
            flags.join(" ")
        );
        let change = Change::Store {
            mailbox: here.to_owned(),
            uids,
            add,
            flags,
        };
        self.change(session, &change, &command)
    }

    fn expunge(&mut self, session: &mut Session<'_>, here: &str, uids: Vec<u32>) -> Result<()> {
        self.store(session, here, uids, true, vec![DELETED.to_owned()])?;
        // What an earlier life marked goes with it.
        let uids = self
            .promised
            .uids(here, |message| message.flags.contains(DELETED));
        // In the inbox are messages of others, some of them marked.
        let command = if here == "INBOX" || self.random.bool() {
            format!("UID EXPUNGE {}", set(&uids))
        } else {
            "EXPUNGE".to_owned()
        };
        let mailbox = here.to_owned();
        self.change(session, &Change::Expunge { mailbox, uids }, &command)
    }

    fn carry(
        &mut self,
        session: &mut Session<'_>,
        here: &str,
        there: &str,
        uids: Vec<u32>,
        away: bool,
    ) -> Result<()> {
        let command = format!(
            "UID {} {} {there}",
            if away { "MOVE" } else { "COPY" },
            set(&uids)
        );
        let (from, to) = (here.to_owned(), there.to_owned());
        let change = if away {
            Change::Move { from, to, uids }
        } else {
            Change::Copy { from, to, uids }
        };
        self.change(session, &change, &command)
    }

    fn append(&mut self, session: &mut Session<'_>, to: &str) -> Result<()> {
        self.appended += 1;
        let id = format!("a{}.{}.{}", self.number, self.account, self.appended);
        let (text, to) = (message(&id), to.to_owned());
        let change = Change::Append { to: to.clone(), id };
        self.promised.under_way = Some(change.clone());
        let answer = session.client.append(&to, &text)?;
        let uid = numbers(&answer, "APPENDUID").and_then(|[_, uid]| uid.parse().ok());
        let uid = uid.with_context(|| format!("APPEND: {answer}"))?;
        self.done(session, &change, &[uid])
    }

    /// Sends a command that changes messages, and believes its answer.
    fn change(&mut self, session: &mut Session<'_>, change: &Change, command: &str) -> Result<()> {
        self.promised.under_way = Some(change.clone());
        let (ok, responses, last) = session.client.try_command(command)?;
        ensure!(ok, "{command}: {last}");
        let placed = match change {
            Change::Copy { uids, .. } | Change::Move { uids, .. } => {
                let mut text = last;
                for response in &responses {
                    text.push('\n');
                    text.push_str(&String::from_utf8_lossy(response));
                }
                let [_, from, to] =
                    numbers(&text, "COPYUID").with_context(|| format!("{command}: {text}"))?;
                ensure!(expand(&from)? == *uids, "{command}: {text}");
                expand(&to)?
            }
            _ => Vec::new(),
        };
        self.done(session, change, &placed)
    }

    fn done(&mut self, session: &Session<'_>, change: &Change, placed: &[u32]) -> Result<()> {
        self.promised.answered(change, placed)?;
        self.promised.under_way = None;
        session.tally.changed(change);
        Ok(())
    }

    /// Up to `most` of them, in their order.
    fn some(&mut self, uids: &[u32], most: usize) -> Vec<u32> {
        let mut uids = uids.to_vec();
        self.random.shuffle(&mut uids);
        uids.truncate(self.random.usize(1..=most));
        uids.sort_unstable();
        uids
    }
}

struct Session<'a> {
    client: Client,
    tally: &'a Tally,
}

impl Session<'_> {
    fn ok(&mut self, command: &str) -> Result<Vec<Response>> {
        let (ok, responses, last) = self.client.try_command(command)?;
        ensure!(ok, "{command}: {last}");
        Ok(responses)
    }
}

fn login(addr: &str, account: usize) -> Result<Client> {
    Client::login(addr, &format!("user{account}@demo.test"), PASSWORD)
}

/// The mailboxes of the account's sessions are made.
pub fn make_mailboxes(addr: &str, account: usize) -> Result<()> {
    let mut client = login(addr, account)?;
    for worker in 0..WORKERS {
        client.command(&format!("CREATE Work{worker}"))?;
    }
    Ok(())
}

/// What is in an account, by the session it belongs to, each byte compared.
pub fn look_around(addr: &str, account: usize) -> Result<Vec<BTreeMap<(String, u32), Found>>> {
    let mut client = login(addr, account)?;
    let mut all = vec![BTreeMap::new(); WORKERS];
    let mailboxes = (0..WORKERS).map(|worker| format!("Work{worker}"));
    for mailbox in mailboxes.chain(["INBOX".to_owned()]) {
        let selected = client.command(&format!("EXAMINE {mailbox}"))?.concat();
        let selected = String::from_utf8_lossy(&selected).into_owned();
        let [uid_next] = numbers(&selected, "UIDNEXT").context("no UIDNEXT")?;
        let uid_next: u32 = uid_next.parse()?;
        let responses = client.command("UID FETCH 1:* (UID FLAGS BODY.PEEK[])")?;
        for Fetched {
            uid,
            mut flags,
            literals,
        } in responses.iter().filter_map(|response| fetched(response))
        {
            ensure!(
                uid < uid_next,
                "uid-modseq-grow: UID {uid} with UIDNEXT {uid_next}"
            );
            flags.remove("\\Recent");
            let Some(body) = literals.first() else {
                bail!("blob-present: {mailbox} {uid} has no body");
            };
            let there =
                found(body, flags).with_context(|| format!("user{account}, {mailbox} {uid}"))?;
            all[owner(&there.id)].insert((mailbox.clone(), uid), there);
        }
    }
    Ok(all)
}

/// The numbers or sets behind a word.
fn numbers<const N: usize>(text: &str, word: &str) -> Option<[String; N]> {
    let (_, rest) = text.split_once(word)?;
    let rest = rest.split(']').next()?;
    let mut parts = rest.split_whitespace().map(str::to_owned);
    let mut numbers = std::array::from_fn(|_| String::new());
    for number in &mut numbers {
        *number = parts.next()?;
    }
    Some(numbers)
}

fn set(uids: &[u32]) -> String {
    let uids: Vec<String> = uids.iter().map(u32::to_string).collect();
    uids.join(",")
}

fn expand(set: &str) -> Result<Vec<u32>> {
    let mut uids = Vec::new();
    for part in set.split(',') {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        uids.extend(first.parse::<u32>()?..=last.parse::<u32>()?);
    }
    Ok(uids)
}
