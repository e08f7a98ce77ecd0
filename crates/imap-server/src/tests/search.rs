//! SEARCH by every key, ESEARCH, saved results (RFC 9051 §6.4.4; RFC 4731, RFC 5182).

use super::World;

async fn finds(client: &mut super::Client, keys: &str, numbers: &str) {
    let line = if numbers.is_empty() {
        "* SEARCH".to_owned()
    } else {
        format!("* SEARCH {numbers}")
    };
    client
        .check(&format!("SEARCH {keys}"), &[&line, "OK searched"])
        .await;
}

#[tokio::test]
async fn texts_are_found_as_substrings_in_any_case_decoded() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    for message in [
        "From: <user-from (comment)@ (comment) domain.org>\r\nSubject: Hello beautiful world\r\nX-One: qwertyuiop\r\n\
         To: =?utf-8?b?5byg5LiJ?= <zhang@far.test>\r\n\r\nasdfghjkl\r\n",
        "From: RealFrom <b@far.test>\r\nCc: group: x@y.z;\r\nSubject: =?gbk?b?xOO6ww==?=\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         5Lit5paH5q2j5paH\r\n",
        "Subject: mixed\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npre zebra\r\n--b\r\n\
         Content-Type: message/rfc822\r\n\r\nSubject: inner-subject\r\n\r\ninner-body\r\n--b\r\n\
         Content-Type: application/pdf; name=secret-name\r\n\r\nnot-text\r\n--b--\r\n",
    ] {
        client.append("INBOX", "", message).await;
    }
    for (keys, numbers) in [
        // RFC 9051: "the envelope structure's FROM field", comments and blanks gone.
        ("FROM user-from@domain.org", "1"),
        ("FROM realfrom", "2"),
        ("HEADER FROM user-from@domain.org", ""),
        ("HEADER FROM \"(comment)@\"", "1"),
        ("TO \"张三\"", "1"),
        ("TO zhang@far", "1"),
        ("CC x@y", "2"),
        ("BCC x", ""),
        ("SUBJECT eautiful", "1"),
        ("SUBJECT \"你好\"", "2"),
        ("HEADER X-One QWERTY", "1"),
        ("HEADER X-One \"\"", "1"),
        ("NOT HEADER X-One \"\"", "2 3"),
        ("BODY sdfghjk", "1"),
        ("BODY hello", ""),
        ("TEXT hello", "1"),
        ("TEXT wertyuio", "1"),
        ("BODY \"正文\"", "2"),
        ("BODY \"文\"", "2"),
        ("BODY inner-body", "3"),
        ("BODY inner-subject", "3"),
        ("BODY not-text", ""),
        ("TEXT secret-name", "3"),
        ("BODY secret-name", ""),
        ("TEXT \"\"", "1 2 3"),
        ("CHARSET UTF-8 SUBJECT {6+}\r\n你好", "2"),
        ("CHARSET US-ASCII SUBJECT mixed", "3"),
        ("SUBJECT nil", ""),
    ] {
        finds(&mut client, keys, numbers).await;
    }
    client
        .check(
            "SEARCH CHARSET GB18030 ALL",
            &["NO [BADCHARSET (US-ASCII UTF-8)] …"],
        )
        .await;
}

