//! Real clients read what arrived: mbsync, fetchmail, getmail, Python's imaplib and
//! poplib, mutt, neomutt.

use anyhow::ensure;
use interop::posthouse::{PASSWORD, Posthouse, contains};
use interop::synced::{wired, with_messages};
use interop::world::{Needs, World, run};
use interop::{Result, imap, smtp};

fn with_three_messages(world: &mut World) -> Result<Posthouse> {
    let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
    ours.serve(world)?;
    let mut client = smtp::Client::connect(&ours.addr(25))?;
    client.expect("EHLO client.test", 250)?;
    let bodies: [&[u8]; 3] = [
        b"Subject: first\r\nMessage-ID: <1@far.test>\r\n\r\none\r\n",
        b"Subject: second\r\nMessage-ID: <2@far.test>\r\n\r\n..dots\r\n..\r\nend\r\n",
        &crate::samples::attachment_with_chinese_subject(),
    ];
    for body in bodies {
        let (code, text) = client.send("x@far.test", &["alice@demo.test"], body)?;
        ensure!(code == 250, "{text}");
    }
    Ok(ours)
}

#[test]
fn mbsync_fetches_and_pushes() {
    run(
        "clients::mbsync_fetches_and_pushes",
        Needs::Peers,
        |world| {
            let ours = with_three_messages(world)?;
            let dir = world.folder("mbsync")?;
            let d = dir.display();
            let rc = format!(
                "IMAPStore far\nHost 127.0.0.10\nPort 993\nUser alice@demo.test\nPass \"{PASSWORD}\"\n\
             SSLType IMAPS\nCertificateFile {d}/cert.pem\n\n\
             MaildirStore near\nPath {d}/mail/\nInbox {d}/mail/inbox\nSubFolders Verbatim\n\n\
             Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n"
            );
            std::fs::create_dir_all(dir.join("mail"))?;
            std::fs::write(dir.join("rc"), rc)?;
            world.sh(&format!(
            "openssl s_client -connect 127.0.0.10:993 </dev/null 2>/dev/null | openssl x509 > {d}/cert.pem"
        ))?;
            let sync = ["-c", &format!("{d}/rc"), "-V", "all"].map(str::to_owned);
            world.output("mbsync", &sync)?;
            let count = |sub: &str| {
                std::fs::read_dir(dir.join("mail/inbox").join(sub)).map_or(0, Iterator::count)
            };
            ensure!(
                count("new") + count("cur") == 3,
                "mbsync fetched {} + {}",
                count("new"),
                count("cur")
            );
            // A message made here goes there.
            std::fs::write(
                dir.join("mail/inbox/new/1.made.here"),
                "Subject: made here\n\nx\n",
            )?;
            world.output("mbsync", &sync)?;
            let mut imap = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            let all = imap.messages("INBOX")?;
            ensure!(all.len() == 4 && all.iter().any(|m| contains(m, b"Subject: made here")));
            Ok(())
        },
    );
}

#[test]
fn fetchmail_takes_everything_away() {
    run(
        "clients::fetchmail_takes_everything_away",
        Needs::Peers,
        |world| {
            let ours = with_three_messages(world)?;
            let dir = world.folder("fetchmail")?;
            let d = dir.display();
            std::fs::write(
                dir.join("rc"),
                format!(
                    "poll 127.0.0.10 protocol POP3 port 995 username \"alice@demo.test\" password \"{PASSWORD}\" \
                 ssl no sslcertck fetchall mda \"cat >> {d}/all.mbox\"\n"
                ),
            )?;
            world.sh(&format!("chmod 600 {d}/rc; chown root {d}/rc"))?;
            world.output(
                "fetchmail",
                [
                    "-f",
                    &format!("{d}/rc"),
                    "--pidfile",
                    &format!("{d}/pid"),
                    "-v",
                ],
            )?;
            let got = std::fs::read(dir.join("all.mbox"))?;
            for mark in ["Subject: first", "\n.dots\n.\n", crate::samples::MARK] {
                ensure!(
                    contains(&got, mark.as_bytes()),
                    "fetchmail did not get {mark:?}"
                );
            }
            let mut imap = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            ensure!(
                imap.messages("INBOX")?.is_empty(),
                "fetchmail deleted what it fetched"
            );
            Ok(())
        },
    );
}

#[test]
fn python_reads_by_imap_and_pop3() {
    run(
        "clients::python_reads_by_imap_and_pop3",
        Needs::Peers,
        |world| {
            let _ours = with_three_messages(world)?;
            let script = world.dir().join("read.py");
            std::fs::write(&script, PYTHON)?;
            let out = world.output("python3", [script.display().to_string(), PASSWORD.into()])?;
            ensure!(out.trim() == "all as it should be", "{out}");
            Ok(())
        },
    );
}

