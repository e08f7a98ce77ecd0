//! QRESYNC (RFC 7162 §3.2).

use super::{Client, World};
use mailbox_model::limits::EXPUNGES_KEPT_MAX;
use runtime::Runtime;
use std::collections::BTreeMap;

/// What a client keeps of a mailbox when it goes away.
#[derive(Debug, Default, Clone, PartialEq)]
struct Remembered {
    uid_validity: String,
    modseq: u64,
    flags: BTreeMap<u32, String>,
}

impl Remembered {
    /// Takes over what is told of the mailbox.
    fn hear(&mut self, responses: &[String]) {
        for response in responses {
            if let Some(rest) = response.strip_prefix("* OK [UIDVALIDITY ") {
                self.uid_validity = rest.split(']').next().unwrap_or_default().to_owned();
            } else if let Some((_, rest)) = response.split_once("[HIGHESTMODSEQ ") {
                let told = rest.split(']').next().unwrap_or_default();
                self.modseq = told.parse().expect("a number");
            } else if let Some(gone) = response.strip_prefix("* VANISHED ") {
                let gone = gone.strip_prefix("(EARLIER) ").unwrap_or(gone);
                for uid in numbers(gone) {
                    self.flags.remove(&uid);
                }
            } else if response.contains(" FETCH (UID ") {
                let (_, rest) = response.split_once("(UID ").expect("told");
                let (uid, rest) = rest.split_once(" FLAGS (").expect("told");
                let flags = rest.split(')').next().unwrap_or_default();
                self.flags
                    .insert(uid.parse().expect("a number"), flags.to_owned());
            }
            assert!(!response.ends_with(" EXPUNGE"), "{response}");
        }
    }

    /// The parameter of SELECT that says what is remembered.
    fn parameter(&self, known: &str) -> String {
        let (validity, modseq) = (&self.uid_validity, self.modseq);
        format!("SELECT INBOX (QRESYNC ({validity} {modseq}{known}))")
    }
}

fn numbers(set: &str) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().expect("a number");
    set.split(',')
        .flat_map(|range| match range.split_once(':') {
            Some((from, to)) => number(from)..=number(to),
            None => number(range)..=number(range),
        })
        .collect()
}

async fn quick(world: &World) -> Client {
    let mut client = world.bob().await;
    client
        .check("ENABLE QRESYNC", &["* ENABLED QRESYNC", "OK …"])
        .await;
    client
}

/// Selects the inbox and remembers all of it.
async fn remember(client: &mut Client) -> Remembered {
    let mut remembered = Remembered::default();
    remembered.hear(&client.ok("SELECT INBOX").await);
    remembered.hear(&client.ok("UID FETCH 1:* (FLAGS)").await);
    remembered
}

#[tokio::test]
async fn select_tells_what_is_gone_and_what_changed() {
    let world = World::new().await;
    world.fill(6).await;
    let mut client = quick(&world).await;
    let before = remember(&mut client).await;
    let mut other = world.bob_in_inbox().await;
    other.ok("STORE 2,6 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    other.ok("UID STORE 4 +FLAGS (\\Flagged)").await;
    world.fill(1).await;

    let answer = client.ask(&before.parameter("")).await;
    let told: Vec<_> = answer
        .iter()
        .filter(|line| line.contains("VANISHED") || line.contains("FETCH"))
        .collect();
    assert_eq!(told.len(), 3, "{answer:?}");
    assert_eq!(told[0], "* VANISHED (EARLIER) 2,6");
    assert!(told[1].starts_with("* 3 FETCH (UID 4 FLAGS (\\Flagged) MODSEQ ("));
    assert!(told[2].starts_with("* 5 FETCH (UID 7 FLAGS () MODSEQ ("));

    // Only of what is known (RFC 7162 §3.2.5.1).
    let answer = client.ok(&before.parameter(" 1:3,5")).await.join("\n");
    assert!(answer.contains("* VANISHED (EARLIER) 2\n") || answer.ends_with("(EARLIER) 2"));
    assert!(!answer.contains("FETCH"), "{answer}");
    // Another UIDVALIDITY: as if nothing were said.
    let mut elsewhere = before.clone();
    elsewhere.uid_validity = "1".into();
    let answer = client.ok(&elsewhere.parameter("")).await.join("\n");
    assert!(!answer.contains("VANISHED") && !answer.contains("FETCH"));
}

#[tokio::test]
async fn vanished_stands_for_expunge_once_it_is_enabled() {
    let world = World::new().await;
    world.fill(9).await;
    let mut client = quick(&world).await;
    client.ok("SELECT INBOX").await;
    client
        .check(
            "UID STORE 2:4 +FLAGS.SILENT (\\Deleted)",
            &["* 2 FETCH …", "* 3 FETCH …", "* 4 FETCH …", "OK …"],
        )
        .await;
    // RFC 7162 §3.2.7
    client
        .check("EXPUNGE", &["* VANISHED 2:4", "OK [HIGHESTMODSEQ …] …"])
        .await;
    client
        .check(
            "UID MOVE 6,8 Trash",
            &[
                "* OK [COPYUID … 6,8 …] …",
                "* VANISHED 6,8",
                "OK [HIGHESTMODSEQ …] …",
            ],
        )
        .await;
    let mut other = world.bob_in_inbox().await;
    other.ok("UID STORE 9 +FLAGS (\\Deleted)").await;
    other.check("EXPUNGE", &["* 4 EXPUNGE", "OK …"]).await;
    // Not during a command by number (RFC 7162 §3.2.10.2).
    client
        .check("FETCH 1 (UID)", &["* 1 FETCH (UID 1)", "OK …"])
        .await;
    client.check("NOOP", &["* VANISHED 9", "OK …"]).await;
}

#[tokio::test]
async fn uid_fetch_tells_what_of_its_set_is_gone() {
    let world = World::new().await;
    world.fill(5).await;
    let mut client = quick(&world).await;
    let before = remember(&mut client).await;
    let mut other = world.bob_in_inbox().await;
    other.ok("STORE 2,5 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    other.ok("UID STORE 3 +FLAGS (\\Seen)").await;
    // What is newer than the last answer is told as such, before.
    let since = before.modseq;
    let fetch = format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since} VANISHED)");
    let answer = client.ok(&fetch).await;
    assert_eq!(answer[0], "* VANISHED 2,5");
    assert!(
        answer.contains(&"* VANISHED (EARLIER) 2,5".to_owned()),
        "{answer:?}"
    );
    assert!(
        answer
            .last()
            .is_some_and(|line| line.starts_with("* 2 FETCH (UID 3"))
    );
    let fetch = format!("UID FETCH 1:4 (FLAGS) (VANISHED CHANGEDSINCE {since})");
    client
        .check(
            &fetch,
            &["* VANISHED (EARLIER) 2", "* 2 FETCH (UID 3…", "OK …"],
        )
        .await;
    for bad in [
        "UID FETCH 1:* (FLAGS) (VANISHED)",
        "FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",
    ] {
        client.check(bad, &["BAD …"]).await;
    }
    other
        .check("UID FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)", &["BAD …"])
        .await;
    other
        .check("SELECT INBOX (QRESYNC (1 1))", &["BAD …"])
        .await;
}

