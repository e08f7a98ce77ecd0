//! Small extensions: WITHIN, APPENDLIMIT, OBJECTID, PREVIEW, SAVEDATE, UNAUTHENTICATE.

use super::World;
use crate::Sessions;
use blobs::Blobs;
use engine::{Batch, MemoryEngine, Order, SharedEngine};
use mailbox_model::LogEntry;
use mailstore::{Mailstore, QuotaLimits};
use std::sync::Arc;
use std::time::Duration;

/// RFC 5032.
#[tokio::test]
async fn older_and_younger_count_seconds() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    for _ in 0..3 {
        client.append("INBOX", "", "Subject: x\r\n\r\nx\r\n").await;
        world.runtime.advance(Duration::from_secs(100));
    }
    // They are 300, 200 and 100 seconds old.
    for (key, found) in [
        ("OLDER 150", "* SEARCH 1 2"),
        ("YOUNGER 150", "* SEARCH 3"),
        ("OLDER 200", "* SEARCH 1 2"),
        ("YOUNGER 200", "* SEARCH 2 3"),
        ("NOT YOUNGER 4294967295", "* SEARCH"),
        ("OLDER 4294967295", "* SEARCH"),
        ("YOUNGER 250 OLDER 150", "* SEARCH 2"),
    ] {
        client
            .check(&format!("SEARCH {key}"), &[found, "OK …"])
            .await;
    }
    for bad in ["OLDER 0", "YOUNGER -1", "OLDER", "YOUNGER 4294967296"] {
        client.check(&format!("SEARCH {bad}"), &["BAD …"]).await;
    }
}

/// RFC 8514.
#[tokio::test]
async fn when_a_message_came_into_its_mailbox_is_told_and_searched() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    client.append("INBOX", "", "Subject: 1\r\n\r\n").await;
    let dated = "\"01-Feb-2020 12:00:00 +0100\" ";
    client.append("INBOX", dated, "Subject: 2\r\n\r\n").await;
    let new_year = "SAVEDATE \" 1-Jan-2026 00:00:00 +0000\"";
    client
        .check(
            "FETCH 1:2 (SAVEDATE UID)",
            &[
                &format!("* 1 FETCH ({new_year} UID 1)"),
                &format!("* 2 FETCH ({new_year} UID 2)"),
                "OK …",
            ],
        )
        .await;
    // A day and more later they are somewhere else.
    world.runtime.advance(Duration::from_secs(86_400 + 61));
    let mut client = world.bob_in_inbox().await;
    client.ok("COPY 1:2 Archive").await;
    client.ok("MOVE 2 Trash").await;
    for (mailbox, key, found) in [
        ("INBOX", "SAVEDON 1-Jan-2026", "* SEARCH 1"),
        ("INBOX", "SAVEDSINCE 2-Jan-2026", "* SEARCH"),
        ("INBOX", "SAVEDATESUPPORTED", "* SEARCH 1"),
        ("Archive", "SAVEDON 1-Jan-2026", "* SEARCH"),
        ("Archive", "SAVEDON 2-Jan-2026", "* SEARCH 1 2"),
        ("Archive", "SAVEDBEFORE 3-Jan-2026", "* SEARCH 1 2"),
        ("Archive", "SAVEDBEFORE 2-Jan-2026", "* SEARCH"),
        ("Archive", "SAVEDSINCE 2-Jan-2026", "* SEARCH 1 2"),
        ("Archive", "ON 1-Jan-2026", "* SEARCH 1"),
        ("Trash", "SAVEDON 2-Jan-2026", "* SEARCH 1"),
    ] {
        client.ok(&format!("SELECT {mailbox}")).await;
        client
            .check(&format!("SEARCH {key}"), &[found, "OK …"])
            .await;
    }
    client
        .check(
            "FETCH 1 (INTERNALDATE SAVEDATE BODY.PEEK[])",
            &[
                "* 1 FETCH (INTERNALDATE \" 1-Feb-2020 12:00:00 +0100\" SAVEDATE \" 2-Jan-2026 00:01:01 +0000\" BODY[] …",
                "OK …",
            ],
        )
        .await;
}

