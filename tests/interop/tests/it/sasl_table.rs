//! Every client × every mechanism that it knows: with the right secret it gets in,
//! with a wrong one it does not. Tokens are in `tokens`.
//!
//! Application passwords too: what they are for, for how long, and CRAM-MD5 and
//! APOP, which work with nothing else.

use crate::sasl::server_with;
use anyhow::{Context as _, ensure};
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, World, run};
use interop::{Result, imap};

const USER: &str = "alice@demo.test";
const IP: &str = "127.0.0.10";

/// A server that offers CRAM-MD5, and an application password that is for it.
fn with_digests(world: &mut World) -> Result<(Posthouse, String)> {
    let mut marked = String::new();
    let ours = server_with(world, IP, |ours| {
        ours.set("auth.cram_md5", "true")?;
        marked = app_password(ours, USER, &["scanner", "--cram-md5"])?;
        Ok(())
    })?;
    Ok((ours, marked))
}

/// Makes an application password of a user's; `args` is what comes behind the address.
fn app_password(ours: &Posthouse, user: &str, args: &[&str]) -> Result<String> {
    let all = [&["account", "app-password", "add", "--json", user], args].concat();
    let made: serde_json::Value = serde_json::from_str(&ours.cli(&all)?)?;
    let password = made["password"].as_str().context("a password")?;
    Ok(password.to_owned())
}

/// A way in: a client, the mechanism that it is told to use, and a shell line with
/// `$SECRET` in it that succeeds when it is let in.
struct Way {
    client: &'static str,
    mechanism: &'static str,
    line: String,
}

/// The lines of programs that are driven by arguments. `$USER` is another one for each,
/// because POP3 has one session at a time and wrong secrets of one user are answered late.
fn ways(d: &str) -> Vec<Way> {
    let mut ways = Vec::new();
    let mut add = |client, mechanism, line: String| {
        ways.push(Way {
            client,
            mechanism,
            line,
        });
    };
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
        add(
            "swaks",
            mechanism,
            format!(
                "swaks -s {IP} -p 587 -tls -f $USER -t $USER -a {mechanism} -au $USER -ap $SECRET --quit-after AUTH"
            ),
        );
        add(
            "curl smtp",
            mechanism,
            format!(
                "curl -sS -k --ssl-reqd --login-options AUTH={mechanism} -u $USER:$SECRET smtp://{IP}:587 \
             --mail-from $USER --mail-rcpt $USER -T {d}/message"
            ),
        );
        add(
            "curl imap",
            mechanism,
            format!(
                "curl -sS -k --ssl-reqd --login-options AUTH={mechanism} -u $USER:$SECRET imap://{IP}/INBOX -X NOOP"
            ),
        );
        add(
            "curl pop3",
            mechanism,
            format!(
                "curl -sS -k --ssl-reqd --login-options AUTH={mechanism} -u $USER:$SECRET pop3://{IP}/"
            ),
        );
    }
    // APOP: the program's own choice where the greeting has a timestamp.
    add(
        "curl pop3",
        "APOP",
        format!("curl -sS -k --ssl-reqd --login-options AUTH=+APOP -u $USER:$SECRET pop3://{IP}/"),
    );
    let tls = format!(
        "--tls=on --tls-trust-file={d}/cert.pem --tls-host-override=localhost --user=$USER --passwordeval='echo '$SECRET"
    );
    for mechanism in ["plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"] {
        add(
            "msmtp",
            mechanism,
            format!(
                "msmtp --file=/dev/null --host={IP} --port=587 {tls} --auth={mechanism} --from=$USER $USER < {d}/message"
            ),
        );
    }
    for mechanism in [
        "user",
        "apop",
        "plain",
        "login",
        "cram-md5",
        "scram-sha-1",
        "scram-sha-256",
    ] {
        add(
            "mpop",
            mechanism,
            format!(
                "mpop --file=/dev/null --host={IP} --port=995 --tls-starttls=off {tls} --auth={mechanism} --keep=on \
             --delivery=mbox,{d}/$USER --uidls-file={d}/$USER.uidls"
            ),
        );
    }
    ways
}

