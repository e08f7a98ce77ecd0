//! Every bound of this crate.

/// A script's octets.
pub const SCRIPT_BYTES_MAX: usize = 256 * 1_024;
/// Characters of an identifier (RFC 5228 §2.10.2 leaves it to us).
pub const IDENTIFIER_CHARS_MAX: usize = 32;
/// Arguments of one command or test.
pub const ARGUMENTS_MAX: usize = 32;
/// Strings in one list.
pub const STRINGS_MAX: usize = 4_096;
/// Blocks in blocks. RFC 5228 §2.10.5 asks for 15 at least.
pub const BLOCKS_NESTED_MAX: usize = 32;
/// Tests in tests. RFC 5228 §2.10.5 asks for 15 at least.
pub const TESTS_NESTED_MAX: usize = 32;
/// Blocks and tests in each other while a script runs, included scripts with them: each takes stack.
pub const RUN_DEPTH_MAX: usize = 150;
/// Complaints that are collected before a compiler gives up.
pub const COMPLAINTS_MAX: usize = 64;
/// Octets of a compiled regular expression, and of what it may cache while it runs.
pub const REGEX_BYTES_MAX: usize = 256 * 1_024;
/// Where looking for its size begins.
pub const REGEX_BYTES_MIN: usize = 4 * 1_024;
/// Steps for compiling one while a script runs.
pub const REGEX_STEPS: usize = 10_000;
/// Characters of a regular expression.
pub const REGEX_CHARS_MAX: usize = 1_024;
/// Groups of brackets within each other in a regular expression.
pub const REGEX_NESTED_MAX: u32 = 16;

/// Match variables, `${0}` among them (RFC 5229 §3.2 asks for 10 at least).
pub const MATCHES_MAX: usize = 32;
/// Characters of a variable's name.
pub const VARIABLE_NAME_CHARS_MAX: usize = 64;
/// Variables of one run.
pub const VARIABLES_MAX: usize = 256;
/// Octets of a string once its variables are put in.
pub const STRING_BYTES_MAX: usize = 1 << 20;
/// Flags of one action or variable.
pub const FLAGS_MAX: usize = 128;
/// Fields that a script adds or deletes.
pub const HEADER_EDITS_MAX: usize = 256;
/// Octets of a field that a script adds.
pub const HEADER_FIELD_BYTES_MAX: usize = 2_048;
/// Header fields that are looked at; what is behind them is as if it was not there.
pub const FIELDS_MAX: usize = 20_000;
/// Octets of a message's parts that body tests read, decoded.
pub const BODY_BYTES_MAX: u64 = 8 << 20;
/// Parts that one body test or loop looks at.
pub const PARTS_MAX: usize = 1_000;
/// Loops over parts within each other.
pub const PART_LOOPS_MAX: usize = 4;
/// Lines of a trace.
pub const TRACE_LINES_MAX: usize = 1_000;
/// Characters of one trace line's quotation.
pub const TRACE_CHARS_MAX: usize = 120;
/// Scripts that one run includes.
pub const INCLUDES_MAX: usize = 64;
/// Scripts included by included scripts.
pub const INCLUDE_DEPTH_MAX: usize = 10;
/// Octets that a name of a script may have.
pub const SCRIPT_NAME_BYTES_MAX: usize = 512;

/// What one run may take; [`Limits::default`] is what delivery uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Steps: a test or a command is one, and so is each 64 octets that are looked at.
    pub fuel: u64,
    /// Actions.
    pub actions: usize,
    /// Redirects among them: each is a message to somebody else (THREATS 26).
    pub redirects: usize,
    /// Notifications among them.
    pub notifications: usize,
    /// Octets of one variable; what is more is cut off (RFC 5229 §6).
    pub variable_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 2_000_000,
            actions: 32,
            redirects: 4,
            notifications: 4,
            variable_bytes: 4_096,
        }
    }
}
