//! TLS reporting: who wants reports (RFC 8460 §3), what is counted (§4.3), and the report
//! itself (§4.4).
//!
//! Not here: counting, keeping and sending (`tls-reports`), compressing and reading (`report-format`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::limits::{FAILURES_MAX, POLICIES_MAX, RUA_MAX};

/// Where a domain wants its reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rua {
    /// By mail to this address.
    Mail(String),
    /// By POST to this address.
    Https(String),
}

/// What the TXT records of `_smtp._tls.DOMAIN` say; nothing where not exactly one of
/// them is a record of ours (§3).
#[must_use]
pub fn reporting_addresses(records: &[Vec<u8>]) -> Vec<Rua> {
    let texts = records
        .iter()
        .filter_map(|record| core::str::from_utf8(record).ok());
    let mut ours = texts.filter_map(|text| {
        let rest = text.strip_prefix("v=TLSRPTv1")?.trim_start();
        rest.strip_prefix(';')
    });
    let (Some(only), None) = (ours.next(), ours.next()) else {
        return Vec::new();
    };
    let fields = only.split(';').filter_map(|field| field.split_once('='));
    let rua = fields
        .filter(|(name, _)| name.trim() == "rua")
        .map(|(_, uris)| uris);
    let Some(uris) = rua.into_iter().next() else {
        return Vec::new();
    };
    uris.split(',').filter_map(uri).take(RUA_MAX).collect()
}

fn uri(text: &str) -> Option<Rua> {
    let text = text.trim();
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let (scheme, rest) = text.split_once(':').filter(|_| plain)?;
    match scheme.to_ascii_lowercase().as_str() {
        "mailto" if rest.contains('@') => {
            // RFC 8460 §3: `!` and `,` are encoded; so may be others.
            let address = rest.split('?').next().unwrap_or(rest);
            Some(Rua::Mail(percent_decoded(address)?))
        }
        "https" if rest.starts_with("//") && rest.len() > 2 => Some(Rua::Https(text.to_owned())),
        _ => None,
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        let digits = core::str::from_utf8(&digits).ok()?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(out).ok()
}

/// Which kind of policy was applied (§4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyType {
    /// TLSA records.
    Tlsa,
    /// MTA-STS.
    Sts,
    /// None was there.
    None,
}

impl PolicyType {
    /// Its name in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
            Self::None => "no-policy-found",
        }
    }
}

/// A policy as it was applied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Applied {
    /// Its kind.
    pub kind: PolicyType,
    /// Its lines, or its records.
    pub strings: Vec<String>,
    /// The hosts that an MTA-STS policy names.
    pub hosts: Vec<String>,
}

impl Applied {
    /// No policy.
    #[must_use]
    pub fn none() -> Self {
        Self {
            kind: PolicyType::None,
            strings: Vec::new(),
            hosts: Vec::new(),
        }
    }
}

/// What went wrong (§4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResultType {
    /// The server offers no STARTTLS.
    StarttlsNotSupported,
    /// The certificate is for other names.
    CertificateHostMismatch,
    /// The certificate's time is over, or has not come.
    CertificateExpired,
    /// Nobody that is trusted has signed it.
    CertificateNotTrusted,
    /// Something else about the handshake.
    ValidationFailure,
    /// No TLSA record fits.
    TlsaInvalid,
    /// Signatures of the zone are not good.
    DnssecInvalid,
    /// The operator demands DANE, and there is none.
    DaneRequired,
    /// The policy could not be fetched.
    StsPolicyFetchError,
    /// What was fetched is no policy.
    StsPolicyInvalid,
    /// The certificate of the policy's server is not good.
    StsWebpkiInvalid,
}

impl ResultType {
    /// All of them; a stored one is its place here.
    pub const ALL: [Self; 11] = [
        Self::StarttlsNotSupported,
        Self::CertificateHostMismatch,
        Self::CertificateExpired,
        Self::CertificateNotTrusted,
        Self::ValidationFailure,
        Self::TlsaInvalid,
        Self::DnssecInvalid,
        Self::DaneRequired,
        Self::StsPolicyFetchError,
        Self::StsPolicyInvalid,
        Self::StsWebpkiInvalid,
    ];

    /// Its name in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::DaneRequired => "dane-required",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}

/// A failure, as failures are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Failed {
    /// What went wrong.
    pub result: ResultType,
    /// The server's name; empty where none was spoken to.
    pub host: String,
    /// Its address.
    pub address: Option<IpAddr>,
    /// More about it, for people.
    pub reason: String,
}

/// Sessions under one policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// Those that went well.
    pub successful: u64,
    /// Those that did not.
    pub failures: BTreeMap<Failed, u64>,
    /// Failures of kinds beyond [`FAILURES_MAX`], which are counted as a whole.
    pub more_failures: u64,
}

