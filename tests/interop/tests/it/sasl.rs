//! Real clients log in, each by every mechanism that it knows.

use anyhow::ensure;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, World, run};
use interop::{Result, imap};

const USER: &str = "alice@demo.test";

/// Our server with a certificate of its own, which `cert.pem` holds.
fn server(world: &mut World) -> Result<Posthouse> {
    server_at(world, "127.0.0.10")
}

fn server_at(world: &mut World, ip: &str) -> Result<Posthouse> {
    server_with(world, ip, |_| Ok(()))
}

/// The same, after `prepare` has had it before its start.
pub fn server_with(
    world: &mut World,
    ip: &str,
    prepare: impl FnOnce(&mut Posthouse) -> Result<()>,
) -> Result<Posthouse> {
    let mut ours = Posthouse::init(world, ip, "demo.test", &["alice"])?;
    ours.set("hostname", "\"localhost\"")?;
    prepare(&mut ours)?;
    ours.serve(world)?;
    let d = world.dir().display();
    world.sh(&format!(
        "openssl s_client -connect {ip}:993 </dev/null 2>/dev/null | openssl x509 > {d}/cert.pem"
    ))?;
    Ok(ours)
}

/// How often the log says that somebody logged in to a service.
fn logins(world: &World, ip: &str, service: &str) -> usize {
    let log = world.log(&format!("posthouse-{ip}"));
    let count = |what: &str| log.matches(&format!("{service}: login{what}")).count();
    count("") - count(" refused")
}

#[test]
fn gsasl_logs_in_by_every_mechanism() {
    run(
        "sasl::gsasl_logs_in_by_every_mechanism",
        Needs::Program("gsasl"),
        |world| {
            // It compares the name that it connects to with the certificate's.
            let _ours = server_at(world, "127.0.0.1")?;
            let d = world.dir().display().to_string();
            // Under TLS it takes SCRAM with a binding alone, and fails by itself with the others.
            let mechanisms = [
                ("PLAIN", "--starttls"),
                ("LOGIN", "--starttls"),
                ("SCRAM-SHA-1", "--no-starttls"),
                ("SCRAM-SHA-256", "--no-starttls"),
                ("SCRAM-SHA-1-PLUS", "--starttls"),
                ("SCRAM-SHA-256-PLUS", "--starttls"),
            ];
            for (protocol, port) in [("--smtp", 587), ("--imap", 143)] {
                for (mechanism, tls) in mechanisms {
                    let line = format!(
                        "gsasl --client {protocol} --connect=localhost:{port} --mechanism={mechanism} {tls} --hostname=localhost \
                         --authentication-id={USER} --authorization-id= --password={PASSWORD} --x509-ca-file={d}/cert.pem --verbose </dev/null"
                    );
                    let trusted = "Client authentication finished (server trusted)";
                    let (_, text) = world.try_output("sh", ["-c", &line])?;
                    ensure!(text.contains(trusted), "{protocol} {mechanism}:\n{text}");
                    if (mechanism, protocol) == ("SCRAM-SHA-256-PLUS", "--imap") {
                        let line = line.replace(PASSWORD, "wrong");
                        let (_, text) = world.try_output("sh", ["-c", &line])?;
                        ensure!(
                            text.contains("AUTHENTICATIONFAILED"),
                            "a wrong password:\n{text}"
                        );
                    }
                }
            }
            ensure!(logins(world, "127.0.0.1", "imap") == mechanisms.len());
            Ok(())
        },
    );
}

