//! TLSA records of mail servers: RFC 6698 §2.1, RFC 7671 §5, RFC 7672 §3.1.

use sha2::{Digest as _, Sha256, Sha512};

/// What a record says, as it stands in the DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// Certificate usage: 0 to 3.
    pub usage: u8,
    /// 0 the certificate, 1 its public key.
    pub selector: u8,
    /// 0 as it is, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// The octets to compare with.
    pub data: Vec<u8>,
}

/// What a usable record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// DANE-EE: the server's own certificate; neither names nor dates matter.
    EndEntity,
    /// DANE-TA: one that issued it, and the names must be right.
    TrustAnchor,
}

impl Tlsa {
    /// What it is about; none for a record that SMTP has no use for: PKIX-TA and
    /// PKIX-EE (RFC 7672 §3.1.3), and what is not understood.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let length = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        if !length || self.selector > 1 {
            return None;
        }
        match self.usage {
            2 => Some(Usage::TrustAnchor),
            3 => Some(Usage::EndEntity),
            _ => None,
        }
    }

    /// The record as a zone has it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let data = self.data.iter().map(|byte| format!("{byte:02x}"));
        let (usage, selector, matching) = (self.usage, self.selector, self.matching);
        format!("{usage} {selector} {matching} {}", data.collect::<String>())
    }

    /// Whether it is about this certificate: its DER, and that of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn matches(&self, certificate: &[u8], public_key: &[u8]) -> bool {
        let subject = match self.selector {
            0 => certificate,
            1 => public_key,
            _ => return false,
        };
        // What is compared is public: time tells nobody anything.
        match self.matching {
            0 => self.data == subject,
            1 => self.data == Sha256::digest(subject).as_slice(),
            2 => self.data == Sha512::digest(subject).as_slice(),
            _ => false,
        }
    }
}

impl std::fmt::Display for Tlsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        for byte in self.data.iter().take(8) {
            write!(f, "{byte:02x}")?;
        }
        if self.data.len() > 8 {
            f.write_str("…")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Tlsa {
        Tlsa {
            usage,
            selector,
            matching,
            data: data.to_vec(),
        }
    }

    #[test]
    fn each_matching_type_is_about_the_selected_part() {
        let (certificate, key) = (b"certificate".as_slice(), b"key".as_slice());
        for usage in [2, 3] {
            for (selector, subject) in [(0, certificate), (1, key)] {
                let sha256 = Sha256::digest(subject);
                let sha512 = Sha512::digest(subject);
                for (matching, data) in [(0, subject), (1, &sha256[..]), (2, &sha512[..])] {
                    let one = record(usage, selector, matching, data);
                    assert!(one.usage().is_some());
                    assert!(one.matches(certificate, key));
                    assert!(!one.matches(key, certificate));
                }
            }
        }
    }

    #[test]
    fn rfc_7672_section_3_1_3_pkix_usages_and_unknown_ones_are_of_no_use() {
        let sha256 = [1; 32];
        assert_eq!(record(3, 1, 1, &sha256).usage(), Some(Usage::EndEntity));
        assert_eq!(record(2, 0, 1, &sha256).usage(), Some(Usage::TrustAnchor));
        for unusable in [
            record(0, 0, 1, &sha256),
            record(1, 1, 1, &sha256),
            record(4, 1, 1, &sha256),
            record(3, 2, 1, &sha256),
            record(3, 1, 3, &sha256),
            record(3, 1, 1, &sha256[1..]),
            record(3, 1, 2, &sha256),
            record(3, 1, 0, &[]),
        ] {
            assert_eq!(unusable.usage(), None, "{unusable}");
        }
    }
}
