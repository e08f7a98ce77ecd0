//! URLAUTH (RFC 4467), its BINARY (RFC 5524), and partial URLs (RFC 5550 §5.7.1).

use super::counting::Counting;
use super::{Client, World};
use blobs::Blobs;
use engine::{Batch, MemoryEngine, Order, SharedEngine};
use std::sync::Arc;
use std::time::Duration;

const MESSAGE: &str = "Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8gd29ybGQ=\r\n\
    --b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\n";

/// What GENURLAUTH makes of a URL.
async fn authorized(client: &mut Client, url: &str) -> String {
    let answer = client.ok(&format!("GENURLAUTH \"{url}\" INTERNAL")).await;
    let made = answer[0].strip_prefix("* GENURLAUTH ");
    let made = made
        .unwrap_or_else(|| panic!("{answer:?}"))
        .trim_matches('"');
    assert!(made.starts_with(&format!("{url}:internal:")), "{made}");
    made.to_owned()
}

/// What URLFETCH gives for a URL in quotes.
async fn fetched(client: &mut Client, url: &str) -> String {
    let answer = client.ok(&format!("URLFETCH \"{url}\"")).await;
    let (got, rest) = answer[0].split_once(" NIL").map_or_else(
        || {
            answer[0]
                .split_once(" {")
                .unwrap_or_else(|| panic!("{answer:?}"))
        },
        |(got, _)| (got, "NIL"),
    );
    let told = got
        .strip_prefix("* URLFETCH ")
        .map(|told| told.trim_matches('"'));
    assert_eq!(told, Some(url));
    let text = rest.split_once("}\r\n").map_or(rest, |(_, text)| text);
    text.to_owned()
}

async fn message_in_drafts(world: &World) -> Client {
    let mut client = world.bob().await;
    client.append("Drafts", "", MESSAGE).await;
    client
}

const WHOLE: &str = "imap://bob%40demo.test@imap.demo.test/Drafts/;UID=1";

#[tokio::test]
async fn who_is_named_reads_what_was_authorized_and_nobody_else() {
    let world = World::new().await;
    world.account("eve").await;
    let mut bob = message_in_drafts(&world).await;
    let mut eve = world.login("eve").await;
    for (access, bob_may, eve_may) in [
        ("authuser", true, true),
        ("anonymous", true, true),
        ("user+bob%40demo.test", true, false),
        ("user+BOB", true, false),
        ("user+eve@demo.test", false, true),
        ("user+nobody", false, false),
        // RFC 4467 §4: for message submission on behalf of bob.
        ("submit+bob", false, false),
    ] {
        let url = authorized(&mut bob, &format!("{WHOLE};URLAUTH={access}")).await;
        let expected = |may: bool| if may { MESSAGE } else { "NIL" };
        assert_eq!(fetched(&mut bob, &url).await, expected(bob_may), "{access}");
        assert_eq!(fetched(&mut eve, &url).await, expected(eve_may), "{access}");
    }
    // \Seen is as it was.
    bob.ok("SELECT Drafts").await;
    bob.check("FETCH 1 (FLAGS)", &["* 1 FETCH (FLAGS ())", "OK …"])
        .await;
}

#[tokio::test]
async fn sections_and_partial_ranges_are_given() {
    let world = World::new().await;
    let mut bob = message_in_drafts(&world).await;
    for (path, text) in [
        ("/;SECTION=1", "aGVsbG8gd29ybGQ="),
        ("/;section=2.MIME", "Content-Type: text/html\r\n\r\n"),
        (
            "/;SECTION=HEADER.FIELDS%20(Subject)",
            "Subject: parts\r\n\r\n",
        ),
        ("/;PARTIAL=9.5", "parts"),
        ("/;SECTION=1/;PARTIAL=14", "Q="),
        ("/;PARTIAL=100000", ""),
        ("/;SECTION=3", "NIL"),
    ] {
        let url = authorized(&mut bob, &format!("{WHOLE}{path};URLAUTH=authuser")).await;
        assert_eq!(fetched(&mut bob, &url).await, text, "{path}");
    }
}

