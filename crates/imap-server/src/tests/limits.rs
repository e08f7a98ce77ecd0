//! Bad input: refused in words, bounded, and the next command is heard (THREATS 4, 23, 24).

use super::World;
use super::counting::Counting;
use blobs::Blobs;
use engine::{MemoryEngine, SharedEngine};
use mailbox_model::limits::MAILBOXES_MAX;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn threat_23_a_literal_of_4_gb_is_refused_before_it_is_sent() {
    let world = World::new().await;
    let mut client = world.connect();
    client.hear().await;
    client
        .check("LOGIN {4294967296}", &["BAD a literal is too large"])
        .await;
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
    client
        .check("APPEND INBOX {4294967296}", &["NO [TOOBIG] …"])
        .await;
    client
        .check("SELECT {4294967296}", &["BAD a literal is too large"])
        .await;
    client.ok("NOOP").await;
    // Sent unasked, it cannot be thrown away.
    client.send("a APPEND INBOX {4294967296+}\r\n").await;
    assert!(client.hear().await.starts_with("a NO [TOOBIG]"));
    client.hears_bye("* BYE …").await;
}

#[tokio::test]
async fn threat_23_an_unasked_literal_that_is_refused_is_taken_and_never_obeyed() {
    let world = World::new().await;
    let mut client = world.connect();
    client.hear().await;
    // RFC 7888 §5: over 4,096 octets under LITERAL-.
    let evil = "x LOGOUT\r\n".repeat(500);
    client
        .check(
            &format!("LOGIN {{{}+}}\r\n{evil} x", evil.len()),
            &["BAD a literal is too large"],
        )
        .await;
    client
        .ok("LOGIN {13+}\r\nbob@demo.test {9+}\r\npass word")
        .await;
    client
        .check(
            &format!("APPEND nowhere {{{}+}}\r\n{evil}", evil.len()),
            &["NO [TRYCREATE] …"],
        )
        .await;
    client.ok("NOOP").await;
}

#[tokio::test]
async fn a_line_too_long_is_refused_and_one_without_end_is_cut_off() {
    let world = World::new().await;
    let mut client = world.connect();
    client.hear().await;
    let long = "x".repeat(imap_proto::limits::LINE_BYTES_BEFORE_LOGIN_MAX);
    client
        .check(&format!("NOOP {long}"), &["BAD the line is too long"])
        .await;
    client.ok("NOOP").await;
    for begin in ["a NOOP ", "a AUTHENTICATE PLAIN\r\n"] {
        let mut endless = world.connect();
        endless.hear().await;
        assert!(
            endless_line(&mut endless, begin).await < 8_000_000,
            "{begin}"
        );
    }
    let mut idle = world.bob().await;
    assert!(endless_line(&mut idle, "a IDLE\r\n").await < 8_000_000);
    let mut append = world.bob().await;
    assert!(endless_line(&mut append, "a APPEND INBOX {2+}\r\nhi").await < 8_000_000);
}

/// Sends a line that never ends; gives how much of it was taken until the server closed.
async fn endless_line(client: &mut super::Client, begin: &str) -> usize {
    client.send(begin).await;
    let piece = vec![b'x'; 65_536];
    for sent in 0..1000 {
        if client.conn.write_all(&piece).await.is_err() {
            return sent * piece.len();
        }
    }
    usize::MAX
}

#[tokio::test]
async fn ten_commands_that_make_no_sense_end_the_session() {
    let world = World::new().await;
    let mut client = world.connect();
    client.hear().await;
    for _ in 0..9 {
        client.check("FROBNICATE", &["BAD unknown command"]).await;
    }
    client.ok("NOOP").await;
    for _ in 0..9 {
        client.check("FETCH", &["BAD …"]).await;
    }
    client.send("+\r\n").await;
    assert!(client.hear().await.starts_with("* BAD"));
    client
        .hears_bye("* BYE too many commands that make no sense")
        .await;
}

