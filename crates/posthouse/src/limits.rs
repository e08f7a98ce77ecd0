//! The limits of the binary.

use std::time::Duration;

/// How long sessions and deliveries may take to reach a safe point after SIGTERM.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long blocking work may take after that.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How often `queue drain` looks how much is left.
pub(crate) const DRAIN_PAUSE: Duration = Duration::from_millis(500);

/// Up to so many messages it is counted which of them people hold.
pub(crate) const QUEUE_DRAIN_COUNTED: u64 = 1000;

/// What part of its sessions a stranger's address has in a crowd: when three quarters of all places are taken.
pub(crate) const CROWDED_DIVISOR: usize = 4;

/// This part of all places is kept for known good senders and users.
pub(crate) const KEPT_PLACES_PART: usize = 10;

/// How often refusals are written down.
pub(crate) const TRACE_FLUSH: Duration = Duration::from_secs(1);

/// How often the counts of TLS sessions are written down.
pub(crate) const TLS_FLUSH: Duration = Duration::from_secs(60);

/// How often it is looked at what reports are due.
pub(crate) const REPORTS_ROUND: Duration = Duration::from_secs(60);

/// Domains that `tls-report send` sends to at once: a person waits for it.
pub(crate) const TLS_SENT_MAX: usize = 100;

/// Bytes of a file that may hold a filter script: a little more than a script has, so that its own limit is told.
pub(crate) const SCRIPT_FILE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a message that a script is tried on; an act has 4 MiB in all.
pub(crate) const TRIED_MESSAGE_BYTES_MAX: u64 = 2 << 20;

/// Bytes of a message that `suppress report` takes: a report and what it is about.
pub(crate) const COMPLAINT_BYTES_MAX: u64 = 16 << 20;

/// Addresses of one report that are put on the list.
pub(crate) const COMPLAINERS_MAX: usize = 100;

/// Bytes of a file that `tls-report read` takes: a message with the largest report.
pub(crate) const TLS_REPORT_FILE_BYTES_MAX: u64 = 16 << 20;

/// Days of domains that `tls-report show` shows.
pub(crate) const TLS_SHOWN_MAX: usize = 10_000;

/// How often what the door no longer needs is removed.
pub(crate) const DOOR_ROUND: Duration = Duration::from_secs(3600);

/// Refusals that `trace` shows.
pub(crate) const TRACED_SHOWN_MAX: usize = 1000;

/// How long a list that does not count waits for its next trial.
pub(crate) const LIST_RETRY: Duration = Duration::from_secs(300);

/// How long one that counts does.
pub(crate) const LIST_ROUND: Duration = Duration::from_secs(24 * 3600);

/// How long a proxy may take to say who its client is.
pub(crate) const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long `sendmail` waits for the server.
pub(crate) const SENDMAIL_PATIENCE: Duration = Duration::from_secs(600);

/// Threads of the executor for one command that opens the store itself.
pub(crate) const COMMAND_WORKERS: usize = 1;

/// Suppressed addresses that are listed at once.
pub(crate) const SUPPRESSED_LISTED_MAX: usize = 1000;

/// Messages that `queue` reads at once.
pub(crate) const QUEUE_PAGE: usize = 500;

/// How many queue messages one listing shows, unless it is said how many.
pub(crate) const QUEUE_LISTED: usize = 1000;

/// How many it shows at most.
pub(crate) const QUEUE_LISTED_MAX: usize = 100_000;

/// Domains that `queue stats` shows by themselves.
pub(crate) const QUEUE_STATS_DOMAINS: usize = 50;
/// Servers that `queue stats` tells of, the busiest first.
pub(crate) const QUEUE_STATS_SERVERS: usize = 50;

/// How long it waits for the dispatcher to say how its sites are.
pub(crate) const QUEUE_STATS_PATIENCE: Duration = Duration::from_secs(2);

/// Deleted messages that `undelete --list` shows.
pub(crate) const DELETED_LISTED_MAX: usize = 100_000;

/// Deleted messages whose records are read at once.
pub(crate) const DELETED_PAGE: usize = 500;

