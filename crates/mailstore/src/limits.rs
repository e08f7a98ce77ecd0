//! The store's bounds, each with its reason.

/// Log entries after which a checkpoint is written: bounds what opening an
/// account replays.
pub const ENTRIES_PER_CHECKPOINT: u32 = 1000;
/// Memory that the views of cached accounts may take, about.
pub const CACHE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of records put into one commit by work that can be split; well below
/// the engine's own limit, for what the caller adds.
pub const COMMIT_BYTES_SOFT: usize = 700 << 10;
/// Bytes of renewed email records that still go with the change itself.
pub const RENEWED_BYTES_INLINE: usize = 256 << 10;
/// Times that a change is staged again after another commit won.
pub const CONFLICT_RETRIES: u32 = 16;
/// Records that one scan asks the engine for.
pub const SCAN_RECORDS: usize = 1000;
/// Emails that one change may expunge; more go in several changes.
pub const EXPUNGE_PER_CHANGE: usize = mailbox_model::limits::EMAILS_PER_CHANGE_MAX;
/// Longest per-recipient prefix of a message.
pub const PREFIX_BYTES_MAX: usize = 64 << 10;
/// Bytes that a message is streamed in.
pub const READ_CHUNK_BYTES: u64 = 256 << 10;
/// An email whose internal date is not longer ago than this was saved at that date: it
/// takes so long from the first octet to the mailbox.
pub const RECEIVED_AGO_MAX_SECONDS: i64 = 10;
/// Keywords in one record of the table.
pub const KEYWORDS_PER_RECORD: usize = 256;
/// Entries that must be old enough before the log is cut for their sake alone;
/// for an expunged email it is cut at once. Bounds how often a base is written.
pub const ENTRIES_PER_COMPACTION: u32 = 1000;
/// Email records that the reaper reads at once.
pub const REAPED_AT_ONCE: usize = 1000;
/// Emails that one commit brings back.
pub const RESTORED_PER_CHANGE: usize = 5000;
/// Times that the way back to a moment looks what is left to do: it takes ten
/// kinds of steps, and others may change the account meanwhile.
pub const BACK_ROUNDS_MAX: u32 = 100;
/// One annotation's value (RFC 5464).
pub const ANNOTATION_BYTES_MAX: usize = 64 * 1024;
/// Names and values of all annotations of an account: they are one record.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
/// Filter scripts of an account.
pub const SCRIPTS_MAX: usize = 64;
/// Names and texts of all scripts of an account: they are one record.
pub const SCRIPTS_BYTES_MAX: usize = 1 << 20;
/// Annotations of an account.
pub const ANNOTATIONS_MAX: usize = 1000;
/// Entries of all of an account's mailboxes that say who else may do what.
pub const ACL_ENTRIES_MAX: usize = 4000;
/// Groups that they name: whoever looks asks the directory of each.
pub const ACL_GROUPS_MAX: usize = 100;
/// The record that holds them.
pub const ACL_BYTES_MAX: usize = 256 * 1024;
/// Accounts that share something with one account, or with one domain, and are looked at.
pub const SHARING_ACCOUNTS_MAX: usize = 1000;
/// Findings of one account that `fsck` reports.
pub const FINDINGS_MAX: usize = 1000;
/// Emails that a repair mends with one commit.
pub const REPAIRED_AT_ONCE: usize = 200;
/// Owners of a body that a repair looks at, to see whether another email shows it.
pub const OWNERS_ASKED: usize = 1000;
/// Share of a quota at which an account's owner is told a first time.
pub const QUOTA_FILLING_PERCENT: u64 = 80;
/// Share of a quota at which an account's owner is told again.
pub const QUOTA_NEARLY_FULL_PERCENT: u64 = 95;
/// Emails that share a page of lists. Their places in it are bytes.
pub const LIST_EMAILS: u64 = 64;
/// Emails that a page must gain for it to be made, or made again.
pub const LIST_WORTH: usize = 16;
/// A page longer than that is not made.
pub const LIST_BYTES_MAX: usize = 256 * 1024;
/// Octets of a header that are looked at for References.
pub const HEADER_BYTES_MAX: u64 = 1024 * 1024;
/// Messages that one refers to; of more the first and the last ones count.
pub const REFERENCES_MAX: usize = 100;
/// Octets of a base subject by which messages are sorted.
pub const SORTED_SUBJECT_BYTES_MAX: usize = 1024;
/// Emails that join threads in one commit, at most.
pub const JOINED_AT_ONCE: usize = 1000;
/// Emails that share a page of threads. Their places in it are bytes.
pub const THREAD_EMAILS: u64 = 256;
/// Messages that one refers to by which its thread is found; of more the first and the last ones count.
pub const THREAD_REFERENCES_MAX: usize = 20;
/// Ranges of UIDs that are gone, as the log tells them to one client: eight octets each.
pub const VANISHED_RANGES_MAX: usize = 1_000_000;
/// Emails that must have gone for good before what is kept of their threads is looked through.
pub const THREADS_GONE_MIN: u64 = 1000;