impl Counted {
    /// All that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let told = self.failures.values();
        told.fold(self.more_failures, |sum, count| sum.saturating_add(*count))
    }

    fn fail(&mut self, failed: Failed, count: u64) {
        let room = self.failures.len() < FAILURES_MAX || self.failures.contains_key(&failed);
        let counter = if room {
            self.failures.entry(failed).or_default()
        } else {
            &mut self.more_failures
        };
        *counter = counter.saturating_add(count);
    }
}

/// What one domain's servers did on one day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DayOfDomain {
    /// By the policy that was applied.
    pub policies: BTreeMap<Applied, Counted>,
}

impl DayOfDomain {
    /// Counts a session. Of more than [`POLICIES_MAX`] policies on a day the later ones
    /// are not counted.
    pub fn count(&mut self, applied: &Applied, result: Result<(), Failed>) {
        let Some(counted) = self.counted(applied) else {
            return;
        };
        match result {
            Ok(()) => counted.successful = counted.successful.saturating_add(1),
            Err(failed) => counted.fail(failed, 1),
        }
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (applied, more) in &other.policies {
            let Some(counted) = self.counted(applied) else {
                continue;
            };
            counted.successful = counted.successful.saturating_add(more.successful);
            counted.more_failures = counted.more_failures.saturating_add(more.more_failures);
            for (failed, count) in &more.failures {
                counted.fail(failed.clone(), *count);
            }
        }
    }

    fn counted(&mut self, applied: &Applied) -> Option<&mut Counted> {
        let room = self.policies.len() < POLICIES_MAX || self.policies.contains_key(applied);
        room.then(|| self.policies.entry(applied.clone()).or_default())
    }
}

/// What a report says beside what was counted.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Whose report it is: the organisation, or its host's name.
    pub organisation: &'a str,
    /// Whom to write to about it.
    pub contact: &'a str,
    /// Its name, unique for who sends it.
    pub id: &'a str,
    /// The domain that it is about, as A-labels.
    pub domain: &'a str,
    /// Its first and its last second, as RFC 3339 has them.
    pub start: &'a str,
    /// See `start`.
    pub end: &'a str,
}

/// The report, as §4.4 has it: JSON.
#[must_use]
pub fn report(about: &About<'_>, day: &DayOfDomain) -> String {
    let policies = day
        .policies
        .iter()
        .map(|(applied, counted)| of_policy(about.domain, applied, counted));
    object([
        ("organization-name", text(about.organisation)),
        (
            "date-range",
            object([
                ("start-datetime", text(about.start)),
                ("end-datetime", text(about.end)),
            ]),
        ),
        ("contact-info", text(about.contact)),
        ("report-id", text(about.id)),
        ("policies", array(policies)),
    ])
}

fn of_policy(domain: &str, applied: &Applied, counted: &Counted) -> String {
    let texts = |all: &[String]| array(all.iter().map(|one| text(one)));
    let mut policy = vec![("policy-type", text(applied.kind.as_str()))];
    if applied.kind != PolicyType::None {
        policy.push(("policy-string", texts(&applied.strings)));
    }
    policy.push(("policy-domain", text(domain)));
    if applied.kind == PolicyType::Sts {
        policy.push(("mx-host", texts(&applied.hosts)));
    }
    let summary = [
        (
            "total-successful-session-count",
            counted.successful.to_string(),
        ),
        ("total-failure-session-count", counted.failed().to_string()),
    ];
    object([
        ("policy", object(policy)),
        ("summary", object(summary)),
        (
            "failure-details",
            array(counted.failures.iter().map(detail)),
        ),
    ])
}

fn detail((failed, count): (&Failed, &u64)) -> String {
    let mut detail = vec![("result-type", text(failed.result.as_str()))];
    if !failed.host.is_empty() {
        detail.push(("receiving-mx-hostname", text(&failed.host)));
    }
    if let Some(address) = failed.address {
        detail.push(("receiving-ip", text(&address.to_canonical().to_string())));
    }
    detail.push(("failed-session-count", count.to_string()));
    if !failed.reason.is_empty() {
        detail.push(("failure-reason-code", text(&failed.reason)));
    }
    object(detail)
}

fn object(fields: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let fields = fields
        .into_iter()
        .map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn array(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().collect::<Vec<_>>().join(","))
}

