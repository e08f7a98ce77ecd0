//! Bounds of what an account may hold and of what a view remembers.

/// Longest mailbox name in bytes, with its parents.
pub const MAILBOX_NAME_BYTES_MAX: usize = 1000;
/// Deepest mailbox hierarchy.
pub const MAILBOX_DEPTH_MAX: usize = 50;
/// Longest keyword in bytes.
pub const KEYWORD_BYTES_MAX: usize = 255;
/// Keywords that one STORE or APPEND may name.
pub const KEYWORDS_PER_CHANGE_MAX: usize = 1000;
/// Subscriptions to names that are no mailbox.
pub const ORPHAN_SUBSCRIPTIONS_MAX: usize = 200;
/// Expunges that a mailbox remembers for QRESYNC.
pub const EXPUNGES_KEPT_MAX: usize = 256;
/// UID ranges that a mailbox remembers of its expunges.
pub const EXPUNGED_RANGES_KEPT_MAX: usize = 2048;
/// Changes that a mailbox in memory knows the entries of, for its sessions.
pub const RECENT_CHANGES_MAX: usize = 256;
/// UID ranges that it knows of them.
pub const RECENT_RANGES_MAX: usize = 2048;
/// Emails in one change that names each of them (delivery, expunge), so that
/// its record stays well below a commit's 1 MiB.
pub const EMAILS_PER_CHANGE_MAX: usize = 10_000;
/// Mailboxes of an account.
pub const MAILBOXES_MAX: usize = 100_000;
/// Emails that one COPY or MOVE may make anew because the target holds them
/// already. Without a bound, copying a mailbox into itself doubles it each time.
pub const RENEWED_PER_CHANGE_MAX: usize = 10_000;
/// UIDs that one page of a checkpoint covers.
pub const PAGE_UIDS: u32 = 512;
/// Largest email; what claims to be larger is a damaged record.
pub const EMAIL_BYTES_MAX: u64 = 1 << 40;
/// Email ids that may be left out before one is given: more than any loss of history leaves. What goes further is a
/// damaged record, and would use all ids up.
pub const EMAIL_IDS_SKIPPED_MAX: u64 = 1 << 40;
