//! FETCH and its items (RFC 9051 §6.4.5, §7.5.2; RFC 3516).

use super::World;

const NESTED: &str = "From: a@far.test\r\n\
Date: Sat, 24 Mar 2007 23:00:00 +0200\r\n\
Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\
Mime-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=b\r\n\
\r\n\
preamble\r\n\
--b\r\n\
Content-Type: text/plain\r\n\
Content-Transfer-Encoding: quoted-printable\r\n\
\r\n\
caf=C3=A9\r\n\
--b\r\n\
Content-Type: message/rfc822\r\n\
\r\n\
Subject: inner\r\n\
\r\n\
inside\r\n\
--b\r\n\
Content-Type: application/octet-stream\r\n\
Content-Transfer-Encoding: base64\r\n\
\r\n\
AAEC\r\n\
--b--\r\n";

async fn nested() -> (World, super::Client) {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    client.append("INBOX", "", NESTED).await;
    (world, client)
}

async fn fetches(client: &mut super::Client, item: &str, expected: &str) {
    let answer = [&format!("* 1 FETCH ({expected})"), "OK …"];
    client.check(&format!("FETCH 1 ({item})"), &answer).await;
}

#[tokio::test]
async fn sections_are_what_the_part_numbers_say() {
    let (_world, mut client) = nested().await;
    for (item, expected) in [
        ("BODY.PEEK[1]", "BODY[1] {9}\r\ncaf=C3=A9"),
        (
            "BODY.PEEK[2]",
            "BODY[2] {24}\r\nSubject: inner\r\n\r\ninside",
        ),
        (
            "BODY.PEEK[2.HEADER]",
            "BODY[2.HEADER] {18}\r\nSubject: inner\r\n\r\n",
        ),
        ("BODY.PEEK[2.TEXT]", "BODY[2.TEXT] {6}\r\ninside"),
        ("BODY.PEEK[2.1]", "BODY[2.1] {6}\r\ninside"),
        (
            "BODY.PEEK[2.MIME]",
            "BODY[2.MIME] {32}\r\nContent-Type: message/rfc822\r\n\r\n",
        ),
        ("BODY.PEEK[3]", "BODY[3] {4}\r\nAAEC"),
        ("BODY.PEEK[4]", "BODY[4] NIL"),
        ("BODY.PEEK[1]<3.2>", "BODY[1]<3> {2}\r\n=C"),
        ("BODY.PEEK[1]<8.100>", "BODY[1]<8> {1}\r\n9"),
        ("BODY.PEEK[1]<9.1>", "BODY[1]<9> {0}\r\n"),
        (
            "BODY.PEEK[HEADER.FIELDS (from X-None)]",
            "BODY[HEADER.FIELDS (from X-None)] {20}\r\nFrom: a@far.test\r\n\r\n",
        ),
        (
            "BODY.PEEK[HEADER.FIELDS.NOT (Date Subject Mime-Version Content-Type)]",
            "BODY[HEADER.FIELDS.NOT (Date Subject Mime-Version Content-Type)] {20}\r\nFrom: a@far.test\r\n\r\n",
        ),
    ] {
        fetches(&mut client, item, expected).await;
    }
    let size = format!("RFC822.SIZE {}", NESTED.len());
    fetches(&mut client, "RFC822.SIZE", &size).await;
    let whole = format!("BODY[] {{{}}}\r\n{NESTED}", NESTED.len());
    fetches(&mut client, "BODY.PEEK[]", &whole).await;
    for bad in [
        "BODY[0]",
        "BODY[MIME]",
        "BINARY[1.TEXT]",
        "BODY[1]<0.0>",
        "FOO",
        "",
    ] {
        client.check(&format!("FETCH 1 ({bad})"), &["BAD …"]).await;
    }
}

#[tokio::test]
async fn binary_undoes_the_transfer_encoding() {
    let (_world, mut client) = nested().await;
    for (item, expected) in [
        ("BINARY.PEEK[1]", "BINARY[1] {5}\r\ncafé"),
        ("BINARY.SIZE[1]", "BINARY.SIZE[1] 5"),
        ("BINARY.PEEK[1]<3.2>", "BINARY[1]<3> {2}\r\né"),
        ("BINARY.SIZE[3]", "BINARY.SIZE[3] 3"),
        // RFC 3516 §4.2: literal8 where there is a NUL.
        ("BINARY.PEEK[3]", "BINARY[3] ~{3}\r\n\0\u{1}\u{2}"),
        ("BINARY.PEEK[3]<1.1>", "BINARY[3]<1> ~{1}\r\n\u{1}"),
        ("BINARY.PEEK[9]", "BINARY[9] NIL"),
    ] {
        fetches(&mut client, item, expected).await;
    }
    let unknown = "Content-Type: text/plain\r\nContent-Transfer-Encoding: x-odd\r\n\r\nbody\r\n";
    client.append("INBOX", "", unknown).await;
    client
        .check(
            "FETCH 2 BINARY.PEEK[1]",
            &["* 2 FETCH (BINARY[1] NIL)", "NO [UNKNOWN-CTE] …"],
        )
        .await;
    client
        .check(
            "FETCH 2 BINARY.SIZE[1]",
            &["* 2 FETCH (BINARY.SIZE[1] 0)", "NO [UNKNOWN-CTE] …"],
        )
        .await;
}