#[tokio::test]
async fn parts_come_decoded_with_their_structure() {
    let world = World::new().await;
    let mut bob = message_in_drafts(&world).await;
    let url = authorized(&mut bob, &format!("{WHOLE}/;SECTION=1;URLAUTH=authuser")).await;
    let structure =
        "(BODYPARTSTRUCTURE (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 11 0 …";
    bob.check(
        &format!("URLFETCH (\"{url}\" BINARY BODYPARTSTRUCTURE BODY)"),
        &[
            &format!("* URLFETCH \"{url}\" {structure}) (BODY {{16}}\r\naGVsbG8gd29ybGQ=) (BINARY {{11}}\r\nhello world)"),
            "OK …",
        ],
    )
    .await;
    let none = format!("{}00", &url[..url.len() - 2]);
    let told = format!("* URLFETCH \"{none}\" NIL");
    bob.check(&format!("URLFETCH (\"{none}\" BINARY)"), &[&told, "OK …"])
        .await;
    // Without anything asked for it is as without parentheses.
    let told = format!("* URLFETCH \"{url}\" {{16}}\r\naGVsbG8gd29ybGQ=");
    bob.check(&format!("URLFETCH (\"{url}\")"), &[&told, "OK …"])
        .await;
    bob.check(&format!("URLFETCH (\"{url}\" SHAPE)"), &["BAD …"])
        .await;
    bob.check(&format!("URLFETCH (\"{url}\" BODY BODY)"), &["BAD …"])
        .await;
}

/// RFC 5524 §3.1, §4, §5.
#[tokio::test]
async fn parts_are_told_as_they_are_and_only_parts_have_a_structure() {
    const PARTS: &str = "Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n\
        --b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: x-blurdybloop\r\n\r\nabc\r\n\
        --b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db\r\n--b--\r\n";
    let world = World::new().await;
    let mut bob = world.bob().await;
    bob.append("Drafts", "", PARTS).await;
    let image = |encoding: &str, size: u32| {
        format!(
            "(BODYPARTSTRUCTURE (\"image\" \"png\" NIL NIL NIL \"{encoding}\" {size} NIL NIL NIL NIL))"
        )
    };
    for (path, asked, told) in [
        // What holds a NUL is a literal8, and its structure says so.
        (
            "/;SECTION=1",
            "BINARY BODYPARTSTRUCTURE",
            format!("{} (BINARY ~{{3}}\r\n\0\u{1}\u{2})", image("binary", 3)),
        ),
        ("/;SECTION=1", "BODYPARTSTRUCTURE", image("base64", 4)),
        (
            "/;SECTION=1",
            "BODY BODYPARTSTRUCTURE",
            format!("{} (BODY {{4}}\r\nAAEC)", image("base64", 4)),
        ),
        // What cannot be decoded stays as it is.
        (
            "/;SECTION=2",
            "BODYPARTSTRUCTURE BINARY",
            format!("{} (BINARY NIL)", image("x-blurdybloop", 3)),
        ),
        ("/;SECTION=3", "BINARY", "(BINARY {3}\r\na=b)".to_owned()),
        // There is no such part.
        ("/;SECTION=4", "BODYPARTSTRUCTURE BODY", "NIL".to_owned()),
        ("/;SECTION=1.HEADER", "BINARY", "NIL".to_owned()),
        // A header has no structure.
        ("/;SECTION=HEADER", "BODYPARTSTRUCTURE", "NIL".to_owned()),
        (
            "/;SECTION=HEADER.FIELDS%20(Subject)",
            "BODYPARTSTRUCTURE BODY",
            "(BODY {18}\r\nSubject: parts\r\n\r\n)".to_owned(),
        ),
    ] {
        let url = authorized(&mut bob, &format!("{WHOLE}{path};URLAUTH=authuser")).await;
        let answer = bob.ok(&format!("URLFETCH (\"{url}\" {asked})")).await;
        assert_eq!(answer, [format!("* URLFETCH \"{url}\" {told}")], "{asked}");
    }
}

