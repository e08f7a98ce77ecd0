//! That all work takes fuel: scripts made for it end after a bounded amount of it, and honest ones over large mail do not
//! run out.

use super::*;
use crate::RunError;
use crate::limits::ADDRESSES_KEPT_MAX;
use core::cell::Cell;
use core::ops::Range;
use mime::PartIndex;
use std::borrow::Cow;

/// Counts the octets that are asked for.
struct Counted<'a> {
    message: WholeMessage<'a>,
    read: Cell<u64>,
    whole_header: bool,
}

impl<'a> Counted<'a> {
    fn new(message: &'a str) -> Self {
        Self {
            message: WholeMessage::new(message.as_bytes()),
            read: Cell::new(0),
            whole_header: true,
        }
    }

    fn run(&self, source: &str) -> Outcome {
        let script = compiled(source).unwrap_or_else(|complaints| panic!("{complaints}"));
        let envelope = SieveEnvelope::default();
        let input = Input {
            traced: false,
            ..input(self, Some(&envelope))
        };
        run(&script, "test", &input, &mut Known::default())
    }

    /// The fuel that a script takes, which ends well.
    fn takes(&self, source: &str) -> u64 {
        let outcome = self.run(source);
        assert_eq!(outcome.failure, None);
        outcome.fuel_used
    }

    fn runs_out(&self, source: &str) {
        let outcome = self.run(source);
        let why = outcome.failure.map(|failure| failure.why);
        assert_eq!(why, Some(RunError::OutOfFuel), "{source:.200}");
        // What is read is paid for before.
        assert!(self.read.get() <= 64 * outcome.fuel_used);
    }
}