#[test]
fn msmtp_sends_by_every_mechanism() {
    run(
        "sasl::msmtp_sends_by_every_mechanism",
        Needs::Program("msmtp"),
        |world| {
            let ours = server(world)?;
            let d = world.dir().display().to_string();
            let mechanisms = ["plain", "login", "scram-sha-1", "scram-sha-256"];
            for mechanism in mechanisms {
                for (port, starttls) in [(587, "on"), (465, "off")] {
                    std::fs::write(
                        world.dir().join("message"),
                        format!("Subject: {mechanism} {port}\n\nx\n"),
                    )?;
                    world.sh(&format!(
                        "msmtp --file=/dev/null --host=127.0.0.10 --port={port} --tls=on --tls-starttls={starttls} \
                         --tls-trust-file={d}/cert.pem --tls-host-override=localhost --auth={mechanism} --user={USER} \
                         --passwordeval='echo {PASSWORD}' --from={USER} {USER} < {d}/message"
                    ))?;
                }
            }
            let mut imap = imap::Client::login(&ours.addr(143), USER, PASSWORD)?;
            let count = imap.messages("INBOX")?.len();
            ensure!(count == 2 * mechanisms.len(), "{count} messages");
            Ok(())
        },
    );
}

#[test]
fn mpop_reads_by_every_mechanism() {
    run(
        "sasl::mpop_reads_by_every_mechanism",
        Needs::Program("mpop"),
        |world| {
            let _ours = server(world)?;
            let d = world.dir().display().to_string();
            let mechanisms = ["user", "plain", "login", "scram-sha-1", "scram-sha-256"];
            for mechanism in mechanisms {
                for (port, starttls) in [(110, "on"), (995, "off")] {
                    world.sh(&format!(
                        "mpop --file=/dev/null --host=127.0.0.10 --port={port} --tls=on --tls-starttls={starttls} \
                         --tls-trust-file={d}/cert.pem --tls-host-override=localhost --auth={mechanism} --user={USER} \
                         --passwordeval='echo {PASSWORD}' --delivery=mbox,{d}/mbox --uidls-file={d}/uidls"
                    ))?;
                }
            }
            ensure!(logins(world, "127.0.0.10", "pop3") == 2 * mechanisms.len());
            Ok(())
        },
    );
}

#[test]
fn python_logs_in_by_every_mechanism() {
    run(
        "sasl::python_logs_in_by_every_mechanism",
        Needs::Program("python3"),
        |world| {
            let _ours = server(world)?;
            let script = world.dir().join("login.py");
            std::fs::write(&script, PYTHON)?;
            let out = world.output("python3", [script.display().to_string(), PASSWORD.into()])?;
            ensure!(out.trim() == "all as it should be", "{out}");
            Ok(())
        },
    );
}

#[test]
fn swaks_logs_in_by_what_it_knows() {
    run(
        "sasl::swaks_logs_in_by_what_it_knows",
        Needs::Program("swaks"),
        |world| {
            let _ours = server(world)?;
            for mechanism in ["PLAIN", "LOGIN"] {
                for tls in [&["-p", "587", "-tls"][..], &["-p", "465", "-tlsc"]] {
                    let mut args = vec!["-s", "127.0.0.10", "-f", USER, "-t", USER, "-a"];
                    args.extend([mechanism, "-au", USER, "-ap", PASSWORD]);
                    args.extend(tls);
                    let out = world.output("swaks", args)?;
                    ensure!(out.contains("235 2.7.0"), "{mechanism}:\n{out}");
                }
            }
            // What is not offered is not tried: it has no SCRAM.
            let args = [
                "-s",
                "127.0.0.10",
                "-p",
                "587",
                "-tls",
                "-t",
                USER,
                "-a",
                "CRAM-MD5",
            ];
            let login = ["-au", USER, "-ap", PASSWORD];
            let (ok, out) = world.try_output("swaks", args.iter().chain(&login))?;
            ensure!(!ok && !out.contains("AUTH CRAM-MD5"), "{out}");
            Ok(())
        },
    );
}

/// Makes `ca.pem`, and `alice.pem` with `alice.key`, a certificate of alice's address.
fn make_client_certificate(world: &World) -> Result<()> {
    let d = world.dir().display();
    world.sh(&format!(
        "cd {d} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
           -days 30 -subj /CN=clients 2>/dev/null && \
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout alice.key -out alice.csr \
           -subj /CN=alice 2>/dev/null && \
         printf 'subjectAltName=email:{USER}\nextendedKeyUsage=clientAuth\n' > ext && \
         openssl x509 -req -in alice.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out alice.pem 2>/dev/null"
    ))
}

