//! Every limit of the protocol's side.

/// Bytes of a command line with its line end. RFC 2449 §4 says 255; pass
/// phrases and addresses in UTF-8 may be longer.
pub const LINE_BYTES_MAX: usize = 2_560;

/// Bytes of a line of an authentication exchange with its line end, or of AUTH
/// with an initial response.
pub const AUTH_LINE_BYTES_MAX: usize = sasl::limits::LINE_BYTES_MAX + 64;

/// Commands that make no sense before the session ends.
pub const BAD_COMMANDS_MAX: u8 = 10;

/// Failed logins before the session ends.
pub const FAILED_LOGINS_MAX: u8 = 5;

/// Output that is gathered before the client has to take it.
pub const OUTPUT_BYTES: usize = 32 * 1024;
