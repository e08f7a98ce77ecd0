//! UTF8=ACCEPT (RFC 9755).

use super::World;

const MESSAGE: &str = "Subject: \u{4f60}\u{597d}\r\nFrom: \u{4e2d}\u{6587} <\u{4e2d}\u{6587}@\u{4f8b}\u{5b50}.test>\r\n\r\nx\r\n";

#[tokio::test]
async fn names_and_addresses_are_in_utf_8_for_who_asks_for_it() {
    let world = World::new().await;
    let mut plain = world.bob().await;
    plain.ok("CREATE &T2BZfQ-").await;
    let mut client = world.bob().await;
    let size = MESSAGE.len();
    client
        .check(&format!("APPEND INBOX UTF8 (~{{{size}}}"), &["BAD enable…"])
        .await;
    client
        .check("ENABLE UTF8=ACCEPT", &["* ENABLED UTF8=ACCEPT", "OK …"])
        .await;
    let list = client.ok("LIST \"\" \"\u{4f60}*\"").await;
    assert!(list[0].ends_with(" \"\u{4f60}\u{597d}\""), "{list:?}");
    client
        .check(
            &format!("APPEND \"\u{4f60}\u{597d}\" (\\Seen) UTF8 (~{{{size}+}}\r\n{MESSAGE})"),
            &["OK [APPENDUID … 1] appended"],
        )
        .await;
    client.ok("SELECT \"\u{4f60}\u{597d}\"").await;
    let whole = client.ok("FETCH 1 (ENVELOPE BODY.PEEK[])").await;
    assert!(
        whole[0].contains("\"\u{4e2d}\u{6587}\" \"\u{4f8b}\u{5b50}.test\")"),
        "{whole:?}"
    );
    assert!(
        whole[0].ends_with(&format!("{{{size}}}\r\n{MESSAGE})")),
        "{whole:?}"
    );
    client
        .check("SEARCH FROM \"\u{4f8b}\u{5b50}\"", &["* SEARCH 1", "OK …"])
        .await;
    client.check("SEARCH CHARSET UTF-8 ALL", &["BAD …"]).await;
    // Who did not ask has seven bits.
    plain.ok("SELECT &T2BZfQ-").await;
    let seven = plain.ok("FETCH 1 (ENVELOPE)").await;
    assert!(seven[0].is_ascii(), "{seven:?}");
    let capability = plain.ok("CAPABILITY").await;
    assert!(capability[0].contains(" UTF8=ACCEPT ") && !capability[0].contains("UTF8=ONLY"));
}
