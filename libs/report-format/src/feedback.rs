//! Complaints and other feedback about mail that we sent: message/feedback-report
//! (RFC 5965), with the fields about authentication failures (RFC 6591).
//!
//! Nothing in a report is to be trusted: anybody writes one. Whether it is acted upon is
//! the caller's. Not here: aggregate reports of DMARC and TLS, which are other formats.

use std::net::IpAddr;

use mime::{DateTime, HeaderReader, Part, PartKind, parse_date};

use crate::limits::{FEEDBACK_VALUES_MAX, RETURNED_HEADER_BYTES_MAX, WORD_CHARS_MAX};

/// What a report is about: RFC 5965 §7.3, RFC 6591 §3.3, RFC 6430 §3.2.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FeedbackType {
    /// A person says that it is spam.
    Abuse,
    /// It pretends to be of somebody else.
    Fraud,
    /// It brings a virus.
    Virus,
    /// A person says that it is no spam.
    NotSpam,
    /// It failed authentication.
    AuthFailure,
    /// Something else, by its name in lower case.
    Other(String),
}

impl FeedbackType {
    fn parse(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "abuse" => Self::Abuse,
            "fraud" => Self::Fraud,
            "virus" => Self::Virus,
            "not-spam" => Self::NotSpam,
            "auth-failure" => Self::AuthFailure,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Somebody did not want the message.
    #[must_use]
    pub fn is_complaint(&self) -> bool {
        matches!(self, Self::Abuse | Self::Fraud)
    }
}

/// What failed: RFC 6591 §3.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthFailure {
    /// Auth-Failure: `dkim`, `spf`, `bodyhash` …, in lower case.
    pub kind: String,
    /// Delivery-Result: `delivered`, `spam`, `policy`, `reject`, `other`, in lower case.
    pub delivery_result: Option<String>,
    /// Authentication-Results.
    pub results: Vec<String>,
    /// DKIM-Domain.
    pub dkim_domain: Option<String>,
    /// DKIM-Selector.
    pub dkim_selector: Option<String>,
    /// DKIM-Identity.
    pub dkim_identity: Option<String>,
    /// SPF-DNS.
    pub spf_dns: Vec<String>,
}

/// A feedback report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// Feedback-Type.
    pub feedback_type: FeedbackType,
    /// User-Agent.
    pub user_agent: Option<String>,
    /// Original-Mail-From without its brackets.
    pub mail_from: Option<String>,
    /// Original-Rcpt-To without their brackets; many senders of reports leave them out.
    pub recipients: Vec<String>,
    /// Original-Envelope-Id.
    pub envelope_id: Option<String>,
    /// Arrival-Date, or Received-Date of early writers.
    pub arrived: Option<DateTime>,
    /// Source-IP.
    pub source_ip: Option<IpAddr>,
    /// Reporting-MTA without its type.
    pub reporting_mta: Option<String>,
    /// Reported-Domain.
    pub domains: Vec<String>,
    /// Reported-URI.
    pub uris: Vec<String>,
    /// Incidents, 1 where it is not said.
    pub incidents: u32,
    /// For [`FeedbackType::AuthFailure`].
    pub auth_failure: Option<AuthFailure>,
    /// The header of the message that it is about, as far as it is there.
    pub original_header: Vec<u8>,
}