#[test]
fn mutt_opens_the_mailbox() {
    run("clients::mutt_opens_the_mailbox", Needs::Peers, |world| {
        let ours = with_three_messages(world)?;
        let rc = world.dir().join("muttrc");
        let d = world.dir().display();
        std::fs::write(
            &rc,
            format!(
                "set imap_user=\"alice@demo.test\" imap_pass=\"{PASSWORD}\" ssl_starttls=no ssl_force_tls=no\n\
                 set ssl_verify_host=no ssl_verify_dates=no certificate_file=\"{d}/cert.pem\"\n\
                 set confirmappend=no delete=yes quit=yes wait_key=no mbox_type=mbox copy=no auto_tag=no\n\
                 push \"<tag-pattern>~A<enter><tag-prefix><copy-message>{d}/copy.mbox<enter>y<quit>\"\n"
            ),
        )?;
        world.sh(&format!(
            "openssl s_client -connect 127.0.0.10:993 </dev/null 2>/dev/null | openssl x509 > {d}/cert.pem"
        ))?;
        let line = format!(
            "TERM=xterm timeout 60 script -qec 'mutt -n -F {} -f imaps://127.0.0.10/INBOX' /dev/null >/dev/null",
            rc.display()
        );
        world.sh(&line)?;
        let copy = std::fs::read(world.dir().join("copy.mbox"))?;
        ensure!(
            contains(&copy, crate::samples::MARK.as_bytes()),
            "mutt copied something else"
        );
        drop(ours);
        Ok(())
    });
}

#[test]
fn neomutt_knows_by_qresync_what_happened_while_it_was_away() {
    run(
        "clients::neomutt_knows_by_qresync_what_happened_while_it_was_away",
        Needs::Program("neomutt"),
        |world| {
            let mut ours = with_messages(world, 10_000)?;
            let d = world.dir().display().to_string();
            // Where there is no Mail, it asks whether to make it, and takes the first key for the answer.
            for name in ["cache", "Mail"] {
                world.folder(name)?;
            }
            let rc = format!(
                "set imap_user=\"alice@demo.test\" imap_pass=\"{PASSWORD}\" ssl_starttls=no ssl_force_tls=no\n\
                 set imap_condstore=yes imap_qresync=yes header_cache={d}/cache imap_authenticators=login\n\
                 set confirmappend=no delete=yes quit=yes wait_key=no mbox_type=mbox copy=no sleep_time=0\n\
                 push \"<tag-pattern>~F<enter><tag-prefix><copy-message>{d}/copy.mbox<enter>y<quit>\"\n"
            );
            std::fs::write(world.dir().join("rc"), rc)?;
            // The flagged messages' numbers, as it sees them, and all that it said to the server.
            let visit = |world: &World| -> Result<(Vec<u32>, String)> {
                world.sh(&format!(
                    "rm -f {d}/copy.mbox {d}/debug0; TERM=xterm timeout 60 script -qec \
                     'neomutt -n -F {d}/rc -d 2 -l {d}/debug -f imap://127.0.0.10/INBOX' /dev/null >/dev/null"
                ))?;
                let copy = std::fs::read_to_string(world.dir().join("copy.mbox"))?;
                let ids = copy
                    .lines()
                    .filter_map(|line| line.strip_prefix("Message-ID: <"));
                let number = |id: &str| Ok(id.split('@').next().unwrap_or_default().parse()?);
                let mut numbers = ids.map(number).collect::<Result<Vec<_>>>()?;
                numbers.sort_unstable();
                let debug = std::fs::read(world.dir().join("debug0"))?;
                Ok((numbers, String::from_utf8_lossy(&debug).into_owned()))
            };
            let flagged: Vec<_> = (1..=10_000).filter(|n| n % 5 == 0).collect();
            let (seen, _) = visit(world)?;
            ensure!(seen == flagged, "at first {}", seen.len());

            let mut other = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            other.command("SELECT INBOX")?;
            other.command("UID STORE 1:10 +FLAGS.SILENT (\\Flagged)")?;
            other.command("UID STORE 11:9900 -FLAGS.SILENT (\\Flagged)")?;
            other.command("UID STORE 5:7,9000:9920 +FLAGS.SILENT (\\Deleted)")?;
            other.command("EXPUNGE")?;
            other.append_all("INBOX", &(10_001..=10_020).map(wired).collect::<Vec<_>>())?;
            let flagged: Vec<_> = (1..=4)
                .chain(8..=10)
                .chain((9921..=10_020).filter(|n| n % 5 == 0))
                .collect();
            ours.end(world, "TERM")?;
            ours.serve(world)?;
            let (seen, said) = visit(world)?;
            ensure!(seen == flagged, "{seen:?}");
            ensure!(said.contains(" VANISHED)"), "it did not ask by QRESYNC");
            Ok(())
        },
    );
}

