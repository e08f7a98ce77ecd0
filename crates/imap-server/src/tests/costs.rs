//! What a command may cost, counted: by what is read and by what is held (THREATS 24).

use super::counting::Counting;
use super::{Client, World};
use blobs::Blobs;
use engine::{MemoryEngine, SharedEngine};
use imap_proto::limits::FETCH_SECTIONS_MAX;
use std::sync::Arc;

async fn counted() -> (World, Arc<Counting>) {
    let counting = Arc::new(Counting::new(MemoryEngine::new(3)));
    let engine: SharedEngine = counting.clone();
    let blobs = Blobs::new(Arc::clone(&engine));
    let world = World::over(engine, blobs, Default::default(), Default::default()).await;
    (world, counting)
}

fn bytes(answer: &[String]) -> usize {
    answer.iter().map(String::len).sum()
}

/// A message is read once for all items, and sections have a limit.
#[tokio::test]
async fn threat_24_fetch_of_many_sections_reads_each_message_once() {
    let (world, counting) = counted().await;
    world.fill(20).await;
    let mut client = world.bob_in_inbox().await;
    let most = FETCH_SECTIONS_MAX;
    let same = |item: &str, count: usize| vec![item; count].join(" ");
    let numbered = |count: usize, item: &dyn Fn(usize) -> String| {
        let items = (0..count).map(item);
        items.collect::<Vec<_>>().join(" ")
    };
    let partial = |n: usize| format!("BODY.PEEK[]<{n}.1>");
    let part = |n: usize| format!("BODY.PEEK[{}1]", "1.".repeat(n % 100));
    let fields = |n: usize| format!("BODY.PEEK[HEADER.FIELDS (X-{n})]");
    let others = |n: usize| format!("BODY.PEEK[HEADER.FIELDS.NOT (X-{n})]");
    let forms: [&dyn Fn(usize) -> String; 7] = [
        &|count| same("BODY.PEEK[]", count),
        &|count| same("RFC822.HEADER", count),
        &|count| numbered(count, &partial),
        &|count| numbered(count, &part),
        &|count| numbered(count, &fields),
        &|count| numbered(count, &others),
        &|count| same("BODY.PEEK[1.MIME]", count),
    ];
    for form in forms {
        counting.take();
        let answer = client.ok(&format!("FETCH 1:20 ({})", form(most))).await;
        assert_eq!(answer.len(), 20);
        let (emails, _, bodies) = counting.take();
        assert!(
            emails <= 20 && bodies <= 20,
            "{}: {emails} {bodies}",
            &answer[0][..80]
        );
        let refused = ["BAD too many sections for one FETCH"];
        let command = form(most + 1);
        client
            .check(&format!("FETCH 1:20 ({command})"), &refused)
            .await;
        let notify = format!("NOTIFY SET (SELECTED (MessageNew ({command}) MessageExpunge))");
        client.check(&notify, &refused).await;
    }
    // What needs no section costs what it says.
    counting.take();
    let answer = client
        .ok(&format!(
            "FETCH 1:20 ({})",
            same("FLAGS UID ENVELOPE", 1300)
        ))
        .await;
    let (emails, pages, bodies) = counting.take();
    assert!(
        emails <= 20 && pages <= 20 && bodies == 0,
        "{emails} {pages} {bodies}"
    );
    assert!(bytes(&answer) < 20 * 1300 * 200);
    let command = format!("FETCH 1 ({})", same("UID", 4097));
    client.check(&command, &["BAD …"]).await;
}

/// Each key counts once: otherwise a command of 64 KiB makes keys of 100 KiB for each message.
#[tokio::test]
async fn threat_24_sort_by_the_same_key_again_and_again_is_sort_by_it_once() {
    let (world, counting) = counted().await;
    world.fill(200).await;
    let mut client = world.bob_in_inbox().await;
    let mut reads = Vec::new();
    for times in [1, 1000] {
        let criteria = vec!["SUBJECT REVERSE SUBJECT FROM"; times].join(" ");
        counting.take();
        let answer = client.ok(&format!("SORT ({criteria}) UTF-8 ALL")).await;
        reads.push(counting.take());
        assert!(bytes(&answer) < 10 + 200 * 4);
        // By subject as text: 1, 10, 100, 101, …
        assert!(answer[0].starts_with("* SORT 1 10 100 101 "), "{answer:?}");
        // Kept up to date, too, and asked for in parts.
        let kept = format!("SORT RETURN (UPDATE PARTIAL 1:3) ({criteria}) UTF-8 ALL");
        let answer = client.ok(&kept).await;
        assert!(answer[0].contains("PARTIAL (1:3 1,10,100)"), "{answer:?}");
        let tag = client.tags;
        client.ok(&format!("CANCELUPDATE \"t{tag}\"")).await;
    }
    // The second found what the first had sorted.
    assert!(
        reads[1].0 <= reads[0].0 && reads[1].1 <= reads[0].1,
        "{reads:?}"
    );
    assert_eq!((reads[0].2, reads[1].2), (0, 0));
    client
        .check(
            "SORT (REVERSE SUBJECT SUBJECT) UTF-8 1:3",
            &["* SORT 3 2 1", "OK …"],
        )
        .await;
}

