//! Many sessions on one mailbox, each doing as it likes: what every client
//! knows by what it was told is what there is (THREATS 25; RFC 9051 §5.2, §7.5.1).

use super::{Client, World};
use crate::Sessions;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const SESSIONS: u64 = 100;
const STEPS: u32 = 12;

/// The mailbox has one of these names at a time: sessions give it the other one.
const NAMES: [&str; 2] = ["storm", "gale"];

/// Lines of what was said last.
const SAID_MAX: usize = 150;

/// With more messages than that some are moved away.
const MESSAGES_MAX: u64 = 60;

/// A number from the environment: more steps, or other ones.
fn from_env(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|set| set.parse().ok()).unwrap_or(otherwise)
}

/// What a client knows of a message.
#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    uid: Option<u32>,
    flags: Option<BTreeSet<String>>,
    modseq: Option<u64>,
    /// The flags are what it made of them by `.SILENT`: of a message that another session has
    /// expunged they are not.
    assumed: bool,
}

/// A client that believes what it is told and nothing else.
struct Believer {
    client: Client,
    messages: Vec<Known>,
    chance: u64,
    /// It knows MODSEQ.
    condstore: bool,
    /// It is told VANISHED.
    qresync: bool,
    /// The last SELECT's UIDVALIDITY and HIGHESTMODSEQ.
    selected: (u32, u64),
    /// What was said last, for who looks why it failed.
    said: VecDeque<String>,
}

impl Drop for Believer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:#?}", self.said);
        }
    }
}