#[tokio::test]
async fn envelope_and_structure_are_seven_bit_for_every_client() {
    // PRACTICE §6: readers without UTF8=ACCEPT get encoded words, whatever the header holds.
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    let raw = "From: J\u{fc}rgen <j@far.test>\r\nSubject: \u{4f60}\u{597d}\r\n\
               Content-Type: text/plain; name=\"\u{e9}.txt\"\r\n\r\nx\r\n";
    client.append("INBOX", "", raw).await;
    for enable in ["NOOP", "ENABLE IMAP4rev2"] {
        client.ok(enable).await;
        let answer = client.ok("FETCH 1 (ENVELOPE BODY BODYSTRUCTURE)").await;
        assert!(answer[0].is_ascii(), "{answer:?}");
        assert!(answer[0].contains("\"=?utf-8?B?5L2g5aW9?=\""), "{answer:?}");
        assert!(answer[0].contains("((\"=?utf-8?"), "{answer:?}");
    }
    // The message itself is unchanged.
    let answer = client.ok("FETCH 1 BODY.PEEK[]").await;
    assert!(answer[0].ends_with(&format!("{raw})")));
    client
        .append(
            "INBOX",
            "",
            "From: user@domain (Real Name)\r\nSender:\r\nTo: g: a@b.c;, g2:;\r\n\r\n",
        )
        .await;
    client
        .check(
            "FETCH 2 ENVELOPE",
            &[
                "* 2 FETCH (ENVELOPE (NIL NIL ((\"Real Name\" NIL \"user\" \"domain\")) \
                 ((\"Real Name\" NIL \"user\" \"domain\")) ((\"Real Name\" NIL \"user\" \"domain\")) \
                 ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b.c\")(NIL NIL NIL NIL)(NIL NIL \"g2\" NIL)(NIL NIL NIL NIL)) \
                 NIL NIL NIL NIL))",
                "OK …",
            ],
        )
        .await;
}

#[tokio::test]
async fn macros_and_sets() {
    let world = World::new().await;
    world.fill(3).await;
    let mut client = world.bob_in_inbox().await;
    client
        .check(
            "FETCH 1 FAST",
            &[
                "* 1 FETCH (FLAGS () INTERNALDATE \"…\" RFC822.SIZE 30)",
                "OK …",
            ],
        )
        .await;
    client
        .check(
            "FETCH 1 ALL",
            &[
                "* 1 FETCH (FLAGS () INTERNALDATE \"…\" RFC822.SIZE 30 ENVELOPE (…))",
                "OK …",
            ],
        )
        .await;
    client
        .check(
            "FETCH 1 FULL",
            &[
                "* 1 FETCH (FLAGS () INTERNALDATE \"…\" RFC822.SIZE 30 ENVELOPE (…) BODY (…))",
                "OK …",
            ],
        )
        .await;
    let uids = |numbers: &[u32]| -> Vec<String> {
        numbers
            .iter()
            .map(|n| format!("* {n} FETCH (UID {n})"))
            .collect()
    };
    for (set, numbers) in [
        ("3:1", &[1, 2, 3][..]),
        ("1,*", &[1, 3]),
        ("*", &[3]),
        ("*:2", &[2, 3]),
        // A client asks for what is new this way.
        ("4:*", &[3]),
        ("2,2,1:2", &[1, 2]),
    ] {
        assert_eq!(
            client.ok(&format!("FETCH {set} UID")).await,
            uids(numbers),
            "{set}"
        );
    }
    for (set, numbers) in [
        ("4:*", &[3][..]),
        ("2:99", &[2, 3]),
        ("99", &[]),
        ("1:*", &[1, 2, 3]),
    ] {
        assert_eq!(
            client.ok(&format!("UID FETCH {set} UID")).await,
            uids(numbers),
            "{set}"
        );
    }
    for bad in ["4", "1:4", "0", "1:", ""] {
        client.check(&format!("FETCH {bad} UID"), &["BAD …"]).await;
    }
    // RFC 9051 §6.4.9: the UID comes unasked.
    client
        .check("UID FETCH 2 FLAGS", &["* 2 FETCH (UID 2 FLAGS ())", "OK …"])
        .await;
}

