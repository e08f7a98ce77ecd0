//! Scripts behind commands (RFC 6785).

use super::{Client, World};
use crate::{Events, Outgoing, Redirected, Redirecting};
use mailstore::ScriptChange;
use parking_lot::Mutex;
use sieve::Offer;
use std::sync::Arc;

/// Takes what scripts send, or refuses it.
#[derive(Debug, Default)]
struct Post {
    sent: Mutex<Vec<Redirecting>>,
    refuses: bool,
}

impl Outgoing for Post {
    fn redirect(&self, message: Redirecting) -> Redirected<'_> {
        Box::pin(async move {
            if self.refuses {
                return Err("no more mail".into());
            }
            self.sent.lock().push(message);
            Ok("1".into())
        })
    }
}

async fn world_with(post: &Arc<Post>) -> World {
    let mut world = World::new().await;
    let mut ports = (*world.ports).clone();
    let post: Arc<dyn Outgoing> = post.clone();
    ports.events = Events::default().sending_by(post);
    world.ports = Arc::new(ports);
    world
}

const REQUIRE: &str = "require [\"imapsieve\", \"environment\", \"imap4flags\", \"fileinto\", \"copy\", \"variables\", \
    \"mailbox\", \"editheader\", \"body\", \"include\", \"special-use\", \"mboxmetadata\"];\n";

/// Stores a script of bob's, and lets it run at events of a mailbox.
async fn script(world: &World, client: &mut Client, mailbox: &str, text: &str) {
    put(world, "hook", text).await;
    client
        .ok(&format!(
            "SETMETADATA {mailbox} (/shared/imapsieve/script \"hook\")"
        ))
        .await;
}

async fn put(world: &World, name: &str, text: &str) {
    let id = world.id_of("bob").await;
    let account = world.ports.mailstore.account(id).await.expect("there");
    let change = ScriptChange::Put {
        name: name.into(),
        source: format!("{REQUIRE}{text}"),
    };
    let put = account.change_scripts(&change, &Offer::default()).await;
    assert_eq!(put.expect("written"), Ok(()));
}

/// Flags of each message of a mailbox, in order.
async fn flags(world: &World, mailbox: &str) -> Vec<String> {
    let mut client = world.bob().await;
    client.ok(&format!("EXAMINE {mailbox}")).await;
    let told = client.ok("UID FETCH 1:* (FLAGS)").await;
    let flags = told.iter().filter_map(|line| {
        let (_, flags) = line.split_once("FLAGS (")?;
        Some(flags.trim_end_matches(')').to_owned())
    });
    flags.collect()
}

async fn subjects(world: &World, mailbox: &str) -> Vec<String> {
    let mut client = world.bob().await;
    client.ok(&format!("EXAMINE {mailbox}")).await;
    let told = client
        .ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        .await;
    let subject = |line: &String| {
        Some(
            line.split_once("Subject: ")?
                .1
                .split('\r')
                .next()?
                .to_owned(),
        )
    };
    told.iter().filter_map(subject).collect()
}

const MESSAGE: &str = "Subject: hello\r\n\r\nbody\r\n";