#[tokio::test]
async fn threat_23_nul_and_deep_nesting_are_refused() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    client
        .check("SELECT \"a\0b\"", &["BAD a command may not hold NUL"])
        .await;
    for deep in ["(", "NOT ", "OR ALL "] {
        let command = format!("SEARCH {}ALL", deep.repeat(5000));
        client
            .check(&command, &["BAD the search is nested too deeply"])
            .await;
    }
    client.ok("NOOP").await;
    // Wherever there may be a list. Some of them end at their first parenthesis that has no place.
    for begin in [
        "FETCH 1 ",
        "FETCH 1 (BODY[HEADER.FIELDS ",
        "FETCH 1 FLAGS ",
        "UID FETCH 1 (FLAGS) ",
        "STORE 1 FLAGS ",
        "STORE 1 ",
        "APPEND INBOX ",
        "SORT ",
        "SORT (SIZE) UTF-8 ",
        "THREAD REFS UTF-8 ",
        "SEARCH RETURN ",
        "ESEARCH IN ",
        "ESEARCH IN (mailboxes ",
        "ESEARCH RETURN ",
        "NOTIFY SET ",
        "NOTIFY SET STATUS ",
        "NOTIFY SET (personal ",
        "NOTIFY SET (SELECTED (MessageNew ",
        "GETMETADATA ",
        "GETMETADATA INBOX ",
        "SETMETADATA INBOX ",
        "ID ",
        "LIST ",
        "LIST \"\" ",
        "LIST \"\" * RETURN ",
        "LIST \"\" * RETURN (STATUS ",
        "STATUS INBOX ",
        "SELECT INBOX ",
        "SELECT INBOX (QRESYNC ",
        "CREATE x ",
        "CREATE x (USE ",
        "SETQUOTA \"\" ",
        "ENABLE ",
        "RESETKEY ",
        "GENURLAUTH ",
        "COMPRESS ",
        "LANGUAGE ",
        "COMPARATOR ",
    ] {
        for (open, close) in [
            ("(".repeat(30_000), String::new()),
            ("(".repeat(15_000), ")".repeat(15_000)),
        ] {
            let answer = client.ask(&format!("{begin}{open}{close}")).await;
            let [answer] = &answer[..] else {
                panic!("{begin}: {answer:?}")
            };
            assert!(
                answer.starts_with("BAD ") && answer.len() < 200,
                "{begin}: {answer}"
            );
        }
        client.ok("NOOP").await;
    }
}

#[tokio::test]
async fn another_protocol_gets_no_answer() {
    // THREATS 4
    let world = World::new().await;
    for hello in ["GET / HTTP/1.1\r\n", "\x16\x03\x01\x02\x00"] {
        let mut client = world.connect();
        client.hear().await;
        client.send(hello).await;
        assert_eq!(client.hear().await, "");
    }
}

#[tokio::test]
async fn silence_ends_a_session_with_a_word() {
    let world = World::new().await;
    let mut stranger = world.connect();
    stranger.hear().await;
    let mut half = world.bob().await;
    half.send("a NO").await;
    let mut quiet = world.bob().await;
    pass(&world, Duration::from_secs(61)).await;
    stranger
        .hears_bye("* BYE you were silent for too long")
        .await;
    pass(&world, Duration::from_secs(5 * 60)).await;
    half.hears_bye("* BYE you were silent for too long").await;
    // RFC 9051 §5.4: at least 30 minutes after login.
    quiet.ok("NOOP").await;
    pass(&world, Duration::from_secs(30 * 60 - 1)).await;
    quiet.ok("NOOP").await;
    pass(&world, Duration::from_secs(30 * 60 + 1)).await;
    quiet.hears_bye("* BYE you were silent for too long").await;
}