impl Way {
    fn try_all(&self, world: &World, user: &str, marked: &str) -> Result<()> {
        let (client, mechanism) = (self.client, self.mechanism);
        let attempt = |secret: &str| {
            let line = self.line.replace("$SECRET", secret).replace("$USER", user);
            world.try_output("sh", ["-c", &line])
        };
        let (ok, text) = attempt(marked)?;
        ensure!(ok, "{client} by {mechanism}:\n{text}");
        // Of the password's form, so that nothing else is wrong with it.
        let (ok, text) = attempt("aaaa-bbbb-cccc-dddd-eeee")?;
        ensure!(!ok, "{client} by {mechanism} with a wrong secret:\n{text}");
        // The account's own password.
        let (ok, text) = attempt(PASSWORD)?;
        ensure!(
            ok != is_digest(mechanism),
            "{client} by {mechanism} with the account's own:\n{text}"
        );
        Ok(())
    }
}

/// What only passwords that were made for it can do.
fn is_digest(mechanism: &str) -> bool {
    ["CRAM-MD5", "APOP"]
        .iter()
        .any(|one| one.eq_ignore_ascii_case(mechanism))
}

#[test]
fn programs_get_in_with_the_right_secret_alone() {
    run(
        "sasl_table::programs_get_in_with_the_right_secret_alone",
        Needs::Program("msmtp"),
        |world| {
            let (ours, _) = with_digests(world)?;
            std::fs::write(world.dir().join("message"), "Subject: x\n\nx\n")?;
            let d = world.dir().display().to_string();
            let ways = ways(&d);
            let users: Vec<_> = (0..ways.len()).map(|n| format!("u{n}@demo.test")).collect();
            let own = world.dir().join("own");
            std::fs::write(&own, PASSWORD)?;
            let own = own.display().to_string();
            let names = users.iter().map(String::as_str);
            let add = ["account", "add", "--password-file", &own]
                .into_iter()
                .chain(names);
            ours.cli(&add.collect::<Vec<_>>())?;
            let world = &*world;
            std::thread::scope(|scope| {
                let trials = ways.iter().zip(&users).map(|(way, user)| {
                    let marked = app_password(&ours, user, &["scanner", "--cram-md5"]);
                    scope.spawn(move || way.try_all(world, user, &marked?))
                });
                let trials: Vec<_> = trials.collect();
                let ends = trials
                    .into_iter()
                    .map(|trial| trial.join().expect("no panic"));
                ends.collect::<Result<Vec<_>>>()
            })?;
            let log = world.log(&format!("posthouse-{IP}"));
            let by_it = log.matches("app_password=scanner").count();
            ensure!(by_it >= ways.len(), "{by_it} logins:\n{log}");
            ensure!(!log.contains(PASSWORD));
            Ok(())
        },
    );
}

#[test]
fn libraries_get_in_with_the_right_secret_alone() {
    run(
        "sasl_table::libraries_get_in_with_the_right_secret_alone",
        Needs::Python,
        |world| {
            let (_ours, marked) = with_digests(world)?;
            let script = world.dir().join("table.py");
            std::fs::write(&script, PYTHON)?;
            let script = script.display().to_string();
            let certificate = world.dir().join("cert.pem").display().to_string();
            let python = interop::world::python().display().to_string();
            let out = world.output(&python, [&script, &marked, PASSWORD, &certificate])?;
            ensure!(out.trim() == "all as it should be", "{out}");
            Ok(())
        },
    );
}