#[test]
fn getmail_fetches_what_it_has_not_yet() {
    run(
        "clients::getmail_fetches_what_it_has_not_yet",
        Needs::Program("getmail"),
        |world| {
            let ours = with_messages(world, 50)?;
            let d = world.dir().display().to_string();
            let fetch = |class: &str, more: &str, delete: bool| -> Result<()> {
                let rc = format!(
                    "[retriever]\ntype = {class}\nserver = 127.0.0.10\nusername = alice@demo.test\n\
                     password = {PASSWORD}\n{more}\n[destination]\ntype = MDA_external\npath = /bin/sh\n\
                     arguments = (\"-c\", \"cat >> {d}/all\")\nallow_root_commands = true\n\
                     [options]\nread_all = false\ndelete = {delete}\n"
                );
                let (file, home) = (format!("{d}/{class}"), format!("{d}/getmail"));
                std::fs::create_dir_all(&home)?;
                std::fs::write(&file, rc)?;
                let words = [format!("--getmaildir={home}"), format!("--rcfile={file}")];
                world.output("getmail", words).map(drop)
            };
            let subjects = || -> Result<Vec<u32>> {
                let all = std::fs::read_to_string(format!("{d}/all"))?;
                let lines = all
                    .lines()
                    .filter_map(|line| line.strip_prefix("Subject: message "));
                lines.map(|number| Ok(number.parse()?)).collect()
            };
            fetch("SimplePOP3SSLRetriever", "", false)?;
            ensure!(
                subjects()? == (1..=50).collect::<Vec<_>>(),
                "{:?}",
                subjects()?
            );
            // Unique ids tell it what is new.
            let mut other = imap::Client::login(&ours.addr(143), "alice@demo.test", PASSWORD)?;
            other.append_all("INBOX", &(51..=53).map(wired).collect::<Vec<_>>())?;
            fetch("SimplePOP3SSLRetriever", "", false)?;
            ensure!(
                subjects()? == (1..=53).collect::<Vec<_>>(),
                "{:?}",
                subjects()?
            );
            // By IMAP it takes all of them, and removes them.
            std::fs::remove_file(format!("{d}/all"))?;
            fetch("SimpleIMAPSSLRetriever", "mailboxes = (\"INBOX\",)", true)?;
            ensure!(
                subjects()? == (1..=53).collect::<Vec<_>>(),
                "{:?}",
                subjects()?
            );
            ensure!(
                other.messages("INBOX")?.is_empty(),
                "getmail removed nothing"
            );
            Ok(())
        },
    );
}

/// Reads the three messages by both protocols, compares, flags, moves, deletes.
const PYTHON: &str = r#"
import imaplib, poplib, ssl, sys
password = sys.argv[1]
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
imap = imaplib.IMAP4("127.0.0.10", 143); imap.starttls(context)
imap.login("alice@demo.test", password)
def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]
names = b" ".join(ok(imap.list())).decode()
for role in ("\\Sent", "\\Drafts", "\\Junk", "\\Trash", "\\Archive"): assert role in names, names
assert ok(imap.select("INBOX"))[0] == b"3"
by_imap = [ok(imap.fetch(str(n), "(BODY.PEEK[])"))[0][1] for n in (1, 2, 3)]
pop = poplib.POP3("127.0.0.10", 110); pop.stls(context)
pop.user("alice@demo.test"); pop.pass_(password)
assert pop.stat()[0] == 3
for n, whole in enumerate(by_imap, 1):
    got = b"\r\n".join(pop.retr(n)[1]) + b"\r\n"
    assert got == whole, (n, got[:200], whole[:200])
    assert int(pop.list(n).split()[2]) == len(whole)
pop.quit()
assert ok(imap.search(None, "SUBJECT", "second"))[0] == b"2"
assert ok(imap.search("UTF-8", "BODY", '"dots"'))[0] == b"2"
ok(imap.store("1", "+FLAGS", "(\\Flagged Urgent)"))
assert b"\\Flagged" in ok(imap.fetch("1", "(FLAGS)"))[0]
ok(imap.copy("1", "Archive"))
ok(imap.uid("MOVE", "2", "Trash"))
assert ok(imap.select("Trash"))[0] == b"1"
assert ok(imap.select("Archive"))[0] == b"1"
assert ok(imap.select("INBOX"))[0] == b"2"
ok(imap.store("1", "+FLAGS", "(\\Deleted)")); ok(imap.expunge())
assert ok(imap.select("INBOX"))[0] == b"1"
ok(imap.append("Drafts", "(\\Draft)", None, b"Subject: draft\r\n\r\nx\r\n"))
imap.logout()
print("all as it should be")
"#;
