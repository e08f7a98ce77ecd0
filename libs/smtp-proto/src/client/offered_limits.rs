//! LIMITS: what a server says it will take (RFC 9422).

/// A server's limits; none where it names none. Never zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OfferedLimits {
    /// MAILMAX: transactions of one session (§4.1).
    pub mail: Option<u32>,
    /// RCPTMAX: recipients of one transaction (§4.2).
    pub rcpt: Option<u32>,
    /// RCPTDOMAINMAX: recipients' domains of one session (§4.3).
    pub rcpt_domains: Option<u32>,
}

impl OfferedLimits {
    /// Reads what stands behind LIMITS. Names that are not known and values that
    /// are none do not count (§3.7).
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let place = match name.to_ascii_uppercase().as_str() {
                "MAILMAX" => &mut found.mail,
                "RCPTMAX" => &mut found.rcpt,
                "RCPTDOMAINMAX" => &mut found.rcpt_domains,
                _ => continue,
            };
            *place = parse_value(value);
        }
        found
    }
}

/// §3: one to six digits, the first of them no zero.
fn parse_value(text: &str) -> Option<u32> {
    let digits = (1..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    (digits && !text.starts_with('0')).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9422_3_what_is_no_limit_does_not_count() {
        let parse = |text: &str| OfferedLimits::parse(text.split(' '));
        let all = OfferedLimits {
            mail: Some(10),
            rcpt: Some(999_999),
            rcpt_domains: Some(1),
        };
        assert_eq!(parse("MAILMAX=10 rcptmax=999999 RCPTDOMAINMAX=1"), all);
        for none in [
            "",
            "MAILMAX",
            "MAILMAX=",
            "MAILMAX=0",
            "MAILMAX=01",
            "RCPTMAX=1000000",
            "RCPTMAX=-1",
            "RCPTMAX=1=2",
            "FUTURE=7",
        ] {
            assert_eq!(parse(none), OfferedLimits::default(), "{none}");
        }
    }
}
