//! SORT (RFC 5256, RFC 5957, RFC 5267), THREAD (RFC 5256), PARTIAL (RFC 9394), and the
//! collation of both and of SEARCH (RFC 5255).

use super::counting::Counting;
use super::{Client, World};
use blobs::Blobs;
use engine::{Batch, MemoryEngine, Order, SharedEngine};
use std::sync::Arc;

async fn filled(world: &World, messages: &[&str]) -> Client {
    let mut client = world.bob_in_inbox().await;
    for message in messages {
        client
            .append("INBOX", "", &message.replace('\n', "\r\n"))
            .await;
    }
    client.ok("NOOP").await;
    client
}

const MAIL: [&str; 4] = [
    "From: Zoe <b@x.test>\nTo: c@x.test\nSubject: Re: beta\nDate: Tue, 02 Jan 2024 10:00:00 +0000\n\nlong long long long\n",
    "From: a@y.test\nTo: B@x.test\nCc: z@x.test\nSubject: Alpha\nDate: Tue, 02 Jan 2024 11:30:00 +0200\n\n\n",
    "From: =?utf-8?q?=C3=89mile?= <c@x.test>\nSubject: [list] BETA (fwd)\nDate: Mon, 01 Jan 2024 10:00:00 +0000\n\nx\n",
    "From: emily@x.test\nSubject: gamma\n\nxx\n",
];

#[tokio::test]
async fn messages_are_sorted_by_every_key() {
    let world = World::new().await;
    let mut client = filled(&world, &MAIL).await;
    for (criteria, order) in [
        ("ARRIVAL", "1 2 3 4"),
        ("REVERSE ARRIVAL", "1 2 3 4"),
        ("SIZE", "4 2 3 1"),
        ("REVERSE SIZE", "1 3 2 4"),
        ("DATE", "3 2 1 4"),
        ("SUBJECT", "2 1 3 4"),
        ("SUBJECT REVERSE SIZE", "2 1 3 4"),
        ("SUBJECT SIZE", "2 3 1 4"),
        ("REVERSE SUBJECT", "4 1 3 2"),
        ("FROM", "2 1 3 4"),
        ("TO", "3 4 2 1"),
        ("CC", "1 3 4 2"),
        ("DISPLAYFROM", "2 4 3 1"),
        ("DISPLAYTO", "3 4 2 1"),
    ] {
        let told = format!("* SORT {order}");
        client
            .check(&format!("SORT ({criteria}) UTF-8 ALL"), &[&told, "OK …"])
            .await;
    }
    client
        .check("SORT (SIZE) US-ASCII SUBJECT beta", &["* SORT 3 1", "OK …"])
        .await;
    client
        .check("SORT (SIZE) UTF-8 SUBJECT nothing", &["* SORT", "OK …"])
        .await;
    client
        .check("UID SORT (SIZE) UTF-8 2:3", &["* SORT 2 3", "OK …"])
        .await;
    client
        .check(
            "SORT (SIZE) UTF-8 MODSEQ 1",
            &["* OK [HIGHESTMODSEQ …", "* SORT 4 2 3 1 (MODSEQ …)", "OK …"],
        )
        .await;
    for bad in [
        "SORT () UTF-8 ALL",
        "SORT (WEIGHT) UTF-8 ALL",
        "SORT (REVERSE) UTF-8 ALL",
        "SORT (SIZE) ALL",
        "SORT (SIZE) UTF-8",
    ] {
        let answer = client.ask(bad).await;
        assert!(
            answer[0].starts_with("BAD ") || answer[0].starts_with("NO [BADCHARSET"),
            "{bad}: {answer:?}"
        );
    }
    client
        .check("SORT (SIZE) KOI8-R ALL", &["NO [BADCHARSET …"])
        .await;
}

#[tokio::test]
async fn sorted_results_are_returned_as_asked_for() {
    let world = World::new().await;
    let mut client = filled(&world, &MAIL).await;
    for (returns, told) in [
        ("MIN MAX COUNT", " MIN 4 MAX 1 COUNT 4"),
        ("ALL", " ALL 4,2:3,1"),
        ("", " ALL 4,2:3,1"),
        ("PARTIAL 2:3", " PARTIAL (2:3 2:3)"),
        ("PARTIAL -1:-2 COUNT", " PARTIAL (-1:-2 3,1) COUNT 4"),
    ] {
        let told = format!("* ESEARCH (TAG \"…\"){told}");
        client
            .check(
                &format!("SORT RETURN ({returns}) (SIZE) UTF-8 ALL"),
                &[&told, "OK …"],
            )
            .await;
    }
    client
        .check(
            "SORT RETURN (SAVE PARTIAL 1:2) (SIZE) UTF-8 ALL",
            &["* ESEARCH …", "OK …"],
        )
        .await;
    client.check("SEARCH $", &["* SEARCH 2 4", "OK …"]).await;
}

