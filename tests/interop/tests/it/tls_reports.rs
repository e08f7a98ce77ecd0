//! Reports on TLS: sent to a receiver over HTTPS, and read.

use anyhow::{Result, ensure};
use interop::dns::{Signed, SignedZones, Zone};
use interop::postfix::Postfix;
use interop::posthouse::Posthouse;
use interop::web::{Receiver, certificates};
use interop::world::{Needs, run};
use serde_json::Value;
use std::path::Path;

fn json(text: &str) -> Result<Value> {
    Ok(serde_json::from_str(text)?)
}

fn names() -> [(&'static str, &'static str); 2] {
    [
        ("near.test", "@ MX 10 mx\nmx A 127.0.0.2"),
        (
            "far.test",
            "@ MX 10 mx\nmx A 127.0.0.3\nreports A 127.0.0.4\n\
             _smtp._tls TXT \"v=TLSRPTv1; rua=https://reports.far.test/v1/tlsrpt\"",
        ),
    ]
}

/// The day in UTC, as commands have it.
fn today(ours: &Posthouse) -> Result<String> {
    let shown = json(&ours.cli(&["tls-report", "show", "--json"])?)?;
    Ok(shown[0]["day"].as_str().unwrap_or_default().to_owned())
}

fn submit(world: &interop::world::World, ours: &Posthouse, to: &str) -> Result<()> {
    let text = b"From: alice@near.test\r\nSubject: x\r\n\r\nx\r\n";
    ours.submit_as(world, "alice@near.test", &[to], text)
}

#[test]
fn a_report_goes_to_who_asks_for_it_over_https() {
    run(
        "tls_reports::a_report_goes_to_who_asks_for_it_over_https",
        Needs::Peers,
        |world| {
            let (site, web) = (world.folder("site")?, world.folder("web")?);
            let named: [(&str, &Path); 2] = [("mx.far.test", &site), ("reports.far.test", &web)];
            let authority = certificates(world, &named)?;
            let zones = names().map(|(name, records)| Zone {
                name,
                records,
                signed: Signed::No,
            });
            let zones = SignedZones::start(world, &zones)?;
            let d = site.display();
            let tls = format!(
                "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {d}/certificate\nsmtpd_tls_key_file = {d}/key\n"
            );
            let theirs = Postfix::start_with(world, "127.0.0.3", "far.test", &["bea"], &tls)?;
            let receiver = Receiver::start_tls(world, "127.0.0.4:443", &web)?;
            let mut ours = Posthouse::init(world, "127.0.0.2", "near.test", &["alice"])?;
            let anchors = zones.anchors().display().to_string();
            ours.set("resolver.trust_anchors", &format!("{anchors:?}"))?;
            ours.var("SSL_CERT_FILE", &authority);
            ours.serve(world)?;
            submit(world, &ours, "bea@far.test")?;
            theirs.wait_for_mail("bea@far.test")?;
            let day = today(&ours)?;
            let send = ["tls-report", "send", "--day", &day];
            let (code, said) = ours.try_cli(&send)?;
            ensure!(
                code == Some(4) && said.contains("reports.contact"),
                "{said}"
            );

            ours.end(world, "TERM")?;
            ours.set("reports.contact", "\"postmaster@near.test\"")?;
            ours.set("reports.organisation", "\"Near Ltd\"")?;
            ours.serve(world)?;
            let told = ours.cli(&send)?;
            ensure!(
                told.contains("sent to https://reports.far.test/v1/tlsrpt"),
                "{told}"
            );
            let taken = receiver.wait_for(1)?;
            let headers = &taken[0].head["headers"];
            ensure!(taken[0].head["path"] == "/v1/tlsrpt");
            ensure!(
                headers["content-type"] == "application/tlsrpt+gzip",
                "{headers}"
            );
            let name = headers["content-disposition"].as_str().unwrap_or_default();
            ensure!(name.contains("filename=\"mx.near.test!far.test!"), "{name}");

            // Others' tools read it, and so do we.
            let body = web.join("1.body").display().to_string();
            let report = world.output("sh", ["-c", &format!("gunzip -c < {body}")])?;
            let report = json(&report)?;
            ensure!(report["organization-name"] == "Near Ltd", "{report}");
            ensure!(report["contact-info"] == "postmaster@near.test", "{report}");
            let policy = &report["policies"][0];
            ensure!(
                policy["policy"]["policy-type"] == "no-policy-found",
                "{report}"
            );
            ensure!(
                policy["summary"]["total-successful-session-count"] == 1,
                "{report}"
            );

            receiver.answer(&serde_json::json!({"status": 503, "text": "closed for today"}))?;
            let told = ours.cli(&send)?;
            ensure!(told.contains("it answers 503 closed for today"), "{told}");
            ours.assert_sound()
        },
    );
}