/// RFC 9051 §6.4.4: "the text … is decoded", whatever it is encoded in.
#[tokio::test]
async fn bodies_are_searched_as_they_are_meant() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    let parts = |parts: &[&str]| {
        let parts: String = parts.iter().map(|p| format!("--b\r\n{p}\r\n")).collect();
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n")
    };
    for message in [
        // 1: soft line breaks, a character over two lines, an escape in small letters.
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         na=C3=AFve ap=\r\nples, =E4=B8=\r\n=AD=e6=96=87 \t\r\nthe end=\r\n".to_owned(),
        // 2: HTML, as it is written and as it is read.
        "Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         <p class=3Dfancy>Gr=FCne <b>W</b>iese\r\n&amp; &#20320;&#x597d;</p><!-- hidden -->".to_owned(),
        // 3: attachments that are text, in other charsets.
        parts(&[
            "Content-Type: text/plain\r\n\r\nsee attached",
            "Content-Type: text/csv; charset=gb18030; name=a.csv\r\nContent-Disposition: attachment\r\n\
             Content-Transfer-Encoding: base64\r\n\r\nxOO6w8rAvec=",
            "Content-Type: text/x-log; charset=iso-2022-jp\r\n\r\n\u{1b}$B$3$s$K$A$O\u{1b}(B",
            "Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\nVwBpAGQAZQA=",
        ]),
        // 4: what is no text is not searched, its name is.
        parts(&[
            "Content-Type: application/octet-stream; name*=utf-8''%E8%A1%A8.bin\r\n\
             Content-Transfer-Encoding: base64\r\n\r\nbmFpdmU=",
            "Content-Type: message/rfc822\r\n\r\nSubject: =?big5?b?pOmlu7t5?=\r\n\r\ncafe\u{301}",
        ]),
        // 5: letters of other widths, scripts and cases.
        "Content-Type: text/plain; charset=utf-8\r\n\r\nＷＩＤＥ ПРИВЕТ ﬁn Straße ﾃｽﾄ 가각".to_owned(),
    ] {
        client.append("INBOX", "", &message).await;
    }
    for (keys, numbers) in [
        ("BODY \"apples, 中文\"", "1"),
        ("BODY \"NAÏVE\"", "1"),
        ("BODY naive", ""),
        ("BODY \"nai\"", "1"),
        ("BODY \"class=fancy\"", "2"),
        ("BODY \"GRÜNE WIESE & 你好\"", "2"),
        ("BODY hidden", "2"),
        ("BODY \"世界\"", "3"),
        ("BODY \"好世\"", "3"),
        ("BODY \"にち\"", "3"),
        ("BODY wide", "3 5"),
        ("TEXT \"日本語\"", "4"),
        ("BODY \"CAFÉ\"", "4"),
        ("BODY \"привет\"", "5"),
        ("BODY fin", "5"),
        ("BODY strasse", ""),
        ("BODY \"テスト\"", "5"),
        ("BODY \"가각\"", "5"),
        ("OR BODY \"世界\" NOT TEXT wide", "1 2 3 4"),
        ("BODY wide TEXT wide NOT BODY \"straße\"", "3"),
    ] {
        finds(&mut client, keys, numbers).await;
    }
    client
        .check(
            "SEARCH BODY {6+}\r\n文\r\nt",
            &["* SEARCH 1", "OK searched"],
        )
        .await;
}

/// Texts come in pieces: what lies over the end of one is found, and memory for reading ahead or
/// none makes no difference.
#[tokio::test]
async fn long_texts_are_searched_to_their_end() {
    for ahead in [0, 1 << 20] {
        let world = World::reading_ahead(ahead).await;
        let mut client = world.bob_in_inbox().await;
        let lines: String = (0..40_000).map(|n| format!("line {n} of it\r\n")).collect();
        let head = "Subject: long\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n";
        client
            .append("INBOX", "", &format!("{head}{lines}终"))
            .await;
        client.append("INBOX", "", &format!("{head}short")).await;
        for n in [17_000, 20_000, 39_999] {
            finds(&mut client, &format!("BODY \"LINE {n} of\""), "1").await;
        }
        finds(&mut client, "BODY \"终\"", "1").await;
        finds(&mut client, "BODY \"line 40000\"", "").await;
        finds(&mut client, "SUBJECT long NOT BODY line", "2").await;
        for n in (0..40_000).step_by(997) {
            let literal = format!("{n} of it\r\nline {} of", n + 1);
            let command = format!("SEARCH BODY {{{}+}}\r\n{literal}", literal.len());
            let found = if n + 1 < 40_000 {
                "* SEARCH 1"
            } else {
                "* SEARCH"
            };
            client.check(&command, &[found, "OK searched"]).await;
        }
    }
}