/// Reads the body of a message/feedback-report part, its transfer encoding undone; none
/// without a type.
#[must_use]
pub fn parse_feedback(body: &[u8]) -> Option<Feedback> {
    let fields: Vec<_> = HeaderReader::new(body).collect();
    let all = |name: &str| -> Vec<String> {
        let named = fields.iter().filter(|field| field.is(name));
        let values = named.map(|field| value(&field.unfolded()));
        let values = values.filter(|value| !value.is_empty());
        values.take(FEEDBACK_VALUES_MAX).collect()
    };
    let one = |name: &str| all(name).into_iter().next();
    let word = |name: &str| one(name).and_then(|value| first_word(&value));
    // RFC 5965 §3.1: required, once.
    let feedback_type = FeedbackType::parse(&word("Feedback-Type")?);
    let dates = ["Arrival-Date", "Received-Date"];
    let arrived = dates.iter().find_map(|name| one(name));
    let auth_failure = (feedback_type == FeedbackType::AuthFailure).then(|| AuthFailure {
        kind: lower(word("Auth-Failure")).unwrap_or_default(),
        delivery_result: lower(word("Delivery-Result")),
        results: all("Authentication-Results"),
        dkim_domain: word("DKIM-Domain"),
        dkim_selector: word("DKIM-Selector"),
        dkim_identity: word("DKIM-Identity"),
        spf_dns: all("SPF-DNS"),
    });
    Some(Feedback {
        feedback_type,
        user_agent: one("User-Agent"),
        mail_from: one("Original-Mail-From").map(|path| bare(&path)),
        recipients: all("Original-Rcpt-To")
            .iter()
            .map(|path| bare(path))
            .collect(),
        envelope_id: one("Original-Envelope-Id"),
        arrived: arrived.and_then(|text| parse_date(text.as_bytes())),
        source_ip: word("Source-IP").and_then(|ip| {
            let ip = ip.trim_start_matches("IPv6:");
            ip.trim_matches(['[', ']']).parse().ok()
        }),
        reporting_mta: one("Reporting-MTA").map(|text| untyped(&text)),
        domains: all("Reported-Domain"),
        uris: all("Reported-URI"),
        incidents: word("Incidents").and_then(|n| n.parse().ok()).unwrap_or(1),
        auth_failure,
        original_header: Vec::new(),
    })
}

/// Reads the feedback out of a whole message, if it has some.
#[must_use]
pub fn read_feedback(message: &[u8]) -> Option<Feedback> {
    let digest = mime::digest(message);
    let parts = digest.parts.parts();
    let leaf =
        |part: &&Part| part.kind == PartKind::Leaf && part.media_type == "message/feedback-report";
    let mut feedback = parse_feedback(&body(message, parts.iter().find(leaf)?)?)?;
    let original = parts.iter().find(|part| {
        part.media_type == "message/rfc822" || part.media_type == "text/rfc822-headers"
    });
    if let Some(body) = original.and_then(|part| body(message, part)) {
        let block: usize = HeaderReader::new(&body).map(|field| field.raw.len()).sum();
        let end = block.min(RETURNED_HEADER_BYTES_MAX);
        feedback.original_header = body[..end].to_vec();
    }
    Some(feedback)
}

fn body(message: &[u8], part: &Part) -> Option<Vec<u8>> {
    let start = usize::try_from(part.body.start).ok()?;
    let end = usize::try_from(part.body.end).ok()?;
    Some(mime::transfer::decode(
        part.encoding,
        message.get(start..end)?,
    ))
}

/// A value on one line, bounded.
fn value(unfolded: &[u8]) -> String {
    let text = mime::encoded_word::decode(unfolded);
    let text = text.chars().filter(|c| !c.is_control());
    let text: String = text.take(WORD_CHARS_MAX).collect();
    text.trim().to_owned()
}

fn lower(word: Option<String>) -> Option<String> {
    word.map(|word| word.to_ascii_lowercase())
}

fn first_word(text: &str) -> Option<String> {
    let word = text
        .split([' ', '\t', '(', ';'])
        .find(|word| !word.is_empty());
    word.map(str::to_owned)
}

fn bare(path: &str) -> String {
    let path = path.trim();
    let inner = path
        .strip_prefix('<')
        .and_then(|path| path.strip_suffix('>'));
    inner.unwrap_or(path).to_owned()
}

