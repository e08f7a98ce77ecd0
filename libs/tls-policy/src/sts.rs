//! MTA-STS: RFC 8461 §3.1 (the TXT record), §3.2 (the policy), §4.1 (which hosts it names).

use crate::limits::{MAX_AGE_SECONDS_MAX, PATTERNS_MAX, POLICY_BYTES_MAX};
use thiserror::Error;

/// What is done with mail to a host that is not as the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is not delivered there.
    Enforce,
    /// It is, and the domain hears of it where it asks for reports.
    Testing,
    /// There is no policy.
    None,
}

/// A domain's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What follows from it.
    pub mode: Mode,
    /// Its hosts: names, or `*.` and a name.
    pub hosts: Vec<String>,
    /// Seconds that it holds.
    pub max_age: u64,
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// It is longer than any policy has to be.
    #[error("the policy is longer than {POLICY_BYTES_MAX} octets")]
    TooLong,
    /// It is no text.
    #[error("the policy is not text")]
    NotText,
    /// A field is missing or says what it can't.
    #[error("the policy's {0}")]
    Field(&'static str),
}

impl Policy {
    /// Reads what `/.well-known/mta-sts.txt` holds.
    ///
    /// # Errors
    /// It is no policy that we understand.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLong);
        }
        let text = core::str::from_utf8(text).map_err(|_| PolicyError::NotText)?;
        let (mut version, mut mode, mut max_age) = (None, None, None);
        let mut hosts = Vec::new();
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let Some((key, value)) = line.split_once(':') else {
                if line.trim().is_empty() {
                    continue;
                }
                return Err(PolicyError::Field("line has no colon"));
            };
            let value = value.trim();
            match key.trim() {
                // RFC 8461 §3.2: of each but mx the first one counts.
                "version" => {
                    version.get_or_insert(value);
                }
                "mode" => {
                    mode.get_or_insert(value);
                }
                "max_age" => {
                    max_age.get_or_insert(value);
                }
                "mx" => {
                    if hosts.len() == PATTERNS_MAX {
                        return Err(PolicyError::Field("mx are too many"));
                    }
                    hosts.push(pattern(value).ok_or(PolicyError::Field("mx is no host"))?);
                }
                // RFC 8461 §3.2: extensions are passed over.
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err(PolicyError::Field("version is not STSv1"));
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err(PolicyError::Field("mode is none of the three")),
        };
        let is_number = |text: &&str| {
            (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let max_age = max_age
            .filter(is_number)
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or(PolicyError::Field("max_age is no number of seconds"))?;
        if hosts.is_empty() && mode != Mode::None {
            return Err(PolicyError::Field("mx is missing"));
        }
        Ok(Self {
            mode,
            hosts,
            max_age: max_age.min(MAX_AGE_SECONDS_MAX),
        })
    }

    /// The text that it is written as.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let mut text = format!("version: STSv1\nmode: {mode}\n");
        for host in &self.hosts {
            text.push_str("mx: ");
            text.push_str(host);
            text.push('\n');
        }
        text.push_str(&format!("max_age: {}\n", self.max_age));
        text
    }

    /// Whether a host, in A-labels, is one of its hosts (RFC 8461 §4.1): `*` is
    /// exactly one label, the leftmost.
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let behind_first = host.split_once('.').map(|(_, rest)| rest);
        self.hosts.iter().any(|pattern| {
            pattern
                .strip_prefix("*.")
                .map_or(*pattern == host, |rest| behind_first == Some(rest))
        })
    }
}

fn pattern(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let name = text.strip_prefix("*.").unwrap_or(&text);
    let label = |label: &str| {
        let byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(byte)
    };
    (name.len() <= 253 && name.split('.').all(label)).then_some(text)
}

