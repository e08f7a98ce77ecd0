//! What other domains demand of TLS: TLSA records in signed zones, MTA-STS policies
//! over HTTPS, with Postfix behind them.

use anyhow::{Result, ensure};
use interop::dns::{Signed, SignedZones, Zone};
use interop::postfix::Postfix;
use interop::posthouse::{Posthouse, contains};
use interop::web::certificates;
use interop::world::{Needs, World, run, wait_for, wait_for_port};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The Postfix of a domain, which shows what is in `folder`.
fn postfix(world: &mut World, ip: &str, domain: &str, folder: &Path) -> Result<Postfix> {
    let d = folder.display();
    let settings = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {d}/certificate\nsmtpd_tls_key_file = {d}/key\n\
         smtpd_tls_received_header = yes\n"
    );
    Postfix::start_with(world, ip, domain, &["bea"], &settings)
}

/// Our server, which trusts these zones.
fn server(world: &mut World, zones: &SignedZones) -> Result<Posthouse> {
    let ours = Posthouse::init(world, "127.0.0.2", "near.test", &["alice"])?;
    let anchors = zones.anchors().display().to_string();
    ours.set("resolver.trust_anchors", &format!("{anchors:?}"))?;
    Ok(ours)
}

fn send(world: &World, ours: &Posthouse, to: &str, mark: &str) -> Result<()> {
    let text = format!("From: alice@near.test\r\nSubject: {mark}\r\n\r\nx\r\n");
    ours.submit_as(world, "alice@near.test", &[to], text.as_bytes())
}

/// Waits until the queue says this about a recipient's message.
fn wait_for_reason(ours: &Posthouse, to: &str, why: &str) -> Result<()> {
    let mut last = String::new();
    let waited = wait_for(&format!("{why:?} about {to}"), PATIENCE, || {
        let (_, domain) = to.split_once('@').unwrap_or_default();
        last = ours.cli(&["queue", "list", "--domain", domain, "--json"])?;
        Ok(last.contains(why).then_some(()))
    });
    waited.map_err(|error| error.context(last))
}

#[test]
fn tlsa_records_decide_whether_mail_goes() {
    run(
        "tls_policy::tlsa_records_decide_whether_mail_goes",
        Needs::Peers,
        |world| {
            let folder = world.folder("certificate")?;
            world.certificate(&folder, "nobody.test")?;
            let d = folder.display();
            let key = world.output(
                "sh",
                [
                    "-c",
                    &format!(
                        "openssl x509 -in {d}/certificate -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64"
                    ),
                ],
            )?;
            let good = format!("_25._tcp.mx TLSA 3 1 1 {}", key.trim());
            let bad = format!("_25._tcp.mx TLSA 3 1 1 {}", "ab".repeat(32));
            let at = |ip: &str, tlsa: &str| format!("@ MX 10 mx\nmx A {ip}\n{tlsa}");
            let zones = [
                ("near.test", "@ MX 10 mx\nmx A 127.0.0.2".into(), Signed::No),
                ("good.test", at("127.0.0.3", &good), Signed::Well),
                ("bad.test", at("127.0.0.4", &bad), Signed::Well),
                ("plain.test", at("127.0.0.5", &bad), Signed::No),
                ("expired.test", at("127.0.0.4", &good), Signed::Expired),
            ];
            let zones: Vec<Zone<'_>> = zones
                .iter()
                .map(|(name, records, signed)| Zone {
                    name,
                    records,
                    signed: *signed,
                })
                .collect();
            let names = SignedZones::start(world, &zones)?;
            let site = postfix(world, "127.0.0.3", "good.test", &folder)?;
            let bad_site = postfix(world, "127.0.0.4", "bad.test", &folder)?;
            let plain = postfix(world, "127.0.0.5", "plain.test", &folder)?;
            let mut ours = server(world, &names)?;
            ours.serve(world)?;

            let told = ours.cli(&[
                "route",
                "alice@near.test",
                "bea@good.test",
                "--user",
                "alice@near.test",
                "--json",
            ])?;
            ensure!(
                told.contains("\"tls_demanded_by\": \"the TLSA records of mx.good.test\""),
                "{told}"
            );
            for to in [
                "bea@good.test",
                "bea@bad.test",
                "bea@plain.test",
                "bea@expired.test",
            ] {
                send(world, &ours, to, "one")?;
            }
            let mail = site.wait_for_mail("bea@good.test")?;
            ensure!(contains(&mail, b"(using TLSv1.3"), "sent without TLS");
            // What nobody has signed demands nothing.
            let mail = plain.wait_for_mail("bea@plain.test")?;
            ensure!(contains(&mail, b"(using TLSv1.3"), "sent without TLS");
            wait_for_reason(
                &ours,
                "bea@bad.test",
                "because the TLSA records of mx.bad.test demand good TLS",
            )?;
            wait_for_reason(
                &ours,
                "bea@expired.test",
                "its DNSSEC signatures are not good",
            )?;
            ensure!(bad_site.mail("bea@bad.test")?.is_empty());
            Ok(())
        },
    );
}