/// RFC 4467 §7, §8, §10.
#[tokio::test]
async fn mechanisms_are_told_and_resets_too_where_nobody_can_listen() {
    let world = World::new().await;
    let mut plain = message_in_drafts(&world).await;
    plain.append("INBOX", "", MESSAGE).await;
    let mechanisms = |answer: &[String]| {
        let told = "* OK [URLMECH INTERNAL] ";
        answer.iter().filter(|line| line.starts_with(told)).count()
    };
    assert_eq!(mechanisms(&plain.ok("SELECT Drafts").await), 0);
    plain.check("RESETKEY Drafts", &["OK what …"]).await;
    let mut bob = world.bob_under_tls().await;
    let mut other = world.bob_under_tls().await;
    let mut third = world.bob_under_tls().await;
    for (client, command) in [
        (&mut bob, "SELECT Drafts"),
        (&mut other, "EXAMINE Drafts"),
        (&mut third, "SELECT INBOX"),
    ] {
        assert_eq!(mechanisms(&client.ok(command).await), 1, "{command}");
    }
    let url = authorized(&mut bob, &format!("{WHOLE};URLAUTH=authuser")).await;
    bob.check("RESETKEY Drafts", &["OK [URLMECH INTERNAL] …"])
        .await;
    assert_eq!(fetched(&mut bob, &url).await, "NIL");
    other
        .check("NOOP", &["* OK [URLMECH INTERNAL] …", "OK …"])
        .await;
    for client in [&mut bob, &mut other, &mut third, &mut plain] {
        client.check("NOOP", &["OK …"]).await;
    }
    // Those who idle are told at once, of all keys too.
    other.send("i IDLE\r\n").await;
    assert!(other.hear().await.starts_with("+ "));
    bob.check("RESETKEY", &["* OK [URLMECH INTERNAL] …", "OK what …"])
        .await;
    bob.check("NOOP", &["OK …"]).await;
    let told = other.hear().await;
    assert!(told.starts_with("* OK [URLMECH INTERNAL] "), "{told}");
    other.send("DONE\r\n").await;
    assert!(other.hear().await.starts_with("i OK"));
    third
        .check("NOOP", &["* OK [URLMECH INTERNAL] …", "OK …"])
        .await;
}

/// RFC 4467 §7: NO is our own trouble; what is not there is NIL and no error.
#[tokio::test]
async fn a_message_that_cannot_be_read_is_no_url_that_is_wrong() {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
    let blobs = Blobs::new(Arc::clone(&engine));
    let world = World::over(
        Arc::clone(&engine),
        blobs,
        Default::default(),
        Default::default(),
    )
    .await;
    let mut bob = message_in_drafts(&world).await;
    bob.append("Drafts", "", MESSAGE).await;
    let url = authorized(&mut bob, &format!("{WHOLE};URLAUTH=authuser")).await;
    let second = WHOLE.replace("UID=1", "UID=2");
    let other = authorized(&mut bob, &format!("{second};URLAUTH=authuser")).await;
    let account = world.only_account().await;
    let mut key = engine::keys::account(account.0);
    key.push(b'e');
    let end = [&key[..key.len() - 1], b"f"].concat();
    let snapshot = engine.snapshot(world.ports.mailstore.shard(account));
    let records = snapshot
        .scan(&key, &end, Order::Ascending, 9)
        .expect("read");
    let mut damage = Batch::new();
    damage.put(records[0].0.clone(), &b"\x01rubbish"[..]);
    engine.submit(damage).expect("room").done().await;
    let answer = bob.ask(&format!("URLFETCH \"{url}\" \"{other}\"")).await;
    assert_eq!(answer[0], format!("* URLFETCH \"{url}\" NIL"));
    assert!(answer[1].ends_with(MESSAGE), "{answer:?}");
    assert!(answer[2].starts_with("NO [UNAVAILABLE]"), "{answer:?}");
}

