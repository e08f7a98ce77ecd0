//! `posthouse tls-report`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use report_format::find_tls_report;
use report_format::reading::{self, Detail, Listed, Received, ReceivedPolicy, Text};
use serde_json::{Value, json};

use super::Context;
use crate::acts::{TlsReportSend, TlsReportShow, request};
use crate::cli::TlsReport;
use crate::limits::TLS_REPORT_FILE_BYTES_MAX;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: TlsReport) -> anyhow::Result<ExitCode> {
    context.act(match command {
        TlsReport::Show { domain } => request("tls_report.show", &TlsReportShow { domain }),
        TlsReport::Send { day, domain } => {
            request("tls_report.send", &TlsReportSend { day, domain })
        }
        TlsReport::Read { file } => return read(context, &file),
    }?)
}

/// Needs no server and no store: it is a stranger's file.
fn read(context: &Context<'_>, file: &Path) -> anyhow::Result<ExitCode> {
    let name = file.display();
    let octets = super::read_file(file, TLS_REPORT_FILE_BYTES_MAX)?;
    let report = report_in(&octets).with_context(|| name.to_string())?;
    if context.json {
        output::result(&for_machines(&report), true);
    } else {
        for line in in_words(&report) {
            output::line(&line);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The report that a file is, or that a message brings.
fn report_in(octets: &[u8]) -> anyhow::Result<Received> {
    let first = octets.iter().find(|byte| !byte.is_ascii_whitespace());
    let is_report = octets.starts_with(b"\x1f\x8b") || first == Some(&b'{');
    if is_report || octets.starts_with(b"\xef\xbb\xbf") {
        return Ok(reading::read(octets)?);
    }
    let found = find_tls_report(octets);
    let found = found.ok_or_else(|| anyhow!("it is no report on TLS, and no message with one"))?;
    Ok(reading::read(&found)?)
}

fn for_machines(report: &Received) -> Value {
    let policies = report.policies.items.iter().map(|policy| {
        let failures = policy.failures.items.iter().map(|detail| {
            json!({
                "result": detail.result.0,
                "sessions": detail.count.0,
                "sent_from": detail.sending_ip.0,
                "host": detail.host.0,
                "helo": detail.helo.0,
                "address": detail.ip.0,
                "reason": detail.reason.0,
                "more": detail.more.0,
            })
        });
        json!({
            "policy": policy.policy.kind.0,
            "domain": policy.policy.domain.0,
            "hosts": texts(&policy.policy.hosts),
            "lines": texts(&policy.policy.strings),
            "successful": policy.summary.successful.0,
            "failed": policy.summary.failed.0,
            "failures": failures.collect::<Vec<_>>(),
            "failures_left_out": policy.failures.left_out,
        })
    });
    json!({
        "organisation": report.organisation.0,
        "contact": report.contact.0,
        "id": report.id.0,
        "from": report.dates.start.0,
        "until": report.dates.end.0,
        "policies": policies.collect::<Vec<_>>(),
        "policies_left_out": report.policies.left_out,
    })
}

fn texts(listed: &Listed<Text>) -> Vec<&str> {
    listed.items.iter().map(|text| text.0.as_str()).collect()
}

/// For people; what strangers wrote has no control characters any more.
fn in_words(report: &Received) -> Vec<String> {
    let mut lines = vec![
        format!("{} (contact: {})", report.organisation, report.contact),
        format!(
            "report {}, {} to {}",
            report.id, report.dates.start, report.dates.end
        ),
    ];
    for policy in &report.policies.items {
        lines.push(String::new());
        lines.push(headline(policy));
        let mut failures: Vec<&Detail> = policy.failures.items.iter().collect();
        failures.sort_by_key(|detail| std::cmp::Reverse(detail.count.0));
        lines.extend(failures.into_iter().map(failure));
        if policy.failures.left_out > 0 {
            lines.push(format!(
                "  and {} more kinds of failures",
                policy.failures.left_out
            ));
        }
    }
    if report.policies.left_out > 0 {
        lines.push(format!("\nand {} more policies", report.policies.left_out));
    }
    lines
}

fn headline(policy: &ReceivedPolicy) -> String {
    let under = match policy.policy.kind.0.as_str() {
        "sts" => "under the MTA-STS policy",
        "tlsa" => "under TLSA records (DANE)",
        "no-policy-found" => "without a policy",
        _ => "under a policy of another kind",
    };
    let (good, bad) = (policy.summary.successful.0, policy.summary.failed.0);
    let domain = &policy.policy.domain;
    match bad {
        0 => format!("{domain}, {under}: all {good} sessions went well"),
        _ => format!("{domain}, {under}: {good} sessions went well, {bad} failed"),
    }
}

fn failure(detail: &Detail) -> String {
    let mut line = format!("  {} x {}", detail.count.0, meaning(&detail.result.0));
    for (before, text) in [
        (" at ", &detail.host),
        (" ", &detail.ip),
        (", sent from ", &detail.sending_ip),
        (": ", &detail.reason),
        ("; see ", &detail.more),
    ] {
        if !text.0.is_empty() {
            line.push_str(before);
            line.push_str(&text.0);
        }
    }
    line
}

/// RFC 8460 §4.3, in words with what to do.
fn meaning(result: &str) -> String {
    let words = match result {
        "starttls-not-supported" => "STARTTLS was not offered (is something in between?)",
        "certificate-host-mismatch" => "the certificate is for other names than the MX record's",
        "certificate-expired" => "the certificate's time is over: renew it",
        "certificate-not-trusted" => "the certificate's chain leads to nobody who is trusted",
        "validation-failure" => "the handshake failed",
        "tlsa-invalid" => "no TLSA record fits the certificate: publish the new key's first",
        "dnssec-invalid" => "the zone's signatures are not good",
        "dane-required" => "the sender demands DANE, and there are no TLSA records",
        "sts-policy-fetch-error" => "the MTA-STS policy could not be fetched",
        "sts-policy-invalid" => "the MTA-STS policy cannot be read",
        "sts-webpki-invalid" => "the certificate of the MTA-STS policy's server is not good",
        other => return other.to_owned(),
    };
    format!("{words} ({result})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"organization-name":"Far\u001b[2J","contact-info":"r@far.test","report-id":"7",
        "date-range":{"start-datetime":"2026-01-01T00:00:00Z","end-datetime":"2026-01-01T23:59:59Z"},
        "policies":[{"policy":{"policy-type":"sts","policy-domain":"near.test"},
        "summary":{"total-successful-session-count":7,"total-failure-session-count":3},
        "failure-details":[{"result-type":"odd","failed-session-count":1},{"result-type":"certificate-expired",
        "receiving-mx-hostname":"mx.near.test","receiving-ip":"192.0.2.1","failed-session-count":2}]}]}"#;

    #[test]
    fn a_report_is_told_in_words_wherever_it_is_in() {
        let told = in_words(&report_in(REPORT.as_bytes()).expect("a report"));
        assert_eq!(
            told,
            [
                "Far[2J (contact: r@far.test)",
                "report 7, 2026-01-01T00:00:00Z to 2026-01-01T23:59:59Z",
                "",
                "near.test, under the MTA-STS policy: 7 sessions went well, 3 failed",
                "  2 x the certificate's time is over: renew it (certificate-expired) at mx.near.test 192.0.2.1",
                "  1 x odd",
            ]
        );
        let packed = report_format::packing::pack(REPORT);
        let message = format!("Subject: x\nContent-Type: application/tlsrpt+json\n\n{REPORT}");
        for octets in [&packed[..], message.as_bytes()] {
            let report = report_in(octets).expect("a report");
            assert_eq!(in_words(&report), told);
            assert_eq!(
                for_machines(&report)["policies"][0]["failures"][1]["sessions"],
                2
            );
        }
        for none in ["", "{}", "Subject: x\n\nhello\n", "\x1f\u{8b}"] {
            assert!(report_in(none.as_bytes()).is_err(), "{none:?}");
        }
    }
}