/// What an answer says behind a word.
fn number_behind(answer: &[String], word: &str) -> Option<u64> {
    let found = answer.iter().find_map(|line| line.split_once(word));
    let digits = found?.1.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

impl Believer {
    fn chance(&mut self, of: u64) -> u64 {
        // Knuth's MMIX generator; the high bits are the good ones.
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % of
    }

    fn note(&mut self, command: &str, answer: &[String]) {
        let lines = [format!("> {command}")]
            .into_iter()
            .chain(answer.iter().cloned());
        self.said.extend(lines);
        let over = self.said.len().saturating_sub(SAID_MAX);
        self.said.drain(..over);
    }

    async fn ask(&mut self, command: &str) -> Vec<String> {
        let answer = self.client.ask(command).await;
        self.note(command, &answer);
        answer
    }

    async fn answer(&mut self, tag: &str) -> Vec<String> {
        let answer = self.client.answer(tag).await;
        self.note(tag, &answer);
        answer
    }

    /// A command that must be OK.
    async fn ok(&mut self, command: &str) -> Vec<String> {
        let mut answer = self.ask(command).await;
        let end = answer.pop().unwrap_or_default();
        assert!(end.starts_with("OK"), "{command}: {end}");
        answer
    }

    /// Sends a command, which must be OK, and believes the answer.
    async fn say(&mut self, command: &str) -> Vec<String> {
        let answer = self.ok(command).await;
        let by_number = ["FETCH", "STORE", "SEARCH"]
            .iter()
            .any(|verb| command.starts_with(verb));
        for line in &answer {
            assert!(
                !by_number || !(line.ends_with(" EXPUNGE") || line.starts_with("* VANISHED")),
                "{command}: {line}"
            );
            self.believe(line);
        }
        answer
    }

    /// Sends a command that may be NO: what it names may have another name just now, or be gone.
    async fn try_to(&mut self, command: &str) -> bool {
        let mut answer = self.ask(command).await;
        let end = answer.pop().unwrap_or_default();
        let permitted = [
            "OK",
            "NO [TRYCREATE]",
            "NO [NONEXISTENT]",
            "NO [ALREADYEXISTS]",
        ];
        let gone = command.contains("REPLACE") && end.starts_with("NO ");
        assert!(
            gone || permitted.iter().any(|begin| end.starts_with(begin)),
            "{command}: {end}"
        );
        answer.iter().for_each(|line| self.believe(line));
        end.starts_with("OK")
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.chance(2) as usize]
    }

    /// Selects the mailbox anew, by what it knew of it where it may.
    async fn select(&mut self, resync: bool) {
        let known = std::mem::take(&mut self.messages);
        let (validity, modseq) = self.selected;
        let mut known: BTreeMap<u32, Known> = known
            .into_iter()
            .filter_map(|message| Some((message.uid?, message)))
            .collect();
        let what = match resync && self.qresync {
            false => String::new(),
            true if self.chance(2) == 0 => format!(" (QRESYNC ({validity} {modseq}))"),
            true => {
                let uids: Vec<_> = known.keys().map(u32::to_string).collect();
                match uids.is_empty() {
                    true => format!(" (QRESYNC ({validity} {modseq}))"),
                    false => format!(" (QRESYNC ({validity} {modseq} {}))", uids.join(",")),
                }
            }
        };
        let mut tries = 0;
        let answer = loop {
            let name = NAMES[tries % 2];
            let answer = self.ask(&format!("SELECT {name}{what}")).await;
            if answer.last().is_some_and(|end| end.starts_with("OK")) {
                break answer;
            }
            tries += 1;
            assert!(tries < 1000, "{answer:?}");
        };
        let told = |word| number_behind(&answer, word).expect(word);
        let validity = told("[UIDVALIDITY ");
        self.selected = (
            u32::try_from(validity).expect("a number"),
            told("[HIGHESTMODSEQ "),
        );
        for line in &answer {
            let Some(gone) = line.strip_prefix("* VANISHED (EARLIER) ") else {
                self.believe(line);
                continue;
            };
            for range in gone.split(',') {
                let (first, last) = range.split_once(':').unwrap_or((range, range));
                let uid = |text: &str| text.parse::<u32>().expect("a UID");
                known.retain(|at, _| !(uid(first)..=uid(last)).contains(at));
            }
        }
        if what.is_empty() {
            return self.look().await;
        }
        // What was told of those that changed stands over what was known, which has to be right with it.
        for message in self.messages.iter().filter(|message| message.uid.is_some()) {
            known.insert(message.uid.unwrap_or_default(), message.clone());
        }
        let count = self.messages.len();
        self.messages = vec![Known::default(); count];
        let items = self.items();
        let mut rest = Vec::new();
        if count > 0 {
            let mut answer = self.ok(&format!("FETCH 1:* {items}")).await;
            rest = answer.split_off(count);
            answer.iter().for_each(|line| self.believe(line));
        }
        for message in &self.messages {
            let uid = message.uid.expect("it was asked for");
            let Some(known) = known.remove(&uid) else {
                // It came since, and is told of unless it was asked for others.
                assert!(
                    what.matches(' ').count() > 3,
                    "UID {uid} was not told of: {what}"
                );
                continue;
            };
            assert!(
                known.flags.is_none() || known.flags == message.flags,
                "{message:?}, not {known:?}"
            );
        }
        assert!(
            known.is_empty(),
            "they are gone, and nothing was said: {known:?}"
        );
        // What happened since.
        rest.iter().for_each(|line| self.believe(line));
        self.look().await;
    }

    /// A few messages by number, and by UID where all of those are known.
    fn some(&mut self, most: u64) -> (String, Option<String>) {
        let count = self.messages.len() as u64;
        let first = self.chance(count);
        let last = (first + self.chance(most)).min(count - 1);
        let uid = |at: u64| self.messages[at as usize].uid;
        let uids = uid(first).zip(uid(last));
        (
            format!("{}:{}", first + 1, last + 1),
            uids.map(|(first, last)| format!("{first}:{last}")),
        )
    }

    fn believe(&mut self, line: &str) {
        if let Some(gone) = line.strip_prefix("* VANISHED ") {
            assert!(self.qresync, "{line}");
            for range in gone.split(',') {
                let (first, last) = range.split_once(':').unwrap_or((range, range));
                let uid = |text: &str| text.parse::<u32>().expect("a UID");
                (uid(first)..=uid(last)).for_each(|uid| self.vanish(uid));
            }
            return;
        }
        let Some((number, what)) = line
            .strip_prefix("* ")
            .and_then(|rest| rest.split_once(' '))
        else {
            return;
        };
        let Ok(number) = number.parse::<usize>() else {
            return;
        };
        if what == "EXISTS" {
            assert!(
                number >= self.messages.len(),
                "{line} of {}",
                self.messages.len()
            );
            self.messages.resize(number, Known::default());
        } else if what == "EXPUNGE" {
            assert!(!self.qresync, "{line}");
            assert!(
                (1..=self.messages.len()).contains(&number),
                "{line} of {}",
                self.messages.len()
            );
            self.messages.remove(number - 1);
        } else if let Some(items) = what.strip_prefix("FETCH (") {
            assert!(
                (1..=self.messages.len()).contains(&number),
                "{line} of {}",
                self.messages.len()
            );
            let known = &mut self.messages[number - 1];
            let uid = items.split_once("UID ").map(|(_, rest)| {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                digits.parse::<u32>().expect("a UID")
            });
            if let Some(uid) = uid {
                assert!(
                    known.uid.is_none_or(|known| known == uid),
                    "{line}: {known:?}"
                );
                known.uid = Some(uid);
            }
            if let Some((_, rest)) = items.split_once("MODSEQ (") {
                let (modseq, _) = rest.split_once(')').expect("a number");
                let modseq = modseq.parse::<u64>().expect("a number");
                assert!(
                    known.modseq.is_none_or(|known| known <= modseq),
                    "{line}: {known:?}"
                );
                known.modseq = Some(modseq);
            }
            if let Some((_, rest)) = items.split_once("FLAGS (") {
                let (flags, _) = rest.split_once(')').expect("a list");
                known.flags = Some(flags.split_whitespace().map(str::to_owned).collect());
                known.assumed = false;
            }
        }
    }

    /// A message is gone; one that came with the same answer has no UID yet.
    fn vanish(&mut self, uid: u32) {
        let known = self.messages.iter().position(|m| m.uid == Some(uid));
        // It stands where its UID is in order.
        let is_before = |m: &Known| m.uid.is_some_and(|known| known < uid);
        let unknown = || {
            let before = self.messages.iter().rposition(is_before);
            let at = before.map_or(0, |before| before + 1);
            let is_unknown = self.messages.get(at).is_some_and(|m| m.uid.is_none());
            is_unknown.then_some(at)
        };
        let gone = known.or_else(unknown);
        self.messages.remove(gone.expect("it was there"));
    }

    fn items(&self) -> &'static str {
        match self.condstore {
            true => "(UID FLAGS MODSEQ)",
            false => "(UID FLAGS)",
        }
    }

    /// Asks for what it does not know yet.
    async fn look(&mut self) {
        if let Some(first) = self
            .messages
            .iter()
            .position(|m| m.uid.is_none() || m.flags.is_none())
        {
            let items = self.items();
            self.say(&format!("FETCH {}:* {items}", first + 1)).await;
        }
    }

    /// What FETCH says is what this session was told, message for message: what is new
    /// comes behind it.
    async fn check(&mut self) {
        self.check_with(false).await;
    }

    /// At the end nothing is gone that was not told, and what it made of flags itself is what they are.
    async fn check_with(&mut self, at_the_end: bool) {
        if self.messages.is_empty() {
            return;
        }
        let told = self.messages.clone();
        let items = self.items();
        let answer = self.ok(&format!("FETCH 1:* {items}")).await;
        self.messages = vec![Known::default(); told.len()];
        let (solicited, rest) = answer.split_at(told.len());
        solicited.iter().for_each(|line| self.believe(line));
        for (said, told) in self.messages.iter_mut().zip(&told) {
            // What came with the last answer is not known yet.
            assert!(
                told.uid.is_none() || said.uid == told.uid,
                "{said:?}, not {told:?}"
            );
            assert!(
                told.modseq.is_none() || said.modseq == told.modseq,
                "{said:?}, not {told:?}"
            );
            if told.assumed && !at_the_end {
                said.flags.clone_from(&told.flags);
                said.assumed = true;
            }
            assert!(
                told.flags.is_none() || said.flags == told.flags,
                "{said:?}, not {told:?}"
            );
        }
        rest.iter().for_each(|line| self.believe(line));
    }

    async fn step(&mut self) {
        match self.chance(26) {
            0..=3 => {
                let name = self.name();
                let command = format!("APPEND {name} (\\Draft) {{4+}}\r\nmail");
                self.try_to(&command).await;
            }
            4 => drop(self.say("EXPUNGE").await),
            5 => self.searches().await,
            6 => self.idles().await,
            7 => {
                let (from, to) = (self.name(), self.name());
                if from != to {
                    self.try_to(&format!("RENAME {from} {to}")).await;
                }
            }
            8 => {
                self.ok("CLOSE").await;
                self.select(false).await;
            }
            9 | 10 => {
                self.ok("UNSELECT").await;
                self.select(true).await;
            }
            _ if self.messages.is_empty() => drop(self.say("NOOP").await),
            other => self.with_messages(other).await,
        }
        if self.messages.len() as u64 > MESSAGES_MAX {
            self.say(&format!("MOVE 1:{} Trash", MESSAGES_MAX / 2))
                .await;
        }
        self.look().await;
        self.check().await;
    }

    /// One of the steps for which there have to be messages.
    async fn with_messages(&mut self, step: u64) {
        let number = self.chance(self.messages.len() as u64) + 1;
        let (numbers, uids) = self.some(4);
        let flag = ["\\Seen", "\\Flagged", "\\Deleted", "$Work"][self.chance(4) as usize];
        let sign = ['+', '-'][self.chance(2) as usize];
        let name = self.name();
        match step {
            11 | 12 => {
                let set = if step == 11 {
                    number.to_string()
                } else {
                    numbers
                };
                self.say(&format!("STORE {set} {sign}FLAGS ({flag})")).await;
            }
            13 => self.stores_silently(number..=number, sign, flag).await,
            14 => {
                let last = (number + 3).min(self.messages.len() as u64);
                self.stores_silently(number..=last, sign, flag).await;
            }
            15 => drop(self.try_to(&format!("COPY {number} {name}")).await),
            16 => drop(self.try_to(&format!("MOVE {number} {name}")).await),
            17 => {
                let command = format!("REPLACE {number} {name} (\\Seen) {{4+}}\r\nmore");
                self.try_to(&command).await;
            }
            18 => self.sorts().await,
            19 => self.reads(&numbers).await,
            20 => {
                // As another knows it.
                let items = self.items();
                self.say(&format!("FETCH {numbers},{number} {items}")).await;
            }
            _ => {
                let Some(uids) = uids else { return };
                let command = match step {
                    21 => format!("UID STORE {uids} {sign}FLAGS ({flag})"),
                    22 => format!("UID EXPUNGE {uids}"),
                    23 => format!("UID COPY {uids} {name}"),
                    24 => format!("UID MOVE {uids} {name}"),
                    _ => format!("UID FETCH {uids} {}", self.items()),
                };
                self.try_to(&command).await;
            }
        }
    }

    async fn stores_silently(
        &mut self,
        numbers: std::ops::RangeInclusive<u64>,
        sign: char,
        flag: &str,
    ) {
        for number in numbers.clone() {
            let message = &mut self.messages[number as usize - 1];
            // What it was never told it does not make up.
            if let Some(flags) = &mut message.flags {
                if sign == '+' {
                    flags.insert(flag.to_owned());
                } else {
                    flags.remove(flag);
                }
                message.assumed = true;
            }
        }
        let set = format!("{}:{}", numbers.start(), numbers.end());
        self.say(&format!("STORE {set} {sign}FLAGS.SILENT ({flag})"))
            .await;
    }

    /// Waits for a while for what others do.
    async fn idles(&mut self) {
        self.client.send("idle IDLE\r\n").await;
        for _ in 0..self.chance(40) {
            tokio::task::yield_now().await;
        }
        self.client.send("DONE\r\n").await;
        let answer = self.answer("idle").await;
        answer.iter().for_each(|line| self.believe(line));
    }

    async fn searches(&mut self) {
        let answer = self.ok("UID SEARCH ALL").await;
        let found: Vec<u32> = answer[0]["* SEARCH".len()..]
            .split_whitespace()
            .map(|uid| uid.parse().expect("a UID"))
            .collect();
        // What came with the last answer has no UID yet.
        assert_eq!(found.len(), self.messages.len());
        for (message, uid) in self.messages.iter().zip(&found) {
            assert!(message.uid.is_none_or(|known| known == *uid), "{found:?}");
        }
        answer.iter().for_each(|line| self.believe(line));
    }

    /// Sorted and threaded, each message is there once; one that another has expunged may not be.
    async fn sorts(&mut self) {
        for command in [
            "SORT (SUBJECT REVERSE SIZE) UTF-8 ALL",
            "THREAD REFERENCES UTF-8 ALL",
        ] {
            let count = self.messages.len();
            let answer = self.ok(command).await;
            let numbers = answer[0].split(|c: char| !c.is_ascii_digit());
            let mut numbers: Vec<usize> = numbers.filter_map(|n| n.parse().ok()).collect();
            let told = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), told, "{answer:?}");
            assert!(
                numbers.iter().all(|number| (1..=count).contains(number)),
                "{answer:?}"
            );
            answer.iter().for_each(|line| self.believe(line));
        }
    }

    /// Bodies are those that were appended; of what is gone there may be none.
    async fn reads(&mut self, numbers: &str) {
        let answer = self.say(&format!("FETCH {numbers} (BODY.PEEK[])")).await;
        let bodies = answer.iter().filter(|line| line.contains("BODY[]"));
        for body in bodies {
            let text = body.split_once("}\r\n").map_or("", |(_, text)| text);
            let text = text.trim_end_matches(')');
            assert!(
                ["mail", "more"].contains(&text) || text.starts_with("Subject: message "),
                "{body}"
            );
        }
    }
}