/// Messages that refer to all others, in loops: each is in the answer once, and none is opened.
#[tokio::test]
async fn threat_24_threads_of_tangled_references_are_each_message_once() {
    let (world, counting) = counted().await;
    let mut client = world.bob_in_inbox().await;
    let count = 120;
    for n in 0..count {
        // Forward and back: whatever order they are looked at in, there are loops.
        let others = (1..count).map(|step| format!("<{}@x>", (n * 7 + step * 11) % count));
        let others = others.collect::<Vec<_>>().join(" ");
        let message =
            format!("Subject: Re: x\r\nMessage-ID: <{n}@x>\r\nReferences: {others}\r\n\r\n");
        client.append("INBOX", "", &message).await;
    }
    client.ok("NOOP").await;
    for algorithm in ["ORDEREDSUBJECT", "REFERENCES", "REFS"] {
        counting.take();
        let answer = client.ok(&format!("THREAD {algorithm} UTF-8 ALL")).await;
        let (emails, _, bodies) = counting.take();
        assert!(
            emails <= 2 * count && bodies <= count,
            "{algorithm}: {emails} {bodies}"
        );
        let mut numbers: Vec<usize> = answer[0]
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{algorithm}");
        assert!(bytes(&answer) < 20 + count * 6, "{algorithm}");
    }
}

/// The cost of what is done with few messages of a mailbox, by records read and bytes written.
async fn few(
    client: &mut Client,
    counting: &Counting,
    (last, uid): (u32, u32),
) -> Vec<(usize, usize)> {
    let mut costs = Vec::new();
    let (before, half) = (last - 1, last / 2);
    for command in [
        "STATUS large (MESSAGES UNSEEN SIZE UIDNEXT DELETED)".to_owned(),
        "SELECT large".to_owned(),
        "NOOP".to_owned(),
        format!("FETCH {half} (FLAGS UID)"),
        "UID FETCH *:* (FLAGS ENVELOPE)".to_owned(),
        format!("STORE {half} +FLAGS (\\Flagged)"),
        "SEARCH RETURN (COUNT) FLAGGED".to_owned(),
        format!("COPY {before} INBOX"),
        format!("STORE {last} +FLAGS.SILENT (\\Deleted)"),
        format!("UID EXPUNGE {uid}"),
    ] {
        counting.take_all();
        let answer = client.ok(&command).await;
        assert!(bytes(&answer) < 1024, "{command}: {answer:?}");
        costs.push(counting.take_all());
    }
    costs
}

/// What is done with one message costs no more where there are a hundred times as many.
#[tokio::test]
async fn threat_24_a_large_mailbox_costs_no_more_than_a_small_one() {
    let (world, counting) = counted().await;
    world.fill(64).await;
    let mut client = world.bob_in_inbox().await;
    client.ok("CREATE large").await;
    client.ok("CREATE half").await;
    client.ok("COPY 1:* large").await;
    let small = few(&mut client, &counting, (64, 64)).await;
    // Sixty-three, and sixty-four of them again and again.
    client.ok("SELECT INBOX").await;
    for _ in 0..8 {
        client.ok("COPY 1:64 half").await;
    }
    client.ok("SELECT half").await;
    for _ in 0..16 {
        client.ok("COPY 1:* large").await;
    }
    let messages = 63 + 16 * 512;
    let told = client.ok("STATUS large (MESSAGES UIDNEXT)").await;
    assert_eq!(
        told,
        [format!(
            "* STATUS \"large\" (MESSAGES {messages} UIDNEXT {})",
            messages + 2
        )]
    );
    let large = few(&mut client, &counting, (messages, messages + 1)).await;
    for (at, (small, large)) in small.iter().zip(&large).enumerate() {
        assert!(
            large.0 <= small.0 + 8 && large.1 <= small.1 + 1024,
            "{at}: {small:?} {large:?}"
        );
    }
}

/// What an idle client does not take is not gathered: it is told how things are when it reads on.
#[tokio::test]
async fn threat_24_an_idle_client_that_does_not_read_is_owed_little() {
    let world = World::new().await;
    world.fill(50).await;
    let mut idle = world.bob_in_inbox().await;
    idle.send("i IDLE\r\n").await;
    assert_eq!(idle.hear().await, "+ idling");
    let mut other = world.bob_in_inbox().await;
    for n in 0..10_000 {
        let sign = ['+', '-'][n / 50 % 2];
        other
            .ok(&format!(
                "STORE {} {sign}FLAGS.SILENT ($a{})",
                n % 50 + 1,
                n % 7
            ))
            .await;
    }
    other.ok("STORE 50 FLAGS.SILENT ($last)").await;
    let mut taken = 0;
    loop {
        let told = idle.hear().await;
        taken += told.len();
        if told.starts_with("* 50 FETCH ") && told.contains("($last)") {
            break;
        }
    }
    // What was in the pipe, what was gathered beside it, and the state of fifty messages.
    let most = 64 * 1024 + crate::limits::OUTPUT_BYTES + 50 * 100;
    assert!(taken <= most, "{taken}");
}
