//! Every limit of this crate, for both sides.

/// A command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512, extensions
/// add some 1,500; beyond this a line is skipped and answered 500.
pub const COMMAND_LINE_BYTES_MAX: usize = 4096;
/// A line of an AUTH exchange with its CRLF (RFC 4954 §4.5 asks for 12,288).
pub const AUTH_LINE_BYTES_MAX: usize = 12_288 + 2;
/// Parameters of one MAIL or RCPT; all that are known are fewer.
pub const PARAMETERS_MAX: usize = 16;
/// What is skipped of one overlong command line before the session ends.
pub const SKIPPED_LINE_BYTES_MAX: usize = 1 << 20;
/// One line of a message. Breaking longer ones would break DKIM; 1 MB is enough.
pub const BODY_LINE_BYTES_MAX: u64 = 1 << 20;
/// Unknown verbs before 421.
pub const UNKNOWN_COMMANDS_MAX: u32 = 10;
/// Commands answered with an error before 421.
pub const BAD_COMMANDS_MAX: u32 = 100;
/// Commands in a row that bring no message further (NOOP, RSET, VRFY, EHLO …).
pub const IDLE_COMMANDS_MAX: u32 = 1000;
/// Refused recipients of one session before 421.
pub const REFUSED_RECIPIENTS_MAX: u32 = 1000;
/// Recipients beyond those that a transaction takes, before 421, since the last
/// accepted message: a list's server may try them all at once, nobody goes on for ever.
pub const SURPLUS_RECIPIENTS_MAX: u32 = 10_000;
/// Accepted recipients of one transaction, by default (RFC 5321 §4.5.3.1.8: at least 100).
pub const RECIPIENTS_MAX: usize = 1000;
/// The largest number that LIMITS can name (RFC 9422 §3: six digits).
pub const LIMIT_OFFERED_MAX: usize = 999_999;
/// Octets of one message, by default.
pub const MESSAGE_BYTES_MAX: u64 = 50 << 20;
/// Octets past the size limit that are read and thrown away before the session
/// ends, so that a well-meaning sender hears the 552.
pub const OVERSIZE_BYTES_MAX: u64 = 64 << 20;

/// The longest time that BY= can say (RFC 2852 §4: nine digits).
pub const BY_SECONDS_MAX: i64 = 999_999_999;
/// Octets of pipelined commands whose replies are not there yet. RFC 2920 §3.1
/// (MUST): a group of commands fits the TCP window, "usually 4K", so that
/// neither side waits for the other to read.
pub const PIPELINE_BYTES_MAX: usize = 4096;
/// Octets of a message that go with the commands, before anybody is known to want it:
/// what a new connection sends at once anyway (RFC 6928 §2: about 14,600), and little to
/// have sent in vain.
pub const START_BYTES_MAX: usize = 16 << 10;
/// Octets that are gathered for a chunk behind the first one.
pub const CHUNK_BYTES: usize = 64 << 10;

/// One line of a server's reply (RFC 5321 §4.5.3.1.5 asks for 512).
pub const REPLY_LINE_BYTES_MAX: usize = 4096;
/// Lines of one reply.
pub const REPLY_LINES_MAX: usize = 128;
/// Lines of text that are kept of one reply, once no capability can be in them.
pub const REPLY_TEXT_BYTES_MAX: usize = 16 << 10;

/// Domains that one ATRN names.
pub const ATRN_DOMAINS_MAX: usize = 50;