/// RFC 8514 §4.2, §4.3: NIL, and the internal date counts.
#[tokio::test]
async fn what_was_there_before_there_were_save_dates_has_none() {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
    let blobs = Blobs::new(Arc::clone(&engine));
    let (quota, sessions) = (QuotaLimits::default(), Sessions::default());
    let mut world = World::over(Arc::clone(&engine), blobs, quota, sessions).await;
    world.fill(1).await;
    // As an older program wrote it.
    let id = world.only_account().await;
    let start = [engine::keys::account(id.0), b"l".to_vec()].concat();
    let end = engine::keys::end_of(&start);
    let snapshot = engine.snapshot(engine.shard_of_account(id.0));
    let log = snapshot.scan(&start, &end, Order::Ascending, 10);
    let mut batch = Batch::new();
    for (key, stored) in log.expect("read") {
        let mut entry = LogEntry::decode(&stored.value).expect("sound");
        entry.dates = false;
        batch.put(key, entry.encode());
    }
    engine.submit(batch).expect("room").done().await;
    let ports = Arc::make_mut(&mut world.ports);
    let blobs = Arc::clone(&ports.blobs);
    ports.mailstore = Mailstore::new(engine, blobs, world.runtime.clone(), Default::default());
    let mut client = world.bob_in_inbox().await;
    client
        .check(
            "FETCH 1 (UID SAVEDATE)",
            &["* 1 FETCH (UID 1 SAVEDATE NIL)", "OK …"],
        )
        .await;
    client
        .check("SEARCH SAVEDON 1-Jan-2026", &["* SEARCH 1", "OK …"])
        .await;
    client.ok("MOVE 1 Archive").await;
    client.ok("SELECT Archive").await;
    client
        .check(
            "FETCH 1 SAVEDATE",
            &[
                "* 1 FETCH (SAVEDATE \" 1-Jan-2026 00:00:00 +0000\")",
                "OK …",
            ],
        )
        .await;
}

/// RFC 7889.
#[tokio::test]
async fn the_append_limit_is_told_and_kept() {
    let world = World::new().await;
    let mut client = world.connect_with(|config| {
        config.plaintext_login = true;
        config.append_bytes_max = 100;
    });
    client.hear().await;
    let welcome = client.ask("LOGIN bob@demo.test \"pass word\"").await;
    assert!(welcome[0].contains(" APPENDLIMIT=100]"), "{welcome:?}");
    client
        .check(
            "STATUS INBOX (APPENDLIMIT)",
            &["* STATUS \"INBOX\" (APPENDLIMIT 100)", "OK …"],
        )
        .await;
    client.append("INBOX", "", &"x".repeat(100)).await;
    let large = "x".repeat(101);
    client
        .check(
            &format!("APPEND INBOX {{101+}}\r\n{large}"),
            &["NO [TOOBIG] …"],
        )
        .await;
}

/// RFC 8474.
#[tokio::test]
async fn mailboxes_and_emails_keep_their_ids() {
    let world = World::new().await;
    world.fill(2).await;
    let mut client = world.bob_in_inbox().await;
    let created = client.ask("CREATE One").await.join("");
    let id = created
        .split_once("[MAILBOXID (")
        .and_then(|(_, rest)| rest.split_once(")]"))
        .map(|(id, _)| id.to_owned())
        .expect("an id");
    let status = |name: &str| format!("* STATUS \"{name}\" (MAILBOXID ({id}))");
    client
        .check("STATUS One (MAILBOXID)", &[&status("One"), "OK …"])
        .await;
    client.ok("RENAME One Two").await;
    client
        .check("STATUS Two (MAILBOXID)", &[&status("Two"), "OK …"])
        .await;
    client.ok("COPY 1 Two").await;
    client.ok("MOVE 2 Two").await;
    let inbox = client.ok("FETCH 1 (EMAILID THREADID)").await;
    let select = client.ok("SELECT Two").await;
    let told = format!("* OK [MAILBOXID ({id})]");
    assert!(
        select.iter().any(|line| line.starts_with(&told)),
        "{select:?}"
    );
    // RFC 8474 §5.1: an email is the same wherever its copies are.
    let copies = client.ok("FETCH 1:2 (EMAILID)").await;
    let email = |line: &str| {
        let (_, rest) = line.split_once("EMAILID (").expect("told");
        rest.split_once(')').expect("told").0.to_owned()
    };
    assert_eq!(email(&inbox[0]), email(&copies[0]));
    assert_ne!(email(&copies[0]), email(&copies[1]));
    // RFC 8474 §5.2: an email that is alone has a thread of its own, by another id than its own.
    let thread = format!("THREADID ({})", email(&inbox[0]).replace('E', "T"));
    assert!(inbox[0].contains(&thread), "{inbox:?}");
    let moved = email(&copies[1]);
    client
        .check(&format!("SEARCH EMAILID {moved}"), &["* SEARCH 2", "OK …"])
        .await;
    for key in ["EMAILID M1", "EMAILID E01", "THREADID T99", "THREADID E1"] {
        client
            .check(&format!("SEARCH {key}"), &["* SEARCH", "OK …"])
            .await;
    }
    client.check("SEARCH EMAILID (E1)", &["BAD …"]).await;
}