/// RFC 8259 §7.
fn text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The file's name (§5.1), without its compression; times in Unix seconds.
#[must_use]
pub fn file_name(sender: &str, domain: &str, start: u64, end: u64, id: &str) -> String {
    format!("{sender}!{domain}!{start}!{end}!{id}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn records(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn rfc_8460_3_where_reports_are_wanted() {
        let said = |texts: &[&str]| reporting_addresses(&records(texts));
        let mail = |address: &str| Rua::Mail(address.into());
        assert_eq!(
            said(&["v=TLSRPTv1; rua=mailto:reports@far.test"]),
            [mail("reports@far.test")]
        );
        assert_eq!(
            said(&[
                "v=spf1 -all",
                "v=TLSRPTv1;rua=https://far.test/v1/tlsrpt, mailto:a%21b@far.test;"
            ]),
            [
                Rua::Https("https://far.test/v1/tlsrpt".into()),
                mail("a!b@far.test")
            ]
        );
        for none in [
            &[
                "v=TLSRPTv1; rua=mailto:a@b.test",
                "v=TLSRPTv1; rua=mailto:c@d.test",
            ][..],
            &["v=TLSRPTv2; rua=mailto:a@b.test"],
            &["v=TLSRPTv1 rua=mailto:a@b.test"],
            &["v=TLSRPTv1;"],
            &["v=TLSRPTv1; rua=http://far.test/, ftp://far.test/x, mailto:nobody, https://"],
            &["v=TLSRPTv1; rua=mailto:a%ZZ@b.test"],
            &[],
        ] {
            assert_eq!(said(none), [], "{none:?}");
        }
        let many = format!("v=TLSRPTv1; rua={}", "mailto:a@b.test,".repeat(50));
        assert_eq!(said(&[&many]).len(), RUA_MAX);
    }

    fn failed(result: ResultType, host: &str) -> Failed {
        Failed {
            result,
            host: host.into(),
            address: "2001:db8::1".parse().ok(),
            reason: String::new(),
        }
    }

    /// The example of RFC 8460 appendix B, as far as a sender without several addresses
    /// has it.
    #[test]
    fn rfc_8460_4_4_the_report() {
        let sts = Applied {
            kind: PolicyType::Sts,
            strings: ["version: STSv1", "mode: testing"]
                .map(String::from)
                .to_vec(),
            hosts: vec!["*.mail.company-y.example".into()],
        };
        let mut day = DayOfDomain::default();
        for _ in 0..3 {
            day.count(&sts, Ok(()));
        }
        for _ in 0..2 {
            let expired = failed(ResultType::CertificateExpired, "mx1.mail.company-y.example");
            day.count(&sts, Err(expired));
        }
        day.count(&Applied::none(), Ok(()));
        let about = About {
            organisation: "Company-X",
            contact: "sts-reporting@company-x.example",
            id: "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
            domain: "company-y.example",
            start: "2016-04-01T00:00:00Z",
            end: "2016-04-01T23:59:59Z",
        };
        let want = json!({
            "organization-name": "Company-X",
            "date-range": {
                "start-datetime": "2016-04-01T00:00:00Z",
                "end-datetime": "2016-04-01T23:59:59Z"
            },
            "contact-info": "sts-reporting@company-x.example",
            "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
            "policies": [{
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1", "mode: testing"],
                    "policy-domain": "company-y.example",
                    "mx-host": ["*.mail.company-y.example"]
                },
                "summary": {
                    "total-successful-session-count": 3,
                    "total-failure-session-count": 2
                },
                "failure-details": [{
                    "result-type": "certificate-expired",
                    "receiving-mx-hostname": "mx1.mail.company-y.example",
                    "receiving-ip": "2001:db8::1",
                    "failed-session-count": 2
                }]
            }, {
                "policy": {"policy-type": "no-policy-found", "policy-domain": "company-y.example"},
                "summary": {
                    "total-successful-session-count": 1,
                    "total-failure-session-count": 0
                },
                "failure-details": []
            }]
        });
        let read = |json: &str| serde_json::from_str::<Value>(json).expect("JSON");
        assert_eq!(read(&report(&about, &day)), want);
        let odd = "a\"b\\c\u{1}\u{85}\u{7f}阿";
        let about = About {
            organisation: odd,
            ..about
        };
        assert_eq!(read(&report(&about, &day))["organization-name"], odd);
        assert_eq!(
            file_name(
                "mail.sender.example",
                "example.com",
                1_470_013_207,
                1_470_186_007,
                "001"
            ),
            "mail.sender.example!example.com!1470013207!1470186007!001.json"
        );
    }

    #[test]
    fn what_is_counted_is_bounded_and_adds_up() {
        let mut day = DayOfDomain::default();
        for at in 0..FAILURES_MAX + 50 {
            let host = format!("mx{at}.far.test");
            day.count(
                &Applied::none(),
                Err(failed(ResultType::ValidationFailure, &host)),
            );
        }
        let counted = &day.policies[&Applied::none()];
        assert_eq!(
            (counted.failures.len(), counted.more_failures),
            (FAILURES_MAX, 50)
        );
        assert_eq!(counted.failed(), (FAILURES_MAX + 50) as u64);
        let mut twice = day.clone();
        twice.add(&day);
        let counted = &twice.policies[&Applied::none()];
        assert_eq!(counted.failed(), 2 * (FAILURES_MAX + 50) as u64);
        for at in 0..POLICIES_MAX + 5 {
            let mut applied = Applied::none();
            applied.strings.push(at.to_string());
            day.count(&applied, Ok(()));
        }
        assert_eq!(day.policies.len(), POLICIES_MAX);
    }
}