/// Serves a folder over HTTPS with the certificate in it, as text.
const HTTPS: &str = r#"
import http.server, os, ssl, sys
os.chdir(sys.argv[2])
class Text(http.server.SimpleHTTPRequestHandler):
    extensions_map = {"": "text/plain"}
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("certificate", "key")
server = http.server.ThreadingHTTPServer((sys.argv[1], 443), Text)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

#[test]
fn an_mta_sts_policy_is_kept_to_as_it_changes() {
    run(
        "tls_policy::an_mta_sts_policy_is_kept_to_as_it_changes",
        Needs::Peers,
        |world| {
            let site_folder = world.folder("site")?;
            let web = world.folder("web")?;
            let names = [
                ("mx.far.test", site_folder.as_path()),
                ("mta-sts.far.test", web.as_path()),
            ];
            let authority = certificates(world, &names)?;
            std::fs::create_dir(web.join(".well-known"))?;
            let policy = |mode: &str, host: &str| {
                let text = format!("version: STSv1\nmode: {mode}\nmx: {host}\nmax_age: 86400\n");
                std::fs::write(web.join(".well-known/mta-sts.txt"), text)
            };
            policy("enforce", "mx.far.test")?;
            let records = |id: u32| {
                format!(
                    "@ MX 10 mx\nmx A 127.0.0.3\nmta-sts A 127.0.0.4\n_mta-sts TXT \"v=STSv1; id={id}\""
                )
            };
            let near = Zone {
                name: "near.test",
                records: "@ MX 10 mx\nmx A 127.0.0.2",
                signed: Signed::No,
            };
            let far = Zone {
                name: "far.test",
                records: &records(1),
                signed: Signed::No,
            };
            let zones = SignedZones::start(world, &[near, far])?;
            let site = postfix(world, "127.0.0.3", "far.test", &site_folder)?;
            let script = world.dir().join("https.py");
            std::fs::write(&script, HTTPS)?;
            let mut server_of_policy = Command::new("python3");
            server_of_policy.arg(&script).arg("127.0.0.4").arg(&web);
            let web_pid = world.start("https", &mut server_of_policy)?;
            wait_for_port("127.0.0.4:443")?;
            let mut ours = server(world, &zones)?;
            ours.var("SSL_CERT_FILE", &authority);
            ours.serve(world)?;

            send(world, &ours, "bea@far.test", "one")?;
            let mail = site.wait_for_mail("bea@far.test")?;
            ensure!(contains(&mail, b"(using TLSv1.3"), "sent without TLS");

            // Another policy, which names another host: what is there is an impostor's.
            policy("enforce", "other.far.test")?;
            zones.change(world, "far.test", &records(2), 2)?;
            let why = "the MTA-STS policy 2 of far.test does not name it";
            wait_for("the new policy", PATIENCE, || {
                let told = ours.cli(&[
                    "route",
                    "alice@near.test",
                    "bea@far.test",
                    "--user",
                    "alice@near.test",
                ])?;
                Ok(told.contains(why).then_some(()))
            })?;
            // What was looked up a moment ago counts for another second.
            let mut number = 1;
            wait_for("mail that waits", PATIENCE, || {
                number += 1;
                send(world, &ours, "bea@far.test", &format!("number {number}"))?;
                let list = ours.cli(&["queue", "list", "--json"])?;
                Ok(list.contains(why).then_some(()))
            })?;
            let before = site.mail("bea@far.test")?.len();

            // It holds while its server is away, and after a restart.
            world.signal(web_pid, "TERM")?;
            zones.change(world, "far.test", &records(3), 3)?;
            ours.end(world, "TERM")?;
            ours.serve(world)?;
            ours.cli(&["queue", "retry", "--all"])?;
            let list = ours.cli(&["queue", "list", "--json"])?;
            let list: serde_json::Value = serde_json::from_str(&list)?;
            let id = list[0]["id"].as_str().unwrap_or_default().to_owned();
            wait_for("another attempt", PATIENCE, || {
                let shown = ours.cli(&["queue", "show", &id, "--json"])?;
                Ok((shown.matches(why).count() >= 3).then_some(()))
            })?;
            ensure!(site.mail("bea@far.test")?.len() == before);
            ours.assert_sound()
        },
    );
}
