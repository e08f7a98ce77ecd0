//! What is known about a client: findings with points, fields, its name.

use std::fmt;

use super::Phase;

/// Something that a check found, under a name that never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Such as `iprev-none`; in logs, traces and marks.
    pub name: &'static str,
    /// For people, one line.
    pub detail: String,
    /// How much it says against the client; below zero it speaks for it.
    pub points: i32,
}

impl Finding {
    /// A finding of so many points.
    #[must_use]
    pub fn new(name: &'static str, points: i32, detail: impl Into<String>) -> Self {
        Self {
            name,
            detail: detail.into(),
            points,
        }
    }
}

/// RFC 8601 §2.7.3 and RFC 5451's iprev: a name of the address leads back to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpRev {
    /// It does: the name.
    Pass(String),
    /// There are names, and none leads back: the first of them.
    Fail(String),
    /// There is no name.
    None,
    /// Nobody could say.
    Unknown,
}

impl IpRev {
    /// The word of RFC 8601 §2.7.3.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pass(_) => "pass",
            Self::Fail(_) => "fail",
            Self::None => "permerror",
            Self::Unknown => "temperror",
        }
    }

    /// The name that leads back.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Pass(name) => Some(name),
            _ => None,
        }
    }
}

/// A header field that a check wants in front of the message. It is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    name: &'static str,
    value: String,
}

impl Field {
    /// A field. What would end the line or is not ASCII becomes `?`.
    #[must_use]
    pub fn new(name: &'static str, value: &str) -> Self {
        let plain = |c: char| {
            if c == ' ' || c.is_ascii_graphic() {
                c
            } else {
                '?'
            }
        };
        Self {
            name,
            value: value.chars().map(plain).collect(),
        }
    }
}

/// The field with CRLF.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\r\n", self.name, self.value)
    }
}

/// The field that says what was found. Incoming ones are dropped at intake.
pub const MARKS_FIELD: &str = "X-Posthouse-Marks";

/// Everything that the checks found about a client so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    findings: Vec<(Phase, Finding)>,
    fields: Vec<(Phase, Field)>,
    iprev: Option<IpRev>,
    trusted: Option<Phase>,
}

impl Evidence {
    /// What was found, in the order in which it was.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().map(|(_, finding)| finding)
    }

    /// Whether the client's address has a name that leads back to it, when that
    /// was asked.
    #[must_use]
    pub fn iprev(&self) -> Option<&IpRev> {
        self.iprev.as_ref()
    }

    /// Some check knows the client for good mail.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted.is_some()
    }

    /// What speaks against the client less what speaks for it.
    #[must_use]
    pub fn points(&self) -> i32 {
        let points = self.findings().map(|finding| finding.points);
        points.fold(0, i32::saturating_add)
    }

    /// What was found, for people: `iprev-none (…); helo-literal (…)`.
    #[must_use]
    pub fn summary(&self) -> String {
        let found = self.findings().map(|finding| match &finding.detail[..] {
            "" => finding.name.to_owned(),
            detail => format!("{} ({detail})", finding.name),
        });
        found.collect::<Vec<_>>().join("; ")
    }

    /// The fields for the message's header, each with CRLF.
    #[must_use]
    pub fn header(&self) -> String {
        let mut header = String::new();
        if !self.findings.is_empty() {
            header.push_str(&Field::new(MARKS_FIELD, &self.summary()).to_string());
        }
        for (_, field) in &self.fields {
            header.push_str(&field.to_string());
        }
        header
    }

    /// What was found in this phase and later ones is forgotten.
    pub(super) fn begin(&mut self, phase: Phase) {
        self.findings.retain(|(of, _)| *of < phase);
        self.fields.retain(|(of, _)| *of < phase);
        self.trusted = self.trusted.filter(|of| *of < phase);
        if phase == Phase::Connect {
            self.iprev = None;
        }
    }

    pub(super) fn add(
        &mut self,
        phase: Phase,
        findings: Vec<Finding>,
        fields: Vec<Field>,
        iprev: Option<IpRev>,
    ) {
        self.findings
            .extend(findings.into_iter().map(|finding| (phase, finding)));
        self.fields
            .extend(fields.into_iter().map(|field| (phase, field)));
        self.iprev = iprev.or_else(|| self.iprev.take());
    }

    pub(super) fn trust(&mut self, phase: Phase) {
        self.trusted.get_or_insert(phase);
    }
}