#[test]
fn nodemailer_gets_in_with_the_right_secret_alone() {
    run(
        "sasl_table::nodemailer_gets_in_with_the_right_secret_alone",
        Needs::Node(&["nodemailer"]),
        |world| {
            let (_ours, marked) = with_digests(world)?;
            let script = world.dir().join("table.cjs");
            std::fs::write(&script, NODE)?;
            let modules = interop::world::nodemailer().display().to_string();
            let args = [
                script.display().to_string(),
                modules,
                marked,
                PASSWORD.into(),
            ];
            let out = world.output("node", args)?;
            ensure!(out.trim() == "all as it should be", "{out}");
            Ok(())
        },
    );
}

#[test]
fn an_application_password_is_good_for_what_it_says() {
    run(
        "sasl_table::an_application_password_is_good_for_what_it_says",
        Needs::Program("curl"),
        |world| {
            let mut printer = String::new();
            let mut guest = String::new();
            let ours = server_with(world, IP, |ours| {
                printer = app_password(ours, USER, &["printer", "--for", "smtp"])?;
                guest = app_password(ours, USER, &["guest", "--expires", "2s"])?;
                // CRAM-MD5 is off, so that nobody could use it.
                let refused =
                    ours.try_cli(&["account", "app-password", "add", USER, "old", "--cram-md5"])?;
                ensure!(
                    refused.0 == Some(2) && refused.1.contains("auth.cram_md5"),
                    "{refused:?}"
                );
                Ok(())
            })?;
            std::fs::write(world.dir().join("message"), "Subject: x\n\nx\n")?;
            let submit = |secret: &str| {
                let line = format!(
                    "curl -sS -k --ssl-reqd -u {USER}:{secret} smtp://{IP}:587 --mail-from {USER} --mail-rcpt {USER} -T message"
                );
                world.try_output("sh", ["-c", &line])
            };
            let read = |secret: &str| {
                let line =
                    format!("curl -sS -k --ssl-reqd -u {USER}:{secret} imap://{IP}/INBOX -X NOOP");
                world.try_output("sh", ["-c", &line])
            };
            let (ok, text) = submit(&printer)?;
            ensure!(ok, "{text}");
            let (ok, text) = read(&printer)?;
            ensure!(
                !ok && text.contains("denied"),
                "a password for smtp reads mail:\n{text}"
            );
            ensure!(imap::Client::login(&ours.addr(143), USER, &printer).is_err());
            // Until it expires, and not a moment longer.
            interop::world::wait_for(
                "the end of a password",
                std::time::Duration::from_secs(30),
                || Ok((!read(&guest)?.0).then_some(())),
            )?;
            let listed = ours.cli(&["account", "app-password", "list", USER])?;
            ensure!(listed.contains("guest"), "{listed}");
            ours.cli(&["account", "app-password", "remove", USER, "printer"])?;
            let (ok, text) = submit(&printer)?;
            ensure!(!ok, "{text}");
            Ok(())
        },
    );
}

#[test]
fn account_show_says_why_scram_is_not_offered() {
    run(
        "sasl_table::account_show_says_why_scram_is_not_offered",
        Needs::Nothing,
        |world| {
            let ours = server_with(world, IP, |_| Ok(()))?;
            let show = || -> Result<serde_json::Value> {
                Ok(serde_json::from_str(
                    &ours.cli(&["account", "show", "--json", USER])?,
                )?)
            };
            let before = show()?;
            ensure!(
                before["password"] == "argon2id" && before["lacks_scram"] == false,
                "{before}"
            );
            let offered = before["offered_under_tls"].as_str().context("offered")?;
            ensure!(offered.starts_with("SCRAM-SHA-512-PLUS "), "{offered}");
            let hash = world.dir().join("hash");
            std::fs::write(&hash, "$1$saltsalt$5Jhcit4zN9UlGiA0txPkO0\n")?;
            let hash = hash.display().to_string();
            ours.cli(&["account", "add", "carol@demo.test", "--hash-file", &hash])?;
            let after = show()?;
            ensure!(after["offered_under_tls"] == "PLAIN LOGIN", "{after}");
            ensure!(after["scram_waits_for"] == "carol@demo.test", "{after}");
            let listed = ours.cli(&["account", "list"])?;
            let carol = listed.lines().find(|line| line.contains("carol@demo.test"));
            ensure!(carol.is_some_and(|line| line.contains("true")), "{listed}");
            // What clients see is what it says.
            let line = format!(
                "printf 'a CAPABILITY\\r\\nb LOGOUT\\r\\n' | openssl s_client -quiet -connect {IP}:993 2>/dev/null"
            );
            let seen = world.output("sh", ["-c", &line])?;
            ensure!(
                seen.contains("AUTH=PLAIN") && !seen.contains("SCRAM"),
                "{seen}"
            );
            Ok(())
        },
    );
}

