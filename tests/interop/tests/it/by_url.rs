//! Drafts are sent without being uploaded again: URLAUTH (RFC 4467) and BURL (RFC 4468).

use anyhow::ensure;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, run};

/// Python's imaplib and smtplib know neither, and let any command through.
const SUBMIT: &str = r#"
import imaplib, smtplib, ssl, sys
password = sys.argv[1]
draft = (b"From: Alice <alice@demo.test>\r\nTo: bob@demo.test\r\nSubject: by URL\r\n"
         b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
         b"--b\r\n\r\n.\r\n..two dots\r\nQUIT\r\n--b\r\nContent-Type: application/octet-stream\r\n"
         b"Content-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 19 + b"\r\n" * 1
         + (b"QUJD" * 19 + b"\r\n") * 40000 + b"--b--\r\n")
for name in ("URLFETCH", "GENURLAUTH", "RESETKEY"):
    imaplib.Commands[name] = ("AUTH", "SELECTED")

imap = imaplib.IMAP4("127.0.0.10")
imap.login("alice@demo.test", password)
capabilities = imap.capability()[1][0].split()
assert b"URLAUTH" in capabilities, capabilities
kind, data = imap.append("Drafts", r"(\Draft)", None, draft)
assert kind == "OK", data
uid = data[0].split(b"APPENDUID ")[1].split(b"]")[0].split()[1].decode()
rump = "imap://alice%%40demo.test@imap.demo.test/Drafts/;UID=%s;URLAUTH=submit+alice%%40demo.test" % uid
kind, data = imap._simple_command("GENURLAUTH", '"%s"' % rump, "INTERNAL")
assert kind == "OK", data
url = imap._untagged_response(kind, data, "GENURLAUTH")[1][0].decode().strip('"')
assert url.startswith(rump + ":internal:"), url

def submission(user):
    smtp = smtplib.SMTP("127.0.0.10", 587)
    smtp.starttls(context=ssl._create_unverified_context())
    smtp.ehlo("laptop")
    assert "burl" not in smtp.esmtp_features
    smtp.login(user, password)
    smtp.ehlo("laptop")
    assert smtp.esmtp_features["burl"] == "imap", smtp.esmtp_features
    return smtp

def begin(smtp, sender):
    assert smtp.mail(sender)[0] == 250
    assert smtp.rcpt("bob@demo.test")[0] == 250

smtp = submission("alice@demo.test")
begin(smtp, "alice@demo.test")
code, text = smtp.docmd("BURL", url + " LAST")
assert code == 250, text
# In pieces: the header by hand, the rest by URL.
begin(smtp, "alice@demo.test")
header = b"From: alice@demo.test\r\nSubject: in pieces\r\n\r\n"
smtp.sock.sendall(b"BDAT %d\r\n%b" % (len(header), header))
assert smtp.getreply()[0] == 250
part = rump.replace(";URLAUTH", "/;SECTION=1/;PARTIAL=0.3;URLAUTH")
kind, data = imap._simple_command("GENURLAUTH", '"%s"' % part, "INTERNAL")
part = imap._untagged_response(kind, data, "GENURLAUTH")[1][0].decode().strip('"')
assert smtp.docmd("BURL", part)[0] == 250
smtp.sock.sendall(b"BDAT 5 LAST\r\nend\r\n")
assert smtp.getreply()[0] == 250
# Bob has the URL, and may not use it; nor is it worth anything where it was changed.
bob = submission("bob@demo.test")
begin(bob, "bob@demo.test")
code, text = bob.docmd("BURL", url + " LAST")
assert (code, text[:5]) == (554, b"5.6.6"), (code, text)
begin(smtp, "alice@demo.test")
code, text = smtp.docmd("BURL", url[:-1] + ("1" if url[-1] == "0" else "0") + " LAST")
assert (code, text[:5]) == (554, b"5.6.6"), (code, text)
begin(smtp, "alice@demo.test")
code, text = smtp.docmd("BURL", "imap://joe@imap.elsewhere.test/x/;UID=1;URLAUTH=submit+joe:internal:" + "0" * 32 + " LAST")
assert (code, text[:6]) == (554, b"5.7.14"), (code, text)

them = imaplib.IMAP4("127.0.0.10")
them.login("bob@demo.test", password)
them.select("INBOX")
kind, data = them.fetch("1:*", "(BODY.PEEK[])")
messages = [item[1] for item in data if isinstance(item, tuple)]
assert len(messages) == 2, len(messages)
whole, pieces = messages
# What submission adds stands in front of, or in, the header; nothing else is another.
head, body = whole.split(b"\r\n\r\n", 1)
sent_head, sent_body = draft.split(b"\r\n\r\n", 1)
assert body == sent_body
missing = [line for line in sent_head.split(b"\r\n") if line not in head.split(b"\r\n")]
assert not missing, missing
assert pieces.endswith(b"\r\n\r\n.\r\nend\r\n"), pieces

assert imap._simple_command("RESETKEY", "Drafts")[0] == "OK"
begin(smtp, "alice@demo.test")
assert smtp.docmd("BURL", url + " LAST")[0] == 554
print("all as it should be")
"#;

#[test]
fn python_submits_a_draft_without_uploading_it() {
    run(
        "by_url::python_submits_a_draft_without_uploading_it",
        Needs::Nothing,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
            ours.serve(world)?;
            let script = world.dir().join("submit.py");
            std::fs::write(&script, SUBMIT)?;
            let out = world.output("python3", [script.display().to_string(), PASSWORD.into()])?;
            ensure!(out.trim() == "all as it should be", "{out}");
            ours.assert_sound()
        },
    );
}