/// RFC 6203.
#[tokio::test]
async fn what_is_like_it_is_found_and_ranked() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    for message in [
        "Subject: Helo\r\n\r\nnothing\r\n",
        "Subject: other\r\n\r\nhello there\r\n",
        "Subject: IMAP is broken\r\n\r\nnothing\r\n",
        "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n关于会议的通知 helo helo helo helo helo helo helo helo\r\n",
        "Subject: IMAP breaks\r\n\r\nfar from it\r\n",
    ] {
        client.append("INBOX", "", message).await;
    }
    for (keys, numbers) in [
        ("FUZZY TEXT \"Helo\"", "1 2 4"),
        ("TEXT \"Helo\"", "1 4"),
        ("FUZZY SUBJECT \"IMAP break\"", "5"),
        ("FUZZY SUBJECT \"broken imap\"", "3"),
        ("FUZZY BODY \"会议通知\"", "4"),
        ("BODY \"会议通知\"", ""),
        // §5: a key that looks for no text is what it is.
        ("FUZZY ANSWERED", ""),
        ("FUZZY UNANSWERED 2:3", "2 3"),
        // §3: of each key by itself.
        ("FUZZY TEXT \"Helo\" SUBJECT other", "2"),
        ("FUZZY TEXT \"Helo\" SUBJECT othre", ""),
        ("FUZZY (TEXT \"Helo\" SUBJECT othre)", "2"),
        ("NOT FUZZY TEXT helo", "3 5"),
        ("FUZZY SUBJECT \"\"", "1 2 3 4 5"),
    ] {
        finds(&mut client, keys, numbers).await;
    }
    let told = client
        .ok("SEARCH RETURN (RELEVANCY ALL) FUZZY TEXT \"Helo\"")
        .await;
    let scores = told[0].split_once(" RELEVANCY (").expect("told").1;
    let scores: Vec<u32> = scores
        .trim_end_matches(')')
        .split(' ')
        .map(|score| score.parse().expect("a number"))
        .collect();
    assert!(told[0].contains(" ALL 1:2,4 RELEVANCY ("), "{told:?}");
    // One as it is, one with a letter wrong, one again and again.
    assert!(
        scores[1] < scores[0] && scores[0] < scores[2] && scores[2] == 100,
        "{scores:?}"
    );
    client
        .check(
            "SORT (RELEVANCY) UTF-8 FUZZY TEXT \"Helo\"",
            &["* SORT 4 1 2", "OK searched"],
        )
        .await;
    client
        .check(
            "SORT (REVERSE RELEVANCY SUBJECT) UTF-8 FUZZY TEXT \"Helo\"",
            &["* SORT 2 1 4", "OK searched"],
        )
        .await;
    let told = client
        .ok("SORT RETURN (RELEVANCY COUNT) (RELEVANCY) UTF-8 FUZZY TEXT helo")
        .await;
    let sorted = format!("RELEVANCY (100 {} {}) COUNT 3", scores[0], scores[1]);
    assert!(told[0].ends_with(&sorted), "{told:?}");
    client
        .check(
            "SEARCH RETURN (RELEVANCY) FUZZY TEXT zzzz",
            &["* ESEARCH (TAG …) RELEVANCY ()", "OK searched"],
        )
        .await;
    for command in [
        "SEARCH RETURN (RELEVANCY ALL) TEXT helo",
        "SORT (RELEVANCY) UTF-8 TEXT helo",
        "SEARCH FUZZY",
    ] {
        client.check(command, &["BAD …"]).await;
    }
}

