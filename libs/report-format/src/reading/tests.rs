//! Reports of the RFC, of the field, and of people who mean harm.

use super::*;
use crate::limits::TLS_REPORT_BYTES_MAX;
use crate::packing::pack;
use tls_policy::reporting::{About, Applied, DayOfDomain, Failed, PolicyType, ResultType, report};

/// RFC 8460 appendix B.
const EXAMPLE: &str = r#"{
 "organization-name": "Company-X",
 "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
 "contact-info": "sts-reporting@company-x.example",
 "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
 "policies": [{
  "policy": {
   "policy-type": "sts",
   "policy-string": ["version: STSv1","mode: testing","mx: *.mail.company-y.example","max_age: 86400"],
   "policy-domain": "company-y.example",
   "mx-host": ["*.mail.company-y.example"]
  },
  "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
  "failure-details": [{
   "result-type": "certificate-expired",
   "sending-mta-ip": "2001:db8:abcd:0012::1",
   "receiving-mx-hostname": "mx1.mail.company-y.example",
   "failed-session-count": 100
  }, {
   "result-type": "starttls-not-supported",
   "sending-mta-ip": "2001:db8:abcd:0013::1",
   "receiving-mx-hostname": "mx2.mail.company-y.example",
   "receiving-ip": "203.0.113.56",
   "failed-session-count": 200,
   "additional-information": "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"
  }, {
   "result-type": "validation-failure",
   "sending-mta-ip": "198.51.100.62",
   "receiving-ip": "203.0.113.58",
   "receiving-mx-hostname": "mx-backup.mail.company-y.example",
   "failed-session-count": 3,
   "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
  }]
 }]
}"#;

#[test]
fn rfc_8460_b_the_example_is_read_plain_and_packed() {
    let read_plain = read(EXAMPLE.as_bytes()).expect("a report");
    assert_eq!(read(&pack(EXAMPLE)), Ok(read_plain.clone()));
    assert_eq!(
        read(format!("\u{feff}{EXAMPLE}").as_bytes()),
        Ok(read_plain.clone())
    );
    assert_eq!(read_plain.organisation.0, "Company-X");
    assert_eq!(read_plain.dates.end.0, "2016-04-01T23:59:59Z");
    let [policy] = &read_plain.policies.items[..] else {
        panic!("{read_plain:?}");
    };
    assert_eq!(policy.policy.kind.0, "sts");
    assert_eq!(policy.policy.strings.items.len(), 4);
    assert_eq!(policy.policy.hosts.items[0].0, "*.mail.company-y.example");
    assert_eq!(
        (policy.summary.successful.0, policy.summary.failed.0),
        (5326, 303)
    );
    let failures = policy.failures.items.iter();
    let counted: Vec<_> = failures.map(|f| (f.result.0.as_str(), f.count.0)).collect();
    assert_eq!(
        counted,
        [
            ("certificate-expired", 100),
            ("starttls-not-supported", 200),
            ("validation-failure", 3)
        ]
    );
    assert_eq!(policy.failures.items[1].ip.0, "203.0.113.56");
    assert!(policy.failures.items[2].reason.0.starts_with("X509_V_ERR"));
}

#[test]
fn what_we_write_is_read() {
    let tlsa = Applied {
        kind: PolicyType::Tlsa,
        strings: vec!["3 1 1 ab".into()],
        hosts: Vec::new(),
    };
    let mut day = DayOfDomain::default();
    day.count(&tlsa, Ok(()));
    let failed = Failed {
        result: ResultType::TlsaInvalid,
        host: "mx.far.test".into(),
        address: "192.0.2.1".parse().ok(),
        reason: "none \"fits\"".into(),
    };
    day.count(&tlsa, Err(failed));
    let about = About {
        organisation: "阿",
        contact: "x@near.test",
        id: "1",
        domain: "far.test",
        start: "a",
        end: "b",
    };
    let back = read(&pack(&report(&about, &day))).expect("a report");
    assert_eq!(
        (back.organisation.0.as_str(), back.contact.0.as_str()),
        ("阿", "x@near.test")
    );
    let policy = &back.policies.items[0];
    assert_eq!(
        (policy.summary.successful.0, policy.summary.failed.0),
        (1, 1)
    );
    let detail = &policy.failures.items[0];
    assert_eq!(
        (detail.result.0.as_str(), detail.reason.0.as_str()),
        ("tlsa-invalid", "none \"fits\"")
    );
    assert_eq!(detail.ip.0, "192.0.2.1");
}