/// The id in the TXT records of `_mta-sts.DOMAIN`, each with its strings put
/// together; none where not exactly one of them is such a record (RFC 8461 §3.1).
#[must_use]
pub fn record_id(records: &[Vec<u8>]) -> Option<String> {
    let mut found = records.iter().filter_map(|record| {
        let text = core::str::from_utf8(record).ok()?;
        let rest = text.strip_prefix("v=STSv1")?;
        rest.trim_start().strip_prefix(';')
    });
    let (fields, None) = (found.next()?, found.next()) else {
        return None;
    };
    let mut fields = fields.split(';').filter_map(|field| field.split_once('='));
    let id = fields.find(|(name, _)| name.trim() == "id")?.1.trim();
    let good = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    good.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n";

    #[test]
    fn the_rfcs_policy() {
        let policy = Policy::parse(GOOD.as_bytes()).expect("a policy");
        assert_eq!(policy.mode, Mode::Enforce);
        assert_eq!(policy.max_age, 604_800);
        assert_eq!(policy.hosts.len(), 3);
        assert_eq!(Policy::parse(policy.to_text().as_bytes()), Ok(policy));
        let bare = GOOD.replace('\r', "");
        assert!(Policy::parse(bare.as_bytes()).is_ok());
        // The first of several, unknown fields, and no end of line.
        let more =
            "version: STSv1\nx-new: 1\nmode: testing\nmode: enforce\nmx:a.b\nmax_age: 9999999999";
        let policy = Policy::parse(more.as_bytes()).expect("a policy");
        assert_eq!(
            (policy.mode, policy.max_age),
            (Mode::Testing, MAX_AGE_SECONDS_MAX)
        );
        let none = Policy::parse(b"version: STSv1\nmode: none\nmax_age: 60").expect("a policy");
        assert_eq!(none.mode, Mode::None);
    }

    #[test]
    fn what_is_not_understood_whole_is_no_policy() {
        for (from, to) in [
            ("STSv1", "STSv2"),
            ("version: STSv1\r\n", ""),
            ("enforce", "maybe"),
            ("604800", "-1"),
            ("604800", "12345678901"),
            ("max_age: 604800\r\n", ""),
            ("mail.example.com", "mail..com"),
            ("mail.example.com", "*"),
            ("mail.example.com", "a.*.com"),
            ("mail.example.com", "http://x/"),
            ("mx: mail", "mx mail"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert!(Policy::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Policy::parse(b"<html>").is_err());
        assert!(Policy::parse(b"version: STSv1\nmode: enforce\nmax_age: 1").is_err());
        assert!(Policy::parse(&vec![b'\n'; POLICY_BYTES_MAX + 1]).is_err());
        let many = format!("{GOOD}{}", "mx: a.b\n".repeat(PATTERNS_MAX));
        assert!(Policy::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn rfc_8461_section_4_1_a_star_is_one_label() {
        let policy = Policy::parse(GOOD.as_bytes()).expect("a policy");
        for host in ["mail.example.com", "MAIL.example.com.", "mx.example.net"] {
            assert!(policy.names(host), "{host}");
        }
        for host in [
            "example.net",
            "a.b.example.net",
            "other.example.com",
            ".example.net.evil",
            "",
        ] {
            assert!(!policy.names(host), "{host}");
        }
    }

    #[test]
    fn rfc_8461_section_3_1_one_record_has_the_id() {
        let id = |records: &[&str]| {
            let records: Vec<Vec<u8>> = records.iter().map(|r| r.as_bytes().to_vec()).collect();
            record_id(&records)
        };
        let good = "v=STSv1; id=20160831085700Z;";
        assert_eq!(id(&[good]).as_deref(), Some("20160831085700Z"));
        assert_eq!(id(&["v=spf1 -all", "v=STSv1;id=1"]).as_deref(), Some("1"));
        assert_eq!(id(&["v=STSv1; x=y; id=1"]).as_deref(), Some("1"));
        for bad in [
            &[][..],
            &[good, good],
            &["v=STSv1"],
            &["v=STSv1; id="],
            &["v=STSv1; id=a-b"],
            &["v=STSv12; id=1"],
            &["id=1; v=STSv1"],
        ] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_a_policy_or_not(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(policy) = Policy::parse(&text) {
                prop_assert_eq!(Policy::parse(policy.to_text().as_bytes()), Ok(policy));
            }
            let _ = record_id(&[text]);
        }
    }
}
