//! Many sessions on one mailbox, each doing as it likes: what every client
//! knows by what it was told is what there is (THREATS 25; RFC 9051 §5.2, §7.5.1).

use super::{Client, World};
use std::collections::BTreeSet;

const SESSIONS: u64 = 12;
const STEPS: u32 = 40;

/// What a client knows of a message.
#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    uid: Option<u32>,
    flags: Option<BTreeSet<String>>,
}

/// A client that believes what it is told and nothing else.
struct Believer {
    client: Client,
    messages: Vec<Known>,
    chance: u64,
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
                !by_number || !line.ends_with(" EXPUNGE"),
                "{command}: {line}"
            );
            self.believe(line);
        }
        answer
    }

    fn believe(&mut self, line: &str) {
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
            if let Some((_, rest)) = items.split_once("FLAGS (") {
                let (flags, _) = rest.split_once(')').expect("a list");
                known.flags = Some(flags.split_whitespace().map(str::to_owned).collect());
            }
        }
    }

    /// Asks for what it does not know yet.
    async fn look(&mut self) {
        if let Some(first) = self
            .messages
            .iter()
            .position(|m| m.uid.is_none() || m.flags.is_none())
        {
            self.say(&format!("FETCH {}:* (UID FLAGS)", first + 1))
                .await;
        }
    }

    async fn step(&mut self) {
        let count = self.messages.len() as u64;
        let number = self.chance(count.max(1)) + 1;
        let flag = ["\\Seen", "\\Flagged", "\\Deleted", "$Work"][self.chance(4) as usize];
        match self.chance(10) {
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
                let flags = self.messages[at].flags.get_or_insert_default();
                if sign == '+' {
                    flags.insert(flag.to_owned());
                } else {
                    flags.remove(flag);
                }
                self.say(&format!("STORE {number} {sign}FLAGS.SILENT ({flag})"))
                    .await;
            }
            8 => {
                self.say(&format!("COPY {number} INBOX")).await;
            }
            _ => {
                self.say(&format!("MOVE {number} INBOX")).await;
            }
        }
        self.look().await;
    }
}

#[tokio::test]
async fn what_every_session_was_told_is_what_there_is() {
    let world = World::new().await;
    world.fill(5).await;
    let mut storms = Vec::new();
    for seed in 1..=SESSIONS {
        let mut client = world.bob().await;
        let select = client.ok("SELECT INBOX").await;
        let mut believer = Believer {
            client,
            messages: Vec::new(),
            chance: seed,
        };
        select.iter().for_each(|line| believer.believe(line));
        let storm = async move {
            believer.look().await;
            for _ in 0..STEPS {
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
        let told = believer.messages.clone();
        believer.say("FETCH 1:* (UID FLAGS)").await;
        assert_eq!(told, believer.messages);
        let uids: Vec<_> = told.iter().map(|m| m.uid).collect();
        assert!(uids.is_sorted_by(|a, b| a < b), "{uids:?}");
        assert_eq!(truth.get_or_insert_with(|| told.clone()), &told);
    }
}