#[tokio::test]
async fn a_talker_who_never_logs_in_is_let_go() {
    let world = World::new().await;
    let mut talker = world.connect();
    talker.hear().await;
    for _ in 0..5 {
        talker.ok("NOOP").await;
        pass(&world, Duration::from_secs(55)).await;
    }
    let mut half = world.connect();
    half.hear().await;
    half.send("a AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(half.hear().await, "+ ");
    talker.ok("NOOP").await;
    pass(&world, Duration::from_secs(30)).await;
    talker.hears_bye("* BYE you were silent for too long").await;
    pass(&world, Duration::from_secs(31)).await;
    half.hears_bye("* BYE you were silent for too long").await;
}

#[tokio::test]
async fn a_server_that_goes_down_says_so() {
    let world = World::new().await;
    let mut waiting = world.bob().await;
    let mut idle = world.bob_in_inbox().await;
    idle.send("a IDLE\r\n").await;
    assert_eq!(idle.hear().await, "+ idling");
    world.runtime.shutdown().drain();
    waiting.hears_bye("* BYE the server is going down").await;
    idle.hears_bye("* BYE the server is going down").await;
}

/// Lets time pass once every session waits for it.
async fn pass(world: &World, time: Duration) {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    world.runtime.advance(time);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn threat_24_a_search_for_very_many_texts_is_refused() {
    let world = World::new().await;
    world.fill(2).await;
    let mut client = world.bob_in_inbox().await;
    let texts = |count: usize, key: &str| vec![key; count].join(" ");
    for key in [
        "BODY x",
        "SUBJECT x",
        "FROM x",
        "NOT TEXT x",
        "FUZZY TEXT x",
    ] {
        let command = format!("SEARCH {}", texts(257, key));
        let refused = ["BAD too many texts for one search"];
        client.check(&command, &refused).await;
        let command = format!("SEARCH OR ({}) ALL", texts(256, key));
        client
            .check(&command, &["* SEARCH 1 2", "OK searched"])
            .await;
    }
    // The same text again and again is looked for once, each message read once.
    let before = world.ports.blobs.read_ahead_bytes_peak();
    client
        .check(
            &format!("SEARCH {}", texts(256, "BODY body")),
            &["* SEARCH 1 2", "OK searched"],
        )
        .await;
    assert!(world.ports.blobs.read_ahead_bytes_peak() <= before.max(256));
}

/// Of what a client does not take no more is read than is on its way.
#[tokio::test]
async fn threat_24_a_slow_reader_of_a_large_fetch_holds_little() {
    let world = World::reading_ahead(8 << 20).await;
    let mut client = world.bob_in_inbox().await;
    let lines = "a line of some length, again and again\r\n".repeat(2_500);
    let message = format!("Subject: large\r\n\r\n{lines}");
    for _ in 0..40 {
        client.append("INBOX", "", &message).await;
    }
    client.send("slow FETCH 1:* (BODY.PEEK[])\r\n").await;
    // Not a byte is taken until the server has stopped by itself: others are served meanwhile.
    let mut other = world.bob_in_inbox().await;
    for _ in 0..20 {
        other.ok("FETCH 1:40 (FLAGS)").await;
    }
    let held = world.ports.blobs.read_ahead_bytes();
    assert!(held <= 2 * 256 * 1024, "{held}");
    let answer = client.answer("slow").await;
    assert_eq!(answer.len(), 41);
    let peak = world.ports.blobs.read_ahead_bytes_peak();
    assert!(peak <= 2 * 256 * 1024, "{peak}");
}

/// Literals of a command are counted together, and may be as many as is said.
#[tokio::test]
async fn threat_23_literals_add_up_before_the_login() {
    let world = World::new().await;
    let max = imap_proto::limits::LITERAL_BYTES_BEFORE_LOGIN_MAX as usize;
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut client = world.connect();
        client.hear().await;
        client.send(format!("a LOGIN {{{max}}}\r\n")).await;
        assert_eq!(client.hear().await, "+ OK");
        open.push(client);
    }
    for client in &mut open {
        let user = "u".repeat(max);
        client.send(format!("{user} {{1}}\r\n")).await;
        assert_eq!(client.hear().await, "a BAD a literal is too large");
        client.ok("NOOP").await;
    }
    let mut client = world.bob_in_inbox().await;
    let many = imap_proto::limits::LITERALS_PER_COMMAND_MAX + 1;
    let command = format!("SEARCH{}", " SUBJECT {0+}\r\n".repeat(many));
    client
        .check(&command, &["BAD the command has too many literals"])
        .await;
    client.ok("NOOP").await;
}

/// Each is taken and thrown away, so ten of them end a stranger's session, whatever they bring; a user's go on as
/// long as he sends them, and end where one brings more than is thrown away.
#[tokio::test]
async fn threat_23_a_flood_of_refused_literals_ends() {
    let world = World::new().await;
    let mut stranger = world.connect();
    stranger.hear().await;
    let junk = "x LOGOUT\r\n".repeat(7_000);
    let line = format!("a LOGIN {{{}+}}\r\n{junk}\r\n", junk.len());
    for _ in 0..9 {
        stranger.send(&line).await;
        assert_eq!(stranger.hear().await, "a BAD a literal is too large");
    }
    // Without the rest of it: a stranger need not be waited for.
    stranger.send(&line).await;
    assert_eq!(stranger.hear().await, "a BAD a literal is too large");
    stranger
        .hears_bye("* BYE too many commands that make no sense")
        .await;
    let mut bob = world.bob().await;
    let line = format!("APPEND nowhere {{{}+}}\r\n{junk}", junk.len());
    for _ in 0..50 {
        bob.check(&line, &["NO [TRYCREATE] …"]).await;
    }
    let over = crate::limits::DISCARDED_BYTES_MAX + 1;
    bob.send(format!("a APPEND nowhere {{{over}+}}\r\n")).await;
    assert!(bob.hear().await.starts_with("a NO [TRYCREATE]"));
    bob.hears_bye("* BYE more is coming than will be thrown away")
        .await;
    // One whose literal never ends is let go in its time.
    let mut slow = world.connect();
    slow.hear().await;
    slow.send("a LOGIN {5000+}\r\n").await;
    pass(&world, Duration::from_secs(61)).await;
    slow.hears_bye("* BYE you were silent for too long").await;
}

/// What begins like a server's line, or like a literal, is no tag; and none is echoed but a tag.
#[tokio::test]
async fn threat_23_a_tag_is_never_taken_for_something_else() {
    let world = World::new().await;
    let mut client = world.bob().await;
    let long = format!("{} NOOP", "x".repeat(129));
    for line in [
        "* NOOP",
        "+ NOOP",
        "a+b NOOP",
        "a{3}b NOOP",
        "a\"b\" NOOP",
        "(a) NOOP",
        "\u{e9} NOOP",
        &long,
    ] {
        client.send(format!("{line}\r\n")).await;
        let answer = client.hear().await;
        assert!(answer.starts_with("* BAD "), "{line}: {answer}");
    }
    client.ok("NOOP").await;
}

/// Names are names, whatever they would mean to a file system or in another encoding.
#[tokio::test]
async fn threat_23_names_lead_nowhere_else() {
    let world = World::new().await;
    world.account("carol").await;
    let mut bob = world.bob().await;
    for bad in [
        "&AC8-",
        "&AC4ALgAv-etc",
        "a&AAA-b",
        "&2D0-",
        "&AGE-",
        "a&b",
        "&AAoADQ-",
    ] {
        bob.check(&format!("CREATE {bad}"), &["NO [CANNOT] …"])
            .await;
    }
    bob.ok("CREATE ../../etc/passwd").await;
    bob.check(
        "LIST \"\" ../../etc/%",
        &["* LIST … \"../../etc/passwd\"", "OK …"],
    )
    .await;
    for nowhere in [
        "../INBOX",
        "./INBOX",
        "\"Other Users/../carol@demo.test/INBOX\"",
    ] {
        bob.check(&format!("SELECT {nowhere}"), &["NO [NONEXISTENT] …"])
            .await;
    }
    let mut carol = world.login("carol").await;
    let listed = carol.ok("LIST \"\" *").await;
    assert!(listed.iter().all(|line| !line.contains("..")), "{listed:?}");
}

/// What there is very much of is told from memory, in one look, and no more is made.
#[tokio::test]
async fn threat_24_lists_and_multisearch_of_a_hundred_thousand_mailboxes_cost_no_reads() {
    let counting = Arc::new(Counting::new(MemoryEngine::new(3)));
    let engine: SharedEngine = counting.clone();
    let blobs = Blobs::new(Arc::clone(&engine));
    let world = World::over(engine, blobs, Default::default(), Default::default()).await;
    let mut bob = world.bob().await;
    // As deep as may be: one CREATE makes fifty.
    let levels = |count: usize| (1..count).map(|n| format!("/{n}")).collect::<String>();
    for n in 0..1999 {
        counting.take_all();
        bob.ok(&format!("CREATE m{n}{}", levels(50))).await;
        // Far from the checkpoints, which are written in passing.
        if n == 1500 {
            let (_, written) = counting.take_all();
            assert!(written < 16 * 1024, "{written}");
        }
    }
    let full = ["NO [LIMIT] …"];
    bob.check(&format!("CREATE x{}", levels(50)), &full).await;
    let left = MAILBOXES_MAX - 1999 * 50 - 6;
    bob.ok(&format!("CREATE x{}", levels(left - 1))).await;
    bob.ok("CREATE y").await;
    bob.check("CREATE z", &full).await;
    counting.take_all();
    assert_eq!(bob.ok("LIST \"\" *").await.len(), MAILBOXES_MAX);
    assert_eq!(bob.ok("LIST \"\" %").await.len(), 6 + 1999 + 2);
    assert_eq!(bob.ok("LSUB \"\" *").await.len(), MAILBOXES_MAX);
    let recursive = "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" x RETURN (STATUS (MESSAGES))";
    assert_eq!(bob.ok(recursive).await.len(), 2);
    // However often it is said where to look.
    for places in [
        "personal ".repeat(4000),
        "subtree (m1 m2 m3) ".repeat(3000),
        format!("subtree ({})", vec!["m1"; 4000].join(" ")),
    ] {
        let answer = bob
            .ask(&format!("ESEARCH IN ({}) ALL", places.trim()))
            .await;
        let found = if places.starts_with('p') {
            "NO [LIMIT]"
        } else {
            "OK"
        };
        assert!(answer[0].starts_with(found), "{answer:?}");
    }
    bob.ok(&format!("SELECT m7{}", levels(50))).await;
    let (read, _) = counting.take_all();
    assert!(read < 100, "{read}");
}