/// RFC 4467 §8: nor is one whose record alone is there. Blanks stand for what was promised.
#[tokio::test]
async fn a_body_that_is_lost_is_told_of() {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
    let blobs = Blobs::new(Arc::clone(&engine));
    let world = World::over(
        Arc::clone(&engine),
        blobs,
        Default::default(),
        Default::default(),
    )
    .await;
    let mut bob = message_in_drafts(&world).await;
    let account = world.only_account().await;
    let shard = world.ports.mailstore.shard(account);
    let start = engine::keys::blob(shard);
    let end = engine::keys::end_of(&start);
    let blobs = engine
        .snapshot(shard)
        .scan(&start, &end, Order::Ascending, 99);
    let mut damage = Batch::new();
    for (key, _) in blobs.expect("read") {
        damage.delete(key);
    }
    engine.submit(damage).expect("room").done().await;
    for (path, asked, told) in [
        ("", "", format!(" {{{}}}\r\n …", MESSAGE.len())),
        ("", " BODY", format!(" (BODY {{{}}}\r\n …", MESSAGE.len())),
        ("/;SECTION=1", " BODY", " (BODY {16}\r\n …".to_owned()),
        ("/;SECTION=1", " BINARY", " (BINARY NIL)".to_owned()),
        (
            "/;SECTION=1.MIME",
            " BODY BINARY",
            " (BODY {…}\r\n …) (BINARY {…}\r\n …".to_owned(),
        ),
    ] {
        let url = authorized(&mut bob, &format!("{WHOLE}{path};URLAUTH=authuser")).await;
        let told = format!("* URLFETCH \"{url}\"{told}");
        let command = format!("URLFETCH (\"{url}\"{asked})");
        bob.check(&command, &[&told, "NO [UNAVAILABLE] …"]).await;
    }
}

/// RFC 4467 §6, §10: a mailbox that is not there costs as much as a wrong token.
#[tokio::test]
async fn what_is_not_there_costs_no_fewer_reads() {
    let counting = Arc::new(Counting::new(MemoryEngine::new(3)));
    let engine: SharedEngine = counting.clone();
    let blobs = Blobs::new(Arc::clone(&engine));
    let world = World::over(engine, blobs, Default::default(), Default::default()).await;
    let mut bob = message_in_drafts(&world).await;
    let url = authorized(&mut bob, &format!("{WHOLE};URLAUTH=authuser")).await;
    let wrong = format!("{}00", &url[..url.len() - 2]);
    let nowhere = url.replace("Drafts", "Nowhere");
    let mut reads = Vec::new();
    for url in [&wrong, &nowhere] {
        counting.take_all();
        assert_eq!(fetched(&mut bob, url).await, "NIL");
        reads.push(counting.take_all());
    }
    assert!(reads[0] == reads[1] && reads[0].0 > 0, "{reads:?}");
}

