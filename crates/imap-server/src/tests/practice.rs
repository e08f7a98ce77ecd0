//! What real mail needs of its readers' server (PRACTICE §6), as far as no other file has it.

use super::World;
use super::counting::Counting;
use crate::{Events, MessageLimit, TlsMode};
use blobs::Blobs;
use directory::AccountChange;
use engine::{MemoryEngine, SharedEngine};
use envelope::Address;
use mailstore::{QuotaLimits, ScriptChange};
use std::collections::BTreeSet;
use std::sync::Arc;

#[tokio::test]
async fn practice_6_move_keeps_date_and_flags() {
    let world = World::new().await;
    let mut bob = world.bob_in_inbox().await;
    let asked = "(\\Seen \\Flagged $x) \"01-Feb-2020 10:00:00 +0800\" ";
    bob.append("INBOX", asked, "Subject: x\r\n\r\n").await;
    bob.ok("MOVE 1 Archive").await;
    bob.ok("SELECT Archive").await;
    bob.check(
        "FETCH 1 (FLAGS INTERNALDATE)",
        &[
            "* 1 FETCH (FLAGS (\\Seen \\Flagged $x) INTERNALDATE \" 1-Feb-2020 10:00:00 +0800\")",
            "OK …",
        ],
    )
    .await;
}

#[tokio::test]
async fn practice_6_what_create_makes_is_subscribed() {
    let world = World::new().await;
    let mut bob = world.bob().await;
    bob.ok("CREATE a/b").await;
    bob.check(
        "LSUB \"\" a*",
        &["* LSUB () \"/\" \"a\"", "* LSUB () \"/\" \"a/b\"", "OK …"],
    )
    .await;
}

#[tokio::test]
async fn practice_6_an_email_counts_once_in_however_many_mailboxes() {
    let quota = QuotaLimits {
        bytes: Some(10 * 1024),
        emails: Some(2),
    };
    let world = World::with(quota, Default::default()).await;
    let mut bob = world.bob_in_inbox().await;
    bob.append("INBOX", "", &"x".repeat(1024)).await;
    let told = ["* QUOTA \"\" (STORAGE 1 10 MESSAGE 1 2)", "OK …"];
    bob.check("GETQUOTA \"\"", &told).await;
    for mailbox in ["Archive", "Trash", "Sent"] {
        bob.ok(&format!("COPY 1 {mailbox}")).await;
    }
    bob.check("GETQUOTA \"\"", &told).await;
    bob.ok("MOVE 1 Drafts").await;
    bob.check("GETQUOTA \"\"", &told).await;
}

/// Mail programs look for what is answered this way, in mailboxes of any size.
#[tokio::test]
async fn practice_6_message_ids_are_indexed() {
    let counting = Arc::new(Counting::new(MemoryEngine::new(3)));
    let engine: SharedEngine = counting.clone();
    let blobs = Blobs::new(Arc::clone(&engine));
    let world = World::over(engine, blobs, Default::default(), Default::default()).await;
    let mut bob = world.bob_in_inbox().await;
    for n in 0..300 {
        let message = format!("Message-ID: <{n}.{n}@load.test>\r\n\r\nx\r\n");
        bob.append("INBOX", "", &message).await;
    }
    let search = "SEARCH HEADER Message-ID \"<177.177@load.test>\"";
    let found = ["* SEARCH 178", "OK searched"];
    bob.check(search, &found).await;
    world.ports.search.settle().await;
    counting.take();
    bob.check(search, &found).await;
    let (emails, _, bodies) = counting.take();
    assert!(emails <= 10 && bodies <= 10, "{emails} {bodies}");
}

/// `fileinto :create` makes what CREATE would have made.
#[tokio::test]
async fn practice_6_what_a_script_makes_is_subscribed() {
    let world = World::new().await;
    let mut bob = world.bob().await;
    let account = world.ports.mailstore.account(world.id_of("bob").await);
    let change = ScriptChange::Put {
        name: "hook".into(),
        source:
            "require [\"imapsieve\", \"fileinto\", \"mailbox\"];\nfileinto :create \"made/here\";\n"
                .into(),
    };
    let account = account.await.expect("there");
    let put = account
        .change_scripts(&change, &sieve::Offer::default())
        .await;
    assert_eq!(put.expect("written"), Ok(()));
    bob.ok("SETMETADATA INBOX (/shared/imapsieve/script \"hook\")")
        .await;
    bob.append("INBOX", "", "Subject: x\r\n\r\n").await;
    bob.check(
        "LSUB \"\" made*",
        &[
            "* LSUB () \"/\" \"made\"",
            "* LSUB () \"/\" \"made/here\"",
            "OK …",
        ],
    )
    .await;
}

