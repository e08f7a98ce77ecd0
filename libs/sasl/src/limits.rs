//! What a peer may send.

/// Base64 bytes of one line of an exchange. RFC 4954 §4 asks for 12,288.
pub const LINE_BYTES_MAX: usize = 12_288;

/// Bytes of a login name or an authorization identity.
pub const NAME_BYTES_MAX: usize = 1_024;

/// Bytes of a password, before and after it is prepared. Long enough for any
/// pass phrase, short enough that hashing it costs nothing.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// The fewest iterations that a SCRAM verifier may have (RFC 7677 §4).
pub const SCRAM_ITERATIONS_MIN: u32 = 4_096;

/// Bytes of a client's part of a SCRAM nonce; clients send some 24.
pub const NONCE_BYTES_MAX: usize = 512;

/// Bytes of an imported hash's text; the longest that is known has some 200.
pub const IMPORTED_BYTES_MAX: usize = 1_024;

/// bcrypt's cost: 2 to the power of it. 17 takes some ten seconds.
pub const BCRYPT_COST_MAX: u32 = 17;

/// Rounds of SHA-crypt: some seconds.
pub const SHA_CRYPT_ROUNDS_MAX: u32 = 5_000_000;

/// Rounds of an imported PBKDF2: some seconds.
pub const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

/// Bytes of an imported PBKDF2's hash; each hash length costs all rounds again.
pub const PBKDF2_HASH_BYTES_MAX: usize = 128;

/// Bytes of a bearer token; a line of base64 could hold some 9,200.
pub const TOKEN_BYTES_MAX: usize = 8_192;