/// RFC 8474 §5.2.
#[tokio::test]
async fn messages_that_answer_each_other_have_one_threadid() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    let lunch = "Message-ID: <1@x>\r\nSubject: Lunch\r\n\r\nx";
    let answer = "Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\nSubject: Re: lunch\r\n\r\nx";
    let other = "Message-ID: <3@x>\r\nIn-Reply-To: <1@x>\r\nSubject: dinner\r\n\r\nx";
    let late = "Message-ID: <4@x>\r\nReferences: <1@x> <2@x>\r\nSubject: Re: Lunch\r\n\r\nx";
    for text in [lunch, answer, other] {
        client.append("INBOX", "", text).await;
    }
    client.ok("CREATE Else").await;
    client.append("Else", "", late).await;
    let threads = |lines: &[String]| -> Vec<String> {
        let ids = lines
            .iter()
            .filter_map(|line| line.split_once("THREADID ("));
        let ids = ids.filter_map(|(_, rest)| rest.split_once(')'));
        ids.map(|(id, _)| id.to_owned()).collect()
    };
    let inbox = threads(&client.ok("FETCH 1:* (UID THREADID)").await);
    let [first, second, third] = &inbox[..] else {
        panic!("{inbox:?}");
    };
    assert_eq!(first, second);
    assert_ne!(first, third);
    client
        .check(
            &format!("SEARCH THREADID {first}"),
            &["* SEARCH 1 2", "OK …"],
        )
        .await;
    client
        .check(
            &format!("SEARCH NOT THREADID {first}"),
            &["* SEARCH 3", "OK …"],
        )
        .await;
    // In each mailbox, beside what lists show and what records do, and behind a MOVE.
    client.ok("MOVE 2 Else").await;
    client.ok("SELECT Else").await;
    for items in ["THREADID", "THREADID ENVELOPE", "BODYSTRUCTURE THREADID"] {
        let lines = client.ok(&format!("FETCH 1:2 ({items})")).await;
        assert_eq!(threads(&lines), [&first[..], first], "{lines:?}");
    }
    client
        .check(
            &format!("SEARCH THREADID {first}"),
            &["* SEARCH 1 2", "OK …"],
        )
        .await;
    // The name stays when the first is gone.
    client.ok("SELECT INBOX").await;
    client.ok("STORE 1 +FLAGS (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    client.append("INBOX", "", lunch).await;
    let lines = client.ok("FETCH 1:2 (THREADID)").await;
    assert_eq!(threads(&lines), [&third[..], first], "{lines:?}");
}

/// RFC 9698.
#[tokio::test]
async fn where_jmap_is_is_told_after_the_login_and_only_if_it_is_somewhere() {
    let world = World::new().await;
    let url = "https://mail.demo.test/jmap/session";
    let mut client = world.connect_with(|config| {
        config.plaintext_login = true;
        config.jmap_session = Some(url.to_owned());
    });
    let greeting = client.hear().await;
    assert!(!greeting.contains("JMAPACCESS"), "{greeting}");
    client.check("GETJMAPACCESS", &["BAD …"]).await;
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
    let names = client.ok("CAPABILITY").await;
    // RFC 9698 §3: OBJECTID is needed for the ids to mean something.
    assert!(
        names[0].contains(" JMAPACCESS ") && names[0].contains(" OBJECTID "),
        "{names:?}"
    );
    let told = format!("* JMAPACCESS \"{url}\"");
    client.check("GETJMAPACCESS", &[&told, "OK …"]).await;
    let mut client = world.bob().await;
    let names = client.ok("CAPABILITY").await;
    assert!(!names[0].contains("JMAPACCESS"), "{names:?}");
    client.check("GETJMAPACCESS", &["BAD …"]).await;
}

/// RFC 8970.
#[tokio::test]
async fn a_preview_is_the_first_words_in_utf_8() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    let type_ = "Content-Type: text/html; charset=utf-8\r\n\r\n";
    let html = format!("{type_}<p>Hello <b>world</b></p>");
    client.append("INBOX", "", &html).await;
    client
        .append("INBOX", "", &format!("{type_}<p>你好</p>"))
        .await;
    client.append("INBOX", "", "Subject: empty\r\n\r\n").await;
    client.ok("NOOP").await;
    client
        .check(
            "FETCH 1 PREVIEW (LAZY)",
            &["* 1 FETCH (PREVIEW \"Hello world\")", "OK …"],
        )
        .await;
    client.check("FETCH 1 (PREVIEW (EAGER))", &["BAD …"]).await;
    client
        .check(
            "FETCH 1:* (PREVIEW)",
            &[
                "* 1 FETCH (PREVIEW \"Hello world\")",
                "* 2 FETCH (PREVIEW {6}\r\n你好)",
                "* 3 FETCH (PREVIEW \"\")",
                "OK …",
            ],
        )
        .await;
}