/// THREATS 25: a client's state that never was.
#[tokio::test]
async fn threat_25_what_a_client_claims_to_know_costs_little_and_is_never_trusted() {
    let world = World::new().await;
    world.fill(4).await;
    let mut client = quick(&world).await;
    let now = remember(&mut client).await;
    client.ok("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    let mut future = now.clone();
    future.modseq = u64::MAX / 2;
    // Nothing is known of the future: all is told.
    let answer = client.ok(&future.parameter("")).await;
    let mut learned = Remembered::default();
    learned.hear(&answer);
    assert!(
        answer.contains(&"* VANISHED (EARLIER) 2".to_owned()),
        "{answer:?}"
    );
    assert_eq!(learned.flags.keys().copied().collect::<Vec<_>>(), [1, 3, 4]);
    // Four thousand million numbers, and matches that are none.
    for known in [
        " 1:4294967295",
        " 1:4294967295 (1:4294967295 1:4294967295)",
        " (9:4294967295 9:4294967295)",
        " 1:4294967295 (3 2)",
    ] {
        let answer = client.ok(&now.parameter(known)).await;
        assert!(
            answer.contains(&"* VANISHED (EARLIER) 2".to_owned()),
            "{known}: {answer:?}"
        );
    }
    // What is matched is told no more (RFC 7162 §3.2.5.2).
    let answer = client.ok(&now.parameter(" 1:4 (3 4)")).await.join("");
    assert!(!answer.contains("VANISHED"), "{answer}");
    for bad in [
        "SELECT INBOX (QRESYNC 1 1)",
        "SELECT INBOX (QRESYNC (0 1))",
        "SELECT INBOX (QRESYNC (1 1 1:*))",
        "SELECT INBOX (QRESYNC (1 1 $))",
        "SELECT INBOX (QRESYNC (1 1 1:2 1:2))",
        "SELECT INBOX (QRESYNC (1 1 (1:2)))",
        "SELECT INBOX (QRESYNC (1 1)",
    ] {
        client.check(bad, &["BAD …"]).await;
    }
}

/// A client that goes away and comes back knows what one knows that lists all,
/// whatever was done meanwhile.
#[tokio::test]
async fn whoever_comes_back_knows_what_is_there() {
    for seed in 0..8 {
        let random = Runtime::seeded(seed);
        let below = |bound: u64| (random.random_u64() % bound) as u32;
        let world = World::new().await;
        world.fill(20).await;
        let mut away = quick(&world).await;
        let mut remembered = remember(&mut away).await;
        let mut other = world.bob_in_inbox().await;
        for _ in 0..6 {
            for _ in 0..below(if seed % 2 == 0 { 10 } else { 40 }) {
                let uid = 1 + below(60);
                match below(5) {
                    0 => world.fill(1 + below(2)).await,
                    1 => drop(other.ok(&format!("UID STORE {uid} +FLAGS (\\Seen)")).await),
                    2 => drop(other.ok(&format!("UID STORE {uid} -FLAGS (\\Seen)")).await),
                    3 => {
                        let store = format!("UID STORE {uid} +FLAGS (\\Deleted)");
                        other.ok(&store).await;
                        other.ok("EXPUNGE").await;
                    }
                    _ => drop(other.ok(&format!("UID COPY {uid} INBOX")).await),
                }
            }
            let known = match below(3) {
                0 => String::new(),
                1 => " 1:4294967295".to_owned(),
                _ => {
                    let uids: Vec<_> = remembered.flags.keys().map(u32::to_string).collect();
                    let last = uids.len();
                    if uids.is_empty() {
                        String::new()
                    } else {
                        format!(" 1:4294967295 (1:{last} {})", uids.join(","))
                    }
                }
            };
            remembered.hear(&away.ok(&remembered.parameter(&known)).await);
            let whole = remember(&mut away).await;
            assert_eq!(remembered, whole, "seed {seed}, known{known}");
        }
    }
}

#[tokio::test]
async fn after_more_expunges_than_are_remembered_all_that_is_not_there_is_gone() {
    let world = World::new().await;
    let many = u32::try_from(2 * EXPUNGES_KEPT_MAX + 10).expect("few");
    world.fill(many).await;
    let mut away = quick(&world).await;
    let mut remembered = remember(&mut away).await;
    let mut other = world.bob_in_inbox().await;
    for uid in (1..=many).step_by(2) {
        other
            .ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))
            .await;
        other.ok("EXPUNGE").await;
    }
    remembered.hear(&away.ok(&remembered.parameter("")).await);
    assert_eq!(remembered, remember(&mut away).await);
    assert_eq!(remembered.flags.len(), many as usize / 2);
}

