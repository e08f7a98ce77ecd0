//! Commands of the RFCs' examples and what must be refused.

use super::*;
use crate::date::Date;
use crate::fetch::{FetchItem, Partial, SectionText};
use crate::flag::{Flag, SystemFlag};
use crate::search::{ReturnItem, SearchKey};
use crate::sequence::{SequenceRange, SequenceSet};
use crate::{AclChange, NotifyEvent, NotifyFilter, SearchSource};
use crate::{AppendHead, AppendPart, LiteralHead, Replaced};
use crate::{ReturnOption, SelectionOption, StoreAction};
use proptest::prelude::*;
use std::num::NonZeroU32;

fn parse(text: &str) -> Result<Command, ErrorKind> {
    parse_command(format!("a {text}").as_bytes(), NameForm::ModifiedUtf7)
        .map(|(_, command)| command)
        .map_err(|error| error.kind)
}

fn ok(text: &str) -> Command {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).expect("a valid name")
}

fn set(text: &str) -> SequenceSet {
    sequence::set(&mut Cursor::new(text.as_bytes())).expect("a valid set")
}

#[test]
fn every_command_without_arguments() {
    for word in [
        "CAPABILITY",
        "NOOP",
        "LOGOUT",
        "STARTTLS",
        "NAMESPACE",
        "GETJMAPACCESS",
        "IDLE",
        "CHECK",
        "CLOSE",
        "UNSELECT",
        "EXPUNGE",
    ] {
        assert_eq!(ok(word).name(), word);
        assert_eq!(ok(&word.to_lowercase()).name(), word);
        assert!(
            matches!(parse(&format!("{word} x")), Err(ErrorKind::Syntax(_))),
            "{word}"
        );
    }
    assert_eq!(ok("UID EXPUNGE 3:5"), Command::Expunge(Some(set("3:5"))));
}