#[test]
fn certificates_log_in_by_external() {
    run(
        "sasl::certificates_log_in_by_external",
        Needs::Program("msmtp"),
        |world| {
            make_client_certificate(world)?;
            let d = world.dir().display().to_string();
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
            ours.set("hostname", "\"localhost\"")?;
            ours.cli(&[
                "config",
                "set",
                "auth.certificate_authorities",
                &format!("{d}/ca.pem"),
                "auth.certificate_services",
                "submissions,imaps,pop3s",
            ])?;
            ours.serve(world)?;
            world.sh(&format!(
                "openssl s_client -connect 127.0.0.10:993 </dev/null 2>/dev/null | openssl x509 > {d}/cert.pem"
            ))?;
            world.sh(&format!(
                "printf 'Subject: by certificate\n\nx\n' > {d}/message"
            ))?;
            let tls = format!(
                "--tls=on --tls-starttls=off --tls-trust-file={d}/cert.pem --tls-host-override=localhost \
                 --tls-cert-file={d}/alice.pem --tls-key-file={d}/alice.key --auth=external --user={USER}"
            );
            world.sh(&format!(
                "msmtp --file=/dev/null --host=127.0.0.10 --port=465 {tls} --from={USER} {USER} < {d}/message"
            ))?;
            world.sh(&format!(
                "mpop --file=/dev/null --host=127.0.0.10 --port=995 {tls} --delivery=mbox,{d}/mbox --uidls-file={d}/uidls"
            ))?;
            let mail = std::fs::read(world.dir().join("mbox"))?;
            ensure!(interop::posthouse::contains(
                &mail,
                b"Subject: by certificate"
            ));
            let curl = format!(
                "curl -sS -k --cert {d}/alice.pem --key {d}/alice.key --login-options AUTH=EXTERNAL -u {USER}: \
                 imaps://127.0.0.10/INBOX -X NOOP"
            );
            world.sh(&curl)?;
            ensure!(logins(world, "127.0.0.10", "imap") == 1);
            // Without a certificate, or where none is asked for, it is not offered.
            let script = world.dir().join("offers.py");
            std::fs::write(&script, OFFERS)?;
            let out = world.output("python3", [script.display().to_string(), d])?;
            ensure!(out.trim() == "yes no no", "{out}");
            Ok(())
        },
    );
}

#[test]
fn nodemailer_logs_in_by_what_it_knows() {
    run(
        "sasl::nodemailer_logs_in_by_what_it_knows",
        Needs::Node(&["nodemailer"]),
        |world| {
            let ours = server(world)?;
            let script = world.dir().join("send.cjs");
            std::fs::write(&script, NODE)?;
            let modules = interop::world::nodemailer().display().to_string();
            let args = [script.display().to_string(), modules, PASSWORD.into()];
            let out = world.output("node", args)?;
            ensure!(out.trim() == "all as it should be", "{out}");
            let mut imap = imap::Client::login(&ours.addr(143), USER, PASSWORD)?;
            ensure!(imap.messages("INBOX")?.len() == 4);
            Ok(())
        },
    );
}

#[test]
fn aiosmtplib_logs_in_by_what_it_knows() {
    run(
        "sasl::aiosmtplib_logs_in_by_what_it_knows",
        Needs::Python,
        |world| {
            let ours = server(world)?;
            let script = world.dir().join("send.py");
            std::fs::write(&script, AIOSMTPLIB)?;
            let python = interop::world::python().display().to_string();
            let script = script.display().to_string();
            let certificate = world.dir().join("cert.pem").display().to_string();
            let out = world.output(&python, [&script, PASSWORD, &certificate])?;
            ensure!(out.trim() == "all as it should be", "{out}");
            let mut imap = imap::Client::login(&ours.addr(143), USER, PASSWORD)?;
            ensure!(imap.messages("INBOX")?.len() == 4);
            Ok(())
        },
    );
}