/// §2.2, §4: what each command is to a script.
#[tokio::test]
async fn each_event_says_what_it_is() {
    let world = World::new().await;
    let mut client = world.bob().await;
    let note = "environment :matches \"imap.cause\" \"*\"";
    let text = format!(
        "if {note} {{ set \"c\" \"${{1}}\"; }}\n\
         if environment :matches \"imap.mailbox\" \"*\" {{ set \"m\" \"${{1}}\"; }}\n\
         if environment :matches \"imap.changedflags\" \"*\" {{ set \"f\" \"${{1}}\"; }}\n\
         if allof (environment \"location\" \"MS\", environment \"phase\" \"post\", environment \"imap.user\" \"bob@demo.test\",\n\
            environment \"imap.email\" \"bob@demo.test\") {{ addheader \"X-Event\" \"x\"; }}\n\
         if exists \"x-event\" {{ fileinto :copy :create \"Seen ${{c}} ${{m}} ${{f}}\"; }}"
    );
    script(&world, &mut client, "Archive", &text).await;
    client.append("Archive", "", MESSAGE).await;
    client.append("INBOX", "", MESSAGE).await;
    client.ok("SELECT INBOX").await;
    client.ok("COPY 1 Archive").await;
    client.ok("MOVE 1 Archive").await;
    client.ok("SELECT Archive").await;
    client.ok("STORE 1 +FLAGS (\\Flagged kw)").await;
    client.ok("STORE 1 +FLAGS (\\Flagged)").await;
    client.ok("FETCH 2 BODY[TEXT]").await;
    client.ok("STORE 2 -FLAGS.SILENT (\\Seen)").await;
    let listed = client.ok("LIST \"\" \"Seen*\"").await;
    let name = |line: &String| Some(line.split('"').nth(3)?.replace("\\\\", "\\"));
    let mut names: Vec<String> = listed.iter().filter_map(name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "Seen APPEND Archive ",
            "Seen COPY Archive ",
            "Seen FLAG Archive \\Flagged kw",
            "Seen FLAG Archive \\Seen"
        ]
    );
    assert_eq!(subjects(&world, "\"Seen COPY Archive \"").await.len(), 2);
    assert_eq!(
        subjects(&world, "\"Seen FLAG Archive \\\\Seen\"")
            .await
            .len(),
        2
    );
    // What was filed is another message, with the header that the script made.
    client.ok("EXAMINE \"Seen APPEND Archive \"").await;
    let told = client.ok("FETCH 1 BODY[]").await;
    assert!(
        told[0].contains("X-Event: x\r\nSubject: hello\r\n\r\nbody"),
        "{told:?}"
    );
    client.ok("SELECT Archive").await;
    let told = client.ok("FETCH 1 BODY.PEEK[]").await;
    assert!(!told[0].contains("X-Event"), "{told:?}");
}

/// §2.3.1
#[tokio::test]
async fn the_mailboxs_script_comes_before_the_accounts() {
    let world = World::new().await;
    let mut client = world.bob().await;
    put(&world, "one", "addflag \"one\";").await;
    put(&world, "two", "addflag \"two\";").await;
    client.append("Archive", "", MESSAGE).await;
    client
        .ok("SETMETADATA \"\" (/shared/imapsieve/script \"one\")")
        .await;
    client.append("Archive", "", MESSAGE).await;
    client
        .ok("SETMETADATA Archive (/shared/imapsieve/script \"two\")")
        .await;
    client.append("Archive", "", MESSAGE).await;
    // An entry of no use is used all the same.
    client
        .ok("SETMETADATA Archive (/shared/imapsieve/script \"none\")")
        .await;
    client.append("Archive", "", MESSAGE).await;
    client
        .ok("SETMETADATA Archive (/shared/imapsieve/script \"\")")
        .await;
    client.append("Archive", "", MESSAGE).await;
    client
        .ok("SETMETADATA Archive (/shared/imapsieve/script NIL)")
        .await;
    client.append("Archive", "", MESSAGE).await;
    client
        .ok("SETMETADATA \"\" (/shared/imapsieve/script NIL)")
        .await;
    client.append("Archive", "", MESSAGE).await;
    assert_eq!(
        flags(&world, "Archive").await,
        ["", "one", "two", "", "", "one", ""]
    );
}