/// What is told is what went, however much went before.
#[tokio::test]
async fn older_expunges_are_told_by_the_log() {
    let world = World::new().await;
    let many = u32::try_from(4 * EXPUNGES_KEPT_MAX + 8).expect("few");
    world.fill(many).await;
    let mut other = world.bob_in_inbox().await;
    let half: Vec<String> = (1..=many).step_by(2).map(|uid| uid.to_string()).collect();
    other
        .ok(&format!(
            "UID STORE {} +FLAGS.SILENT (\\Deleted)",
            half.join(",")
        ))
        .await;
    other.ok("EXPUNGE").await;
    let mut away = quick(&world).await;
    let mut remembered = remember(&mut away).await;
    let mut gone = Vec::new();
    for uid in (2..=many).step_by(4).take(EXPUNGES_KEPT_MAX + 1) {
        other.ok(&format!("UID MOVE {uid} Trash")).await;
        gone.push(uid);
    }
    let answer = away.ok(&remembered.parameter("")).await;
    let told = answer
        .iter()
        .find_map(|line| line.strip_prefix("* VANISHED (EARLIER) "));
    assert_eq!(numbers(told.expect("told")), gone);
    remembered.hear(&answer);
    assert_eq!(remembered, remember(&mut away).await);
    // The same by UID FETCH; a state that never was still gets all that is not there.
    let told = away
        .ok(&format!(
            "UID FETCH 1:* (FLAGS) (CHANGEDSINCE {} VANISHED)",
            remembered.modseq
        ))
        .await;
    assert!(
        !told.iter().any(|line| line.contains("VANISHED")),
        "{told:?}"
    );
    let mut never = remembered.clone();
    never.modseq = 1 << 50;
    let answer = away.ok(&never.parameter("")).await;
    let told = answer
        .iter()
        .find_map(|line| line.strip_prefix("* VANISHED (EARLIER) "));
    assert!(numbers(told.expect("told")).len() > gone.len() + half.len() - 2);
}

/// RFC 7162 §3.2.10.2, RFC 9051 §5.5: numbers mean the same until a search by them has ended.
#[tokio::test]
async fn a_uid_search_by_number_moves_no_numbers() {
    let world = World::new().await;
    world.fill(3).await;
    let mut client = quick(&world).await;
    client.ok("SELECT INBOX").await;
    let mut other = world.bob_in_inbox().await;
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    for (command, told) in [
        ("UID SEARCH 2:3", "* SEARCH 2 3"),
        ("UID SORT (ARRIVAL) UTF-8 NOT 1", "* SORT 2 3"),
        ("UID THREAD REFERENCES UTF-8 2", "* THREAD (2)"),
        ("ESEARCH 2", "* ESEARCH (…) UID ALL 2"),
    ] {
        client.check(command, &[told, "OK searched"]).await;
    }
    client
        .check(
            "UID SEARCH UID 2:3",
            &["* SEARCH 2 3", "* VANISHED 1", "OK searched"],
        )
        .await;
    // RFC 7162 §3.2.8: CLOSE tells no mod-sequence.
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    client.check("CLOSE", &["OK closed"]).await;
}