/// The index never changes an answer, whatever it knows of the messages.
#[tokio::test]
async fn the_index_says_what_a_scan_says() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    for n in 0..90 {
        let message = format!(
            "From: Ann{n} (x) <ann{}@far.test>\r\nSubject: number {n}\r\nMessage-ID: <{n}@load.test>\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\nletter {} of 会议{} é{n}",
            n % 7,
            n % 10,
            ["通知", "纪要", ""][n % 3],
        );
        client.append("INBOX", "", &message).await;
    }
    const KEYS: [&str; 16] = [
        "BODY \"letter 7\"",
        "TEXT \"number 8\"",
        "BODY \"会议\"",
        "BODY \"议通\"",
        "BODY \"议\"",
        "NOT BODY \"会议纪\"",
        "OR BODY \"letter 1\" SUBJECT \"ber 33\"",
        "OR BODY \"letter 1\" UNSEEN",
        "FROM \"ann3@far\"",
        "FROM \"ANN1 \"",
        "HEADER Message-ID \"<77@\"",
        "HEADER Message-ID \"\"",
        "BODY \"É4\" UNFLAGGED",
        "BODY \"e\u{301}4\"",
        "NOT (BODY \"letter 2\" NOT BODY \"letter\")",
        "NOT OR TEXT \"通知\" BODY \"letter 5\"",
    ];
    let search = &world.ports.search;
    let bob = world.only_account().await;
    let mut answers: Vec<Vec<String>> = Vec::new();
    for round in 0..6 {
        match round {
            // The searches of the first round had it built.
            1 => assert!(search.segments_written() > 0),
            2 => {
                let late = "Subject: number 81\r\n\r\nletter 7, later";
                client.append("INBOX", "", late).await;
            }
            // Numbers of emails do not ascend any more.
            3 => {
                client.ok("MOVE 10:20 Archive").await;
                client.ok("SELECT Archive").await;
                client.ok("MOVE 5:11 INBOX").await;
                client.ok("SELECT INBOX").await;
            }
            4 => {
                client.ok("STORE 3:30 +FLAGS.SILENT (\\Deleted)").await;
                client.ok("EXPUNGE").await;
            }
            5 => {
                client.ok("COMPARATOR i;ascii-casemap").await;
            }
            _ => {}
        }
        let (mut indexed, mut scanned) = (Vec::new(), Vec::new());
        for keys in KEYS {
            indexed.extend(client.ok(&format!("UID SEARCH {keys}")).await);
        }
        for keys in KEYS {
            search.settle().await;
            search.forget(bob).await;
            scanned.extend(client.ok(&format!("UID SEARCH {keys}")).await);
        }
        search.settle().await;
        assert_eq!(indexed, scanned, "round {round}");
        answers.push(indexed);
    }
    assert_eq!(answers[0], answers[1]);
    assert_ne!(answers[1], answers[2]);
    let found = answers[0].iter().filter(|answer| answer.contains(" 7"));
    assert!(found.count() > 8);
}

#[tokio::test]
async fn flags_numbers_sizes_and_logic() {
    let world = World::new().await;
    world.fill(5).await;
    let mut client = world.bob_in_inbox().await;
    client
        .append(
            "INBOX",
            "",
            "Subject: message 6\r\n\r\nlonger than the others\r\n",
        )
        .await;
    for (set, flags) in [
        ("1", "\\Seen"),
        ("2", "\\Answered"),
        ("3", "\\Flagged"),
        ("4", "\\Draft"),
        ("5", "\\Deleted"),
        ("1:2", "$Work"),
    ] {
        client
            .ok(&format!("STORE {set} +FLAGS.SILENT {flags}"))
            .await;
    }
    client.ok("UID EXPUNGE 5").await;
    for (keys, numbers) in [
        ("ALL", "1 2 3 4 5"),
        ("SEEN", "1"),
        ("UNSEEN", "2 3 4 5"),
        ("ANSWERED", "2"),
        ("UNANSWERED", "1 3 4 5"),
        ("FLAGGED", "3"),
        ("UNFLAGGED", "1 2 4 5"),
        ("DRAFT", "4"),
        ("UNDRAFT", "1 2 3 5"),
        ("DELETED", ""),
        ("UNDELETED", "1 2 3 4 5"),
        ("KEYWORD $work", "1 2"),
        ("UNKEYWORD $Work", "3 4 5"),
        ("KEYWORD never", ""),
        ("UNKEYWORD never", "1 2 3 4 5"),
        ("LARGER 30", "5"),
        ("SMALLER 31", "1 2 3 4"),
        ("SMALLER 30", ""),
        ("1:2,4", "1 2 4"),
        ("4:2", "2 3 4"),
        ("*", "5"),
        ("*:4", "4 5"),
        ("1000", ""),
        ("UID 6", "5"),
        ("UID 7:*", "5"),
        ("UID 7:99", ""),
        ("UID 5", ""),
        ("NOT 2,4", "1 3 5"),
        ("OR SEEN FLAGGED", "1 3"),
        ("OR (SEEN KEYWORD $Work) NOT 1:4", "1 5"),
        ("(2) UID 2", "2"),
        ("2 3", ""),
        // No message is ever recent.
        ("RECENT", ""),
        ("NEW", ""),
        ("OLD", "1 2 3 4 5"),
    ] {
        finds(&mut client, keys, numbers).await;
    }
    client
        .check("UID SEARCH 5", &["* SEARCH 6", "OK searched"])
        .await;
}