/// §3.3 to §3.5, §2.2.4
#[tokio::test]
async fn what_is_not_kept_is_marked_deleted_and_stays() {
    let world = World::new().await;
    let mut client = world.bob().await;
    for (text, expected) in [
        ("discard;", "\\Deleted"),
        ("discard; keep;", ""),
        ("fileinto \"Archive\";", "\\Deleted"),
        ("fileinto :copy \"Archive\";", ""),
        ("fileinto \"Archive\"; keep;", ""),
        ("fileinto \"None\";", ""),
        (
            "fileinto :specialuse \"\\\\Archive\" \"None\";",
            "\\Deleted",
        ),
        ("keep;", ""),
        ("addflag \"\\\\Flagged\";", "\\Flagged"),
        ("keep :flags \"kw\";", "kw"),
    ] {
        script(&world, &mut client, "INBOX", text).await;
        client.append("INBOX", "", MESSAGE).await;
        let now = flags(&world, "INBOX").await;
        assert_eq!(now.last().map(String::as_str), Some(expected), "{text}");
    }
    assert_eq!(flags(&world, "Archive").await.len(), 4);
    client.append("INBOX", "(\\Seen old) ", MESSAGE).await;
    script(
        &world,
        &mut client,
        "INBOX",
        "removeflag \"old\"; addflag \"new\";",
    )
    .await;
    client.append("INBOX", "(\\Seen old) ", MESSAGE).await;
    assert_eq!(
        flags(&world, "INBOX").await.last().map(String::as_str),
        Some("\\Seen new")
    );
}

/// §2.2.3, §6: what scripts do is no event.
#[tokio::test]
async fn no_script_runs_behind_a_script() {
    let world = World::new().await;
    let mut client = world.bob().await;
    let swap = "if hasflag \"a\" { setflag \"b\"; } else { setflag \"a\"; }";
    script(&world, &mut client, "INBOX", swap).await;
    client.append("INBOX", "", MESSAGE).await;
    assert_eq!(flags(&world, "INBOX").await, ["a"]);
    client.ok("SELECT INBOX").await;
    client.ok("STORE 1 +FLAGS (c)").await;
    assert_eq!(flags(&world, "INBOX").await, ["b"]);
    let file = "fileinto :copy \"Archive\";";
    script(&world, &mut client, "INBOX", file).await;
    put(&world, "back", "fileinto :copy \"INBOX\";").await;
    client
        .ok("SETMETADATA Archive (/shared/imapsieve/script \"back\")")
        .await;
    client.append("INBOX", "", MESSAGE).await;
    assert_eq!(flags(&world, "INBOX").await.len(), 2);
    assert_eq!(flags(&world, "Archive").await.len(), 1);
}

/// RFC 9051 §7.5: the client's view stays right, whatever a script does meanwhile.
#[tokio::test]
async fn the_client_is_told_what_a_script_did() {
    let world = World::new().await;
    world.fill(3).await;
    let mut client = world.bob_in_inbox().await;
    script(
        &world,
        &mut client,
        "INBOX",
        "addflag \"kw\"; if hasflag \"drop\" { discard; }",
    )
    .await;
    let told = client.ask("STORE 2 +FLAGS (\\Flagged)").await;
    let fetched: Vec<&String> = told.iter().filter(|line| line.contains("FETCH")).collect();
    assert_eq!(
        fetched.last().map(|line| line.as_str()),
        Some("* 2 FETCH (UID 2 FLAGS (\\Flagged kw))"),
        "{told:?}"
    );
    let told = client.ask("STORE 3 +FLAGS.SILENT (drop)").await;
    let fetched: Vec<&String> = told.iter().filter(|line| line.contains("FETCH")).collect();
    assert_eq!(fetched.len(), 1, "{told:?}");
    for flag in ["\\Deleted", "kw", "drop"] {
        assert!(
            fetched[0].starts_with("* 3 FETCH (UID 3 FLAGS (") && fetched[0].contains(flag),
            "{told:?}"
        );
    }
    // Another session learns of it as of any change.
    let mut other = world.bob_in_inbox().await;
    let told = other.ok("FETCH 1:3 (FLAGS)").await;
    assert!(
        told[1].contains("kw") && told[2].contains("\\Deleted"),
        "{told:?}"
    );
    let told = client.ok("EXPUNGE").await;
    assert_eq!(told, ["* 3 EXPUNGE"]);
    let told = client.ask("APPEND INBOX {4+}\r\na: b").await;
    assert!(told.iter().any(|line| line == "* 3 EXISTS"), "{told:?}");
    let told = client.ok("FETCH 3 (FLAGS)").await;
    assert!(told[0].contains("kw"), "{told:?}");
}