#[tokio::test]
async fn reading_a_body_sets_seen_unless_it_is_a_peek() {
    let world = World::new().await;
    world.fill(4).await;
    let mut client = world.bob_in_inbox().await;
    for peek in [
        "BODY.PEEK[]",
        "RFC822.HEADER",
        "BINARY.PEEK[1]",
        "BINARY.SIZE[1]",
        "BODYSTRUCTURE",
    ] {
        assert_eq!(
            client.ok(&format!("FETCH 1 {peek}")).await.len(),
            1,
            "{peek}"
        );
    }
    let seen = "FLAGS (\\Seen))";
    for (n, item) in [
        (1, "BODY[TEXT]"),
        (2, "RFC822"),
        (3, "BINARY[1]"),
        (4, "RFC822.TEXT"),
    ] {
        let answer = client.ok(&format!("FETCH {n} {item}")).await;
        assert_eq!(answer[1], format!("* {n} FETCH (UID {n} {seen}"), "{item}");
        assert_eq!(
            client.ok(&format!("FETCH {n} {item}")).await.len(),
            1,
            "{item}"
        );
    }
    client.ok("STORE 1 FLAGS.SILENT ()").await;
    client.ok("EXAMINE INBOX").await;
    assert_eq!(client.ok("FETCH 1 BODY[]").await.len(), 1);
    client
        .check("FETCH 1 FLAGS", &["* 1 FETCH (FLAGS ())", "OK …"])
        .await;
}

/// RFC 9051 §6.4.5: but for flags, whatever becomes of the message and of those around it.
#[tokio::test]
async fn what_a_message_is_never_changes() {
    const ALL: &str = "(INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY BODY.PEEK[] \
        BODY.PEEK[HEADER] BODY.PEEK[2.MIME] BINARY.PEEK[1] BINARY.SIZE[3] PREVIEW EMAILID SAVEDATE)";
    let (world, mut client) = nested().await;
    client.append("INBOX", "", NESTED).await;
    client.ok("NOOP").await;
    let told = client.ok(&format!("UID FETCH 2 {ALL}")).await;
    let told: Vec<_> = told
        .iter()
        .map(|one| one.replace("* 2 FETCH", "* 1 FETCH"))
        .collect();
    world.runtime.advance(std::time::Duration::from_secs(90));
    client.ok("FETCH 2 BODY[]").await;
    client
        .ok("STORE 2 +FLAGS (\\Answered \\Deleted x-keyword)")
        .await;
    client.ok("COPY 2 Archive").await;
    client.ok("STORE 2 -FLAGS (\\Deleted)").await;
    client.ok("STORE 1 +FLAGS (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    assert_eq!(client.ok(&format!("UID FETCH 2 {ALL}")).await, told);
    client.ok("RENAME INBOX Renamed").await;
    client.ok("CREATE again").await;
    let mut other = world.bob().await;
    other.ok("SELECT Archive").await;
    // A copy came there later, and is the same beside that.
    let copied = other
        .ok(&format!("FETCH 1 {}", ALL.replace(" SAVEDATE", "")))
        .await;
    let (without, _) = told[0].rsplit_once(" SAVEDATE").expect("it was asked for");
    let without = without.replace("(UID 2 ", "(");
    assert_eq!(copied, [format!("{without})")]);
}

/// Bodies are read ahead as long as there is memory for that, and one by one when there is not.
#[tokio::test]
async fn fetch_goes_on_when_nothing_can_be_read_ahead() {
    for memory in [0, 3000, 1 << 20] {
        let world = World::reading_ahead(memory).await;
        let mut client = world.bob_in_inbox().await;
        let mut wanted = Vec::new();
        for n in 1..=10 {
            let text = format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(100 * n));
            client.append("INBOX", "", &text).await;
            let line = format!("* {n} FETCH (BODY[] {{{}}}\r\n{text})", text.len());
            wanted.push(line);
        }
        wanted.push("OK …".to_owned());
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        client.check("FETCH 1:* (BODY.PEEK[])", &wanted).await;
        let blobs = &world.ports.blobs;
        assert!(blobs.read_ahead_bytes_peak() <= memory);
        assert_eq!(blobs.read_ahead_bytes_peak() > 0, memory > 6000);
        assert_eq!(blobs.read_ahead_bytes(), 0, "all is given back");
    }
}