/// In this time the reaper has been to every account.
pub(crate) const REAPER_ROUND: Duration = Duration::from_secs(24 * 3600);

/// The longest that the reaper waits between two accounts, so that it comes to all of a small system soon after a start.
pub(crate) const REAPER_PAUSE_MAX: Duration = Duration::from_secs(600);

/// Bytes of a password that are read at most.
pub(crate) const PASSWORD_BYTES_MAX: u64 = 4096;

/// Collection rests this many times as long as its step took: its share of the disk's time.
pub(crate) const COLLECT_REST: u32 = 4;

/// The longest such rest.
pub(crate) const COLLECT_REST_MAX: Duration = Duration::from_secs(2);

/// While writers fill the disk collection looks again this often, and at most so many times before it takes a step.
pub(crate) const COLLECT_GIVE_WAY: Duration = Duration::from_millis(200);
pub(crate) const COLLECT_GIVE_WAY_MAX: u32 = 50;

/// Between two looks at what died, and after an error.
pub(crate) const COLLECT_INTERVAL: Duration = Duration::from_secs(60);

/// How long a command waits for a server that has the folder and does not answer yet.
pub(crate) const STARTING_PATIENCE: Duration = Duration::from_secs(10);

/// Between two such attempts.
pub(crate) const STARTING_PAUSE: Duration = Duration::from_millis(50);

/// Keys of the system's space that are checked together.
pub(crate) const SYSTEM_PAGE: usize = 1000;

/// Findings of `fsck` that one answer holds; the rest is counted.
pub(crate) const FINDINGS_SHOWN_MAX: usize = 10_000;

/// Accounts that `fsck` lists at once.
pub(crate) const ACCOUNTS_PAGE: usize = 1000;

/// Between two looks at how far a long act is.
pub(crate) const PROGRESS_PAUSE: Duration = Duration::from_millis(500);

/// A scheduled backup that is overdue when the server starts waits this long.
pub(crate) const BACKUP_START_DELAY: Duration = Duration::from_secs(60);

/// A scheduled backup that failed is tried again after this.
pub(crate) const BACKUP_RETRY: Duration = Duration::from_secs(3600);

/// The part of the machine's memory that caches and buffers take where the settings don't say: the rest is for the
/// program, its sessions and the system's own cache of files.
pub(crate) const MEMORY_PART: u64 = 4;

/// The least that caches and buffers take together.
pub(crate) const MEMORY_MIN: u64 = 128 << 20;

/// The most that they take where nobody asked for more.
pub(crate) const MEMORY_MAX: u64 = 4 << 30;

/// Memtables of the index at a time: one that fills, three that wait for their tables before writers wait, and what the library
/// still holds of those before.
pub(crate) const MEMTABLES: u64 = 6;

/// A memtable of the index; smaller ones make more tables to merge.
pub(crate) const MEMTABLE_BYTES_MIN: u64 = 4 << 20;

/// Larger ones make a start after a crash longer.
pub(crate) const MEMTABLE_BYTES_MAX: u64 = 16 << 20;

/// The texts of one segment of a search index; with less there are more segments to merge.
pub(crate) const SEARCHING_BYTES_MIN: u64 = 8 << 20;

/// More would only make the steps longer.
pub(crate) const SEARCHING_BYTES_MAX: u64 = 32 << 20;

/// Bytes on their way to the disk: two groups of the journal.
pub(crate) const JOURNAL_BYTES_MIN: u64 = 8 << 20;

/// More would only wait longer.
pub(crate) const JOURNAL_BYTES_MAX: u64 = engine::limits::PENDING_BYTES_MAX as u64;

/// Times that a domain's notice is staged, while other commits come first; the next change of its accounts tries again.
pub(crate) const QUOTA_NOTICE_TRIES: u32 = 4;

/// Accounts without keys for SCRAM that `account show` names.
pub(crate) const NAMED_WITHOUT_SCRAM_MAX: usize = 20;

/// How often new lines of a transcript are asked for.
pub(crate) const LOOKS_PER_SECOND: u64 = 4;
pub(crate) const LOOK_PAUSE: Duration = Duration::from_millis(250);