/// §2.2: each message is an event of its own.
#[tokio::test]
async fn many_messages_are_as_many_events_and_few_changes() {
    let world = World::new().await;
    world.fill(150).await;
    let mut client = world.bob_in_inbox().await;
    let odd =
        "if header :matches \"subject\" \"*1\" { addflag \"one\"; } else { addflag \"other\"; }";
    script(&world, &mut client, "Archive", odd).await;
    let id = world.id_of("bob").await;
    let account = world.ports.mailstore.account(id).await.expect("there");
    let before = account.view().modseq().0;
    client.ok("COPY 1:* Archive").await;
    let flags = flags(&world, "Archive").await;
    assert_eq!(flags.iter().filter(|flags| *flags == "one").count(), 15);
    assert_eq!(flags.iter().filter(|flags| *flags == "other").count(), 135);
    // One for the COPY, two for each 64 messages.
    assert_eq!(account.view().modseq().0 - before, 1 + 3 * 2);
    let size = MESSAGE.len();
    client
        .ok(&format!(
            "APPEND Archive {{{size}+}}\r\n{MESSAGE} {{{size}+}}\r\n{MESSAGE}"
        ))
        .await;
    let flags = self::flags(&world, "Archive").await;
    assert_eq!(flags[150..], ["other", "other"]);
}

/// §3.4
#[tokio::test]
async fn what_is_redirected_is_the_owners_and_bounded() {
    let post = Arc::new(Post::default());
    let world = world_with(&post).await;
    world.fill(120).await;
    let mut client = world.bob_in_inbox().await;
    let text = "addheader \"X-By\" \"script\"; redirect :copy \"eve@example.net\";";
    script(&world, &mut client, "Archive", text).await;
    client.append("Archive", "", MESSAGE).await;
    let first = post.sent.lock()[0].clone();
    assert_eq!(first.from.to_string(), "bob@demo.test");
    assert_eq!(first.to.to_string(), "eve@example.net");
    assert_eq!(
        &first.message[..],
        b"X-By: script\r\nSubject: hello\r\n\r\nbody\r\n"
    );
    // THREATS 26: one command is no mailing.
    client.ok("COPY 1:120 Archive").await;
    assert_eq!(post.sent.lock().len(), 1 + 16);
    assert_eq!(flags(&world, "Archive").await.len(), 121);
}

#[tokio::test]
async fn what_fails_leaves_the_command_and_the_message_alone() {
    let post = Arc::new(Post {
        refuses: true,
        ..Post::default()
    });
    let world = world_with(&post).await;
    let mut client = world.bob().await;
    for text in [
        // Refused, no such mailbox, not at delivery, an error of its own, no end of work.
        "addflag \"x\"; redirect \"eve@example.net\";",
        "addflag \"x\"; fileinto \"None\";",
        "addflag \"x\"; include \"none\";",
        "addflag \"x\"; include \"delivers\";",
    ] {
        script(&world, &mut client, "INBOX", text).await;
        client.append("INBOX", "", MESSAGE).await;
    }
    let id = world.id_of("bob").await;
    let account = world.ports.mailstore.account(id).await.expect("there");
    let change = ScriptChange::Put {
        name: "hook".into(),
        source: "require [\"envelope\", \"imap4flags\"]; addflag \"x\"; if envelope \"from\" \"a\" { discard; }".into(),
    };
    let put = account.change_scripts(&change, &Offer::default()).await;
    assert_eq!(put.expect("written"), Ok(()));
    client.append("INBOX", "", MESSAGE).await;
    assert_eq!(flags(&world, "INBOX").await, [""; 5]);
    assert!(post.sent.lock().is_empty());
}

