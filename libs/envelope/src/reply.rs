//! Replies: RFC 5321 §4.2, with RFC 2034 enhanced codes on each line.
//!
//! Not here: reading them off a connection (`smtp-proto`'s client).

use core::fmt;

use crate::EnhancedStatus;

/// What a server answered, or is going to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The enhanced code, written on every line.
    pub enhanced: Option<EnhancedStatus>,
    /// The text, without codes and line ends; no line at all is one empty line.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply of one text line, or of several divided by LF.
    #[must_use]
    pub fn new(code: u16, enhanced: Option<EnhancedStatus>, text: &str) -> Self {
        Self {
            code,
            enhanced,
            lines: text.lines().map(clean).collect(),
        }
    }

    /// Short for a reply with an enhanced code: `Reply::enhanced(550, (5, 1, 1), "…")`.
    #[must_use]
    pub fn enhanced(code: u16, (class, subject, detail): (u8, u16, u16), text: &str) -> Self {
        Self::new(
            code,
            Some(EnhancedStatus::new(class, subject, detail)),
            text,
        )
    }

    /// 2yz.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 3yz.
    #[must_use]
    pub fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// 4yz: try again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz: do not.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The text on one line, for people and logs.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// The whole reply on one line, codes included: `550 5.1.1 no such user`.
    #[must_use]
    pub fn to_line(&self) -> String {
        match self.enhanced {
            Some(enhanced) => format!("{} {enhanced} {}", self.code, self.text()),
            None => format!("{} {}", self.code, self.text()),
        }
    }
}

/// The wire form, with CRLF. A control character in a text becomes `?`: a reply
/// can never grow a line that nobody meant.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.lines.len().saturating_sub(1);
        for index in 0..=last {
            let text = self.lines.get(index).map_or("", String::as_str);
            write!(f, "{}{}", self.code, if index == last { ' ' } else { '-' })?;
            if let Some(enhanced) = self.enhanced {
                write!(f, "{enhanced} ")?;
            }
            write!(f, "{}\r\n", clean(text))?;
        }
        Ok(())
    }
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