#[tokio::test]
async fn dates_disregard_time_and_zone() {
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    for (internal, sent) in [
        (
            "01-Mar-2024 23:59:00 -0800",
            "Fri, 1 Mar 2024 23:30:00 -0500",
        ),
        (
            "02-Mar-2024 00:01:00 +0900",
            "Sat, 2 Mar 2024 00:10:00 +0900",
        ),
    ] {
        client
            .append(
                "INBOX",
                &format!("\"{internal}\" "),
                &format!("Date: {sent}\r\n\r\n"),
            )
            .await;
    }
    client
        .append(
            "INBOX",
            "\"03-Mar-2024 12:00:00 +0000\" ",
            "Subject: no date\r\n\r\n",
        )
        .await;
    for (keys, numbers) in [
        ("ON 1-Mar-2024", "1"),
        ("BEFORE 2-Mar-2024", "1"),
        ("SINCE 02-mar-2024", "2 3"),
        ("SINCE \"2-Mar-2024\"", "2 3"),
        ("SENTON 1-Mar-2024", "1"),
        ("SENTBEFORE 2-Mar-2024", "1"),
        ("SENTSINCE 2-Mar-2024", "2"),
        ("NOT SENTSINCE 1-Jan-1990", "3"),
    ] {
        finds(&mut client, keys, numbers).await;
    }
    client.check("SEARCH ON 31-Feb-2024", &["BAD …"]).await;
}

#[tokio::test]
async fn esearch_returns_what_was_asked_for() {
    let world = World::new().await;
    world.fill(5).await;
    let mut client = world.bob_in_inbox().await;
    client.ok("STORE 2 +FLAGS.SILENT \\Deleted").await;
    client.ok("EXPUNGE").await;
    for (command, data) in [
        ("SEARCH RETURN () ALL", " ALL 1:4"),
        ("SEARCH RETURN (ALL) 1,3:4", " ALL 1,3:4"),
        ("SEARCH RETURN (MIN MAX COUNT) ALL", " MIN 1 MAX 4 COUNT 4"),
        ("SEARCH RETURN (COUNT) SEEN", " COUNT 0"),
        ("SEARCH RETURN (MIN MAX ALL) SEEN", ""),
        ("UID SEARCH RETURN (MIN) ALL", " UID MIN 1"),
        ("UID SEARCH RETURN () ALL", " UID ALL 1,3:5"),
        ("UID SEARCH RETURN (ALL) SEEN", " UID"),
    ] {
        let tag = client.tags + 1;
        let line = format!("* ESEARCH (TAG \"t{tag}\"){data}");
        client.check(command, &[&line, "OK searched"]).await;
    }
    client.check("SEARCH RETURN (FOO) ALL", &["BAD …"]).await;
}