/// A script sees bodies only if it asks, and messages that came with a prefix as they are shown.
#[tokio::test]
async fn scripts_see_the_message_that_is_shown() {
    let world = World::new().await;
    let mut client = world.bob().await;
    let text = "if body :contains \"needle\" { addflag \"found\"; }\n\
        if metadata :is \"INBOX\" \"/private/comment\" \"mine\" { addflag \"noted\"; }\n\
        if allof (mailboxexists \"Archive\", not mailboxexists \"None\", specialuse_exists \"\\\\Archive\") { addflag \"known\"; }\n\
        include \"more\";";
    put(&world, "more", "if size :over 100 { addflag \"large\"; }").await;
    client
        .ok("SETMETADATA INBOX (/private/comment \"mine\")")
        .await;
    script(&world, &mut client, "INBOX", text).await;
    let long = format!("Subject: x\r\n\r\nhay {} needle\r\n", "hay ".repeat(50));
    client.append("INBOX", "", &long).await;
    client.append("INBOX", "", MESSAGE).await;
    assert_eq!(
        flags(&world, "INBOX").await,
        ["found known large noted", "known noted"]
    );
}

/// In another's mailbox the owner's script runs, and nobody else says which.
#[tokio::test]
async fn the_owners_script_runs_for_whoever_does_something() {
    let world = World::new().await;
    world.account("ann").await;
    let (mut bob, mut ann) = (world.bob().await, world.login("ann").await);
    let text = "if environment \"imap.user\" \"ann@demo.test\" { addflag \"by-ann\"; }";
    script(&world, &mut bob, "Archive", text).await;
    bob.ok("SETACL Archive ann@demo.test lrswite").await;
    ann.append("\"Other Users/bob@demo.test/Archive\"", "", MESSAGE)
        .await;
    bob.append("Archive", "", MESSAGE).await;
    assert_eq!(flags(&world, "Archive").await, ["by-ann", ""]);
    let set =
        "SETMETADATA \"Other Users/bob@demo.test/Archive\" (/shared/imapsieve/script \"other\")";
    ann.check(set, &["NO [NOPERM] …"]).await;
}

/// §2.1: told only where clients can store scripts.
#[tokio::test]
async fn the_capability_names_the_managesieve_server() {
    let mut world = World::new().await;
    let told = world.bob().await.ok("CAPABILITY").await;
    assert!(!told[0].contains("IMAPSIEVE"), "{told:?}");
    let mut ports = (*world.ports).clone();
    ports.events = Events::default().managed_at("sieve://mail.demo.test");
    world.ports = Arc::new(ports);
    let told = world.bob().await.ok("CAPABILITY").await;
    assert!(
        told[0].contains(" IMAPSIEVE=sieve://mail.demo.test"),
        "{told:?}"
    );
}

/// A script handles so many flags; what it is not shown it has not taken away.
#[tokio::test]
async fn keywords_that_a_script_is_not_shown_stay() {
    let world = World::new().await;
    let mut client = world.bob().await;
    client.append("INBOX", "", MESSAGE).await;
    client.ok("SELECT INBOX").await;
    for tens in 0..4 {
        let names: Vec<String> = (0..50).map(|n| format!("k{tens}-{n}")).collect();
        let names = names.join(" ");
        client.ok(&format!("STORE 1 +FLAGS.SILENT ({names})")).await;
    }
    script(&world, &mut client, "INBOX", "addflag \"shown\"; keep;").await;
    client.ok("STORE 1 +FLAGS.SILENT (last)").await;
    let flags = flags(&world, "INBOX").await;
    let count = |flags: &str| {
        flags
            .split(' ')
            .filter(|flag| flag.starts_with('k'))
            .count()
    };
    assert_eq!(count(&flags[0]), 200, "{flags:?}");
}

/// The names of others' mailboxes are not the owner's to make.
#[tokio::test]
async fn no_mailbox_of_the_owner_hides_one_of_somebody_else() {
    let world = World::new().await;
    let mut client = world.bob().await;
    let text = "fileinto :create \"Other Users/ann@demo.test/INBOX\";";
    script(&world, &mut client, "INBOX", text).await;
    client.append("INBOX", "", MESSAGE).await;
    let listed = client.ok("LIST \"\" \"Other Users*\"").await;
    assert!(
        !listed.iter().any(|line| line.contains("ann@demo.test")),
        "{listed:?}"
    );
    assert_eq!(flags(&world, "INBOX").await, [""], "it stays as it was");
}

