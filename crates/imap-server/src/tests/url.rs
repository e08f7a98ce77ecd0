//! URLAUTH (RFC 4467), its BINARY (RFC 5524), and partial URLs (RFC 5550 §2.2).

use super::{Client, World};
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
    bob.check(&format!("URLFETCH (\"{url}\" SHAPE)"), &["BAD …"])
        .await;
    bob.check(&format!("URLFETCH (\"{url}\" BODY BODY)"), &["BAD …"])
        .await;
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
    ] {
        assert_eq!(fetched(&mut bob, &changed).await, "NIL", "{changed}");
    }
    // The world's clock begins with 2026.
    let soon = format!("{WHOLE};EXPIRE=2026-01-01T01:05:00+01:00;URLAUTH=authuser");
    let soon = authorized(&mut bob, &soon).await;
    assert_eq!(fetched(&mut bob, &soon).await, MESSAGE);
    world.runtime.advance(Duration::from_secs(600));
    assert_eq!(fetched(&mut bob, &soon).await, "NIL");
    assert_eq!(fetched(&mut bob, &url).await, MESSAGE);
    bob.check("RESETKEY Drafts", &["OK [URLMECH INTERNAL] …"])
        .await;
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