/// A hundred sessions, a third of each with nothing, CONDSTORE and QRESYNC. `POSTHOUSE_STEPS`
/// makes it longer, `POSTHOUSE_SEED` another one.
#[tokio::test]
async fn threat_25_what_every_session_was_told_is_what_there_is() {
    let sessions = Sessions::new(SESSIONS as usize + 1, usize::MAX);
    let world = World::with(Default::default(), sessions).await;
    let mut first = world.bob().await;
    first.ok(&format!("CREATE {}", NAMES[0])).await;
    for n in 1..=5 {
        let message = format!("Subject: message {n}\r\n\r\nbody {n}\r\n");
        first.append(NAMES[0], "", &message).await;
    }
    let steps = from_env("POSTHOUSE_STEPS", u64::from(STEPS));
    let first = from_env("POSTHOUSE_SEED", 1);
    let mut storms = Vec::new();
    for seed in first..first + SESSIONS {
        let mut client = world.bob().await;
        let (condstore, qresync) = (seed % 3 > 0, seed % 3 > 1);
        if condstore {
            let enabled = if qresync { "QRESYNC" } else { "CONDSTORE" };
            client.ok(&format!("ENABLE {enabled}")).await;
        }
        let mut believer = Believer {
            client,
            messages: Vec::new(),
            chance: seed,
            condstore,
            qresync,
            selected: (0, 0),
            said: VecDeque::new(),
        };
        believer.select(false).await;
        let storm = async move {
            for _ in 0..steps {
                believer.step().await;
            }
            believer
        };
        storms.push(world.runtime.spawn("client", storm));
    }
    let mut believers = Vec::new();
    for storm in storms {
        believers.push(storm.join().await.expect("it believed all"));
    }
    let mut truth: Option<Vec<Known>> = None;
    let mut modseqs: Option<Vec<Option<u64>>> = None;
    for believer in &mut believers {
        believer.say("NOOP").await;
        believer.look().await;
        believer.check_with(true).await;
        // Those who were told of mod-sequences know the same ones.
        let told = believer.messages.iter().map(|message| message.modseq);
        if believer.condstore {
            let told: Vec<_> = told.collect();
            assert!(told.iter().all(Option::is_some), "{told:?}");
            assert_eq!(modseqs.get_or_insert_with(|| told.clone()), &told);
        }
        let told = believer.messages.iter().map(|message| Known {
            modseq: None,
            assumed: false,
            ..message.clone()
        });
        let told: Vec<_> = told.collect();
        let uids: Vec<_> = told.iter().map(|m| m.uid).collect();
        assert!(uids.is_sorted_by(|a, b| a < b), "{uids:?}");
        assert_eq!(truth.get_or_insert_with(|| told.clone()), &told);
    }
}