/// A script and what it includes are compiled once, not for each command and each message.
#[tokio::test]
async fn scripts_are_compiled_once() {
    let world = World::new().await;
    world.fill(70).await;
    let mut client = world.bob_in_inbox().await;
    put(&world, "more", "addflag \"more\";").await;
    script(&world, &mut client, "Archive", "include \"more\";").await;
    for _ in 0..3 {
        client.append("Archive", "", MESSAGE).await;
    }
    client.ok("COPY 1:* Archive").await;
    assert_eq!(flags(&world, "Archive").await, vec!["more"; 73]);
    assert_eq!(world.ports.events.compiled(), 2);
    put(&world, "more", "addflag \"other\";").await;
    client.append("Archive", "", MESSAGE).await;
    assert_eq!(flags(&world, "Archive").await[73], "other");
    assert_eq!(world.ports.events.compiled(), 3);
}

/// §3.11: a script that asks for what is of delivery is refused where it is named, and does not run where it is not.
#[tokio::test]
async fn what_is_of_delivery_is_told_when_a_script_is_named() {
    let world = World::new().await;
    let mut client = world.bob().await;
    let store = async |text: &str| {
        let id = world.id_of("bob").await;
        let account = world.ports.mailstore.account(id).await.expect("there");
        let change = ScriptChange::Put {
            name: "hook".into(),
            source: format!("require [\"imap4flags\", \"ihave\", {text}"),
        };
        let put = account.change_scripts(&change, &Offer::default()).await;
        assert_eq!(put.expect("written"), Ok(()));
    };
    let set = "SETMETADATA INBOX (/shared/imapsieve/script \"hook\")";
    for name in ["vacation", "duplicate", "enotify"] {
        store(&format!("\"{name}\"];\naddflag \"x\";")).await;
        let expected =
            format!("NO [CANNOT] line 1, column …: no extension \"{name}\" behind an IMAP command");
        client.check(set, &[&expected]).await;
    }
    store("\"envelope\"]; if ihave \"vacation\" { vacation \"x\"; } else { addflag \"here\"; }")
        .await;
    client.ok(set).await;
    client.append("INBOX", "", MESSAGE).await;
    store("\"reject\"]; addflag \"x\";").await;
    client.append("INBOX", "", MESSAGE).await;
    // What is not there yet may be named, and what names none too.
    client
        .ok("SETMETADATA INBOX (/shared/imapsieve/script \"none\")")
        .await;
    client
        .ok("SETMETADATA INBOX (/shared/imapsieve/script NIL)")
        .await;
    assert_eq!(flags(&world, "INBOX").await, ["here", ""]);
}

/// RFC 5293: of a header that is not read whole nothing is lost.
#[tokio::test]
async fn a_header_that_is_too_large_is_not_changed() {
    let world = World::new().await;
    let mut client = world.bob().await;
    let text = "addflag \"x\"; if header \"subject\" \"edit\" { addheader \"X-A\" \"b\"; } fileinto :copy \"Archive\";";
    script(&world, &mut client, "INBOX", text).await;
    let long = "X-Long: one of many fields that are in this header\r\n".repeat(25_000);
    for subject in ["edit", "copy"] {
        let message = format!("Subject: {subject}\r\n{long}\r\nbody\r\n");
        client.append("INBOX", "", &message).await;
    }
    assert_eq!(flags(&world, "INBOX").await, ["", "x"]);
    client.ok("EXAMINE Archive").await;
    let told = client.ok("FETCH 1:* (RFC822.SIZE)").await;
    let size = "Subject: copy\r\n\r\nbody\r\n".len() + long.len();
    assert_eq!(told, [format!("* 1 FETCH (RFC822.SIZE {size})")]);
}
