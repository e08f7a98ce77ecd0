//! What a compiler says of a script: where, and what was expected.

use crate::limits::COMPLAINTS_MAX;

/// A place in a script; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

impl core::fmt::Display for Position {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One thing that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Where.
    pub at: Position,
    /// What.
    pub what: String,
}

impl core::fmt::Display for Complaint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// Everything that is wrong with a script, in its order; never empty when it is given away.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct Complaints {
    list: Vec<Complaint>,
    lost: usize,
}

impl core::fmt::Display for Complaints {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (at, complaint) in self.list.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{complaint}")?;
        }
        if self.lost > 0 {
            write!(f, "\nand {} more", self.lost)?;
        }
        Ok(())
    }
}

impl Complaints {
    pub(crate) fn push(&mut self, at: Position, what: impl Into<String>) {
        if self.list.len() < COMPLAINTS_MAX {
            let what = what.into();
            self.list.push(Complaint { at, what });
        } else {
            self.lost += 1;
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= COMPLAINTS_MAX
    }

    pub(crate) fn in_order(mut self) -> Self {
        self.list.sort_by_key(|complaint| complaint.at);
        self
    }

    /// All that were kept.
    #[must_use]
    pub fn list(&self) -> &[Complaint] {
        &self.list
    }

    /// Is nothing wrong?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