/// RFC 9585.
#[tokio::test]
async fn a_long_search_says_how_far_it_is() {
    let world = World::new().await;
    world.fill(7).await;
    let mut client = world.connect_with(|config| {
        config.plaintext_login = true;
        config.progress_interval = Duration::ZERO;
    });
    client.hear().await;
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
    client.ok("SELECT INBOX").await;
    client
        .check(
            "SEARCH BODY body",
            &[
                "* OK [INPROGRESS (\"t3\" 2 7)] …",
                "* OK [INPROGRESS (\"t3\" 6 7)] …",
                "* SEARCH 1 2 3 4 5 6 7",
                "OK …",
            ],
        )
        .await;
    // What entries decide is told at once.
    client
        .check("SEARCH UNSEEN", &["* SEARCH 1 2 3 4 5 6 7", "OK …"])
        .await;
}

/// RFC 8437.
#[tokio::test]
async fn after_unauthenticate_nobody_is_logged_in() {
    let world = World::new().await;
    world.fill(1).await;
    let mut client = world.bob().await;
    client.ok("ENABLE QRESYNC IMAP4rev2").await;
    client.ok("SELECT INBOX").await;
    let answer = client.ask("UNAUTHENTICATE").await;
    assert!(
        answer[0].starts_with("OK [CAPABILITY IMAP4rev1"),
        "{answer:?}"
    );
    assert!(answer[0].contains("LITERAL- "), "{answer:?}");
    client.check("UNAUTHENTICATE", &["BAD …"]).await;
    client.check("SELECT INBOX", &["BAD …"]).await;
    client.check("FETCH 1 (FLAGS)", &["BAD …"]).await;
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
    client.check("FETCH 1 (FLAGS)", &["BAD select…"]).await;
    // What was enabled is not.
    client
        .check("SELECT INBOX (QRESYNC (1 1))", &["BAD …"])
        .await;
    client.ok("SELECT INBOX").await;
    client
        .check(
            "STORE 1 +FLAGS (\\Seen)",
            &["* 1 FETCH (UID 1 FLAGS (\\Seen))", "OK …"],
        )
        .await;
}

/// RFC 8437 §8.
#[tokio::test]
async fn unauthenticate_can_be_switched_off() {
    let world = World::new().await;
    let offered = world.bob().await.ok("CAPABILITY").await;
    assert!(offered[0].contains(" UNAUTHENTICATE"), "{offered:?}");
    let mut bob = world.connect_with(|config| {
        config.plaintext_login = true;
        config.unauthenticate = false;
    });
    bob.hear().await;
    bob.ok("LOGIN bob@demo.test \"pass word\"").await;
    let offered = bob.ok("CAPABILITY").await;
    assert!(!offered[0].contains("UNAUTHENTICATE"), "{offered:?}");
    bob.check("UNAUTHENTICATE", &["BAD unknown command"]).await;
    bob.ok("SELECT INBOX").await;
}

/// RFC 5466.
#[tokio::test]
async fn stored_searches_are_named_by_filter() {
    let world = World::new().await;
    world.fill(3).await;
    let mut bob = world.bob_in_inbox().await;
    let value = "OR SUBJECT \\\"message 2\\\" SUBJECT \\\"message 3\\\"";
    bob.ok(&format!(
        "SETMETADATA \"\" (/private/filters/values/late \"{value}\")"
    ))
    .await;
    bob.check("SEARCH FILTER Late", &["* SEARCH 2 3", "OK …"])
        .await;
    bob.check(
        "UID SORT (REVERSE SUBJECT) UTF-8 NOT (SUBJECT 3) FILTER late",
        &["* SORT 2", "OK …"],
    )
    .await;
    bob.check("SEARCH FILTER none", &["NO [UNDEFINED-FILTER none] …"])
        .await;
    bob.check("SEARCH FILTER a/b", &["BAD …"]).await;
    // RFC 5466 §3.1: a stored search is in UTF-8.
    for command in ["SEARCH CHARSET", "UID SORT (SUBJECT)", "THREAD REFERENCES"] {
        bob.check(
            &format!("{command} KOI8-R FILTER late"),
            &["BAD [BADCHARSET (…)] …"],
        )
        .await;
    }
    bob.check("SEARCH CHARSET KOI8-R ALL", &["NO [BADCHARSET (…)] …"])
        .await;
    bob.check(
        "SEARCH CHARSET US-ASCII FILTER late",
        &["* SEARCH 2 3", "OK …"],
    )
    .await;
    bob.check(
        "SETMETADATA \"\" (/private/filters/values/bad \"SUBJECT\")",
        &["NO [CANNOT] …"],
    )
    .await;
    // None names another, and so none itself.
    bob.ok("SETMETADATA \"\" (/private/filters/values/loop \"FILTER loop\")")
        .await;
    bob.check("SEARCH FILTER loop", &["NO [UNDEFINED-FILTER loop] …"])
        .await;
}