#[test]
fn quota_roots_are_astrings_and_mailboxes_need_not_be_there() {
    assert_eq!(ok("GETQUOTA \"\""), Command::GetQuota(Vec::new()));
    assert_eq!(ok("getquota root"), Command::GetQuota(b"root".to_vec()));
    assert_eq!(
        ok("GETQUOTAROOT new/one"),
        Command::GetQuotaRoot(name("new/one"))
    );
    assert!(parse("GETQUOTA").is_err() && parse("GETQUOTA a b").is_err());
    let set = |root: &[u8], limits: &[(&str, u64)]| Command::SetQuota {
        root: root.to_vec(),
        limits: limits.iter().map(|(r, n)| ((*r).to_owned(), *n)).collect(),
    };
    assert_eq!(ok("SETQUOTA \"\" ()"), set(b"", &[]));
    assert_eq!(
        ok("setquota a@b.test (storage 512 MESSAGE 9223372036854775807)"),
        set(
            b"a@b.test",
            &[("STORAGE", 512), ("MESSAGE", i64::MAX as u64)]
        )
    );
    for wrong in [
        "(STORAGE)",
        "(STORAGE -1)",
        "(STORAGE 9223372036854775808)",
        "STORAGE 1",
    ] {
        assert!(parse(&format!("SETQUOTA \"\" {wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn login_takes_astrings_of_every_form() {
    let login = |text: &str| match ok(text) {
        Command::Login { user, password } => (user, password),
        other => panic!("{other:?}"),
    };
    let expected = ("alice@demo.test".to_owned(), b"de \"mo\\".to_vec());
    assert_eq!(login("LOGIN alice@demo.test \"de \\\"mo\\\\\""), expected);
    assert_eq!(
        login("login {15}\r\nalice@demo.test {7+}\r\nde \"mo\\"),
        expected
    );
    for bad in [
        "LOGIN",
        "LOGIN a",
        "LOGIN a b c",
        "LOGIN \"a b",
        "LOGIN \"a\\b\" c",
        "LOGIN {9}\r\na b",
        "LOGIN a {1}\r\n\0",
    ] {
        assert!(matches!(parse(bad), Err(ErrorKind::Syntax(_))), "{bad}");
    }
}

#[test]
fn authenticate_with_and_without_an_initial_response() {
    let auth = |mechanism: &str, initial: Option<&[u8]>| Command::Authenticate {
        mechanism: mechanism.to_owned(),
        initial: initial.map(<[u8]>::to_vec),
    };
    assert_eq!(ok("AUTHENTICATE plain"), auth("PLAIN", None));
    assert_eq!(
        ok("AUTHENTICATE PLAIN AHRlc3QAdGVzdA=="),
        auth("PLAIN", Some(b"AHRlc3QAdGVzdA=="))
    );
    assert_eq!(ok("AUTHENTICATE EXTERNAL ="), auth("EXTERNAL", Some(b"=")));
    assert!(parse("AUTHENTICATE PLAIN a b").is_err());
}

#[test]
fn mailboxes_in_modified_utf7_and_utf8() {
    assert_eq!(ok("DELETE &U,BTFw-"), Command::Delete(name("台北")));
    assert_eq!(ok("DELETE \"台北\""), Command::Delete(name("台北")));
    let utf8 = parse_command("a DELETE \"a&b 台北\"".as_bytes(), NameForm::Utf8);
    assert_eq!(utf8.map(|(_, c)| c), Ok(Command::Delete(name("a&b 台北"))));
    assert_eq!(
        parse("DELETE a&b"),
        Err(ErrorKind::Mailbox(NameError::Encoding))
    );
    assert_eq!(
        parse("CREATE a*"),
        Err(ErrorKind::Syntax("more follows than the command takes"))
    );
    assert_eq!(
        parse("CREATE \"a*\""),
        Err(ErrorKind::Mailbox(NameError::Wildcard))
    );
    assert_eq!(
        parse("CREATE \"a//b\""),
        Err(ErrorKind::Mailbox(NameError::EmptyLevel))
    );
    assert_eq!(
        ok("CREATE inbox/x/"),
        Command::Create {
            mailbox: name("INBOX/x"),
            special_use: vec![]
        }
    );
    assert_eq!(
        ok("CREATE x (USE (\\Drafts \\sent))"),
        Command::Create {
            mailbox: name("x"),
            special_use: vec![SpecialUse::Drafts, SpecialUse::Sent]
        }
    );
    assert_eq!(parse("CREATE x (USE (\\Wild))"), Err(ErrorKind::UseAttr));
    assert_eq!(
        ok("RENAME a b"),
        Command::Rename {
            from: name("a"),
            to: name("b")
        }
    );
}

#[test]
fn select_status_id_enable() {
    assert_eq!(
        ok("SELECT \"My Box\" (CONDSTORE)"),
        Command::Select(SelectCommand {
            mailbox: name("My Box"),
            condstore: true,
            qresync: None,
        })
    );
    // RFC 7162 §3.2.5
    let remembered = |command| match ok(command) {
        Command::Select(select) | Command::Examine(select) => select.qresync,
        other => panic!("{other:?}"),
    };
    let qresync = Qresync {
        uid_validity: 67890007,
        modseq: 20_050_715_194_045_000,
        known: Some(vec![(41, 211), (214, 541)]),
        matches: Some((vec![(1, 2), (5, 5)], vec![(41, 41), (43, 43), (99, 99)])),
    };
    assert_eq!(
        remembered(
            "SELECT INBOX (QRESYNC (67890007 20050715194045000 41:211,214:541 (1:2,5 41,43,99)))"
        ),
        Some(qresync)
    );
    let short = remembered("EXAMINE INBOX (CONDSTORE QRESYNC (7 9))");
    assert!(short.is_some_and(|short| short.known.is_none() && short.matches.is_none()));
    assert!(parse("SELECT x (FOO)").is_err());
    assert_eq!(
        ok("STATUS blurdybloop (UIDNEXT messages)"),
        Command::Status {
            mailbox: name("blurdybloop"),
            items: vec![StatusItem::UidNext, StatusItem::Messages]
        }
    );
    assert!(parse("STATUS x ()").is_err());
    assert_eq!(ok("ID NIL"), Command::Id(vec![]));
    assert_eq!(
        ok("ID (\"name\" \"sodr\" \"os\" NIL)"),
        Command::Id(vec![
            ("name".into(), Some("sodr".into())),
            ("os".into(), None)
        ])
    );
    assert_eq!(
        ok("ENABLE condstore IMAP4rev2"),
        Command::Enable(vec!["CONDSTORE".into(), "IMAP4REV2".into()])
    );
}

#[test]
fn the_patterns_of_a_list_do_not_multiply_a_long_reference() {
    let line = |items: usize| {
        let patterns = vec!["a"; items].join(" ");
        parse(&format!("LIST {} ({patterns})", "r".repeat(4_000)))
    };
    assert!(line(10).is_ok());
    assert!(matches!(line(4_000), Err(ErrorKind::Syntax(_))));
}

#[test]
fn list_in_all_its_forms() {
    let list = |text: &str| match ok(text) {
        Command::List(list) => list,
        other => panic!("{other:?}"),
    };
    assert!(list("LIST \"\" \"\"").asks_separator);
    let ignored = list("LIST x (\"\" y)");
    assert!(!ignored.asks_separator && ignored.patterns.len() == 1);
    let basic = list("LIST x/ %");
    assert!(!basic.extended && basic.patterns[0].matches("x/a"));
    let full = list(
        "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (INBOX \"a/%\") RETURN (CHILDREN STATUS (MESSAGES) SPECIAL-USE)",
    );
    assert_eq!(
        full.selection,
        [SelectionOption::Subscribed, SelectionOption::RecursiveMatch]
    );
    assert_eq!(full.patterns.len(), 2);
    assert_eq!(
        full.returns,
        [
            ReturnOption::Children,
            ReturnOption::Status(vec![StatusItem::Messages]),
            ReturnOption::SpecialUse
        ]
    );
    for bad in [
        "LIST (x) \"\" *",
        "LIST (RECURSIVEMATCH) \"\" *",
        "LIST (RECURSIVEMATCH REMOTE) \"\" *",
        "LIST \"\" * RETURN (x)",
        "LIST \"\"",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    assert!(matches!(ok("LSUB \"\" *"), Command::Lsub(_)));
}

#[test]
fn fetch_items_and_sections() {
    let items = |text: &str| match ok(&format!("FETCH 1 {text}")) {
        Command::Fetch(fetch) => fetch.items,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        items("FAST"),
        [
            FetchItem::Flags,
            FetchItem::InternalDate,
            FetchItem::Rfc822Size
        ]
    );
    assert_eq!(
        items("(UID BODY BODYSTRUCTURE)"),
        [FetchItem::Uid, FetchItem::Body, FetchItem::BodyStructure]
    );
    for (text, name) in [
        ("BODY[]", "BODY[]"),
        (
            "BODY.PEEK[HEADER.FIELDS (From \"To\")]<0.5>",
            "BODY[HEADER.FIELDS (From To)]<0>",
        ),
        ("body[1.2.mime]", "BODY[1.2.MIME]"),
        (
            "BODY[1.HEADER.FIELDS.NOT (X)]",
            "BODY[1.HEADER.FIELDS.NOT (X)]",
        ),
        ("BINARY.PEEK[1.2]<3.4>", "BINARY[1.2]<3>"),
        ("BINARY.SIZE[1]", "BINARY.SIZE[1]"),
        ("RFC822.HEADER", "RFC822.HEADER"),
    ] {
        let items = items(text);
        let mut out = Vec::new();
        items[0].write_name(&mut out);
        assert_eq!(String::from_utf8(out).as_deref(), Ok(name));
        assert_eq!(
            items[0].sets_seen(),
            text.eq_ignore_ascii_case("BODY[]") || text.contains("NOT") || text.contains("mime"),
            "{text}"
        );
    }
    let FetchItem::BodySection {
        section, partial, ..
    } = &items("BODY[2.TEXT]<10.20>")[0]
    else {
        panic!("a section");
    };
    assert_eq!(
        (section.part.as_slice(), &section.text),
        ([2].as_slice(), &SectionText::Text)
    );
    assert_eq!(
        *partial,
        Some(Partial {
            offset: 10,
            length: 20
        })
    );
    for bad in [
        "BODY[MIME]",
        "BODY[0]",
        "BODY[1.]",
        "BODY[",
        "BODY[1]<0.0>",
        "BODY[HEADER.FIELDS ()]",
        "BINARY[HEADER]",
        "BINARY.SIZE",
        "FOO",
        "()",
        "(UID",
    ] {
        assert!(parse(&format!("FETCH 1 {bad}")).is_err(), "{bad}");
    }
    let Command::Fetch(fetch) = ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)") else {
        panic!("a fetch");
    };
    assert_eq!((fetch.uid, fetch.changed_since), (true, Some(12345)));
}

#[test]
fn store_copy_move() {
    let Command::Store(store) = ok("STORE 2:4 (UNCHANGEDSINCE 7) +FLAGS.SILENT (\\Deleted $x)")
    else {
        panic!("a store");
    };
    assert_eq!(
        (store.action, store.silent, store.unchanged_since),
        (StoreAction::Add, true, Some(7))
    );
    assert_eq!(
        store.flags,
        [
            Flag::System(SystemFlag::Deleted),
            Flag::Keyword("$x".into())
        ]
    );
    assert!(matches!(ok("UID STORE 1 FLAGS ()"), Command::Store(s) if s.uid && s.flags.is_empty()));
    assert!(matches!(ok("STORE 1 -FLAGS a b"), Command::Store(s) if s.flags.len() == 2));
    for bad in [
        "STORE 1 FLAGS",
        "STORE 1 FLAGS (\\Recent)",
        "STORE 0 FLAGS ()",
        "STORE 1 FOO ()",
        "STORE 1 +FLAGS \\*",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        ok("UID MOVE $ x"),
        Command::Move {
            uid: true,
            set: SequenceSet::Saved,
            mailbox: name("x")
        }
    );
    assert_eq!(
        ok("COPY 1,3 inbox"),
        Command::Copy {
            uid: false,
            set: set("1,3"),
            mailbox: name("INBOX")
        }
    );
}

#[test]
fn search_keys_nest_and_combine() {
    let search = |text: &str| match ok(text) {
        Command::Search(search) => search,
        other => panic!("{other:?}"),
    };
    assert_eq!(search("SEARCH ALL").key, SearchKey::All);
    let day = Date::from_civil(2026, 1, 2).expect("a day");
    for (word, key) in [
        ("SAVEDBEFORE", SearchKey::SavedBefore(day)),
        ("SavedOn", SearchKey::SavedOn(day)),
        ("SAVEDSINCE", SearchKey::SavedSince(day)),
    ] {
        assert_eq!(search(&format!("SEARCH {word} 2-Jan-2026")).key, key);
    }
    assert_eq!(
        search("SEARCH SAVEDATESUPPORTED").key,
        SearchKey::SaveDateSupported
    );
    assert_eq!(
        search("SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"").key,
        SearchKey::And(vec![
            SearchKey::Flag(Flag::System(SystemFlag::Flagged), true),
            SearchKey::Since(Date::from_civil(1994, 2, 1).expect("a day")),
            SearchKey::Not(Box::new(SearchKey::Address("FROM".into(), "Smith".into()))),
        ])
    );
    let nested = search(
        "UID SEARCH RETURN (MIN COUNT SAVE) CHARSET utf-8 OR (UNSEEN 2,4:7) (HEADER X-A \"\" LARGER 5 UID 1:*)",
    );
    assert_eq!(
        nested.returns,
        Some(vec![ReturnItem::Min, ReturnItem::Count, ReturnItem::Save])
    );
    assert!(matches!(nested.key, SearchKey::Or(..)));
    assert_eq!(
        search("SEARCH RETURN () 1").returns,
        Some(vec![ReturnItem::All])
    );
    assert_eq!(
        search("SEARCH MODSEQ \"/flags/\\\\draft\" all 620162338").key,
        SearchKey::ModSeq(620_162_338)
    );
    assert_eq!(
        search("SEARCH CHARSET UTF-8 TEXT {6}\r\n邮件").key,
        SearchKey::Text("邮件".into())
    );
    assert_eq!(
        search("SEARCH UNKEYWORD $Junk").key,
        SearchKey::Flag(Flag::Keyword("$Junk".into()), false)
    );
    for (text, saves, filters) in [
        ("SEARCH CHARSET GBK ALL", false, false),
        ("SEARCH RETURN (SAVE) CHARSET KOI8-R ALL", true, false),
        (
            "SEARCH CHARSET GBK SUBJECT {6}\r\n邮件 NOT FILTER x",
            false,
            true,
        ),
        ("SEARCH CHARSET GBK SUBJECT FILTER", false, false),
        ("SEARCH TEXT {1}\r\n\u{fffd}", false, false),
    ] {
        let expected = ErrorKind::BadCharset { saves, filters };
        match text.contains('\u{fffd}') {
            // No UTF-8, and no charset is named.
            true => {
                let text = text.replace("{1}\r\n\u{fffd}", "{1}\r\n");
                let bytes = [b"t ", text.as_bytes(), b"\xff"].concat();
                let parsed = parse_command(&bytes, NameForm::ModifiedUtf7);
                assert_eq!(parsed.map_err(|error| error.kind), Err(expected));
            }
            false => assert_eq!(parse(text), Err(expected), "{text}"),
        }
    }
    let range = |from, to| {
        let (from, to) = (NonZeroU32::new(from), NonZeroU32::new(to));
        SearchKey::Uid(SequenceSet::Ranges(vec![SequenceRange { from, to }]))
    };
    for (text, key) in [
        ("SEARCH UIDAFTER 25000", range(25001, u32::MAX)),
        ("SEARCH uidbefore 25000", range(1, 24999)),
        ("SEARCH UIDAFTER 4294967295", SearchKey::Nothing),
        ("SEARCH UIDBEFORE 1", SearchKey::Nothing),
    ] {
        assert_eq!(search(text).key, key, "{text}");
    }
    for bad in [
        "SEARCH",
        "SEARCH FOO",
        "SEARCH FROM",
        "SEARCH (ALL",
        "SEARCH OR ALL",
        "SEARCH ON 31-Feb-2020",
        "SEARCH RETURN (X) ALL",
        "SEARCH 1 2)",
        "SEARCH ()",
        "SEARCH UIDAFTER 0",
        "SEARCH UIDBEFORE 1:2",
    ] {
        assert!(matches!(parse(bad), Err(ErrorKind::Syntax(_))), "{bad}");
    }
    // THREATS 23: unbounded parentheses.
    for deep in ["(", "NOT ", "OR ALL "] {
        let text = format!("SEARCH {}ALL", deep.repeat(10_000));
        assert_eq!(
            parse(&text),
            Err(ErrorKind::Syntax("the search is nested too deeply")),
            "{deep}"
        );
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    for bad in [
        "FETCH 4294967296 UID",
        "FETCH 0 UID",
        "FETCH 1:,2 UID",
        "FETCH 1, UID",
        "SEARCH LARGER 99999999999999999999",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    assert!(parse("FETCH 4294967295 UID").is_ok());
}

#[test]
fn unknown_commands_and_missing_tags_are_told_apart() {
    assert_eq!(parse("FOO BAR"), Err(ErrorKind::UnknownCommand));
    assert_eq!(parse("UID NOOP"), Err(ErrorKind::UnknownCommand));
    let error = parse_command(b"+ NOOP", NameForm::Utf8).expect_err("no tag");
    assert_eq!(error.tag, None);
    let long = format!("{} NOOP", "a".repeat(1000));
    assert!(parse_command(long.as_bytes(), NameForm::Utf8).is_err());
}

const LITERAL: Option<LiteralHead> = Some(LiteralHead {
    size: 3,
    sync: true,
    binary: false,
});

fn append(text: &str) -> Option<Result<AppendHead, ParseError>> {
    parse_append_head(text.as_bytes(), NameForm::ModifiedUtf7, LITERAL)
}

fn plain() -> AppendPart {
    let (flags, date) = (Vec::new(), None);
    AppendPart::Begin { flags, date }
}

#[test]
fn heads_of_append() {
    let full = append("a APPEND saved-messages (\\Seen $x) \" 7-Feb-1994 21:52:25 -0800\" ")
        .expect("a head")
        .expect("valid");
    assert_eq!(full.mailbox, name("saved-messages"));
    let [AppendPart::Begin { flags, date }, AppendPart::Message] = full.parts.as_slice() else {
        panic!("{:?}", full.parts);
    };
    assert_eq!((flags.len(), date.is_some()), (2, true));
    assert!(append("a append x ").is_some_and(|h| h.is_ok()));
    assert!(append("a APPEND {5}\r\nINBOX ").is_some_and(|h| h.is_ok()));
    for other in ["a APPEND ", "a SELECT x ", "APPEND x ", "a UID COPY "] {
        assert_eq!(append(other), None, "{other}");
    }
    for bad in [
        "a APPEND x",
        "a APPEND x (\\Recent) ",
        "a APPEND x \"yesterday\" ",
        "a APPEND x y ",
        "a APPEND \"a//b\" ",
        "a APPEND x CATENATE () ",
        "a APPEND x CATENATE (TEXT x ",
        "a APPEND x CATENATE (URL y z ",
        "a APPEND x CATENATE (URL y)TEXT ",
    ] {
        assert!(append(bad).is_some_and(|h| h.is_err()), "{bad}");
    }
}

/// RFC 4469 §3, RFC 3502.
#[test]
fn messages_are_put_together_of_urls_and_texts() {
    let url = |url: &str| AppendPart::Url(url.to_owned());
    let parts = |text: &str| append(text).expect("a head").expect("valid").parts;
    assert_eq!(
        parts("a APPEND Drafts CATENATE (URL \"/x/;UID=1\" URL /y TEXT "),
        [plain(), url("/x/;UID=1"), url("/y"), AppendPart::Text]
    );
    assert_eq!(
        parts("a APPEND x CATENATE (URL {2+}\r\n/z) CATENATE (TEXT "),
        [
            plain(),
            url("/z"),
            AppendPart::End,
            plain(),
            AppendPart::Text
        ]
    );
    // The URL is the literal.
    assert_eq!(append("a APPEND x CATENATE (URL /y URL "), None);
    let whole = |text: &str| parse_append_head(text.as_bytes(), NameForm::Utf8, None);
    let all = whole("a APPEND x CATENATE (URL /y)")
        .expect("a head")
        .expect("valid");
    assert_eq!(all.parts, [plain(), url("/y"), AppendPart::End]);
    assert!(whole("a APPEND x CATENATE (URL /y").is_some_and(|h| h.is_err()));
    assert!(whole("a APPEND x").is_some_and(|h| h.is_err()));
    let segment = |text: &str, place| {
        append_segment(&mut Cursor::new(text.as_bytes()), place, None)
            .map(|found| found.expect("no string is missing").parts)
    };
    assert_eq!(segment("", Place::Message), Ok(vec![AppendPart::End]));
    assert_eq!(
        segment(" URL /y)", Place::Catenate),
        Ok(vec![url("/y"), AppendPart::End])
    );
    assert_eq!(
        segment(") (\\Seen) CATENATE (URL /y)", Place::Utf8).map(|parts| parts.len()),
        Ok(4)
    );
    assert!(segment("", Place::Utf8).is_err());
    let utf8 = Some(LiteralHead {
        size: 3,
        sync: true,
        binary: true,
    });
    let head = parse_append_head(b"a APPEND x UTF8 (", NameForm::Utf8, utf8);
    let parts = head.expect("a head").expect("valid").parts;
    assert_eq!(parts, [plain(), AppendPart::Utf8Message]);
    assert!(append("a APPEND x UTF8 (").is_some_and(|h| h.is_err()));
    for bad in ["", " ", " URL /y", "x)", ") x"] {
        assert!(segment(bad, Place::Catenate).is_err(), "{bad}");
    }
}

/// RFC 8508 §4.
#[test]
fn replace_names_what_it_replaces() {
    let replaced = |text: &str| append(text).expect("a head").expect("valid").replaced;
    let number = NonZeroU32::new;
    let by = |uid, n| {
        Some(Replaced {
            uid,
            number: number(n),
        })
    };
    assert_eq!(replaced("a REPLACE 4 Drafts "), by(false, 4));
    assert_eq!(replaced("a UID REPLACE * Drafts (\\Draft) "), by(true, 0));
    assert_eq!(replaced("a APPEND Drafts "), None);
    for bad in ["a REPLACE 0 x ", "a REPLACE 1:2 x ", "a REPLACE Drafts "] {
        assert!(append(bad).is_some_and(|h| h.is_err()), "{bad}");
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(text in "[a-zA-Z0-9 ()\\[\\]{}\"\\\\.*%$<>+:,~\r\n\u{0}é-]{0,60}", bytes: Vec<u8>) {
        for verb in ["", "FETCH 1 ", "SEARCH ", "LIST ", "STORE 1 ", "UID ", "STATUS ", "APPEND ", "APPEND x CATENATE (", "REPLACE 1 ", "ID "] {
            let line = format!("a {verb}{text}");
            let _ = parse_command(line.as_bytes(), NameForm::Utf8);
            let _ = parse_append_head(line.as_bytes(), NameForm::Utf8, LITERAL);
            let _ = parse_append_head(line.as_bytes(), NameForm::Utf8, None);
        }
        let _ = parse_command(&bytes, NameForm::ModifiedUtf7);
    }

    #[test]
    fn sets_are_read_as_written(ranges in prop::collection::vec((0u32..9, 0u32..9), 1..6)) {
        let text: Vec<String> = ranges.iter().map(|(a, b)| {
            let end = |n: &u32| if *n == 0 { "*".to_owned() } else { n.to_string() };
            if a == b { end(a) } else { format!("{}:{}", end(a), end(b)) }
        }).collect();
        let text = text.join(",");
        prop_assert_eq!(set(&text).to_string(), text);
    }
}

#[test]
fn acl_takes_an_identifier_and_letters_with_a_sign() {
    let set = |change, rights: &[u8]| Command::SetAcl {
        mailbox: name("INBOX"),
        identifier: "-smith".to_owned(),
        change,
        rights: rights.to_vec(),
    };
    assert_eq!(
        ok("SETACL inbox -smith lrs"),
        set(AclChange::Replace, b"lrs")
    );
    assert_eq!(ok("SETACL inbox -smith +w"), set(AclChange::Add, b"w"));
    assert_eq!(ok("SETACL inbox -smith \"-\""), set(AclChange::Remove, b""));
    assert_eq!(ok("GETACL inbox"), Command::GetAcl(name("INBOX")));
    for wrong in [
        "SETACL inbox",
        "SETACL inbox \"\" l",
        "DELETEACL inbox",
        "LISTRIGHTS x",
    ] {
        assert!(matches!(parse(wrong), Err(ErrorKind::Syntax(_))), "{wrong}");
    }
}

#[test]
fn notify_names_mailboxes_and_events() {
    let Command::Notify(Some(notify)) = ok(
        "NOTIFY SET STATUS (selected-delayed (MessageNew (UID FLAGS) MessageExpunge)) (subtree (a b) (mailboxname)) (personal NONE)",
    ) else {
        panic!("NOTIFY SET");
    };
    assert!(notify.status);
    let filters: Vec<_> = notify.groups.iter().map(|group| &group.filter).collect();
    let subtree = SearchSource::Subtree {
        names: vec![name("a"), name("b")],
        one_level: false,
    };
    assert_eq!(
        filters,
        [
            &NotifyFilter::SelectedDelayed,
            &NotifyFilter::Others(subtree),
            &NotifyFilter::Others(SearchSource::Personal)
        ]
    );
    assert_eq!(
        notify.groups[0].events,
        [
            NotifyEvent::MessageNew(vec![FetchItem::Uid, FetchItem::Flags]),
            NotifyEvent::MessageExpunge
        ]
    );
    assert_eq!(notify.groups[2].events, []);
    assert_eq!(ok("NOTIFY NONE"), Command::Notify(None));
    assert!(parse("NOTIFY SET (personal ())").is_err());
    let many = format!("NOTIFY SET{}", " (personal NONE)".repeat(101));
    assert!(parse(&many).is_err());
}

#[test]
fn stored_searches_are_read_and_resolved() {
    let Command::Search(search) = ok("SEARCH OR FILTER One NOT FILTER two") else {
        panic!("SEARCH");
    };
    let find = |name: &str| match name {
        "one" => SearchKey::parse(b"SEEN LARGER 5"),
        _ => None,
    };
    assert_eq!(search.key.clone().resolve(&find), Err("two".to_owned()));
    let all = |_: &str| Some(SearchKey::All);
    let resolved = search.key.resolve(&all).expect("both are there");
    assert!(!resolved.any(&mut |key| matches!(key, SearchKey::Filter(_))));
    for wrong in [&b""[..], b"SUBJECT", b"SEEN)", b"CHARSET X ALL", b"NO\xff"] {
        assert_eq!(SearchKey::parse(wrong), None, "{wrong:?}");
    }
    assert!(SearchKey::parse(b"CHARSET UTF-8 SUBJECT \"x\"").is_some());
}