/// RFC 9051 §6.4.4.4, examples 1 to 10.
#[tokio::test]
async fn results_are_saved_and_used() {
    let world = World::new().await;
    world.fill(5).await;
    let mut client = world.bob_in_inbox().await;
    client.check("FETCH $ UID", &["OK fetched"]).await;
    client
        .check("SEARCH RETURN (SAVE) 2:4", &["OK searched"])
        .await;
    let uids = |numbers: &[u32]| -> Vec<String> {
        numbers
            .iter()
            .map(|n| format!("* {n} FETCH (UID {n})"))
            .collect()
    };
    assert_eq!(client.ok("FETCH $ UID").await, uids(&[2, 3, 4]));
    assert_eq!(client.ok("UID FETCH $ UID").await, uids(&[2, 3, 4]));
    client
        .check("SEARCH $ 3:5", &["* SEARCH 3 4", "OK searched"])
        .await;
    client
        .check("UID SEARCH UID $ NOT 3", &["* SEARCH 2 4", "OK searched"])
        .await;
    client
        .check("SEARCH OR $ 1", &["* SEARCH 1 2 3 4", "OK searched"])
        .await;
    // An expunged message leaves the result.
    client.ok("STORE 3 +FLAGS.SILENT \\Deleted").await;
    client.ok("EXPUNGE").await;
    assert_eq!(client.ok("UID FETCH $ UID").await.len(), 2);
    client
        .check("COPY $ Archive", &["OK [COPYUID … 2,4 1:2] copied"])
        .await;
    for (returns, kept) in [
        ("SAVE MIN", "1"),
        ("SAVE MAX", "4"),
        ("SAVE MIN MAX", "1 4"),
        ("SAVE MIN COUNT", "1 2 3 4"),
        ("SAVE ALL MAX", "1 2 3 4"),
    ] {
        let told = client.ok(&format!("SEARCH RETURN ({returns}) ALL")).await;
        assert_eq!(told.len(), 1, "{returns}");
        finds(&mut client, "$", kept).await;
    }
    // BAD and searches without SAVE leave it; NO empties it.
    client.check("SEARCH RETURN (SAVE) FOO", &["BAD …"]).await;
    client.ok("SEARCH 1").await;
    client
        .check("SEARCH CHARSET KOI8-R 1", &["NO [BADCHARSET …] …"])
        .await;
    finds(&mut client, "$", "1 2 3 4").await;
    client
        .check(
            "SEARCH RETURN (SAVE) CHARSET KOI8-R 1",
            &["NO [BADCHARSET …] …"],
        )
        .await;
    finds(&mut client, "$", "").await;
    client.check("STORE $ +FLAGS \\Seen", &["OK stored"]).await;
    client.check("MOVE $ Archive", &["OK moved"]).await;
    client.ok("SEARCH RETURN (SAVE) ALL").await;
    client.ok("SELECT INBOX").await;
    finds(&mut client, "$", "").await;
}

/// What of a message is searched (docs/rfc/imap.md).
#[tokio::test]
async fn texts_are_searched_up_to_these_bounds() {
    const MIB: usize = 1 << 20;
    let world = World::new().await;
    let mut client = world.bob_in_inbox().await;
    let field = format!("X-Filler: {}\r\n", "f".repeat(1000));
    let filler = field.repeat(MIB / field.len() + 1);
    let line = format!("{}\r\n", "l".repeat(1022));
    let body = line.repeat(64 * MIB / line.len());
    let message = format!(
        "X-Near: near\r\n{filler}X-Far: far\r\n\r\nbegins\r\n{}within\r\n{line}{line}{line}beyond\r\n",
        &body[..body.len() - 2 * line.len()]
    );
    client.append("INBOX", "", &message).await;
    client.ok("NOOP").await;
    let found = ["* SEARCH 1", "OK searched"];
    let nothing = ["* SEARCH", "OK searched"];
    for (key, expected) in [
        ("HEADER X-Near near", found),
        ("HEADER X-Far far", nothing),
        ("BODY begins", found),
        ("BODY within", found),
        ("BODY beyond", nothing),
        ("TEXT near", found),
    ] {
        client.check(&format!("SEARCH {key}"), &expected).await;
    }
}
