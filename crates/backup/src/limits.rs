//! The limits of backups, each with its reason.

/// Bytes of one piece of an object before compression: what is held in memory
/// of a large body, writing and reading.
pub const PIECE_BYTES_MAX: usize = 256 << 10;

/// Stored bytes after which a pack of bodies is closed: few enough files for a
/// bucket, small enough to be fetched for one message.
pub const BODY_PACK_BYTES: u64 = 64 << 20;

/// Stored bytes after which a pack of records is closed. Records change more
/// often than bodies: smaller packs die sooner.
pub const RECORD_PACK_BYTES: u64 = 16 << 20;

/// Objects of one pack, so that its part of a catalogue stays small.
pub const PACK_OBJECTS_MAX: usize = 50_000;

/// Packs that one catalogue names: what an interrupted run loses at most.
pub const CATALOGUE_PACKS_MAX: usize = 16;

/// A stretch of records is not cut before it has these bytes …
pub const STRETCH_BYTES_MIN: usize = 64 << 10;

/// … and is cut when it has these, whatever its keys are.
pub const STRETCH_BYTES_MAX: usize = 1 << 20;

/// Between these, it is cut behind a key whose hash ends with these bits zero:
/// the same records are cut in the same places in every run.
pub const STRETCH_CUT_MASK: u8 = 0x7f;

/// The largest object that is held in memory when it is read: a stretch and
/// one record more.
pub const STRETCH_READ_MAX: usize = 4 << 20;

/// The largest manifest that is read.
pub const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// The largest small file (marker, key) that is read.
pub const SMALL_FILE_BYTES_MAX: u64 = 64 << 10;

/// Bytes of one part of an upload: the service asks for at least five million.
pub const S3_PART_BYTES: usize = 8 << 20;

/// Bytes that are asked for at a time when a file of a bucket is read.
pub const S3_RANGE_BYTES: u64 = 4 << 20;

/// Records that one scan asks the engine for.
pub const SCAN_RECORDS: usize = 1000;

/// Times that an account is taken again because a body went meanwhile.
pub const ACCOUNT_RETRIES: u32 = 3;

/// Bytes of records in one commit of a restore.
pub const RESTORE_COMMIT_BYTES: usize = 512 << 10;

/// Bodies in one commit of a restore; their frames share its sync.
pub const RESTORE_BODIES: usize = 64;

/// Emails in one commit of an import into a living account.
pub const IMPORT_EMAILS: usize = 64;

/// Bytes of messages in one commit of an import.
pub const IMPORT_BYTES: u64 = 4 << 20;

/// Bytes of their records in one commit of an import.
pub const IMPORT_RECORD_BYTES: usize = 400 << 10;

/// Damaged things that are told one by one.
pub const FINDINGS_MAX: usize = 1000;

/// zstd level of bodies and records: written once, kept long.
pub const ZSTD_LEVEL: i32 = 3;

/// scrypt's work factor (2 to this power) for the passphrase: 128 MiB and
/// about half a second, once a run.
pub const SCRYPT_LOG_N: u8 = if cfg!(test) { 6 } else { 17 };

/// The largest work factor that is taken from a target.
pub const SCRYPT_LOG_N_MAX: u8 = 20;

/// The name of a file beside the store.
pub const FILE_NAME_BYTES_MAX: usize = 64;

/// Bytes of such a file: configurations and certificates are small.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
