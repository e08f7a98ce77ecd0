//! Many sessions on one mailbox, each doing as it likes: what every client
//! knows by what it was told is what there is (THREATS 25; RFC 9051 §5.2, §7.5.1).

use super::{Client, World};
use crate::Sessions;
use std::collections::BTreeSet;

const SESSIONS: u64 = 100;
const STEPS: u32 = 6;

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

    /// Sends a command, which must be OK, and believes the answer.
    async fn say(&mut self, command: &str) -> Vec<String> {
        let answer = self.client.ok(command).await;
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
        let unknown = || self.messages.iter().position(|m| m.uid.is_none());
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
        if self.messages.is_empty() {
            return;
        }
        let told = self.messages.clone();
        let items = self.items();
        let answer = self.client.ok(&format!("FETCH 1:* {items}")).await;
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
            if told.assumed {
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
        let count = self.messages.len() as u64;
        let number = self.chance(count.max(1)) + 1;
        let flag = ["\\Seen", "\\Flagged", "\\Deleted", "$Work"][self.chance(4) as usize];
        match self.chance(11) {
            0..=2 => {
                self.say("APPEND INBOX (\\Draft) {4+}\r\nmail").await;
            }
            3 => {
                self.say("EXPUNGE").await;
            }
            4 => {
                let answer = self.client.ok("UID SEARCH ALL").await;
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
            _ if count == 0 => {
                self.say("NOOP").await;
            }
            5 | 6 => {
                self.say(&format!("STORE {number} +FLAGS ({flag})")).await;
            }
            7 => {
                let sign = if self.chance(2) == 0 { '+' } else { '-' };
                let at = number as usize - 1;
                // What it was never told it does not make up.
                if let Some(flags) = &mut self.messages[at].flags {
                    if sign == '+' {
                        flags.insert(flag.to_owned());
                    } else {
                        flags.remove(flag);
                    }
                    self.messages[at].assumed = true;
                }
                self.say(&format!("STORE {number} {sign}FLAGS.SILENT ({flag})"))
                    .await;
            }
            8 => {
                self.client.send("idle IDLE\r\n").await;
                self.client.send("DONE\r\n").await;
                let answer = self.client.answer("idle").await;
                answer.iter().for_each(|line| self.believe(line));
            }
            9 => {
                self.say(&format!("COPY {number} INBOX")).await;
            }
            _ => {
                self.say(&format!("MOVE {number} INBOX")).await;
            }
        }
        self.look().await;
        self.check().await;
    }
}

/// A hundred sessions, a third of each with nothing, CONDSTORE and QRESYNC. `POSTHOUSE_STEPS`
/// makes it longer, `POSTHOUSE_SEED` another one.
#[tokio::test]
async fn threat_25_what_every_session_was_told_is_what_there_is() {
    let sessions = Sessions::new(SESSIONS as usize + 1, usize::MAX);
    let world = World::with(Default::default(), sessions).await;
    world.fill(5).await;
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
        let select = client.ok("SELECT INBOX").await;
        let mut believer = Believer {
            client,
            messages: Vec::new(),
            chance: seed,
            condstore,
            qresync,
        };
        select.iter().for_each(|line| believer.believe(line));
        let storm = async move {
            believer.look().await;
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
    for believer in &mut believers {
        believer.say("NOOP").await;
        believer.look().await;
        believer.check().await;
        // Not everybody was told of mod-sequences.
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