/// RFC 9394.
#[tokio::test]
async fn a_part_of_the_results_is_given() {
    let world = World::new().await;
    world.fill(5).await;
    let mut client = world.bob_in_inbox().await;
    client.ok("STORE 2 +FLAGS (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    for (range, told) in [
        ("1:2", "(1:2 1,3)"),
        ("2:1", "(1:2 1,3)"),
        ("3:9", "(3:9 4:5)"),
        ("5:9", "(5:9 NIL)"),
        ("-1:-2", "(-1:-2 4:5)"),
        ("-2:-1", "(-1:-2 4:5)"),
        ("-4:-9", "(-4:-9 1)"),
        ("-5:-9", "(-5:-9 NIL)"),
    ] {
        let told = format!("* ESEARCH (TAG \"…\") UID PARTIAL {told}");
        client
            .check(
                &format!("UID SEARCH RETURN (PARTIAL {range}) ALL"),
                &[&told, "OK …"],
            )
            .await;
    }
    let told = "* ESEARCH (TAG \"…\") MIN 1 PARTIAL (2:2 2) COUNT 4";
    client
        .check("SEARCH RETURN (COUNT PARTIAL 2:2 MIN) ALL", &[told, "OK …"])
        .await;
    for bad in [
        "PARTIAL",
        "PARTIAL 1",
        "PARTIAL 1:*",
        "PARTIAL 0:1",
        "PARTIAL -1:2",
        "PARTIAL 1:2 ALL",
        "PARTIAL 1:2 PARTIAL 3:4",
    ] {
        client
            .check(&format!("SEARCH RETURN ({bad}) ALL"), &["BAD …"])
            .await;
    }
    client
        .check(
            "SEARCH RETURN (SAVE PARTIAL -1:-2) ALL",
            &["* ESEARCH …", "OK …"],
        )
        .await;
    client.check("SEARCH $", &["* SEARCH 3 4", "OK …"]).await;
    // §3.3
    client
        .check(
            "UID FETCH 1:* (UID) (PARTIAL 2:3)",
            &["* 2 FETCH (UID 3)", "* 3 FETCH (UID 4)", "OK …"],
        )
        .await;
    client
        .check(
            "UID FETCH 1,4:* (UID) (PARTIAL -1:-1)",
            &["* 4 FETCH (UID 5)", "OK …"],
        )
        .await;
    client
        .check("UID FETCH 1,4:* (UID) (PARTIAL 4:5)", &["OK …"])
        .await;
    client
        .check("FETCH 1:* (UID) (PARTIAL 2:3)", &["BAD …"])
        .await;
}