const AIOSMTPLIB: &str = r#"
import asyncio, ssl, sys
import aiosmtplib
password, certificate = sys.argv[1:]
user = "alice@demo.test"
context = ssl.create_default_context(cafile=certificate); context.check_hostname = False

async def client(port):
    tls = dict(use_tls=True) if port == 465 else dict(start_tls=True)
    client = aiosmtplib.SMTP(hostname="127.0.0.10", port=port, tls_context=context, **tls)
    await client.connect()
    await client.ehlo()
    return client

async def main():
    for port in (587, 465):
        for login in ("auth_plain", "auth_login"):
            one = await client(port)
            await getattr(one, login)(user, password)
            await one.sendmail(user, [user], f"Subject: {login} {port}\r\n\r\nx\r\n")
            await one.quit()
    one = await client(587)
    try:
        await one.login(user, "wrong")
    except aiosmtplib.SMTPAuthenticationError as error:
        assert error.code == 535, error
    else:
        raise AssertionError("a wrong password was taken")
    one.close()
    print("all as it should be")

asyncio.run(main())
"#;

/// smtplib and imaplib with the mechanisms that they have, and SCRAM through
/// their hooks; the certificate's hash as channel binding.
const PYTHON: &str = r#"
import base64, hashlib, hmac, imaplib, poplib, smtplib, ssl, sys
password = sys.argv[1]
user = "alice@demo.test"
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE

class Scram:
    """RFC 5802, the client's side."""
    def __init__(self, name, sock=None, password=password, header=None):
        self.hash = name.replace("-PLUS", "")[len("SCRAM-"):].replace("-", "").lower()
        self.data, self.password = b"", password
        if name.endswith("-PLUS"):
            self.header = b"p=tls-server-end-point,,"
            self.data = hashlib.sha256(sock.getpeercert(True)).digest()
        else: self.header = b"n,,"
        if header: self.header = header
        self.bare = b"n=" + user.encode() + b",r=rOprNGfwEbeRWgbNEkqO"
        self.step = 0
    def __call__(self, challenge=None):
        if challenge is None or (self.step == 0 and challenge == b""):
            self.step = 1
            return (self.header + self.bare)
        if self.step == 1:
            self.step = 2
            parts = dict(part.split(b"=", 1) for part in challenge.split(b","))
            salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), base64.b64decode(parts[b"s"]), int(parts[b"i"]))
            mac = lambda key, text: hmac.new(key, text, self.hash).digest()
            key = mac(salted, b"Client Key")
            last = b"c=" + base64.b64encode(self.header + self.data) + b",r=" + parts[b"r"]
            message = self.bare + b"," + challenge + b"," + last
            signature = mac(hashlib.new(self.hash, key).digest(), message)
            self.expected = b"v=" + base64.b64encode(mac(mac(salted, b"Server Key"), message))
            return last + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, signature)))
        assert challenge == self.expected, challenge
        self.step = 3
        return b""

names = ["SCRAM-SHA-%s%s" % (bits, plus) for bits in (1, 256, 512) for plus in ("", "-PLUS")]

def smtp():
    smtp = smtplib.SMTP("127.0.0.10", 587)
    smtp.starttls(context=context); smtp.ehlo()
    offered = smtp.esmtp_features["auth"].split()
    assert set(offered) == set(names + ["PLAIN", "LOGIN"]), offered
    return smtp
def imap():
    imap = imaplib.IMAP4("127.0.0.10", 143); imap.starttls(context)
    return imap