#[tokio::test]
async fn what_is_changed_expired_or_reset_is_nil() {
    let world = World::new().await;
    let mut bob = message_in_drafts(&world).await;
    bob.append("INBOX", "", MESSAGE).await;
    let url = authorized(&mut bob, &format!("{WHOLE};URLAUTH=authuser")).await;
    let inbox = WHOLE.replace("Drafts", "INBOX");
    let other = authorized(&mut bob, &format!("{inbox};URLAUTH=authuser")).await;
    assert_eq!(fetched(&mut bob, &url).await, MESSAGE);
    for changed in [
        url.replace("UID=1", "UID=2"),
        url.replace("Drafts", "INBOX"),
        url.replace("Drafts", "drafts"),
        url.replace("authuser", "anonymous"),
        url.replace(":internal:01", ":internal:02"),
        url.replace(":internal:", ":external:"),
        url[..url.len() - 2].to_owned(),
        format!("{WHOLE};URLAUTH=authuser"),
        WHOLE.to_owned(),
        "/Drafts/;UID=1".to_owned(),
        "no URL".to_owned(),
        // Nothing but the token is taken off (§6).
        url.replace("imap.demo.test", "IMAP.demo.test"),
        url.replace("%40", "@"),
        // A server, a list, a mailbox and what a search finds are no messages (§7).
        url.replace("Drafts/;UID=1", ""),
        url.replace("Drafts/;UID=1", "*;TYPE=LIST"),
        url.replace("/;UID=1", ""),
        url.replace("/;UID=1", "?SUBJECT%20parts"),
    ] {
        assert_eq!(fetched(&mut bob, &changed).await, "NIL", "{changed}");
    }
    // The world's clock begins with 2026.
    let soon = format!("{WHOLE};EXPIRE=2026-01-01T01:05:00+01:00;URLAUTH=authuser");
    let soon = authorized(&mut bob, &soon).await;
    assert_eq!(fetched(&mut bob, &soon).await, MESSAGE);
    world.runtime.advance(Duration::from_secs(300));
    assert_eq!(fetched(&mut bob, &soon).await, MESSAGE, "the latest time");
    world.runtime.advance(Duration::from_secs(300));
    assert_eq!(fetched(&mut bob, &soon).await, "NIL");
    assert_eq!(fetched(&mut bob, &url).await, MESSAGE);
    bob.ok("RESETKEY Drafts").await;
    assert_eq!(fetched(&mut bob, &url).await, "NIL");
    assert_eq!(fetched(&mut bob, &other).await, MESSAGE);
    let again = authorized(&mut bob, &format!("{WHOLE};URLAUTH=authuser")).await;
    assert_ne!(again, url);
    bob.ok("RESETKEY").await;
    for url in [&other, &again] {
        assert_eq!(fetched(&mut bob, url).await, "NIL");
    }
    bob.check("RESETKEY Nowhere", &["NO [NONEXISTENT] …"]).await;
    bob.check("RESETKEY Drafts XSAMPLE", &["BAD …"]).await;
}

/// RFC 4467 §7.
#[tokio::test]
async fn only_ones_own_messages_are_authorized() {
    let world = World::new().await;
    world.account("eve").await;
    let mut bob = message_in_drafts(&world).await;
    let whole =
        |change: (&str, &str)| format!("{WHOLE};URLAUTH=authuser").replace(change.0, change.1);
    for bad in [
        whole(("bob%40demo.test@", "")),
        whole(("bob%40demo.test@", "eve@")),
        whole(("bob%40demo.test@", "nobody@")),
        whole(("Drafts", "Nowhere")),
        whole(("/Drafts", "/Drafts;UIDVALIDITY=1")),
        whole((";URLAUTH=authuser", "")),
        whole(("authuser", "everybody")),
        whole((
            "authuser",
            "authuser:internal:91354a473744909de610943775f92038",
        )),
        whole(("/;UID=1", "")),
        "/Drafts/;UID=1;URLAUTH=authuser".to_owned(),
    ] {
        bob.check(&format!("GENURLAUTH \"{bad}\" INTERNAL"), &["BAD …"])
            .await;
    }
    let good = whole(("", ""));
    bob.check(&format!("GENURLAUTH \"{good}\" XSAMPLE"), &["BAD …"])
        .await;
    bob.check("GENURLAUTH", &["BAD …"]).await;
    bob.check("URLFETCH", &["BAD …"]).await;
    // The mailbox that takes another's name has another key.
    let url = authorized(&mut bob, &good).await;
    bob.ok("DELETE Drafts").await;
    bob.ok("CREATE Drafts").await;
    bob.append("Drafts", "", "Subject: secret\r\n\r\n").await;
    assert_eq!(fetched(&mut bob, &url).await, "NIL");
}