#[tokio::test]
async fn messages_are_threaded_by_subject_and_by_reference() {
    let world = World::new().await;
    let mail = [
        "Message-ID: <1@x>\nSubject: one\n\n1\n",
        "Message-ID: <2@x>\nIn-Reply-To: <1@x>\nSubject: two\n\n2\n",
        "Message-ID: <3@x>\nReferences: <1@x> <2@x>\nSubject: three\n\n3\n",
        "Message-ID: <4@x>\nSubject: other\n\n4\n",
        "Message-ID: <5@x>\nSubject: Re: other\n\n5\n",
        "Message-ID: <6@x>\nReferences: <0@x>\nSubject: six\n\n6\n",
        "Message-ID: <7@x>\nReferences: <0@x>\nSubject: seven\n\n7\n",
    ];
    let mut client = filled(&world, &mail).await;
    let threads = "* THREAD (1 2 3)(4 5)((6)(7))";
    client
        .check("THREAD REFERENCES UTF-8 ALL", &[threads, "OK …"])
        .await;
    client
        .check(
            "THREAD ORDEREDSUBJECT UTF-8 4:7",
            &["* THREAD (4 5)(6)(7)", "OK …"],
        )
        .await;
    client
        .check("THREAD REFERENCES UTF-8 2:3", &["* THREAD (2 3)", "OK …"])
        .await;
    client
        .check(
            "THREAD REFERENCES UTF-8 SUBJECT nothing",
            &["* THREAD", "OK …"],
        )
        .await;
    client.ok("STORE 1 +FLAGS (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    client
        .check(
            "UID THREAD REFERENCES UTF-8 UID 1:5",
            &["* THREAD (2 3)(4 5)", "OK …"],
        )
        .await;
    client
        .check(
            "UID THREAD REFS UTF-8 ALL",
            &["* THREAD (2 3)(4)(5)((6)(7))", "OK …"],
        )
        .await;
    client.check("THREAD BYDAY UTF-8 ALL", &["BAD …"]).await;
}

#[tokio::test]
async fn letters_are_alike_in_any_case_and_form() {
    let world = World::new().await;
    let mut client = filled(&world, &["Subject: =?utf-8?q?E=CC=81cole?=\nContent-Type: text/plain; charset=utf-8\n\nＷＩＤＥ ﬁne 가\n"]).await;
    for (key, found) in [
        ("SUBJECT école", true),
        ("SUBJECT ÉCOLE", true),
        ("SUBJECT ecole", false),
        ("BODY wide", true),
        ("BODY FINE", true),
        ("BODY 가", true),
        ("BODY 각", false),
    ] {
        let told = if found { "* SEARCH 1" } else { "* SEARCH" };
        let (key, text) = key.split_once(' ').expect("two words");
        client
            .check(
                &format!("SEARCH CHARSET UTF-8 {key} \"{text}\""),
                &[told, "OK …"],
            )
            .await;
    }
}

#[tokio::test]
async fn sorting_reads_lists_and_threading_no_message() {
    let counting = Arc::new(Counting::new(MemoryEngine::new(3)));
    let engine: SharedEngine = counting.clone();
    let blobs = Blobs::new(Arc::clone(&engine));
    let world = World::over(engine, blobs, Default::default(), Default::default()).await;
    world.fill(300).await;
    let mut client = world.bob_in_inbox().await;
    counting.take();
    client.ok("SORT (SIZE) UTF-8 ALL").await;
    assert_eq!(counting.take(), (0, 0, 0), "the entries are enough");
    // Pages are made by whoever needs them first, and written beside that. What was sorted and
    // threaded is remembered, so each asks for others.
    for asked in ["SORT (FROM)", "SORT (SUBJECT)"] {
        for first in 1..32 {
            client.ok(&format!("{asked} UTF-8 {first}:300")).await;
            if counting.take().0 <= 64 {
                break;
            }
            for _ in 0..200 {
                world.runtime.blocking(std::thread::yield_now).await;
            }
        }
    }
    for asked in [
        "SORT (REVERSE DATE FROM DISPLAYTO SUBJECT)",
        "SORT (DATE SUBJECT REVERSE ARRIVAL)",
        "THREAD ORDEREDSUBJECT",
        "THREAD REFERENCES",
        "THREAD REFS",
    ] {
        client.ok(&format!("{asked} UTF-8 ALL")).await;
        let (emails, pages, bodies) = counting.take();
        // Emails that share a page with numbers that nobody has yet have none.
        assert!(
            emails <= 64 && (4..=6).contains(&pages) && bodies == 0,
            "{asked}: {emails} {pages} {bodies}"
        );
    }
}

/// Whatever it is left out for, SORT and THREAD say so, with another comparator too: its keys are
/// there, but not what others are made of.
#[tokio::test]
async fn a_message_that_cannot_be_read_is_left_out_and_told_of() {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
    let blobs = Blobs::new(Arc::clone(&engine));
    let world = World::over(
        Arc::clone(&engine),
        blobs,
        Default::default(),
        Default::default(),
    )
    .await;
    world.fill(130).await;
    let mut client = world.bob_in_inbox().await;
    let account = world.only_account().await;
    let shard = world.ports.mailstore.shard(account);
    let of_kind = |kind: u8| {
        let mut key = engine::keys::account(account.0);
        key.push(kind);
        let mut end = key.clone();
        *end.last_mut().expect("a kind") += 1;
        let records = engine
            .snapshot(shard)
            .scan(&key, &end, Order::Ascending, 500);
        records.expect("read")
    };
    // Whoever threads first makes the pages of keys.
    for _ in 0..1000 {
        let pages = of_kind(b'j').len();
        if pages >= 2 {
            break;
        }
        let first = pages + 1;
        client
            .ok(&format!("THREAD ORDEREDSUBJECT UTF-8 {first}:130"))
            .await;
        world.runtime.blocking(std::thread::yield_now).await;
    }
    assert!(of_kind(b'j').len() >= 2, "the pages are not written");
    let (third, _) = of_kind(b'e').swap_remove(2);
    let mut damage = Batch::new();
    damage.put(third, &b"\x01rubbish"[..]);
    engine.submit(damage).expect("room").done().await;
    let left_out = |told: &str| !told.split(|c: char| !c.is_ascii_digit()).any(|n| n == "3");
    for command in ["THREAD ORDEREDSUBJECT", "SORT (SUBJECT)"] {
        let told = client.ok(&format!("{command} UTF-8 1:9")).await;
        assert!(!left_out(&told[0]), "its keys are there: {told:?}");
    }
    client.ok("COMPARATOR i;octet").await;
    for command in ["THREAD ORDEREDSUBJECT", "SORT (SUBJECT)"] {
        let told = client.ask(&format!("{command} UTF-8 1:9")).await;
        assert!(left_out(&told[0]), "{command}: {told:?}");
        assert!(told[1].starts_with("OK [SERVERBUG]"), "{command}: {told:?}");
    }
}

/// The order is remembered, for other sessions too; it holds for any of its messages and for no other.
#[tokio::test]
async fn what_was_sorted_and_threaded_is_not_read_again() {
    let counting = Arc::new(Counting::new(MemoryEngine::new(3)));
    let engine: SharedEngine = counting.clone();
    let blobs = Blobs::new(Arc::clone(&engine));
    let world = World::over(engine, blobs, Default::default(), Default::default()).await;
    world.fill(300).await;
    let mut client = world.bob_in_inbox().await;
    let asked = [
        "SORT (REVERSE DATE SUBJECT) UTF-8 ALL",
        "UID SORT (REVERSE DATE SUBJECT) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "UID THREAD REFERENCES UTF-8 ALL",
        "THREAD ORDEREDSUBJECT UTF-8 ALL",
    ];
    let mut told = Vec::new();
    for command in asked {
        told.push(client.ok(command).await);
    }
    let mut other = world.bob_in_inbox().await;
    counting.take();
    for (command, told) in asked.iter().zip(&told) {
        assert_eq!(other.ok(command).await, *told, "{command}");
    }
    assert_eq!(counting.take(), (0, 0, 0));
    // Some of them stand in the same order.
    let all = client.ok(asked[1]).await;
    let some = client
        .ok("UID SORT (REVERSE DATE SUBJECT) UTF-8 UID 20:200")
        .await;
    let within = |uid: &&str| uid.parse().is_ok_and(|uid: u32| (20..=200).contains(&uid));
    let expected: Vec<_> = all[0].split(' ').filter(within).collect();
    assert_eq!(
        some[0].split(' ').filter(within).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(expected.len(), 181);
    client.ok("STORE 7 +FLAGS (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    counting.take();
    let without = client.ok(asked[1]).await;
    assert_eq!(counting.take(), (0, 0, 0));
    assert_eq!(without[0].split(' ').count() + 1, all[0].split(' ').count());
    // Numbers are others now: threads are found again.
    assert_ne!(client.ok(asked[2]).await, told[2]);
    // Who is not among them is read.
    client
        .append(
            "INBOX",
            "",
            "Subject: 0\r\nDate: Tue, 02 Jan 1990 10:00:00 +0000\r\n\r\n",
        )
        .await;
    client.ok("NOOP").await;
    counting.take();
    let with = client.ok(asked[1]).await;
    assert!(counting.take() != (0, 0, 0));
    assert_eq!(with[0].split(' ').next_back(), Some("301"));
    // Another collation and other criteria are another order.
    client.ok("COMPARATOR i;octet").await;
    counting.take();
    client.ok(asked[1]).await;
    client.ok("UID SORT (DATE SUBJECT) UTF-8 ALL").await;
    assert!(counting.take() != (0, 0, 0));
}

/// RFC 5255 §4.7.
#[tokio::test]
async fn what_texts_are_compared_by_can_be_chosen() {
    let world = World::new().await;
    let mut bob = world.bob_in_inbox().await;
    for subject in ["b", "A", "\u{e9}", "\u{c9}a"] {
        let message = format!("Subject: {subject}\r\n\r\nCaf\u{e9}\r\n");
        bob.append("INBOX", "", &message).await;
    }
    bob.check("COMPARATOR", &["* COMPARATOR i;unicode-casemap", "OK …"])
        .await;
    bob.check("SEARCH SUBJECT B", &["* SEARCH 1", "OK …"]).await;
    bob.check("SORT (SUBJECT) UTF-8 ALL", &["* SORT 2 1 3 4", "OK …"])
        .await;
    bob.check(
        "COMPARATOR \"cz;*\" i;*casemap",
        &[
            "* COMPARATOR i;unicode-casemap (i;unicode-casemap i;ascii-casemap)",
            "OK …",
        ],
    )
    .await;
    bob.check(
        "COMPARATOR i;octet",
        &["* COMPARATOR i;octet (i;octet)", "OK …"],
    )
    .await;
    bob.check("COMPARATOR", &["* COMPARATOR i;octet", "OK …"])
        .await;
    bob.check("SEARCH SUBJECT B", &["* SEARCH", "OK …"]).await;
    bob.check("SEARCH BODY CAF", &["* SEARCH", "OK …"]).await;
    bob.check("SEARCH BODY Caf", &["* SEARCH 1 2 3 4", "OK …"])
        .await;
    bob.check("SORT (SUBJECT) UTF-8 ALL", &["* SORT 2 1 4 3", "OK …"])
        .await;
    bob.check("COMPARATOR cz;*", &["NO [BADCOMPARATOR] …"])
        .await;
    bob.check("COMPARATOR", &["* COMPARATOR i;octet", "OK …"])
        .await;
}