#[tokio::test]
async fn batches_cut_a_mailbox_from_its_end() {
    let world = World::new().await;
    world.fill(3).await;
    let mut bob = world.bob_in_inbox().await;
    for _ in 0..9 {
        bob.ok("COPY 1:* INBOX").await;
    }
    // 3 · 2⁹ messages; one is gone.
    bob.ok("UID STORE 1500 +FLAGS.SILENT (\\Deleted)").await;
    bob.ok("EXPUNGE").await;
    bob.check(
        "UIDBATCHES 500",
        &[
            "* UIDBATCHES (TAG \"…\") 1536:1036,1035:536,535:36,35:1",
            "OK …",
        ],
    )
    .await;
    bob.check(
        "UIDBATCHES 1000 2:5",
        &["* UIDBATCHES (TAG \"…\") 535:1", "OK …"],
    )
    .await;
    bob.check("UIDBATCHES 499", &["NO [TOOSMALL] …"]).await;
    bob.check("UIDBATCHES 500 -1:-2", &["BAD …"]).await;
    bob.ok("SELECT Archive").await;
    bob.check("UIDBATCHES 500", &["* UIDBATCHES (TAG \"…\")", "OK …"])
        .await;
}

/// RFC 5255 §3.
#[tokio::test]
async fn replies_are_in_the_language_asked_for() {
    let world = World::new().await;
    let mut bob = world.bob().await;
    bob.check("LANGUAGE", &["* LANGUAGE (en zh-Hans i-default)", "OK …"])
        .await;
    bob.check(
        "LANGUAGE de fr-CA",
        &["NO [CANNOT] that language is not spoken here"],
    )
    .await;
    bob.check(
        "LANGUAGE de zh-CN en",
        &[
            "* LANGUAGE (zh-Hans)",
            "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\" \"TRANSLATION\" (\"&UXZO1nUoYjc-/\"))) NIL",
            "OK 今后以这种语言回复",
        ],
    )
    .await;
    bob.check("CREATE new", &["OK [MAILBOXID (M7)] 已创建"])
        .await;
    bob.check("SELECT nowhere", &["NO [NONEXISTENT] 没有这个邮箱"])
        .await;
    // What is not translated stays as it is.
    bob.check("FETCH", &["BAD …"]).await;
    bob.check(
        "LANGUAGE \"default\"",
        &["* LANGUAGE (i-default)", "* NAMESPACE …", "OK …"],
    )
    .await;
    bob.check("DELETE new", &["OK deleted"]).await;
}

/// RFC 5466 §3.1: three times over at least, and never without end.
#[tokio::test]
async fn stored_searches_may_name_others() {
    let world = World::new().await;
    world.fill(3).await;
    let mut bob = world.bob_in_inbox().await;
    for (name, value) in [
        ("a", "FILTER b".to_owned()),
        ("b", "OR FILTER c 1".to_owned()),
        ("c", "SUBJECT 3".to_owned()),
        ("d", "FILTER a".to_owned()),
        ("x", ["FILTER y"; 1000].join(" ")),
        ("y", ["FILTER z"; 1000].join(" ")),
        ("z", "ALL".to_owned()),
    ] {
        let size = value.len();
        let set =
            format!("SETMETADATA \"\" (/private/filters/values/{name} {{{size}+}}\r\n{value})");
        bob.ok(&set).await;
    }
    bob.check("SEARCH FILTER a", &["* SEARCH 1 3", "OK …"])
        .await;
    bob.check("SEARCH FILTER d", &["NO [UNDEFINED-FILTER c] …"])
        .await;
    bob.check("SEARCH FILTER y", &["* SEARCH 1 2 3", "OK …"])
        .await;
    // A million keys, which nobody wrote.
    bob.check("SEARCH FILTER x", &["NO [UNDEFINED-FILTER y] …"])
        .await;
}