#[test]
fn writers_of_the_field_are_understood() {
    // mx-host as a text, numbers as texts, null for nothing, fields that nobody knows.
    let odd = r#"{"organization-name": null, "contact-info": ["a@b.test", "c"], "report-id": 17, "x": {"y": [1]},
        "policies": [{"policy": {"policy-type": "no-policy-found", "policy-domain": "d.test", "mx-host": "mx.d.test",
        "policy-string": null}, "summary": {"total-successful-session-count": "12",
        "total-failure-session-count": -1}, "failure-details": null}]}"#;
    let report = read(odd.as_bytes()).expect("a report");
    assert_eq!(report.organisation.0, "");
    assert_eq!(
        (report.contact.0.as_str(), report.id.0.as_str()),
        ("a@b.test", "17")
    );
    let policy = &report.policies.items[0];
    assert_eq!(policy.policy.hosts.items, [Text("mx.d.test".into())]);
    assert_eq!(
        (policy.summary.successful.0, policy.summary.failed.0),
        (12, 0)
    );
    assert!(policy.failures.items.is_empty());
}

#[test]
fn threat_16_what_is_no_report_is_none() {
    for bad in [
        "",
        "{}",
        "[]",
        "null",
        "{\"policies\":[]}",
        "{\"policies\":\"x\"}",
        "{\"policies\":7}",
        "{\"policies\":{}}",
        "{\"policies\":[7]}",
        "{\"policies\":[{}]",
        "{\"policies\":[{}]}{}",
        "{\"policies\":[{}],\"policies\":[{}]}",
        "<feedback/>",
    ] {
        let read = read(bad.as_bytes());
        assert!(
            matches!(read, Err(ReportError::NotAReport(_))),
            "{bad}: {read:?}"
        );
    }
    for end in 0..EXAMPLE.len() {
        assert!(read(&EXAMPLE.as_bytes()[..end]).is_err(), "{end}");
    }
    let deep = format!("{{\"policies\":[{{}}],\"x\":{}", "[".repeat(1_000_000));
    assert!(read(deep.as_bytes()).is_err());
    assert!(read(b"\xff\xfe{}").is_err());
}

#[test]
fn threat_16_a_flood_is_cut_and_counted() {
    let detail = "{\"result-type\":\"x\"},";
    let details = detail.repeat(DETAILS_READ_MAX + 50);
    let policy = format!(
        "{{\"failure-details\":[{}]}},",
        details.trim_end_matches(',')
    );
    let policies = policy.repeat(3);
    let many = "{},".repeat(POLICIES_READ_MAX + 7);
    let long = "a\\u0007\\r\\n".repeat(10_000);
    let json = format!(
        "{{\"organization-name\":\"{long}\",\"policies\":[{policies}{}]}}",
        many.trim_end_matches(',')
    );
    let report = read(json.as_bytes()).expect("a report");
    assert_eq!(report.organisation.0, "a".repeat(TEXT_READ_CHARS_MAX));
    assert_eq!(report.policies.items.len(), POLICIES_READ_MAX);
    assert_eq!(report.policies.left_out, 10);
    let failures = &report.policies.items[0].failures;
    assert_eq!(
        (failures.items.len(), failures.left_out),
        (DETAILS_READ_MAX, 50)
    );
    // As many as fit: the list is cut while it is read.
    let flood = format!(
        "{{\"policies\":[{}{{}}]}}",
        "{},".repeat(TLS_REPORT_BYTES_MAX / 3 - 20)
    );
    let report = read(flood.as_bytes()).expect("a report");
    assert_eq!(report.policies.items.len(), POLICIES_READ_MAX);
}