one = smtp(); one.user, one.password = user, password
one.auth("PLAIN", one.auth_plain); one.close()
one = smtp(); one.user, one.password = user, password
one.auth("LOGIN", one.auth_login); one.close()
smtp().login(user, password)
imap().login(user, password)
imap().authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password.encode())
for name in names:
    one = smtp()
    scram = Scram(name, one.sock)
    # smtplib wants text of its hooks.
    code, _ = one.auth(name, lambda challenge=None: scram(challenge).decode(), initial_response_ok=True)
    assert code == 235 and scram.step == 3, (name, code)
    assert one.mail(user)[0] == 250
    one.close()
    one = imap()
    scram = Scram(name, one.sock)
    answer = one.authenticate(name, scram)
    assert answer[0] == "OK" and scram.step == 3, answer
    assert one.select("INBOX")[0] == "OK"
    one.logout()
    if name not in ("SCRAM-SHA-256", "SCRAM-SHA-512-PLUS"): continue
    one = smtp()
    try: one.auth(name, lambda challenge=None, s=Scram(name, one.sock, "wrong"): s(challenge).decode())
    except smtplib.SMTPAuthenticationError as error: assert error.smtp_code == 535 and b"login or password is wrong" in error.smtp_error, error
    else: assert False, "a wrong password"

# A man in the middle: another certificate, or an offer without -PLUS.
for name, change in (("SCRAM-SHA-256-PLUS", {"data": b"x" * 32}), ("SCRAM-SHA-256", {"header": b"y,,"})):
    one = smtp(); scram = Scram(name, one.sock); scram.__dict__.update(change)
    try: one.auth(name, lambda challenge=None: scram(challenge).decode())
    except smtplib.SMTPAuthenticationError as error: assert error.smtp_code == 535 and b"channel binding" in error.smtp_error, error
    else: assert False, name

# POP3 has no hook in poplib: by hand.
pop = poplib.POP3("127.0.0.10", 110); pop.stls(context)
assert set(names + ["PLAIN", "LOGIN"]) == set(pop.capa()["SASL"]), pop.capa()
for name in names:
    pop = poplib.POP3("127.0.0.10", 110); pop.stls(context)
    scram = Scram(name, pop.sock)
    answer = pop._shortcmd("AUTH " + name)
    while answer.startswith(b"+ "):
        answer = pop._shortcmd(base64.b64encode(scram(base64.b64decode(answer[2:]))).decode())
    assert answer.startswith(b"+OK") and scram.step == 3, answer
    pop.quit()
print("all as it should be")
"#;

/// Whether EXTERNAL is offered: with a certificate, without, and where none is asked for.
const OFFERS: &str = r#"
import imaplib, ssl, sys
def context(certificate):
    context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
    if certificate: context.load_cert_chain(sys.argv[1] + "/alice.pem", sys.argv[1] + "/alice.key")
    return context
one = imaplib.IMAP4_SSL("127.0.0.10", 993, ssl_context=context(True))
two = imaplib.IMAP4_SSL("127.0.0.10", 993, ssl_context=context(False))
three = imaplib.IMAP4("127.0.0.10", 143); three.starttls(context(True))
print(*("yes" if "AUTH=EXTERNAL" in imap.capabilities else "no" for imap in (one, two, three)))
"#;

/// nodemailer picks a mechanism by itself, or the one that it is told.
const NODE: &str = r#"
const [, , modules, pass] = process.argv;
const nodemailer = require(modules);
const user = "alice@demo.test";
(async () => {
  for (const [port, secure] of [[587, false], [465, true]]) {
    for (const method of ["PLAIN", "LOGIN"]) {
      const transport = nodemailer.createTransport({ host: "127.0.0.10", port, secure, requireTLS: true,
        authMethod: method, auth: { user, pass }, tls: { rejectUnauthorized: false } });
      await transport.verify();
      await transport.sendMail({ from: user, to: user, subject: method + port, text: "x" });
      transport.close();
    }
  }
  const wrong = nodemailer.createTransport({ host: "127.0.0.10", port: 465, secure: true,
    auth: { user, pass: "wrong" }, tls: { rejectUnauthorized: false } });
  try { await wrong.verify(); throw new Error("a wrong password"); }
  catch (error) { if (error.code !== "EAUTH" || error.responseCode !== 535) throw error; }
  console.log("all as it should be");
})().catch((error) => { console.error(error); process.exit(1); });
"#;
