//! Real clients log in with the tokens of a real OpenID provider, and hear what
//! is wrong with others.

use anyhow::ensure;
use interop::oidc::{ISSUER, Provider};
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, World, run};
use interop::{Result, imap};

const USER: &str = "alice@demo.test";

/// A server that takes the provider's tokens, and `cert.pem`, its certificate.
fn server(world: &mut World, provider: &Provider) -> Result<Posthouse> {
    let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice", "bob"])?;
    ours.set("hostname", "\"localhost\"")?;
    provider.introduce(world, &mut ours)?;
    ours.serve(world)?;
    let d = world.dir().display();
    world.sh(&format!(
        "openssl s_client -connect 127.0.0.10:993 </dev/null 2>/dev/null | openssl x509 > {d}/cert.pem"
    ))?;
    Ok(ours)
}

fn provider(world: &mut World) -> Result<Provider> {
    let mut provider = Provider::prepare(world)?;
    provider.start(world)?;
    Ok(provider)
}

/// curl with a token over one protocol; what it said. It takes OAUTHBEARER wherever that
/// is offered, whatever it is told.
fn curl(world: &World, url: &str, token: &str) -> Result<(bool, String)> {
    let mut args = vec!["-sSv", "-k", "--ssl-reqd", "--max-time", "20"];
    args.extend(["-u", "alice@demo.test:", "--oauth2-bearer", token, url]);
    if url.starts_with("smtp") {
        args.extend(["--mail-from", USER, "--mail-rcpt", USER, "-T", "message"]);
    }
    world.try_output("curl", args)
}

#[test]
fn curl_sends_and_reads_by_token() {
    run(
        "tokens::curl_sends_and_reads_by_token",
        Needs::Node(&["oidc-provider", "nodemailer"]),
        |world| {
            let provider = provider(world)?;
            let ours = server(world, &provider)?;
            std::fs::write(
                world.dir().join("message"),
                "Subject: by token\r\n\r\nx\r\n",
            )?;
            let token = provider.token(world, "alice")?;
            let forged = provider.forged(world)?;
            let expired = forged["expired"].as_str().expect("a token");
            for (url, said, refusal) in [
                ("smtp://127.0.0.10:587", "> AUTH OAUTHBEARER", "535 5.7.8"),
                ("smtps://127.0.0.10:465", "> AUTH OAUTHBEARER", "535 5.7.8"),
                (
                    "imap://127.0.0.10/INBOX?ALL",
                    "AUTHENTICATE OAUTHBEARER ",
                    "[AUTHENTICATIONFAILED]",
                ),
                (
                    "imaps://127.0.0.10/INBOX?ALL",
                    "AUTHENTICATE OAUTHBEARER ",
                    "[AUTHENTICATIONFAILED]",
                ),
                ("pop3://127.0.0.10", "> AUTH OAUTHBEARER", "-ERR [AUTH]"),
                ("pop3s://127.0.0.10", "> AUTH OAUTHBEARER", "-ERR [AUTH]"),
            ] {
                let (ok, text) = curl(world, url, &token)?;
                ensure!(ok && text.contains(said), "{url}:\n{text}");
                let (ok, text) = curl(world, url, expired)?;
                ensure!(
                    !ok && text.contains(refusal),
                    "{url} when it is over:\n{text}"
                );
            }
            let mut imap = imap::Client::login(&ours.addr(143), USER, PASSWORD)?;
            ensure!(imap.messages("INBOX")?.len() == 2);
            Ok(())
        },
    );
}