fn untyped(text: &str) -> String {
    let name = text.split_once(';').map_or(text, |(_, name)| name);
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5965 appendix B.2, shortened.
    const COMPLAINT: &str = "From: <abusedesk@example.com>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: multipart/report; report-type=feedback-report;\r\n boundary=\"b\"\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n\
        --b\r\nContent-Type: message/feedback-report\r\n\r\n\
        Feedback-Type: abuse\r\n\
        User-Agent: SomeGenerator/1.0\r\n\
        Version: 1\r\n\
        Original-Mail-From: <somespammer@example.net>\r\n\
        Original-Rcpt-To: <user@example.com>\r\n\
        Original-Rcpt-To: <other@example.com>\r\n\
        Arrival-Date: Thu, 8 Mar 2005 14:00:00 EDT\r\n\
        Reporting-MTA: dns; mail.example.com\r\n\
        Source-IP: 192.0.2.1\r\n\
        Reported-Domain: example.net\r\n\
        Reported-Uri: http://example.net/earn_money.html\r\n\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\n\
        Message-ID: <8787KJKJ3K4J3K4J3K4J3.mail@example.net>\r\nSubject: Earn money\r\n\r\nSpam\r\n--b--\r\n";

    #[test]
    fn rfc_5965_a_complaint_is_read() {
        let read = read_feedback(COMPLAINT.as_bytes()).expect("a report");
        assert_eq!(read.feedback_type, FeedbackType::Abuse);
        assert!(read.feedback_type.is_complaint());
        assert_eq!(read.mail_from.as_deref(), Some("somespammer@example.net"));
        assert_eq!(read.recipients, ["user@example.com", "other@example.com"]);
        assert_eq!(read.source_ip, "192.0.2.1".parse().ok());
        assert_eq!(read.reporting_mta.as_deref(), Some("mail.example.com"));
        assert_eq!(read.domains, ["example.net"]);
        assert_eq!(read.uris, ["http://example.net/earn_money.html"]);
        assert_eq!((read.incidents, read.arrived.is_some()), (1, true));
        let header = String::from_utf8(read.original_header).expect("text");
        assert!(header.starts_with("Message-ID: <8787") && header.ends_with("money\r\n"));
    }

    #[test]
    fn rfc_6591_what_failed_is_read() {
        let body = "Feedback-Type: auth-failure (of DKIM)\r\nVersion: 1\r\nAuth-Failure: BodyHash\r\n\
            Authentication-Results: mx.example.com;\r\n dkim=fail header.d=example.net\r\n\
            DKIM-Domain: example.net\r\nDKIM-Selector: s1\r\nDelivery-Result: Reject\r\n\
            SPF-DNS: txt : example.net : \"v=spf1 -all\"\r\nIncidents: 7\r\n\
            Source-IP: IPv6:2001:db8::1\r\n";
        let read = parse_feedback(body.as_bytes()).expect("a report");
        let failed = read.auth_failure.expect("it says what");
        assert_eq!(failed.kind, "bodyhash");
        assert_eq!(failed.delivery_result.as_deref(), Some("reject"));
        assert_eq!(
            failed.results,
            ["mx.example.com; dkim=fail header.d=example.net"]
        );
        assert_eq!(failed.dkim_domain.as_deref(), Some("example.net"));
        assert_eq!((failed.spf_dns.len(), read.incidents), (1, 7));
        assert_eq!(read.source_ip, "2001:db8::1".parse().ok());
        assert!(!FeedbackType::AuthFailure.is_complaint());
    }

    #[test]
    fn threat_33_what_is_no_report_is_none_and_a_flood_is_bounded() {
        assert_eq!(parse_feedback(b""), None);
        assert_eq!(parse_feedback(b"Feedback-Type:\r\nVersion: 1\r\n"), None);
        assert_eq!(parse_feedback(b"\xff\xfe\0Feedback-Type: abuse"), None);
        assert_eq!(
            read_feedback(b"Subject: hi\r\n\r\nFeedback-Type: abuse\r\n"),
            None
        );
        let many = format!(
            "Feedback-Type: {}\r\nSource-IP: nowhere\r\nIncidents: -1\r\n{}",
            "x".repeat(10_000),
            "Original-Rcpt-To: <a@b.test>\r\n".repeat(5_000)
        );
        let read = parse_feedback(many.as_bytes()).expect("a report");
        assert_eq!(read.recipients.len(), FEEDBACK_VALUES_MAX);
        assert_eq!((read.source_ip, read.incidents), (None, 1));
        let FeedbackType::Other(name) = read.feedback_type else {
            panic!("a type that nobody knows");
        };
        assert_eq!(name.len(), WORD_CHARS_MAX);
    }
}