impl Message for Counted<'_> {
    fn header(&self) -> &[u8] {
        self.message.header()
    }

    fn has_whole_header(&self) -> bool {
        self.whole_header
    }

    fn size(&self) -> u64 {
        self.message.size()
    }

    fn parts(&self) -> Result<&PartIndex, WorldError> {
        self.message.parts()
    }

    fn octets(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, WorldError> {
        let octets = self.message.octets(range)?;
        self.read.set(self.read.get() + octets.len() as u64);
        Ok(octets)
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", items.join(","))
}

fn many_fields() -> String {
    let fields: String = (0..20_000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    fields + "\r\n"
}

#[test]
fn looking_for_a_field_costs_the_same_in_any_header() {
    let (long, short) = (many_fields(), many_fields()[..50_000].to_owned() + "\r\n");
    let test = |count| {
        let names = list((0..count).map(|n| format!("x-{n}")));
        format!("if not exists {names} {{ stop; }}")
    };
    // What both take to read the header is taken away.
    let long = Counted::new(&long);
    let short = Counted::new(&short);
    let in_long = long.takes(&test(3_000)) - long.takes("keep;");
    let in_short = short.takes(&test(3_000)) - short.takes("keep;");
    assert_eq!(in_long, in_short);
    assert!((6_000..12_000).contains(&in_long), "{in_long}");
}

#[test]
fn values_that_are_looked_at_again_and_again_run_out() {
    let fields = "Received: a; b\r\n".repeat(20_000) + "\r\n";
    let message = Counted::new(&fields);
    let test = |what: &str, name: &str| {
        let names = list((0..4_000).map(|_| name.into()));
        format!("if {what} :contains {names} \"zz\" {{ stop; }}")
    };
    message.runs_out(&test("header", "received"));
    // So many addresses are kept; more would be too much at once.
    let addresses = "To: a@b\r\n".repeat(ADDRESSES_KEPT_MAX) + "\r\n";
    Counted::new(&addresses).runs_out(&test("address", "to"));
    let more = "To: a@b\r\n".repeat(2 * ADDRESSES_KEPT_MAX) + "\r\n";
    let why = Counted::new(&more).run(&test("address", "to")).failure;
    assert_eq!(
        why.map(|failure| failure.why),
        Some(RunError::StringTooLong)
    );
    let dates = "if date \"received\" \"year\" \"2000\" { stop; }".repeat(200);
    message.runs_out(&dates);
    let deleted = "deleteheader :contains \"x\" \"zz\";".repeat(400);
    Counted::new(&fields.replace("Received", "X")).runs_out(&deleted);
    // Looking for a key among no values is work too.
    let keys = list((0..4_000).map(|n| n.to_string()));
    let test = format!("if header \"none\" {keys} {{ stop; }}").repeat(5);
    assert!(message.takes(&test) - message.takes("keep;") > 20_000);
}

#[test]
fn a_value_is_read_once() {
    let words = "=?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n ".repeat(4_000);
    let message = format!(
        "Subject: {words}\r\nTo: {}\r\n\r\n",
        "a@b.example, ".repeat(2_000)
    );
    let message = Counted::new(&message);
    let test = |test: &str, count| format!("if {test} \"zz\" {{ stop; }}").repeat(count);
    for what in ["header :contains \"subject\"", "address :contains \"to\""] {
        let once = message.takes(&test(what, 1)) - message.takes("keep;");
        let often = message.takes(&test(what, 301)) - message.takes("keep;");
        assert!(
            (often - once) / 300 < once * 2 / 3,
            "{what}: {once}, {often}"
        );
        assert!((often - once) / 300 > 100, "{what}: {once}, {often}");
    }
}

fn parts(count: usize) -> String {
    let parts: String = (0..count)
        .map(|n| format!("--b\r\nX-A: {n}\r\n\r\npart {n}\r\n"))
        .collect();
    format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n")
}

#[test]
fn walks_over_parts_run_out() {
    let message = parts(900);
    let many = list((0..4_000).map(|_| "x-a".into()));
    let nested = "foreverypart { foreverypart { if true {} } ";
    for source in [
        format!("if exists :mime :anychild {many} {{ stop; }}"),
        format!("if header :mime :anychild :contains {many} \"zz\" {{ stop; }}"),
        format!("foreverypart {{ if header :mime :anychild :contains {many} \"zz\" {{ stop; }} }}"),
        format!(
            "{nested} {} }}",
            "if body :content \"\" :contains \"zz\" { stop; }".repeat(20)
        ),
        "if body :text :contains \"zz\" { stop; }".repeat(5_000),
        format!(
            "foreverypart {{ {} }}",
            "if body :content \"x\" :contains \"zz\" { stop; }".repeat(50)
        ),
    ] {
        Counted::new(&message).runs_out(&source);
    }
    // A walk takes what is in the part, not what is in the message.
    let few = Counted::new(&message);
    let leaves = "foreverypart { foreverypart { stop; } }";
    let taken = few.takes(leaves) - few.takes("keep;");
    assert!(taken < 4_000, "{taken}");
}

#[test]
fn a_body_is_decoded_once_and_costs_by_its_length() {
    let text = "a line of text that is no more than that\r\n".repeat(2_000);
    let message = format!("Content-Type: text/html\r\n\r\n<p>{text}</p>");
    let message = Counted::new(&message);
    let test = |count| "if body :contains \"zz\" { stop; }".repeat(count);
    let once = message.takes(&test(1)) - message.takes("keep;");
    assert!(once > text.len() as u64 / 64 * 8, "{once}");
    let often = message.takes(&test(11)) - message.takes("keep;");
    assert!((often - once) / 10 < once / 4, "{once}, {often}");
    let read = message.read.get();
    assert!(read < 3 * text.len() as u64, "each run once: {read}");
}

#[test]
fn lists_of_words_run_out() {
    let message = Counted::new(MESSAGE);
    let words: String = (0..800).map(|n| format!("w{n} ")).collect();
    let set: String = (0..30)
        .map(|n| format!("set \"v{n}\" \"{n}{words}\";"))
        .collect();
    let names = list((0..4_000).map(|n| format!("v{}", n % 30)));
    let test = format!("if hasflag :contains {names} \"zz\" {{ stop; }}");
    message.runs_out(&format!("{set}{}", test.repeat(3)));
    let flags = list((0..4_000).map(|_| "${v}".into()));
    message.runs_out(&format!("set \"v\" \"{words}\"; addflag {flags};"));
}

/// What is there already is paid for, not only what a command names.
#[test]
fn flags_that_are_there_run_out() {
    let message = Counted::new(MESSAGE);
    let flags = list((0..128).map(|n| format!("{n:0>255}")));
    let words: String = (0..2_000).map(|n| format!("{} ", n % 10)).collect();
    let begin = format!("setflag {flags}; set \"w\" \"{words}\";");
    for (line, least) in [
        ("addflag \"x\";", 128 * 255),
        ("if hasflag :count \"gt\" \"9\" {}", 128 * 255 * 8 / 64),
        ("set \"v\" \"${w}\"; addflag \"v\" \"x\";", 4_000),
        ("keep;", 128 * 255 / 64),
        ("fileinto \"x\";", 128 * 255 / 64),
    ] {
        let of = |count| message.takes(&format!("{begin}{}", line.repeat(count)));
        let one_more = of(3) - of(2);
        assert!(one_more >= least, "{line}: {one_more}");
    }
}

#[test]
fn long_addresses_cost_what_they_are() {
    let header = format!("To: {}@example.org\r\n\r\n", "a".repeat(1 << 20));
    let message = Counted::new(&header);
    let test = |count| {
        let names = list((0..count).map(|_| "to".into()));
        format!("if address :detail :count \"gt\" {names} \"9\" {{ stop; }}")
    };
    let again = message.takes(&test(11)) - message.takes(&test(1));
    assert!(again > 10 * (1 << 20) / 64, "{again}");
}

#[test]
fn what_is_included_or_asked_of_each_part_costs_by_its_length() {
    let taken = |source: String| {
        let source = format!("require \"fileinto\"; {source}");
        let mut world = Known {
            scripts: BTreeMap::from([("a", &*source.leak())]),
            ..Known::default()
        };
        let outcome = outcome_in("include \"a\";", &mut world);
        assert_eq!(outcome.failure, None);
        outcome.fuel_used
    };
    let (short, long) = (
        taken("stop;".into()),
        taken(format!("stop;{}", "keep;".repeat(20_000))),
    );
    assert!(long - short > 100_000, "{short}, {long}");
    let message = parts(900);
    let message = Counted::new(&message);
    let test = |kind: &str| format!("if body :content \"{kind}\" :contains \"zz\" {{ stop; }}");
    let more = message.takes(&test(&"x".repeat(64_000))) - message.takes(&test("x"));
    assert!(more > 300 * 1_000, "{more}");
}

#[test]
fn places_for_variables_cost_what_they_are() {
    let message = Counted::new(MESSAGE);
    let empty = "${a}".repeat(20_000);
    let taken = message.takes(&format!("set \"b\" \"{empty}\";"));
    assert!(taken > 10_000, "{taken}");
    let long = "x".repeat(100_000);
    let taken = message.takes(&format!("set \"b\" \"{long}\";"));
    assert!(taken > 1_500, "{taken}");
}

#[test]
fn headers_that_are_made_are_bounded_together() {
    let long = format!("Subject: x\r\nX-Long: {}\r\n\r\n", "x ".repeat(80_000));
    let message = Counted::new(&long);
    let edit = |count| "addheader \"X-A\" \"b\"; fileinto :copy \"x\";".repeat(count);
    assert_eq!(message.run(&edit(6)).failure, None);
    let why = message.run(&edit(7)).failure.map(|failure| failure.why);
    assert_eq!(why, Some(RunError::TooManyVersions));
    // To look how large it is, makes none.
    let sized = "addheader \"X-A\" \"b\"; if size :over 1M { stop; }".repeat(20);
    assert_eq!(message.run(&sized).failure, None);
}

/// The mail of a busy person: many servers, many rules, something large attached.
#[test]
fn honest_scripts_over_large_mail_do_not_run_out() {
    let received: String = (0..500)
        .map(|n| format!("Received: from host{n}.example.org (host{n}.example.org [192.0.2.1]) by mx{n}.example.net\r\n\twith ESMTPS id {n}abcdef for <bob@example.net>; Mon, 20 Jul 2009 21:44:43 +0300\r\n"))
        .collect();
    let to: String = (0..500)
        .map(|n| format!("Person {n} <person{n}@example.com>,\r\n "))
        .collect();
    let attached =
        "VGhpcyBpcyBhIGxpbmUgb2YgYW4gYXR0YWNobWVudCB0aGF0IGlzIGxvbmcu\r\n".repeat(160_000);
    let text = "A line of what somebody has written to us, and to many others.\r\n".repeat(1_000);
    let message = format!(
        "{received}From: Ann <ann@example.org>\r\nTo: {to}last@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= to all\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>{text}</p>\r\n\
         --b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{attached}--b--\r\n"
    );
    assert!(message.len() > 10_000_000);
    let rules: String = (0..300)
        .map(|n| match n % 10 {
            0 => format!("if header :contains \"received\" \"host{n}x\" {{ fileinto \"{n}\"; }}"),
            1 => format!("if address :is [\"to\", \"cc\"] \"nobody{n}@example.com\" {{ fileinto \"{n}\"; }}"),
            2 => format!("if body :contains \"nothing {n}\" {{ fileinto \"{n}\"; }}"),
            3 => format!("if header :regex \"subject\" \"^\\\\[list-{n}\\\\]\" {{ fileinto \"{n}\"; }}"),
            4 => format!("if allof (exists \"list-id\", header :matches \"list-id\" \"*list{n}*\") {{ fileinto \"{n}\"; }}"),
            _ => format!("if anyof (header :contains \"subject\" \"thing {n}\", address :domain \"from\" \"list{n}.example\") {{ fileinto \"{n}\"; }}"),
        })
        .collect();
    let message = Counted::new(&message);
    let taken = message.takes(&rules);
    assert!(taken < Limits::default().fuel / 2, "{taken}");
    // Thirty expressions over a text three times as long.
    let expressions: String = (0..30)
        .map(|n| match n {
            0 => "if body :text :regex \"code \\\\d+\" { stop; }".to_owned(),
            1 => "if body :text :regex \"\\\\w+@nowhere\" { stop; }".to_owned(),
            _ => format!("if body :text :regex \"(invoice|bill) no[.] ?{n}\" {{ stop; }}"),
        })
        .collect();
    let long = format!("Content-Type: text/plain\r\n\r\n{}", text.repeat(3));
    let taken = Counted::new(&long).takes(&expressions);
    assert!(taken < Limits::default().fuel / 2, "{taken}");
    // A look at all of it, as it is.
    let raw = "if body :raw :matches \"*invoice*\" { stop; } if body :raw :contains \"nothing\" { stop; }";
    let taken = message.takes(&format!("{rules}{raw}"));
    assert!(taken < Limits::default().fuel, "{taken}");
}

/// A text is folded once, however many words are looked for in it.
#[test]
fn many_words_in_a_long_text_do_not_run_out() {
    let text = "A line of what somebody has written to us, and to many others.\r\n".repeat(16_000);
    let message = format!("Subject: x\r\n\r\n{text}");
    let message = Counted::new(&message);
    let test = |count| {
        let words = list((0..count).map(|n| format!("nothing {n}")));
        format!("if body :contains {words} {{ stop; }}")
    };
    let taken = message.takes(&test(250));
    assert!(taken < Limits::default().fuel / 2, "{taken}");
    let one_more = message.takes(&test(251)) - taken;
    assert!(one_more > text.len() as u64 / 64 / 8, "{one_more}");
}

#[test]
fn a_header_that_is_not_all_there_is_not_written_anew() {
    let mut message = Counted::new(MESSAGE);
    message.whole_header = false;
    for edit in ["addheader \"X-A\" \"b\";", "deleteheader \"subject\";"] {
        let outcome = message.run(&format!("{edit} fileinto \"x\";"));
        assert_eq!(actions(&outcome), ["implicit keep []"]);
        assert_eq!(outcome.actions[0].version, crate::Version::Original);
        let why = outcome.failure.map(|failure| failure.why);
        assert_eq!(why, Some(RunError::HeaderTooLarge));
    }
    // What changes nothing is none.
    let outcome = message.run("deleteheader \"x-none\"; fileinto \"x\";");
    assert_eq!(actions(&outcome), ["fileinto \"x\""]);
    let many = many_fields() + "x";
    let many = many.replacen("x-0: 0", "x-0: 0\r\nx: y", 1);
    let why = Counted::new(&many).run("addheader \"X-A\" \"b\";").failure;
    assert_eq!(
        why.map(|failure| failure.why),
        Some(RunError::HeaderTooLarge)
    );
}