const LEDGERS: [&str; 4] = [
    include_str!("../../../../docs/rfc/imap.md"),
    include_str!("../../../../docs/rfc/imap-extensions.md"),
    include_str!("../../../../docs/rfc/imap-7162.md"),
    include_str!("../../../../docs/rfc/imap-9051.md"),
];

/// Capabilities that have rows with a test in a ledger: their names stand in the row, or in the heading above it.
/// That the tests are there is looked at by `cargo xtask tidy`.
fn tested() -> BTreeSet<&'static str> {
    fn words(line: &str) -> impl Iterator<Item = &str> {
        line.split(|c: char| c.is_whitespace() || "|`,():;".contains(c))
    }
    let names_a_test = |line: &str| {
        line.split('`').skip(1).step_by(2).any(|word| {
            let name = word.rsplit("::").next().unwrap_or(word);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            name.matches('_').count() >= 2 && name.chars().all(plain)
        })
    };
    let mut tested = BTreeSet::new();
    for ledger in LEDGERS {
        let mut heading = "";
        for line in ledger.lines() {
            if line.starts_with('#') {
                heading = line;
            } else if line.starts_with('|') && names_a_test(line) {
                tested.extend(words(line).chain(words(heading)));
            }
        }
    }
    tested
}

/// The names in what was told, without what is each server's own.
fn names(told: &[String]) -> BTreeSet<String> {
    let told = told.join(" ").replace(['[', ']', '*'], " ");
    let words = told.split_whitespace().filter(|word| {
        let begins = word.starts_with(|c: char| c.is_ascii_uppercase());
        begins && !["OK", "CAPABILITY", "Posthouse"].contains(word)
    });
    let of_a_kind = [
        ("AUTH=", "AUTH=…"),
        ("APPENDLIMIT=", "APPENDLIMIT"),
        ("MESSAGELIMIT=", "MESSAGELIMIT"),
        ("SAVELIMIT=", "SAVELIMIT"),
        ("IMAPSIEVE=", "IMAPSIEVE="),
        // Its rights are the system's own.
        ("RIGHTS=", "RIGHTS="),
    ];
    let name = |word: &str| {
        let kind = of_a_kind.iter().find(|(begin, _)| word.starts_with(begin));
        kind.map_or(word, |(_, name)| name).to_owned()
    };
    words.map(name).collect()
}

/// A name is offered when there is a test of its rules, whatever is switched on.
#[tokio::test]
async fn practice_6_what_is_offered_is_in_the_ledger_with_a_test() {
    let tested = tested();
    let mut world = World::new().await;
    world.account("root").await;
    let root = Address::parse("root@demo.test").expect("valid");
    let change = AccountChange::Admin(true);
    let changed = world.directory.account_change(&root, change).await;
    changed.expect("changed");
    let mut offered = BTreeSet::new();
    // As it is by itself, and with everything on.
    for (everything, limit) in [
        (false, None),
        (true, Some(MessageLimit::Commands(1000))),
        (true, Some(MessageLimit::Saves(1000))),
    ] {
        let mut ports = (*world.ports).clone();
        if everything {
            ports.events = Events::default().managed_at("sieve://mail.demo.test");
        }
        world.ports = Arc::new(ports);
        let mut secret = world.connect_with(|config| {
            config.tls = TlsMode::StartTls(super::login::tls());
        });
        offered.extend(names(&[secret.hear().await]));
        let mut client = world.connect_with(|config| {
            config.plaintext_login = true;
            if everything {
                config.tls = TlsMode::StartTls(super::login::tls());
                config.jmap_session = Some("https://mail.demo.test/.well-known/jmap".to_owned());
                config.message_limit = limit;
            }
        });
        offered.extend(names(&[client.hear().await]));
        client.ok("LOGIN root@demo.test \"pass word\"").await;
        offered.extend(names(&client.ok("CAPABILITY").await));
    }
    for name in &offered {
        assert!(
            tested.contains(name.as_str()),
            "{name} has no test in docs/rfc"
        );
    }
    for name in [
        "JMAPACCESS",
        "MESSAGELIMIT",
        "SAVELIMIT",
        "QUOTASET",
        "IMAPSIEVE=",
        "STARTTLS",
        "LOGINDISABLED",
        "AUTH=…",
        "LITERAL-",
        "UNAUTHENTICATE",
    ] {
        assert!(offered.contains(name), "{name} was not switched on");
    }
    assert!(offered.len() > 65, "{}", offered.len());
}
