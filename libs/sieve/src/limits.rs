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
/// Octets of a compiled regular expression.
pub const REGEX_BYTES_MAX: usize = 256 * 1_024;
/// And of one that has an automaton besides.
pub const REGEX_AUTOMATON_BYTES_MAX: usize = 64 * 1_024;
/// Octets that an automaton may take while it runs.
pub const REGEX_CACHE_BYTES_MAX: usize = 64 * 1_024;
/// Octets of what an expression's groups need while it runs.
pub const REGEX_TABLES_BYTES_MAX: usize = 4 << 20;
/// What an expression counts for besides its program.
pub const REGEX_OWN_BYTES: usize = 4 * 1_024;
/// Octets of all regular expressions of a script together: some thousand ordinary ones.
pub const REGEX_BYTES_TOTAL_MAX: usize = 8 << 20;
/// What each octet of an expression's text counts for besides: a class of letters has hundreds of ranges, whatever is
/// compiled of them.
pub const REGEX_OCTET_BYTES: usize = 128;
/// What compiling one while a script runs costs for each octet that it counts for.
pub const REGEX_WEIGHT: usize = 4;
/// And steps for each octet of its text: twenty microseconds, for the worst classes.
pub const REGEX_OCTET_STEPS: usize = 100;
/// Octets of a script in memory for each of its text, about: `keep;` is five here and a hundred there.
pub const SCRIPT_WEIGHT: usize = 32;
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
/// Octets of the strings that one test or command has of them and of what it reads, together.
pub const VALUES_BYTES_MAX: usize = 16 << 20;
/// Flags of one action or variable.
pub const FLAGS_MAX: usize = 128;
/// Fields that a script adds or deletes.
pub const HEADER_EDITS_MAX: usize = 256;
/// Octets of a field that a script adds.
pub const HEADER_FIELD_BYTES_MAX: usize = 2_048;
/// Header fields that are looked at; what is behind them is as if it was not there, and such a header is not edited.
pub const FIELDS_MAX: usize = 20_000;
/// Octets of the headers that a run makes of a message, beside the first: each action keeps the one that was there when
/// it was met.
pub const VERSIONS_BYTES_MAX: usize = 1 << 20;
/// Addresses of fields that are kept for the next test: they take many times their octets.
pub const ADDRESSES_KEPT_MAX: usize = 10_000;
/// Octets of parts' texts that are kept for the next test.
pub const TEXTS_KEPT_BYTES_MAX: usize = 8 << 20;
/// What reading a value costs for each octet, compared with looking at it: encoded words, addresses, dates, parameters.
pub const READ_WEIGHT: usize = 8;
/// What changing a variable's letters costs so.
pub const MODIFY_WEIGHT: usize = 4;
/// What undoing the encoding and the charset of a body costs so, and taking the text of HTML once more.
pub const DECODE_WEIGHT: usize = 4;
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
    /// Steps: a test, a command, a value or a part is one, and so is each 64 octets that are looked at; what takes
    /// longer counts for more. A step is a fifth of a microsecond at most, about.
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
            fuel: 4_000_000,
            actions: 32,
            redirects: 4,
            notifications: 4,
            variable_bytes: 4_096,
        }
    }
}