#[test]
fn msmtp_and_mpop_log_in_by_token() {
    run(
        "tokens::msmtp_and_mpop_log_in_by_token",
        Needs::Node(&["oidc-provider", "nodemailer"]),
        |world| {
            let provider = provider(world)?;
            let ours = server(world, &provider)?;
            let d = world.dir().display().to_string();
            std::fs::write(world.dir().join("message"), "Subject: by token\n\nx\n")?;
            std::fs::write(world.dir().join("token"), provider.token(world, "alice")?)?;
            let forged = provider.forged(world)?;
            let wrong = forged["key"].as_str().expect("a token");
            std::fs::write(world.dir().join("wrong"), wrong)?;
            for mechanism in ["oauthbearer", "xoauth2"] {
                let login = format!(
                    "--file=/dev/null --host=127.0.0.10 --tls=on --tls-trust-file={d}/cert.pem --tls-host-override=localhost \
                 --auth={mechanism} --user={USER} --passwordeval='cat {d}/token'"
                );
                world.sh(&format!(
                    "msmtp {login} --port=587 --tls-starttls=on --from={USER} {USER} < {d}/message"
                ))?;
                let other = login.replace("/token'", "/wrong'");
                let line = format!(
                    "msmtp {other} --port=587 --tls-starttls=on --from={USER} {USER} < {d}/message"
                );
                let (ok, text) = world.try_output("sh", ["-c", &line])?;
                ensure!(!ok && text.contains("535 5.7.8"), "{mechanism}:\n{text}");
                world.sh(&format!(
                "mpop {login} --port=995 --tls-starttls=off --delivery=mbox,{d}/mbox --uidls-file={d}/uidls --keep=on"
            ))?;
            }
            let mut imap = imap::Client::login(&ours.addr(143), USER, PASSWORD)?;
            ensure!(imap.messages("INBOX")?.len() == 2);
            Ok(())
        },
    );
}

#[test]
fn nodemailer_sends_by_token() {
    run(
        "tokens::nodemailer_sends_by_token",
        Needs::Node(&["oidc-provider", "nodemailer"]),
        |world| {
            let provider = provider(world)?;
            let ours = server(world, &provider)?;
            let script = world.dir().join("send.cjs");
            std::fs::write(&script, NODE)?;
            let modules = interop::world::nodemailer().display().to_string();
            let token = provider.token(world, "alice")?;
            let other = provider.token(world, "nobody")?;
            let args = [script.display().to_string(), modules, token, other];
            let out = world.output("node", args)?;
            ensure!(out.trim() == "all as it should be", "{out}");
            let mut imap = imap::Client::login(&ours.addr(143), USER, PASSWORD)?;
            ensure!(imap.messages("INBOX")?.len() == 2);
            Ok(())
        },
    );
}

#[test]
fn threat_07_python_hears_what_is_wrong_with_a_token() {
    run(
        "tokens::threat_07_python_hears_what_is_wrong_with_a_token",
        Needs::Node(&["oidc-provider", "nodemailer"]),
        |world| {
            let provider = provider(world)?;
            let _ours = server(world, &provider)?;
            let mut tokens = provider.forged(world)?;
            for client in ["alice", "nobody"] {
                tokens.insert(client.into(), provider.token(world, client)?.into());
            }
            let file = world.dir().join("tokens.json");
            std::fs::write(&file, serde_json::Value::Object(tokens).to_string())?;
            let script = world.dir().join("tokens.py");
            std::fs::write(&script, PYTHON)?;
            let args = [script, file].map(|path| path.display().to_string());
            let out = world.output("python3", args)?;
            ensure!(out.trim() == "all as it should be", "{out}");
            // What the client is not told the log has.
            let log = world.log("posthouse-127.0.0.10").replace("\\\"", "\"");
            for reason in [
                "it expired 36",
                "it is for another audience",
                "its signature is wrong",
                "its algorithm is \"none\"",
                "its algorithm is \"HS256\"",
                "its issuer has not verified the address \"alice@demo.test\"",
                "it lacks the scope \"mail\"",
                "it is for \"nobody@demo.test\", which is not the login \"alice@demo.test\"",
            ] {
                ensure!(log.contains(reason), "{reason} is not in the log");
            }
            Ok(())
        },
    );
}