/// smtplib and aiosmtplib with the mechanisms that they have.
const PYTHON: &str = r#"
import asyncio, concurrent.futures, smtplib, ssl, sys
import aiosmtplib
marked, own, certificate = sys.argv[1:]
user = "alice@demo.test"
context = ssl.create_default_context(cafile=certificate); context.check_hostname = False

def by_smtplib(mechanism, secret):
    smtp = smtplib.SMTP("127.0.0.10", 587)
    smtp.starttls(context=context); smtp.ehlo()
    smtp.user, smtp.password = user, secret
    try: code, _ = smtp.auth(mechanism, getattr(smtp, "auth_" + mechanism.lower().replace("-", "_")))
    except smtplib.SMTPAuthenticationError as error:
        assert error.smtp_code == 535, error
        return False
    finally: smtp.close()
    return code == 235

async def by_aiosmtplib(mechanism, secret):
    smtp = aiosmtplib.SMTP(hostname="127.0.0.10", port=587, start_tls=True, tls_context=context)
    await smtp.connect(); await smtp.ehlo()
    try: await getattr(smtp, "auth_" + mechanism.lower().replace("-", ""))(user, secret)
    except aiosmtplib.SMTPAuthenticationError as error:
        assert error.code == 535, error
        return False
    finally: smtp.close()
    return True

def check(case):
    mechanism, client = case
    assert client(mechanism, marked), case
    assert not client(mechanism, "aaaa-bbbb-cccc-dddd-eeee"), case
    assert client(mechanism, own) == (mechanism != "CRAM-MD5"), case
clients = (by_smtplib, lambda *args: asyncio.run(by_aiosmtplib(*args)))
cases = [(mechanism, client) for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5") for client in clients]
with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool: list(pool.map(check, cases))
# Left to itself it tries CRAM-MD5 first, and goes on where the password is not for it.
smtp = smtplib.SMTP("127.0.0.10", 587)
smtp.starttls(context=context); smtp.ehlo()
assert smtp.esmtp_features["auth"].split()[-1] == "CRAM-MD5"
assert smtp.login(user, own)[0] == 235
print("all as it should be")
"#;

const NODE: &str = r#"
const [, , modules, marked, own] = process.argv;
const nodemailer = require(modules);
const user = "alice@demo.test";
async function gets_in(authMethod, pass) {
  const transport = nodemailer.createTransport({ host: "127.0.0.10", port: 587, requireTLS: true, authMethod,
    auth: { user, pass }, tls: { rejectUnauthorized: false } });
  try { await transport.verify(); return true; }
  catch (error) { if (error.code !== "EAUTH" || error.responseCode !== 535) throw error; return false; }
  finally { transport.close(); }
}
(async () => {
  await Promise.all(["PLAIN", "LOGIN", "CRAM-MD5"].map(async (method) => {
    const seen = [];
    for (const secret of [marked, "aaaa-bbbb-cccc-dddd-eeee", own]) seen.push(await gets_in(method, secret));
    if (String(seen) !== String([true, false, method !== "CRAM-MD5"])) throw new Error(method + ": " + seen);
  }));
  console.log("all as it should be");
})().catch((error) => { console.error(error); process.exit(1); });
"#;