#[test]
fn a_provider_that_is_down_is_not_now() {
    run(
        "tokens::a_provider_that_is_down_is_not_now",
        Needs::Node(&["oidc-provider", "nodemailer"]),
        |world| {
            let mut provider = provider(world)?;
            let token = provider.token(world, "alice")?;
            provider.kill(world)?;
            let mut ours = server(world, &provider)?;
            std::fs::write(
                world.dir().join("message"),
                "Subject: by token\r\n\r\nx\r\n",
            )?;
            for (url, answer) in [
                ("smtp://127.0.0.10:587", "454 4.7.0"),
                ("imap://127.0.0.10/INBOX?ALL", "NO [UNAVAILABLE]"),
                ("pop3://127.0.0.10", "-ERR [SYS/TEMP]"),
            ] {
                let (ok, text) = curl(world, url, &token)?;
                ensure!(!ok && text.contains(answer), "{url}:\n{text}");
            }
            // Passwords go on.
            drop(imap::Client::login(&ours.addr(143), USER, PASSWORD)?);
            let log = world.log("posthouse-127.0.0.10");
            ensure!(
                log.contains(&format!("{ISSUER}/.well-known/openid-configuration: ")),
                "{log}"
            );
            // With the provider's keys in memory its absence is not noticed.
            ours.end(world, "TERM")?;
            provider.start(world)?;
            ours.serve(world)?;
            let (ok, text) = curl(world, "imap://127.0.0.10/INBOX?ALL", &token)?;
            ensure!(ok, "{text}");
            provider.kill(world)?;
            let (ok, text) = curl(world, "imap://127.0.0.10/INBOX?ALL", &token)?;
            ensure!(ok, "{text}");
            Ok(())
        },
    );
}

/// smtplib, imaplib and poplib with each token; what they are told.
const PYTHON: &str = r#"
import base64, concurrent.futures, imaplib, json, poplib, smtplib, ssl, sys
tokens = json.load(open(sys.argv[1]))
user = "alice@demo.test"
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE

class Client:
    def __init__(self, mechanism, token, user=user):
        self.first = {"XOAUTH2": f"user={user}\x01auth=Bearer {token}\x01\x01",
                      "OAUTHBEARER": f"n,a={user},\x01auth=Bearer {token}\x01\x01"}[mechanism].encode()
        self.dummy = b"" if mechanism == "XOAUTH2" else b"\x01"
        self.told = None
    def __call__(self, challenge=None):
        if not challenge: return self.first
        self.told = json.loads(challenge)
        return self.dummy

def by_smtp(mechanism, token, initial):
    smtp = smtplib.SMTP("127.0.0.10", 587); smtp.starttls(context=context); smtp.ehlo()
    assert mechanism in smtp.esmtp_features["auth"].split()
    client = Client(mechanism, token)
    try: answer = smtp.auth(mechanism, lambda challenge=None: client(challenge).decode(), initial_response_ok=initial)
    except smtplib.SMTPAuthenticationError as error: answer = error.args
    good = answer[0] == 235
    if good: assert smtp.mail(user)[0] == 250
    else: assert answer == (535, b"5.7.8 authentication failed"), answer
    smtp.close()
    return good, client.told
def by_imap(mechanism, token, initial):
    imap = imaplib.IMAP4("127.0.0.10", 143); imap.starttls(context)
    assert "AUTH=" + mechanism in imap.capabilities
    client = Client(mechanism, token)
    if initial:
        # imaplib has no SASL-IR: by hand.
        tag = imap._new_tag()
        imap.send(tag + b" AUTHENTICATE " + mechanism.encode() + b" " + base64.b64encode(client.first) + b"\r\n")
        line = imap.readline()
        if line.startswith(b"+ "):
            imap.send(base64.b64encode(client(base64.b64decode(line[2:]))) + b"\r\n")
            line = imap.readline()
        answer = line
        good = line.startswith(tag + b" OK")
    else:
        try: answer = imap.authenticate(mechanism, client)
        except imaplib.IMAP4.error as error: answer = error.args[0]
        good = answer[0] == "OK"
        if good: assert imap.select("INBOX")[0] == "OK"
    if not good: assert b"[AUTHENTICATIONFAILED]" in (answer if isinstance(answer, bytes) else answer.encode()), answer
    imap.shutdown()
    return good, client.told
def by_pop3(mechanism, token, initial):
    pop = poplib.POP3("127.0.0.10", 110); pop.stls(context)
    assert mechanism in pop.capa()["SASL"]
    client = Client(mechanism, token)
    first = base64.b64encode(client.first).decode()
    pop._putcmd("AUTH " + mechanism + (" " + first if initial else ""))
    line = pop._getline()[0]
    if not initial:
        assert line == b"+ ", line
        pop._putcmd(first); line = pop._getline()[0]
    if line.startswith(b"+ "):
        pop._putcmd(base64.b64encode(client(base64.b64decode(line[2:]))).decode())
        line = pop._getline()[0]
    good = line.startswith(b"+OK")
    if not good: assert line.startswith(b"-ERR [AUTH] "), line
    pop.close()
    return good, client.told

bad = {"expired": "invalid_token", "audience": "invalid_token", "key": "invalid_token", "none": "invalid_token",
       "confused": "invalid_token", "unverified": "invalid_token", "nobody": "invalid_token", "scope": "insufficient_scope"}
number = {"invalid_token": "401", "insufficient_scope": "403"}
protocols, mechanisms = (by_smtp, by_imap, by_pop3), ("OAUTHBEARER", "XOAUTH2")
for protocol in protocols:
    for mechanism in mechanisms:
        for good, initial in (("alice", True), ("alice", False), ("rsa", True)):
            assert protocol(mechanism, tokens[good], initial) == (True, None), (protocol, mechanism, good)

# Side by side: a wrong one is answered late.
def refused(case):
    protocol, mechanism, name, initial = case
    status = bad[name]
    good, told = protocol(mechanism, tokens[name], initial)
    if mechanism == "XOAUTH2": expected = {"status": number[status], "schemes": "Bearer", "scope": "mail"}
    else: expected = {"status": status, "scope": "mail",
                      "openid-configuration": "https://127.0.0.2:8443/.well-known/openid-configuration"}
    assert not good and told == expected, (case, good, told)
cases = [(p, m, name, n % 2 == 0) for p in protocols for m in mechanisms for n, name in enumerate(bad)]
with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool: list(pool.map(refused, cases))

# Without TLS they are not there, as passwords are not, but on loopback where that is allowed; a client without a token hears what to get.
smtp = smtplib.SMTP("127.0.0.10", 587); smtp.starttls(context=context); smtp.ehlo()
assert smtp.docmd("AUTH", "OAUTHBEARER " + base64.b64encode(b"n,,\x01auth=\x01\x01").decode())[0] == 334
assert smtp.docmd("AQ==")[0] == 535
print("all as it should be")
"#;

/// nodemailer with its own OAuth2 type, which speaks XOAUTH2.
const NODE: &str = r#"
const [, , modules, accessToken, other] = process.argv;
const nodemailer = require(modules);
const user = "alice@demo.test";
const open = (port, accessToken) => nodemailer.createTransport({ host: "127.0.0.10", port, secure: port === 465,
  requireTLS: true, auth: { type: "OAuth2", user, accessToken }, tls: { rejectUnauthorized: false } });
(async () => {
  for (const port of [587, 465]) {
    const transport = open(port, accessToken);
    await transport.verify();
    await transport.sendMail({ from: user, to: user, subject: "token " + port, text: "x" });
    transport.close();
  }
  try { await open(465, other).verify(); throw new Error("somebody else's token"); }
  catch (error) { if (error.code !== "EAUTH" || error.responseCode !== 535) throw error; }
  console.log("all as it should be");
})().catch((error) => { console.error(error); process.exit(1); });
"#;
